# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The recovery key of a keyring, `RESCUE/recovery_key-<n>.json`: who has its code opens everything (docs/keys.md)."""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import hmac
import os
import platform
import typing as t
import uuid

from .. import clock
from ..errors import DamagedError, LifeboatError
from . import json_document, key_wrapping, layout, pkcs8
from .key_wrapping import UnwrapError, Wrapped

_PURPOSE = b"lifeboat keyring 1 authentication"
_CANARY = 32  # random bytes


class WrongCodeError(LifeboatError):
    """The code does not open the recovery key."""


@dataclasses.dataclass(frozen=True)
class RecoveryKey:
    """A recovery key, as it lies in a repository; it never changes."""

    keyring: str  # UUID
    number: int  # 1, 2 …: the greatest is the one in use
    created: dt.datetime  # the clock of the repository
    host: str  # where its code was written
    public_key: str  # PEM
    private_key: str  # PEM, encrypted under the code
    canary: bytes  # something for the key
    canary_sha256: str  # what it is
    seal: Wrapped  # the key that authenticates the keyring's documents, under the code
    authentication: str  # proves that somebody with the keyring made it

    @property
    def fingerprint(self) -> str:
        """Return the SHA-256 of the public key (DER, SubjectPublicKeyInfo)."""
        formats = key_wrapping.library().serialization
        der = self.loaded().public_bytes(formats.Encoding.DER, formats.PublicFormat.SubjectPublicKeyInfo)
        return hashlib.sha256(der).hexdigest()

    def loaded(self) -> t.Any:
        """Return the public key, to encrypt with. Raises DamagedError."""
        try:
            return key_wrapping.library().serialization.load_pem_public_key(self.public_key.encode("ascii"))
        except ValueError as error:
            raise _damaged(self.number, str(error)) from error

    def private(self, code: str, pem: str = "") -> t.Any:
        """Return the private key, opened with the code; `pem` instead of the one in the repository.

        Raises WrongCodeError; DamagedError where it does not open the canary.
        """
        try:
            key = key_wrapping.library().serialization.load_pem_private_key(
                (pem or self.private_key).encode("utf-8"), password=code.encode("ascii")
            )
            canary = key_wrapping.unwrap_with(key, self.canary)
        except (ValueError, TypeError):
            raise WrongCodeError(
                f"Cannot open recovery key {self.number} of keyring {self.keyring}",
                "the code is another one's",
                "take the code that was printed for this keyring and this number",
            ) from None
        except UnwrapError:
            canary = b""
        if hashlib.sha256(canary).hexdigest() != self.canary_sha256:
            raise _damaged(self.number, "the private key does not belong to the public one")
        return key

    def authentication_key(self, code: str) -> bytes:
        """Return the key that authenticates the keyring's documents. Raises WrongCodeError, DamagedError."""
        try:
            key = key_wrapping.unwrap(code.encode("ascii"), _PURPOSE, self.seal, self._belonging())
        except UnwrapError:
            raise _damaged(self.number, "its seal does not open") from None
        self.require_authentic(key)
        return key

    def require_authentic(self, authentication_key: bytes) -> None:
        """Raise DamagedError unless somebody with the keyring made this: else new keys would go to a stranger."""
        if not _is_equal(_signed(authentication_key, self._fields()), self.authentication):
            raise _damaged(self.number, "nobody with the keyring made it")

    def _belonging(self) -> bytes:
        return key_wrapping.canonical({"keyring": self.keyring, "number": self.number})

    def _fields(self) -> dict[str, t.Any]:
        return {
            "keyring": self.keyring,
            "number": self.number,
            "created": clock.to_text(self.created),
            "host": self.host,
            "public_key": self.public_key,
            "private_key": self.private_key,
            "canary": {"ciphertext": key_wrapping.to_text(self.canary), "sha256": self.canary_sha256},
            "seal": self.seal.fields(),
        }

    def to_bytes(self) -> bytes:
        return json_document.encoded({**self._fields(), "authentication": self.authentication})

    @classmethod
    def from_bytes(cls, data: bytes, number: int, where: str) -> RecoveryKey:
        """Parse `RESCUE/recovery_key-<n>.json`. Raises DamagedError."""
        what = f"{layout.recovery_key(number)} of {where}"
        fields = json_document.decoded(data, what)
        try:
            found = cls(
                str(uuid.UUID(fields["keyring"])),
                int(fields["number"]),
                clock.from_text(fields["created"]),
                str(fields["host"]),
                str(fields["public_key"]),
                str(fields["private_key"]),
                key_wrapping.from_text(fields["canary"]["ciphertext"]),
                str(fields["canary"]["sha256"]),
                Wrapped.from_fields(fields["seal"]),
                str(fields["authentication"]),
            )
            if found.number != number:
                raise ValueError("its number is not that of its name")
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DamagedError(f"Cannot read {what}", f"damaged: {error}", _REMEDY) from error
        return found


_REMEDY = "take the file of another repository; it never changes"


def made(keyring: str, number: int, created: dt.datetime, authentication_key: bytes, code: str) -> RecoveryKey:
    """Make a recovery key under a fresh code; takes seconds."""
    found = key_wrapping.library()
    private_key = found.rsa.generate_private_key(public_exponent=65537, key_size=key_wrapping.RSA_BITS)
    public_key = private_key.public_key()
    formats = found.serialization
    pem = public_key.public_bytes(formats.Encoding.PEM, formats.PublicFormat.SubjectPublicKeyInfo).decode("ascii")
    canary = os.urandom(_CANARY)
    belonging = key_wrapping.canonical({"keyring": keyring, "number": number})
    unsigned = RecoveryKey(
        keyring,
        number,
        created,
        platform.node(),
        pem,
        pkcs8.encrypted_pem(private_key, code),
        key_wrapping.wrap_for(public_key, canary),
        hashlib.sha256(canary).hexdigest(),
        key_wrapping.wrap(code.encode("ascii"), _PURPOSE, authentication_key, belonging),
        "",
    )
    return dataclasses.replace(unsigned, authentication=_signed(authentication_key, unsigned._fields()))


def verification(key: RecoveryKey, moment: dt.datetime, authentication_key: bytes) -> bytes:
    """Return the document which says that somebody had the code of this key at that time."""
    fields = {
        "keyring": key.keyring,
        "number": key.number,
        "key": key.fingerprint,
        "time": clock.to_text(moment),
        "host": platform.node(),
    }
    return json_document.encoded({**fields, "authentication": _signed(authentication_key, fields)})


def is_verification(data: bytes, key: RecoveryKey, authentication_key: bytes, where: str) -> bool:
    """Say whether a document is what `verification` returned for this key. Raises DamagedError."""
    fields = json_document.decoded(data, f"{layout.recovery_key(key.number, '.verified.json')} of {where}")
    authentication = str(fields.pop("authentication", ""))
    fields.pop("format", None)
    is_own = (fields.get("number"), fields.get("key")) == (key.number, key.fingerprint)
    return is_own and _is_equal(_signed(authentication_key, fields), authentication)


def _signed(authentication_key: bytes, fields: t.Mapping[str, t.Any]) -> str:
    data = b"lifeboat recovery key 1 " + key_wrapping.canonical(fields)
    return hmac.new(authentication_key, data, hashlib.sha256).hexdigest()


def _is_equal(own: str, found: str) -> bool:
    """Compare signatures; what was found can be any text."""
    return hmac.compare_digest(own.encode("ascii"), found.encode("utf-8", "replace"))


def _damaged(number: int, cause: str) -> DamagedError:
    return DamagedError(f"Cannot use {layout.recovery_key(number)}", f"{cause}: it was edited or is damaged", _REMEDY)
