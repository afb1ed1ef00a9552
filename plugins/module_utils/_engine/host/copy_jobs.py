# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
import datetime as dt
import typing as t

from .. import clock
from ..errors import DamagedError, IncompleteError, LifeboatError
from ..repository.catalog import MergedBackup
from ..repository.keep import Keep
from ..repository.manifest import Manifest
from ..repository.retention import Candidate
from ..repository.store import StoreError
from ..repository.whole_copies import complete
from ..verify.drill_place import DrillPlace
from . import copy_run
from .candidates import Holdings, candidates, holdings
from .copy_choice import Narrowing, as_candidates, dropped_at_once
from .copy_run import CopyRequest, CopyRunPlan
from .place import Place, Say, silent
from .proving import Drill


@dataclasses.dataclass(frozen=True)
class Request:
    """Which backups of a job are to be in which of its repositories."""

    job: str
    backup: str  # an id, latest, latest_good, or all
    places: tuple[Place, ...]  # all repositories of the job
    sources: tuple[Place, ...]  # repositories to copy from, the preferred one first
    targets: tuple[Place, ...]  # repositories to copy to
    proof: str = "content"  # none | content | restore: what is done with each copy on arrival
    drill: DrillPlace = dataclasses.field(default_factory=DrillPlace)
    try_out: Drill | None = None  # what proof restore is
    keep: t.Mapping[str, Keep] = dataclasses.field(default_factory=dict)  # by repository: what it keeps of the job
    zone: dt.tzinfo = clock.UTC  # whose days, weeks and so on `keep` means
    narrowing: Narrowing = dataclasses.field(default_factory=Narrowing)


@dataclasses.dataclass(frozen=True)
class Copied:
    """One backup that was brought to one repository, or would be."""

    id: str
    source: str
    target: str
    bytes: int


@dataclasses.dataclass(frozen=True)
class Result:
    """What was copied, and what is still not where it is to be."""

    copied: tuple[Copied, ...]
    problems: tuple[str, ...]


def bring(request: Request, say: Say = silent, *, dry_run: bool = False) -> Result:
    """Bring every target the backups that it lacks, each from the first source whose copy can be read.

    A target or copy that fails does not keep the others waiting: it is a problem of the result. Raises LifeboatError
    when no source has what is asked for.
    """
    known = holdings(request.job, request.places)
    problems = [f"{place.name} cannot be used: {known.unreachable[place.name]}" for place in _away(request, known)]
    wanted = _wanted(known, request)
    copied: list[Copied] = []
    for target in request.targets:
        if target.name not in known.found:
            continue
        try:
            chosen = _chosen(request, known, target, wanted)
            unwanted = _dropped_at_once(request, known, target, chosen)
            lacking = {row.id for row in chosen if _lacks(row, target, request.proof)}
            lacking |= _with_files_gone(request, target, [row for row in chosen if row.id not in lacking])
        except StoreError as error:
            problems.append(f"{target.name} cannot be used: {error.cause or error.problem}")
            continue
        for row in chosen:
            if row.id in unwanted and request.backup == row.id:
                problems.append(f"{row.id} is not brought to {target.name}: what is kept there does not keep it")
            if row.id in unwanted or row.id not in lacking:
                continue
            try:
                copied += _brought(request, row, target, say, dry_run)
            except LifeboatError as error:
                problems.append(f"{row.id} is not in {target.name}: {error.summary}")
    return Result(tuple(copied), tuple(problems))


def _away(request: Request, known: Holdings) -> list[Place]:
    asked_for = {place.name: place for place in (*request.targets, *request.sources)}
    return [place for name, place in asked_for.items() if name in known.unreachable]


def _wanted(known: Holdings, request: Request) -> list[MergedBackup]:
    """Return the backups to be copied, those of the sources only; oldest first. Raises LifeboatError."""
    names = {place.name for place in request.sources}
    here = Holdings(known.job, {name: found for name, found in known.found.items() if name in names}, known.unreachable)
    if request.backup == "all":
        ids = {row.id for row in here.merged() if row.manifest is not None}
    else:
        ids = {candidates(here, request.sources, request.backup)[0].backup.id}
    if not ids:
        raise LifeboatError(
            f"Cannot copy backups of {request.job}", "no repository has a readable one", "run the job first"
        )
    return [row for row in known.merged() if row.id in ids]


def _chosen(
    request: Request, known: Holdings, target: Place, wanted: t.Sequence[MergedBackup]
) -> t.Sequence[MergedBackup]:
    """Return what is left for a target by tier and age; of `latest` and `latest_good` that is one or none."""
    if request.narrowing.is_open:
        return wanted
    there = as_candidates(known.found[target.name])
    ids = request.narrowing.chosen([_candidate(row) for row in wanted], there, target.store.now())
    return [row for row in wanted if row.id in ids]


def _candidate(row: MergedBackup) -> Candidate:
    copies = [copy for _name, copy in row.copies]
    has_failed = all(copy.has_failed for copy in copies)
    return Candidate(row.id, row.is_proved, has_failed, row.is_flagged, "; ".join(copies[0].alarms))


def _dropped_at_once(
    request: Request, known: Holdings, target: Place, wanted: t.Sequence[MergedBackup]
) -> t.Collection[str]:
    """Return the ids of backups that the next prune of the target would remove again (docs/protocol.md, rule 10)."""
    keep = request.keep.get(target.name)
    if keep is None:
        return ()
    ids = [row.id for row in wanted]
    return dropped_at_once(known.found[target.name], ids, keep, target.store.now(), request.zone)


def _lacks(row: MergedBackup, target: Place, proof: str) -> bool:
    """Say whether a copy is missing, bad, another one than elsewhere, or not proved though it is to be."""
    there = next((copy for name, copy in row.copies if name == target.name), None)
    if there is None or there.has_failed or row.differing:
        return True
    return proof != "none" and not there.standing.is_proved


def _with_files_gone(request: Request, target: Place, rows: t.Sequence[MergedBackup]) -> frozenset[str]:
    """Return the ids of copies of which stored files are gone, or cannot be told to be there: proofs do not show that.

    Each is compared with a source that has it too: nobody else could mend it.
    """
    by_source: dict[str, list[Manifest]] = {}
    for row in rows:
        having = {name: copy for name, copy in row.copies if copy.manifest is not None}
        there = having.get(target.name)
        others = (each.name for each in request.sources if each.name in having and each.name != target.name)
        source = next(others, None)
        if there is not None and there.manifest is not None and not there.alarms and source is not None:
            by_source.setdefault(source, []).append(there.manifest)
    gone: set[str] = set()
    for source_place in request.sources:
        manifests = by_source.pop(source_place.name, [])
        if manifests:
            whole = complete(source_place.store, target.store, request.job, manifests)
            gone |= {each.id for each in manifests} - whole
    return frozenset(gone)


def _brought(request: Request, row: MergedBackup, target: Place, say: Say, dry_run: bool) -> t.Iterator[Copied]:
    """Copy from the first source that works. Raises LifeboatError when none does."""
    having = {name: copy for name, copy in row.copies if copy.manifest is not None}
    sources = [place for place in request.sources if place.name in having and place.name != target.name]
    sources.sort(key=lambda place: not having[place.name].is_good)  # proved copies first, else in the given order
    last: LifeboatError | None = None
    for source in sources:
        try:
            wanted = CopyRequest(
                request.job, row.id, source, target, request.proof, drill=request.drill, try_out=request.try_out
            )
            planned = copy_run.plan(wanted)
            copy_run.require_readable(planned)
            if not planned.is_empty:
                yield _done(planned, say, dry_run)
            return
        except (DamagedError, IncompleteError, StoreError) as error:
            say(f"{request.job}: {row.id} cannot be copied from {source.name}: {error.cause or error.problem}")
            last = error
    if last is not None:
        raise last
    if any(name == target.name and copy.has_failed for name, copy in row.copies):
        raise DamagedError(
            f"Cannot repair {row.id} in {target.name}", "no other repository has a copy that can be read"
        )


def _done(planned: CopyRunPlan, say: Say, dry_run: bool) -> Copied:
    request = planned.request
    moved = planned.bytes
    if not dry_run:
        moved = sum(each.bytes for each in copy_run.run(planned, say))
    return Copied(request.backup, request.source.name, request.target.name, moved)
