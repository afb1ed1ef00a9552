# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which copies lack nothing, told of very many backups by a few listings."""

from __future__ import annotations

import concurrent.futures
import contextlib
import hashlib
import typing as t

from ..errors import DamagedError
from . import layout
from .catalog import Backup
from .manifest import Manifest, StoredFile, parse_need_list
from .store import Entry, Store
from .stored_files import is_self_contained

FEW = 8  # backups that are looked at one by one


def whole_copies(source: Store, target: Store, job: str, found: t.Sequence[tuple[Backup, Backup]]) -> frozenset[str]:
    """Return the ids of backups of which the target has all that `copy.plan` would ask for, each by eight requests.

    `found` are backups of the source with what the target's catalog says of them, judged by their proofs. A copy is
    whole if its manifest is the same, no stored file was found bad when it was last read, and each is there with its
    size: those that the manifest names, and those that the source has in the folders of this backup and of all whose
    files it needs. What is gone from both is left to a verification. Of a few backups none is returned.
    """
    same = [mine.manifest for mine, theirs in found if mine.manifest is not None and _is_sound(mine, theirs)]
    if len(same) <= FEW:
        return frozenset()
    with concurrent.futures.ThreadPoolExecutor(2, "listing") as pool:
        here, there = pool.map(lambda store: _files(store, job), (source, target))
    lacking = {_owner(key) for key, entry in here.items() if key not in there or there[key].size != entry.size}
    whole = [manifest for manifest in same if manifest.id not in lacking and _has_named(there, manifest)]
    alone = {manifest.id for manifest in whole if not lacking or _is_alone(manifest)}
    owners = _owners(source, here, [manifest for manifest in whole if manifest.id not in alone])
    return frozenset({*alone, *(backup_id for backup_id, needed in owners.items() if not needed & lacking)})


def _is_sound(mine: Backup, theirs: Backup) -> bool:
    has_alarms = bool(mine.alarms or theirs.alarms)
    return not has_alarms and not theirs.has_failed and mine.manifest == theirs.manifest


def _is_alone(manifest: Manifest) -> bool:
    try:
        return is_self_contained(manifest)
    except DamagedError:
        return False


def _has_named(there: t.Mapping[str, Entry], manifest: Manifest) -> bool:
    """Say whether all stored files that a manifest names are there with their sizes."""
    named = [(layout.data(manifest.job, manifest.id, file.name), file) for file in manifest.files]
    named += [(layout.data(manifest.job, each.owner, each.file.name), each.file) for each in manifest.taken_over]
    return all(key in there and there[key].size == file.facts.stored_size for key, file in named)


def _owners(source: Store, here: t.Mapping[str, Entry], manifests: t.Sequence[Manifest]) -> dict[str, frozenset[str]]:
    """Return the ids of the backups that each of these needs files of, by lists that can be read."""
    lists: dict[str, tuple[str, StoredFile]] = {}
    for manifest in manifests:
        with contextlib.suppress(DamagedError):
            file = manifest.file("needs")
            lists[layout.data(manifest.job, manifest.id, file.name)] = manifest.id, file
    found: dict[str, frozenset[str]] = {}
    for entry, document in source.documents([here[key] for key in lists if key in here]):
        backup_id, file = lists[entry.key]
        if hashlib.sha256(document.data).hexdigest() == file.facts.plain_sha256:  # it lies there as it is
            found[backup_id] = frozenset(need.owner for need in parse_need_list(document.data, entry.key))
    return found


def _files(store: Store, job: str) -> dict[str, Entry]:
    return {entry.key: entry for entry in store.entries(f"{layout.DATA}{job}/")}


def _owner(key: str) -> str:
    return key.split("/")[2]
