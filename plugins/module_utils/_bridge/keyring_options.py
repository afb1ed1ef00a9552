# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What tasks open keyrings with."""

from __future__ import annotations

import typing as t

from .._engine.errors import UsageError
from .._engine.host.keyring_settings import KeyringSettings
from .._engine.repository import organisation_secret
from .._engine.repository.keyring import Access


def access_from(params: t.Mapping[str, t.Any]) -> Access:
    """Return what the options of KEYRING open a keyring with. Raises UsageError for files that cannot be read."""
    allow_unsigned = bool(params.get("allow_unsigned"))
    if params["secret"]:
        secret = organisation_secret.from_text(params["secret"].strip(), "option secret")
        return Access(secret, allow_unsigned=allow_unsigned)
    settings = KeyringSettings(
        params["secret_file"] or "",
        params["recovery_code_file"] or "",
        params["recovery_key_file"] or "",
        allow_unsigned,
    )
    if not (settings.secret_file or settings.recovery_code_file):
        raise UsageError("Cannot use the keyring", "neither a secret nor a code is given", "give secret_file")
    return settings.access()
