# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Locks the stored files of a job's backups in those of its repositories that have object lock."""

from __future__ import annotations

import dataclasses
import datetime as dt
import typing as t

from .. import clock
from ..errors import FAILED, INCOMPLETE, IncompleteError, LifeboatError
from ..repository import object_lock
from ..repository.keep import Keep
from ..repository.lock_policy import LockPolicy
from ..repository.object_lock import MOST_REQUESTS, LockPlan, LockRequest, LockResult
from .place import Place, Say, silent

_SHOWN = 3  # backups that an error names


@dataclasses.dataclass(frozen=True)
class Request:
    """What is to be locked where."""

    job: str
    places: tuple[Place, ...]  # opened with the keys that may lock
    policies: t.Mapping[str, LockPolicy]  # by the name of the place
    keep: t.Mapping[str, Keep]  # the same; where there is none, all backups stay
    zone: dt.tzinfo = clock.UTC
    most_requests: int = MOST_REQUESTS


@dataclasses.dataclass(frozen=True)
class PlaceOutcome:
    """What would be locked, was locked, or could not be in one repository."""

    name: str
    plan: LockPlan | None = None
    result: LockResult | None = None
    error: LifeboatError | None = None

    @property
    def is_change(self) -> bool:
        return self.plan is not None and not self.plan.is_empty and (self.error is None or bool(self.plan.unknown))


def plan(request: Request) -> tuple[PlaceOutcome, ...]:
    """Say what would be locked in each repository; reads only. What cannot be done in one is told in its outcome."""
    return tuple(_planned(request, place) for place in request.places)


def _planned(request: Request, place: Place) -> PlaceOutcome:
    asked = LockRequest(
        request.job,
        request.keep.get(place.name),
        request.zone,
        request.policies.get(place.name, LockPolicy()),
        request.most_requests,
    )
    try:
        place.identity()
        planned = object_lock.plan(place.store, asked)
    except LifeboatError as error:
        return PlaceOutcome(place.name, error=error)
    return PlaceOutcome(place.name, planned, error=_unknown(request, place, planned))


def _unknown(request: Request, place: Place, planned: LockPlan) -> IncompleteError | None:
    """Return what to say of backups that cannot be locked as a whole, None where there are none."""
    found = [f"what {backup_id} needs cannot be told: {why}" for backup_id, why in planned.unknown.items()]
    if not found:
        return None
    return IncompleteError(
        f"Cannot lock everything of {request.job} in {place.name}",
        "; ".join(found[:_SHOWN]),
        "copy these backups from another repository, or delete them with the module backup_delete",
        planned,
    )


def run(request: Request, planned: t.Sequence[PlaceOutcome], say: Say = silent) -> tuple[PlaceOutcome, ...]:
    """Lock in each repository whose plan says so; one that fails does not keep the others from it."""
    by_name = {place.name: place for place in request.places}
    return tuple(_locked(request, by_name[each.name], each, say) if each.is_change else each for each in planned)


def _locked(request: Request, place: Place, planned: PlaceOutcome, say: Say) -> PlaceOutcome:
    if planned.plan is None:
        return planned
    say(f"{request.job}: locking {len(planned.plan.extensions)} files in {place.name}")
    try:
        result = object_lock.lock(place.store, planned.plan)
    except LifeboatError as error:
        return dataclasses.replace(planned, error=error)
    if result.error is not None:
        return dataclasses.replace(planned, result=result, error=_ended_early(request, place, result))
    if not result.denied:
        return dataclasses.replace(planned, result=result)
    refused = IncompleteError(
        f"Cannot lock everything of {request.job} in {place.name}",
        f"{len(result.denied)} files: {result.denied[0]}",
        "give this access key the right s3:PutObjectRetention (role locker), and run it again",
        result,
    )
    return dataclasses.replace(planned, result=result, error=refused)


def _ended_early(request: Request, place: Place, result: LockResult) -> IncompleteError:
    """Return why not all of a plan was carried out, and how much of it."""
    cause = result.error.summary if result.error is not None else ""
    words = f"{result.extended} of {len(result.plan.extensions)} files were locked before"
    return IncompleteError(
        f"Cannot lock everything of {request.job} in {place.name}",
        f"{cause}; {words}",
        "make the repository available and run it again: it goes on with what is left",
        result,
    )


def error_of(outcomes: t.Sequence[PlaceOutcome]) -> LifeboatError | None:
    """Return the first error, None for none."""
    return next((each.error for each in outcomes if each.error is not None), None)


def exit_code(outcomes: t.Sequence[PlaceOutcome]) -> int:
    """Return what the command ends with: 5 where something was done or waits for the next run, beside an error."""
    codes = {each.error.exit_code for each in outcomes if each.error is not None}
    if not codes:
        return INCOMPLETE if any(each.plan is not None and each.plan.left for each in outcomes) else 0
    if any(each.error is None for each in outcomes):
        return INCOMPLETE
    return codes.pop() if len(codes) == 1 else FAILED


def document(outcome: PlaceOutcome) -> dict[str, t.Any]:
    """Return what is known about one repository, for machines."""
    planned, result = outcome.plan, outcome.result
    promises = planned.promises if planned is not None else {}
    return {
        "repository": outcome.name,
        "mode": planned.request.policy.mode if planned is not None else "",
        "backups": [{"id": each, "until": clock.to_text(until)} for each, until in sorted(promises.items())],
        "to_lock": len(planned.extensions) if planned is not None else 0,
        "locked_before": planned.locked if planned is not None else 0,
        "left": planned.left if planned is not None else 0,
        "weaker": planned.weaker if planned is not None else 0,
        "locked": result.extended if result is not None else 0,
        "denied": list(result.denied) if result is not None else [],
        "problem": str(outcome.error) if outcome.error is not None else "",
    }
