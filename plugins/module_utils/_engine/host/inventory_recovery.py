# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
import os
import typing as t

from ..errors import UsageError
from .inventory_config import Entry, full_name, without_empty
from .job_kinds import DATABASE, MINIO, SET

RECOVERED = (DATABASE, "bucket", "files")  # kinds of jobs that a recovery of everything brings back
# What a job for one database has no use for.
_OF_SERVERS = ("databases", "exclude", "parallel", "on_gone")
# Folders of the operating system: what is in them belongs to one host, and keeps another one from starting.
_NAMES = (
    "",
    "bin",
    "boot",
    "dev",
    "etc",
    "lib",
    "lib32",
    "lib64",
    "libx32",
    "proc",
    "run",
    "sbin",
    "sys",
    "usr",
    "var",
)
_SYSTEM = frozenset(f"/{name}" for name in _NAMES)


@dataclasses.dataclass(frozen=True)
class Known:
    """What repositories know of what the inventory names."""

    found: tuple[Entry, ...] = ()  # of jobs with databases: `name` of the job, `job` (full name) and `database` of each
    members: tuple[Entry, ...] = ()  # of the point: `job` (full name) and `backup` (id) of each


_NOTHING = Known()


@dataclasses.dataclass(frozen=True)
class HostRecovery:
    """What a recovery of a host brings back. A job with databases has become one for each of them, such as all.shop."""

    set: Entry  # the set that was named, or nothing
    servers: tuple[str, ...]  # names of those jobs with databases that count: repositories know their databases
    jobs: tuple[Entry, ...]  # all that could be brought back
    asked: tuple[str, ...]  # names of those that were named; nothing: all
    confirmed: tuple[str, ...]  # names that were confirmed
    full_names: dict[str, str]  # by the names of `jobs`
    backups: dict[str, str]  # ids by the names of `jobs`, where they are those of a point
    left_out: tuple[str, ...] = ()  # names of jobs with folders of the operating system, which nobody has named

    @property
    def databases(self) -> tuple[str, ...]:
        """Return the names of those databases that are to be brought back."""
        names = tuple(str(job["name"]) for job in self.jobs if job["kind"] == DATABASE)
        return tuple(name for name in names if name in self.asked) if self.asked else names


def host_recovery(
    host: str,
    jobs: t.Sequence[Entry],
    names: t.Sequence[str] = (),
    confirm: t.Sequence[str] = (),
    known: Known = _NOTHING,
) -> HostRecovery:
    """Return what a recovery is about. `names` are those of jobs, or of one set. Raises UsageError.

    Without names all jobs are meant, but for those with folders of the operating system: their files belong to a host.
    """
    jobs = [without_empty(job) for job in jobs]
    the_set: Entry = next((job for job in jobs if job.get("kind") == SET and [job["name"]] == list(names)), {})
    named = [str(each) for each in the_set.get("members", ())] if the_set else list(names)
    servers = tuple(str(job["name"]) for job in jobs if "databases" in job and (not named or job["name"] in named))
    every = [each for job in jobs if job.get("kind") in RECOVERED for each in _of(host, job, known.found)]
    parts = {name: [str(job["name"]) for server, job in every if server == name] for name in servers}
    # Servers get their users and settings from the inventory.
    passed_over = {job["name"] for job in jobs if job.get("kind") == MINIO} if the_set else set()
    kept = [name for name in named if name not in passed_over] or named  # nothing would be everything
    asked = tuple(each for name in kept for each in (parts.get(name) or [name]))
    left_out = () if named else tuple(str(job["name"]) for _server, job in every if _is_of_system(job))
    if left_out:
        asked = tuple(str(job["name"]) for _server, job in every if job["name"] not in left_out) or servers
        _require_others(asked, left_out)
    full_names = {str(job["name"]): full_name(host, job) for _server, job in every}
    ids = {str(each["job"]): str(each["backup"]) for each in known.members}
    return HostRecovery(
        set=the_set,
        servers=servers,
        jobs=tuple(job for _server, job in every),
        asked=asked,
        confirmed=tuple(
            each
            for name in confirm
            for each in (asked if the_set and name == the_set["name"] else (parts.get(name) or [name]))
        ),
        full_names=full_names,
        backups={name: ids[full] for name, full in full_names.items() if full in ids},
        left_out=left_out,
    )


def _is_of_system(job: Entry) -> bool:
    roots = job.get("roots") or ()
    listed = [roots] if isinstance(roots, str) else roots
    found = {f"/{os.path.normpath(str(each)).strip('/')}" for each in listed}  # two slashes at the beginning would stay
    return job.get("kind") == "files" and not found.isdisjoint(_SYSTEM)


def _require_others(asked: t.Sequence[str], left_out: t.Sequence[str]) -> None:
    if not asked:  # no name would mean every job
        raise UsageError(
            f"Cannot choose what to recover but {', '.join(left_out)}",
            "folders of the operating system belong to the host that was lost",
            "name the job in lifeboat_job if they are to replace those of this host",
        )


def _of(host: str, job: Entry, found: t.Sequence[Entry]) -> t.Iterator[tuple[str, Entry]]:
    """Yield the jobs that a job stands for, each with the name of the job with databases that it is part of."""
    if "databases" not in job:
        yield "", job
        return
    plain = {key: value for key, value in job.items() if key not in _OF_SERVERS}
    for each in found:
        if each["name"] == job["name"]:
            suffix = str(each["job"])[len(full_name(host, job)) :]
            name = f"{job['name']}{suffix}"
            yield str(job["name"]), {**plain, "name": name, "job": each["job"], "database": each["database"]}
