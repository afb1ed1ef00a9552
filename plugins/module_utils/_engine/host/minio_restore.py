# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Brings identities and bucket settings of a backup to a MinIO server, whole or in part."""

from __future__ import annotations

import dataclasses

from .. import clock
from ..errors import DamagedError, GuardRefusal, IncompleteError, LifeboatError, UsageError
from ..minio import server_export, server_import
from ..minio.admin import AdminClient
from ..minio.server_export import ServerExport
from ..minio.server_import import ImportPlan, Selection
from ..repository.manifest import Manifest
from ..repository.store import StoreError
from ..repository.stored_files import small_file
from ..s3.endpoint import Endpoint
from ..steps import reached
from .candidates import Candidate, candidates, holdings, remarks
from .job_kinds import MINIO
from .objects_choice import manifest_of
from .place import Place, Say, silent


@dataclasses.dataclass(frozen=True)
class RestoreRequest:
    """What to bring back, and where to."""

    job: str
    backup: str  # an id, latest or latest_good
    places: tuple[Place, ...]  # nearest first
    endpoint: Endpoint  # of the server that is restored to
    selection: Selection = dataclasses.field(default_factory=Selection)
    confirm: tuple[str, ...] = ()  # the URL of the server, if something that is there may be changed


@dataclasses.dataclass(frozen=True)
class RestorePlan:
    """What a restore would do."""

    request: RestoreRequest
    candidate: Candidate  # the copy that was read
    wanted: ServerExport = dataclasses.field(repr=False)  # the chosen part of it
    found: ImportPlan
    notes: tuple[str, ...]

    @property
    def manifest(self) -> Manifest:
        return manifest_of(self.candidate)

    @property
    def changed(self) -> bool:
        return bool(self.found.changes)


@dataclasses.dataclass(frozen=True)
class RestoreResult:
    """What a restore did."""

    job: str
    id: str
    repository: str
    written: int  # entries and buckets
    problems: tuple[str, ...]  # what the server did not take, or does not have as the backup has it
    seconds: float
    notes: tuple[str, ...]


def plan(request: RestoreRequest, say: Say = silent) -> RestorePlan:
    """Read the backup and compare it with the server; changes nothing, and writes nothing to a disk.

    A copy that cannot be read is passed over for the next one. Raises LifeboatError when it could not work.
    """
    known = holdings(request.job, request.places)
    copies = candidates(known, request.places, request.backup)
    notes = remarks(known, copies[0].backup, request.places)
    for candidate in copies:
        manifest = manifest_of(candidate)
        if manifest.kind != MINIO:
            problem = f"Cannot restore server metadata from backup {manifest.id} of {manifest.job}"
            raise UsageError(
                problem, f"it is one of kind {manifest.kind}", "restore it with what is made for that kind"
            )
        try:
            say(f"{request.job}: reading {manifest.id} from {candidate.place.name}")
            stored = _read(candidate)
        except (DamagedError, StoreError) as error:
            words = f"{error.cause or error.problem}"
            notes.append(f"the copy of {manifest.id} in {candidate.place.name} cannot be used: {words}")
            continue
        wanted = request.selection.chosen(stored)
        found = server_import.plan(wanted, _fetched(request.endpoint))
        notes += [f"the replication of bucket {name} is not restored: set it up anew" for name in wanted.left_out[:20]]
        notes += [
            f"the users were in group {name}, whose rights they do not get: make it, and add them"
            for name in request.selection.missing_groups(stored)[:20]
        ]
        return RestorePlan(request, candidate, wanted, found, tuple(notes))
    raise DamagedError(
        f"Cannot restore {request.job}: no copy of the backup can be used",
        "; ".join(notes),
        "verify the other backups of the job and restore an earlier one",
    )


def check(planned: RestorePlan) -> None:
    """Refuse a plan that may not be carried out. Raises GuardRefusal (`confirm`)."""
    url = planned.request.endpoint.url
    if planned.found.overwritten and url not in planned.request.confirm:
        given = ", ".join(planned.request.confirm)
        raise GuardRefusal(
            "confirm",
            f"Cannot change what {url} has",
            f"{len(planned.found.overwritten)} of its identities and buckets differ from the backup, such as "
            f"{planned.found.overwritten[0].partition(' ')[2]}, and confirm is {given or 'not set'}",
            f"look at the plan; then set confirm to {url}",
        )


def restore(planned: RestorePlan, say: Say = silent) -> RestoreResult:
    """Import what differs, and compare the server with the backup afterwards.

    Raises IncompleteError (with the result) when not all is there as the backup has it.
    """
    check(planned)
    begun, request = clock.monotonic(), planned.request
    say(f"{request.job}: restoring {planned.manifest.id} to {request.endpoint.url}")
    problems: list[str] = []
    if planned.changed:
        problems += _imported(planned)
        reached("minio.imported")
        left = server_import.plan(planned.wanted, _fetched(request.endpoint))
        problems += [f"after the import still to do: {each.words}" for each in left.changes]
    result = RestoreResult(
        job=request.job,
        id=planned.manifest.id,
        repository=planned.candidate.place.name,
        written=len(planned.found.changes),
        problems=tuple(problems),
        seconds=clock.seconds_since(begun),
        notes=planned.notes,
    )
    if problems:
        raise IncompleteError(
            f"{request.endpoint.url} does not have everything as backup {result.id} has it",
            "; ".join(problems[:5]),
            "look at what the server says of these; the rest is restored",
            result,
        )
    return result


def _imported(planned: RestorePlan) -> tuple[str, ...]:
    admin = AdminClient(planned.request.endpoint)
    try:
        return server_import.apply(admin, planned.found, planned.wanted.secrets)
    finally:
        admin.close()


def _fetched(endpoint: Endpoint) -> ServerExport:
    admin = AdminClient(endpoint)
    try:
        if not admin.is_there():
            remedy = "name the URL of a MinIO server, and an access key that may use its admin API"
            raise LifeboatError(f"Cannot restore to {endpoint.url}", "it has no admin API of MinIO", remedy)
        return server_export.fetch(admin)
    finally:
        admin.close()


def _read(candidate: Candidate) -> ServerExport:
    manifest, store = manifest_of(candidate), candidate.place.store
    parts = {
        role: small_file(store, manifest.job, manifest.id, manifest.file(role))
        for role in (server_export.IDENTITIES, server_export.BUCKETS)
    }
    return ServerExport(
        server_export.parse_identities(parts[server_export.IDENTITIES]),
        server_export.parse_buckets(parts[server_export.BUCKETS]),
    )
