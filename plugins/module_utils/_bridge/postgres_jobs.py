# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options of backups and restores of databases, and what they ask for."""

from __future__ import annotations

import typing as t

from .._engine import clock
from .._engine.errors import UsageError
from .._engine.host.backup_run import BackupResult, CopyResult
from .._engine.host.database_backup import DatabaseJob
from .._engine.host.database_plan import BackupPlan
from .._engine.host.restore_run import RestorePlan, RestoreRequest, RestoreResult
from .._engine.postgres.archive import ScriptOptions
from .._engine.postgres.connection import Server
from .._engine.postgres.container_server import located
from .._engine.postgres.dump import DumpOptions
from .._engine.postgres.restore import RestoreOptions
from .._engine.postgres.swap import previous_name
from .._engine.repository.layout import checked_job
from .copies import copy_answer, missing_copies
from .places import container_from, drill_place_from, places_from

Params = t.Mapping[str, t.Any]


def server_from(params: Params) -> Server:
    """Return the PostgreSQL server that the options of POSTGRES_LOGIN describe.

    Raises UsageError, and LifeboatError for a container that is not there or does not run.
    """
    container = container_from(params)
    more = {"pass_file": params["login_pass_file"] or "", "session_role": params["session_role"]}
    service = params["login_service"]
    if service or params["login_service_file"]:
        _refuse_beside_service(params)
        file = params["login_service_file"] or ""
        return Server("", 0, service=service, service_file=file, bin_dir=params["bin_dir"] or "", **more)
    server = Server(
        host=params["login_host"] or params["login_unix_socket"] or ("" if container else Server.host),
        port=params["login_port"],
        user=params["login_user"],
        password=params["login_password"],
        ssl_mode=params["ssl_mode"],
        ca_file=params["ca_cert"] or "",
        bin_dir="" if container else params["bin_dir"] or "",
        container=container,
        **more,
    )
    return located(server)


def _refuse_beside_service(params: Params) -> None:
    problem = "Cannot use these options"
    if not params["login_service"]:
        raise UsageError(problem, "login_service_file stands alone", "name the service in it, too")
    for name in ("login_host", "login_unix_socket", "login_password", "container"):
        if params[name]:
            raise UsageError(problem, f"{name} stands beside login_service, which says it", "give one of them")


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


def restore_request_from(params: Params) -> RestoreRequest:
    """Return the restore that the options of pg_restore describe. Raises UsageError."""
    _refuse_below(1, params, "jobs")
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


def _refuse_below(least: int, params: Params, name: str) -> None:
    if params[name] < least:
        raise UsageError("Cannot use these options", f"{name} is {params[name]}", f"set it to {least} or more")
