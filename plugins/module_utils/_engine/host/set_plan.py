# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a run of a set would find."""

from __future__ import annotations

import dataclasses

from ..errors import LifeboatError
from . import database_plan, minio_backup, objects_plan, server_backup, server_command
from .config import Config
from .database_settings import DatabaseSettings
from .job_settings import JobSettings
from .minio_settings import MinioSettings
from .objects_job_settings import ObjectsSettings
from .run_as import Document, apart
from .set_settings import SetSettings


@dataclasses.dataclass(frozen=True)
class MemberPlan:
    """What the run of a member would find, by reading only."""

    job: str
    kind: str
    problem: str = ""  # why it would end without a backup; empty: nothing known
    remedy: str = ""


def plan(config: Config, settings: SetSettings) -> tuple[MemberPlan, ...]:
    """Look at the sources and repositories of all members; changes nothing."""
    return tuple(_planned(config, config.job(name)) for name in settings.members)


def require(settings: SetSettings, members: tuple[MemberPlan, ...]) -> None:
    """Raise LifeboatError when a run would end without a point."""
    wrong = [each for each in members if each.problem]
    if wrong:
        raise LifeboatError(
            f"Cannot back up set {settings.name} as a whole",
            "; ".join(f"{each.job}: {each.problem}" for each in wrong),
            "; ".join(dict.fromkeys(each.remedy for each in wrong if each.remedy)),
        )


def _planned(config: Config, job: JobSettings) -> MemberPlan:
    def work() -> Document:
        try:
            places = config.places_of_run(job)
            if isinstance(job, DatabaseSettings) and job.has_members:
                _plan_databases(config, job)
            elif isinstance(job, DatabaseSettings):
                database_plan.plan(job.job(places))
            elif isinstance(job, ObjectsSettings):
                objects_plan.plan(job.job(places), False)
            elif isinstance(job, MinioSettings):
                minio_backup.plan(job.job(places))
        except LifeboatError as error:
            return {"problem": error.summary, "remedy": error.remedy}
        return {}

    try:
        return MemberPlan(job.name, job.kind, **apart(job.run_as, job.name, work))
    except LifeboatError as error:
        return MemberPlan(job.name, job.kind, error.summary, error.remedy)


def _plan_databases(config: Config, job: DatabaseSettings) -> None:
    """Look at all databases of a job. Raises LifeboatError for those that a run would not back up."""
    planned = server_backup.plan(server_command.server_job(config, job))
    problems = [server_backup.gone_words(each) for each in planned.gone] if job.on_gone == "fail" else []
    for each in planned.databases:
        try:
            database_plan.plan(planned.job.single(each.name))
        except LifeboatError as error:
            problems.append(error.summary)
    if problems:
        raise LifeboatError(f"Cannot back up {job.name}", "; ".join(problems), f"see lifeboat check {job.name}")
