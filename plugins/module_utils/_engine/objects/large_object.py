# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import collections
import concurrent.futures
import functools
import typing as t

from ..stream.lanes import Chunk, Digest, Run
from . import tar_headers
from .member_names import MemberName
from .object_fetch import changed, row_of
from .pack_frames import Frame, header, large_frames
from .pack_writer import Pack, PackWriter
from .rows import Item, Row
from .source import Source
from .workers import Workers

RANGE = 4 * 1024 * 1024  # plain bytes of the pack that one request reads
_AHEAD = 4  # ranges of an object that are being read or wait to be written and hashed
_EARLY = 2  # of these, while the object waits for its turn to be written
_WAITING = 1  # of these, before the thread that hashes
WINDOW = RANGE * _AHEAD  # plain bytes of one object in memory


class _Range(t.NamedTuple):
    """Some of the bytes of an object, plain and as the pack keeps them."""

    data: memoryview  # of a room, which others need when this is hashed
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
        self._total = len(self._header) + item.size + len(tar_headers.padding(item.size))  # plain bytes of the member
        self._is_given_up = False
        self._described = workers.submit(lambda: source.describe(collection, item))
        self._starts = iter(range(0, self._total, RANGE))
        self._free: list[bytearray] = []  # rooms for the bytes of a range
        self._reading: collections.deque[concurrent.futures.Future[_Range]] = collections.deque()
        self._read_on(_EARLY)

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
            digest = Digest(run, "member", _WAITING, self._take_back)
            self._read_on(_AHEAD - _EARLY)
            while self._reading:
                data, frames = self._workers.result(self._reading.popleft())
                digest.feed(data)
                pack.add(frames)
                del data, frames
                # One room is being hashed, and one waits for that, at most: there is always another to read into.
                self._read_on()
            digest.close()
            run.wait()
        finally:
            run.stop()
            run.join()
        return digest.sha256

    def _read_on(self, rooms: int = 0) -> None:
        """Have the next ranges read, as far as there are rooms: those of what was hashed, and so many new ones."""
        self._free += [bytearray(min(RANGE, self._total)) for _room in range(rooms)]
        while self._free:
            start = next(self._starts, None)
            if start is None:
                return
            self._reading.append(self._workers.submit(functools.partial(self._range, start, self._free.pop())))

    def _take_back(self, data: Chunk) -> None:
        """Take back the room of what was hashed."""
        self._free.append(t.cast(bytearray, t.cast(memoryview, data).obj))

    def _range(self, start: int, room: bytearray) -> _Range:
        """Read what lies in one range of the member, header, data, padding, into `room`."""
        end = min(start + RANGE, self._total)
        first = max(start - len(self._header), 0)
        last = min(end - len(self._header), self._item.size)
        before = len(self._header) if start == 0 else 0
        plain = memoryview(room)[: end - start]
        data = plain[before : before + last - first]
        plain[:before] = self._header[:before]
        plain[before + len(data) :] = bytes(len(plain) - before - len(data))
        left = len(data)
        for count in self._source.read_into(self._collection, self._item, first, data):
            self._workers.require_going_on()
            if self._is_given_up:
                break
            left -= count
        if left:
            raise changed(self._item, f"not all of its bytes from {first} to {last} came")
        return _Range(data, list(large_frames([plain], self._packs.compress)))
