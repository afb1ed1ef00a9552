# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import hashlib
import itertools
import threading
import typing as t

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import DamagedError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.stream import compression as compressions
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.stream.framed import FramedStream
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.stream.pipeline import StreamFacts, plain_stream
from hypothesis import given, settings
from hypothesis import strategies as st

COMPRESSIONS = ("zstd", "gzip", "none")


class Memory:
    def __init__(self) -> None:
        self.data = bytearray()

    def write(self, chunk: bytes) -> None:
        self.data += chunk


class Broken(Exception):
    """A fault that a test injects."""


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> t.Iterator[None]:
    yield
    assert [each.name for each in threading.enumerate() if each.name.startswith("stream-")] == []


def plain_of(data: bytes, facts: StreamFacts) -> bytes:
    return b"".join(plain_stream([data], facts))


@pytest.mark.parametrize("compression", COMPRESSIONS)
@given(frames=st.lists(st.binary(max_size=2000), max_size=8))
@settings(deadline=None, max_examples=25)
def test_each_frame_lies_where_the_writer_was_told(compression: str, frames: list[bytes]) -> None:
    sink = Memory()
    stream = FramedStream(sink, compression)
    places = [stream.add(frame) for frame in frames]
    facts = stream.finish()
    stored = bytes(sink.data)
    for (offset, length), frame in zip(places, frames):
        assert b"".join(compressions.decompressed([stored[offset : offset + length]], compression)) == frame
    assert facts.plain_sha256 == hashlib.sha256(b"".join(frames)).hexdigest()
    assert facts.stored_sha256 == hashlib.sha256(stored).hexdigest()
    assert plain_of(stored, facts) == b"".join(frames)


def test_frames_that_were_compressed_elsewhere_are_taken_as_they_are() -> None:
    sink, compress = Memory(), compressions.block_compressor("zstd")
    stream = FramedStream(sink, "zstd", has_plain_digest=False)
    frames = [compress(b"one"), compress(b"two, longer")]
    assert [stream.add_frame(frames[0], 3), stream.add_frame(frames[1], 11)] == [0, len(frames[0])]
    facts = stream.finish()
    assert (facts.plain_size, facts.plain_sha256) == (14, "")
    assert plain_of(bytes(sink.data), facts) == b"onetwo, longer"


def test_frames_without_their_plain_bytes_are_refused_where_those_are_hashed() -> None:
    stream = FramedStream(Memory(), "none")
    with pytest.raises(ValueError, match="hashed"):
        stream.add_frame(b"frame", 5)
    stream.abort()


def test_without_a_plain_digest_the_stored_one_still_decides() -> None:
    sink = Memory()
    stream = FramedStream(sink, "none", has_plain_digest=False)
    stream.add(b"what was written")
    facts = stream.finish()
    with pytest.raises(DamagedError, match="stored SHA-256"):
        plain_of(b"what was_written", facts)


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_an_empty_stream_can_be_read(compression: str) -> None:
    sink = Memory()
    facts = FramedStream(sink, compression).finish()
    assert plain_of(bytes(sink.data), facts) == b""


def test_a_failure_of_the_sink_comes_out_of_a_later_call_as_it_is() -> None:
    class Failing(Memory):
        def write(self, chunk: bytes) -> None:
            raise Broken("the disk is full")

    stream = FramedStream(Failing(), "none")
    with pytest.raises(Broken, match="full"):
        for _turn in range(100):
            stream.add(b"frame")
    with pytest.raises(ValueError, match="has ended"):
        stream.add(b"frame")


def test_a_failure_of_the_last_frame_comes_out_of_finish() -> None:
    class Failing(Memory):
        def write(self, chunk: bytes) -> None:
            if chunk == b"last":
                raise Broken("the disk is full")

    stream = FramedStream(Failing(), "none")
    stream.add(b"first")
    stream.add(b"last")
    with pytest.raises(Broken, match="full"):
        stream.finish()


def test_a_failure_of_the_tick_ends_the_stream() -> None:
    ticks = itertools.count()

    def tick() -> None:
        if next(ticks) == 2:
            raise Broken("the intent is gone")

    stream = FramedStream(Memory(), "none", tick)
    with pytest.raises(Broken, match="intent"):
        for _turn in range(10):
            stream.add(b"frame")


def test_the_tick_goes_on_while_the_sink_is_slow() -> None:
    is_waiting, may_go_on = threading.Event(), threading.Event()

    class Slow(Memory):
        def write(self, chunk: bytes) -> None:
            is_waiting.set()
            assert may_go_on.wait(30)

    def tick() -> None:
        if is_waiting.is_set():
            may_go_on.set()

    stream = FramedStream(Slow(), "none", tick)
    for _turn in range(20):  # more than fits in flight
        stream.add(b"frame")
    assert stream.finish().stored_size == 100


def test_few_frames_are_in_memory_however_slow_the_sink_is() -> None:
    may_go_on, sizes = threading.Event(), []

    class Slow(Memory):
        def write(self, chunk: bytes) -> None:
            assert may_go_on.wait(30)

    def tick() -> None:
        sizes.append(stream.size)
        if sizes[-2:] == [stream.size] * 2:  # the call after the last one waits
            may_go_on.set()

    stream = FramedStream(Slow(), "none", tick)
    for _turn in range(10):
        stream.add(b"f")
    assert stream.finish().stored_size == 10
    waiting = [size for size, again in zip(sizes, sizes[1:]) if size == again]
    assert waiting[0] <= 3  # one in the sink's hands, two waiting


def test_stages_see_the_compressed_bytes() -> None:
    def inverted(pieces: t.Iterator[bytes]) -> t.Iterator[bytes]:
        for piece in pieces:
            yield bytes(byte ^ 255 for byte in piece)

    sink = Memory()
    stream = FramedStream(sink, "zstd", stages=[inverted])
    stream.add(b"first")
    stream.add(b"second")
    facts = stream.finish()
    assert facts.stored_sha256 == hashlib.sha256(sink.data).hexdigest()
    assert b"".join(plain_stream([bytes(sink.data)], facts, [inverted])) == b"firstsecond"


def test_an_aborted_stream_takes_nothing_more() -> None:
    stream = FramedStream(Memory(), "none")
    stream.add(b"frame")
    stream.abort()
    stream.abort()
    with pytest.raises(ValueError, match="has ended"):
        stream.finish()
