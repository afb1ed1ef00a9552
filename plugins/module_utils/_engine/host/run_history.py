# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What this host remembers of each job: how its commands ended, and what was last seen of its backups."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import fcntl
import json
import os
import typing as t

from .. import clock
from ..errors import LifeboatError
from .notify_delivery import Delivery
from .notify_event import SUCCESS, Event
from .report_files import replaced_whole

_FORMAT = 1
_MOST = 1024 * 1024  # bytes of a file that is read
_PATIENCE_S = 10.0  # for another process that writes at this moment
_POLL_S = 0.02
_LONGEST = 500  # characters of a problem that is kept
_TEXTS = ("outcome", "problem", "name")  # all other values are numbers or truth values


@dataclasses.dataclass(frozen=True)
class End:
    """How a command ended the last time, and when it did well and badly."""

    outcome: str  # one of notify_event.ENDS
    exit_code: int
    finished: float  # seconds since 1970
    seconds: float
    succeeded: float = 0.0  # seconds since 1970 of its last end with 0; 0: never
    failed: float = 0.0  # the same of its last other end
    problem: str = ""


@dataclasses.dataclass(frozen=True)
class RepositoryFacts:
    """What was last seen of a repository."""

    name: str
    is_reachable: bool
    stored_bytes: int  # of the backups of this job
    size_bytes: int | None = None  # of the file system of a directory; None: a bucket, or not to be had
    free_bytes: int | None = None  # what this user may still write there


@dataclasses.dataclass(frozen=True)
class BackupFacts:
    """What was last seen of the newest backup."""

    time: float = 0.0  # when it began, seconds since 1970; 0: there is none
    proved: float = 0.0  # when the newest proved backup was last read back; 0: none is
    is_flagged: bool = False
    source_bytes: int | None = None  # of all that it holds; None: not known
    stored_bytes: int | None = None  # of what was written for it
    copies: int = 0
    wanted: int = 0  # how many copies there are to be
    problems: int | None = None  # that `status` saw; None: it did not look yet
    good_copies: int | None = None  # that `status` saw, and the next two as well
    media: int | None = None  # that the good copies are on
    offsite: int | None = None  # good copies


@dataclasses.dataclass(frozen=True)
class ChannelFacts:
    """What became of the messages on a channel."""

    failures: int = 0  # ever
    failed: float = 0.0  # seconds since 1970, of a failure after which none was taken; 0: there is none
    problem: str = ""


@dataclasses.dataclass(frozen=True)
class History:
    """All that is remembered of a job or mirror."""

    ends: t.Mapping[str, End] = dataclasses.field(default_factory=dict)  # by command
    backup: BackupFacts | None = None  # None: nothing is known yet
    repositories: tuple[RepositoryFacts, ...] = ()
    channels: t.Mapping[str, ChannelFacts] = dataclasses.field(default_factory=dict)

    def with_end(self, event: Event) -> History:
        """Return it after the end of a command."""
        moment, before = event.finished.timestamp(), self.ends.get(event.command)
        is_done = event.outcome == SUCCESS
        end = End(
            event.outcome,
            event.exit_code,
            moment,
            event.seconds,
            succeeded=moment if is_done else (before.succeeded if before else 0.0),
            failed=(before.failed if before else 0.0) if is_done else moment,
            problem=_problem(event),
        )
        return dataclasses.replace(self, ends={**self.ends, event.command: end})

    def with_deliveries(self, deliveries: t.Iterable[Delivery], moment: dt.datetime) -> History:
        """Return it after messages were sent, or not."""
        channels = dict(self.channels)
        for each in deliveries:
            failures = channels.get(each.channel, ChannelFacts()).failures
            if each.is_done:
                channels[each.channel] = ChannelFacts(failures)
            else:
                channels[each.channel] = ChannelFacts(failures + 1, moment.timestamp(), each.problem[:_LONGEST])
        return dataclasses.replace(self, channels=channels)

    def recovers(self, event: Event) -> bool:
        """Say whether an end is good and the one before was not."""
        before = self.ends.get(event.command)
        return event.outcome == SUCCESS and before is not None and before.outcome != SUCCESS


class HistoryFile:
    """Where the history of one job or mirror lies; the folder is made and owned by whoever installs the command."""

    def __init__(self, folder: str, section: str, name: str) -> None:
        self._folder = folder
        self._path = os.path.join(folder, f"{section}.{name}.json")

    def read(self) -> History:
        """Return what is remembered; nothing when there is no file, or none that can be understood."""
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            descriptor = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
            with open(descriptor, "rb") as file:
                return _from_document(json.loads(file.read(_MOST)))
        return History()

    @contextlib.contextmanager
    def changed(self) -> t.Iterator[Change]:
        """Yield what is remembered, for the block to change; nobody else does meanwhile. Raises LifeboatError."""
        with self._locked():
            change = Change(self.read())
            before = change.history
            yield change
            if change.history != before or not os.path.exists(self._path):
                try:
                    text = json.dumps(_to_document(change.history), indent=1, sort_keys=True)
                    replaced_whole(self._path, text.encode(), 0o640)
                except OSError as error:
                    raise self._refused(error) from error

    @contextlib.contextmanager
    def _locked(self) -> t.Iterator[None]:
        try:
            descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise self._refused(error) from error
        try:
            until = clock.monotonic() + _PATIENCE_S
            while not _is_taken(descriptor):
                if clock.monotonic() > until:
                    raise self._refused(OSError("another process keeps it locked"))
                clock.sleep(_POLL_S)
            yield
        finally:
            os.close(descriptor)

    def _refused(self, error: OSError) -> LifeboatError:
        words = error.strerror or str(error)
        remedy = "make the folder state_dir, writable by the users of all jobs"
        return LifeboatError(f"Cannot remember how this ended in {self._folder}", words, remedy)


@dataclasses.dataclass
class Change:
    """A history that is being changed."""

    history: History


def _is_taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _problem(event: Event) -> str:
    words = f"{event.problem}: {event.cause}" if event.cause else event.problem
    return words[:_LONGEST]


def _to_document(history: History) -> dict[str, t.Any]:
    return {"format": _FORMAT, **dataclasses.asdict(history)}


def _from_document(found: t.Any) -> History:
    """Return the history of a document. Raises ValueError, KeyError, TypeError for what is none."""
    if found.pop("format") != _FORMAT:
        raise ValueError("another format")
    history = History(
        ends={str(name): End(**each) for name, each in found["ends"].items()},
        backup=BackupFacts(**found["backup"]) if found["backup"] else None,
        repositories=tuple(RepositoryFacts(**each) for each in found["repositories"]),
        channels={str(name): ChannelFacts(**each) for name, each in found["channels"].items()},
    )
    _require_kinds(_to_document(history))
    return history


def _require_kinds(found: t.Any, name: str = "") -> None:
    """Raise ValueError when a value is not of its kind: other users than this one may have written the file."""
    if isinstance(found, dict):
        for key, value in found.items():
            _require_kinds(value, str(key))
    elif isinstance(found, (list, tuple)):
        for value in found:
            _require_kinds(value)
    elif found is not None and isinstance(found, str) != (name in _TEXTS):
        raise ValueError(f"{name} is of another kind")
