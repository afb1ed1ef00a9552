# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The secret of an organisation, under which the keys of its keyring are encrypted (docs/keys.md)."""

from __future__ import annotations

import base64
import binascii
import dataclasses
import os
import re
import typing as t

from ..errors import UsageError
from . import key_wrapping

LEAST = 32  # bytes of a random secret
_LEAST_PASSPHRASE = 15  # characters (NIST SP 800-63B-4, section 3.1.1.1, for a password that stands alone)
# Costs 128 MiB and about half a second, once (RFC 7914; OWASP "Password Storage Cheat Sheet").
_N, _R, _P = 2**17, 8, 1
_SALT = 16
_HEX = re.compile(r"[0-9a-fA-F]+")
_DERIVED = re.compile(r"scrypt:([0-9]{1,9}):([0-9]{1,3}):([0-9]{1,3}):([0-9a-f]{32}):([0-9a-f]{64})")


@dataclasses.dataclass(frozen=True)
class Stretching:
    """How a passphrase became a secret (scrypt): what is needed to do it again. No secret."""

    n: int
    r: int
    p: int
    salt: bytes

    def fields(self) -> dict[str, t.Any]:
        return {"n": self.n, "r": self.r, "p": self.p, "salt": self.salt.hex()}

    @classmethod
    def from_fields(cls, fields: t.Mapping[str, t.Any]) -> Stretching:
        """Parse what `fields` returned. Raises ValueError, KeyError, TypeError.

        Only the one cost that we write is accepted: whoever may edit a document must not choose it.
        """
        found = cls(int(fields["n"]), int(fields["r"]), int(fields["p"]), bytes.fromhex(fields["salt"]))
        if (found.n, found.r, found.p, len(found.salt)) != (_N, _R, _P, _SALT):
            raise ValueError("the cost of the passphrase is not one that is used")
        return found


@dataclasses.dataclass(frozen=True)
class Secret:
    """The bytes that keys are encrypted under."""

    key: bytes = dataclasses.field(repr=False)  # 32 or more
    stretching: Stretching | None = None  # of the passphrase that it was made of; None: it is random

    def to_text(self) -> str:
        """Return the content of a key file, one line without its end."""
        if self.stretching is None:
            return base64.b64encode(self.key).decode("ascii")
        cost = self.stretching
        return f"scrypt:{cost.n}:{cost.r}:{cost.p}:{cost.salt.hex()}:{self.key.hex()}"


def from_text(text: str, where: str) -> Secret:
    """Parse a secret: base64 or hexadecimal digits of at least 32 random bytes, or what became of a passphrase.

    `where` names its file or option. Raises UsageError, which does not show it.
    """
    made = _DERIVED.fullmatch(text)
    try:
        if made is not None:
            n, r, p, salt, key = made.groups()
            fields = {"n": n, "r": r, "p": p, "salt": salt}
            return Secret(bytes.fromhex(key), Stretching.from_fields(fields))
        plain = bytes.fromhex(text) if _HEX.fullmatch(text) else base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        plain = b""
    if len(plain) < LEAST:
        raise UsageError(
            f"Cannot use the secret of {where}",
            f"it is not {LEAST} or more random bytes as base64 or hexadecimal digits",
            "make one with openssl rand -base64 32; for a passphrase see option passphrase_file of backup_keyring",
        )
    return Secret(plain)


def from_passphrase(passphrase: str, stretching: Stretching | None = None) -> Secret:
    """Make a secret of a passphrase, the slow way (scrypt); the same one again with the `stretching` of before.

    Raises UsageError for a short passphrase.
    """
    if len(passphrase) < _LEAST_PASSPHRASE:
        raise UsageError(
            "Cannot use the passphrase",
            f"it has fewer than {_LEAST_PASSPHRASE} characters",
            "take six random words or more, or a random secret instead",
        )
    cost = stretching or Stretching(_N, _R, _P, os.urandom(_SALT))
    scrypt = key_wrapping.library().Scrypt(salt=cost.salt, length=key_wrapping.KEY, n=cost.n, r=cost.r, p=cost.p)
    return Secret(bytes(scrypt.derive(passphrase.encode("utf-8"))), cost)
