# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Keys of keyrings that were made for a test."""

from __future__ import annotations

import secrets
import uuid

from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.keys import Keys
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.stream.encryption import EpochKey


def random_keys(*epochs: str) -> Keys:
    """Return the keys of a new keyring, the last of which is written with."""
    keyring = str(uuid.uuid4())
    return Keys(keyring, tuple(EpochKey(keyring, epoch, secrets.token_bytes(32)) for epoch in epochs or ("e1",)))
