# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import bisect
import dataclasses
import json
import operator
import typing as t
import zlib

from .. import clock
from . import rows
from .segments import Ranges, Segment, SegmentNeeds, damaged

_LONGEST_LINE = 4 * 1024 * 1024  # bytes; a line has two keys and up to 512 owners, far less than this
_BLOCK = 128  # segments that a SegmentList packs together
_FIELDS = [field.name for field in dataclasses.fields(Segment)]
_members = operator.attrgetter(*_FIELDS)
_as_json = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode


def to_lines(segments: t.Iterable[Segment]) -> t.Iterator[bytes]:
    """Yield the lines of a segment list: JSON arrays, ASCII, each ended by a line feed."""
    for each in segments:
        yield _as_json(_members(each)).encode("ascii") + b"\n"


def parse(chunks: t.Iterable[bytes], what: str) -> t.Iterator[Segment]:
    """Yield the segments of a list, given as chunks of any length; `what` names it in errors.

    Raises DamagedError when a line is none, or when segments overlap or are not in the order of collection and key.
    """
    before: tuple[bytes, bytes] | None = None
    for line in _lines(chunks, what):
        try:
            segment = _from_line(line)
            first, last = _place(segment.collection, segment.first), _place(segment.collection, segment.last)
        except (TypeError, ValueError) as error:
            raise damaged(what, str(error)) from error
        if last < first or (before is not None and first <= before):
            raise damaged(what, f"the segment that begins at {segment.first!r} is not in its place")
        before = last
        yield segment


class SegmentList:
    """All segments of one backup in order, packed in memory: about 110 bytes each, 5 MB for ten million objects."""

    def __init__(self, segments: t.Iterable[Segment] = ()) -> None:
        self._blocks: list[bytes] = []  # compressed lines of up to _BLOCK segments of one collection
        self._lasts: list[tuple[bytes, bytes]] = []  # place of the last row of each block
        self._names: list[str] = []  # collections, in order
        self._open: list[Segment] = []  # the segments of the block that is not packed yet
        self._count = 0
        for segment in segments:
            self.append(segment)
        self._pack()

    def append(self, segment: Segment) -> None:
        """Add a segment that comes after all others."""
        if self._open and (len(self._open) == _BLOCK or self._open[0].collection != segment.collection):
            self._pack()
        if not self._names or self._names[-1] != segment.collection:
            self._names.append(segment.collection)
        self._open.append(segment)
        self._count += 1

    def __len__(self) -> int:
        return self._count

    def collections(self) -> list[str]:
        """Return the collections that have segments, in order."""
        return list(self._names)

    def __iter__(self) -> t.Iterator[Segment]:
        self._pack()
        for block in self._blocks:
            yield from _unpacked(block)

    def of(self, collection: str, key: str = "") -> t.Iterator[Segment]:
        """Yield the segments of a collection, from the one on that could hold `key`."""
        self._pack()
        wanted = _place(collection, key)
        for block in self._blocks[bisect.bisect_left(self._lasts, wanted) :]:
            for segment in _unpacked(block):
                if segment.collection != collection:
                    return
                if rows.order(segment.last) >= wanted[1]:
                    yield segment

    def _pack(self) -> None:
        if self._open:
            self._blocks.append(zlib.compress(b"".join(to_lines(self._open)), 1))
            self._lasts.append(_place(self._open[-1].collection, self._open[-1].last))
            self._open = []


def _unpacked(block: bytes) -> t.Iterator[Segment]:
    return map(_from_line, zlib.decompress(block).splitlines())


def _place(collection: str, key: str) -> tuple[bytes, bytes]:
    return rows.order(collection), rows.order(key)


def _lines(chunks: t.Iterable[bytes], what: str) -> t.Iterator[bytes]:
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        yield from whole
        if len(rest) > _LONGEST_LINE:
            raise damaged(what, "a line has no end")
    if rest:
        raise damaged(what, "its last line has no end")


def _from_line(line: bytes) -> Segment:
    fields = json.loads(line)
    if not isinstance(fields, list) or len(fields) != len(_FIELDS):
        raise ValueError("a line is no segment")
    collection, first, last, count, size, sha256, listing, owner, file, offset, length, needs = fields
    if not all(isinstance(text, str) for text in (collection, first, last, sha256, listing)):
        raise ValueError("a member of a segment has another type")
    if not all(map(rows.is_count, (count, size, file, offset, length))) or count == 0:
        raise ValueError("a segment has a number that is none")
    place = (_owner(owner), file, offset, length)
    return Segment(collection, first, last, count, size, sha256, listing, *place, _needs(needs))


def _owner(owner: t.Any) -> str:
    if not isinstance(owner, str) or not clock.is_backup_id(owner):
        raise ValueError(f"{owner!r} is not a backup id")
    return owner


def _needs(needs: t.Any) -> SegmentNeeds:
    return tuple((_owner(owner), _ranges(pairs)) for owner, pairs in needs)


def _ranges(pairs: t.Any) -> Ranges:
    found = tuple((first, last) for first, last in pairs)
    if not all(rows.is_count(first) and rows.is_count(last) and first <= last for first, last in found):
        raise ValueError(f"{pairs!r} are not ranges")
    return found
