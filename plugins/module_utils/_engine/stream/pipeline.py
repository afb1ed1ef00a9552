# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import io
import os
import types
import typing as t

from ..errors import DamagedError
from .compression import BLOCK, block_compressor, decompressed
from .lanes import Digest, Lane, Run, Stopped, Tick
from .stage import Stage

_REMEDY = "use another copy of the backup"


class Sink(t.Protocol):
    """Where stored bytes go, such as the upload of a repository."""

    def write(self, chunk: bytes, /) -> object:
        """Take the next bytes, of any length."""


@dataclasses.dataclass(frozen=True)
class StreamFacts:
    """What a stored file is, inside and out."""

    plain_size: int  # bytes before compression
    plain_sha256: str  # hexadecimal; empty where parts of the bytes have digests of their own (packs)
    stored_size: int  # bytes as they lie on storage
    stored_sha256: str  # hexadecimal
    compression: str  # zstd | gzip | none


def store_stream(
    chunks: t.Iterable[bytes],
    sink: Sink,
    compression: str,
    tick: Tick | None = None,
    stages: t.Sequence[Stage] = (),
) -> StreamFacts:
    """Send plain bytes through compression and both digests into `sink`, and return what went in and out.

    `chunks` is read in the calling thread, and so is what it raises; `sink.write` is called from one other thread.
    `tick` is called in the calling thread after every chunk, and about every second while the calling thread waits for
    a slow stage; what it raises stops the stream. The first failure of any part stops all others and comes out as it
    is; a producer that blocks is noticed when it yields. All threads have ended on return. Finishing or aborting the
    sink is the caller's. Memory: about 16 blocks of 4 MiB, whatever the size.
    """
    compress = block_compressor(compression)
    workers = _workers()
    run = Run()
    pool = concurrent.futures.ThreadPoolExecutor(workers, "stream-compress")
    frames: Lane[concurrent.futures.Future[bytes]] = Lane(run, workers + 1)
    try:
        plain, stored = Digest(run, "plain", 2), Digest(run, "stored", 2)
        pieces = (frame.result() for frame in frames)
        run.start("deliver", lambda: deliver(pieces, stages, stored, sink))
        for block in _blocks(chunks, tick):
            plain.feed(block, tick)
            frames.put(pool.submit(_reported, run, compress, block), tick)
        plain.close()
        frames.close()
        run.wait(tick)
    except BaseException as error:  # an interrupt too must leave no thread behind
        run.stop(error)
    finally:
        run.stop()
        pool.shutdown(wait=True, cancel_futures=True)
        run.join()
    run.raise_failure()
    return StreamFacts(plain.size, plain.sha256, stored.size, stored.sha256, compression)


def _workers() -> int:
    """Return how many blocks to compress at once: half the cores (others need theirs too); 4 outrun any digest."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(4, usable // 2))


def _blocks(chunks: t.Iterable[bytes], tick: Tick | None) -> t.Iterator[bytes]:
    """Join and cut chunks of any length to blocks of 4 MiB; an empty stream is one empty block: a valid file."""
    buffer, is_first = io.BytesIO(), True
    for chunk in chunks:
        rest = memoryview(chunk)
        while rest:
            room = BLOCK - buffer.tell()
            buffer.write(rest[:room])
            rest = rest[room:]
            if buffer.tell() == BLOCK:
                yield buffer.getvalue()
                buffer, is_first = io.BytesIO(), False
        if tick is not None:
            tick()
    if buffer.tell() or is_first:
        yield buffer.getvalue()


def _reported(run: Run, compress: t.Callable[[bytes], bytes], block: bytes) -> bytes:
    try:
        return compress(block)
    except BaseException as error:  # at once, not only when its turn to be written has come
        run.stop(error)
        raise


def deliver(pieces: t.Iterator[bytes], stages: t.Sequence[Stage], stored: Digest, sink: Sink) -> None:
    """Send compressed pieces through `stages` into the digest and the sink, and close the digest. Raises Stopped."""
    for stage in stages:
        pieces = stage(pieces)
    for piece in pieces:
        if piece:
            stored.feed(piece)
            sink.write(piece)
    stored.close()


def plain_stream(stored: t.Iterable[bytes], facts: StreamFacts, stages: t.Sequence[Stage] = ()) -> t.Iterator[bytes]:
    """Yield the plain bytes of a stored file in chunks of at most 1 MiB; compare sizes and digests with `facts`.

    The chunks are provisional until the iterator has ended without an error: only then are they known to be what was
    stored. `stored` is read in another thread; what it raises comes out as it is. Raises DamagedError when anything
    differs, or when more than the plain size comes out. Where `facts` has no plain digest, the stored one vouches for
    the bytes. Closing the iterator early ends all threads. Memory: about 20 chunks of 1 MiB.
    """
    run = Run()
    fetched: Lane[bytes] = Lane(run, 4)
    plain: Lane[bytes] = Lane(run, 4)
    try:
        stored_digest = Digest(run, "stored", 4)
        plain_digest = Digest(run, "plain", 4) if facts.plain_sha256 else None
        run.start("fetch", lambda: fetch(stored, facts, stored_digest, fetched))
        run.start("unpack", lambda: _unpack(fetched, facts, stages, plain_digest, plain))
        yield from plain
        run.wait()
        compare("its stored SHA-256", stored_digest.sha256, facts.stored_sha256)
        if plain_digest is not None:
            compare("its plain SHA-256", plain_digest.sha256, facts.plain_sha256)
    except Stopped:
        pass
    finally:
        run.stop()
        run.join()
    run.raise_failure()


def fetch(stored: t.Iterable[bytes], facts: StreamFacts, digest: Digest, fetched: Lane[bytes]) -> None:
    """Be the thread that reads a stored file for those that hash and decompress it. Raises DamagedError."""
    with contextlib.closing(arriving(stored, facts, digest.feed)) as chunks:
        for chunk in chunks:
            fetched.put(chunk)
    digest.close()
    fetched.close()


def arriving(
    stored: t.Iterable[bytes], facts: StreamFacts, take: t.Callable[[bytes], None]
) -> t.Generator[bytes, None, None]:
    """Yield stored bytes, each after `take` has had it.

    Raises DamagedError when there are more or fewer than there should be, before a decoder sees the end: this is the
    better text.
    """
    size = 0
    try:
        for chunk in stored:
            size += len(chunk)
            if size > facts.stored_size:
                raise differs(f"more than its {facts.stored_size} stored bytes arrive")
            take(chunk)
            yield chunk
    finally:
        if isinstance(stored, types.GeneratorType):  # it may hold a connection or a file
            stored.close()
    compare("its stored size", size, facts.stored_size)


def _unpack(
    fetched: Lane[bytes], facts: StreamFacts, stages: t.Sequence[Stage], digest: Digest | None, plain: Lane[bytes]
) -> None:
    size = 0
    pieces: t.Iterator[bytes] = iter(fetched)
    for stage in stages:
        pieces = stage(pieces)
    for chunk in decompressed(pieces, facts.compression):
        size += len(chunk)
        if size > facts.plain_size:
            raise differs(f"more than its {facts.plain_size} plain bytes come out")
        if digest is not None:
            digest.feed(chunk)
        plain.put(chunk)
    compare("its plain size", size, facts.plain_size)
    if digest is not None:
        digest.close()
    plain.close()


def stored_digest(stored: t.Iterable[bytes]) -> tuple[int, str]:
    """Return size and SHA-256 (hexadecimal) of a stored file; reading and hashing overlap."""
    run = Run()
    try:
        digest = Digest(run, "stored", 4)
        for chunk in stored:
            digest.feed(chunk)
        digest.close()
        run.wait()
    except BaseException as error:  # an interrupt too must leave no thread behind
        run.stop(error)
    finally:
        run.stop()
        run.join()
    run.raise_failure()
    return digest.size, digest.sha256


def compare(what: str, found: object, wanted: object) -> None:
    """Raise DamagedError unless what was found of stored bytes is what is wanted."""
    if found != wanted:
        raise differs(f"{what} is {found}, not {wanted}")


def differs(cause: str) -> DamagedError:
    """Return the error of stored bytes that are not what was written."""
    return DamagedError("Stored bytes are not what was written", cause, _REMEDY)
