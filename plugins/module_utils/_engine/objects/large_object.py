# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import collections
import concurrent.futures
import typing as t

from ..stream.lanes import Digest, Run
from .member_names import MemberName
from .object_fetch import changed, row_of
from .pack_frames import Frame, header, large_frames, padding
from .pack_writer import Pack, PackWriter
from .rows import Item, Row
from .source import Source
from .workers import Workers

RANGE = 4 * 1024 * 1024  # plain bytes of the pack that one request reads
_AHEAD = 4  # ranges of an object that are being read or wait to be written
WINDOW = RANGE * _AHEAD  # plain bytes of one object in memory


class _Range(t.NamedTuple):
    """Some of the bytes of an object, plain and as the pack keeps them."""

    chunks: list[bytes]
    frames: list[Frame]


class LargeObject:
    """An object on its way into a pack of its own: ranges are read and compressed by several threads.

    Reading begins at once. The object is that of `item` or it is nothing: what changes meanwhile raises ChangedError.
    """

    def __init__(
        self, workers: Workers, source: Source, collection: str, item: Item, name: MemberName, packs: PackWriter
    ) -> None:
        self._workers = workers
        self._source = source
        self._collection = collection
        self._item = item
        self._packs = packs
        self._header = header(name, item, item.size)
        self._padding = padding(item.size)
        self._total = len(self._header) + item.size + len(self._padding)  # plain bytes of the member
        self._is_given_up = False
        self._described = workers.submit(lambda: source.describe(collection, item))
        self._starts = iter(range(0, self._total, RANGE))
        self._reading: collections.deque[concurrent.futures.Future[_Range]] = collections.deque()
        for _turn in range(_AHEAD):
            self._read_next()

    def write(self) -> Row:
        """Write the pack and return the row. Raises VanishedError, ChangedError, ObjectError; then no pack is left."""
        found = self._workers.result(self._described)
        if not found.has_bytes:
            self.give_up()
            return row_of(found, "", None)
        if found.item[:4] != self._item[:4]:
            raise changed(self._item, "it is another one than was listed")
        pack = self._packs.open_own(self._total)
        try:
            digest = self._send(pack)
            place = pack.location(len(self._header))
            pack.finish()
        except BaseException:
            pack.abort()
            raise
        return row_of(found, digest, place)

    def give_up(self) -> None:
        """Read nothing more."""
        self._is_given_up = True
        self._described.cancel()
        for each in self._reading:
            each.cancel()
        self._reading.clear()

    def _send(self, pack: Pack) -> str:
        """Write all ranges in order, and return the SHA-256 of the object."""
        run = Run()
        try:
            digest = Digest(run, "member", 2)
            while self._reading:
                chunks, frames = self._workers.result(self._reading.popleft())
                self._read_next()
                for chunk in chunks:
                    digest.feed(chunk)
                pack.add(frames)
                del chunks, frames
            digest.close()
            run.wait()
        finally:
            run.stop()
            run.join()
        return digest.sha256

    def _read_next(self) -> None:
        start = next(self._starts, None)
        if start is not None:
            self._reading.append(self._workers.submit(lambda: self._range(start)))

    def _range(self, start: int) -> _Range:
        """Read what lies in one range of the member: header, data, padding."""
        end = min(start + RANGE, self._total)
        first = max(start - len(self._header), 0)
        last = min(end - len(self._header), self._item.size)
        chunks: list[bytes] = []
        for chunk in self._source.read_range(self._collection, self._item, first, last - first):
            self._workers.require_going_on()
            if self._is_given_up:
                break
            chunks.append(chunk)
        if sum(map(len, chunks)) != last - first:
            raise changed(self._item, f"not all of its bytes from {first} to {last} came")
        before = self._header if start == 0 else b""
        behind = self._padding if end == self._total else b""
        return _Range(chunks, list(large_frames([before, *chunks, behind], self._packs.compress)))
