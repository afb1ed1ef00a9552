# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Jobs of several databases: what is done for one database is done for each of them."""

from __future__ import annotations

import typing as t

from ..errors import DONE, FAILED, INCOMPLETE, LifeboatError, UsageError
from . import catalog_view, tables
from .config import Config
from .database_settings import DatabaseSettings
from .job_settings import JobSettings
from .members import Members, members_of
from .run_as import Document
from .shown import Shown


def known_members(config: Config, job: JobSettings) -> Members:
    """Return which jobs of single databases the repositories have for a job of several."""
    places, refused = config.usable_places(job)
    return members_of(job.name, places, refused)


def never_saved(job: JobSettings, known: Members) -> dict[str, str]:
    """Return the databases that a job names and that have no backup, by the names of their jobs, unless no repository
    answers: then nobody knows."""
    selection = job.selection if isinstance(job, DatabaseSettings) else None
    if selection is None or set(job.repositories) <= set(known.unreachable):
        return {}
    return known.never_saved(job.name, selection.names)


def parts_of(config: Config, job: JobSettings) -> list[JobSettings]:
    """Return the job itself, or its parts as far as repositories know them."""
    if not job.has_members:
        return [job]
    parts = (job.member(name) for name in known_members(config, job).databases)
    return [part for part in parts if part is not None]


def for_each(
    config: Config, job: JobSettings, work: t.Callable[[JobSettings], Shown], *, misses: bool = False
) -> Shown:
    """Do the work of a subcommand for every database that has backups; a failure does not stop the others.

    `misses`: a database that the job names and that has none is a failure, too.
    """
    known = known_members(config, job)
    remarks = catalog_view.remarks(known.unreachable)
    if not known.databases:
        cause = "; ".join(remarks) or "no repository has a backup of its databases"
        raise LifeboatError(f"Cannot work on the backups of {job.name}", cause, "run the job first")
    parts: list[tuple[str, Shown]] = []
    for name in (*known.databases, *(never_saved(job, known) if misses else ())):
        member = job.member(name)
        if member is None:
            continue
        try:
            parts.append((name, work(member)))
        except LifeboatError as error:
            parts.append((name, Shown({"job": name}, (), error.exit_code, error=error)))
    return _together(job, parts, remarks)


def listings(config: Config, job: JobSettings) -> Document:
    """Return the backups of a job, or of each of its databases that has some, under the key `listings`."""
    parts = parts_of(config, job)
    return {"listings": [catalog_view.listing(config, each) for each in parts or [job]]}


def refuse(job: JobSettings, command: str) -> None:
    """Raise UsageError for a job of several databases: the command wants one of them."""
    if job.has_members:
        raise UsageError(
            f"Cannot {command} all databases of job {job.name} at once",
            "their backups lie under names of their own",
            f"take one of those that lifeboat list {job.name} shows",
        )


def _together(job: JobSettings, parts: t.Sequence[tuple[str, Shown]], remarks: t.Sequence[str]) -> Shown:
    codes = {each.exit_code for _name, each in parts} - {DONE}
    lines: list[str] = []
    told = list(remarks)
    problems = []
    for name, each in parts:
        lines += [*([""] if lines else []), name, *each.lines]
        told += [f"{name}: {remark}" for remark in each.remarks if remark not in remarks]
        if each.error is not None:
            lines += tables.note(each.error.summary, "! ")
            problems.append(f"{name}: {each.error.summary}")
    error = None
    if problems:
        error = LifeboatError(f"Not all databases of {job.name} are done", "; ".join(problems), "see the list")
    document = {"job": job.name, "members": [each.document for _name, each in parts]}
    code = FAILED if FAILED in codes else next(iter(sorted(codes)), INCOMPLETE if remarks else DONE)
    return Shown(document, lines, code, told, error)
