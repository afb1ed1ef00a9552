# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import heapq
import typing as t
import zlib

from ..errors import LifeboatError
from .rows import Row, order

SAMPLE = 32  # rewritten objects that are looked into
_LOOKED_AT = 64 * 1024  # bytes of each, from its beginning
_LEAST = 256  # bytes; what is shorter hardly compresses
_COMPRESSIBLE = 0.90  # of its size; encrypted and compressed formats stay above 0.99, text stays below 0.5

Read = t.Callable[[Row], t.Iterator[bytes]]  # yields the plain bytes of an object from the repository


class Rewritten:
    """Objects whose bytes have changed: all are counted, and a sample is kept to be looked into.

    The sample are the objects with the smallest checksums of their keys: the same for the same objects, without order,
    in constant memory.
    """

    def __init__(self) -> None:
        self.count = 0
        self._kept: list[tuple[int, int, Row, Row]] = []  # a heap, the largest checksum first

    def add(self, before: Row, after: Row) -> None:
        """Take an object as the base has it and as it was read now."""
        self.count += 1
        if before.location is None or after.location is None or min(before.size, after.size) < _LEAST:
            return
        entry = (-zlib.crc32(order(after.key)), self.count, before, after)
        if len(self._kept) < SAMPLE:
            heapq.heappush(self._kept, entry)
        else:
            heapq.heappushpop(self._kept, entry)

    def measure(self, read: Read) -> tuple[int, int]:
        """Return how many objects were looked into, and how many could be compressed before and cannot any more.

        What cannot be read any more tells nothing and is left out; the proof of the backup is not made here.
        """
        sampled = jumped = 0
        for _rank, _number, before, after in self._kept:
            with contextlib.suppress(LifeboatError):
                had = is_compressible(_beginning(read(before)))
                has = is_compressible(_beginning(read(after)))
                sampled += 1
                jumped += had and not has
        return sampled, jumped


def is_compressible(data: bytes) -> bool:
    """Say whether the fastest deflate (RFC 1951) makes data at least a tenth smaller."""
    return len(zlib.compress(data, 1)) <= len(data) * _COMPRESSIBLE


def _beginning(chunks: t.Iterator[bytes]) -> bytes:
    found = b""
    try:
        for chunk in chunks:
            found += chunk
            if len(found) >= _LOOKED_AT:
                break
    finally:
        close = getattr(chunks, "close", None)
        if close is not None:  # a reader may have threads, which are to end now
            close()
    return found[:_LOOKED_AT]
