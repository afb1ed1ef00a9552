# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs one member of a set, and says how its backups ended: one of them, or one for each database of a server."""

from __future__ import annotations

import argparse
import typing as t

from .. import clock
from ..errors import DONE, INCOMPLETE, LifeboatError
from ..repository import catalog
from . import run_command, server_backup, server_command, tables
from .backup_run import BackupResult, MissingCopiesError
from .config import Config
from .database_settings import DatabaseSettings
from .job_settings import JobSettings
from .member_names import member_job
from .place import Place, Say
from .run_as import Document


def backed_up(config: Config, job: JobSettings, options: argparse.Namespace, say: Say) -> Document:
    """Run a member; below the key `outcomes` are the fields of a MemberOutcome for each of its backups.

    What failed is told there: never raises LifeboatError. To be called in the process of the member's user.
    """
    try:
        if isinstance(job, DatabaseSettings) and job.has_members:
            return {"outcomes": _of_databases(config, job, options, say)}
        return {"outcomes": [_of_one(config, job, options, say)]}
    except LifeboatError as error:
        return {"outcomes": [{"job": job.name, **_ended(error)}]}


def _of_one(config: Config, job: JobSettings, options: argparse.Namespace, say: Say) -> Document:
    shown = run_command.run(job, config.places_of_run(job), options, say)
    error = shown.error
    is_whole = error is None or isinstance(error, MissingCopiesError)
    outcome = {**_ended(error), "is_whole": is_whole, "lines": list(shown.lines)}
    return _with_backup(outcome, config.usable_places(job)[0], shown.document)


def _of_databases(config: Config, job: DatabaseSettings, options: argparse.Namespace, say: Say) -> t.Sequence[Document]:
    """Back up all databases of a job; each is a member of the point, under the name that its backups lie under."""
    wanted = server_command.server_job(config, job, options)
    result = server_backup.run(server_backup.plan(wanted), say)
    places = config.usable_places(job)[0]
    outcomes = [_of_database(each, places) for each in result.members]
    for warning in result.warnings:
        outcomes[0]["lines"] += tables.note(warning, "warning: ")
    missed = result.gone if wanted.on_gone == "fail" else ()
    return [*outcomes, *(_of_gone(job.name, database) for database in missed)]


def _of_database(member: server_backup.MemberOutcome, places: t.Sequence[Place]) -> Document:
    failure = member.failure
    outcome: Document = {
        "job": member.job,
        "exit_code": failure.exit_code if failure else DONE,
        "problem": str(failure or ""),
        "is_whole": member.result is not None,  # what else can be wrong with one that was written is a missing copy
        "lines": _lines(member.result),
    }
    return outcome if member.result is None else _with_backup(outcome, places, run_command.document_of(member.result))


def _lines(result: BackupResult | None) -> list[str]:
    return list(run_command.shown(result).lines) if result is not None else []


def _of_gone(server_job: str, database: str) -> Document:
    problem = server_backup.gone_words(database)
    return {"job": member_job(server_job, database), "exit_code": INCOMPLETE, "problem": problem}


def _with_backup(outcome: Document, places: t.Sequence[Place], document: Document) -> Document:
    """Return an outcome with where the backup is, and with the times of its manifest."""
    job, present = document["job"], [each["repository"] for each in document["copies"] if each["present"]]
    found = {
        **outcome,
        "job": job,
        "backup": document["id"],
        "present": present,
        "proved": [each["repository"] for each in document["copies"] if each["proved"]],
    }
    for place in places:
        there = catalog.find(place.store, job, document["id"], False) if place.name in present else None
        if there is not None and there.manifest is not None:
            times = {name: clock.to_text(getattr(there.manifest, name)) for name in ("started", "finished")}
            return {**found, **times}
    return {**found, "is_whole": False, "problem": "its manifest cannot be read"}


def _ended(error: LifeboatError | None) -> Document:
    if error is None:
        return {"exit_code": DONE, "problem": ""}
    return {"exit_code": error.exit_code, "problem": error.summary}
