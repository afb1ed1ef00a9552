# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses

from ..repository import layout
from ..repository.manifest import Manifest
from . import backup_plan
from .backup_plan import PlaceState
from .database_backup import DatabaseJob, Source, drill_programs, inspect
from .job_kinds import DATABASE


@dataclasses.dataclass(frozen=True)
class BackupPlan:
    """What a run of a job would do, found out by reading only."""

    job: DatabaseJob
    source: Source
    places: tuple[PlaceState, ...]  # in the order of the job

    @property
    def primary(self) -> PlaceState:
        """The repository that would be written to; `plan` made sure that there is one."""
        return backup_plan.primary(self.places)

    @property
    def estimated_bytes(self) -> int:
        """Return about how much would be stored in each repository."""
        return estimated_bytes(self.source.check.size_bytes, self.primary.latest)


def estimated_bytes(database_bytes: int, last: Manifest | None) -> int:
    """Return about how many bytes a backup of a database takes: as the last one did, for a database of its size.

    Without a last backup that is the size of the database's files, which a compressed backup stays far below.
    """
    stored, before = (last.figure("stored_bytes"), last.figure("database_bytes")) if last else (0, 0)
    return round(stored * database_bytes / before) if stored and before else database_bytes


def plan(job: DatabaseJob) -> BackupPlan:
    """Look at the source, the programs and every repository; changes nothing.

    Raises LifeboatError when a run would end without a backup: the source or the programs are not fit, no repository
    can be used, or a guard forbids it.
    """
    layout.checked_job(job.name)
    source = inspect(job)
    drill_programs(job, source)
    return BackupPlan(job, source, backup_plan.states_of(job, DATABASE, source.identity))
