# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import concurrent.futures
import dataclasses
import datetime as dt
import typing as t

from ..errors import DamagedError
from ..objects import bucket_documents
from ..objects.index_reader import IndexReader
from ..objects.rows import Row
from ..objects.scope import Scope
from ..objects.segments import Segment
from ..repository import catalog, keys, layout, proof
from ..repository.manifest import Manifest, TakenFile
from ..repository.store import Store
from ..repository.stored_files import needs_of, own_files
from .backup_run import backup_ids
from .objects_choice import INDEX_ROLE, has_roles
from .objects_copy import scope_of, settings_of

REPOSITORY = "repository"  # in the statistics: UUID of the repository that the run wrote to
_MARGIN = dt.timedelta(hours=1)  # a record may have been on its way while the run looked for its base
_READERS = 8  # requests at once


class BaseDamagedError(DamagedError):
    """The index of the base cannot be read; an older backup, or none, can be built on."""

    def __init__(self, backup_id: str, error: DamagedError) -> None:
        super().__init__(f"Cannot build on backup {backup_id}", error.cause or error.problem, error.remedy)
        self.backup_id = backup_id


@dataclasses.dataclass(frozen=True)
class Base:
    """The backup that a run builds on; damage in it is told from damage elsewhere."""

    store: Store
    manifest: Manifest
    index: IndexReader

    @property
    def id(self) -> str:
        return self.manifest.id

    def collections(self) -> list[str]:
        """Return the buckets or folders that it has. Raises BaseDamagedError."""
        try:
            return self.index.collections()
        except DamagedError as error:
            raise BaseDamagedError(self.id, error) from error

    def segments(self, collection: str = "") -> t.Iterator[Segment]:
        """Yield the segments of a collection, or of all, in order. Raises BaseDamagedError."""
        try:
            yield from self.index.segments(collection)
        except DamagedError as error:
            raise BaseDamagedError(self.id, error) from error

    def rows_of(self, segment: Segment) -> list[Row]:
        """Return the rows of a segment. Raises BaseDamagedError."""
        try:
            return self.index.rows_of(segment)
        except DamagedError as error:
            raise BaseDamagedError(self.id, error) from error

    def files_digests(self) -> t.Mapping[str, str]:
        """Return the SHA-256 of files.jsonl of it and of each backup that it needs. Raises BaseDamagedError."""
        try:
            return self.index.files_digests()
        except DamagedError as error:
            raise BaseDamagedError(self.id, error) from error

    def taken(self, role: str) -> TakenFile | None:
        """Return where a stored file of it is that a later backup may have too; None where it has none.

        Raises BaseDamagedError.
        """
        found = self.manifest.find(role)
        if found is None or found[0] != self.id:
            return next((each for each in self.manifest.taken_over if each.file.role == role), None)
        try:
            own = list(own_files(self.store, self.manifest))
        except DamagedError as error:
            raise BaseDamagedError(self.id, error) from error
        number = next(each.number for each in own if each.file == found[1])
        return TakenFile(self.id, number, found[1])

    def has_settings(self, settings: t.Mapping[str, bucket_documents.Documents]) -> bool:
        """Say whether the settings of the buckets are the same. Raises BaseDamagedError."""
        try:
            known = settings_of(self.store, self.manifest)
        except DamagedError as error:
            raise BaseDamagedError(self.id, error) from error
        return known.keys() == settings.keys() and all(
            bucket_documents.are_same(each, known[name]) for name, each in settings.items()
        )

    def has_scope(self, scope: Scope) -> bool:
        """Say whether it leaves out the same, but for keys by their prefix. Raises BaseDamagedError."""
        try:
            return scope_of(self.store, self.manifest) == scope
        except DamagedError as error:
            raise BaseDamagedError(self.id, error) from error


def choose_base(
    store: Store, job: str, repository: str, passed_over: t.Collection[str] = ()
) -> tuple[Base | None, list[str]]:
    """Return the newest backup of a repository (its UUID is `repository`) that a run can build on, and remarks.

    That is one with an index that nobody has touched and none of whose stored files failed when last read: else every
    later backup would inherit the damage (docs/protocol.md, rule 1). `passed_over`: ids that turned out not to do.
    """
    remarks: list[str] = []
    for backup_id in reversed(backup_ids(store, job)):
        if backup_id in passed_over:
            continue
        backup = catalog.find(store, job, backup_id, with_proof=False)
        if backup is None:
            continue
        manifest = backup.manifest
        if manifest is None or not backup.is_sound:
            remarks.append(f"not built on {backup_id}: {'; '.join(backup.remarks)}")
        elif has_roles(backup, (INDEX_ROLE,)):
            why = _of_encryption(store, manifest) or _failures(store, manifest, repository)
            if not why:
                return Base(store, manifest, IndexReader(store, manifest)), remarks
            remarks.append(f"not built on {backup_id}: {why}")
    return None, remarks


def _of_encryption(store: Store, manifest: Manifest) -> str:
    """Return why a backup cannot be built on: one that is plain when this run encrypts, or the reverse.

    What a run builds on becomes part of it. As no run ever built on anything else, the list of its segments tells of
    all that it needs.
    """
    encryption = manifest.file(INDEX_ROLE).encryption
    if encryption == keys.NONE:
        return "it is not encrypted, and this backup is" if store.keys is not None else ""
    if store.keys is None:
        return "it is encrypted, and this backup is not"
    return "" if store.keys.opens(encryption) else "the key under which it is encrypted is not at hand"


def _failures(store: Store, manifest: Manifest, repository: str) -> str:
    """Return which stored file of a backup did not read back, of those that it needs of earlier ones too.

    The run that wrote the backup looked at all records that there were, so only newer ones are read; unless it wrote to
    another repository, and this one has a copy, or its clock was ahead then.
    """
    job = manifest.job
    was_here = manifest.statistics.get(REPOSITORY) == repository and manifest.started <= store.now()
    try:
        owners = {manifest.id, *(need.owner for need in needs_of(store, manifest))}
    except DamagedError as error:
        return error.cause or error.problem
    prefix = f"{layout.VERIFIED}{job}/"
    listed = [
        entry.key
        for entry in store.entries(prefix)
        if entry.key[len(prefix) :].partition("/")[0] in owners
        and not (was_here and entry.modified < manifest.started - _MARGIN)
    ]
    with concurrent.futures.ThreadPoolExecutor(_READERS, "records") as pool:
        if not any(pool.map(lambda key: _is_bad(store, key), listed)):
            return ""
    backup = catalog.find(store, job, manifest.id)
    return backup.standing.problems[0] if backup is not None and backup.standing.problems else ""


def _is_bad(store: Store, key: str) -> bool:
    document = store.get(key)
    if document is None:
        return False
    try:
        return not proof.ProofRecord.from_bytes(document.data, key).is_good
    except DamagedError:
        return False  # it proves nothing and condemns nothing
