# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

from ..errors import DamagedError
from ..steps import reached
from . import deletion_plan, layout
from .alive import named_keys
from .lease import Permit
from .manifest import Manifest
from .store import Store, Version


def remove_backup(store: Store, job: str, backup_id: str, manifest: Manifest | None, permit: Permit) -> None:
    """Make a backup not exist any more (docs/protocol.md, rule 9); its files become garbage.

    What it names is struck off all open plans first, so that a restore that has begun has the whole grace. Where that
    cannot be told, everything is struck. The caller holds the lease and has counted who survives. Raises DeniedError
    for a manifest under object lock.
    """
    try:
        keys = None if manifest is None else named_keys(store, manifest)
    except DamagedError:
        keys = None
    deletion_plan.strike(store, job, keys, permit)
    reached("prune.struck")
    remove_all(store, layout.manifest(job, backup_id), permit)
    reached("prune.manifest_removed")


def remove_all(store: Store, key: str, permit: Permit) -> None:
    """Delete a key with all its versions, the newest first. Raises DeniedError where one of them is locked."""
    remove_versions(store, [version for version in store.versions(key) if version.entry.key == key], permit)


def remove_versions(store: Store, versions: t.Iterable[Version], permit: Permit) -> None:
    """Delete some versions, in the given order; each request is signed with a check of the lease."""
    for version in list(versions):
        store.delete(version.entry.key, version.entry.version_id, signed_at=permit())
