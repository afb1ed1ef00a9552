# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
import typing as t

from .. import clock
from ..errors import LifeboatError, UsageError
from ..postgres.databases import Selection
from ..repository import catalog, layout
from ..repository.catalog import Backup, MergedBackup
from ..repository.manifest import Manifest
from ..repository.store import Store
from .candidates import holdings, meant
from .member_names import checked_server_job
from .members import members_of
from .place import Place
from .recalling import of_this_user

_SHOWN_PROBLEMS = 10  # of one copy


@dataclasses.dataclass(frozen=True)
class ListedDatabase:
    """One of the databases of a job for several."""

    database: str
    job: str
    has_backups: bool  # False: the job was asked for it by name, and no repository has a backup of it


@dataclasses.dataclass(frozen=True)
class Listing:
    """The merged catalog of several repositories."""

    rows: tuple[MergedBackup, ...]  # newest first
    unreachable: t.Mapping[str, str]  # name of the repository → why
    jobs: tuple[str, ...] = ()  # that were looked for, in the order of their names
    databases: tuple[ListedDatabase, ...] = ()  # of a job for several, in the order of the names of their jobs


def listing(
    places: t.Sequence[Place], job: str = "", wanted: str = "all", databases: Selection | None = None
) -> Listing:
    """Join what the repositories have of one job, or of all jobs that they know.

    `wanted`: all, latest or latest_good (of each job), or an id. With `databases` the job is one for several: what is
    listed are the jobs of those that are meant and have backups. Raises UsageError; a repository that does not answer
    is no error.
    """
    if wanted not in ("all", "latest", "latest_good"):
        layout.checked_id(wanted)
    unreachable: dict[str, str] = {}
    rows: list[MergedBackup] = []
    several = _several(places, job, databases, unreachable) if job and databases is not None else ()
    names = [each.job for each in several if each.has_backups] if databases else _names(places, job, unreachable)
    for name in names:
        known = holdings(name, [place for place in places if place.name not in unreachable], of_this_user)
        unreachable.update(known.unreachable)
        rows += known.merged() if wanted == "all" else meant(known.merged(), places, wanted)[:1]
    newest_first = tuple(sorted(rows, key=lambda row: (row.id, row.job), reverse=True))
    return Listing(newest_first, unreachable, tuple(names), several)


def _names(places: t.Sequence[Place], job: str, unreachable: dict[str, str]) -> list[str]:
    return [layout.checked_job(job)] if job else _jobs(places, unreachable)


def _several(
    places: t.Sequence[Place], job: str, wanted: Selection, unreachable: dict[str, str]
) -> tuple[ListedDatabase, ...]:
    known = members_of(checked_server_job(job), places)
    unreachable.update(known.unreachable)
    found = [ListedDatabase(database, name, True) for name, database in known.databases.items() if wanted.has(database)]
    found += [ListedDatabase(database, name, False) for name, database in known.never_saved(job, wanted.names).items()]
    return tuple(sorted(found, key=lambda each: each.job))


def _jobs(places: t.Sequence[Place], unreachable: dict[str, str]) -> list[str]:
    found: set[str] = set()
    for place in places:
        try:
            place.identity()
            found.update(filter(_is_job, catalog.jobs(place.store)))
        except LifeboatError as error:
            unreachable[place.name] = error.cause or error.problem
    return sorted(found)


def _is_job(name: str) -> bool:
    """Say whether a name is one: whoever may write to a repository could put another one there."""
    try:
        return bool(layout.checked_job(name))
    except UsageError:
        return False


def described(row: MergedBackup) -> dict[str, t.Any]:
    """Return a backup as results show it; what only its manifest tells is None when no copy of that can be read."""
    manifest = row.manifest
    copies = [_copy(name, backup) for name, backup in row.copies]
    good = [copy["proved_at"] or "" for copy in copies if copy["proved"]]  # times as texts have the order of times
    return {
        "id": row.id,
        "job": row.job,
        **_facts(manifest),
        "proved": bool(good),
        "proved_at": max(good, default="") or None,
        "flags": list(manifest.flags) if manifest else [],
        "flagged": row.is_flagged,
        "copies": copies,
    }


def _facts(manifest: Manifest | None) -> dict[str, t.Any]:
    if manifest is None:
        return dict.fromkeys(("kind", "host", "started", "finished", "plain_bytes", "stored_bytes", "source"))
    return {
        "kind": manifest.kind,
        "host": manifest.host,
        "started": clock.to_text(manifest.started),
        "finished": clock.to_text(manifest.finished),
        "plain_bytes": manifest.figure("plain_bytes"),
        "stored_bytes": stored_bytes(manifest),
        "source": _source(manifest),
    }


def _source(manifest: Manifest) -> dict[str, t.Any]:
    """Return what was backed up, as far as people look for it: a database, or buckets or folders."""
    if manifest.kind == "pg_database":
        return {name: manifest.source.get(name) for name in ("database", "server_version")}
    return dict(manifest.source)


def stored_bytes(manifest: Manifest) -> int:
    """Return how much the data of a backup takes, as the run that made it counted."""
    return manifest.figure("stored_bytes")


def _copy(repository: str, backup: Backup) -> dict[str, t.Any]:
    problems, moment = list(backup.standing.problems), backup.standing.proved_at
    if len(problems) > _SHOWN_PROBLEMS:
        problems[_SHOWN_PROBLEMS:] = [f"and {len(problems) - _SHOWN_PROBLEMS} more"]
    return {
        "repository": repository,
        "proved": backup.is_good,
        "proved_at": clock.to_text(moment) if moment else None,
        "problems": problems,
        "alarms": list(backup.alarms),
        "signature": backup.signature,
    }


def job_summaries(store: Store) -> list[dict[str, t.Any]]:
    """Return a row for each job of a repository, ordered by name: how many backups there are, and the newest."""
    return [_summary(name, catalog.backups(store, name), store) for name in filter(_is_job, catalog.jobs(store))]


def _summary(job: str, found: t.Sequence[Backup], store: Store) -> dict[str, t.Any]:
    manifests = [backup.manifest for backup in found if backup.manifest is not None]
    good = [backup.id for backup in found if backup.is_good]
    trusted = {backup.id for backup in found if backup.is_trusted}
    return {
        "job": job,
        "kind": manifests[-1].kind if manifests else None,
        "backups": len(found),
        "proved": len(good),
        "failed": sum(backup.has_failed for backup in found),
        "stored_bytes": sum(map(stored_bytes, manifests)),
        "latest": found[-1].id if found else None,
        "flagged": sum(backup.is_flagged for backup in found),
        "latest_good": max(trusted, key=catalog.age_order(trusted, [store]), default=None),
    }
