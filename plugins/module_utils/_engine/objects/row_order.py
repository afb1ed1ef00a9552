# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import heapq
import json
import tempfile
import typing as t

from .rows import Location, Row, from_line, to_line

_HELD_ROWS = 16_384  # about 25 MB; more are sorted in a temporary file
_BUFFER = 16 * 1024  # bytes that are read at once of each sorted run


class Placed(t.NamedTuple):
    """A row whose object has bytes in a pack."""

    collection: str
    row: Row
    place: Location


def in_order_of_packs(rows: t.Iterable[tuple[str, Row]], folder: str = "") -> t.Generator[Placed, None, None]:
    """Yield rows in the order in which their bytes lie in packs; all are taken before the first one comes back.

    Many rows are sorted in pieces, in a temporary file in `folder` (default: that for temporary files). Rows without
    bytes of their own come first.
    """
    held: list[Placed] = []
    with tempfile.TemporaryFile(dir=folder or None) as file:
        runs: list[tuple[int, int]] = []  # where each sorted piece begins and ends
        for collection, row in rows:
            held.append(Placed(collection, row, row.location or Location("", 0, 0, 0, 0)))
            if len(held) >= _HELD_ROWS:
                runs.append(_write(file, sorted(held, key=_order)))
                held.clear()
        held.sort(key=_order)
        file.flush()
        pieces = [_read(file, *run) for run in runs]
        yield from heapq.merge(*pieces, held, key=_order)


def _order(one: Placed) -> tuple[str, int, int, int]:
    """Order members by pack and frame; a member of the same frames comes after those before it."""
    return one.place.owner, one.place.pack, one.place.offset, one.place.inside


def _write(file: t.IO[bytes], placed: t.Iterable[Placed]) -> tuple[int, int]:
    start = file.tell()
    for one in placed:
        file.write(json.dumps(one.collection).encode("ascii") + b"\n" + to_line(one.row))
    return start, file.tell()


def _read(file: t.IO[bytes], start: int, end: int) -> t.Iterator[Placed]:
    lines = _lines(file, start, end)
    for collection, line in zip(lines, lines):
        row = from_line(line)
        yield Placed(json.loads(collection), row, row.location or Location("", 0, 0, 0, 0))


def _lines(file: t.IO[bytes], start: int, end: int) -> t.Iterator[bytes]:
    rest = b""
    while start < end:
        file.seek(start)
        data = file.read(min(_BUFFER, end - start))
        start += len(data)
        *lines, rest = (rest + data).split(b"\n")
        yield from lines
