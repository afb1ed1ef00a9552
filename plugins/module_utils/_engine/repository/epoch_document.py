# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The documents `keys/<epoch>.json`: the keys of a keyring, encrypted for those who hold it (docs/format.md)."""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import hmac
import re
import typing as t
import uuid

from .. import clock
from ..errors import DamagedError
from . import json_document, key_wrapping, layout
from .key_wrapping import UnwrapError, Wrapped
from .organisation_secret import Secret, Stretching

_PURPOSE = b"lifeboat keyring 1 epoch key"
_NAMING = b"lifeboat keyring 1 name of the secret"
_CHECKING = b"lifeboat keyring 1 check "
NAME = re.compile(r"[0-9]{4}")  # of epochs: a number, so that two who make the same one at once exclude each other
_DIGEST = re.compile(r"[0-9a-f]{64}")
_SECRET_NAME = re.compile(r"[0-9a-f]{16}")


@dataclasses.dataclass(frozen=True)
class SecretWrap:
    """An epoch key, and the keyring's authentication key behind it, under a secret of the organisation."""

    wrapped: Wrapped
    name: str  # tells the secret from others, without showing it
    stretching: Stretching | None

    def fields(self) -> dict[str, t.Any]:
        cost = self.stretching.fields() if self.stretching else None
        return {**self.wrapped.fields(), "name": self.name, "passphrase": cost}


@dataclasses.dataclass(frozen=True)
class RecoveryWrap:
    """An epoch key for the holder of the recovery key."""

    key: str  # fingerprint of the recovery key
    ciphertext: bytes

    def fields(self) -> dict[str, str]:
        return {"key": self.key, "ciphertext": key_wrapping.to_text(self.ciphertext)}


class RecoveryRecipient(t.NamedTuple):
    """A recovery key to encrypt for."""

    fingerprint: str
    public_key: t.Any


class Recipients(t.NamedTuple):
    """For whom a keyring is."""

    secrets: tuple[Secret, ...] | None = None  # None: those that it is for
    recovery: RecoveryRecipient | None = None  # None: the one that it is for, if any


class Opened(t.NamedTuple):
    """What the secret opens."""

    secret: bytes  # the epoch key
    authentication: bytes  # the key that authenticates the documents of the keyring

    def __repr__(self) -> str:
        return "Opened()"


@dataclasses.dataclass(frozen=True)
class EpochDocument:
    """One epoch key of a keyring, as it lies in a repository. What it is never changes; for whom it is, does."""

    keyring: str  # UUID
    epoch: str  # its name; names sort by creation
    created: dt.datetime  # the clock of the repository that it was made in
    is_single: bool  # one recipient is enough
    check: str  # tells the key from others, without showing it
    authentication: str  # proves to who has the recovery code that this is a key of the keyring
    revision: int  # grows whenever the recipients change
    secrets: tuple[SecretWrap, ...]
    recovery: RecoveryWrap | None

    @property
    def identity(self) -> bytes:
        """Return what never changes of the document, in the form in which it is authenticated."""
        return _identity(self.keyring, self.epoch, self.created, self.is_single, self.check)

    def opened(self, secret: Secret) -> Opened | None:
        """Return what a secret opens; None where the document is for other secrets. Raises DamagedError."""
        for each in self.secrets:
            if each.name != _name(secret, each.wrapped.salt):
                continue
            try:
                plain = key_wrapping.unwrap(secret.key, _PURPOSE, each.wrapped, self.identity)
            except UnwrapError:
                raise _damaged(self, "the secret is the right one, and it does not open") from None
            return self._checked(Opened(plain[: key_wrapping.KEY], plain[key_wrapping.KEY :]))
        return None

    def opened_with(self, private_key: t.Any, fingerprint: str, authentication: bytes) -> Opened | None:
        """Return what the recovery key opens; None where the document is not for it. Raises DamagedError.

        `authentication` is the keyring's key for that: what is for a public key, anybody could have written.
        """
        if self.recovery is None or self.recovery.key != fingerprint:
            return None
        try:
            plain = key_wrapping.unwrap_with(private_key, self.recovery.ciphertext)
        except UnwrapError:
            raise _damaged(self, "the recovery key is the right one, and it does not open") from None
        return self._checked(Opened(plain, authentication))

    def _checked(self, found: Opened) -> Opened:
        is_own = hmac.compare_digest(_check(found.secret, self.keyring, self.epoch), self.check)
        if not is_own or not hmac.compare_digest(_seal(found.authentication, self.identity), self.authentication):
            raise _damaged(self, "its key is none of this keyring")
        return found

    def for_recipients(self, opened: Opened, recipients: Recipients) -> EpochDocument:
        """Return the document for others: itself where they can open it already, and nobody else."""
        secrets, recovery = recipients
        changed = self
        if secrets is not None and not self._is_for(secrets):
            wraps = tuple(_wrap(each, opened, self.identity) for each in secrets)
            changed = dataclasses.replace(changed, secrets=wraps)
        if recovery is not None and (self.recovery is None or self.recovery.key != recovery.fingerprint):
            ciphertext = key_wrapping.wrap_for(recovery.public_key, opened.secret)
            changed = dataclasses.replace(changed, recovery=RecoveryWrap(recovery.fingerprint, ciphertext))
        return self if changed is self else dataclasses.replace(changed, revision=self.revision + 1)

    def _is_for(self, secrets: t.Sequence[Secret]) -> bool:
        named = sum(any(_name(each, wrap.wrapped.salt) == wrap.name for wrap in self.secrets) for each in secrets)
        return named == len(secrets) == len(self.secrets)

    def to_bytes(self) -> bytes:
        return json_document.encoded(
            {
                "keyring": self.keyring,
                "epoch": self.epoch,
                "created": clock.to_text(self.created),
                "allow_single_recipient": self.is_single,
                "check": self.check,
                "authentication": self.authentication,
                "revision": self.revision,
                "secrets": [each.fields() for each in self.secrets],
                "recovery": self.recovery.fields() if self.recovery else None,
            }
        )

    @classmethod
    def from_bytes(cls, data: bytes, epoch: str, where: str) -> EpochDocument:
        """Parse `keys/<epoch>.json`. Raises DamagedError."""
        what = f"{layout.epoch(epoch)} of {where}"
        fields = json_document.decoded(data, what)
        try:
            recovery = fields["recovery"]
            found = cls(
                str(uuid.UUID(fields["keyring"])),
                str(fields["epoch"]),
                clock.from_text(fields["created"]),
                _of_type(fields["allow_single_recipient"], bool),
                _matching(fields["check"], _DIGEST),
                _matching(fields["authentication"], _DIGEST),
                _of_type(fields["revision"], int),
                tuple(_secret_wrap(each) for each in fields["secrets"]),
                None if recovery is None else _recovery_wrap(recovery),
            )
            if found.epoch != epoch or NAME.fullmatch(epoch) is None:
                raise ValueError("its epoch is not that of its name")
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DamagedError(f"Cannot read {what}", f"damaged: {error}", _REMEDY) from error
        return found


_REMEDY = "let the module backup_keyring repair it from another repository, or take an older version of the file"


def made(keyring: str, epoch: str, created: dt.datetime, is_single: bool, opened: Opened) -> EpochDocument:
    """Return the document of a new epoch, which nobody can open yet: `for_recipients` says who shall."""
    check = _check(opened.secret, keyring, epoch)
    authentication = _seal(opened.authentication, _identity(keyring, epoch, created, is_single, check))
    return EpochDocument(keyring, epoch, created, is_single, check, authentication, 0, (), None)


def _identity(keyring: str, epoch: str, created: dt.datetime, is_single: bool, check: str) -> bytes:
    return key_wrapping.canonical(
        {
            "keyring": keyring,
            "epoch": epoch,
            "created": clock.to_text(created),
            "allow_single_recipient": is_single,
            "check": check,
        }
    )


def _wrap(secret: Secret, opened: Opened, identity: bytes) -> SecretWrap:
    plain = opened.secret + opened.authentication
    wrapped = key_wrapping.wrap(secret.key, _PURPOSE, plain, identity)
    return SecretWrap(wrapped, _name(secret, wrapped.salt), secret.stretching)


def _name(secret: Secret, salt: bytes) -> str:
    return key_wrapping.derived(secret.key, salt, _NAMING).hex()[:16]


def _check(secret: bytes, keyring: str, epoch: str) -> str:
    return hmac.new(secret, _CHECKING + f"{keyring} {epoch}".encode("ascii"), hashlib.sha256).hexdigest()


def _seal(authentication: bytes, identity: bytes) -> str:
    return hmac.new(authentication, identity, hashlib.sha256).hexdigest()


def _secret_wrap(fields: t.Mapping[str, t.Any]) -> SecretWrap:
    cost = fields["passphrase"]
    stretching = None if cost is None else Stretching.from_fields(cost)
    return SecretWrap(Wrapped.from_fields(fields), _matching(fields["name"], _SECRET_NAME), stretching)


def _recovery_wrap(fields: t.Mapping[str, t.Any]) -> RecoveryWrap:
    return RecoveryWrap(_matching(fields["key"], _DIGEST), key_wrapping.from_text(fields["ciphertext"]))


T = t.TypeVar("T")


def _of_type(value: t.Any, kind: type[T]) -> T:
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise ValueError(f"not a value of type {kind.__name__}")
    return value


def _matching(text: str, pattern: re.Pattern[str]) -> str:
    if pattern.fullmatch(text) is None:
        raise ValueError("a digest is not one")
    return text


def _damaged(document: EpochDocument, cause: str) -> DamagedError:
    return DamagedError(f"Cannot use {layout.epoch(document.epoch)}", f"{cause}: it was edited or is damaged", _REMEDY)
