# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import collections
import concurrent.futures
import contextlib
import functools
import hashlib
import itertools
import types
import typing as t

from ..errors import DamagedError
from ..repository import keys, layout
from ..repository.store import Store, StoreError
from ..repository.stored_ranges import Ranged, StoredRanges
from ..stream import encryption
from ..stream.compression import SUFFIXES, decompressed
from ..stream.lanes import Digest, Lane, Run, Stopped
from .row_order import Placed, in_order_of_packs
from .rows import Location, Row

_THREADS = 4
_STRETCH = 4 * 1024 * 1024  # bytes, stored and plain: so much of a pack is read by one request, and held
_GAP = 512 * 1024  # stored bytes that are read for nothing rather than asking twice
_AHEAD = 6  # stretches that are being read or wait to be taken
_CHUNK = 1024 * 1024
_LARGEST = 16 * 1024 * 1024  # plain bytes of the frames of small objects; ours have less than 6 MiB
_LANE = 4  # chunks before each of the threads that bring a big object
_EMPTY = hashlib.sha256(b"").hexdigest()
_REMEDY = "use another copy of the backup"


def member(store: Store, job: str, row: Row) -> t.Iterator[bytes]:
    """Yield the bytes of one object; its frames are read, and nothing else of the pack.

    The chunks are provisional until the end: DamagedError says there that they are not what the row promises.
    """
    return PackReader(store, job).member(row)


def members(
    store: Store, job: str, rows: t.Iterable[tuple[str, Row]], folder: str = ""
) -> t.Iterator[tuple[str, Row, t.Iterator[bytes]]]:
    """Yield rows, given with their collections, with their bytes, in the order in which these lie in packs.

    All rows are taken before the first one comes back; many of them go to a temporary file in `folder`. The bytes of
    one are to be taken before the next one is asked for, or not at all. They raise DamagedError, at the latest at their
    end, where they are not what the row promises; those that follow can be read all the same. A StoreError comes out of
    either iterator. Memory: about 50 MiB, whatever the number of rows and their sizes.
    """
    return PackReader(store, job).members(rows, folder)


class PackReader:
    """Reads objects from the packs of a job; several threads may use it."""

    def __init__(self, store: Store, job: str) -> None:
        self._store = store
        self._job = job
        self._ranges = StoredRanges(store, job)
        self._found = functools.lru_cache(maxsize=1024)(self._find)

    def member(self, row: Row) -> t.Generator[bytes, None, None]:
        """Yield the bytes of one object (see the function `member`)."""
        place = row.location
        if place is None or not row.size:
            _compare(row, 0, _EMPTY)
        elif row.size <= _STRETCH:
            [held] = self._held([Placed("", row, place)])
            yield from _given(held)
        else:
            yield from self._streamed(row, place)

    def members(
        self, rows: t.Iterable[tuple[str, Row]], folder: str = ""
    ) -> t.Iterator[tuple[str, Row, t.Iterator[bytes]]]:
        """Yield objects in the order of packs (see the function `members`)."""
        with contextlib.ExitStack() as stack:
            placed = stack.enter_context(contextlib.closing(in_order_of_packs(rows, folder)))
            pool = concurrent.futures.ThreadPoolExecutor(_THREADS, "packs")
            stack.callback(pool.shutdown, wait=True, cancel_futures=True)
            reading: collections.deque[tuple[list[Placed], concurrent.futures.Future[list[_Held]] | None]]
            reading = collections.deque()
            for stretch in _stretches(placed):
                is_held = stretch[0].row.size <= _STRETCH
                reading.append((stretch, pool.submit(self._held, stretch) if is_held else None))
                if len(reading) >= _AHEAD:
                    yield from self._given(*reading.popleft())
            while reading:
                yield from self._given(*reading.popleft())

    def _given(
        self, stretch: list[Placed], held: concurrent.futures.Future[list[_Held]] | None
    ) -> t.Iterator[tuple[str, Row, t.Iterator[bytes]]]:
        if held is None:
            [one] = stretch
            with contextlib.closing(self.member(one.row)) as chunks:
                yield one.collection, one.row, chunks
            return
        for one, found in zip(stretch, held.result()):
            yield one.collection, one.row, _given(found)

    def _held(self, stretch: list[Placed]) -> list[_Held]:
        """Read a stretch of a pack, and return bytes or a DamagedError for each of its members."""
        first = stretch[0].place
        if not first.owner:  # nothing of them lies in a pack
            return _cut(iter(()), stretch, None)
        length = max(one.place.offset + one.place.length for one in stretch) - first.offset
        try:
            stored = memoryview(b"".join(self._read(first._replace(length=length))))
            compression = self._found(first.owner, first.pack).compression
        except DamagedError as error:
            return _cut(iter(()), stretch, error)
        held: list[_Held] = []
        for (offset, size), group in itertools.groupby(stretch, key=lambda one: one.place[2:4]):
            together = list(group)
            start = offset - first.offset
            plain = decompressed([bytes(stored[start : start + size])], compression)
            held += _cut(plain, together, None)
        return held

    def _read(self, place: Location) -> t.Iterator[bytes]:
        return self._ranges.read(self._found(place.owner, place.pack).file, place.offset, place.length)

    def _find(self, owner: str, number: int) -> _Found:
        """Find a pack, also one of a run that has not published yet: there is no list then."""
        stem = f"pack-{number:04d}.tar"
        kinds = list(_NAMES.items())
        for suffix, kind in kinds if self._store.keys is None else reversed(kinds):
            entry = self._store.stat(layout.data(self._job, owner, stem + suffix))
            if entry is not None:
                return kind._replace(file=Ranged(owner, stem + suffix, kind.encryption, entry.size))
        return self._hidden(owner, stem) or _Found("zstd", keys.NONE, Ranged(owner, f"{stem}.zst", keys.NONE, 0))

    def _hidden(self, owner: str, stem: str) -> _Found | None:
        """Find a pack that a delete marker hides: it can be read all the same."""
        prefix = layout.data(self._job, owner, stem)
        with contextlib.suppress(StoreError):  # not every key may list versions
            for version in self._store.versions(prefix):
                kind = _NAMES.get(version.entry.key[len(prefix) :])
                if kind is not None and not version.is_delete_marker:
                    name = version.entry.key.rpartition("/")[2]
                    return kind._replace(file=Ranged(owner, name, kind.encryption, version.entry.size))
        return None

    def _streamed(self, row: Row, place: Location) -> t.Iterator[bytes]:
        """Yield a big object: it is fetched, decompressed and hashed by threads of their own."""
        run = Run()
        stored: Lane[bytes] = Lane(run, _LANE)
        plain: Lane[bytes] = Lane(run, _LANE)
        compression = self._found(place.owner, place.pack).compression
        try:
            digest = Digest(run, "member", _LANE)
            run.start("fetch", lambda: _fill(stored, self._read(place)))
            run.start("unpack", lambda: _unpack(decompressed(iter(stored), compression), row, place, digest, plain))
            yield from plain
            run.wait()
            _compare(row, row.size, digest.sha256)
        except Stopped:
            pass
        finally:
            run.stop()
            run.join()
        run.raise_failure()


class _Found(t.NamedTuple):
    """A pack in the store."""

    compression: str
    encryption: str
    file: Ranged = Ranged("", "", keys.NONE, 0)


_NAMES = {  # what the end of a pack's name tells: plain ones, the most frequent first, and encrypted ones the reverse
    **{suffix: _Found(compression, keys.NONE) for compression, suffix in SUFFIXES.items()},
    **{
        suffix + encryption.SUFFIX: _Found(compression, keys.ENCRYPTED)
        for compression, suffix in reversed(list(SUFFIXES.items()))
    },
}


_Held = t.Union[bytes, DamagedError]  # the bytes of an object, checked; or why there are none


def _stretches(placed: t.Iterable[Placed]) -> t.Iterator[list[Placed]]:
    """Cut a sequence into what is read at once: small objects that lie near each other, or one big one."""
    stretch: list[Placed] = []
    size = end = 0
    for one in placed:
        place = one.place
        is_near = bool(stretch) and place[:2] == stretch[0].place[:2] and place.offset <= end + _GAP
        fits = size + one.row.size <= _STRETCH and (
            not stretch or place.offset + place.length - stretch[0].place.offset <= _STRETCH
        )
        if stretch and not (is_near and fits):
            yield stretch
            stretch, size, end = [], 0, 0
        stretch.append(one)
        size += one.row.size
        end = max(end, place.offset + place.length)
    if stretch:
        yield stretch


def _cut(plain: t.Iterator[bytes], members_: t.Sequence[Placed], problem: DamagedError | None) -> list[_Held]:
    """Return the members of one sequence of frames; what comes before damage is good.

    `problem` says why there are no frames.
    """
    data = bytearray()
    needed = min(_LARGEST, max(one.place.inside + one.row.size for one in members_))
    try:
        for chunk in plain:
            data += chunk
            if len(data) >= needed:
                break
    except DamagedError as error:
        problem = error
    held: list[_Held] = []
    for one in members_:
        part = bytes(data[one.place.inside : one.place.inside + one.row.size])
        try:
            if len(part) != one.row.size and one.place.owner:
                raise problem or _differs(one.row, "its frames end before it")
            _compare(one.row, len(part), hashlib.sha256(part).hexdigest())
            held.append(part)
        except DamagedError as error:
            held.append(error)
    return held


def _given(held: _Held) -> t.Iterator[bytes]:
    if isinstance(held, DamagedError):
        raise held
    for start in range(0, len(held), _CHUNK):
        yield held[start : start + _CHUNK]


def _fill(lane: Lane[bytes], chunks: t.Iterator[bytes]) -> None:
    try:
        for chunk in chunks:
            lane.put(chunk)
    finally:
        if isinstance(chunks, types.GeneratorType):  # it may hold a connection or a file
            chunks.close()
    lane.close()


def _unpack(chunks: t.Iterator[bytes], row: Row, place: Location, digest: Digest, plain: Lane[bytes]) -> None:
    skipped, left = place.inside, row.size
    for chunk in chunks:
        part = chunk[skipped : skipped + left]
        skipped -= min(skipped, len(chunk))
        if part:
            digest.feed(part)
            plain.put(part)
            left -= len(part)
    if left:
        raise _differs(row, f"it ends {left} bytes early")
    digest.close()
    plain.close()


def _compare(row: Row, size: int, sha256: str) -> None:
    if row.location is None and not row.sha256:  # a directory or a link
        return
    if (size, sha256) != (row.size, row.sha256):
        raise _differs(row, f"its SHA-256 is {sha256}, not {row.sha256}")


def _differs(row: Row, cause: str) -> DamagedError:
    return DamagedError(f"Cannot read {row.key!a} from its pack", cause, _REMEDY)
