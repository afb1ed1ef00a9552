# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
import datetime as dt
import itertools
import typing as t

from .. import clock
from ..errors import DamagedError
from ..steps import reached
from . import deletion_plan, layout, proof
from .alive import owner_of
from .deletion_plan import DeletionPlan
from .lease import Permit
from .removal import remove_all, remove_versions
from .store import DeniedError, Store, Version

GRACE = dt.timedelta(hours=24)  # and the window of signatures (docs/protocol.md, "Words")
_AHEAD = dt.timedelta(hours=1)  # a plan that states a later time than this was made by a clock that had jumped
_MOST_KEYS = 100_000  # in one plan, so that it stays far below what a document may be


@dataclasses.dataclass(frozen=True)
class OpenPlan:
    """A deletion plan of the repository."""

    key: str
    since: dt.datetime | None  # when it was made; None: it cannot be read, or is of the future, and is dropped
    keys: tuple[str, ...] = ()

    def due_at(self, window: dt.timedelta) -> dt.datetime | None:
        """Return after when it may be carried out."""
        return None if self.since is None else self.since + GRACE + window


@dataclasses.dataclass
class Collected:
    """What one prune did with garbage, added up while it works."""

    files: int = 0  # deleted stored files
    bytes: int = 0
    denied: list[str] = dataclasses.field(default_factory=list)  # what the repository refused to delete, and why


Listing = t.Mapping[str, t.Sequence[Version]]  # key → its versions and delete markers, the newest first


def open_plans(store: Store, job: str) -> list[OpenPlan]:
    """Return the deletion plans of a job, in the order of their numbers."""
    now = store.now()
    found = []
    for entry in list(store.entries(layout.plans(job))):
        document = store.get(entry.key)
        if document is None:
            continue
        try:
            plan = DeletionPlan.from_bytes(document.data, entry.key)
        except DamagedError:
            found.append(OpenPlan(entry.key, None))
            continue
        since = deletion_plan.known_since(plan, document.modified)
        is_usable = plan.job == job and since <= now + _AHEAD
        found.append(OpenPlan(entry.key, since, plan.keys) if is_usable else OpenPlan(entry.key, None))
    return found


def listing(store: Store, prefix: str) -> dict[str, list[Version]]:
    """Return all versions below a prefix by their key, those that a delete marker hides too."""
    return {
        key: list(group) for key, group in itertools.groupby(store.versions(prefix), lambda version: version.entry.key)
    }


def size_of(versions: t.Sequence[Version]) -> int:
    """Return the bytes of all versions of a key."""
    return sum(version.entry.size for version in versions if not version.is_delete_marker)


def collect(store: Store, job: str, doomed: t.Iterable[str], listed: Listing, permit: Permit, done: Collected) -> None:
    """Delete stored files that were planned long enough ago, and still are not alive; their proofs first (rule 8).

    What is locked stays, and is planned anew another day. Anything else that fails ends the prune.
    """
    by_owner = itertools.groupby(sorted(doomed), key=lambda key: owner_of(job, key))
    for owner, group in by_owner:
        keys = [key for key in group if key in listed and not _is_locked(store, key, listed[key], done)]
        if not owner or not keys or _has_locked_proof(store, job, owner, done):
            continue  # a plan is no reason to touch anything but stored files
        try:
            proof.forget(store, job, owner, {key.rpartition("/")[2] for key in keys}, permit)
        except DeniedError as error:
            done.denied.append(f"proofs of {owner}: {error.cause}")
            continue
        reached("prune.proofs_removed")
        for key in keys:
            _delete(store, key, listed[key], permit, done)


def _has_locked_proof(store: Store, job: str, owner: str, done: Collected) -> bool:
    """Say whether a proof of an owner's files is locked: every try to take files out of it would leave one more."""
    found = listing(store, layout.verified(job, owner))
    locked = [key for key, versions in found.items() if _is_locked(store, key, versions, done)]
    return bool(locked)


def _is_locked(store: Store, key: str, versions: t.Sequence[Version], done: Collected) -> bool:
    """Say whether object lock keeps a key, and tell so; only versions can be locked."""
    if all(version.entry.version_id in ("", "null") for version in versions):
        return False
    until = store.locked_until(key)
    if until is None or until <= store.now():
        return False
    done.denied.append(f"{key}: locked until {clock.to_text(until)}")
    return True


def _delete(store: Store, key: str, versions: t.Sequence[Version], permit: Permit, done: Collected) -> None:
    try:
        remove_versions(store, versions, permit)
    except DeniedError as error:
        done.denied.append(f"{key}: {error.cause}")
        return
    done.files += 1
    done.bytes += size_of(versions)
    reached("prune.file_removed")


def drop_plan(store: Store, key: str, permit: Permit, done: Collected) -> None:
    """Remove a plan: one that was carried out, or one that nobody can use. What it lists is planned anew.

    A locked one stays and is carried out once more another day, which does no harm.
    """
    try:
        remove_all(store, key, permit)
        reached("prune.plan_removed")
    except DeniedError as error:
        done.denied.append(f"{key}: {error.cause}")


def write_plans(store: Store, job: str, keys: t.Sequence[str], known: t.Iterable[OpenPlan], permit: Permit) -> None:
    """List garbage, so that it may be deleted a day later."""
    names = [layout.id_of(plan.key) for plan in known]
    number = max((int(name) for name in names if name.isascii() and name.isdigit()), default=0)
    for begin in range(0, len(keys), _MOST_KEYS):
        number += 1
        plan = deletion_plan.DeletionPlan(job, store.now(), tuple(keys[begin : begin + _MOST_KEYS]))
        store.put_new(f"{layout.plans(job)}{number:06d}.json", plan.to_bytes(), signed_at=permit())
        reached("prune.planned")
