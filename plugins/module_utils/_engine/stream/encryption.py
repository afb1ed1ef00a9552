# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Encryption of stored files: AWS Encryption SDK message format, version 2, suite 0x0478 ("AWS Encryption SDK
algorithms reference": AES-256-GCM in frames, a data key for each file, HKDF with SHA-512, key commitment).

Frames of 256 KiB are sealed one by one, so that a part of a file can be read alone; the last one says that it is.
"""

from __future__ import annotations

import dataclasses
import functools
import hmac
import importlib
import os
import struct
import typing as t

from ..errors import DamagedError, LifeboatError, MissingPartError
from . import message_header
from .message_header import IV, KEY, TAG, Context, Header, WrappedKey

SUFFIX = ".enc"  # of the names of encrypted files
FRAME = 256 * 1024  # plain bytes
_LAST = 0xFFFFFFFF  # before the last frame, instead of its number
_REGULAR_OVERHEAD = 4 + IV + TAG
_LAST_OVERHEAD = 4 + 4 + IV + 4 + TAG
_BLOCK = 16  # what `update_into` wants room for beyond its bytes
_CONTENT, _LAST_CONTENT = b"AWSKMSEncryptionClient Frame", b"AWSKMSEncryptionClient Final Frame"
_SUITE = struct.pack(">H", message_header.SUITE)
_PROBLEM = "Cannot decrypt a stored file"


class WrongKeyError(LifeboatError):
    """None of the keys at hand opens a file."""


@dataclasses.dataclass(frozen=True)
class EpochKey:
    """A key of a keyring, under which the data keys of files are encrypted."""

    keyring: str  # id of the keyring
    epoch: str  # which of its keys
    secret: bytes = dataclasses.field(repr=False)  # 32 bytes


class Sealed(t.NamedTuple):
    """An encrypted file that was opened: what its frames are read with."""

    header: Header
    length: int  # bytes of the header and its tag, before the first frame
    key: bytes  # of the frames

    def __repr__(self) -> str:
        return f"Sealed({self.header.id.hex()})"

    def span(self, offset: int, length: int, stored_size: int) -> tuple[int, int]:
        """Return offset and length of the stored bytes that hold plain ones; both within the file."""
        size = self.header.frame + _REGULAR_OVERHEAD
        regular = (stored_size - self.length - _LAST_OVERHEAD) // size  # frames before the last one
        first, last = offset // self.header.frame, max(offset, offset + length - 1) // self.header.frame
        start = self.length + first * size
        end = stored_size if last >= regular else self.length + (last + 1) * size
        return start, end - start

    def plain_size(self, stored_size: int) -> int:
        """Return how many plain bytes a whole file has by its size."""
        body = stored_size - self.length - _LAST_OVERHEAD
        return max(0, body - body // (self.header.frame + _REGULAR_OVERHEAD) * _REGULAR_OVERHEAD)

    def plain(self, chunks: t.Iterable[bytes], offset: int, length: int) -> t.Iterator[bytes]:
        """Yield plain bytes from the stored bytes of their `span`; each frame is authenticated before it is yielded.

        Raises DamagedError.
        """
        source = _Source(chunks)
        number, skipped, left = offset // self.header.frame, offset % self.header.frame, length
        is_last = False
        while left and not is_last:
            number += 1
            data, is_last = _opened_frame(self, source, number)
            part = data[skipped : skipped + left]
            skipped = 0
            left -= len(part)
            if part:
                yield part
        if left:
            raise _damaged("it ends before the bytes that were asked for")


def require_library() -> None:
    """Raise MissingPartError where nothing can be encrypted or decrypted: better before anything is read."""
    _library()


def encrypted(pieces: t.Iterable[bytes], key: EpochKey, context: Context) -> t.Iterator[bytes]:
    """Yield an encrypted file for plain pieces of any length. Raises MissingPartError, before anything is read.

    `context` is authenticated and stays readable: who decrypts says what it must be. Memory: a frame, and a piece.
    """
    sealed, data = _begun(key, context)
    yield data
    source, number, is_last = _Source(pieces), 0, False
    while not is_last:
        plain = source.up_to(FRAME)
        source.skip(len(plain))
        is_last = source.is_over()
        number += 1
        yield _sealed_frame(sealed, number, plain, is_last)


def encrypted_size(plain: int, header: int) -> int:
    """Return how many bytes become of plain ones behind a header of `header` bytes with its tag."""
    return header + max(0, -(-plain // FRAME) - 1) * _REGULAR_OVERHEAD + _LAST_OVERHEAD + plain


def decrypted(pieces: t.Iterable[bytes], keys: t.Sequence[EpochKey], context: Context) -> t.Iterator[bytes]:
    """Yield the plain bytes of an encrypted file, frame by frame, each authenticated before.

    Whether the file is whole is known when the iterator has ended without an error. Raises WrongKeyError; DamagedError
    for everything that is not as it was written, and for a file of another context; MissingPartError.
    """
    source = _Source(pieces)
    sealed = _opened(bytes(source.up_to(message_header.MOST)), keys, context)
    source.skip(sealed.length)
    number, is_last = 0, False
    while not is_last:
        number += 1
        data, is_last = _opened_frame(sealed, source, number)
        if data:
            yield data
    if not source.is_over():
        raise _damaged("something follows its last frame")


def opened(beginning: bytes, keys: t.Sequence[EpochKey], context: Context) -> Sealed:
    """Open a file by its first bytes (4 KiB, or all) so that parts of it can be read.

    Raises as `decrypted` does.
    """
    return _opened(beginning, keys, context)


def context_of(beginning: bytes) -> Context:
    """Return what a file says that it belongs to; nothing of that is authenticated. Raises DamagedError."""
    return message_header.parsed(beginning)[0].context


def keys_of(beginning: bytes) -> list[tuple[str, str]]:
    """Return keyring and epoch of the keys that open a file, as it says; nothing of that is authenticated.

    Raises DamagedError.
    """
    return [(key.namespace, key.name) for key in message_header.parsed(beginning)[0].keys]


def _begun(key: EpochKey, context: Context) -> tuple[Sealed, bytes]:
    """Make a data key, and return what frames are sealed with and the header with its tag."""
    data_key, iv, message_id = os.urandom(KEY), os.urandom(IV), os.urandom(message_header.ID)
    ciphertext = _seal(key.secret, iv, message_header.context_bytes(context), memoryview(data_key))
    wrapped = WrappedKey(key.keyring, key.epoch, iv, ciphertext)
    frame_key, commitment = _derived(data_key, message_id)
    header = Header(message_id, context, (wrapped,), FRAME, commitment)
    data = message_header.to_bytes(header)
    data += _seal(frame_key, bytes(IV), data, memoryview(b""))
    return Sealed(header, len(data), frame_key), data


def _opened(beginning: bytes, keys: t.Sequence[EpochKey], context: Context) -> Sealed:
    header, length = message_header.parsed(beginning)
    if dict(header.context) != dict(context):
        raise _damaged(f"it belongs to {_words(header.context)}, not to {_words(context)}")
    frame_key, commitment = _derived(_data_key(header, keys), header.id)
    if not hmac.compare_digest(commitment, header.commitment):
        raise _damaged("its key is not the one that it was written with")
    tag = beginning[length : length + TAG]
    if len(tag) < TAG or _open(frame_key, bytes(IV), beginning[:length], memoryview(b""), tag) is None:
        raise _damaged("its header is changed or cut")
    return Sealed(header, length + TAG, frame_key)


def _data_key(header: Header, keys: t.Sequence[EpochKey]) -> bytes:
    """Return the data key of a file. Raises WrongKeyError."""
    aad = message_header.context_bytes(header.context)
    for wrapped in header.keys:
        for key in keys:
            if (key.keyring, key.epoch) == (wrapped.namespace, wrapped.name):
                body, tag = wrapped.ciphertext[:-TAG], wrapped.ciphertext[-TAG:]
                data_key = _open(key.secret, wrapped.iv, aad, memoryview(body), tag)
                if data_key is not None and len(data_key) == KEY:
                    return data_key
    wanted = ", ".join(sorted({f"{key.name} of keyring {key.namespace}" for key in header.keys}))
    raise WrongKeyError(
        _PROBLEM,
        f"it was encrypted under {wanted or 'no key'}, and no key at hand opens it",
        "give the secret of that keyring, or its recovery key",
    )


def _sealed_frame(sealed: Sealed, number: int, plain: memoryview, is_last: bool) -> bytes:
    iv = number.to_bytes(IV, "big")
    if is_last:
        head = struct.pack(">II", _LAST, number) + iv + struct.pack(">I", len(plain))
    else:
        head = struct.pack(">I", number) + iv
    return _seal(sealed.key, iv, _frame_aad(sealed, number, len(plain), is_last), plain, head)


def _opened_frame(sealed: Sealed, source: _Source, number: int) -> tuple[bytes, bool]:
    """Return the plain bytes of the next frame, which must have this number, and whether it is the last."""
    (found,) = struct.unpack(">I", source.take(4))
    is_last = found == _LAST
    if is_last:
        (found,) = struct.unpack(">I", source.take(4))
    iv = bytes(source.take(IV))
    size = sealed.header.frame
    if is_last:
        (size,) = struct.unpack(">I", source.take(4))
    if found != number or size > sealed.header.frame:
        raise _damaged(f"where frame {number} should be there is something else")
    body = source.take(size)
    plain = _open(sealed.key, iv, _frame_aad(sealed, number, size, is_last), body, bytes(source.take(TAG)))
    if plain is None:
        raise _damaged(f"frame {number} is changed")
    return plain, is_last


def _frame_aad(sealed: Sealed, number: int, size: int, is_last: bool) -> bytes:
    return sealed.header.id + (_LAST_CONTENT if is_last else _CONTENT) + struct.pack(">IQ", number, size)


def _derived(data_key: bytes, message_id: bytes) -> tuple[bytes, bytes]:
    """Return the key of the frames, and the commitment."""
    found = _library()

    def key(info: bytes) -> bytes:
        derived: bytes = found.HKDF(
            algorithm=found.SHA512(), length=KEY, salt=message_id, info=info, backend=found.backend
        ).derive(data_key)
        return derived

    return key(_SUITE + b"DERIVEKEY"), key(b"COMMITKEY")


def _seal(key: bytes, iv: bytes, aad: bytes, plain: memoryview, head: bytes = b"") -> bytes:
    """Return the ciphertext with its tag, behind `head`."""
    library = _library()
    cipher = library.Cipher(library.AES(key), library.GCM(iv), backend=library.backend).encryptor()
    cipher.authenticate_additional_data(aad)
    room = bytearray(len(plain) + _BLOCK)
    count = cipher.update_into(plain, room) if plain else 0
    cipher.finalize()
    return b"".join((head, memoryview(room)[:count], cipher.tag))


def _open(key: bytes, iv: bytes, aad: bytes, body: memoryview, tag: bytes) -> bytes | None:
    """Return the plain bytes; None where the tag is not theirs."""
    library = _library()
    cipher = library.Cipher(library.AES(key), library.GCM(iv, tag), backend=library.backend).decryptor()
    cipher.authenticate_additional_data(aad)
    room = bytearray(len(body) + _BLOCK)
    count = cipher.update_into(body, room) if body else 0
    try:
        cipher.finalize()
    except library.InvalidTag:
        return None
    return bytes(memoryview(room)[:count])


class _Library(t.NamedTuple):
    """What we use of the library `cryptography`."""

    Cipher: t.Any
    AES: t.Any
    GCM: t.Any
    HKDF: t.Any
    SHA512: t.Any
    InvalidTag: type[Exception]
    backend: t.Any


@functools.lru_cache(maxsize=1)
def _library() -> _Library:
    try:
        ciphers = importlib.import_module("cryptography.hazmat.primitives.ciphers")
        return _Library(
            ciphers.Cipher,
            ciphers.algorithms.AES,
            ciphers.modes.GCM,
            importlib.import_module("cryptography.hazmat.primitives.kdf.hkdf").HKDF,
            importlib.import_module("cryptography.hazmat.primitives.hashes").SHA512,
            importlib.import_module("cryptography.exceptions").InvalidTag,
            importlib.import_module("cryptography.hazmat.backends").default_backend(),
        )
    except ImportError as error:
        raise MissingPartError(
            "Cannot encrypt or decrypt", str(error), "install python3-cryptography for the Python that runs Lifeboat"
        ) from error


class _Source:
    """Takes bytes from pieces of any length, copied only where they lie in several of them."""

    def __init__(self, pieces: t.Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._rest = memoryview(b"")

    def up_to(self, count: int) -> memoryview:
        """Return the next bytes, at most `count` and fewer only at the end; they stay there."""
        if len(self._rest) < count:
            parts = [self._rest]
            missing = count - len(self._rest)
            for piece in self._pieces:
                parts.append(memoryview(piece))
                missing -= len(piece)
                if missing <= 0:
                    break
            self._rest = memoryview(b"".join(parts)) if len(parts) > 1 else self._rest
        return self._rest[:count]

    def is_over(self) -> bool:
        """Say whether nothing follows."""
        return not self.up_to(1)

    def skip(self, count: int) -> None:
        """Leave bytes out that `up_to` has returned."""
        self._rest = self._rest[count:]

    def take(self, count: int) -> memoryview:
        """Return exactly the next bytes. Raises DamagedError."""
        found = self.up_to(count)
        if len(found) < count:
            raise _damaged("it is cut")
        self.skip(count)
        return found


def _words(context: Context) -> str:
    return ", ".join(f"{name} {value!a}" for name, value in sorted(context.items())) or "nothing"


def _damaged(cause: str) -> DamagedError:
    return DamagedError(_PROBLEM, cause, "use another copy of the backup")
