# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import hashlib
import itertools
import random
import threading
import typing as t
import unittest.mock

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import DamagedError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.stream import lanes, pipeline, zstd_frames
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.stream.compression import BLOCK
from hypothesis import given, settings
from hypothesis import strategies as st

MEBIBYTE = 1024 * 1024
COMPRESSIONS = ("zstd", "gzip", "none")
SMALL_BLOCK = 65536  # the properties do not depend on the size, the time of the tests does
small_blocks = unittest.mock.patch.object(pipeline, "BLOCK", SMALL_BLOCK)
Result = t.TypeVar("Result")


class Memory:
    """A sink that keeps everything, and has nothing but `write`."""

    def __init__(self) -> None:
        self.data = bytearray()

    def write(self, chunk: bytes) -> None:
        self.data += chunk


class Broken(Exception):
    """A fault that a test injects."""


def sample(size: int, seed: int = 1) -> bytes:
    source = random.Random(seed)
    pattern = source.randbytes(1000) + b"row of a table\t" * 200
    return (pattern * (size // len(pattern) + 1))[:size]


def cut(data: bytes, size: int = MEBIBYTE) -> t.Iterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


def within_a_minute(work: t.Callable[[], Result]) -> Result:
    """Run `work` in a thread, so that a hang fails one test and not all; then no thread of a stream may be left."""
    results: list[Result] = []
    failures: list[BaseException] = []

    def run() -> None:
        try:
            results.append(work())
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(60)
    assert not thread.is_alive(), "the stream hangs"
    assert stream_threads() == []
    if failures:
        raise failures[0]
    return results[0]


def stream_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("stream-")]


def stored(data: bytes, compression: str = "zstd") -> tuple[bytes, pipeline.StreamFacts]:
    sink = Memory()
    facts = within_a_minute(lambda: pipeline.store_stream(cut(data), sink, compression))
    return bytes(sink.data), facts


def read(data: bytes, facts: pipeline.StreamFacts, chunk: int = MEBIBYTE) -> bytes:
    return within_a_minute(lambda: b"".join(pipeline.plain_stream(cut(data, chunk), facts)))


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("size", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 5 * BLOCK + 17])
def test_what_was_stored_comes_back_and_the_facts_are_true(compression: str, size: int) -> None:
    data = sample(size)
    kept, facts = stored(data, compression)
    assert facts == pipeline.StreamFacts(
        size, hashlib.sha256(data).hexdigest(), len(kept), hashlib.sha256(kept).hexdigest(), compression
    )
    assert read(kept, facts) == data
    assert pipeline.stored_digest(cut(kept)) == (facts.stored_size, facts.stored_sha256)


@settings(deadline=None, max_examples=25)
@given(sizes=st.lists(st.integers(0, 2 * SMALL_BLOCK + 1), max_size=6), chunk=st.integers(1000, 3 * SMALL_BLOCK))
@small_blocks
def test_the_stored_bytes_do_not_depend_on_how_the_producer_cuts(sizes: list[int], chunk: int) -> None:
    data = sample(sum(sizes))
    ends = list(itertools.accumulate(sizes, initial=0))
    pieces = [data[start:end] for start, end in zip(ends, ends[1:])]
    first, second = Memory(), Memory()
    facts = pipeline.store_stream(pieces, first, "zstd")
    assert facts == pipeline.store_stream(cut(data, chunk), second, "zstd")
    assert first.data == second.data
    assert b"".join(pipeline.plain_stream(cut(bytes(first.data), chunk), facts)) == data


def test_every_block_is_a_frame_that_can_be_read_alone() -> None:
    data = sample(2 * BLOCK + 100)
    kept, _facts = stored(data)
    frames = [piece for piece in zstd_frames.pieces([kept]) if piece.ends_frame]
    assert len(frames) == 3


@pytest.fixture(scope="module", params=COMPRESSIONS)
def whole(request: pytest.FixtureRequest) -> tuple[bytes, pipeline.StreamFacts]:
    with small_blocks:
        return stored(sample(2 * SMALL_BLOCK + 1000), request.param)


@settings(deadline=None, max_examples=60)
@given(at=st.integers(0, 10**9))
def test_a_file_cut_anywhere_is_damage(whole: tuple[bytes, pipeline.StreamFacts], at: int) -> None:
    kept, facts = whole
    with pytest.raises(DamagedError):
        read(kept[: at % len(kept)], facts)


@settings(deadline=None, max_examples=60)
@given(at=st.integers(0, 10**9), bit=st.integers(0, 7))
def test_a_flipped_bit_anywhere_is_damage(whole: tuple[bytes, pipeline.StreamFacts], at: int, bit: int) -> None:
    kept, facts = whole
    changed = bytearray(kept)
    changed[at % len(kept)] ^= 1 << bit
    with pytest.raises(DamagedError):
        read(bytes(changed), facts)


def test_a_file_that_follows_itself_is_damage(whole: tuple[bytes, pipeline.StreamFacts]) -> None:
    kept, facts = whole
    with pytest.raises(DamagedError, match="more than"):
        read(kept + kept, facts)


def test_one_byte_more_is_damage(whole: tuple[bytes, pipeline.StreamFacts]) -> None:
    kept, facts = whole
    with pytest.raises(DamagedError, match="more than"):
        read(kept + b"\0", facts)


def frames_of(kept: bytes) -> list[bytes]:
    frames, parts = [], []
    for piece in zstd_frames.pieces([kept]):
        parts.append(piece.data)
        if piece.ends_frame:
            frames.append(b"".join(parts))
            parts = []
    return frames


def test_a_file_cut_at_a_frame_boundary_is_damage_even_if_its_stored_facts_agree() -> None:
    kept, facts = stored(sample(3 * BLOCK))
    frames = frames_of(kept)
    for count in range(len(frames)):
        short = b"".join(frames[:count])
        agreeing = pipeline.StreamFacts(
            facts.plain_size, facts.plain_sha256, len(short), hashlib.sha256(short).hexdigest(), "zstd"
        )
        with pytest.raises(DamagedError, match="plain size" if count else "nothing in it"):
            read(short, agreeing)


def test_swapped_frames_are_damage_even_if_their_stored_facts_agree() -> None:
    kept, facts = stored(b"".join(sample(BLOCK, seed) for seed in range(3)))
    one, two, three = frames_of(kept)
    swapped = two + one + three
    agreeing = pipeline.StreamFacts(
        facts.plain_size, facts.plain_sha256, len(swapped), hashlib.sha256(swapped).hexdigest(), "zstd"
    )
    with pytest.raises(DamagedError, match="plain SHA-256"):
        read(swapped, agreeing)


def test_swapped_frames_of_equal_plain_bytes_are_seen_by_the_stored_digest() -> None:
    _kept, facts = stored(sample(BLOCK), "none")
    with pytest.raises(DamagedError, match="stored SHA-256"):
        read(sample(BLOCK, seed=2), facts)


def test_a_bomb_is_stopped_at_the_promised_size() -> None:
    kept, facts = stored(bytes(40 * MEBIBYTE))
    lying = pipeline.StreamFacts(MEBIBYTE, facts.plain_sha256, facts.stored_size, facts.stored_sha256, "zstd")
    sizes: list[int] = []

    def work() -> None:
        for chunk in pipeline.plain_stream([kept], lying):
            sizes.append(len(chunk))

    with pytest.raises(DamagedError, match="more than its 1048576 plain bytes"):
        within_a_minute(work)
    assert sum(sizes) <= MEBIBYTE


def endless(fail_after: int = -1) -> t.Iterator[bytes]:
    chunk = sample(MEBIBYTE)
    for number in itertools.count():
        if number == fail_after:
            raise Broken("producer")
        yield chunk


class FailingSink:
    def __init__(self, after: int) -> None:
        self._left = after

    def write(self, chunk: bytes) -> None:
        self._left -= 1
        if self._left < 0:
            raise Broken("sink")


@pytest.mark.parametrize("after", [0, 1, 3, 4, 5, 40])
def test_a_failing_producer_stops_the_stream_with_its_own_exception(after: int) -> None:
    with pytest.raises(Broken, match="producer"):
        within_a_minute(lambda: pipeline.store_stream(endless(after), Memory(), "zstd"))


@pytest.mark.parametrize("after", [0, 1, 7])
@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_a_failing_sink_stops_an_endless_producer(after: int, compression: str) -> None:
    with pytest.raises(Broken, match="sink"):
        within_a_minute(lambda: pipeline.store_stream(endless(), FailingSink(after), compression))


@pytest.mark.parametrize("after", [0, 1, 7])
def test_a_failing_compressor_stops_an_endless_producer(after: int, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = itertools.count()

    def compress(block: bytes) -> bytes:
        if next(calls) >= after:
            raise Broken("compressor")
        return block

    monkeypatch.setattr(pipeline, "block_compressor", lambda name: compress)
    with pytest.raises(Broken, match="compressor"):
        within_a_minute(lambda: pipeline.store_stream(endless(), Memory(), "zstd"))


def test_a_failing_compressor_is_noticed_before_its_turn_to_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    is_stopped, calls = threading.Event(), itertools.count()
    stop = pipeline.Run.stop

    def stop_seen(run: pipeline.Run, failure: BaseException | None = None) -> None:
        stop(run, failure)
        is_stopped.set()

    def compress(block: bytes) -> bytes:
        if next(calls) == 1:
            raise Broken("compressor")
        return block

    class BusySink(Memory):
        def write(self, chunk: bytes) -> None:
            assert is_stopped.wait(20), "the first block is still being written, and the second one has failed"

    monkeypatch.setattr(pipeline.Run, "stop", stop_seen)
    monkeypatch.setattr(pipeline, "block_compressor", lambda name: compress)
    with pytest.raises(Broken, match="compressor"):
        within_a_minute(lambda: pipeline.store_stream(endless(), BusySink(), "zstd"))


def test_a_failing_stage_stops_an_endless_producer() -> None:
    def stage(pieces: t.Iterator[bytes]) -> t.Iterator[bytes]:
        yield from itertools.islice(pieces, 1)
        raise Broken("stage")

    with pytest.raises(Broken, match="stage"):
        within_a_minute(lambda: pipeline.store_stream(endless(), Memory(), "zstd", stages=[stage]))


@pytest.mark.parametrize("error", [Broken, KeyboardInterrupt, SystemExit])
def test_what_the_tick_raises_stops_the_stream(error: type[BaseException]) -> None:
    ticks = itertools.count()

    def tick() -> None:
        if next(ticks) == 9:
            raise error("tick")

    with pytest.raises(error, match="tick"):
        within_a_minute(lambda: pipeline.store_stream(endless(), Memory(), "zstd", tick))


def test_the_tick_follows_every_chunk() -> None:
    ticks: list[int] = []
    within_a_minute(lambda: pipeline.store_stream([b"a", b"b", b"c"], Memory(), "none", lambda: ticks.append(1)))
    assert len(ticks) >= 3


def test_a_full_lane_takes_nothing_until_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "_TICK_S", 0.01)
    lane: lanes.Lane[int] = lanes.Lane(lanes.Run(), 2)
    taker, taken, ticks = iter(lane), [], itertools.count()

    def tick() -> None:
        if next(ticks) == 3:
            taken.append(next(taker))

    for number in range(3):
        lane.put(number, tick)
    assert taken == [0]


def test_the_tick_goes_on_while_the_sink_is_slow() -> None:
    is_waiting, may_go_on = threading.Event(), threading.Event()

    class SlowSink(Memory):
        def write(self, chunk: bytes) -> None:
            is_waiting.set()
            assert may_go_on.wait(30)
            super().write(chunk)

    def tick() -> None:
        if is_waiting.is_set():
            may_go_on.set()

    data = sample(12 * BLOCK)  # more than fits in flight, in one chunk: only waiting can tick
    facts = within_a_minute(lambda: pipeline.store_stream([data], SlowSink(), "none", tick))
    assert facts.plain_size == len(data)


def test_a_slow_sink_holds_the_producer_back() -> None:
    produced = 0
    in_flight: list[int] = []

    def producer() -> t.Iterator[bytes]:
        nonlocal produced
        for _number in range(30):
            produced += BLOCK
            yield bytes(BLOCK)

    class Counting(Memory):
        def write(self, chunk: bytes) -> None:
            super().write(chunk)
            in_flight.append(produced - len(self.data))

    within_a_minute(lambda: pipeline.store_stream(producer(), Counting(), "none"))
    assert max(in_flight) <= 10 * BLOCK


def test_stages_lie_between_compression_and_the_stored_digest() -> None:
    def inverted(pieces: t.Iterator[bytes]) -> t.Iterator[bytes]:
        for piece in pieces:
            yield piece.translate(bytes(255 - value for value in range(256)))

    data, sink = sample(BLOCK + 5), Memory()
    facts = within_a_minute(lambda: pipeline.store_stream([data], sink, "zstd", stages=[inverted]))
    assert facts.stored_sha256 == hashlib.sha256(sink.data).hexdigest()
    assert not sink.data.startswith(b"\x28\xb5\x2f\xfd")
    kept = bytes(sink.data)
    assert within_a_minute(lambda: b"".join(pipeline.plain_stream([kept], facts, [inverted]))) == data


def test_what_reading_raises_comes_out_as_it_is() -> None:
    kept, facts = stored(sample(3 * BLOCK), "none")

    def failing() -> t.Iterator[bytes]:
        yield kept[:MEBIBYTE]
        raise Broken("storage")

    with pytest.raises(Broken, match="storage"):
        within_a_minute(lambda: list(pipeline.plain_stream(failing(), facts)))
    with pytest.raises(Broken, match="storage"):
        within_a_minute(lambda: pipeline.stored_digest(failing()))


def test_closing_a_plain_stream_early_ends_its_threads_and_closes_the_source() -> None:
    kept, facts = stored(sample(9 * BLOCK), "none")
    is_closed = []

    def source() -> t.Iterator[bytes]:
        try:
            yield from cut(kept)
        finally:
            is_closed.append(True)

    kept_alive = source()

    def work() -> None:
        chunks = t.cast("t.Generator[bytes, None, None]", pipeline.plain_stream(kept_alive, facts))
        next(chunks)
        chunks.close()

    within_a_minute(work)
    assert is_closed == [True]
