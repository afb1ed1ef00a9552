# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The encryption of request and answer bodies of MinIO's admin API that hold secrets (MinIO madmin-go, `encrypt.go`).

Layout: salt (32 bytes), cipher (1), nonce (8), then chunks of 16 KiB, each followed by its tag of 16 bytes. The key is
derived from the caller's secret key. The chunks are sealed with a counter, and the last one says that it is.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import struct
import typing as t

from ..errors import DamagedError, MissingPartError

_SALT = 32
_NONCE = 8
_HEAD = _SALT + 1 + _NONCE
_CHUNK = 16 * 1024
_TAG = 16
_KEY = 32

ARGON2_AES = 0  # what the server answers with
ARGON2_CHACHA = 1
PBKDF2_AES = 2
_CIPHERS = {ARGON2_AES: "AESGCM", ARGON2_CHACHA: "ChaCha20Poly1305", PBKDF2_AES: "AESGCM"}

_ARGON2_PASSES = 1
_ARGON2_KIB = 64 * 1024
_ARGON2_LANES = 4
_PBKDF2_ROUNDS = 8192

_PROBLEM = "Cannot use the admin API of MinIO"
_NOT_LAST, _LAST = b"\x00", b"\x80"


class _Box(t.Protocol):
    """An authenticated cipher of the library `cryptography`."""

    def encrypt(self, nonce: bytes, data: bytes, associated_data: bytes) -> bytes:
        """Return the ciphertext with its tag."""

    def decrypt(self, nonce: bytes, data: bytes, associated_data: bytes) -> bytes:
        """Return the plain bytes."""


def encrypted(secret: str, data: bytes, cipher: int = PBKDF2_AES) -> bytes:
    """Return `data` as the server takes it from the caller whose secret key is `secret`. Raises MissingPartError.

    PBKDF2 costs neither side 64 MiB of memory, and needs no further library. It makes nothing easier for somebody who
    listens: to guess a secret key by the signature of the same request costs less than by either derivation.
    """
    salt, nonce = os.urandom(_SALT), os.urandom(_NONCE)
    box = _box(secret, salt, cipher)
    seal = _seal(box, nonce)
    chunks = [data[start : start + _CHUNK] for start in range(0, len(data), _CHUNK)] or [b""]
    sealed = [
        box.encrypt(_numbered(nonce, number), chunk, (_LAST if number == len(chunks) else _NOT_LAST) + seal)
        for number, chunk in enumerate(chunks, 1)
    ]
    return b"".join([salt, bytes([cipher]), nonce, *sealed])


def decrypted(secret: str, data: bytes) -> bytes:
    """Return the plain bytes of an answer to the caller whose secret key is `secret`.

    Raises DamagedError for what was encrypted for somebody else, changed or cut; MissingPartError.
    """
    if len(data) < _HEAD + _TAG or data[_SALT] not in _CIPHERS:
        raise _unreadable("it is not encrypted as this API does it")
    nonce, body = data[_SALT + 1 : _HEAD], data[_HEAD:]
    box = _box(secret, data[:_SALT], data[_SALT])
    seal = _seal(box, nonce)
    invalid = importlib.import_module("cryptography.exceptions").InvalidTag
    plain = []
    for number, start in enumerate(range(0, len(body), _CHUNK + _TAG), 1):
        is_last = start + _CHUNK + _TAG >= len(body)
        chunk = body[start : start + _CHUNK + _TAG]
        if len(chunk) < _TAG:
            raise _unreadable("it was cut")
        try:
            plain.append(box.decrypt(_numbered(nonce, number), chunk, (_LAST if is_last else _NOT_LAST) + seal))
        except invalid as error:
            raise _unreadable("it was changed, cut, or encrypted for another secret key") from error
    return b"".join(plain)


def _numbered(nonce: bytes, number: int) -> bytes:
    return nonce + struct.pack("<I", number)


def _seal(box: _Box, nonce: bytes) -> bytes:
    """Return the tag of an empty chunk with number 0, which all chunks are bound to."""
    return box.encrypt(_numbered(nonce, 0), b"", b"")


def _unreadable(cause: str) -> DamagedError:
    return DamagedError(
        "Cannot read an answer of MinIO's admin API", cause, "check what lies between here and the server"
    )


def _box(secret: str, salt: bytes, cipher: int) -> _Box:
    try:
        aead = importlib.import_module("cryptography.hazmat.primitives.ciphers.aead")
    except ImportError as error:
        raise MissingPartError(
            _PROBLEM,
            "it encrypts secrets with AES-GCM, and the Python library cryptography is not installed",
            "install python3-cryptography on the host that runs this task, or delegate the task to one that has it",
        ) from error
    derive = _pbkdf2 if cipher == PBKDF2_AES else _argon2id
    box: _Box = getattr(aead, _CIPHERS[cipher])(derive(secret.encode("utf-8"), salt))
    return box


def _pbkdf2(secret: bytes, salt: bytes) -> bytes:
    return hashlib.pbkdf2_hmac("sha256", secret, salt, _PBKDF2_ROUNDS, _KEY)


def _argon2id(secret: bytes, salt: bytes) -> bytes:
    """Derive a key with Argon2id (RFC 9106), by whichever library is there: it needs 64 MiB of memory."""
    derived = _by_cryptography(secret, salt)
    if derived is None:
        derived = _by_argon2_cffi(secret, salt)
    if derived is None:
        raise MissingPartError(
            _PROBLEM,
            "it derives keys with Argon2id, which neither this cryptography (44 is the first to have it, with OpenSSL "
            "3.2) nor argon2-cffi has here",
            "install python3-argon2 (argon2-cffi) on the host that runs this task, or delegate the task to one that "
            "has it",
        )
    return derived


def _by_cryptography(secret: bytes, salt: bytes) -> bytes | None:
    try:
        argon2 = importlib.import_module("cryptography.hazmat.primitives.kdf.argon2")
        unsupported = importlib.import_module("cryptography.exceptions").UnsupportedAlgorithm
    except ImportError:
        return None
    try:
        derivation = argon2.Argon2id(
            salt=salt, length=_KEY, iterations=_ARGON2_PASSES, lanes=_ARGON2_LANES, memory_cost=_ARGON2_KIB
        )
        derived: bytes = derivation.derive(secret)
    except unsupported:
        return None
    return derived


def _by_argon2_cffi(secret: bytes, salt: bytes) -> bytes | None:
    try:
        argon2 = importlib.import_module("argon2.low_level")
    except ImportError:
        return None
    derived: bytes = argon2.hash_secret_raw(
        secret,
        salt,
        time_cost=_ARGON2_PASSES,
        memory_cost=_ARGON2_KIB,
        parallelism=_ARGON2_LANES,
        hash_len=_KEY,
        type=argon2.Type.ID,
    )
    return derived
