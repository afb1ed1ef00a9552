# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t
import zlib

from ..child import CHUNK
from ..errors import DamagedError, UsageError
from . import zstd, zstd_frames

BLOCK = 4 * 1024 * 1024  # plain bytes that become one frame; smaller ones cost size, larger ones memory
SUFFIXES = {
    "zstd": ".zst",
    "gzip": ".gz",
    "none": "",
}  # of stored files: names say what was applied
_GZIP = 16 + zlib.MAX_WBITS  # zlib's way to ask for the gzip format
_GZIP_LEVEL = 6


def block_compressor(compression: str) -> t.Callable[[zstd.Block], bytes]:
    """Return the function that turns a block of plain bytes into stored bytes that can be read alone.

    `compression` is one of SUFFIXES. Stored blocks simply follow each other: zstd frames (RFC 8878, section 3) and gzip
    members (RFC 1952, section 2.2) both allow it, so the usual commands read the whole. The function may be called by
    several threads at once and leaves the interpreter to others while it works; what it returns does not change with
    the block, which may be any room for bytes. Raises UsageError, MissingPartError.
    """
    if compression == "zstd":
        return zstd.provider().compress
    if compression == "gzip":
        return _gzip_member
    if compression == "none":
        return _as_it_is
    raise _unknown(compression)


def decompressed(stored: t.Iterable[bytes], compression: str) -> t.Iterator[bytes]:
    """Yield the plain bytes of stored ones, in chunks of at most 1 MiB, however well they were compressed.

    Raises DamagedError when the stored bytes are cut, changed, or followed by something else; UsageError,
    MissingPartError.
    """
    if compression == "zstd":
        return zstd.provider().decompress(zstd_frames.pieces(stored))
    if compression == "gzip":
        return _gunzipped(stored)
    if compression == "none":
        return _sliced(stored)
    raise _unknown(compression)


def _as_it_is(block: zstd.Block) -> bytes:
    return bytes(block)  # the block itself where it is bytes


def _gzip_member(block: zstd.Block) -> bytes:
    encoder = zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, _GZIP)
    return encoder.compress(block) + encoder.flush()


def _sliced(chunks: t.Iterable[bytes]) -> t.Iterator[bytes]:
    for chunk in chunks:
        for start in range(0, len(chunk), CHUNK):
            yield chunk[start : start + CHUNK]


def _gunzipped(stored: t.Iterable[bytes]) -> t.Iterator[bytes]:
    decoder, members = zlib.decompressobj(_GZIP), 0
    is_inside = False  # a member has begun and has not ended
    for chunk in stored:
        while chunk:
            is_inside = True
            try:
                plain = decoder.decompress(chunk, CHUNK)
            except zlib.error as error:
                cause = "bytes that are no gzip member follow, or one is changed" if members else str(error)
                raise _damaged_gzip(cause) from error
            if plain:
                yield plain
            chunk = decoder.unconsumed_tail
            if decoder.eof:
                chunk, decoder = decoder.unused_data, zlib.decompressobj(_GZIP)
                members, is_inside = members + 1, False
    if is_inside or not members:
        raise _damaged_gzip("it is cut" if is_inside else "there is nothing in it, not even an empty member")


def _damaged_gzip(cause: str) -> DamagedError:
    return DamagedError("Cannot decompress a gzip stream", cause, "use another copy of the backup")


def _unknown(compression: str) -> UsageError:
    return UsageError(f"Unknown compression {compression!r}", "", f"use one of {', '.join(SUFFIXES)}")
