# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import array
import os
import struct
import tempfile
import typing as t

from ..errors import LifeboatError

_HELD_BYTES = 32 * 1024 * 1024  # of records in memory before they go to the file
_RECORD = struct.Struct(">QQQQ32sI")  # whole numbers first, so that records sort by place as bytes do

Place = tuple[str, int]  # id of the backup that wrote a pack, and the pack's number


class Member(t.NamedTuple):
    """What a row promises of a member of a pack."""

    offset: int  # of its first frame, in compressed bytes
    length: int  # of its frames, in compressed bytes
    inside: int  # of its first byte, in the plain bytes of its frames
    size: int  # bytes
    sha256: bytes  # of its bytes
    told_by: int  # number of the index that the row stands in, as the caller counts them


class RowSpill:
    """Rows by the pack that their bytes lie in, kept in one file without a name: it goes with the process.

    Rows come in order of keys, and packs are read one at a time: with this no pack is read twice, and memory does not
    grow with the number of rows. One thread adds; afterwards several may read.
    """

    def __init__(self, folder: str = "") -> None:
        """Use a file in `folder` (default: that for temporary files). Raises LifeboatError."""
        self._folder = folder or tempfile.gettempdir()
        self._held: dict[Place, bytearray] = {}
        self._held_bytes = 0
        self._spilled: dict[Place, array.array[int]] = {}  # offset and length of each stretch in the file, in turns
        self._end = 0
        try:
            self._file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115 - closed by `close`
        except OSError as error:
            raise self._refused(error) from error

    def add(self, place: Place, member: Member) -> None:
        """Keep what a row promises. Raises LifeboatError when the disk is full, ValueError for numbers too large."""
        try:
            record = _RECORD.pack(*member)
        except struct.error as error:
            raise ValueError(str(error)) from error
        held = self._held.setdefault(place, bytearray())
        held += record
        self._held_bytes += len(record)
        if self._held_bytes >= _HELD_BYTES:
            self._flush()

    def members(self, place: Place) -> list[Member]:
        """Return what was kept of one pack, in the order of places in it; fits in memory, as packs are small."""
        stretches = self._spilled.get(place, array.array("Q"))
        parts = [self._stretch(offset, length) for offset, length in zip(stretches[::2], stretches[1::2])]
        data = b"".join([*parts, bytes(self._held.get(place, b""))])
        records = sorted(data[start : start + _RECORD.size] for start in range(0, len(data), _RECORD.size))
        return [Member(*_RECORD.unpack(record)) for record in records]

    def places(self) -> set[Place]:
        """Return the packs that rows lie in."""
        return {*self._held, *self._spilled}

    def close(self) -> None:
        self._file.close()

    def _flush(self) -> None:
        try:
            for place, held in self._held.items():
                self._spilled.setdefault(place, array.array("Q")).extend((self._end, len(held)))
                self._file.write(held)
                self._end += len(held)
            self._file.flush()
        except OSError as error:
            raise self._refused(error) from error
        self._held, self._held_bytes = {}, 0

    def _stretch(self, offset: int, length: int) -> bytes:
        parts, end = [], offset + length
        while offset < end:
            part = os.pread(self._file.fileno(), end - offset, offset)
            if not part:
                raise LifeboatError(f"Cannot read a temporary file in {self._folder}", "it was cut", "run it again")
            parts.append(part)
            offset += len(part)
        return b"".join(parts)

    def _refused(self, error: OSError) -> LifeboatError:
        cause = error.strerror or str(error)
        return LifeboatError(f"Cannot write to {self._folder}", cause, "make room or name another folder")
