# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import concurrent.futures
import gzip
import itertools
import random
import types
import typing as t

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import (
    DamagedError,
    MissingPartError,
    UsageError,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.stream import compression, zstd, zstd_frames
from hypothesis import given, settings
from hypothesis import strategies as st

MEBIBYTE = 1024 * 1024
PROVIDERS = list(zstd.providers())
every_provider = pytest.mark.parametrize("provider", PROVIDERS, ids=lambda provider: provider.name)
every_pair = pytest.mark.parametrize(
    ("writer", "reader"),
    list(itertools.product(PROVIDERS, PROVIDERS)),
    ids=lambda provider: provider.name,
)


def sample(size: int, seed: int = 1) -> bytes:
    """Return bytes of which about half can be compressed."""
    source = random.Random(seed)
    parts = (source.randbytes(size // 2 + 1), b"row of a table\t" * (size // 30 + 1))
    return b"".join(parts)[:size]


def cut(data: bytes, size: int) -> t.Iterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


def plain(provider: zstd.Provider, stored: bytes, chunk: int = 65536) -> bytes:
    return b"".join(provider.decompress(zstd_frames.pieces(cut(stored, chunk))))


def frames_of(stored: bytes) -> list[bytes]:
    frames, parts = [], []
    for piece in zstd_frames.pieces([stored]):
        parts.append(piece.data)
        if piece.ends_frame:
            frames.append(b"".join(parts))
            parts = []
    return frames


def test_at_least_two_ways_to_run_zstd_are_tested() -> None:
    names = {provider.name for provider in PROVIDERS}
    assert "zstd (command)" in names
    assert len(names) >= 2


@every_pair
@pytest.mark.parametrize("sizes", [[0], [1], [300_000, 0, 1], [131_071, 131_072, 131_073], [3 * MEBIBYTE, 5]], ids=str)
def test_every_provider_reads_all_frames_of_every_other(
    writer: zstd.Provider, reader: zstd.Provider, sizes: list[int]
) -> None:
    blocks = [sample(size, seed) for seed, size in enumerate(sizes)]
    stored = b"".join(writer.compress(block) for block in blocks)
    assert plain(reader, stored) == b"".join(blocks)


@every_provider
def test_a_block_gives_the_same_frame_whatever_was_compressed_before_it(provider: zstd.Provider) -> None:
    blocks = [sample(300_000, 1), sample(1, 2), b"", sample(700_000, 3)]
    first = [provider.compress(block) for block in blocks]
    assert [provider.compress(memoryview(block)) for block in reversed(blocks)] == first[::-1]


@every_provider
def test_threads_that_compress_at_once_do_not_disturb_each_other(provider: zstd.Provider) -> None:
    blocks = [sample(100_000, seed) for seed in range(24)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        frames = list(pool.map(provider.compress, blocks))
    assert [plain(provider, frame) for frame in frames] == blocks


@pytest.mark.parametrize("name", sorted(compression.SUFFIXES))
def test_what_is_compressed_stays_as_it_is_when_its_room_is_used_again(name: str) -> None:
    room = bytearray(sample(100_000))
    stored = compression.block_compressor(name)(memoryview(room))
    room[:] = bytes(len(room))
    assert b"".join(compression.decompressed([stored], name)) == sample(100_000)


@every_provider
def test_a_block_is_one_frame_with_a_checksum(provider: zstd.Provider) -> None:
    frame = provider.compress(sample(2 * MEBIBYTE))
    assert frames_of(frame) == [frame]
    assert frame[4] & 0x04, "Content_Checksum_flag, RFC 8878, section 3.1.1.1.1"


@settings(deadline=None, max_examples=60)
@given(sizes=st.lists(st.integers(0, 400_000), min_size=1, max_size=5), chunk=st.integers(1, 300_000))
def test_frames_are_found_however_the_stream_is_cut_into_chunks(sizes: list[int], chunk: int) -> None:
    provider = PROVIDERS[0]
    frames = [provider.compress(sample(size, size)) for size in sizes]
    stored = b"".join(frames)
    assert frames_of(stored) == frames
    pieces = zstd_frames.pieces(cut(stored, max(chunk, len(stored) // 2000 + 1)))
    assert b"".join(piece.data for piece in pieces) == stored


@every_provider
@pytest.mark.parametrize("part", [0.0001, 0.3, 0.5, 0.7, 0.9999])
def test_a_cut_frame_is_damage(provider: zstd.Provider, part: float) -> None:
    whole, last = provider.compress(sample(200_000, 1)), provider.compress(sample(500_000, 2))
    stored = whole + last[: max(1, int(len(last) * part))]
    with pytest.raises(DamagedError, match="cut"):
        plain(provider, stored)


@every_provider
def test_every_cut_of_the_last_bytes_is_damage(provider: zstd.Provider) -> None:
    stored = PROVIDERS[0].compress(b"short")
    for size in range(len(stored)):
        with pytest.raises(DamagedError):
            plain(provider, stored[:size])


@every_provider
@pytest.mark.parametrize("garbage", [b"\0", b"\0" * 512, b"garbage", b"\x28\xb5\x2f", b"\x28\xb5\x2f\xfd"], ids=repr)
def test_bytes_behind_the_last_frame_are_damage(provider: zstd.Provider, garbage: bytes) -> None:
    with pytest.raises(DamagedError):
        plain(provider, provider.compress(b"data") + garbage)


@every_provider
def test_a_flipped_bit_in_the_content_is_damage(provider: zstd.Provider) -> None:
    stored = bytearray(provider.compress(sample(100_000)))
    stored[len(stored) // 3] ^= 0x10  # within the part that could not be compressed: only the checksum tells
    with pytest.raises(DamagedError):
        plain(provider, bytes(stored))


@every_provider
def test_a_bomb_comes_out_in_bounded_chunks(provider: zstd.Provider) -> None:
    bomb = provider.compress(bytes(96 * MEBIBYTE))
    assert len(bomb) < 16 * 1024
    sizes = [len(chunk) for chunk in provider.decompress(zstd_frames.pieces([bomb]))]
    assert sum(sizes) == 96 * MEBIBYTE
    assert max(sizes) <= MEBIBYTE


@every_provider
def test_closing_early_ends_the_decoder(provider: zstd.Provider) -> None:
    chunks = provider.decompress(zstd_frames.pieces([provider.compress(bytes(32 * MEBIBYTE))]))
    next(chunks)
    t.cast("types.GeneratorType[bytes, None, None]", chunks).close()


@every_provider
def test_skippable_frames_are_left_out(provider: zstd.Provider) -> None:
    skippable = b"\x5a\x2a\x4d\x18" + (5).to_bytes(4, "little") + b"12345"
    stored = skippable + provider.compress(b"one") + skippable + provider.compress(b"two") + skippable
    assert plain(provider, stored) == b"onetwo"
    assert plain(provider, stored, chunk=1) == b"onetwo"


@pytest.mark.parametrize(
    ("stored", "cause"),
    [
        (b"", "nothing in it"),
        (b"no zstd stream", "no zstd stream"),
        (b"\x28\xb5\x2f\xfd\x04\xa0", "a window of 1073741824 bytes"),
        (b"\x28\xb5\x2f\xfd\xa4\xff\xff\xff\x7f", "a window of 2147483647 bytes"),
        (b"\x28\xb5\x2f\xfd\x25\x01\x01", "dictionary"),
        (b"\x28\xb5\x2f\xfd\x2c\x01", "reserved bit"),
        (b"\x28\xb5\x2f\xfd\x24\x01\x07\x00\x00", "block header"),
        (b"\x28\xb5\x2f\xfd\x24\x01\xff\xff\xf9", "block header"),
    ],
)
def test_what_our_frames_never_are_is_refused_before_a_decoder_sees_it(stored: bytes, cause: str) -> None:
    with pytest.raises(DamagedError, match=cause):
        list(zstd_frames.pieces([stored]))


def test_providers_come_in_the_documented_order(monkeypatch: pytest.MonkeyPatch) -> None:
    pep784 = types.SimpleNamespace(
        CompressionParameter=types.SimpleNamespace(compression_level=100, checksum_flag=201),
        ZstdDecompressor=None,
        ZstdError=ValueError,
    )
    present = {"compression.zstd": pep784, "backports.zstd": pep784, "zstandard": types.SimpleNamespace()}
    monkeypatch.setattr(zstd, "_imported", present.get)
    names = [provider.name for provider in zstd.providers()]
    assert names == ["compression.zstd", "backports.zstd", "zstandard", "zstd (command)"]


def test_a_host_without_zstd_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zstd, "_imported", lambda name: None)
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(MissingPartError, match="python3-zstandard"):
        compression.block_compressor("zstd")
    with pytest.raises(MissingPartError):
        compression.decompressed([b""], "zstd")


def test_gzip_members_follow_each_other_and_gzip_reads_them() -> None:
    compress = compression.block_compressor("gzip")
    stored = compress(sample(100_000)) + compress(b"") + compress(b"end")
    assert gzip.decompress(stored) == sample(100_000) + b"end"
    for chunk in (1, 7, 4096, MEBIBYTE):
        assert b"".join(compression.decompressed(cut(stored, chunk), "gzip")) == sample(100_000) + b"end"


def test_gzip_output_is_bounded() -> None:
    bomb = compression.block_compressor("gzip")(bytes(64 * MEBIBYTE))
    sizes = [len(chunk) for chunk in compression.decompressed([bomb], "gzip")]
    assert sum(sizes) == 64 * MEBIBYTE
    assert max(sizes) <= MEBIBYTE


def test_cut_changed_and_followed_gzip_is_damage() -> None:
    stored = compression.block_compressor("gzip")(sample(5000))
    flipped = bytearray(stored)
    flipped[-6] ^= 1  # the checksum
    for damaged in (b"", stored[:-1], stored[:100], stored[:3], stored + b"\0", stored + b"x" * 30, bytes(flipped)):
        with pytest.raises(DamagedError):
            list(compression.decompressed([damaged], "gzip"))


def test_no_compression_passes_bytes_in_chunks_of_a_mebibyte() -> None:
    data = sample(3 * MEBIBYTE + 5)
    chunks = list(compression.decompressed([data], "none"))
    assert b"".join(chunks) == data
    assert max(len(chunk) for chunk in chunks) == MEBIBYTE


@pytest.mark.parametrize("call", [compression.block_compressor, lambda name: compression.decompressed([], name)])
def test_an_unknown_compression_names_the_known_ones(call: t.Callable[[str], object]) -> None:
    with pytest.raises(UsageError, match="zstd, gzip, none"):
        call("lz4")
