# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses

from ..errors import DamagedError, LifeboatError
from ..repository import binding, layout
from ..repository.manifest import Manifest
from .backup_run import KIND, DatabaseJob, Source, inspect, newest_manifest
from .place import Place, is_unusable


@dataclasses.dataclass(frozen=True)
class PlaceState:
    """What a run would find in one of the job's repositories."""

    repository: str
    problem: str = ""  # why it cannot be used; empty: it can
    latest: Manifest | None = None  # the newest backup that is there


@dataclasses.dataclass(frozen=True)
class BackupPlan:
    """What a run of a job would do, found out by reading only."""

    job: DatabaseJob
    source: Source
    places: tuple[PlaceState, ...]  # in the order of the job

    @property
    def primary(self) -> PlaceState:
        """The repository that would be written to; `plan` made sure that there is one."""
        return next(place for place in self.places if not place.problem)

    @property
    def estimated_bytes(self) -> int:
        """Return about how much would be stored in each repository."""
        return estimated_bytes(self.source.check.size_bytes, self.primary.latest)


def estimated_bytes(database_bytes: int, last: Manifest | None) -> int:
    """Return about how many bytes a backup of a database takes: as the last one did, for a database of its size.

    Without a last backup that is the size of the database's files, which a compressed backup stays far below.
    """
    figures = last.statistics if last else {}
    stored, before = int(figures.get("stored_bytes", 0)), int(figures.get("database_bytes", 0))
    return round(stored * database_bytes / before) if stored and before else database_bytes


def plan(job: DatabaseJob) -> BackupPlan:
    """Look at the source, the programs and every repository; changes nothing.

    Raises LifeboatError when a run would end without a backup: the source or the programs are not fit, no repository
    can be used, or a guard forbids it.
    """
    layout.checked_job(job.name)
    source = inspect(job)
    states: list[PlaceState] = []
    for place in job.places:
        try:
            states.append(_state(job, source, place))
        except LifeboatError as error:
            # What stops the primary stops the run; what stops a copy only leaves the backup incomplete.
            is_copy = any(not state.problem for state in states)
            if len(job.places) == 1 or not (is_copy or is_unusable(error) or isinstance(error, DamagedError)):
                raise
            states.append(PlaceState(place.name, f"{error.problem}: {error.cause}"))
    if all(state.problem for state in states):
        raise LifeboatError(
            f"Cannot back up {job.name}: no repository works",
            "; ".join(state.problem for state in states),
            "make one of the repositories available and run the job again",
        )
    return BackupPlan(job, source, tuple(states))


def _state(job: DatabaseJob, source: Source, place: Place) -> PlaceState:
    place.identity()
    if not job.rebind:
        binding.check(place.store, job.name, KIND, source.identity)
    return PlaceState(place.name, latest=newest_manifest(place.store, job.name))
