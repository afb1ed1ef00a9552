# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import array
import json
import tempfile
import threading
import typing as t

from .rows import Row, from_line, to_line

_IN_MEMORY = 4 * 1024 * 1024  # bytes of a spool before it goes to a temporary file
_REMEMBERED = 4096  # directories that were touched last, so that each is noted about once


class DirectoryNotes:
    """What is to be done to directories when all is in them; thousands of them do not lie in memory."""

    def __init__(self) -> None:
        self._rows = _Spool()
        self._times = _Spool()
        self._recent: dict[str, None] = {}
        self._lock = threading.Lock()

    def add_row(self, row: Row, names: t.Sequence[str]) -> None:
        """Remember that a directory, which lies under `names`, gets the properties of a row."""
        with self._lock:
            self._rows.add(json.dumps(names).encode("ascii") + b"\n" + to_line(row), len(names))

    def touch(self, names: t.Sequence[str], changed_ns: t.Callable[[], int]) -> None:
        """Remember when a directory was last changed, before it is changed by us; its first note counts."""
        key = "/".join(names)
        with self._lock:
            if key in self._recent:
                return
            if len(self._recent) >= _REMEMBERED:
                del self._recent[next(iter(self._recent))]
            self._recent[key] = None
            self._times.add(json.dumps([list(names), changed_ns()]).encode("ascii"), 0)

    def times(self) -> t.Iterator[tuple[list[str], int]]:
        """Yield the directories that were touched with the time of their last change, the latest note first."""
        for record in self._times.backwards():
            names, changed_ns = json.loads(record)
            yield names, changed_ns

    def rows(self) -> t.Iterator[tuple[Row, list[str]]]:
        """Yield the directories that get properties, the deepest first."""
        for record in self._rows.backwards():
            names, _newline, line = record.partition(b"\n")
            yield from_line(line), json.loads(names)

    def close(self) -> None:
        self._rows.close()
        self._times.close()


class _Spool:
    """Records that are read backwards, by rank and then by age; eight bytes of each stay in memory."""

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115 - until `close`
        self._offsets: dict[int, array.array[int]] = {}  # by rank
        self._end = 0

    def add(self, record: bytes, rank: int) -> None:
        framed = len(record).to_bytes(8, "big") + record
        self._file.write(framed)
        self._offsets.setdefault(rank, array.array("Q")).append(self._end)
        self._end += len(framed)

    def backwards(self) -> t.Iterator[bytes]:
        for rank in sorted(self._offsets, reverse=True):
            for offset in reversed(self._offsets[rank]):
                self._file.seek(offset)
                yield self._file.read(int.from_bytes(self._file.read(8), "big"))
        self._file.seek(self._end)

    def close(self) -> None:
        self._file.close()
