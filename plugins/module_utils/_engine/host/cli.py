# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import argparse
import contextlib
import hashlib
import itertools
import json
import sys
import typing as t

from ..errors import DONE, FAILED, GuardRefusal, LifeboatError, UsageError
from ..objects.reread import Share
from ..repository.keep import TIERS
from ..repository.proof import LEVELS
from . import commands, reporting, scheduled, set_listing
from .config import DEFAULT_FILE, Config, load
from .place import Say
from .progress import Progress
from .run_as import Document
from .shown import Shown
from .signals import Interrupted, unwinding
from .streams import complain, open_missing, tell
from .tables import block
from .typed import refuse_mistyped
from .version import VERSION

_Work = t.Callable[[Config, argparse.Namespace, Say], Shown]
_Declare = t.Callable[[argparse.ArgumentParser], None]

_EPILOG = """exit codes: 0 done, 1 failed (status: something is wrong), 2 wrong usage or configuration,
3 refused by a guard, 4 busy, 5 done but incomplete, 128 + number ended by a signal"""


def main(argv: t.Sequence[str] | None = None, *, by_schedule: bool = False) -> int:
    """Run the command `lifeboat` and return its exit code; argparse ends wrong usage itself, with 2.

    `by_schedule`: nobody sees what it says, so that a wrong name in it is reported as any other end.
    """
    open_missing()
    try:
        options = _options(sys.argv[1:] if argv is None else argv)
        if "work" not in options:
            return _run_scheduled(options)
        with unwinding():
            return _run(options, by_schedule)
    except Interrupted as end:
        complain(f"Ended by {end.signal.name}.")
        return end.exit_code
    finally:
        tell("")


def _options(argv: t.Sequence[str]) -> argparse.Namespace:
    try:
        return _parser().parse_args(argv)
    except _WrongUsage as end:
        if "--json" in itertools.takewhile(lambda word: word != "--", argv):
            tell(_document(Shown({}, (), end.error.exit_code, error=end.error)))
        raise


def parsed(argv: t.Sequence[str]) -> argparse.Namespace:
    """Return the options of a command line that is known to be right."""
    return _parser().parse_args(argv)


def _run(options: argparse.Namespace, by_schedule: bool) -> int:
    try:
        config = load(options.config)
        if not by_schedule:
            refuse_mistyped(config, options)
    except LifeboatError as error:
        return _tell(Shown({}, (), error.exit_code, error=error), options)
    try:
        shown = reporting.watched(config, options, lambda: _done(config, options), complain)
    except Interrupted as end:
        if options.json:
            ended = LifeboatError(f"{f'{options.command} {options.job}'.rstrip()} was ended by {end.signal.name}")
            tell(_document(Shown({}, (), end.exit_code, error=ended)))
        raise
    return _tell(shown, options)


def _done(config: Config, options: argparse.Namespace) -> Shown:
    """Do the work of a subcommand. A signal ends it, its children first; then it can still be told that it ended."""
    try:
        with unwinding(), Progress(sys.stderr, sys.stderr.isatty()) as say:
            shown: Shown = options.work(config, options, say)
            return shown
    except LifeboatError as error:
        return Shown({}, (), error.exit_code, error=error)


def _tell(shown: Shown, options: argparse.Namespace) -> int:
    """Write what there is to say, and return the exit code."""
    is_told = tell(_document(shown) if options.json else block("\n".join(shown.lines)))
    for remark in shown.remarks:
        complain(remark)
    if shown.error is not None:
        complain(str(shown.error))
    return shown.exit_code or (DONE if is_told else FAILED)


def _document(shown: Shown) -> str:
    document = {**shown.document, "exit_code": shown.exit_code, "error": _document_of(shown.error)}
    return json.dumps(document, indent=2, sort_keys=True)


def _run_scheduled(options: argparse.Namespace) -> int:
    # Outside of `unwinding`: what is scheduled runs by this same command, which has its own.
    try:
        given = ["--config", options.config, *(["--json"] if options.json else [])]
        return scheduled.run(options, lambda words: main([*given, *words], by_schedule=True))
    except LifeboatError as error:
        complain(str(error))
        return error.exit_code


def _document_of(error: LifeboatError | None) -> Document | None:
    if error is None:
        return None
    fields = {"problem": error.problem, "cause": error.cause, "remedy": error.remedy}
    return {**fields, "guard": error.guard} if isinstance(error, GuardRefusal) else fields


class _WrongUsage(SystemExit):
    """The end by a command line that cannot be understood; it was explained on standard error."""

    def __init__(self, error: UsageError) -> None:
        super().__init__(error.exit_code)
        self.error = error


class _Parser(argparse.ArgumentParser):
    """Its words reach whom they can reach: a stream that takes none changes no exit code to a traceback's."""

    def print_help(self, file: t.Any = None) -> None:
        if not tell(self.format_help().rstrip("\n")):
            self.exit(FAILED)

    def error(self, message: str) -> t.NoReturn:
        with contextlib.suppress(OSError, ValueError):
            self.print_usage(sys.stderr)
        complain(f"{self.prog}: error: {message}")
        raise _WrongUsage(UsageError("Cannot understand the command line", message, f"see {self.prog} --help"))


class _Subparser(_Parser):
    """Declares the options of its subcommand once that is chosen: they are described where they are used, in parts that
    other subcommands need not load."""

    declare: _Declare | None = None

    def parse_known_args(self, *given: t.Any, **more: t.Any) -> t.Any:
        declare, self.declare = self.declare, None
        if declare is not None:
            declare(self)
        self._refuse_empty(given[0] if given else ())
        return super().parse_known_args(*given, **more)

    def _refuse_empty(self, words: t.Iterable[str]) -> None:
        """Refuse options that are given an empty value, as by a variable that is not set in a script: it would count as
        an option that is not given at all, and a restore would go to where the data was."""
        before = ""
        for word in itertools.takewhile(lambda each: each != "--", words):
            option, equals, value = word.partition("=")
            empty = option if equals and not value else before * (not word)
            if empty.startswith("--"):
                self.error(f"argument {empty}: it has an empty value; leave it out if none is meant")
            before = word


class _Version(argparse.Action):
    """Prints the version and which file this is: SHA-256 as `sha256sum` says it."""

    def __call__(self, parser: argparse.ArgumentParser, *_: t.Any) -> None:
        parser.exit(DONE if tell(f"lifeboat {VERSION} ({_own_digest()})") else FAILED)


def _own_digest() -> str:
    archive = getattr(globals().get("__loader__"), "archive", None)  # only zipimporter has one
    if not archive:
        return "not installed as one file"
    digest = hashlib.sha256()
    with open(archive, "rb") as file:
        for chunk in iter(lambda: file.read(1024 * 1024), b""):
            digest.update(chunk)
    return f"sha256 {digest.hexdigest()}"


def _parser() -> argparse.ArgumentParser:
    shared = _Subparser(add_help=False)
    # Before or after the subcommand: the latter must not undo the former.
    shared.add_argument("--config", metavar="FILE", default=argparse.SUPPRESS, help=f"default: {DEFAULT_FILE}")
    shared.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="one JSON document on stdout")
    parser = _Parser(
        prog="lifeboat",
        description="Back up, prove, copy and restore by the jobs of this host.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--config", metavar="FILE", default=DEFAULT_FILE, help=f"default: {DEFAULT_FILE}")
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and the digest of this file")
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=_Subparser)

    def add(name: str, work: _Work, words: str, declare: _Declare | None = None, *, is_for_all: bool = False) -> None:
        added: _Subparser = subparsers.add_parser(
            name, parents=[shared], help=words, description=words, allow_abbrev=False
        )
        added.set_defaults(work=work, command=name)
        added.declare = declare
        if is_for_all:
            added.add_argument("job", metavar="JOB", nargs="?", default="", help="default: all jobs")
        else:
            added.add_argument("job", metavar="JOB")

    add("run", commands.run, "run a job: back up, prove, copy", _add_run)
    add("list", commands.list_backups, "list backups", is_for_all=True)
    add("show", commands.show, "show all that is known about one backup", _add_show)
    add("copy", commands.copy, "bring every repository of a job what it lacks", _add_copy)
    add("prune", commands.prune, "remove expired backups, and delete what nothing needs any more", _add_prune)
    words = "lock what is to be kept in buckets with object lock, for as long as it stays"
    add("lock", commands.lock, words, _add_lock)
    add("hold", commands.hold, "keep a backup whatever retention says, or let it go again", _add_hold)
    add("delete", commands.delete, "delete one backup; its files go with later prunes", _add_delete)
    add("verify", commands.verify, "verify copies of backups, and record what was found", _add_verify)
    add("restore", commands.restore, "bring a backup back", _add_restore)
    add("history", commands.history, "show the states of one object over all backups", _add_history)
    add("mirror", _mirror, "make targets equal to a source, and destroy nothing", _add_mirror)
    words = "say how jobs stand; exit code 1 when something is wrong"
    add("status", commands.show_status, words, _add_status, is_for_all=True)
    add("notify", _notify, "send a trial message on the channels of the host", _add_notify, is_for_all=True)
    words = "look whether runs have all that they need; changes nothing"
    add("check", commands.check_all, words, is_for_all=True)
    words = "do what a schedule says: wait, keep a log and how it ended; for cron and timers"
    waiting = subparsers.add_parser("scheduled", parents=[shared], help=words, description=words, allow_abbrev=False)
    scheduled.add_options(waiting)
    return parser


def _mirror(config: Config, options: argparse.Namespace, say: Say) -> Shown:
    from . import mirror_command

    return mirror_command.mirror(config.mirrors, config.file, options, say)


def _notify(config: Config, options: argparse.Namespace, _say: Say) -> Shown:
    from . import notify_command

    return notify_command.notify(config, options)


def _add_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--on-shrink", choices=("fail", "warn", "ignore"), help="instead of what the job says")
    parser.add_argument("--rebind", action="store_true", help="the source was rebuilt on purpose: accept it")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--full", action="store_true", help="read every object or file, also those that seem unchanged")
    how.add_argument("--metadata-only", action="store_true", help="only the settings of buckets, no objects")
    words = "read a share of what seems unchanged, such as 1/7; the runs go round"
    how.add_argument("--reread", metavar="N/T", type=_share, help=words)
    parser.add_argument("--allow-empty", action="store_true", help="accept a source without any object")
    words = "do not back up; say that this flagged backup and all earlier ones are as they should be (default: latest)"
    parser.add_argument("--acknowledge", metavar="ID", nargs="?", const="latest", default="", help=words)


def _add_show(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("backup", metavar="ID", nargs="?", default="latest", help="or latest (default), latest_good")


def _add_status(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--metrics", action="store_true", help="write them to the folder of the configuration, too")


def _add_prune(parser: argparse.ArgumentParser) -> None:
    from . import prune_command

    prune_command.add_options(parser)
    _add_repository(parser)


def _add_lock(parser: argparse.ArgumentParser) -> None:
    from . import lock_command

    lock_command.add_options(parser)
    _add_repository(parser)


def _add_hold(parser: argparse.ArgumentParser) -> None:
    from . import keeping_command

    keeping_command.add_hold_options(parser)
    _add_repository(parser)


def _add_delete(parser: argparse.ArgumentParser) -> None:
    from . import keeping_command

    keeping_command.add_delete_options(parser)
    _add_repository(parser)


def _add_mirror(parser: argparse.ArgumentParser) -> None:
    from . import mirror_command

    mirror_command.add_options(parser)


def _add_notify(parser: argparse.ArgumentParser) -> None:
    from . import notify_command

    notify_command.add_options(parser)


def _add_copy(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--backup", metavar="ID", default="all", help="or latest, latest_good, all (default)")
    words = "only one backup of each such period of the time zone of the job"
    parser.add_argument("--tier", choices=TIERS, default="", help=words)
    parser.add_argument("--min-age", metavar="AGE", default="", help="only backups that are so old, such as 7d")
    parser.add_argument("--max-age", metavar="AGE", default="", help="only backups that are no older, such as 8w")
    parser.add_argument("--from", dest="source", metavar="REPOSITORY", action="append", default=[], help="default: any")
    parser.add_argument("--to", dest="target", metavar="REPOSITORY", action="append", default=[], help="default: all")
    parser.add_argument("--dry-run", action="store_true", help="only show what would be copied")


def _add_verify(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--backup", metavar="ID", default="latest", help="or latest (default), all")
    parser.add_argument("--level", choices=LEVELS, default="content", help="default: content")
    words = "read this part of the packs of objects and files, such as 1/7 to 7/7"
    parser.add_argument("--sample", metavar="N/T", default="", help=words)
    words = "restore buckets on trial into this one, which must not be there, or be empty"
    parser.add_argument("--scratch-bucket", metavar="NAME", default="", help=words)
    words = "count what has changed at the source of objects or files since, at level restore"
    parser.add_argument("--compare-source", action="store_true", help=words)
    _add_repository(parser)


def _add_restore(parser: argparse.ArgumentParser) -> None:
    from . import database_restore_command, minio_command, restore_command

    parser.add_argument("--backup", metavar="ID", default="latest_good", help="or latest, latest_good (default)")
    _add_repository(parser)
    words = "replace this database, or overwrite and remove in this bucket or folder (repeatable)"
    parser.add_argument("--confirm", metavar="NAME", action="append", default=[], help=words)
    words = "only what matches; of a database: SCHEMA or SCHEMA.TABLE"
    parser.add_argument("--include", metavar="PATTERN", action="append", default=[], help=words)
    parser.add_argument("--exclude", metavar="PATTERN", action="append", default=[], help="not what matches")
    parser.add_argument("--dry-run", action="store_true", help="only show what would be done")
    database_restore_command.add_options(parser)
    restore_command.add_options(parser)
    minio_command.add_restore_options(parser)
    set_listing.add_restore_options(parser)


def _add_history(parser: argparse.ArgumentParser) -> None:
    from . import restore_command

    restore_command.add_history_options(parser)
    _add_repository(parser)


def _add_repository(parser: argparse.ArgumentParser) -> None:
    words = "only this one; may be repeated, in the order of preference"
    parser.add_argument("--repository", metavar="NAME", action="append", default=[], help=words)


def _share(text: str) -> Share | None:
    try:
        return Share.parse(text)
    except UsageError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no share: {error.remedy}") from error
