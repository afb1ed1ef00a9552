# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import hashlib
import typing as t

from . import segments
from .changes import Taken
from .rows import Row, order, to_line
from .segments import Segment

Load = t.Callable[[Segment], list[Row]]


class Line(t.NamedTuple):
    """A row and what it is in an index; encoded once, however often it is moved."""

    row: Row
    data: bytes


def segmented(
    steps: t.Iterable[Row | Taken], base: t.Iterable[Segment], load: Load
) -> t.Iterator[Segment | list[Line]]:
    """Cut the rows of one collection into segments: yield those of the base that stay, and the lines of new ones.

    `steps` are in the order of keys, `base` are all segments of this collection in the base, `load` reads the rows of
    one. New segments have LEAST to MOST rows (fewer where the collection has fewer); a neighbour is loaded where that
    is needed for it. Memory: the rows of a few segments. Raises ValueError when `steps` are not in order.
    """
    return _cut(_recognised(steps, base), load)


def _recognised(steps: t.Iterable[Row | Taken], base: t.Iterable[Segment]) -> t.Iterator[Segment | Line]:
    """Yield steps in order, and a segment of the base instead of its rows where all of them came out unchanged.

    So objects that are read or refused again and again, with the same outcome, do not make new segments.
    """
    same = _Same(base)
    for step in _in_order(steps):
        if isinstance(step, Taken):
            yield from same.pass_by(order(step.segment.last))
            yield step.segment
        else:
            yield from same.pass_by(order(step.key), Line(step, to_line(step)))
    yield from same.rest()


class _Same:
    """Compares rows with the segments of the base as they pass by."""

    def __init__(self, base: t.Iterable[Segment]) -> None:
        self._base = iter(base)
        self._lines: list[Line] = []  # rows that may turn out to be all of the segment
        self._next()

    def pass_by(self, place: bytes, line: Line | None = None) -> t.Iterator[Segment | Line]:
        """Pass `place`, the bytes of a key, with the row there, and yield what is decided by that."""
        while self._segment is not None and self._last < place:
            yield from self.rest()
            self._next()
        if line is None:
            return
        if self._segment is None or place < self._first or len(self._lines) == self._segment.rows:
            yield from self._take_lines()
            yield line
        else:
            self._lines.append(line)

    def rest(self) -> t.Iterator[Segment | Line]:
        """Yield what is left: the segment when all its rows are here, else the rows."""
        lines = self._take_lines()
        if self._segment is not None and len(lines) == self._segment.rows:
            digest = hashlib.sha256(b"".join([line.data for line in lines])).hexdigest()
            if digest == self._segment.sha256:
                yield self._segment
                return
        yield from lines

    def _take_lines(self) -> list[Line]:
        lines, self._lines = self._lines, []
        return lines

    def _next(self) -> None:
        self._segment = next(self._base, None)
        if self._segment is not None:
            self._first, self._last = order(self._segment.first), order(self._segment.last)


def _in_order(steps: t.Iterable[Row | Taken]) -> t.Iterator[Row | Taken]:
    before: bytes | None = None
    for step in steps:
        key = step.segment.first if isinstance(step, Taken) else step.key
        first = order(key)
        if before is not None and first <= before:
            raise ValueError(f"the row of {key!r} is not in the order of keys")
        before = order(step.segment.last) if isinstance(step, Taken) else first
        yield step


class _Run:
    """Rows that follow each other and have no segment yet."""

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self.size = 0  # bytes of all lines

    def __len__(self) -> int:
        return len(self.lines)

    def add(self, line: Line) -> None:
        self.lines.append(line)
        self.size += len(line.data)

    def join(self, rows: t.Iterable[Row], is_before: bool) -> None:
        more = [Line(row, to_line(row)) for row in rows]
        self.size += sum(len(line.data) for line in more)
        self.lines = more + self.lines if is_before else self.lines + more

    def belongs_to(self, neighbour: Segment | None) -> bool:
        return neighbour is not None and segments.belong_together(len(self), self.size, neighbour.rows)

    def is_long(self) -> bool:
        """Say whether a segment can be cut off in front, with enough left whatever follows."""
        return len(self) >= 2 * segments.MOST or (self.size >= 2 * segments.HEAVY and len(self) >= 3 * segments.LEAST)

    def cut(self) -> list[Line]:
        """Cut off the first of the segments that these rows become."""
        return self._cut(len(self) // segments.pieces(len(self), self.size))

    def cut_all(self) -> t.Iterator[list[Line]]:
        """Cut everything evenly."""
        for pieces in range(segments.pieces(len(self), self.size), 0, -1):
            if self.lines:
                yield self._cut(len(self) // pieces)

    def _cut(self, count: int) -> list[Line]:
        cut, self.lines = self.lines[:count], self.lines[count:]
        self.size -= sum(len(line.data) for line in cut)
        return cut


def _cut(parts: t.Iterable[Segment | Line], load: Load) -> t.Iterator[Segment | list[Line]]:
    run = _Run()
    held: Segment | None = None  # the segment before the run: it stays unless the run belongs to it
    for part in parts:
        if held is not None and not run and (_is_small(held) or _is_small(part)):
            run.join(load(held), is_before=True)
            held = None
        if isinstance(part, Line):
            run.add(part)
        else:
            held = _joined_before(run, held, part, load)
            if run and run.belongs_to(part):
                run.join(load(part), is_before=False)
            else:
                yield from _ended(run, held)
                held = part
        while run.is_long():
            yield from _ended(None, held)
            held = None
            yield run.cut()
    held = _joined_before(run, held, None, load)
    yield from _ended(run, held)


def _is_small(part: Segment | Line) -> bool:
    return isinstance(part, Segment) and part.rows < segments.LEAST


def _joined_before(run: _Run, held: Segment | None, after: Segment | None, load: Load) -> Segment | None:
    """Join the segment before a run to it, where it belongs there more than to the one after; return it where not."""
    if not run or held is None or not run.belongs_to(held):
        return held
    if after is not None and run.belongs_to(after) and after.rows < held.rows:
        return held
    run.join(load(held), is_before=True)
    return None


def _ended(run: _Run | None, held: Segment | None) -> t.Iterator[Segment | list[Line]]:
    if held is not None:
        yield held
    if run is not None:
        yield from run.cut_all()
