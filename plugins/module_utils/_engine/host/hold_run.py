# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
import datetime as dt
import typing as t

from .. import clock
from ..errors import LifeboatError, UsageError
from ..repository import hold, layout, lease
from .place import Place, Say, silent


@dataclasses.dataclass(frozen=True)
class HoldPlan:
    """A hold as it is, and as it is to be."""

    place: Place
    job: str
    id: str
    found: hold.Hold | None
    reason: str  # empty: it is to be released
    until: dt.datetime | None

    @property
    def changed(self) -> bool:
        if self.found is None:
            return bool(self.reason)
        return (self.found.reason, self.found.until) != (self.reason, self.until)


def plan(place: Place, job: str, backup_id: str, reason: str, until: str = "") -> HoldPlan:
    """Look for a backup and its hold; without a `reason` it is to be released. Raises LifeboatError, UsageError."""
    layout.checked_job(job)
    layout.checked_id(backup_id)
    place.identity()
    if reason and place.store.stat(layout.manifest(job, backup_id)) is None:
        remedy = "take an id from the list of backups of this repository"
        raise LifeboatError(f"Cannot hold backup {backup_id} of {job} in {place.name}", "it is not there", remedy)
    moment = _until(until, place.store.now()) if reason and until else None
    return HoldPlan(place, job, backup_id, hold.read(place.store, job).get(backup_id), reason, moment)


def required_reason(reason: str) -> str:
    """Return why a backup is held, without blanks around it. Raises UsageError for nothing."""
    if not reason.strip():
        raise UsageError("Cannot hold a backup without a reason", "reason is empty", "say why it is held")
    return reason.strip()


def _until(text: str, now: dt.datetime) -> dt.datetime:
    try:
        moment = clock.from_text(text)
    except ValueError as error:
        remedy = "write it as 2027-06-30T00:00:00Z"
        raise UsageError(f"Cannot hold until {text!r}", "this is no time in UTC", remedy) from error
    if moment <= now:
        raise UsageError(f"Cannot hold until {text}", "this time is over", "name a later one, or leave it out")
    return moment


def run(planned: HoldPlan, wait_s: float = lease.WAIT_S, say: Say = silent) -> None:
    """Hold or release, while no removal is under way. Raises BusyError."""
    place, window = planned.place, planned.place.identity().signature_window
    with lease.held(place.store, planned.job, window, wait_s, say) as permit:
        if planned.reason:
            hold.place(place.store, planned.job, planned.id, planned.reason, planned.until, permit)
        else:
            hold.release(place.store, planned.job, planned.id, permit)


def described(reason: str, until: dt.datetime | None) -> dict[str, t.Any]:
    """Return a hold as answers show it; without a reason there is none."""
    return {"held": bool(reason), "reason": reason, "until": clock.to_text(until) if until else None}
