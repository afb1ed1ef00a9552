# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses

from ..repository import organisation_secret, recovery_code
from ..repository.keyring import Access
from .fields import Fields
from .secret_file import read_private, read_secret


@dataclasses.dataclass(frozen=True)
class KeyringSettings:
    """With which files the keyring of a repository is opened; they are read by the user who runs the job."""

    secret_file: str = ""
    recovery_code_file: str = ""  # instead of the secret, for whoever has lost it
    recovery_key_file: str = ""  # the encrypted recovery key; empty: that of the repository
    allow_unsigned: bool = False  # True: backups that nobody signed may be restored by their ids

    def access(self) -> Access:
        """Read the files. Raises UsageError for one that others may read, too, or that holds something else."""
        if self.secret_file:
            secret = organisation_secret.from_text(read_secret(self.secret_file), self.secret_file)
            return Access(secret, allow_unsigned=self.allow_unsigned)
        code = recovery_code.on_sheet(read_private(self.recovery_code_file))
        pem = read_private(self.recovery_key_file) if self.recovery_key_file else ""
        return Access(code=code, recovery_pem=pem, allow_unsigned=self.allow_unsigned)


def keyring_from(fields: Fields) -> KeyringSettings | None:
    """Return the keyring of a repository of the configuration, None for one without. Raises UsageError."""
    if not fields.has("keyring"):
        fields.section("keyring")
        return None
    section = fields.section("keyring")
    found = KeyringSettings(
        section.path("secret_file"),
        section.path("recovery_code_file"),
        section.path("recovery_key_file"),
        section.flag("allow_unsigned", False),
    )
    if bool(found.secret_file) == bool(found.recovery_code_file):
        words = "stands beside secret_file" if found.secret_file else "is missing, and so is secret_file"
        raise section.refuse("recovery_code_file", words, "give either secret_file, or recovery_code_file")
    if found.recovery_key_file and not found.recovery_code_file:
        raise section.refuse("recovery_key_file", "stands alone", "give recovery_code_file, too")
    section.finish()
    return found
