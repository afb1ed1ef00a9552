# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A backup of a database that is about to be replaced."""

from __future__ import annotations

from ..errors import LifeboatError
from . import database_backup
from .database_backup import DatabaseJob
from .place import Say, silent
from .restore_request import RestoreRequest

_SUFFIX = "-damaged"  # as the role postgres_recovery calls such a job


def safety_job(request: RestoreRequest, database: str) -> DatabaseJob:
    """Return the job of the backup: one of its own, so that nobody takes it for one of the good ones."""
    return DatabaseJob(
        name=request.job + _SUFFIX,
        server=request.server,
        database=database,
        places=request.places,
        on_shrink="ignore",
        allow_partial=True,
        rebind=True,
    )


def safety_problems(request: RestoreRequest, database: str) -> list[str]:
    """Say what stands in the way of the backup; changes nothing."""
    try:
        database_backup.inspect(safety_job(request, database))
    except LifeboatError as error:
        return [f"what is there cannot be backed up: {error.cause or error.problem} ({error.remedy})"]
    return []


def take_safety_backup(request: RestoreRequest, database: str, say: Say = silent) -> str:
    """Back the database up as it is, and return the id. Raises LifeboatError when there is no backup."""
    say(f"{request.job}: backing up what is there")
    return database_backup.back_up(safety_job(request, database)).id
