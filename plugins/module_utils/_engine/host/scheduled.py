# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import sys
import traceback
import typing as t

from .. import clock
from ..errors import BUSY, DONE, FAILED, BusyError, UsageError
from .cron_expression import parse_cron
from .job_lock import job_lock
from .report_files import replaced_whole
from .run_as import become
from .timing import is_due, zone_of

_Main = t.Callable[[t.Sequence[str]], int]
_MOST = 64 * 1024  # bytes of a state that is read; a wrong path may lead to anything
_WORDS = {0: "done", 1: "failed", 2: "wrong usage or configuration", 3: "refused", 4: "busy", 5: "incomplete"}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what a line of a schedule may say."""
    parser.add_argument("--name", required=True, help="of the schedule, for log and state")
    words = "become this user first; only root can"
    parser.add_argument("--as", dest="user", metavar="USER", default="", help=words)
    parser.add_argument("--cron", metavar="EXPRESSION", default="", help="do nothing unless this is due now")
    parser.add_argument("--timezone", metavar="ZONE", default="UTC", help="of --cron; default: UTC")
    delay = parser.add_mutually_exclusive_group()
    delay.add_argument("--wait", metavar="S", type=_seconds, default=0, help="begin so many seconds later")
    words = "begin up to so many seconds later, by chance"
    delay.add_argument("--wait-up-to", metavar="S", type=_seconds, default=0, help=words)
    parser.add_argument("--log", metavar="FILE", default="", help="what the command says is added to this file")
    parser.add_argument("--state", metavar="FILE", default="", help="how the last run ended, as JSON")
    parser.add_argument("command", nargs="+", metavar="COMMAND", help="after --: what to do, such as run JOB")


def run(options: argparse.Namespace, main: _Main) -> int:
    """Do what a schedule says if it is due, and return the exit code of that; `main` runs a subcommand.

    A run of a schedule whose last run is still under way ends with BUSY; verifications and mirrors have no lock of
    their own. Nothing is said but by a failure, in one line on standard error: cron mails everything that is said.
    Raises UsageError for an expression or time zone that cannot be used.
    """
    if options.command[0] == "scheduled":
        raise UsageError("Cannot schedule a schedule", "the command is scheduled", "give another one, such as run JOB")
    become(options.user, options.name)
    if options.cron and not is_due(parse_cron(options.cron), zone_of(options.timezone), clock.now()):
        return DONE
    try:
        with job_lock(f"scheduled.{options.name}"):
            clock.sleep(options.wait or random.uniform(0, options.wait_up_to))
            return _logged(options, main)
    except BusyError:
        with _output_to(options.log):
            _note(f"{options.name}: ended with {BUSY} (busy), the last run is still under way")
        return BUSY


def _logged(options: argparse.Namespace, main: _Main) -> int:
    state = _State(options.state, options.name, options.command)
    state.write(None)
    with _output_to(options.log) as has_log:
        _note(f"{options.name}: begins: lifeboat {' '.join(options.command)}")
        code = _ended_with(main, options.command)
        _note(f"{options.name}: ended with {code} ({_WORDS.get(code, 'by a signal')}), {state.seconds():.0f} s")
    state.write(code)
    if code not in (DONE, BUSY):
        where = f": see {options.log}" if has_log else ""
        _complain(f"lifeboat: scheduled {options.name} ended with {code}{where}")
    return code


class _State:
    """What is kept about the last run of a schedule, in a file that is replaced as a whole."""

    def __init__(self, path: str, name: str, command: t.Sequence[str]) -> None:
        self._path = path
        self._begun = clock.monotonic()
        self._document = {
            "name": name,
            "command": list(command),
            "started": clock.to_text(clock.now()),
            "last_done": self._last_done(),
        }

    def seconds(self) -> float:
        """Return how long the run has lasted so far."""
        return clock.monotonic() - self._begun

    def write(self, exit_code: int | None) -> None:
        """Keep how the run ended; None: it has begun. A state that cannot be kept ends no run."""
        if not self._path:
            return
        finished = None if exit_code is None else clock.to_text(clock.now())
        if exit_code == DONE:
            self._document["last_done"] = str(finished)
        document = {**self._document, "finished": finished, "exit_code": exit_code}
        try:
            replaced_whole(self._path, f"{json.dumps(document, indent=2, sort_keys=True)}\n".encode("ascii"), 0o644)
        except OSError as error:
            _complain(f"Cannot write {self._path}: {error.strerror or error}")

    def _last_done(self) -> t.Any:
        with contextlib.suppress(OSError, ValueError, AttributeError):
            descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a pipe must not block us
            with open(descriptor, "rb") as file:
                return json.loads(file.read(_MOST)).get("last_done")
        return None


def _ended_with(main: _Main, command: t.Sequence[str]) -> int:
    try:
        return main(command)
    except SystemExit as end:  # wrong usage
        return end.code if isinstance(end.code, int) else FAILED
    except Exception:
        traceback.print_exc()
        return FAILED


@contextlib.contextmanager
def _output_to(path: str) -> t.Iterator[bool]:
    """Add standard output and error to a file for the duration of the block; without one they stay where they are.

    A log that cannot be written ends no run. Yields whether there is one.
    """
    if not path:
        yield False
        return
    try:
        log = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o640)
    except OSError as error:
        _complain(f"Cannot write {path}: {error.strerror or error}")
        yield False
        return
    kept = [os.dup(number) for number in (1, 2)]
    try:
        _flush()
        for number in (1, 2):
            os.dup2(log, number)
        yield True
    finally:
        _flush()
        for number, copy in zip((1, 2), kept):
            os.dup2(copy, number)
        for descriptor in (log, *kept):
            os.close(descriptor)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()


def _note(text: str) -> None:
    moment = clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")
    _complain(f"{moment} {text}")


def _complain(text: str) -> None:
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()


def _seconds(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds")
    return int(text)
