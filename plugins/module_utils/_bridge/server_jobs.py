# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options of pg_backup for several databases of a server, and what it answers."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible.module_utils.basic import AnsibleModule

from .._engine.errors import LifeboatError
from .._engine.host import database_plan, server_backup
from .._engine.host.database_plan import BackupPlan
from .._engine.host.member_names import ON_GONE, PARALLEL
from .._engine.host.server_backup import MemberOutcome, ServerIncompleteError, ServerJob, ServerPlan
from .._engine.postgres.databases import selection_from
from . import run as bridge
from .options import Spec
from .places import places_from
from .postgres_jobs import backup_answer, backup_plan_answer, database_job_from

# Documented in the fragment _pg_backup.
DATABASES: Spec = {
    "databases": {"type": "raw"},
    "exclude": {"type": "list", "elements": "str", "default": []},
    "parallel": {"type": "int", "default": PARALLEL},
    "on_gone": {"type": "str", "choices": list(ON_GONE), "default": ON_GONE[0]},
}
DATABASES_RULES: Spec = {
    "mutually_exclusive": [["database", "databases"]],
    "required_one_of": [["database", "databases"]],
}


@dataclasses.dataclass(frozen=True)
class PlannedServer:
    """Backups that would be written."""

    plan: ServerPlan
    members: tuple[bridge.Result, ...]  # in check mode: what would be written of each database

    @property
    def changed(self) -> bool:
        return True

    def diff(self) -> tuple[bridge.Result, bridge.Result]:
        """Return which databases would get a new backup."""
        names = sorted(each.name for each in self.plan.databases)
        return {"new_backups_of": []}, {"new_backups_of": names}

    def result(self) -> bridge.Result:
        """Return what would be written."""
        return {
            "job": self.plan.job.name,
            "members": sorted(self.members, key=lambda member: str(member["database"])),
            "gone": list(self.plan.gone),
            "warnings": list(self.plan.warnings),
        }


def plan_server(params: bridge.Params, has_details: bool) -> PlannedServer:
    """Look which databases there are; with details, also whether and how each could be backed up."""
    planned = server_backup.plan(server_job_from(params))
    names = [each.name for each in planned.databases] if has_details else []
    return PlannedServer(planned, tuple(_planned(planned.job, name) for name in names))


def server_job_from(params: bridge.Params) -> ServerJob:
    """Return the job that the options of pg_backup describe. Raises UsageError."""
    problem = "Cannot back up these databases"
    selection = selection_from(params["databases"], params["exclude"], problem)
    each = dataclasses.replace(database_job_from({**params, "database": ""}), places=())
    return ServerJob(
        each, lambda: places_from(params["repositories"]), selection, params["parallel"], params["on_gone"]
    )


def back_up_server(module: AnsibleModule, planned: PlannedServer) -> bridge.Result:
    """Write the backups; a database that is not backed up is a failure that says what there is."""
    result = server_backup.run(planned.plan)
    members = [_done(each) for each in result.members]
    told = [f"{each['database']}: {words}" for each in members for words in each.pop("warnings", ())]
    answer = {
        "members": members,
        "complete": not result.failed,
        "plain_bytes": sum(int(each.get("plain_bytes", 0)) for each in members),
        "stored_bytes": sum(int(each.get("stored_bytes", 0)) for each in members),
        "seconds": result.seconds,
        "warnings": [*result.warnings, *told],
    }
    try:
        server_backup.require_all(planned.plan.job, result)
    except ServerIncompleteError as error:
        bridge.fail(module, error, {**planned.result(), **answer, "changed": bool(result.backed_up)})
    return answer


def _done(member: MemberOutcome) -> dict[str, t.Any]:
    answer: dict[str, t.Any] = {"job": member.job, "database": member.database, "problem": str(member.failure or "")}
    if member.result is not None:
        answer.update(backup_answer(member.result))
    elif member.failure is not None and member.failure.guard:
        answer["guard"] = member.failure.guard
    return answer


def _planned(job: ServerJob, database: str) -> bridge.Result:
    single = job.single(database)
    answer: dict[str, t.Any] = {"job": single.name, "database": database, "problem": ""}
    try:
        found: BackupPlan = database_plan.plan(single)
        answer.update(backup_plan_answer(found))
    except LifeboatError as error:
        answer["problem"] = error.summary
    return answer
