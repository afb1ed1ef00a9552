# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The subcommand `restore` for databases."""

from __future__ import annotations

import argparse
import dataclasses
import typing as t

from .. import clock
from ..errors import DONE, FAILED, UsageError
from ..postgres.archive import ScriptOptions
from ..postgres.connection import Server
from ..postgres.restore import RestoreOptions
from ..postgres.roles import CHOICES
from ..postgres.selection import Selection, patterns
from . import foreign_plan, foreign_restore, restore_command, restore_run, tables
from .database_settings import DatabaseSettings
from .dump_place import DumpPlace
from .foreign_plan import DumpPlan, DumpRequest
from .place import Place, Say
from .restore_request import ON_CONFLICT, RestoreRequest
from .secret_file import read_secret
from .shown import Shown

_SHOWN = 20  # tables and roles of a plan


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of restores of databases."""
    group = parser.add_argument_group("databases")
    group.add_argument("--database", metavar="NAME", default="", help="restore under this name; default: as it was")
    words = "what becomes of a database that has the name; default: replace, with --confirm"
    group.add_argument("--on-conflict", choices=ON_CONFLICT, default=ON_CONFLICT[0], help=words)
    group.add_argument("--drop-previous", action="store_true", help="do not keep the database that is replaced")
    words = "back the database up that is replaced, as job JOB-damaged"
    group.add_argument("--safety-backup", action="store_true", help=words)
    group.add_argument("--schema-only", action="store_true", help="without data")
    group.add_argument("--no-owner", action="store_true", help="all belongs to the login role")
    group.add_argument("--no-privileges", action="store_true", help="without GRANT and REVOKE")
    words = "make the roles of the backup that are missing: those of the database, or all; default: none"
    group.add_argument("--globals", choices=CHOICES, default="none", help=words)
    group.add_argument(
        "--tablespace", metavar="FROM=TO", action="append", default=[], help="to another tablespace; repeatable"
    )
    group.add_argument("--no-tablespaces", action="store_true", help="everything into the default tablespace")
    group.add_argument("--jobs", metavar="N", type=positive, default=1, help="tables and indexes at once; default: 1")
    words = "restore this dump of another program, a path or https://…, instead of a backup"
    group.add_argument("--dump", metavar="PLACE", default="", help=words)
    group.add_argument("--owner", metavar="ROLE", default="", help="whom the dump shall belong to")
    group.add_argument("--trusted", action="store_true", help="load the dump with all rights, owners and privileges")
    for name, words in (("host", "another server"), ("port", "its port"), ("user", "role to log in as")):
        group.add_argument(f"--login-{name}", metavar=name.upper(), default="", help=f"{words}; default: the job's")
    group.add_argument("--login-password-file", metavar="FILE", default="", help="password of that role; default: none")


def positive(text: str) -> int:
    """Return a number of at least 1, for argparse."""
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of at least 1")
    return int(text)


def restore(
    job: DatabaseSettings, places: tuple[Place, ...], remarks: t.Sequence[str], options: argparse.Namespace, say: Say
) -> Shown:
    """Bring a database back, or show what that would do."""
    if options.dump:
        return _restore_dump(job, options, say)
    if options.owner or options.trusted:
        raise UsageError("Cannot use --owner or --trusted", "they are for a --dump", "leave them out")
    request = RestoreRequest(
        job=job.name,
        backup=options.backup,
        places=places,
        server=_server(job, options),
        database=options.database,
        confirm=restore_command.single(options.confirm),
        keep_previous=not options.drop_previous,
        options=_options(options),
        folder=job.scratch_dir,
        include=patterns(options.include),
        exclude=patterns(options.exclude),
        on_conflict=options.on_conflict,
        safety_backup=options.safety_backup,
        globals=options.globals,
    )
    planned = restore_run.plan(request)
    planned = dataclasses.replace(planned, notes=(*planned.notes, *remarks))
    if options.dry_run:
        return _restore_plan(planned)
    return _restored(restore_run.restore(planned, say))


def _options(options: argparse.Namespace) -> RestoreOptions:
    return RestoreOptions(
        script=ScriptOptions(options.schema_only, options.no_owner, options.no_privileges),
        jobs=options.jobs,
        with_tablespaces=not options.no_tablespaces,
        tablespaces=restore_command.pairs("--tablespace", options.tablespace),
    )


def _server(job: DatabaseSettings, options: argparse.Namespace) -> Server:
    """Return the server of the job, or the one that the options name."""
    port, secret = options.login_port, options.login_password_file
    if port and not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise UsageError(f"Cannot use --login-port {port}", "it is no port", "give a number from 1 to 65535")
    if not (options.login_host or port or options.login_user or secret):
        return job.login()
    if job.server.service:  # libpq would go where it leads, whatever else is said
        why = f"service {job.server.service} of job {job.name} says where the server is"
        raise UsageError("Cannot use --login-host, --login-port or --login-user", why, "use the module pg_restore")
    # Another server gets neither the job's password nor its container.
    server = dataclasses.replace(job.server, container=None) if options.login_host else job.login()
    return dataclasses.replace(
        server,
        host=options.login_host or server.host,
        port=int(port) if port else server.port,
        user=options.login_user or server.user,
        password=read_secret(secret) if secret else ("" if options.login_user else server.password),
        session_role="" if options.login_host or options.login_user else server.session_role,
    )


def _restore_dump(job: DatabaseSettings, options: argparse.Namespace, say: Say) -> Shown:
    if options.safety_backup or options.globals != "none":
        raise UsageError(
            "Cannot use --safety-backup or --globals", "a dump from elsewhere has no backups", "leave them out"
        )
    planned = foreign_plan.plan(
        DumpRequest(
            dump=DumpPlace(options.dump),
            server=_server(job, options),
            database=options.database or job.database,
            confirm=restore_command.single(options.confirm),
            keep_previous=not options.drop_previous,
            options=_options(options),
            folder=job.scratch_dir,
            include=patterns(options.include),
            exclude=patterns(options.exclude),
            on_conflict=options.on_conflict,
            owner=options.owner,
            is_trusted=options.trusted,
        )
    )
    if options.dry_run:
        return _dump_plan(planned)
    result = foreign_restore.restore(planned, say)
    document = {**dataclasses.asdict(result), "figures": dict(result.figures)}
    shown = [f"{result.dump}: restored as database {result.database}, {tables.duration(result.seconds)}"]
    shown += _outcome(result.figures, result.previous, result.left_out)
    shown = [tables.printable(line) for line in shown]
    for words in result.notes:
        shown += tables.note(words, "note: ")
    return Shown(document, shown)


def _dump_plan(planned: DumpPlan) -> Shown:
    target, request = planned.target, planned.request
    is_unconfirmed = target.exists and request.confirm != planned.database
    document = {
        "dry_run": True,
        "dump": request.dump.name,
        "form": str(planned.form),
        "stored_bytes": planned.size_bytes,
        "sha256": planned.digest,
        "database": planned.database,
        "replaces": target.exists,
        "needs_confirm": is_unconfirmed,
        "problems": list(target.problems),
        "notes": list(planned.notes),
    }
    size = tables.size(planned.size_bytes) if planned.size_bytes >= 0 else "of unknown size"
    shown = [f"would restore {request.dump.name}, {planned.form}, {size}"]
    shown += _destination(planned.database, request.server, target.exists, is_unconfirmed)
    shown += _parts(planned.selection if request.is_partial else None)
    return _plan_shown(document, shown, target.problems, planned.notes)


def _destination(database: str, server: Server, exists: bool, is_unconfirmed: bool) -> list[str]:
    replacing = ", replacing the one that is there" if exists else ", which is not there yet"
    lines = [f"as database {database} of {server}{replacing}"]
    return [*lines, *([f"to replace it, say --confirm {database}"] if is_unconfirmed else [])]


def _parts(selection: Selection | None) -> list[str]:
    if selection is None:
        return []
    lines = [f"  table       {name}" for name in selection.tables[:_SHOWN]]
    if len(selection.tables) > _SHOWN:
        lines.append(f"  and {len(selection.tables) - _SHOWN:,} more tables")
    return lines + [f"  left out    {words}" for words in selection.left_out[:_SHOWN]]


def _plan_shown(document: t.Any, shown: list[str], problems: t.Sequence[str], notes: t.Sequence[str]) -> Shown:
    for problem in problems:
        shown += tables.note(problem, "WRONG ")
    for words in notes:
        shown += tables.note(words, "note: ")
    return Shown(document, [tables.printable(line) for line in shown], FAILED if problems else DONE)


def _outcome(figures: t.Mapping[str, t.Any], previous: str, left_out: t.Sequence[str]) -> list[str]:
    lines = [f"  compared with its archive: {figures.get('tables', '?')} tables, {figures.get('rows', '?')} rows"]
    lines += [f"  left out: {words}" for words in left_out[:_SHOWN]]
    if previous:
        lines.append(f"  the database that was there is kept as {previous}")
    return lines


def _restore_plan(planned: restore_run.RestorePlan) -> Shown:
    manifest, target, selection = planned.manifest, planned.target, planned.selection
    is_unconfirmed = target.exists and planned.request.confirm != planned.database
    document: dict[str, t.Any] = {
        "dry_run": True,
        "job": planned.request.job,
        "id": manifest.id,
        "time": clock.to_text(manifest.started),
        "repository": planned.first.place.name,
        "database": planned.database,
        "replaces": target.exists,
        "needs_confirm": is_unconfirmed,
        "tables": list(selection.tables) if selection else [],
        "left_out": list(selection.left_out) if selection else [],
        "roles": list(planned.roles.names) if planned.roles else [],
        "database_bytes": int(manifest.source["size_bytes"]),
        "problems": list(target.problems),
        "notes": list(planned.notes),
    }
    shown = [f"would restore {manifest.id} of {clock.to_text(manifest.started)} from {planned.first.place.name}"]
    shown += _destination(planned.database, planned.request.server, target.exists, is_unconfirmed)
    shown += _parts(selection)
    shown += [f"  role        {name}" for name in document["roles"][:_SHOWN]]
    return _plan_shown(document, shown, target.problems, planned.notes)


def _restored(result: restore_run.RestoreResult) -> Shown:
    document = {**dataclasses.asdict(result), "figures": dict(result.figures)}
    shown = [
        f"{result.job}: restored {result.id} from {result.repository} as database {result.database}, "
        f"{tables.duration(result.seconds)}",
    ]
    shown += _outcome(result.figures, result.previous, result.left_out)
    if result.roles:
        shown.append(f"  roles were made: {', '.join(result.roles[:_SHOWN])}")
    if result.safety_backup:
        shown.append(f"  what was there is backed up as {result.safety_backup} of {result.job}-damaged")
    shown = [tables.printable(line) for line in shown]
    for words in result.notes:
        shown += tables.note(words, "note: ")
    return Shown(document, shown)
