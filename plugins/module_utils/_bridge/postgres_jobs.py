# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options of backups of databases, and what they ask for."""

from __future__ import annotations

import typing as t

from .._engine.errors import UsageError
from .._engine.host.backup_run import BackupResult, CopyResult
from .._engine.host.database_backup import DatabaseJob
from .._engine.host.database_plan import BackupPlan
from .._engine.postgres.dump import DumpOptions
from .._engine.repository.layout import checked_job
from .copies import copy_answer, missing_copies
from .drill_options import drill_place_from
from .places import places_from
from .postgres_options import server_from

Params = t.Mapping[str, t.Any]


def database_job_from(params: Params) -> DatabaseJob:
    """Return the job that the options of pg_backup describe. Raises UsageError."""
    for name in ("lock_timeout_s", "wait_s"):
        _refuse_below(0, params, name)
    return DatabaseJob(
        name=checked_job(params["job"]),
        server=server_from(params),
        database=params["database"],
        places=places_from(params["repositories"]),
        proof=params["proof"],
        compression=params["compression"],
        dump=DumpOptions(lock_timeout_s=params["lock_timeout_s"]),
        on_shrink=params["on_shrink"],
        allow_partial=params["allow_partial"],
        rebind=params["rebind"],
        wait_s=params["wait_s"],
        drill=drill_place_from(params),
    )


def backup_plan_answer(plan: BackupPlan) -> dict[str, t.Any]:
    """Return what a task says about a backup that would be written."""
    primary = plan.primary.repository
    unwritten = [CopyResult(p.repository, p.repository == primary, False, False, p.problem) for p in plan.places]
    notes = (*plan.source.tools.warnings, *plan.source.check.notes)
    return {
        "job": plan.job.name,
        "database": plan.job.database,
        "database_bytes": plan.source.check.size_bytes,
        "estimated_bytes": plan.estimated_bytes,
        "copies": [copy_answer(copy) for copy in unwritten],
        "warnings": [*notes, *missing_copies(unwritten)],
    }


def backup_answer(result: BackupResult) -> dict[str, t.Any]:
    """Return what a task says about a backup that was written."""
    return {
        "id": result.id,
        "copies": [copy_answer(copy) for copy in result.copies],
        "complete": result.is_complete,
        "plain_bytes": result.plain_bytes,
        "stored_bytes": result.stored_bytes,
        "ratio": round(result.plain_bytes / result.stored_bytes, 2) if result.stored_bytes else 0.0,
        "seconds": result.seconds,
        "dump_seconds": result.dump_seconds,
        "warnings": [*result.warnings, *missing_copies(result.copies)],
    }


def _refuse_below(least: int, params: Params, name: str) -> None:
    if params[name] < least:
        raise UsageError("Cannot use these options", f"{name} is {params[name]}", f"set it to {least} or more")
