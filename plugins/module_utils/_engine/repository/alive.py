# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import concurrent.futures
import dataclasses
import datetime as dt
import typing as t

from .. import clock
from ..errors import DamagedError
from . import layout
from .catalog import Backup
from .intent import Intent
from .manifest import Manifest, Need
from .memory import Memory
from .store import Entry, Store, Version
from .stored_files import NeededFile, files_of_need, is_self_contained, needs_of, own_files

INTENT_LIFE = dt.timedelta(days=7)  # since its last renewal
_READERS = 8  # requests at once
Named = t.Mapping[str, t.Optional[int]]  # key of a stored file → bytes, None: nowhere written


@dataclasses.dataclass(frozen=True)
class Intents:
    """The intents of a job, as maintenance sees them."""

    live: frozenset[str]  # ids of runs that may be under way
    dead: tuple[str, ...]  # keys of intents that nobody has renewed for a week
    bases: frozenset[str]  # ids of the backups that live runs build on
    hidden: tuple[Version, ...]  # what is left of intents that were taken away: delete markers and what they hide

    def covers(self, backup_id: str) -> bool:
        """Say whether a run may still write under this id: not before its intent is gone is it certain that none
        does."""
        return backup_id in self.live or any(layout.id_of(key) == backup_id for key in self.dead)


def intents(store: Store, job: str) -> Intents:
    """Read the intents of a job."""
    now = store.now()  # before the listing: an intent is never taken for older than it is
    versions = list(store.versions(layout.intents(job)))
    current = {v.entry.key: v.entry for v in versions if v.is_latest and not v.is_delete_marker}
    live = {key: entry for key, entry in current.items() if now - entry.modified < INTENT_LIFE}
    bases = {_base_of(store, entry) for entry in live.values()} - {""}
    return Intents(
        live=frozenset(map(layout.id_of, live)),
        dead=tuple(key for key in current if key not in live),
        bases=frozenset(bases),
        hidden=tuple(version for version in versions if version.entry.key not in current),
    )


def _base_of(store: Store, entry: Entry) -> str:
    """Return the base of an intent; one that cannot be read has none. A run looks for its base before it publishes."""
    document = store.get(entry.key)
    if document is None:
        return ""
    try:
        return Intent.from_bytes(document.data, entry.key).base
    except DamagedError:
        return ""


def require_readable(job: str, backups: t.Iterable[Backup], where: str) -> None:
    """Raise DamagedError when a manifest cannot be read: what it names could be anything (rule 7)."""
    for backup in backups:
        if backup.manifest is None:
            raise DamagedError(
                f"Cannot prune {job} in {where}",
                f"the manifest of {backup.id} cannot be read: {'; '.join(backup.alarms)}",
                "copy this backup from another repository, or delete it with the module backup_delete",
            )


def named_by(store: Store, job: str, backups: t.Sequence[Backup]) -> dict[str, tuple[Named, ...]]:
    """Return the keys of all stored files that the manifests of a job name (rule 7), by the id of the backup.

    In several parts each: what backups need of an earlier one is mostly the same, and is one object in memory. Raises
    DamagedError when a manifest, or a list that says what a backup needs, cannot be read.
    """
    require_readable(job, backups, store.name)
    known = Memory[Need, Named]()
    manifests = [backup.manifest for backup in backups if backup.manifest is not None]
    with concurrent.futures.ThreadPoolExecutor(_READERS, "alive") as pool:
        found = list(pool.map(lambda manifest: _told(store, manifest, known), manifests))
    return {manifest.id: keys for manifest, keys in zip(manifests, found)}


def lost(
    store: Store, named: t.Mapping[str, tuple[Named, ...]], listed: t.Mapping[str, t.Sequence[Version]]
) -> frozenset[str]:
    """Return the ids of backups of which a stored file is gone or of another size, whatever was proved of it.

    `listed` are the versions of stored files, the newest first. What a delete marker hides is gone: no restore finds
    it. Of a run that published since the files were listed they are not in the listing: so each is looked for.
    """
    newest = {key: versions[0] for key, versions in listed.items()}
    sizes = {key: version.entry.size for key, version in newest.items() if not version.is_delete_marker}
    lacking: dict[int, list[tuple[str, int]]] = {}  # of what several backups need
    are_lost: dict[str, bool] = {}
    ids = set()
    for backup_id, parts in named.items():
        for part in parts:
            if id(part) not in lacking:
                wanted = ((key, size) for key, size in part.items() if size is not None)
                lacking[id(part)] = [(key, size) for key, size in wanted if sizes.get(key) != size]
            for key, size in lacking[id(part)]:
                if backup_id not in ids and key not in are_lost:
                    found = store.stat(key)
                    are_lost[key] = found is None or found.size != size
                if are_lost.get(key):
                    ids.add(backup_id)
    return frozenset(ids)


def _told(store: Store, manifest: Manifest, known: Memory[Need, Named]) -> tuple[Named, ...]:
    try:
        return _named(store, manifest, known)
    except DamagedError as error:
        raise DamagedError(
            f"Cannot tell what backup {manifest.id} of {manifest.job} needs in {store.name}",
            error.summary,
            "copy this backup from another repository, or delete it with the module backup_delete",
        ) from error


def named_keys(store: Store, manifest: Manifest) -> frozenset[str]:
    """Return the keys of all stored files without which a backup cannot be restored, and of its sums.

    Raises DamagedError.
    """
    return frozenset().union(*_named(store, manifest, Memory[Need, Named]()))


def _named(store: Store, manifest: Manifest, known: Memory[Need, Named]) -> tuple[Named, ...]:
    job = manifest.job
    keys: dict[str, int | None]
    keys = {layout.data(job, manifest.id, name): None for name in (layout.FILES, layout.NEEDS, layout.SUMS)}
    keys.update((layout.data(job, manifest.id, file.name), file.facts.stored_size) for file in manifest.files)
    taken = manifest.taken_over
    keys.update((layout.data(job, each.owner, each.file.name), each.file.facts.stored_size) for each in taken)
    if is_self_contained(manifest):
        return (keys,)
    keys.update(_sized(job, own_files(store, manifest)))

    def named(need: Need) -> Named:
        return _sized(job, files_of_need(store, manifest, need))

    return (keys, *(known.of(need, named) for need in needs_of(store, manifest)))


def _sized(job: str, files: t.Iterable[NeededFile]) -> dict[str, int]:
    return {each.key(job): each.file.facts.stored_size for each in files}


def owner_of(job: str, key: str) -> str:
    """Return the id of the backup in whose folder a stored file lies, empty for what is no key of a stored file."""
    prefix = f"{layout.DATA}{job}/"
    owner, slash, name = key[len(prefix) :].partition("/")
    is_stored_file = key.startswith(prefix) and slash and name and "/" not in name and clock.is_backup_id(owner)
    return owner if is_stored_file else ""
