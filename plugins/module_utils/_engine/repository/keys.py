# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a run does with the keys of a keyring: encrypt and decrypt stored files, sign documents (docs/keys.md)."""

from __future__ import annotations

import dataclasses
import hmac
import typing as t

from ..stream.encryption import EpochKey, Sealed, WrongKeyError, decrypted, encrypted, opened
from ..stream.message_header import MOST
from ..stream.stage import Stage

BEGINNING = MOST  # stored bytes that are enough to open a file
NONE = "none"  # the `encryption` of stored files that are not encrypted
ENCRYPTED = "aws-esdk-2"  # of others: with keyring and epoch behind it where these are known
_SIGNING = b"lifeboat signature 1 "  # what signing keys are derived from, with the purpose: never the key itself


@dataclasses.dataclass(frozen=True)
class Keys:
    """The epoch keys of one keyring that somebody has, oldest first; what is written, is written under the last."""

    keyring: str  # UUID
    epochs: tuple[EpochKey, ...]

    @property
    def current(self) -> EpochKey:
        return self.epochs[-1]

    @property
    def encryption(self) -> str:
        """Return what lists say of stored files that are written now (docs/format.md, "Encrypted files")."""
        return f"{ENCRYPTED}:{self.keyring}:{self.current.epoch}"

    def opens(self, encryption: str) -> bool:
        """Say whether files of which lists say this are encrypted under one of these keys."""
        known = {f"{ENCRYPTED}:{self.keyring}:{epoch.epoch}" for epoch in self.epochs}
        return encryption in known

    def encrypting(self, job: str, owner: str, name: str) -> Stage:
        """Return the stage that encrypts the stored file `name` of backup `owner`."""
        return lambda pieces: encrypted(pieces, self.current, self._context(job, owner, name))

    def decrypting(self, job: str, owner: str, name: str) -> Stage:
        """Return the stage that decrypts that file; it raises WrongKeyError and DamagedError."""
        return lambda pieces: decrypted(pieces, self.epochs, self._context(job, owner, name))

    def opened(self, beginning: bytes, job: str, owner: str, name: str) -> Sealed:
        """Open that file by its first `BEGINNING` bytes, so that parts of it can be read."""
        return opened(beginning, self.epochs, self._context(job, owner, name))

    def has(self, keyring: object, epoch: object) -> bool:
        """Say whether this key of this keyring is at hand."""
        return any((each.keyring, each.epoch) == (keyring, epoch) for each in self.epochs)

    def signature(self, purpose: str, data: bytes) -> dict[str, str]:
        """Return what proves that somebody with the keyring wrote `data` for this purpose (such as "manifest")."""
        epoch = self.current
        return {"keyring": epoch.keyring, "epoch": epoch.epoch, "hmac_sha256": _signed(epoch, purpose, data)}

    def is_signed(self, purpose: str, data: bytes, signature: t.Mapping[str, t.Any]) -> bool:
        """Say whether somebody with the keyring wrote `data` for this purpose."""
        named = (signature.get("keyring"), signature.get("epoch"))
        wanted = str(signature.get("hmac_sha256", "")).encode("utf-8", "replace")
        return any(
            (epoch.keyring, epoch.epoch) == named
            and hmac.compare_digest(_signed(epoch, purpose, data).encode("ascii"), wanted)
            for epoch in self.epochs
        )

    def _context(self, job: str, owner: str, name: str) -> dict[str, str]:
        """Return what a file belongs to; nothing of it depends on the repository: copies are the same bytes."""
        return {"lifeboat-keyring": self.keyring, "lifeboat-job": job, "lifeboat-backup": owner, "lifeboat-file": name}


def require(keys: Keys | None, encryption: str, what: str) -> Keys:
    """Return the keys that an encrypted file is opened with, as lists tell of it.

    Raises WrongKeyError where there are none, or where the one is not among them.
    """
    if keys is not None and (encryption == ENCRYPTED or keys.opens(encryption)):
        return keys
    keyring, _colon, epoch = encryption.partition(":")[2].rpartition(":")
    of = f"epoch {epoch} of keyring {keyring}" if keyring else "a key of a keyring"
    given = "no key was given" if keys is None else f"the keys that were given are others, of keyring {keys.keyring}"
    raise WrongKeyError(
        f"Cannot read {what}",
        f"it is encrypted under {of}, and {given}",
        "give the secret of that keyring, or its recovery key, with the repository",
    )


def _signed(epoch: EpochKey, purpose: str, data: bytes) -> str:
    key = hmac.digest(epoch.secret, _SIGNING + purpose.encode("ascii"), "sha256")
    return hmac.digest(key, data, "sha256").hex()
