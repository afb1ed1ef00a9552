# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The header of encrypted files: AWS Encryption SDK message format, version 2 ("AWS Encryption SDK message format
reference"), with the one algorithm suite that we write and read.
"""

from __future__ import annotations

import struct
import typing as t

from ..errors import DamagedError

Context = t.Mapping[str, str]  # authenticated, and in clear: what a file belongs to

VERSION = 2
SUITE = 0x0478  # AES-256-GCM, HKDF with SHA-512, key commitment, no signature
FRAMED = 2
ID = 32  # bytes of a message's id
KEY = 32
COMMITMENT = 32
TAG = 16
IV = 12
MOST = 4096  # bytes of a header that we read: ours have less than 700
_MOST_FRAME = 16 * 1024 * 1024  # bytes of a frame that is held in memory
_RESERVED = "aws-crypto-"  # what keys of a context must not begin with
_PROBLEM = "Cannot decrypt a stored file"


class WrappedKey(t.NamedTuple):
    """The data key of a file, encrypted under another key ("raw AES" of the SDK)."""

    namespace: str  # whose key it was ("key provider id"): the keyring
    name: str  # of the key ("key name"): the epoch
    iv: bytes
    ciphertext: bytes  # with its tag


class Header(t.NamedTuple):
    """What stands before the frames, without its tag."""

    id: bytes
    context: Context
    keys: t.Sequence[WrappedKey]
    frame: int  # plain bytes of each frame but the last
    commitment: bytes


def context_bytes(context: Context) -> bytes:
    """Return a context as it is authenticated: pairs by the UTF-8 bytes of their names; nothing for an empty one.

    Raises ValueError for what the format cannot hold.
    """
    if not context:
        return b""
    if any(not name or name.startswith(_RESERVED) for name in context):
        raise ValueError(f"a name of the context is empty or begins with {_RESERVED}")
    pairs = sorted((name.encode("utf-8"), value.encode("utf-8")) for name, value in context.items())
    return struct.pack(">H", len(pairs)) + b"".join(_short(name) + _short(value) for name, value in pairs)


def to_bytes(header: Header) -> bytes:
    """Return a header without its tag. Raises ValueError for what the format cannot hold."""
    keys = b"".join(_short(key.namespace.encode()) + _short(_info(key)) + _short(key.ciphertext) for key in header.keys)
    parts = (
        struct.pack(">BH", VERSION, SUITE),
        header.id,
        _short(context_bytes(header.context)),
        struct.pack(">H", len(header.keys)) + keys,
        struct.pack(">BI", FRAMED, header.frame),
        header.commitment,
    )
    return b"".join(parts)


def parsed(data: bytes) -> tuple[Header, int]:
    """Return the header with which `data` begins, and its length without the tag.

    Raises DamagedError for what is no header, IncompleteHeaderError where it goes on behind the end of `data`.
    """
    reader = _Reader(data)
    version, suite = reader.numbers(">BH")
    if (version, suite) != (VERSION, SUITE):
        raise _unreadable(f"it does not begin as an encrypted file does: version {version}, suite {suite:#06x}")
    message_id = reader.take(ID)
    context = _context(reader.short())
    (count,) = reader.numbers(">H")
    keys = [_wrapped(reader) for _number in range(count)]
    content, frame = reader.numbers(">BI")
    if content != FRAMED or not 0 < frame <= _MOST_FRAME:
        raise _unreadable(f"its content is of type {content} in frames of {frame} bytes")
    commitment = reader.take(COMMITMENT)
    return Header(message_id, context, keys, frame, commitment), reader.place


class IncompleteHeaderError(DamagedError):
    """A header goes on behind the end of the bytes that there are."""


def _short(data: bytes) -> bytes:
    """Return bytes with their length before them."""
    if len(data) > 0xFFFF:
        raise ValueError("a field of the header has more than 65,535 bytes")
    return struct.pack(">H", len(data)) + data


def _info(key: WrappedKey) -> bytes:
    return key.name.encode("utf-8") + struct.pack(">II", 8 * TAG, IV) + key.iv


def _wrapped(reader: _Reader) -> WrappedKey:
    namespace, info, ciphertext = reader.short(), reader.short(), reader.short()
    name, rest = info[: -(8 + IV)], info[-(8 + IV) :]
    if len(rest) != 8 + IV or struct.unpack(">II", rest[:8]) != (8 * TAG, IV):
        name, rest = b"", bytes(8 + IV)  # of a key that is not ours: a file may have several
    return WrappedKey(_text(namespace), _text(name), rest[8:], ciphertext)


def _context(data: bytes) -> Context:
    if not data:
        return {}
    reader = _Reader(data)
    (count,) = reader.numbers(">H")
    pairs = [(_text(reader.short()), _text(reader.short())) for _number in range(count)]
    context = dict(pairs)
    if reader.place != len(data) or len(context) != count:
        raise _unreadable("its context is not well formed")
    return context


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _unreadable("a text in its header is not UTF-8") from error


class _Reader:
    """Takes fields from bytes."""

    def __init__(self, data: bytes) -> None:
        self.place = 0
        self._data = data

    def take(self, count: int) -> bytes:
        found = self._data[self.place : self.place + count]
        if len(found) < count:
            raise IncompleteHeaderError(_PROBLEM, "it ends within its header", "use another copy of the backup")
        self.place += count
        return found

    def short(self) -> bytes:
        (length,) = self.numbers(">H")
        return self.take(length)

    def numbers(self, form: str) -> tuple[int, ...]:
        return struct.unpack(form, self.take(struct.calcsize(form)))


def _unreadable(cause: str) -> DamagedError:
    return DamagedError(_PROBLEM, cause, "use another copy of the backup")
