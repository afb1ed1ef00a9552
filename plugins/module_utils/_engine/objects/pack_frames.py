# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import functools
import tarfile
import typing as t

from .. import clock
from ..stream.zstd import Block
from . import tar_headers
from .member_names import MemberName
from .rows import Item

FRAME = 1024 * 1024  # plain bytes; groups of small members are cut when they reach it
LARGE_FRAME = 2 * 1024 * 1024  # plain bytes of each frame of a member that is bigger than `FRAME`
END = bytes(2 * tarfile.BLOCKSIZE)  # POSIX.1-2017, pax, "ustar Interchange Format": two blocks of zeros end an archive
_KEPT = 1024  # times: many objects were written in the same second

Compress = t.Callable[[Block], bytes]  # as `compression.block_compressor` returns


class Frame(t.NamedTuple):
    """Compressed bytes that can be read alone."""

    data: bytes
    plain_size: int  # bytes


class Span(t.NamedTuple):
    """Where a member lies in a sequence of frames."""

    first: int  # index of its first frame
    end: int  # index behind its last frame
    inside: int  # offset of its first data byte in the plain bytes of these frames


def header(name: MemberName, item: Item, size: int) -> bytes:
    """Return the tar header of a member in pax format; equal arguments give equal bytes."""
    path = name.name.encode("utf-8", "surrogateescape")
    seconds = _seconds(item.modified)
    # Without extended records a pax header is that of ustar, and one of these is quickly made.
    is_short = len(path) <= tarfile.LENGTH_NAME and name.name.isascii()
    if not name.fields and is_short and size <= tar_headers.LARGEST_NUMBER:
        return tar_headers.of_file(path, size, seconds)
    info = tarfile.TarInfo(name.name)
    info.size = size
    info.mode = tar_headers.MODE
    info.mtime = seconds
    info.pax_headers = name.fields
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def build(members: t.Sequence[tuple[bytes, bytes]], compress: Compress) -> tuple[list[Frame], list[Span]]:
    """Return frames that hold members, given as header and data, and where each of these lies.

    Frames end at the end of a member. One of more than `FRAME` bytes has frames of its own.
    """
    frames: list[Frame] = []
    spans: list[Span] = []
    held: list[bytes] = []
    size = 0

    def cut() -> None:
        nonlocal size
        if held:
            frames.append(Frame(compress(b"".join(held)), size))
            held.clear()
            size = 0

    for start, data in members:
        is_large = len(data) > FRAME
        if is_large or size >= FRAME:
            cut()
        if is_large:
            own = list(large_frames([start, data, tar_headers.padding(len(data))], compress))
            spans.append(Span(len(frames), len(frames) + len(own), len(start)))
            frames += own
            continue
        spans.append(Span(len(frames), len(frames) + 1, size + len(start)))
        pad = tar_headers.padding(len(data))
        held += (start, data, pad)
        size += len(start) + len(data) + len(pad)
    cut()
    return frames, spans


def large_frames(pieces: t.Iterable[Block], compress: Compress) -> t.Iterator[Frame]:
    """Yield frames of `LARGE_FRAME` plain bytes, and a last one of what is left, for pieces of any length."""
    held: list[memoryview] = []
    size = 0
    for piece in pieces:
        rest = memoryview(piece)
        while rest:
            part = rest[: LARGE_FRAME - size]
            rest = rest[len(part) :]
            held.append(part)
            size += len(part)
            if size == LARGE_FRAME:
                yield Frame(compress(_joined(held)), size)
                held, size = [], 0
    if held:
        yield Frame(compress(_joined(held)), size)


def _joined(held: list[memoryview]) -> Block:
    return held[0] if len(held) == 1 else b"".join(held)


def _seconds(modified: str) -> int:
    """Return the time of an object in seconds: of a bucket it is a text, of a file nanoseconds; 0 for others."""
    try:
        seconds = _whole_second(f"{modified[:19]}Z") if "T" in modified else int(modified) // 10**9
    except ValueError:
        return 0
    return min(max(seconds, 0), tar_headers.LARGEST_NUMBER)


@functools.lru_cache(maxsize=_KEPT)
def _whole_second(text: str) -> int:
    return int(clock.from_text(text).timestamp())
