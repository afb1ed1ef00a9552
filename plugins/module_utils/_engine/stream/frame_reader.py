# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import hashlib
import typing as t

from .compression import decompressed
from .lanes import Digest, Lane, Run, Stopped
from .pipeline import StreamFacts, arriving, compare, differs, fetch
from .stage import Stage

_WAITING = 2  # chunks of up to 1 MiB before each of the threads
_LARGE = 128 * 1024 * 1024  # plain bytes; threads for less, which is read at once with others, only wait for each other
_Framed = t.Generator[t.Tuple[int, bytes], None, None]  # noqa: UP006 - evaluated at run time on Python 3.9 as well


def framed_chunks(
    stored: t.Iterable[bytes], facts: StreamFacts, borders: t.Sequence[int], stages: t.Sequence[Stage] = ()
) -> _Framed:
    """Read a stored file of frames once from its beginning to its end, and yield all of its plain bytes.

    `borders` are offsets in compressed bytes at which frames begin, ascending; the last one may be the end. Each
    chunk of at most 1 MiB comes with the last border before it (0 before the first one); an empty chunk tells of each
    border. What was yielded is provisional until the end: only then the stored SHA-256 has been compared. Raises
    DamagedError when anything differs, or when no frame begins at a border. Reading, hashing and decompressing of a
    large file have threads of their own, which have ended with the iterator.
    """
    read = _by_threads if facts.plain_size > _LARGE else _at_once
    return read(stored, facts, borders, stages)


def _at_once(
    stored: t.Iterable[bytes], facts: StreamFacts, borders: t.Sequence[int], stages: t.Sequence[Stage]
) -> _Framed:
    digest = hashlib.sha256()
    with contextlib.closing(arriving(stored, facts, digest.update)) as chunks:
        yield from _leaving(chunks, facts, borders, stages)
    compare("its stored SHA-256", digest.hexdigest(), facts.stored_sha256)


def _by_threads(
    stored: t.Iterable[bytes], facts: StreamFacts, borders: t.Sequence[int], stages: t.Sequence[Stage]
) -> _Framed:
    run = Run()
    fetched: Lane[bytes] = Lane(run, _WAITING)
    plain: Lane[tuple[int, bytes]] = Lane(run, _WAITING)

    def unpack() -> None:
        for each in _leaving(fetched, facts, borders, stages):
            plain.put(each)
        plain.close()

    try:
        digest = Digest(run, "stored", _WAITING)
        run.start("fetch", lambda: fetch(stored, facts, digest, fetched))
        run.start("unpack", unpack)
        yield from plain
        run.wait()
        compare("its stored SHA-256", digest.sha256, facts.stored_sha256)
    except Stopped:
        pass
    finally:
        run.stop()
        run.join()
    run.raise_failure()


def _leaving(
    fetched: t.Iterable[bytes], facts: StreamFacts, borders: t.Sequence[int], stages: t.Sequence[Stage]
) -> _Framed:
    size = 0
    for begin, chunk in _cut(fetched, facts, borders, stages):
        size += len(chunk)
        if size > facts.plain_size:
            raise differs(f"more than its {facts.plain_size} plain bytes come out")
        yield begin, chunk
    compare("its plain size", size, facts.plain_size)


def _cut(
    fetched: t.Iterable[bytes], facts: StreamFacts, borders: t.Sequence[int], stages: t.Sequence[Stage]
) -> _Framed:
    pieces: t.Iterator[bytes] = iter(fetched)
    for stage in stages:
        pieces = stage(pieces)
    source = _Source(pieces)
    starts = [0, *(border for border in borders if border > 0)]
    for begin, end in zip(starts, [*starts[1:], None]):
        if begin and end is None and source.is_over():
            return  # the last border is the end of the file
        yield begin, b""
        for chunk in decompressed(source.until(end), facts.compression):
            yield begin, chunk
        if end is not None and source.at != end:
            raise differs(f"it ends at byte {source.at}, before the frame at {end}")


class _Source:
    """Gives out chunks of any length up to given offsets."""

    def __init__(self, chunks: t.Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = b""
        self.at = 0  # offset of the next byte

    def is_over(self) -> bool:
        """Say whether no byte follows."""
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return True
            self._rest = chunk
        return False

    def until(self, end: int | None) -> t.Iterator[bytes]:
        """Yield the bytes before `end`, or all that are left."""
        while end is None or self.at < end:
            chunk = self._rest or next(self._chunks, b"")
            if not chunk:
                return
            room = len(chunk) if end is None else end - self.at
            self._rest = chunk[room:]
            self.at += min(room, len(chunk))
            yield chunk[:room]
