# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import hashlib
import zlib
from dataclasses import dataclass

_END = b"\\.\n"  # ends the data of COPY; data never look like it, because COPY doubles each backslash
_LONG_ROW = 256 * 1024  # bytes; the beginning of a longer row is hashed before its end has come


@dataclass(frozen=True)
class RowSums:
    """A table's rows whatever their order: sums over all rows of two checksums of 32 bits.

    A row that changed goes unnoticed with a chance of about 2^-32 by the first sum alone; together with the second and
    with the count of bytes it takes a forger, against whom the SHA-256 of the archive stands.
    """

    crc32: int
    adler32: int


class RowDigest:
    """Rows of one table, as COPY writes them, fed in pieces that end anywhere; memory does not grow with rows or their
    length."""

    def __init__(self, with_sums: bool) -> None:
        self.rows = 0
        self.size_bytes = 0
        self._ordered = hashlib.blake2b(digest_size=32)
        self._with_sums = with_sums
        self._crc32 = 0
        self._adler32 = 0
        self._begun: tuple[int, int] | None = None  # checksums of the row whose beginning has been taken
        self._order: tuple[int, ...] = ()  # of fields; empty: as they come

    def arrange(self, order: tuple[int, ...]) -> None:
        """Take the fields of the rows from here on in another order, such as (2, 0, 1); empty: as they come.

        A row is then kept in memory as a whole.
        """
        self._order = order

    def take(self, buffer: bytes, start: int) -> tuple[int, bool]:
        """Take rows from `buffer[start:]`; return up to where they were taken and whether the end of the data was met.

        What was not taken must come again, with more behind it.
        """
        if self._begun is None and buffer.startswith(_END, start):
            return start + len(_END), True
        marker = buffer.find(b"\n" + _END, start)
        if marker >= 0:
            self._take_lines(buffer, start, marker + 1)
            return marker + 1 + len(_END), True
        stop = buffer.rfind(b"\n", start) + 1
        if stop > start:
            self._take_lines(buffer, start, stop)
            start = stop
        if len(buffer) - start > _LONG_ROW and not self._order:
            self._take_beginning(buffer[start:])
            start = len(buffer)
        return start, False

    @property
    def ordered(self) -> str:
        """Return the digest of all rows in their order: BLAKE2b, 256 bits, as hex."""
        return self._ordered.hexdigest()

    @property
    def sums(self) -> RowSums | None:
        """Return the sums that do not depend on the order, if they were asked for."""
        return RowSums(self._crc32, self._adler32) if self._with_sums else None

    def _take_lines(self, buffer: bytes, start: int, stop: int) -> None:
        if self._order:
            buffer = _arranged(buffer[start : stop - 1], self._order)
            start, stop = 0, len(buffer)
        self._ordered.update(memoryview(buffer)[start:stop])
        self.size_bytes += stop - start
        self.rows += buffer.count(b"\n", start, stop)
        if self._with_sums:
            self._add_rows(buffer, start, stop)
        self._begun = None

    def _add_rows(self, buffer: bytes, start: int, stop: int) -> None:
        if self._begun is not None:
            end = buffer.index(b"\n", start)
            rest = buffer[start:end]
            self._crc32 += zlib.crc32(rest, self._begun[0])
            self._adler32 += zlib.adler32(rest, self._begun[1])
            start = end + 1
        if start < stop:
            # Splitting, mapping and summing all run in C: a loop over rows in Python would be five times slower.
            rows = buffer[start : stop - 1].split(b"\n")
            self._crc32 += sum(map(zlib.crc32, rows))
            self._adler32 += sum(map(zlib.adler32, rows))

    def _take_beginning(self, piece: bytes) -> None:
        self._ordered.update(piece)
        self.size_bytes += len(piece)
        crc32, adler32 = self._begun or (0, 1)
        if self._with_sums:
            crc32, adler32 = zlib.crc32(piece, crc32), zlib.adler32(piece, adler32)
        self._begun = (crc32, adler32)


def _arranged(lines: bytes, order: tuple[int, ...]) -> bytes:
    """Return lines with their fields in another order; COPY has no tabulators within fields."""
    rows = (line.split(b"\t") for line in lines.split(b"\n"))
    return b"".join(b"\t".join([row[number] for number in order]) + b"\n" for row in rows)
