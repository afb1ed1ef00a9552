# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
import typing as t

from ..errors import DamagedError
from . import layout, proof
from .catalog_reading import CatalogReading
from .manifest import Manifest, Need
from .memory import Memory
from .store import ArchivedError, Store
from .stored_files import files_of_need, is_self_contained, needs_of, own_files


class Standings:
    """Judges the backups of one job by the proofs of all stored files that they need, those of earlier backups too.

    Backups share most of what they need, so everything is asked for once, however many backups are judged: the listing
    of the proofs, each record, and each list of files. Several threads may use it.
    """

    def __init__(self, store: Store, job: str) -> None:
        self._store = store
        self._job = job
        self._keys = Memory[str, t.Mapping[str, t.Sequence[str]]]()
        self._records = Memory[str, t.Sequence[proof.ProofRecord]]()
        self._parts = Memory[Need, proof.Standing]()

    def of(self, manifest: Manifest) -> proof.Standing:
        """Return what is known about a backup. Lists that cannot be read are problems, not errors."""
        records = self._records_of(manifest.id)
        own = proof.standing(manifest, records)
        try:
            if is_self_contained(manifest):
                if isinstance(self._store, CatalogReading):
                    self._store.keep_standing(manifest.id, own)
                return own
            promised = {each.file.name: each.file.facts.stored_sha256 for each in own_files(self._store, manifest)}
            parts = [own, proof.judged(promised, records)]
            for need in needs_of(self._store, manifest):
                parts.append(self._parts.of(need, lambda need: self._part(manifest, need)))
        except ArchivedError:
            return own  # its lists cannot be read now: what its own records say is all that is known
        except DamagedError as error:
            return proof.Standing(False, (*own.problems, error.cause or error.problem), own.proved_at)
        return proof.Standing(
            all(part.is_proved for part in parts),
            tuple(dict.fromkeys(problem for part in parts for problem in part.problems)),
            own.proved_at,
            all(part.is_vouched for part in parts),
            all(part.is_claimed for part in parts),
        )

    def _part(self, manifest: Manifest, need: Need) -> proof.Standing:
        """Judge what is needed of one earlier backup; the same line stands in the needs of many backups."""
        files = files_of_need(self._store, manifest, need)
        promised = {each.file.name: each.file.facts.stored_sha256 for each in files}
        part = proof.judged(promised, self._records_of(need.owner))
        return dataclasses.replace(part, problems=tuple(f"{need.owner}/{each}" for each in part.problems))

    def _records_of(self, backup_id: str) -> t.Sequence[proof.ProofRecord]:
        return self._records.of(backup_id, self._read_records)

    def _read_records(self, backup_id: str) -> t.Sequence[proof.ProofRecord]:
        keys = self._keys.of(self._job, self._list_keys).get(backup_id, ())
        return proof.read(self._store, self._job, backup_id, keys)

    def _list_keys(self, job: str) -> t.Mapping[str, t.Sequence[str]]:
        if isinstance(self._store, CatalogReading):
            return {owner: [entry.key for entry in entries] for owner, entries in self._store.proofs().items()}
        found: dict[str, list[str]] = {}
        prefix = f"{layout.VERIFIED}{job}/"
        for entry in self._store.entries(prefix):
            found.setdefault(entry.key[len(prefix) :].partition("/")[0], []).append(entry.key)
        return found
