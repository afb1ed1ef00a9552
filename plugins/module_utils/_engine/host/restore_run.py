# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import dataclasses
import typing as t

from .. import clock
from ..child import ChildError
from ..errors import DamagedError, GuardRefusal, LifeboatError
from ..postgres.connection import Server, connect
from ..postgres.fingerprint import Fingerprint, fingerprint_of_archive
from ..postgres.restore import Restored, RestoreOptions, drop_database, restore_database, restoring
from ..postgres.swap import swap
from ..postgres.target import TargetCheck, check_target, other_than, restore_tools
from ..postgres.tools import ClientTools
from ..repository.manifest import Manifest
from ..repository.store import StoreError
from ..verify.spool import spooled
from .candidates import Candidate, candidates, holdings, remarks
from .place import Place, Say, retrieving, silent
from .proving import seconds_since


@dataclasses.dataclass(frozen=True)
class RestoreRequest:
    """Which backup to bring back, and as which database."""

    job: str
    backup: str  # an id, latest or latest_good
    places: tuple[Place, ...]  # nearest first
    server: Server
    database: str = ""  # name to restore as; empty: that of the source
    confirm: str = ""  # the name of the database that is to be replaced
    keep_previous: bool = True  # False: drop the replaced database at once
    options: RestoreOptions = dataclasses.field(default_factory=RestoreOptions)
    folder: str = ""  # for the fetched archive; empty: that for temporary files


@dataclasses.dataclass(frozen=True)
class RestorePlan:
    """What a restore would do."""

    request: RestoreRequest
    candidates: tuple[Candidate, ...]  # copies to try, best first
    database: str
    target: TargetCheck
    notes: tuple[str, ...]  # repositories that do not answer, copies that were passed over …

    @property
    def first(self) -> Candidate:
        return self.candidates[0]

    @property
    def manifest(self) -> Manifest:
        return _manifest(self.first)


@dataclasses.dataclass(frozen=True)
class RestoreResult:
    """What a restore did."""

    job: str
    id: str
    repository: str  # whose copy was used
    database: str
    previous: str  # name under which the replaced database is kept; empty: there is none
    figures: t.Mapping[str, t.Any]  # tables, rows, large objects …
    fetch_seconds: float  # bringing the archive here and proving it
    load_seconds: float  # pg_restore
    compare_seconds: float
    seconds: float
    notes: tuple[str, ...]


def plan(request: RestoreRequest) -> RestorePlan:
    """Choose the backup and look at the target; changes nothing. Raises LifeboatError when it could not work."""
    known = holdings(request.job, request.places)
    found = candidates(known, request.places, request.backup)
    manifest = _manifest(found[0])
    database = request.database or str(manifest.source["database"])
    target = check_target(
        request.server,
        database,
        manifest.source,
        None,
        request.options.script,
        replace=True,
        with_tablespaces=request.options.with_tablespaces,
    )
    if request.server.container is not None:
        _tools(request, manifest)  # what a container lacks is better known before hours of fetching
    notes = remarks(known, found[0].backup)
    return RestorePlan(request, tuple(found), database, target, (*notes, *target.notes))


def check(planned: RestorePlan) -> None:
    """Refuse a plan that may not or cannot be carried out. Raises GuardRefusal (`confirm`), LifeboatError."""
    if planned.target.exists and planned.request.confirm != planned.database:
        raise _unconfirmed(planned)
    planned.target.require(planned.database)


def _unconfirmed(planned: RestorePlan) -> GuardRefusal:
    given = f"confirm is {planned.request.confirm!r}" if planned.request.confirm else "confirm is not set"
    return GuardRefusal(
        "confirm",
        f"Cannot replace database {planned.database}",
        f"it exists and {given}",
        f"set confirm to {planned.database!r} to replace it, or restore under another name",
    )


def restore(planned: RestorePlan, say: Say = silent) -> RestoreResult:
    """Bring a backup back: fetch, prove, restore under a temporary name, compare, then swap it in.

    A copy that turns out damaged is passed over for the next one, and the result says so. Nothing that existed is
    touched before the restored database was compared with its archive.
    """
    check(planned)
    notes = list(planned.notes)
    for candidate in planned.candidates:
        try:
            with retrieving(candidate.place, say) as remarks_of_archive:
                result = _restore_from(planned, candidate, notes, say)
            return dataclasses.replace(result, notes=(*result.notes, *remarks_of_archive))
        except (_UnusableCopyError, StoreError) as error:
            manifest = _manifest(candidate)
            words = (
                f"the copy of {manifest.id} in {candidate.place.name} cannot be used: {error.cause or error.problem}"
            )
            notes.append(words)
            say(f"{planned.request.job}: {words}")
    raise DamagedError(
        f"Cannot restore {planned.request.job}: no copy of the backup can be used",
        "; ".join(notes),
        "verify the other backups of the job and restore an earlier one",
    )


class _UnusableCopyError(LifeboatError):
    """This copy did not read back; another one may."""


def _restore_from(planned: RestorePlan, candidate: Candidate, notes: list[str], say: Say) -> RestoreResult:
    request, manifest, begun = planned.request, _manifest(candidate), clock.monotonic()
    say(f"{request.job}: fetching {manifest.id} from {candidate.place.name}")
    with restoring(request.server):
        with contextlib.ExitStack() as stack:
            path, archive = _fetched(stack, candidate, request)
            fetch_s = seconds_since(begun)
            say(f"{request.job}: restoring {archive.rows} rows into a new database")
            restored = _load(request, path, manifest, archive)
        say(f"{request.job}: swapping in {planned.database}")
        previous = _swap_in(planned, restored)
    return RestoreResult(
        job=request.job,
        id=manifest.id,
        repository=candidate.place.name,
        database=planned.database,
        previous=previous,
        figures=archive.summary(),
        fetch_seconds=fetch_s,
        load_seconds=round(restored.load_s, 3),
        compare_seconds=round(restored.compare_s, 3),
        seconds=seconds_since(begun),
        notes=(*notes, *restored.warnings),
    )


def _fetched(stack: contextlib.ExitStack, candidate: Candidate, request: RestoreRequest) -> tuple[str, Fingerprint]:
    """Bring the archive here and read all of it. Raises _UnusableCopyError when it is damaged."""
    manifest = _manifest(candidate)
    dump = manifest.file("dump")
    try:
        path = stack.enter_context(spooled(candidate.place.store, manifest.job, manifest.id, dump, request.folder))
        tools = _tools(request, manifest)
        return path, fingerprint_of_archive(path, tools.pg_restore, request.options.script, with_sums=True)
    except (DamagedError, ChildError) as error:
        raise _UnusableCopyError(error.problem, error.cause, error.remedy) from error


def _load(request: RestoreRequest, path: str, manifest: Manifest, archive: Fingerprint) -> Restored:
    tools = _tools(request, manifest)
    return restore_database(request.server, path, manifest.source, tools, request.options, expected=archive)


def _tools(request: RestoreRequest, manifest: Manifest) -> ClientTools:
    return restore_tools(request.server, manifest.versions.get("pg_dump", ""), str(manifest.source["database"]))


def _swap_in(planned: RestorePlan, restored: Restored) -> str:
    request = planned.request
    try:
        _refuse_newcomer(planned)
        return swap(request.server, planned.database, restored.name, keep_previous=request.keep_previous).previous
    except BaseException:
        with contextlib.suppress(LifeboatError):
            drop_database(request.server, restored.name)
        raise


def _refuse_newcomer(planned: RestorePlan) -> None:
    """Refuse to replace a database that was made while this restore ran: nobody confirmed that."""
    server, name = planned.request.server, planned.database
    if planned.target.exists or planned.request.confirm == name:
        return
    with connect(server, other_than(server, name)) as session:
        if session.rows("SELECT FROM pg_database WHERE datname = %s", name):
            raise _unconfirmed(planned)


def _manifest(candidate: Candidate) -> Manifest:
    manifest = candidate.backup.manifest
    if manifest is None:
        raise DamagedError(f"Cannot use backup {candidate.backup.id}", "its manifest cannot be read")
    return manifest
