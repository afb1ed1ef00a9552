# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How keys are encrypted for those who hold a keyring: under a secret, and for an RSA key (docs/keys.md)."""

from __future__ import annotations

import base64
import binascii
import functools
import importlib
import json
import os
import typing as t

from ..errors import MissingPartError

RSA_BITS = 4096
KEY = 32  # bytes of a key
_IV = 12
_TAG = 16
_SALT = 32


class UnwrapError(Exception):
    """What was wrapped does not open: it is another key's, or changed."""


class Library(t.NamedTuple):
    """What we use of the library `cryptography`."""

    AESGCM: t.Any
    HKDF: t.Any
    Scrypt: t.Any
    Cipher: t.Any
    ciphers: t.Any  # its modules
    modes: t.Any
    hashes: t.Any
    padding: t.Any
    rsa: t.Any
    serialization: t.Any
    InvalidTag: type[Exception]


@functools.lru_cache(maxsize=1)
def library() -> Library:
    """Return what keyrings need of `cryptography`. Raises MissingPartError."""
    try:
        primitives = "cryptography.hazmat.primitives"
        ciphers = importlib.import_module(f"{primitives}.ciphers")
        return Library(
            importlib.import_module(f"{primitives}.ciphers.aead").AESGCM,
            importlib.import_module(f"{primitives}.kdf.hkdf").HKDF,
            importlib.import_module(f"{primitives}.kdf.scrypt").Scrypt,
            ciphers.Cipher,
            ciphers.algorithms,
            ciphers.modes,
            importlib.import_module(f"{primitives}.hashes"),
            importlib.import_module(f"{primitives}.asymmetric.padding"),
            importlib.import_module(f"{primitives}.asymmetric.rsa"),
            importlib.import_module(f"{primitives}.serialization"),
            importlib.import_module("cryptography.exceptions").InvalidTag,
        )
    except ImportError as error:
        raise MissingPartError(
            "Cannot use a keyring", str(error), "install python3-cryptography for the Python that runs Lifeboat"
        ) from error


class Wrapped(t.NamedTuple):
    """Something that is encrypted under a secret, with what its key is derived from."""

    salt: bytes
    iv: bytes
    ciphertext: bytes  # with its tag

    def fields(self) -> dict[str, str]:
        """Return the members that a document has for it."""
        return {"salt": to_text(self.salt), "iv": to_text(self.iv), "ciphertext": to_text(self.ciphertext)}

    @classmethod
    def from_fields(cls, fields: t.Mapping[str, t.Any]) -> Wrapped:
        """Parse what `fields` returned. Raises ValueError, KeyError, TypeError."""
        return cls(from_text(fields["salt"]), from_text(fields["iv"]), from_text(fields["ciphertext"]))


def wrap(secret: bytes, purpose: bytes, plain: bytes, belongs_to: bytes) -> Wrapped:
    """Encrypt `plain` (AES-256-GCM) under a key that HKDF-SHA512 derives from a random secret.

    `belongs_to` is authenticated with it.
    """
    salt, iv = os.urandom(_SALT), os.urandom(_IV)
    ciphertext = library().AESGCM(derived(secret, salt, purpose)).encrypt(iv, plain, belongs_to)
    return Wrapped(salt, iv, bytes(ciphertext))


def unwrap(secret: bytes, purpose: bytes, wrapped: Wrapped, belongs_to: bytes) -> bytes:
    """Return what `wrap` was given. Raises UnwrapError."""
    if len(wrapped.iv) != _IV or len(wrapped.ciphertext) < _TAG:
        raise UnwrapError
    cipher = library().AESGCM(derived(secret, wrapped.salt, purpose))
    try:
        return bytes(cipher.decrypt(wrapped.iv, wrapped.ciphertext, belongs_to))
    except library().InvalidTag:
        raise UnwrapError from None


def derived(secret: bytes, salt: bytes, purpose: bytes) -> bytes:
    """Return a key of 32 bytes (HKDF-SHA512, RFC 5869)."""
    found = library()
    return bytes(found.HKDF(algorithm=found.hashes.SHA512(), length=KEY, salt=salt, info=purpose).derive(secret))


def wrap_for(public_key: t.Any, plain: bytes) -> bytes:
    """Encrypt a few bytes for the holder of an RSA key (OAEP with SHA-256, RFC 8017)."""
    return bytes(public_key.encrypt(plain, _oaep()))


def unwrap_with(private_key: t.Any, ciphertext: bytes) -> bytes:
    """Return what `wrap_for` was given. Raises UnwrapError."""
    try:
        return bytes(private_key.decrypt(ciphertext, _oaep()))
    except ValueError:
        raise UnwrapError from None


def _oaep() -> t.Any:
    found = library()
    return found.padding.OAEP(
        mgf=found.padding.MGF1(algorithm=found.hashes.SHA256()), algorithm=found.hashes.SHA256(), label=None
    )


def canonical(fields: t.Mapping[str, t.Any]) -> bytes:
    """Return one form of some members, to be authenticated: JSON in ASCII, sorted, without blanks."""
    return json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode("ascii")


def to_text(data: bytes) -> str:
    """Return bytes as documents hold them: base64."""
    return base64.b64encode(data).decode("ascii")


def from_text(text: str) -> bytes:
    """Parse what `to_text` returned. Raises ValueError, TypeError."""
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from error
