# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
import tempfile
import threading
import typing as t

from ..errors import DamagedError, GuardRefusal
from ..steps import reached
from . import restore_plan as plan
from .file_properties import DIRECTORY, HARDLINK
from .object_writing import Writers, writers
from .remarks import Remarks
from .restore_lanes import Lanes
from .restore_plan import Step
from .restore_work import Copy, Work
from .rows import Row, from_line, to_line
from .source import ObjectError
from .target import Bring, Outcome, WritesSeveral, Written

# Bytes of an object that is held whole, so that the next one can be read while it is written.
_HELD = 4 * 1024 * 1024
_SMALL = 256 * 1024  # bytes of an object that shares a thread with others on their way
_WITH_WRITERS = 400  # objects on their way where many can go with one request
_REMEMBERED = 4096  # directories that are known to be there


@dataclasses.dataclass
class Done:
    """What was done at a target."""

    written: int = 0  # objects
    written_bytes: int = 0
    described: int = 0  # objects that got properties only
    removed: int = 0
    kept: int = 0  # objects that were there already
    skipped: int = 0  # objects that differ and stay, as asked
    failed: int = 0  # objects that the target refused or could not take
    damaged: int = 0  # objects whose bytes in this copy are not what its index promises
    left: int = 0  # objects that were not removed, because not all others could be written

    def followed_by(self, later: Done) -> Done:
        """Return what this pass and a later one over the same objects did together."""
        return dataclasses.replace(
            later,
            written=self.written + later.written,
            written_bytes=self.written_bytes + later.written_bytes,
            described=self.described + later.described,
            removed=self.removed + later.removed,
            kept=max(0, later.kept - self.written - self.described),
        )


class Restoration:
    """Carries out the steps of a restore with one copy of the backup.

    It can be ended at any point and begun again, with the same copy or another one: what is right already is not
    written again.
    """

    def __init__(self, work: Work, copy: Copy, remarks: Remarks, allowed: t.Collection[str]) -> None:
        self._work = work
        self._copy = copy
        self._remarks = remarks
        self._allowed = allowed  # collections of the target in which something may be overwritten or removed
        self._lock = threading.Lock()
        self._writers: Writers | None = None
        self.done = Done()

    def run(self) -> Done:
        """Write what is missing or differs, then remove what is to go.

        An object that cannot be read or written is counted, with a remark. Raises LifeboatError where nothing goes on:
        the target fails, or this copy (StoreError; DamagedError for its index).
        """
        with contextlib.ExitStack() as stack:
            if isinstance(self._work.target, WritesSeveral):
                self._writers = stack.enter_context(writers(self._work.target, self._work.threads))
                lanes = Lanes(self._work.threads, _WITH_WRITERS, before_waiting=self._writers.send)
            else:
                lanes = Lanes(self._work.threads)
            stack.enter_context(lanes)
            for collection, name in self._work.names.items():
                self._work.target.prepare(name)
                self._collection(lanes, collection, name)
                reached("restore:collection")
                for words in self._work.target.finish(name):
                    self._remarks.add(name, "", "finished", words)
        return self.done

    def _collection(self, lanes: Lanes, collection: str, name: str) -> None:
        steps = self._work.steps(self._copy, collection)
        with tempfile.SpooledTemporaryFile(_HELD) as links:
            wanted = _Wanted(self, lanes, name, self._with_parents(collection, name, steps), links)
            for row, chunks in self._copy.members(collection, wanted):
                self._bring(lanes, name, wanted.as_written(row), chunks)
            lanes.settle()
            links.seek(0)
            for line in links:
                lanes.submit(functools.partial(self.write, name, from_line(line)))
            lanes.settle()
        for step in wanted.removals():
            if step.action == plan.LEAVE:
                continue
            if step.item is not None and step.item.attributes == DIRECTORY:
                lanes.settle()  # what lies in it goes first
            lanes.submit(functools.partial(self._remove, name, step))
        lanes.settle()

    def _with_parents(self, collection: str, name: str, steps: t.Iterator[Step]) -> t.Iterator[Step]:
        """Bring the directories above what is written, where they are missing, before it."""
        if not self._work.with_parents:
            yield from steps
            return
        seen: set[str] = set()
        for step in steps:
            if step.row is not None and step.action in (plan.WRITE, plan.RENAME):
                for key in _parents(step.key):
                    if key not in seen:
                        seen.add(key)
                        self._bring_directory(collection, name, key)
                if len(seen) > _REMEMBERED:
                    seen.clear()
            yield step

    def _bring_directory(self, collection: str, name: str, key: str) -> None:
        row = self._copy.find(collection, key)
        if row is None or not plan.is_directory(row) or plan.look_up(self._work.target, name, key) is not None:
            return
        self.write(name, row)

    def _bring(self, lanes: Lanes, name: str, row: Row, chunks: t.Iterator[bytes]) -> None:
        """Write an object: a small one while the next is read, a big one as its bytes come."""
        if row.size > _HELD:
            self.write(name, row, chunks)
            return
        try:
            data = b"".join(chunks)
        except DamagedError as error:
            self._damaged(name, row, error)
            return
        target = self._work.target
        if self._writers is None or row.size > _SMALL or row.properties.get("parts"):
            lanes.submit(functools.partial(self.write, name, row, (data,)), row.size)
        elif isinstance(target, WritesSeveral):
            order = Bring(name, row, target.place(row), data)
            lanes.watch(
                functools.partial(self._writers.submit, order), functools.partial(self._end, name, row), row.size
            )

    def _end(self, name: str, row: Row, outcome: Outcome) -> None:
        """Take what came of an object that somebody else has written."""
        if isinstance(outcome, ObjectError):
            self._failed(name, row.key, outcome)
        else:
            self._written(name, row, outcome)

    def write(self, name: str, row: Row, chunks: t.Iterable[bytes] = ()) -> None:
        """Write an object with its properties."""
        try:
            written = self._work.target.write(name, row, iter(chunks))
        except ObjectError as error:
            self._failed(name, row.key, error)
        except DamagedError as error:
            self._damaged(name, row, error)
        else:
            self._written(name, row, written)

    def _written(self, name: str, row: Row, written: Written) -> None:
        reached("restore:written")
        self._work.note_written(name, row, written)
        self._count(written=1, written_bytes=row.size)
        self._note(name, row, written)

    def give_properties(self, name: str, row: Row) -> None:
        """Give an object that is there the properties of its row."""
        try:
            written = self._work.target.write_properties(name, row)
        except ObjectError as error:
            self._failed(name, row.key, error)
        else:
            reached("restore:described")
            self._count(described=1)
            self._note(name, row, written)

    def _remove(self, name: str, step: Step) -> None:
        """Remove what the backup does not have, unless something that it has could not be brought."""
        if self.done.failed or self.done.damaged:
            self._count(left=1)
            return
        self.allow(name, step)
        try:
            self._work.target.remove(name, step.key)
        except ObjectError as error:
            self._failed(name, step.key, error)
        else:
            reached("restore:removed")
            self._count(removed=1)

    def allow(self, name: str, step: Step) -> None:
        """Raise GuardRefusal (`confirm`) for a step that destroys what nobody said may be destroyed."""
        if plan.destroys(step) and name not in self._allowed:
            raise GuardRefusal(
                "confirm",
                f"Cannot restore into {name}",
                f"something that the plan did not see is there now, such as {plan.printable(step.key)}",
                "look at it, then restore again",
            )

    def settle(self, name: str, step: Step) -> bool:
        """Count a step that needs nothing to be done, and say whether it was one."""
        if step.action == plan.KEEP:
            self._count(kept=1)
        elif step.action in (plan.SKIP, plan.CONFLICT):
            self._count(skipped=1)
        elif step.action == plan.REFUSE:
            self._count(failed=1)
            self._remarks.add(name, step.key, "refused", step.why)
        else:
            return False
        return True

    def _damaged(self, name: str, row: Row, error: DamagedError) -> None:
        self._count(damaged=1)
        self._remarks.add(name, row.key, "damaged", error.cause or error.problem)

    def _failed(self, name: str, key: str, error: ObjectError) -> None:
        self._count(failed=1)
        self._remarks.add(name, key, "failed", error.cause or error.problem)

    def _note(self, name: str, row: Row, written: Written) -> None:
        if written.key != row.key:
            self._remarks.add(name, row.key, "renamed", f"it is written as {plan.printable(written.key)}")
        for words in written.remarks:
            self._remarks.add(name, row.key, "changed", words)

    def _count(self, **more: int) -> None:
        with self._lock:
            for name, number in more.items():
                setattr(self.done, name, getattr(self.done, name) + number)


def _parents(key: str) -> list[str]:
    """Return the keys of the directories above a key, the highest first."""
    names = key.split("/")
    return ["/".join(names[:depth]) for depth in range(len(names))]


class _Wanted:
    """The rows of one collection whose bytes are to be read; all else is done or put off as its step comes."""

    def __init__(
        self, restoration: Restoration, lanes: Lanes, name: str, steps: t.Iterator[Step], links: t.IO[bytes]
    ) -> None:
        self._restoration = restoration
        self._lanes = lanes
        self._name = name
        self._steps = steps
        self._links = links
        self._beside: dict[str, str] = {}  # key of a row that was asked for → other key to write it under
        self._first_removal: Step | None = None

    def __iter__(self) -> t.Iterator[Row]:
        for step in self._steps:
            if step.row is None:
                self._first_removal = step
                return
            if self._restoration.settle(self._name, step):
                continue
            self._restoration.allow(self._name, step)
            row = step.row._replace(key=step.key) if step.action == plan.RENAME else step.row
            if step.action == plan.PROPERTIES:
                self._lanes.submit(functools.partial(self._restoration.give_properties, self._name, row))
            elif row.location is not None:
                if row.key != step.row.key:
                    self._beside[step.row.key] = row.key
                yield step.row
            elif row.properties.get("type") == HARDLINK:
                self._links.write(to_line(row))  # its first name must be there before it
            else:
                self._lanes.submit(functools.partial(self._restoration.write, self._name, row))

    def as_written(self, row: Row) -> Row:
        """Return a row that was asked for as it is to be written."""
        beside = self._beside.pop(row.key, None)
        return row if beside is None else row._replace(key=beside)

    def removals(self) -> t.Iterator[Step]:
        """Yield the steps that are left when all rows were."""
        return itertools.chain([] if self._first_removal is None else [self._first_removal], self._steps)
