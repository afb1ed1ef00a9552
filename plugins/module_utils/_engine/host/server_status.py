# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How a job of several databases stands: its own row says what concerns all of them."""

from __future__ import annotations

import typing as t

from .. import clock
from . import job_parts
from .config import Config
from .database_settings import DatabaseSettings
from .reporting import history_file
from .run_as import Document
from .status import JobStatus
from .status_remarks import of_channels, of_ends


def members(config: Config, job: DatabaseSettings) -> list[DatabaseSettings]:
    """Return the jobs of its databases that repositories know and nobody excludes, and of those that it names."""
    known = job_parts.known_members(config, job)
    meant = (each for each in known.databases.items() if job.selection is not None and job.selection.has(each[1]))
    found = {**dict(meant), **job_parts.never_saved(job, known)}
    wanted = sorted(found, key=lambda name: (found[name], name))
    return [part for part in map(job.member, wanted) if part is not None]


def look(config: Config, job: DatabaseSettings, parts: t.Sequence[Document]) -> JobStatus:
    """Return how the whole stands, with its oldest newest backup; what is wrong with one database is told there."""
    now = clock.now()
    unreachable = job_parts.known_members(config, job).unreachable
    problems = [f"{name} cannot be used: {why}" for name, why in unreachable.items()]
    if not parts and not unreachable:
        problems.append("there is no backup")
    wrong = [str(each["job"]) for each in parts if not each["healthy"]]
    if wrong:
        problems.append(f"{len(wrong)} of {len(parts)} databases are not as they should be")
    file = history_file(config, job)
    if file is not None:
        history = file.read()
        problems += [*of_ends(history, 0.0, now), *of_channels(history, now)]
    times = [clock.from_text(str(each["time"])) for each in parts if each["time"]]
    proofs = [clock.from_text(str(each["proved_at"])) for each in parts if each["proved_at"]]
    oldest = min(times, default=None)
    everywhere = set(job.repositories).intersection(*(each["copies"] for each in parts)) if parts else set()
    return JobStatus(
        job=job.name,
        kind=job.kind,
        id="",
        time=oldest,
        age_s=round((now - oldest).total_seconds(), 1) if oldest else None,
        rpo_hours=job.rpo_hours,
        proved_id="",
        proved_at=min(proofs) if proofs and len(proofs) == len(parts) else None,
        copies=tuple(name for name in job.repositories if name in everywhere),
        repositories=job.repositories,
        problems=tuple(problems),
        next_run=job.schedule.next_after(now) if job.schedule else None,
        is_flagged=any(each["flagged"] for each in parts),
        members=len(parts),
    )
