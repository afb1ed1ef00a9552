# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Thins out the backups of a job in all of its repositories."""

from __future__ import annotations

import dataclasses
import datetime as dt
import typing as t

from .. import clock
from ..errors import FAILED, INCOMPLETE, GuardRefusal, LifeboatError
from ..repository import catalog, prune
from ..repository.catalog import Backup
from ..repository.keep import Keep
from ..repository.layout import checked_job
from ..repository.lease import WAIT_S
from ..repository.prune import PrunePlan, PruneRequest, PruneResult
from .place import Place, Say, silent


@dataclasses.dataclass(frozen=True)
class Request:
    """What is to be kept where."""

    job: str
    places: tuple[Place, ...]  # whose backups are thinned out
    keep: t.Mapping[str, Keep]  # by the name of the place; where there is none, only garbage goes
    zone: dt.tzinfo = clock.UTC
    force: bool = False
    wait_s: float = WAIT_S
    others: tuple[Place, ...] = ()  # further repositories of the job: a flag there freezes the job, too


@dataclasses.dataclass(frozen=True)
class PlaceOutcome:
    """What would be done, was done, or could not be done in one repository."""

    name: str
    keep: Keep | None
    plan: PrunePlan | None = None
    result: PruneResult | None = None
    error: LifeboatError | None = None  # with a result: that was done before

    @property
    def is_change(self) -> bool:
        return self.error is None and self.plan is not None and not self.plan.is_empty

    @property
    def has_removed(self) -> bool:
        """Say whether anything went, also where it ended early."""
        return self.result is not None and bool(self.result.removed or self.result.files)


def plan(request: Request) -> tuple[PlaceOutcome, ...]:
    """Say what would go in each repository; reads only. What cannot be done in one is told in its outcome."""
    checked_job(request.job)
    asked = _asked(request)
    return tuple(_planned(request, place, asked[place.name]) for place in request.places)


def run(request: Request, planned: t.Sequence[PlaceOutcome], say: Say = silent) -> tuple[PlaceOutcome, ...]:
    """Prune each repository whose plan changes anything; one that fails does not keep the others from it."""
    by_name = {place.name: place for place in request.places}
    for each in planned:
        if each.error is None:
            by_name[each.name].store.discard_abandoned(request.job)
    return tuple(_pruned(request, by_name[each.name], each, say) if each.is_change else each for each in planned)


def exit_code(outcomes: t.Sequence[PlaceOutcome]) -> int:
    """Return what the command ends with: the code of the error when all failed in one way, else 5 for some errors."""
    codes = {each.error.exit_code for each in outcomes if each.error is not None}
    if not codes:
        return 0
    if any(each.error is None for each in outcomes):
        return INCOMPLETE
    return codes.pop() if len(codes) == 1 else FAILED


def error_of(outcomes: t.Sequence[PlaceOutcome]) -> LifeboatError | None:
    """Return the error that says what could not be done; a refusal of a guard before others."""
    errors = [each.error for each in outcomes if each.error is not None]
    return next((each for each in errors if isinstance(each, GuardRefusal)), errors[0] if errors else None)


def _asked(request: Request) -> dict[str, PruneRequest | LifeboatError]:
    """Return what is asked of each repository, after a look at which backups are flagged in any of them.

    A repository that does not answer cannot freeze the job in others.
    """
    found: dict[str, list[Backup]] = {}
    errors: dict[str, LifeboatError] = {}
    for place in (*request.places, *request.others):
        try:
            place.identity()
            found[place.name] = catalog.backups(place.store, request.job, with_proof=False)
        except LifeboatError as error:
            errors[place.name] = error
    flagged = frozenset(row.id for row in catalog.merged(found) if row.is_flagged)
    acknowledged = max((backup.acknowledged for each in found.values() for backup in each), default="")
    return {
        place.name: errors.get(place.name)
        or PruneRequest(request.job, request.keep.get(place.name), request.zone, request.force, flagged, acknowledged)
        for place in request.places
    }


def _planned(request: Request, place: Place, asked: PruneRequest | LifeboatError) -> PlaceOutcome:
    keep = request.keep.get(place.name)
    if isinstance(asked, LifeboatError):
        return PlaceOutcome(place.name, keep, error=asked)
    planned: PrunePlan | None = None
    try:
        planned = prune.plan(place.store, asked, place.identity().signature_window)
        prune.refuse(planned, place.name)
    except LifeboatError as error:
        return PlaceOutcome(place.name, keep, planned, error=error)
    return PlaceOutcome(place.name, keep, planned)


def _pruned(request: Request, place: Place, planned: PlaceOutcome, say: Say) -> PlaceOutcome:
    if planned.plan is None:
        return planned
    say(f"{request.job}: pruning {place.name}")
    begun: list[PruneResult] = []
    try:
        window = place.identity().signature_window
        result = prune.prune(place.store, planned.plan.request, window, request.wait_s, say, begun.append)
    except LifeboatError as error:
        return dataclasses.replace(planned, result=begun[0] if begun else None, error=error)
    return dataclasses.replace(planned, plan=result.plan, result=result)


def document(outcome: PlaceOutcome) -> dict[str, t.Any]:
    """Return what is known about one repository, for machines."""
    found: dict[str, t.Any] = {
        "repository": outcome.name,
        "keep": outcome.keep.words if outcome.keep else "",
        "problem": str(outcome.error) if outcome.error else "",
        "guard": outcome.error.guard if isinstance(outcome.error, GuardRefusal) else "",
        "kept": [],
        "expired": [],
        "next_removal": None,
    }
    planned = outcome.plan
    if planned is not None:
        found.update(_planned_document(planned))
    result = outcome.result
    found["removed"] = list(result.removed) if result else []
    found["deleted_files"] = result.files if result else 0
    found["deleted_bytes"] = result.bytes if result else 0
    found["denied"] = list(result.denied) if result else []
    return found


def _planned_document(planned: PrunePlan) -> dict[str, t.Any]:
    retention = planned.retention
    return {
        "kept": [{"id": each.id, "reasons": list(each.reasons), "until": _text(each.until)} for each in retention.kept],
        "expired": list(retention.expired),
        "next_removal": _text(retention.next_removal),
        "due_files": len(planned.due),
        "due_bytes": planned.due_bytes,
        "garbage_files": len(planned.garbage),
        "garbage_bytes": planned.garbage_bytes,
        "waiting_files": planned.waiting,
        "next_due": _text(planned.next_due),
        "dead_runs": list(planned.dead_intents),
        "lost": list(planned.lost),
    }


def _text(moment: dt.datetime | None) -> str | None:
    return clock.to_text(moment) if moment is not None else None
