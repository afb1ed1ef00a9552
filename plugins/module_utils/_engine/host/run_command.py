# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The subcommand `run`, for jobs of all kinds."""

from __future__ import annotations

import argparse
import dataclasses
import typing as t

from ..errors import DONE, FlaggedError, IncompleteError, LifeboatError, UsageError
from . import acknowledging, database_backup, minio_backup, objects_backup, tables
from .backup_run import BackupResult
from .database_backup import DatabaseJob
from .database_settings import DatabaseSettings
from .job_kinds import DATABASE, MINIO
from .job_settings import JobSettings
from .minio_settings import MinioSettings
from .objects_job_settings import ObjectsSettings
from .place import Place, Say
from .proving import OBJECT_KINDS
from .run_as import Document
from .server_backup import ServerJob
from .shown import Shown

_OF_OBJECTS = ("full", "metadata_only", "reread", "allow_empty")
_FOREIGN = {  # by kind of job: the options that it does not have
    DATABASE: _OF_OBJECTS,
    MINIO: ("on_shrink", *_OF_OBJECTS),
    **dict.fromkeys(OBJECT_KINDS, ("on_shrink",)),
}


def run(job: JobSettings, places: tuple[Place, ...], options: argparse.Namespace, say: Say) -> Shown:
    """Back up, prove, copy. Raises UsageError for options that the kind of the job does not have."""
    try:
        return shown(_backed_up(job, places, options, say))
    except (IncompleteError, FlaggedError) as error:
        return shown(error.result, error)


def _backed_up(job: JobSettings, places: tuple[Place, ...], options: argparse.Namespace, say: Say) -> BackupResult:
    if isinstance(job, DatabaseSettings):
        return database_backup.back_up(_with_options(job.job(places), options), say)
    if isinstance(job, ObjectsSettings):
        refuse_foreign(job, options)
        mode = "full" if options.full else ("metadata_only" if options.metadata_only else "incremental")
        is_allowed = job.allow_empty or options.allow_empty
        changes: dict[str, t.Any] = {"rebind": options.rebind, "mode": mode, "allow_empty": is_allowed}
        if options.reread:
            changes["reread"] = options.reread
        return objects_backup.back_up(dataclasses.replace(job.job(places), **changes), say)
    if isinstance(job, MinioSettings):
        refuse_foreign(job, options)
        return minio_backup.back_up(dataclasses.replace(job.job(places), rebind=options.rebind), say)
    raise UsageError(f"Cannot run job {job.name}", f"nothing is known of kind {job.kind}", "upgrade lifeboat")


def with_options(job: ServerJob, options: argparse.Namespace) -> ServerJob:
    """Return a job for several databases as a command line wants it. Raises UsageError."""
    return dataclasses.replace(job, each=_with_options(job.each, options))


def _with_options(job: DatabaseJob, options: argparse.Namespace) -> DatabaseJob:
    _refuse(job.name, DATABASE, options)
    return dataclasses.replace(job, rebind=options.rebind, on_shrink=options.on_shrink or job.on_shrink)


def refuse_foreign(job: JobSettings, options: argparse.Namespace) -> None:
    """Raise UsageError for options that the kind of the job does not have."""
    _refuse(job.name, job.kind, options)


def _refuse(job: str, kind: str, options: argparse.Namespace) -> None:
    for name in _FOREIGN.get(kind, ()):
        if getattr(options, name):
            option = f"--{name.replace('_', '-')}"
            raise UsageError(f"Cannot run job {job} with {option}", f"it is of kind {kind}", "leave it out")


def acknowledge(job: JobSettings, places: tuple[Place, ...], backup: str) -> Shown:
    """Say that flagged backups were looked at; nothing is backed up."""
    planned = acknowledging.plan(job.name, backup, places)
    error: LifeboatError | None = None
    try:
        acknowledging.apply(planned)
    except IncompleteError as failure:
        error = failure
    document = {
        "job": job.name,
        "acknowledged": planned.id,
        "flags": {backup_id: list(flags) for backup_id, flags in planned.flags.items()},
        "repositories": [place.name for place in planned.places],
    }
    lines = [f"{job.name}: {planned.id} and all earlier backups are acknowledged"]
    for backup_id, flags in planned.flags.items():
        lines += tables.note(f"{backup_id}: {'; '.join(flags)}", "was flagged: ")
    return Shown(document, lines, error.exit_code if error else DONE, error=error)


def document_of(result: BackupResult) -> Document:
    """Return what a run made for machines."""
    return {
        "job": result.job,
        "id": result.id,
        "copies": [
            {
                "repository": copy.repository,
                "primary": copy.is_primary,
                "present": copy.is_present,
                "proved": copy.is_proved,
                "problem": copy.problem,
                "seconds": copy.seconds,
            }
            for copy in result.copies
        ],
        "complete": result.is_complete,
        "plain_bytes": result.plain_bytes,
        "stored_bytes": result.stored_bytes,
        "seconds": result.seconds,
        "dump_seconds": result.dump_seconds,
        "statistics": dict(result.statistics),
        "flags": list(result.flags),
        "warnings": list(result.warnings),
    }


def shown(result: BackupResult, error: LifeboatError | None = None) -> Shown:
    """Return what a run made, for people and machines."""
    document = document_of(result)
    sizes = f"{tables.size(result.stored_bytes)} of {tables.size(result.plain_bytes)}"
    lines = [f"{result.job}: backup {result.id}, {sizes}, {tables.duration(result.seconds)}", *_objects(result)]
    for copy in result.copies:
        words = "proved" if copy.is_proved else ("not proved" if copy.is_present else "MISSING")
        lines.append(tables.printable(f"  {copy.repository}: {words}"))
        lines += tables.note(copy.problem) if copy.problem else []
    for flag in result.flags:
        lines += tables.note(flag, "FLAG: ")
    for warning in result.warnings:
        lines += tables.note(warning, "warning: ")
    for remark in result.statistics.get("remarks_sample", ()):
        lines += tables.note(str(remark), "object ")
    return Shown(document, lines, error.exit_code if error else DONE, error=error)


def _objects(result: BackupResult) -> list[str]:
    found = result.statistics
    if "objects" not in found:
        return []
    return [
        f"  {found['objects']:,} objects of {tables.size(found['bytes'])}: {found['added']:,} new, "
        f"{found['rewritten']:,} changed, {found['gone']:,} gone; {tables.size(found['read_bytes'])} read"
    ]
