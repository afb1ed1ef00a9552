# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import dataclasses
import typing as t

from .. import clock
from ..child import ChildError
from ..errors import DamagedError, LifeboatError
from ..postgres.fingerprint import Fingerprint, fingerprint_of_archive
from ..postgres.restore import Restored, RestoreOptions, drop_database, restore_database, restoring
from ..postgres.roles import RolesPlan, made_roles
from ..postgres.selection import Selection
from ..postgres.swap import Swapped, swap
from ..postgres.tablespaces import mapped
from ..postgres.target import TargetCheck, check_target, restore_tools
from ..postgres.tools import ClientTools
from ..repository.manifest import Manifest
from ..repository.store import StoreError
from ..verify.spool import spooled
from .candidates import Candidate, candidates, holdings, remarks
from .place import Say, retrieving, silent
from .restore_parts import listed, planned_roles, planned_selection
from .restore_request import RestoreRequest, guard_name, guard_newcomer, name_on_server
from .safety_backup import safety_problems, take_safety_backup


@dataclasses.dataclass(frozen=True)
class RestorePlan:
    """What a restore would do."""

    request: RestoreRequest
    candidates: tuple[Candidate, ...]  # copies to try, best first
    database: str
    target: TargetCheck
    notes: tuple[str, ...]  # repositories that do not answer, copies that were passed over …
    selection: Selection | None = None  # None: everything
    roles: RolesPlan | None = None  # None: roles are left as they are

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
    left_out: tuple[str, ...] = ()  # parts of what was restored that need something that was not
    roles: tuple[str, ...] = ()  # that were made
    safety_backup: str = ""  # id of the backup of the replaced database; empty: none was wanted


def plan(request: RestoreRequest) -> RestorePlan:
    """Choose the backup and look at the target; changes nothing. Raises LifeboatError when it could not work."""
    known = holdings(request.job, request.places)
    found = candidates(known, request.places, request.backup)
    manifest = _manifest(found[0])
    same = [candidate for candidate in found if candidate.backup.id == manifest.id]
    source = mapped(manifest.source, request.options.tablespaces)
    selection = planned_selection(request, same)
    if selection is not None:
        source = selection.narrowed(source)
    roles, problems = planned_roles(request, same, source)
    database = name_on_server(request.server, request.database or str(source["database"]), request.on_conflict)
    target = check_target(
        request.server,
        database,
        source,
        None,
        request.options.script,
        replace=True,
        with_tablespaces=request.options.with_tablespaces,
        coming_roles=roles.names if roles else (),
    )
    if request.safety_backup and target.exists:
        problems += safety_problems(request, database)
    if request.server.container is not None:
        _tools(request, manifest)  # what a container lacks is better known before hours of fetching
    known_notes = remarks(known, found[0].backup, request.places)
    notes = (*known_notes, *target.notes, *(roles.notes() if roles else ()), *_left_out_notes(selection))
    target = dataclasses.replace(
        target, problems=(*(selection.problems if selection else ()), *problems, *target.problems)
    )
    return RestorePlan(request, tuple(found), database, target, notes, selection, roles)


def _left_out_notes(selection: Selection | None) -> list[str]:
    left_out = selection.left_out if selection else ()
    return [f"{len(left_out)} parts need something that does not come, and are left out"] if left_out else []


def check(planned: RestorePlan) -> None:
    """Refuse a plan that may not or cannot be carried out. Raises GuardRefusal (`confirm`), LifeboatError."""
    guard_name(planned.database, planned.target.exists, planned.request.confirm, planned.request.on_conflict)
    planned.target.require(planned.database)


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
    with restoring(request.server), contextlib.ExitStack() as stack:
        fetched = _fetched(stack, candidate, request)
        fetch_s = clock.seconds_since(begun)
        stack.enter_context(made_roles(request.server, planned.roles))
        say(f"{request.job}: restoring {fetched.archive.rows} rows into a new database")
        restored = _load(request, manifest, fetched)
        saved, swapped = _swap_in(planned, restored, say)
    return RestoreResult(
        job=request.job,
        id=manifest.id,
        repository=candidate.place.name,
        database=planned.database,
        previous=swapped.previous,
        figures=fetched.archive.summary(),
        fetch_seconds=fetch_s,
        load_seconds=round(restored.load_s, 3),
        compare_seconds=round(restored.compare_s, 3),
        seconds=clock.seconds_since(begun),
        notes=(*notes, *restored.warnings, *swapped.remarks),
        left_out=fetched.selection.left_out if fetched.selection else (),
        roles=planned.roles.names if planned.roles else (),
        safety_backup=saved,
    )


@dataclasses.dataclass(frozen=True)
class _Fetched:
    """An archive on this host that was read to its end."""

    path: str
    archive: Fingerprint  # of what is wanted of it
    options: RestoreOptions
    selection: Selection | None


def _fetched(stack: contextlib.ExitStack, candidate: Candidate, request: RestoreRequest) -> _Fetched:
    """Bring the archive here and read all of it. Raises _UnusableCopyError when it is damaged."""
    manifest = _manifest(candidate)
    dump = manifest.file("dump")
    try:
        path = stack.enter_context(spooled(candidate.place.store, manifest.job, manifest.id, dump, request.folder))
        options, selection = stack.enter_context(listed(request, path))
        tools = _tools(request, manifest)
        archive = fingerprint_of_archive(path, tools.pg_restore, options.script, with_sums=True)
        return _Fetched(path, archive, options, selection)
    except (DamagedError, ChildError) as error:
        raise _UnusableCopyError(error.problem, error.cause, error.remedy) from error


def _load(request: RestoreRequest, manifest: Manifest, fetched: _Fetched) -> Restored:
    tools, source = _tools(request, manifest), mapped(manifest.source, request.options.tablespaces)
    return restore_database(request.server, fetched.path, source, tools, fetched.options, expected=fetched.archive)


def _tools(request: RestoreRequest, manifest: Manifest) -> ClientTools:
    return restore_tools(request.server, manifest.versions.get("pg_dump", ""), str(manifest.source["database"]))


def _swap_in(planned: RestorePlan, restored: Restored, say: Say) -> tuple[str, Swapped]:
    """Give the restored database its name; return the id of the safety backup and what became of the former one."""
    request, saved = planned.request, ""
    try:
        existed = planned.target.exists
        if request.safety_backup and existed:
            saved = take_safety_backup(request, planned.database, say)
        say(f"{request.job}: swapping in {planned.database}")
        guard_newcomer(request.server, planned.database, existed, request.confirm, request.on_conflict)
        return saved, swap(request.server, planned.database, restored.name, keep_previous=request.keep_previous)
    except BaseException:
        with contextlib.suppress(LifeboatError):
            drop_database(request.server, restored.name)
        raise


def _manifest(candidate: Candidate) -> Manifest:
    manifest = candidate.backup.manifest
    if manifest is None:
        raise DamagedError(f"Cannot use backup {candidate.backup.id}", "its manifest cannot be read")
    return manifest
