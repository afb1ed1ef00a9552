# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options of restores of databases, and what they ask for."""

from __future__ import annotations

import typing as t

from .._engine import clock
from .._engine.errors import UsageError
from .._engine.host.restore_request import RestoreRequest
from .._engine.host.restore_run import RestorePlan, RestoreResult
from .._engine.postgres.archive import ScriptOptions
from .._engine.postgres.restore import RestoreOptions
from .._engine.postgres.swap import previous_name
from .._engine.repository.layout import checked_job
from .places import places_from
from .postgres_options import server_from

Params = t.Mapping[str, t.Any]


def restore_request_from(params: Params) -> RestoreRequest:
    """Return the restore that the options of pg_restore describe. Raises UsageError."""
    if params["jobs"] < 1:
        raise UsageError("Cannot use these options", f"jobs is {params['jobs']}", "set it to 1 or more")
    script = ScriptOptions(params["schema_only"], params["no_owner"], params["no_privileges"])
    return RestoreRequest(
        job=checked_job(params["job"]),
        backup=params["backup"],
        places=places_from(params["repositories"]),
        server=server_from(params),
        database=params["database"] or "",
        confirm=params["confirm"] or "",
        keep_previous=params["keep_previous"],
        options=RestoreOptions(script=script, jobs=params["jobs"]),
        folder=params["spool_dir"] or "",
    )


def restore_plan_answer(plan: RestorePlan) -> dict[str, t.Any]:
    """Return what a task says about a restore that would be done."""
    manifest, dump = plan.manifest, plan.manifest.file("dump")
    previous = previous_name(plan.database, "YYYYMMDDTHHMMSSZ") if plan.target.exists else ""
    return {
        "job": plan.request.job,
        "id": manifest.id,
        "repository": plan.first.place.name,
        "copies": [copy.place.name for copy in plan.candidates if copy.backup.id == manifest.id],
        "proved": plan.first.backup.is_good,
        "finished": clock.to_text(manifest.finished),
        "database": plan.database,
        "source_database": str(manifest.source["database"]),
        "replaces": plan.target.exists,
        "previous": previous if plan.request.keep_previous else "",
        "stored_bytes": dump.facts.stored_size,
        "plain_bytes": dump.facts.plain_size,
        "database_bytes": int(manifest.source["size_bytes"]),
        "problems": list(plan.target.problems),
        "warnings": list(plan.notes),
    }


def restore_answer(result: RestoreResult) -> dict[str, t.Any]:
    """Return what a task says about a restore that was done."""
    return {
        "id": result.id,
        "repository": result.repository,
        "previous": result.previous,
        "figures": dict(result.figures),
        "fetch_seconds": result.fetch_seconds,
        "load_seconds": result.load_seconds,
        "compare_seconds": result.compare_seconds,
        "seconds": result.seconds,
        "warnings": list(result.notes),
    }
