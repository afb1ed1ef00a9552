# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The jobs of single databases that a job for all databases of a server has made, as repositories know them."""

from __future__ import annotations

import contextlib
import dataclasses
import typing as t

from .. import clock
from ..errors import DamagedError, LifeboatError
from ..repository import json_document, layout
from .member_names import database_of, member_job
from .place import Place


@dataclasses.dataclass(frozen=True)
class Members:
    """What the repositories know of the databases of a server."""

    databases: t.Mapping[str, str]  # name of the job → database, in the order of the databases; all of them ever saved
    unreachable: t.Mapping[str, str]  # name of the repository → why

    def never_saved(self, server_job: str, named: t.Sequence[str] | None) -> dict[str, str]:
        """Return those of the databases that a job names of which there is no backup, by the names of their jobs.

        `named` is None for a job of all databases, which only the server could tell.
        """
        jobs = {member_job(server_job, database): database for database in named or ()}
        return {job: database for job, database in jobs.items() if job not in self.databases}


def members_of(server_job: str, places: t.Sequence[Place], refused: t.Mapping[str, str] | None = None) -> Members:
    """List the jobs of single databases that have at least one backup in some repository.

    `refused`: repositories that could not even be opened.
    """
    found: dict[str, str] = {}
    unreachable = dict(refused or {})
    for place in places:
        try:
            place.identity()
            found.update(_of_place(server_job, place, found))
        except LifeboatError as error:
            unreachable[place.name] = error.cause or error.problem
    return Members(dict(sorted(found.items(), key=lambda each: (each[1], each[0]))), unreachable)


def _of_place(server_job: str, place: Place, known: t.Mapping[str, str]) -> t.Iterator[tuple[str, str]]:
    for entry in place.store.entries(f"{layout.JOBS}{server_job}."):
        job = layout.id_of(entry.key)
        database = database_of(server_job, job)
        if database is None or job in known or not _has_backups(place, job):
            continue
        yield job, database or _bound_database(place, job)


def _has_backups(place: Place, job: str) -> bool:
    entries = place.store.entries(layout.manifests(job))
    return any(clock.is_backup_id(layout.id_of(entry.key)) for entry in entries)


def _bound_database(place: Place, job: str) -> str:
    """Return the whole name of a database whose job has a name that was cut; that of the job where it cannot be had."""
    with contextlib.suppress(DamagedError, KeyError, TypeError):
        found = place.store.get(layout.binding(job))
        if found is not None:
            return str(json_document.decoded(found.data, layout.binding(job))["source"]["database"])
    return job
