# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
import datetime as dt
import typing as t

from .. import clock
from ..errors import LifeboatError
from ..repository.catalog import MergedBackup
from . import tables
from .candidates import Holdings, holdings
from .config import Config
from .copies_objective import CopiesCount, counted, lacking
from .job_settings import JobSettings
from .place import Place, Site, twin_words
from .recalling import of_this_user
from .reporting import history_file
from .repository_use import of_repository
from .run_as import Document
from .run_history import BackupFacts, History, RepositoryFacts
from .status_remarks import of_channels, of_ends

_SKEW = dt.timedelta(minutes=5)  # more than this, and somebody's clock is wrong


@dataclasses.dataclass(frozen=True)
class JobStatus:
    """How a job stands, and what is wrong with it."""

    job: str
    kind: str
    id: str  # of the newest backup that can be read; empty: there is none
    time: dt.datetime | None  # when it began: what it holds is as of then
    age_s: float | None
    rpo_hours: float | None  # objective for the age
    proved_id: str  # of the newest backup that is proved in some repository, and not flagged
    proved_at: dt.datetime | None  # when that was read back last
    copies: tuple[str, ...]  # repositories that have the newest backup
    repositories: tuple[str, ...]  # repositories that are to have it
    problems: tuple[str, ...]
    next_run: dt.datetime | None = None  # None: no schedule is known
    is_flagged: bool = False  # a guard doubts the newest backup
    source_bytes: int | None = None  # of all that the newest backup holds
    stored_bytes: int | None = None  # of what was written for it
    used: tuple[RepositoryFacts, ...] = ()
    members: int | None = None  # how many databases it has backups of or names, in rows of their own; None: it is one
    good_copies: CopiesCount | None = None  # of the newest backup; None: there is none

    @property
    def is_healthy(self) -> bool:
        return not self.problems

    def document(self) -> Document:
        fields = dataclasses.asdict(self)
        return {
            **fields,
            "healthy": self.is_healthy,
            "flagged": fields.pop("is_flagged"),
            "time": clock.to_text(self.time) if self.time else None,
            "proved_at": clock.to_text(self.proved_at) if self.proved_at else None,
            "next_run": clock.to_text(self.next_run) if self.next_run else None,
            "used": [{**each, "reachable": each.pop("is_reachable")} for each in fields["used"]],
        }

    def remembered(self, history: History) -> History:
        """Return a history with what was seen. Backups are forgotten only where all repositories answered."""
        if not self.id and not all(each.is_reachable for each in self.used):
            return dataclasses.replace(history, repositories=self.used)
        facts = BackupFacts(
            time=self.time.timestamp() if self.time else 0.0,
            proved=self.proved_at.timestamp() if self.proved_at else 0.0,
            is_flagged=self.is_flagged,
            source_bytes=self.source_bytes,
            stored_bytes=self.stored_bytes,
            copies=len(self.copies),
            wanted=len(self.repositories),
            problems=len(self.problems),
            good_copies=self.good_copies.total if self.good_copies else None,
            media=self.good_copies.media if self.good_copies else None,
            offsite=self.good_copies.offsite if self.good_copies else None,
        )
        return dataclasses.replace(history, backup=facts, repositories=self.used)


def look(config: Config, job: JobSettings) -> JobStatus:
    """Look into all repositories of a job and judge; never raises LifeboatError."""
    places, refused = config.usable_places(job)
    known = holdings(job.name, places, of_this_user)
    known = dataclasses.replace(known, unreachable={**known.unreachable, **refused})
    file = history_file(config, job)
    sites = {name: config.repositories[name].site for name in job.repositories}
    judged = judge(job, known, _now(places), file.read() if file else None, sites)
    used = tuple(of_repository(config.repositories[name], known.found.get(name)) for name in job.repositories)
    return dataclasses.replace(judged, used=used)


def unseen(job: JobSettings, problem: str) -> JobStatus:
    """Return the status of a job that could not be looked at."""
    known = Holdings(job.name, {}, {})
    return dataclasses.replace(judge(job, known, clock.now()), problems=(problem,))


def judge(
    job: JobSettings,
    known: Holdings,
    now: dt.datetime,
    history: History | None = None,
    sites: t.Mapping[str, Site] | None = None,
) -> JobStatus:
    """Say how a job stands by what its repositories hold at the moment `now`, and by what the host remembers.

    `sites` are those of the job's repositories, by name.
    """
    sites = sites or {}
    rows = known.merged()
    newest = next((row for row in reversed(rows) if row.manifest is not None and row.is_authentic), None)
    proved = next((row for row in reversed(rows) if row.is_trusted), None)
    manifest = newest.manifest if newest else None
    age_s = (now - manifest.started).total_seconds() if manifest else None
    problems = [
        *_of_repositories(known),
        *_of_age(job, age_s, bool(known.found)),
        *_of_flags(newest),
        *_of_proof(job, newest, proved, now),
        *_of_copies(job, known, newest),
        *_of_objective(job, newest, known, sites),
        *_of_damage(rows),
    ]
    if history is not None:
        problems += of_ends(history, manifest.started.timestamp() if manifest else 0.0, clock.now())
        problems += of_channels(history, clock.now())
    statistics = manifest.statistics if manifest else {}
    return JobStatus(
        job=job.name,
        kind=job.kind,
        id=newest.id if newest else "",
        time=manifest.started if manifest else None,
        age_s=round(age_s, 1) if age_s is not None else None,
        rpo_hours=job.rpo_hours,
        proved_id=proved.id if proved else "",
        proved_at=_proved_at(proved),
        copies=tuple(name for name, _copy in newest.copies if name not in known.twins) if newest else (),
        repositories=job.repositories,
        problems=tuple(problems),
        next_run=job.schedule.next_after(now) if job.schedule else None,
        is_flagged=newest.is_flagged if newest else False,
        source_bytes=_number(statistics.get("bytes", statistics.get("plain_bytes"))),
        stored_bytes=_number(statistics.get("stored_bytes")),
        good_copies=counted(_good(newest, known), sites) if newest else None,
    )


def _number(value: t.Any) -> int | None:
    return value if isinstance(value, int) else None


def _now(places: t.Sequence[Place]) -> dt.datetime:
    """Return the clock that dated the backups: that of a server where there is one, not only this host's."""
    for place in places:
        if not place.store.has_locks:
            try:
                return place.store.now()
            except LifeboatError:
                continue  # it is unreachable, and holdings say so
    return clock.now()


def _of_repositories(known: Holdings) -> t.Iterator[str]:
    for name, why in known.unreachable.items():
        yield f"{name} cannot be used: {why}"
    yield from twin_words(known.twins)


def _of_age(job: JobSettings, age_s: float | None, has_answer: bool) -> t.Iterator[str]:
    if age_s is None:
        if has_answer:
            yield "there is no backup"
        return
    if age_s < -_SKEW.total_seconds():
        yield f"the newest backup lies {tables.duration(-age_s)} in the future: a clock is wrong"
    if job.rpo_hours is not None and age_s > job.rpo_hours * 3600:
        yield f"the newest backup is {tables.duration(age_s)} old, and the objective is {job.rpo_hours:g} h"


def _of_flags(newest: MergedBackup | None) -> t.Iterator[str]:
    if newest is not None and newest.is_flagged and newest.manifest is not None:
        yield f"{newest.id} may not hold what it should ({'; '.join(newest.manifest.flags)}) and is not acknowledged"


def _of_proof(
    job: JobSettings, newest: MergedBackup | None, proved: MergedBackup | None, now: dt.datetime
) -> t.Iterator[str]:
    if newest is None or newest.is_proved:
        return
    if proved is None or proved.manifest is None:
        yield "no backup is proved"
    elif job.proof != "none":
        yield f"the newest backup is not proved; {proved.id} is the newest one that is"
    elif job.rpo_hours is not None:
        # Proof is left to a schedule: what counts is that something recent enough is proved.
        age_s = (now - proved.manifest.started).total_seconds()
        if age_s > job.rpo_hours * 3600:
            yield f"the newest proved backup is {tables.duration(age_s)} old, and the objective is {job.rpo_hours:g} h"


def _of_copies(job: JobSettings, known: Holdings, newest: MergedBackup | None) -> t.Iterator[str]:
    if newest is None:
        return
    there = {name for name, _copy in newest.copies}
    for name in job.repositories:
        if name in known.found and name not in there:
            yield f"{name} has no copy of {newest.id}"


def _good(row: MergedBackup, known: Holdings) -> list[str]:
    """Return the names of the repositories whose copy is good as far as it was looked at, each once."""
    own = ((name, copy) for name, copy in row.copies if name not in known.twins)
    return [name for name, copy in own if not copy.has_failed and not copy.alarms]


def _of_objective(
    job: JobSettings, newest: MergedBackup | None, known: Holdings, sites: t.Mapping[str, Site]
) -> t.Iterator[str]:
    if newest is not None and job.copies is not None:
        yield from lacking(job.copies, newest.id, _good(newest, known), sites)


def _of_damage(rows: t.Sequence[MergedBackup]) -> t.Iterator[str]:
    # Those before the first signed one are of the time when there was no keyring.
    first_signed = next((row.id for row in rows if row.is_authentic), "")
    for row in rows:
        if row.differing:
            yield f"the manifests of {row.id} in {' and '.join(row.differing)} differ: one was changed"
        for name, copy in row.copies:
            remarks = copy.remarks if row.id > first_signed else copy.alarms
            for words in (*remarks, *copy.standing.problems):
                yield f"{row.id} in {name}: {words}"


def _proved_at(row: MergedBackup | None) -> dt.datetime | None:
    times = [copy.standing.proved_at for _name, copy in row.copies if copy.is_good] if row else []
    return max((moment for moment in times if moment is not None), default=None)


HEAD = ("JOB", "LAST BACKUP", "AGE", "OBJECTIVE", "PROVED", "COPIES", "NEXT", "STATE")
_MOST = (23, 8, 9, 12, 8, 10, 5)  # columns of all but the name, which gets what is left


def lines(found: t.Sequence[Document], now: dt.datetime) -> list[str]:
    """Return the documents of jobs as a table for people, what is wrong below each row."""
    rows = [_row(each, now) for each in found]
    aligned = tables.table(HEAD, rows, (tables.room(HEAD, rows, _MOST), *_MOST))
    shown = aligned[:1]
    for line, each in zip(aligned[1:], found):
        shown.append(line)
        if not line.startswith(str(each["job"])):
            shown += tables.note(str(each["job"]), "is ")
        for problem in each["problems"]:
            shown += tables.note(str(problem))
    return shown


def _row(each: Document, now: dt.datetime) -> list[str]:
    proved_at = each["proved_at"]
    members = each["members"]
    latest = str(each["id"]) or "none" if members is None else f"{members} databases"
    return [
        str(each["job"]),
        latest,
        tables.duration(float(each["age_s"])) if each["age_s"] is not None else "-",
        f"{float(each['rpo_hours']):g} h" if each["rpo_hours"] else "-",
        f"{tables.duration((now - clock.from_text(str(proved_at))).total_seconds())} ago" if proved_at else "never",
        f"{len(each['copies'])} of {len(each['repositories'])}",
        tables.until(each["next_run"], now),
        "ok" if each["healthy"] else "WRONG",
    ]
