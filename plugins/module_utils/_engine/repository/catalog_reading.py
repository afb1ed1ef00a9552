# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import concurrent.futures
import contextlib
import datetime as dt
import functools
import typing as t

from ..errors import DamagedError, LifeboatError
from . import layout, proof
from .judged import Judged
from .manifest import Manifest
from .recall import Recall
from .store import Document, Entry, Store, StoreError, Upload, Version

_LISTERS = 2  # at once


class CatalogReading(Store):
    """A repository as the catalog of one job reads it: listed once, its documents read many at a time.

    Manifests and proofs are what the listings showed when this was made; everything else is asked for when it is
    wanted. It cannot be written to. Raises StoreError when the listings cannot be had.
    """

    def __init__(self, store: Store, job: str, with_proof: bool = True, recall: Recall | None = None) -> None:
        """List the manifests of a job, and its proofs; `recall` knows documents that were read before."""
        self.name = store.name
        self.keys = store.keys
        self.allow_unsigned = store.allow_unsigned
        self._store = store
        self._recall = recall
        self._job = job
        self._prefix = layout.manifests(job)
        with concurrent.futures.ThreadPoolExecutor(_LISTERS, "listing") as pool:
            listed = pool.submit(lambda: list(store.versions(self._prefix)))
            proofs = pool.submit(_proofs, store, job) if with_proof else None
            if recall is not None:
                recall.load()  # while the server works
            self._listed = listed.result()
            self._manifests = self._written_once()
            self._proofs = proofs.result() if proofs is not None else {}
        self._judged: dict[str, Judged] = {}
        self._standings: dict[str, proof.Standing] = {}
        self._documents = self._read()

    def judged(self) -> t.Mapping[str, Judged]:
        """Return what is remembered of backups that need none but their own files, by the keys of their manifests."""
        return {self._manifests[backup_id].key: found for backup_id, found in self._judged.items()}

    def keep_standing(self, backup_id: str, standing: proof.Standing) -> None:
        """Take note of how such a backup stands, for `keep`."""
        self._standings[backup_id] = standing

    def keep(self, manifest: Manifest, signature: str) -> None:
        """Remember such a backup, of which nothing is wrong with how its manifest was written."""
        entry, standing = self._manifests.get(manifest.id), self._standings.get(manifest.id)
        if self._recall is not None and entry is not None and standing is not None:
            proofs = self._proofs.get(manifest.id, ())
            self._recall.judge(entry, proofs, Judged(manifest, signature, standing))

    def _read(self) -> dict[str, Document]:
        """Return the documents of all that is not judged yet."""
        found: dict[str, Document] = {}
        wanted: list[Entry] = []
        for entry in self._needed():
            document = self._recall.document(entry) if self._recall is not None else None
            if document is None:
                wanted.append(entry)
            else:
                found[entry.key] = document
        for entry, document in self._store.documents(wanted):
            found[entry.key] = document
            if self._recall is not None:
                self._recall.remember(entry, document)
        return found

    def _needed(self) -> t.Iterator[Entry]:
        for backup_id, entry in self._manifests.items():
            judged = self._remembered(backup_id, entry)
            if judged is None:
                yield entry
            else:
                self._judged[backup_id] = judged
        for backup_id, entries in self._proofs.items():
            if backup_id not in self._judged:
                yield from entries

    def _remembered(self, backup_id: str, entry: Entry) -> Judged | None:
        if self._recall is None:
            return None
        read = functools.partial(_reread, self._store, entry)
        return self._recall.judged(entry, self._proofs.get(backup_id, ()), self._job, backup_id, read)

    def _written_once(self) -> dict[str, Entry]:
        """Return the manifests that were written once; what else was done to others is asked for one by one."""
        by_key: dict[str, list[Version]] = {}
        for version in self._listed:
            by_key.setdefault(version.entry.key, []).append(version)
        once = (same[0] for same in by_key.values() if len(same) == 1)
        return {layout.id_of(each.entry.key): each.entry for each in once if not each.is_delete_marker}

    def versions(self, prefix: str) -> t.Iterator[Version]:
        return iter(self._listed) if prefix == self._prefix else self._store.versions(prefix)

    def entries(self, prefix: str) -> t.Iterator[Entry]:
        return self._store.entries(prefix)

    def proofs(self) -> t.Mapping[str, t.Sequence[Entry]]:
        """Return the proofs of each backup, by its id, oldest first."""
        return self._proofs

    def get(self, key: str, version_id: str = "") -> Document | None:
        found = None if version_id else self._documents.get(key)
        return self._store.get(key, version_id) if found is None else found

    def now(self) -> dt.datetime:
        return self._store.now()

    def stat(self, key: str) -> Entry | None:
        return self._store.stat(key)

    def read(self, key: str, offset: int = 0, length: int | None = None, version_id: str = "") -> t.Iterator[bytes]:
        return self._store.read(key, offset, length, version_id)

    @property
    def has_locks(self) -> bool:
        return self._store.has_locks

    def put(self, key: str, data: bytes) -> str:
        raise self._refused(key)

    def put_new(self, key: str, data: bytes, signed_at: dt.datetime | None = None) -> str:
        raise self._refused(key)

    def refuses_second(self, key: str) -> bool:
        raise self._refused(key)

    def replace(self, key: str, data: bytes, etag: str, signed_at: dt.datetime | None = None) -> str:
        raise self._refused(key)

    def delete(self, key: str, version_id: str = "", signed_at: dt.datetime | None = None) -> None:
        raise self._refused(key)

    def upload(self, key: str, estimate_bytes: int, signed_at: t.Callable[[], dt.datetime] | None = None) -> Upload:
        raise self._refused(key)

    def discard_unfinished(self, key: str) -> None:
        raise self._refused(key)

    def shared_lock(self, name: str) -> contextlib.AbstractContextManager[None]:
        raise self._refused(name)

    def exclusive_lock(self, name: str, wait_s: float) -> contextlib.AbstractContextManager[None]:
        raise self._refused(name)

    def _refused(self, key: str) -> LifeboatError:
        return StoreError(f"Cannot change {key} in {self.name}", "it was opened for reading")


def _reread(store: Store, entry: Entry) -> bytes:
    """Read the manifest of a backup again of which what was kept does not say enough."""
    found = store.get(entry.key)
    if found is None:
        raise DamagedError(f"Cannot read {entry.key}", "it was removed since it was listed", "look again")
    return found.data


def _proofs(store: Store, job: str) -> dict[str, list[Entry]]:
    found: dict[str, list[Entry]] = {}
    prefix = f"{layout.VERIFIED}{job}/"
    for entry in store.entries(prefix):
        found.setdefault(entry.key[len(prefix) :].partition("/")[0], []).append(entry)
    return found
