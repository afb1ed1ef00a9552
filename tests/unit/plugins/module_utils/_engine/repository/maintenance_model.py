# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Removal by rules 7 to 9 of docs/protocol.md, as short as it can be: the other side of what the tests try out."""

from __future__ import annotations

import datetime as dt
import typing as t

from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import DamagedError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository import (
    catalog,
    deletion_plan,
    layout,
    lease,
    proof,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.deletion_plan import DeletionPlan
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.intent import Intent
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.manifest import Manifest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.store import Store
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.stored_files import needed_files

GRACE = dt.timedelta(hours=24)
INTENT_LIFE = dt.timedelta(days=7)
VERIFIED_MIN = 2  # proved backups that are always kept


def prune(store: Store, job: str, window: dt.timedelta, keep: int = 100) -> None:
    """Delete what old plans list, remove backups beyond the newest `keep`, and plan what is garbage now."""
    with lease.held(store, job, window, is_removing=True) as permit:
        _bury_intents(store, job, permit)
        for entry in list(store.entries(layout.plans(job))):
            document = store.get(entry.key)
            if document is not None:
                plan = DeletionPlan.from_bytes(document.data, entry.key)
                if store.now() - plan.created > GRACE + window:
                    _execute(store, plan, permit)
                    _delete(store, entry.key, permit)
        backups = catalog.backups(store, job)
        for backup in backups[:-keep]:
            _remove(store, job, backup.id, permit)
        _plan(store, job, permit)


def remove(store: Store, job: str, window: dt.timedelta, backup_id: str, is_forced: bool = True) -> bool:
    """Remove one backup; unless forced, one of the last proved ones stays."""
    with lease.held(store, job, window, is_removing=True) as permit:
        return _remove(store, job, backup_id, permit, is_forced)


def needed_keys(store: Store, manifest: Manifest) -> set[str]:
    """Return the keys of all stored files of a backup, and of its sums."""
    keys = {each.key(manifest.job) for each in needed_files(store, manifest)}
    return keys | {layout.data(manifest.job, manifest.id, layout.SUMS)}


def _live_intents(store: Store, job: str) -> list[Intent]:
    now, live = store.now(), []
    for entry in list(store.entries(layout.intents(job))):
        if now - entry.modified < INTENT_LIFE:
            document = store.get(entry.key)
            if document is not None:
                live.append(Intent.from_bytes(document.data, entry.key))
    return live


def _bury_intents(store: Store, job: str, permit: lease.Permit) -> None:
    now = store.now()
    for entry in list(store.entries(layout.intents(job))):
        if now - entry.modified >= INTENT_LIFE:
            _delete(store, entry.key, permit)


def _garbage(store: Store, job: str, keys: t.Iterable[str]) -> list[str]:
    """Return which of `keys` nothing names: intents are read first, then manifests (rule 8).

    The base of a live intent is a backup; `_remove` leaves it alone, so its files are named by its manifest.
    """
    covered = tuple(layout.data(job, intent.id) for intent in _live_intents(store, job))
    named: set[str] = set()
    for backup in catalog.backups(store, job, with_proof=False):
        if backup.manifest is None:
            raise DamagedError(f"Cannot prune {job}", f"the manifest of {backup.id} cannot be read")
        named |= needed_keys(store, backup.manifest)
    return [key for key in keys if key not in named and not key.startswith(covered)]


def _execute(store: Store, plan: DeletionPlan, permit: lease.Permit) -> None:
    doomed = _garbage(store, plan.job, plan.keys)
    for key in doomed:
        owner, _slash, name = key[len(f"data/{plan.job}/") :].partition("/")
        proof.forget(store, plan.job, owner, {name}, permit)
        _delete(store, key, permit)


def _plan(store: Store, job: str, permit: lease.Permit) -> None:
    found = [entry.key for entry in store.entries(f"data/{job}/")]
    listed: set[str] = set()
    number = 0
    for entry in list(store.entries(layout.plans(job))):
        document = store.get(entry.key)
        if document is not None:
            listed |= set(DeletionPlan.from_bytes(document.data, entry.key).keys)
        number = max(number, int(layout.id_of(entry.key)))
    doomed = _garbage(store, job, [key for key in found if key not in listed])
    if doomed:
        plan = DeletionPlan(job, store.now(), tuple(doomed))
        store.put_new(f"{layout.plans(job)}{number + 1:06d}.json", plan.to_bytes(), signed_at=permit())


def _remove(store: Store, job: str, backup_id: str, permit: lease.Permit, is_forced: bool = False) -> bool:
    bases = {intent.base for intent in _live_intents(store, job)}
    backups = {backup.id: backup for backup in catalog.backups(store, job)}
    backup = backups.get(backup_id)
    if backup is None or backup.manifest is None or backup_id in bases:
        return False
    proved = [each for each in backups.values() if each.is_good and each.id != backup_id]
    if not is_forced and backup.is_good and len(proved) < VERIFIED_MIN:
        return False
    deletion_plan.strike(store, job, needed_keys(store, backup.manifest), permit)
    _delete(store, layout.manifest(job, backup_id), permit)
    return True


def _delete(store: Store, key: str, permit: lease.Permit) -> None:
    """Delete a key with all its versions, the newest first."""
    for version in list(store.versions(key)):
        if version.entry.key == key:
            store.delete(key, version.entry.version_id, signed_at=permit())
