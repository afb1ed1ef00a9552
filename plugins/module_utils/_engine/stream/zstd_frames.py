# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
import typing as t

from ..errors import DamagedError

# Formats and limits: RFC 8878, "Zstandard Compression and the 'application/zstd' Media Type", section 3.1.
_MAGIC = b"\x28\xb5\x2f\xfd"
_SKIPPABLE_MAGIC = b"\x2a\x4d\x18"  # bytes 2 to 4; the low half of the first byte is free
_RAW, _RLE, _COMPRESSED = 0, 1, 2
_LARGEST_BLOCK = 128 * 1024  # plain bytes; no stored block is larger either
_LARGEST_WINDOW = 8 * 1024 * 1024  # "it is recommended for decoders to support at least 8 MB"; our frames need less
_BLOCKS_PER_PIECE = 8  # so that one piece becomes at most 1 MiB of plain bytes


@dataclasses.dataclass(frozen=True)
class Piece:
    """A part of a frame that a decoder takes at once: whole blocks, with the frame's header before the first ones."""

    data: bytes  # stored bytes; they become at most 1 MiB of plain bytes
    ends_frame: bool  # the frame's last block and checksum are in it


def pieces(chunks: t.Iterable[bytes]) -> t.Iterator[Piece]:
    """Cut a stored zstd stream of any number of frames into pieces whose plain size is bounded.

    Decoders stop after the first frame, differ in what they say about a cut stream, and may turn one chunk into
    gigabytes. Walking the frames here makes all of that the same for every decoder: what is cut or followed by
    something else raises DamagedError. Skippable frames are left out.
    """
    source = _Input(chunks)
    if source.ended():
        raise _damaged("there is nothing in it, not even an empty frame")
    while not source.ended():
        magic = source.take(4)
        if magic == _MAGIC:
            yield from _frame(source)
        elif magic[0] & 0xF0 == 0x50 and magic[1:] == _SKIPPABLE_MAGIC:
            source.skip(int.from_bytes(source.take(4), "little"))
        else:
            raise _damaged("bytes that are no zstd frame follow" if source.has_frames else "it is no zstd stream")
        source.has_frames = True


class _Input:
    """Reads exact numbers of bytes from chunks of any length."""

    def __init__(self, chunks: t.Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._chunk = b""
        self._at = 0
        self.has_frames = False

    def ended(self) -> bool:
        while self._at == len(self._chunk):
            chunk = next(self._chunks, None)
            if chunk is None:
                return True
            self._chunk, self._at = chunk, 0
        return False

    def take(self, size: int) -> bytes:
        data = self._chunk[self._at : self._at + size]
        self._at += len(data)
        if len(data) == size:
            return data
        parts = [data]
        missing = size - len(data)
        while missing:
            part = self._some(missing)
            parts.append(part)
            missing -= len(part)
        return b"".join(parts)

    def skip(self, size: int) -> None:
        while size:
            size -= len(self._some(size))

    def _some(self, limit: int) -> bytes:
        if self.ended():
            raise _damaged("it is cut")
        part = self._chunk[self._at : self._at + limit]
        self._at += len(part)
        return part


def _frame(source: _Input) -> t.Iterator[Piece]:
    header, has_checksum = _frame_header(source)
    parts, blocks, is_last = [_MAGIC, header], 0, False
    while not is_last:
        block, is_last = _block(source)
        parts.append(block)
        blocks += 1
        if is_last and has_checksum:
            parts.append(source.take(4))
        if is_last or blocks == _BLOCKS_PER_PIECE:
            yield Piece(b"".join(parts), is_last)
            parts, blocks = [], 0


def _frame_header(source: _Input) -> tuple[bytes, bool]:
    """Read a frame header (section 3.1.1.1) and return it, and whether a checksum ends the frame."""
    first = source.take(1)
    descriptor = first[0]
    is_single_segment = bool(descriptor & 0x20)
    if descriptor & 0x08:
        raise _damaged("a frame header has a reserved bit set")
    if descriptor & 0x03:
        raise _damaged("a frame asks for a dictionary")
    size_bytes = (1 if is_single_segment else 0, 2, 4, 8)[descriptor >> 6]
    rest = source.take((0 if is_single_segment else 1) + size_bytes)
    if is_single_segment:
        window = int.from_bytes(rest, "little") + (256 if size_bytes == 2 else 0)
    else:
        base = 1 << (10 + (rest[0] >> 3))
        window = base + base // 8 * (rest[0] & 7)
    if window > _LARGEST_WINDOW:
        raise _damaged(f"a frame asks for a window of {window} bytes, more than {_LARGEST_WINDOW}")
    return first + rest, bool(descriptor & 0x04)


def _block(source: _Input) -> tuple[bytes, bool]:
    """Read one block (section 3.1.1.2) and return it, and whether it is the frame's last."""
    header = source.take(3)
    number = int.from_bytes(header, "little")
    kind, size = number >> 1 & 3, number >> 3
    if kind not in (_RAW, _RLE, _COMPRESSED) or size > _LARGEST_BLOCK:
        raise _damaged("a block header is not valid")
    return header + source.take(1 if kind == _RLE else size), bool(number & 1)


def _damaged(cause: str) -> DamagedError:
    return DamagedError("Cannot decompress a zstd stream", cause, "use another copy of the backup")
