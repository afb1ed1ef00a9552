# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import collections
import typing as t

from .changes import Gone, Kept, Taken, Wanted
from .entropy import Read, Rewritten
from .guards import Comparison
from .rows import Row, order
from .segments import Segment

Step = t.Union[Kept, Taken, Wanted, Gone]


class Tally:
    """Counts what a run finds and writes, against its base; memory does not grow with the number of objects."""

    def __init__(self, own_id: str) -> None:
        self._own_id = own_id  # of the run: by it rows are told that were read now
        self.objects = 0  # in the new backup
        self.bytes = 0  # their sizes
        self.base_objects = 0
        self.added = 0
        self.gone = 0
        self.described = 0  # whose properties alone are new
        self.read_objects = 0
        self.read_bytes = 0
        self.emptied: dict[str, int] = {}  # collections with none left → how many they had
        self.rewritten = Rewritten()

    def collection(self, name: str) -> CollectionTally:
        """Return what counts one collection; begin the next one when it has ended."""
        return CollectionTally(self, name)

    def lost(self, name: str, segments: t.Iterable[Segment]) -> None:
        """Count a collection of the base that the source does not have any more."""
        count = sum(segment.rows for segment in segments)
        self.base_objects += count
        self.gone += count
        self.emptied[name] = count

    def took(self, row: Row, base: Row | None) -> None:
        """Count a finished row that was to be read or described."""
        if row.location is not None and row.location.owner == self._own_id:
            self.read_objects += 1
            self.read_bytes += row.size
        if base is None:
            self.added += 1
        elif row.sha256 != base.sha256:
            self.rewritten.add(base, row)
        elif row != base:
            self.described += 1

    def compared(self, read: Read) -> Comparison:
        """Return what guards judge by; looks into a sample of the rewritten objects."""
        sampled, jumped = self.rewritten.measure(read) if self.base_objects else (0, 0)
        return Comparison(self.base_objects, self.gone, self.rewritten.count, self.emptied, sampled, jumped)

    def statistics(self) -> dict[str, int]:
        """Return the counts that a manifest keeps."""
        return {
            "objects": self.objects,
            "bytes": self.bytes,
            "added": self.added,
            "rewritten": self.rewritten.count,
            "described": self.described,
            "gone": self.gone,
            "read_objects": self.read_objects,
            "read_bytes": self.read_bytes,
        }


class CollectionTally:
    """Listens at three places of the pipeline of one collection: the base, the changes, the finished rows."""

    def __init__(self, tally: Tally, name: str) -> None:
        self._tally = tally
        self._name = name
        self._base_rows = 0
        self._rows = 0
        # What is being read, in the order of keys: the key's bytes, and what the base has.
        self._pending: collections.deque[tuple[bytes, Row | None]] = collections.deque()

    def base(self, segments: t.Iterable[Segment]) -> t.Iterator[Segment]:
        for segment in segments:
            self._base_rows += segment.rows
            yield segment

    def steps(self, steps: t.Iterable[Step]) -> t.Iterator[Step]:
        for step in steps:
            if isinstance(step, Gone):
                self._tally.gone += 1
            elif isinstance(step, Wanted):
                self._pending.append((order(step.item.key), step.base))
            yield step

    def rows(self, rows: t.Iterable[Row | Taken]) -> t.Iterator[Row | Taken]:
        for row in rows:
            if isinstance(row, Taken):
                self._count(row.segment.rows, row.segment.size)
            else:
                self._count(1, row.size)
                self._finished(row)
            yield row
        self._drop_before(None)
        self._tally.base_objects += self._base_rows
        if self._base_rows and not self._rows:
            self._tally.emptied[self._name] = self._base_rows

    def _count(self, rows: int, size: int) -> None:
        self._rows += rows
        self._tally.objects += rows
        self._tally.bytes += size

    def _finished(self, row: Row) -> None:
        key = order(row.key)
        self._drop_before(key)
        if self._pending and self._pending[0][0] == key:
            self._tally.took(row, self._pending.popleft()[1])

    def _drop_before(self, key: bytes | None) -> None:
        """Count objects as gone that were to be read and that no row came of."""
        while self._pending and (key is None or self._pending[0][0] < key):
            self._tally.gone += self._pending.popleft()[1] is not None
