# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
import hashlib
import json
import typing as t

from ..errors import DamagedError
from . import rows
from .rows import Item, Row

# Sizes of segments, in rows. Small ones make lists of segments long; large ones make a changed object dear.
USUAL = 256  # what a long run of rows is cut into
MOST = 512
LEAST = 64  # fewer only where the whole collection has fewer
TOGETHER = 384  # neighbours with at most so many rows together become one when one of them is written anyway
HEAVY = 4 * 1024 * 1024  # bytes of rows with long properties above which a segment shall be smaller, down to LEAST
_REMEDY = "use another copy of the backup"
_as_json = json.JSONEncoder(separators=(",", ":")).encode

Ranges = tuple[tuple[int, int], ...]  # of numbers, first and last included, ascending, with gaps between them
SegmentNeeds = tuple[tuple[str, Ranges], ...]  # id of a backup, and which of its packs; ordered by id


@dataclasses.dataclass(frozen=True)
class Segment:
    """A stretch of an index that is written and taken over as one: rows of one collection in order."""

    collection: str
    first: str  # key of its first row
    last: str  # key of its last row
    rows: int  # how many; 1 or more
    size: int  # bytes of all its objects
    sha256: str  # of its plain bytes, hexadecimal
    listing: str  # `listing_digest` of its rows
    owner: str  # id of the backup that wrote it
    file: int  # number of that backup's index in its files.jsonl
    offset: int  # of its frame in that index, in compressed bytes
    length: int  # of its frame, in compressed bytes
    needs: SegmentNeeds  # the packs that its rows lie in


def listing_digest(items: t.Iterable[Item]) -> str:
    """Return the SHA-256 (hexadecimal) of what a listing shows of some objects.

    It is taken of the five fields of each item, each followed by a NUL; where a field itself holds a NUL, of the items
    as JSON, which never does (docs/format.md, "Listing digest"). This is most of what an unchanged object costs.
    """
    listed = list(items)
    text = "".join([f"{key}\0{size}\0{etag}\0{time}\0{rest}\0" for key, size, etag, time, rest in listed])
    if text.count("\0") != len(Item._fields) * len(listed):
        text = _as_json(listed)
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def encode(segment: t.Sequence[Row]) -> bytes:
    """Return the plain bytes of a segment: a line per row."""
    return b"".join(map(rows.to_line, segment))


def decode(data: bytes, what: str) -> list[Row]:
    """Read the plain bytes of a segment; `what` names it in errors. Raises DamagedError, also for a wrong order."""
    try:
        if not data.endswith(b"\n"):
            raise ValueError("its last line has no end")
        found = [rows.from_line(line) for line in data[:-1].split(b"\n")]
        keys = [rows.order(row.key) for row in found]
    except ValueError as error:
        raise damaged(what, str(error)) from error
    for before, after in zip(keys, keys[1:]):
        if before >= after:
            raise damaged(what, f"row {after!r} stands after row {before!r}")
    return found


def damaged(what: str, cause: str) -> DamagedError:
    """Return the error for a part of an index that cannot be used."""
    return DamagedError(f"Cannot read {what}", f"damaged: {cause}", _REMEDY)


def needs_of(segment: t.Iterable[Row]) -> SegmentNeeds:
    """Return the packs in which the bytes of some rows lie."""
    packs: dict[str, set[int]] = {}
    for row in segment:
        if row.location is not None:
            packs.setdefault(row.location.owner, set()).add(row.location.pack)
    return tuple((owner, ranges(sorted(packs[owner]))) for owner in sorted(packs))


def ranges(numbers: t.Iterable[int]) -> Ranges:
    """Return ascending numbers as ranges."""
    found: list[tuple[int, int]] = []
    for number in numbers:
        if found and found[-1][1] == number - 1:
            found[-1] = (found[-1][0], number)
        else:
            found.append((number, number))
    return tuple(found)


def pieces(count: int, size: int) -> int:
    """Return into how many segments `count` rows of `size` plain bytes are cut evenly."""
    by_rows = 1 if count <= MOST else (count + USUAL // 2) // USUAL
    by_size = min(-(-size // HEAVY), count // LEAST)
    return max(1, by_rows, by_size)


def belong_together(run: int, size: int, neighbour: int) -> bool:
    """Say whether a run of rows, of `size` plain bytes, that is written joins a neighbouring segment of so many rows.

    The second rule is what keeps small daily additions at one place from becoming a chain of ever more small segments;
    what it joins is cut again only beyond MOST rows, so that nothing swings.
    """
    return run < LEAST or neighbour < LEAST or (run + neighbour <= TOGETHER and size <= HEAVY // 2)
