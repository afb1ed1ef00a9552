# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import collections
import dataclasses
import functools
import hashlib
import itertools
import threading
import typing as t

from . import restore_plan as plan
from .file_properties import HARDLINK
from .restore_lanes import Lanes
from .restore_plan import Policy, Selected, Step
from .rows import Item, Row
from .scope import Boundary, Scope
from .source import ObjectError, Source
from .target import OTHER, SAME, UNKNOWN, UNLIKELY, HasBoundary, LooksCloser, Target, Written

THREADS = 24  # requests or files at once
_HELD = 4 * 1024 * 1024  # bytes of an object that is read at once
_IN_PARTS = 16 * 1024 * 1024  # bytes from which on objects may be written in parts
_MOUNTS_SHOWN = 5  # file systems that a plan names
_LOOK_AHEAD = 512  # objects that are compared at once
_MOST_WRITTEN = 100_000  # objects that are remembered, not to be looked at again
_TRIALS = 3  # objects of a collection that are read because their ETags may tell nothing
_TRIED = 1024 * 1024  # bytes of such an object at most


class Copy(t.Protocol):
    """One copy of a backup, to be read."""

    def rows(self, collection: str, prefix: str = "") -> t.Iterator[Row]:
        """Yield the rows of a collection whose keys begin with `prefix`, in order. Raises DamagedError."""

    def find(self, collection: str, key: str) -> Row | None:
        """Return one row. Raises DamagedError."""

    def members(self, collection: str, rows: t.Iterable[Row]) -> t.Iterator[tuple[Row, t.Iterator[bytes]]]:
        """Yield rows that have bytes in packs with these bytes, in an order that suits the packs.

        The bytes of one are to be taken before the next one is asked for. They raise DamagedError, at the latest at
        their end, where they are not what the row promises; the rows that follow can be read all the same.
        """


class Trials:
    """Finds out in which collections of a target unequal ETags do not tell unequal contents: not every server, nor
    the one that was backed up, makes MD5 sums of them. A few small objects are read for it. Threads may share it.
    """

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._made: collections.Counter[str] = collections.Counter()
        self._misleading: set[str] = set()

    def verdict(self, name: str, row: Row, is_same: t.Callable[[], bool]) -> str:
        """Return SAME, OTHER, or UNKNOWN of an object of collection `name` that has another ETag than its row."""
        with self._guard:  # the others wait for what a trial shows
            if name in self._misleading:
                return UNKNOWN
            if self._made[name] >= _TRIALS or row.size > _TRIED or not row.sha256:
                return OTHER
            self._made[name] += 1
            if not is_same():
                return OTHER
            self._misleading.add(name)
            return SAME


@dataclasses.dataclass(frozen=True)
class Work:
    """What is to be brought where."""

    target: Target
    names: t.Mapping[str, str]  # of the collections in the backup → of those at the target
    policy: Policy
    selected: Selected = plan.everything
    prefix: str = ""  # what all selected keys begin with
    reader: Source | None = None  # reads the target; needed where contents are compared
    by_content: bool = False  # do not believe what a listing says of what is there: it can be made to look so
    threads: int = THREADS
    with_parents: bool = False  # restore the directories above what is selected, where they are missing
    scope: Scope = dataclasses.field(default_factory=Scope)  # what the backup was to have: no more than that goes
    # Collection of the backup → keys of what it cannot know, with all below → why: that stays.
    unknown: t.Mapping[str, t.Mapping[str, str]] = dataclasses.field(default_factory=dict)
    # Collection and key of what this run has written, where the row's ETag does not tell afterwards that it is the same
    # → the ETag that it got, if that is known.
    written: dict[tuple[str, str], str] = dataclasses.field(default_factory=dict)
    trials: Trials = dataclasses.field(default_factory=Trials)
    # Collection and key where other file systems are mounted, which an exact restore leaves alone.
    mounts: set[tuple[str, str]] = dataclasses.field(default_factory=set)

    def steps(self, copy: Copy, collection: str) -> t.Iterator[Step]:
        """Yield the steps of a collection of the backup, with contents compared where that is asked for."""
        name = self.names[collection]
        rows = _with_bytes_of_links(copy, collection, self.selected, self.prefix)
        boundary = Boundary(
            self.scope,
            lambda below: next(copy.rows(collection, below), None) is not None,
            lambda key: self.mounts.add((name, key)),
            self.unknown.get(collection, {}),
        )
        if self.policy.exact and isinstance(self.target, HasBoundary):
            present = self.target.items_within(name, self.prefix, boundary)
        else:
            present = self.target.items(name, self.prefix)
        unsure: set[str] = set()  # keys of rows that are to be looked at more closely
        judge = functools.partial(self._may_be_same, name, unsure)
        found = plan.steps(rows, present, self.target, name, self.policy, self.selected, judge, boundary.why_left)
        looks = self.by_content or isinstance(self.target, LooksCloser)
        return self._compared(name, found, unsure) if looks else found

    @property
    def notes(self) -> list[str]:
        """Say which file systems that are mounted below the target were met, as an exact restore leaves them alone."""
        names = [plan.printable(f"{name.rstrip('/')}/{key}") for name, key in sorted(self.mounts)]
        more = f", and {len(names) - _MOUNTS_SHOWN:,} more" if len(names) > _MOUNTS_SHOWN else ""
        return [f"nothing is removed on what is mounted at {', '.join(names[:_MOUNTS_SHOWN])}{more}"] if names else []

    def tally(self, copy: Copy, file: t.BinaryIO | None = None) -> plan.Tally:
        """Return what a restore would do; every step goes to `file` as a line of JSON, where there is one."""
        counter = plan.Counter(file)
        for collection, name in self.names.items():
            for step in self.steps(copy, collection):
                counter.add(name, step)
        return counter.tally()

    def note_written(self, name: str, row: Row, written: Written) -> None:
        """Remember an object that was just written, if its listing may not tell that."""
        is_told = row.size < _IN_PARTS and "-" not in row.etag and written.etag in ("", row.etag)
        if not is_told and len(self.written) < _MOST_WRITTEN:
            self.written[name, row.key] = written.etag

    def _may_be_same(self, name: str, unsure: set[str], row: Row, item: Item) -> bool:
        """Say whether an object may be the same although the listing does not tell: `unsure` gets what is not sure."""
        if self._is_own(name, row, item) or self._is_same_by_content(name, row, item):
            return True
        if isinstance(self.target, LooksCloser) and self.reader is not None and self.target.is_unsure(row, item):
            unsure.add(row.key)
            return True
        return False

    def _is_own(self, name: str, row: Row, item: Item) -> bool:
        """Say whether this run wrote just what is there."""
        return not self.by_content and bool(item.etag) and self.written.get((name, row.key)) == item.etag

    def _is_same_by_content(self, name: str, row: Row, item: Item) -> bool:
        """Say whether an object is the same but for an ETag that tells nothing: it may be made of other parts."""
        if row.size != item.size or not row.sha256 or self.reader is None:
            return False
        if not (self.by_content or "-" in row.etag or "-" in item.etag):
            return False
        if not self.target.is_same(row._replace(etag=item.etag), item):
            return False
        if self.by_content or (name, row.key) in self.written:
            return True  # it is read with many others (`_decided`), or was written just now
        return digest_of(self.reader, name, item) == row.sha256

    def _compared(self, name: str, found: t.Iterator[Step], unsure: set[str]) -> t.Iterator[Step]:
        """Yield the steps when those are decided that the listing left open, many of them at once."""
        with Lanes(self.threads) as lanes:
            for group in _groups(found, _LOOK_AHEAD):
                if self.by_content or unsure:
                    yield from lanes.map(lambda step: self._decided(name, step, unsure), group)
                    unsure.clear()
                else:
                    yield from group

    def _decided(self, name: str, step: Step, unsure: t.Collection[str]) -> Step:
        """Return what is to be done once more is known of what is at the target."""
        row, item = step.row, step.item
        if step.action not in (plan.KEEP, plan.PROPERTIES) or row is None or item is None or self.reader is None:
            return step
        verdict, reader = SAME, self.reader
        if row.key in unsure and isinstance(self.target, LooksCloser):
            verdict = self.target.look(name, row, item)
        if verdict == UNLIKELY:
            verdict = self.trials.verdict(name, row, lambda: digest_of(reader, name, item) == row.sha256)
        if row.sha256 and (verdict == UNKNOWN or (verdict == SAME and self.by_content)):
            verdict = SAME if digest_of(reader, name, item) == row.sha256 else OTHER
        return step if verdict != OTHER else plan.differing(row, step.key, item, self.target, name, self.policy)


def digest_of(reader: Source, collection: str, item: Item) -> str:
    """Return the SHA-256 of what lies at a target; nothing where it changed or vanished meanwhile."""
    digest = hashlib.sha256()
    try:
        if item.size <= _HELD:
            digest.update(reader.read_whole(collection, item)[1])
        else:
            there = reader.describe(collection, item).item
            for chunk in reader.read_range(collection, there, 0, there.size):
                digest.update(chunk)
    except ObjectError:
        return ""
    return digest.hexdigest()


def _groups(found: t.Iterator[Step], most: int) -> t.Iterator[list[Step]]:
    while True:
        group = list(itertools.islice(found, most))
        if not group:
            return
        yield group


def _with_bytes_of_links(copy: Copy, collection: str, selected: Selected, prefix: str) -> t.Iterator[Row]:
    """Yield the rows; a hard link to a file that is not restored becomes that file."""
    for row in copy.rows(collection, prefix):
        if row.properties.get("type") == HARDLINK and selected(row.key):
            first = str(row.properties.get("target", ""))
            if not (selected(first) and first.startswith(prefix)):
                yield _standing_alone(row, copy.find(collection, first))
                continue
        yield row


def _standing_alone(row: Row, first: Row | None) -> Row:
    if first is None or first.location is None:
        return row
    own = {name: value for name, value in row.properties.items() if name not in ("type", "target")}
    return row._replace(
        size=first.size,
        attributes=first.attributes,
        sha256=first.sha256,
        location=first.location,
        properties={**first.properties, **own},
    )
