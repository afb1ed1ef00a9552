# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Backs the identities and bucket settings of a MinIO server up: secrets, and only where they are encrypted."""

from __future__ import annotations

import dataclasses
import typing as t

from .. import clock
from ..errors import GuardRefusal
from ..minio import server_export
from ..minio.admin import AdminClient
from ..minio.server_export import ServerExport
from ..repository import layout
from ..repository.lease import WAIT_S
from ..repository.manifest import Manifest
from ..repository.publish import Contents, Run
from ..repository.store import Store
from ..s3.endpoint import Endpoint
from ..steps import reached
from ..stream.compression import SUFFIXES, block_compressor
from ..stream.encryption import SUFFIX
from ..verify.drill_place import DrillPlace
from ..verify.outcome import Outcome
from . import backup_plan
from .backup_plan import PlaceState
from .backup_run import BackupResult, begun_run, deliver, make_ready, require_copies
from .drills import try_out
from .job_kinds import MINIO
from .job_lock import job_lock
from .place import ClosedStore, Place, Say, require_places, silent
from .version import VERSION

_NAMES = {server_export.IDENTITIES: "identities.zip", server_export.BUCKETS: "bucket-settings.zip"}
_UNFINISHED = tuple(name + suffix + SUFFIX for name in _NAMES.values() for suffix in SUFFIXES.values())


@dataclasses.dataclass(frozen=True)
class MinioJob:
    """What to back up, where to, and how strictly."""

    name: str
    endpoint: Endpoint  # of the server, with an access key that may use its admin API
    places: tuple[Place, ...]  # the first that works is written to; the others get copies
    proof: str = "content"  # none | content: what is done at once after each write
    compression: str = "zstd"  # zstd | gzip | none
    allow_partial: bool = False  # True: a missing copy is a warning
    rebind: bool = False  # True: the job's source was rebuilt on purpose
    wait_s: float = WAIT_S  # for maintenance of another repository

    @property
    def proving_place(self) -> DrillPlace:
        return DrillPlace()

    def try_out(self, store: Store, manifest: Manifest) -> Outcome:
        return try_out(store, manifest, self.proving_place)


@dataclasses.dataclass(frozen=True)
class FoundServer:
    """A server that was found fit to be backed up."""

    url: str
    deployment: str  # id that its drives were formatted with

    @property
    def identity(self) -> dict[str, str]:
        return {"deployment": self.deployment}


@dataclasses.dataclass(frozen=True)
class MinioPlan:
    """What a run of a job would do, found out by reading only."""

    job: MinioJob
    server: FoundServer
    counts: t.Mapping[str, int]  # policies, users, groups, access_keys, buckets
    places: tuple[PlaceState, ...]


def require_encryption(job: MinioJob) -> None:
    """Raise GuardRefusal (`plaintext`) unless every repository encrypts what is written.

    To be called before anything is asked of the server: what it answers holds every secret that it has.
    """
    plain = [place.name for place in job.places if _is_plain(place)]
    if plain:
        raise _plaintext(job, plain)


def _is_plain(place: Place) -> bool:
    is_closed = isinstance(place.store, ClosedStore)  # nothing is written to it
    return place.access is None and place.store.keys is None and not is_closed


def _plaintext(job: MinioJob, names: t.Sequence[str]) -> GuardRefusal:
    return GuardRefusal(
        "plaintext",
        f"Cannot back up {job.name}",
        f"the secrets of all users and access keys would lie in clear in {', '.join(names)}: no keyring is in use",
        "set up encryption for these repositories, or leave them out",
    )


def inspect(job: MinioJob) -> FoundServer:
    """Look at the repositories and the server before anything is written. Raises LifeboatError."""
    require_places(job.name, job.places)
    require_encryption(job)
    block_compressor(job.compression)
    admin = AdminClient(job.endpoint)
    try:
        return FoundServer(job.endpoint.url, server_export.deployment(admin))
    finally:
        admin.close()


def plan(job: MinioJob) -> MinioPlan:
    """Look at the server and every repository; changes nothing. Raises LifeboatError as a run would."""
    layout.checked_job(job.name)
    server = inspect(job)
    states = backup_plan.states_of(job, MINIO, server.identity)
    admin = AdminClient(job.endpoint)
    try:
        counts = server_export.fetch(admin).counts
    finally:
        admin.close()
    return MinioPlan(job, server, counts, states)


def back_up(job: MinioJob, say: Say = silent) -> BackupResult:
    """Export identities and bucket settings into the first repository that works, prove them, copy to the others.

    Raises GuardRefusal where a repository does not encrypt, DamagedError when the backup does not read back,
    IncompleteError (with the result) when a copy is missing and `allow_partial` is off, other kinds of LifeboatError
    when there is no new backup.
    """
    with job_lock(job.name):
        begun = clock.monotonic()
        result = deliver(job, _MinioWork(job, inspect(job)), begun, say)
        require_copies(job, result)
        return result


@dataclasses.dataclass(frozen=True)
class _MinioWork:
    """How a server is written into a repository."""

    job: MinioJob
    server: FoundServer

    @property
    def kind(self) -> str:
        return MINIO

    @property
    def identity(self) -> dict[str, str]:
        return self.server.identity

    @property
    def words(self) -> str:
        return f"identities and bucket settings of {self.server.url}"

    def write(self, place: Place, _say: Say) -> tuple[Run, Manifest]:
        make_ready(self.job, self, place, lambda _finished: _UNFINISHED)
        if place.store.keys is None:
            raise _plaintext(self.job, [place.name])
        with begun_run(place.store, self.job.name) as run:
            found = self._stored(run)
            return run, run.publish(self._contents(run, found))

    def _stored(self, run: Run) -> ServerExport:
        admin = AdminClient(self.job.endpoint)
        try:
            identities = self._store(run, server_export.IDENTITIES, server_export.fetch_identities(admin))
            buckets = self._store(run, server_export.BUCKETS, server_export.fetch_buckets(admin))
        finally:
            admin.close()
        return ServerExport(server_export.parse_identities(identities), server_export.parse_buckets(buckets))

    def _store(self, run: Run, role: str, data: bytes) -> bytes:
        run.store_file(_NAMES[role], role, [data], self.job.compression, len(data))
        reached(f"minio.stored_{role}")
        return data

    def _contents(self, run: Run, found: ServerExport) -> Contents:
        warnings = tuple(
            f"the replication of bucket {name} is in the export, and no import brings it back"
            for name in found.left_out[:20]
        )
        statistics = {"plain_bytes": run.plain_bytes, "stored_bytes": run.stored_bytes, **found.counts}
        source = {**self.server.identity, "endpoint": self.server.url}
        return Contents(MINIO, {"lifeboat": VERSION}, source, statistics, warnings)
