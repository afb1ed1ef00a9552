# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import types
import typing as t

from ..errors import DamagedError
from .compression import decompressed
from .lanes import Digest, Lane, Run, Stopped
from .pipeline import StreamFacts
from .stage import Stage

_REMEDY = "use another copy of the backup"
_WAITING = 2  # chunks of up to 1 MiB before each of the threads


def framed_chunks(
    stored: t.Iterable[bytes], facts: StreamFacts, borders: t.Sequence[int], stages: t.Sequence[Stage] = ()
) -> t.Iterator[tuple[int, bytes]]:
    """Read a stored file of frames once from its beginning to its end, and yield all of its plain bytes.

    `borders` are offsets in compressed bytes at which frames begin, ascending; the last one may be the end. Each
    chunk of at most 1 MiB comes with the last border before it (0 before the first one); an empty chunk tells of each
    border. What was yielded is provisional until the end: only then the stored SHA-256 has been compared. Raises
    DamagedError when anything differs, or when no frame begins at a border. Reading, hashing and decompressing have
    threads of their own, which have ended with the iterator.
    """
    run = Run()
    fetched: Lane[bytes] = Lane(run, _WAITING)
    plain: Lane[tuple[int, bytes]] = Lane(run, _WAITING)
    try:
        digest = Digest(run, "stored", _WAITING)
        run.start("fetch", lambda: _fetch(stored, facts, digest, fetched))
        run.start("unpack", lambda: _unpack(fetched, facts, borders, stages, plain))
        yield from plain
        run.wait()
        _compare("its stored SHA-256", digest.sha256, facts.stored_sha256)
    except Stopped:
        pass
    finally:
        run.stop()
        run.join()
    run.raise_failure()


def _fetch(stored: t.Iterable[bytes], facts: StreamFacts, digest: Digest, fetched: Lane[bytes]) -> None:
    size = 0
    try:
        for chunk in stored:
            size += len(chunk)
            if size > facts.stored_size:
                raise _differs(f"more than its {facts.stored_size} stored bytes arrive")
            digest.feed(chunk)
            fetched.put(chunk)
    finally:
        if isinstance(stored, types.GeneratorType):  # it may hold a connection or a file
            stored.close()
    _compare("its stored size", size, facts.stored_size)  # before the decoder sees the end: this is the better text
    digest.close()
    fetched.close()


def _unpack(
    fetched: t.Iterable[bytes],
    facts: StreamFacts,
    borders: t.Sequence[int],
    stages: t.Sequence[Stage],
    plain: Lane[tuple[int, bytes]],
) -> None:
    size = 0
    for begin, chunk in _cut(fetched, facts, borders, stages):
        size += len(chunk)
        if size > facts.plain_size:
            raise _differs(f"more than its {facts.plain_size} plain bytes come out")
        plain.put((begin, chunk))
    _compare("its plain size", size, facts.plain_size)
    plain.close()


def _cut(
    fetched: t.Iterable[bytes], facts: StreamFacts, borders: t.Sequence[int], stages: t.Sequence[Stage]
) -> t.Iterator[tuple[int, bytes]]:
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
            raise _differs(f"it ends at byte {source.at}, before the frame at {end}")


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


def _compare(what: str, found: object, wanted: object) -> None:
    if found != wanted:
        raise _differs(f"{what} is {found}, not {wanted}")


def _differs(cause: str) -> DamagedError:
    return DamagedError("Stored bytes are not what was written", cause, _REMEDY)
