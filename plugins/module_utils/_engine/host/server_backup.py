# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""All databases of a server as one run: each gets backups under a job of its own, and none waits for another's luck."""

from __future__ import annotations

import dataclasses
import functools
import typing as t

from .. import clock
from ..errors import FAILED, INCOMPLETE, GuardRefusal, IncompleteError, LifeboatError
from ..postgres import databases
from ..postgres.databases import Chosen, Database, Selection
from .backup_run import BackupResult
from .database_backup import DatabaseJob, SharedGlobals, back_up, shared_globals
from .job_lock import job_lock
from .member_names import MOST_PARALLEL, ON_GONE, PARALLEL, checked_server_job, member_job
from .members import Members, members_of
from .parallel_runs import LostError, run_all
from .place import Place, Say, silent


@dataclasses.dataclass(frozen=True)
class ServerJob:
    """Which databases of a server to back up, and how."""

    each: DatabaseJob  # what holds for every database; its name is that of the whole, and it has no database and places
    open_places: t.Callable[[], tuple[Place, ...]]  # each process has connections of its own
    selection: Selection
    parallel: int = PARALLEL  # databases at once
    on_gone: str = ON_GONE[0]  # fail | warn | ignore: a database that has backups is not there any more

    @property
    def name(self) -> str:
        return self.each.name

    def single(self, database: str) -> DatabaseJob:
        """Return the job of one database."""
        name = member_job(self.name, database)
        return dataclasses.replace(self.each, name=name, database=database, places=self.open_places())


@dataclasses.dataclass(frozen=True)
class ServerPlan:
    """What a run would back up, found out by reading only."""

    job: ServerJob
    databases: tuple[Database, ...]  # in the order in which they are begun
    closed: tuple[str, ...]  # left out, because they take no connections
    gone: tuple[str, ...]  # have backups, are not excluded, and cannot be backed up any more
    unreachable: t.Mapping[str, str]  # repositories that could not be asked what is gone

    @property
    def warnings(self) -> tuple[str, ...]:
        """Return what a run says even if all goes well."""
        found = []
        if self.closed:
            found.append(f"left out, because they take no connections: {', '.join(self.closed)}")
        if self.gone and self.job.on_gone == "warn":
            found += map(gone_words, self.gone)
        return tuple(found)


@dataclasses.dataclass(frozen=True)
class Failure:
    """Why a database is not backed up as it should be."""

    problem: str
    cause: str = ""
    remedy: str = ""
    exit_code: int = FAILED
    guard: str = ""

    @classmethod
    def of(cls, error: LifeboatError) -> Failure:
        guard = error.guard if isinstance(error, GuardRefusal) else ""
        return cls(error.problem, error.cause, error.remedy, error.exit_code, guard)

    def __str__(self) -> str:
        return f"{self.problem}: {self.cause}" if self.cause else self.problem


@dataclasses.dataclass(frozen=True)
class MemberOutcome:
    """What became of one database."""

    job: str
    database: str
    result: BackupResult | None = None  # None: there is no new backup
    failure: Failure | None = None  # None: all is as it should be


@dataclasses.dataclass(frozen=True)
class ServerResult:
    """What a run made."""

    job: str
    members: tuple[MemberOutcome, ...]  # in the order of the databases' names
    gone: tuple[str, ...]
    warnings: tuple[str, ...]
    seconds: float

    @property
    def failed(self) -> tuple[MemberOutcome, ...]:
        return tuple(each for each in self.members if each.failure is not None)

    @property
    def backed_up(self) -> tuple[MemberOutcome, ...]:
        return tuple(each for each in self.members if each.result is not None)


class ServerIncompleteError(IncompleteError):
    """Not every database is backed up as it should be; `result` is the ServerResult. Without any backup it failed."""

    def __init__(self, problem: str, cause: str, remedy: str, result: ServerResult) -> None:
        super().__init__(problem, cause, remedy, result)
        self.exit_code = INCOMPLETE if result.backed_up else FAILED


def plan(job: ServerJob) -> ServerPlan:
    """Find out which databases a run would back up, and which it misses. Raises LifeboatError."""
    checked_server_job(job.name)
    if not 1 <= job.parallel <= MOST_PARALLEL:
        raise LifeboatError(
            f"Cannot back up {job.name}", f"parallel is {job.parallel}", f"set it to 1 to {MOST_PARALLEL}"
        )
    wanted = databases.chosen(databases.databases_of(job.each.server), job.selection)
    if not wanted.databases:
        raise LifeboatError(
            f"Cannot back up {job.name}",
            f"none of the databases of {job.each.server} is to be saved",
            "look at what exclude leaves out",
        )
    known = members_of(job.name, job.open_places())
    return ServerPlan(job, wanted.databases, wanted.closed, _gone(job, wanted, known), known.unreachable)


def run(planned: ServerPlan, say: Say = silent) -> ServerResult:
    """Back up all databases of a plan, several at once; what fails for one is a part of the result.

    Raises BusyError when a run of the whole is under way, LifeboatError when the globals cannot be had.
    """
    job, begun = planned.job, clock.monotonic()
    with job_lock(job.name):
        shared = shared_globals(job.each)
        work = functools.partial(_member, planned, shared)
        found = run_all(work, len(planned.databases), job.parallel, say)
    members = [_outcome(planned, number, each) for number, each in enumerate(found)]
    members = _with_dropped(job, members)
    members.sort(key=lambda each: each.database)
    return ServerResult(job.name, tuple(members), planned.gone, planned.warnings, clock.seconds_since(begun))


def require_all(job: ServerJob, result: ServerResult) -> None:
    """Raise ServerIncompleteError, with the complete list, unless every database is backed up as it should be."""
    problems = [f"{each.database}: {each.failure}" for each in result.failed]
    if job.on_gone == "fail":
        problems += map(gone_words, result.gone)
    if not problems:
        return
    count = len(result.members) + (len(result.gone) if job.on_gone == "fail" else 0)
    remedies = {each.failure.remedy for each in result.failed if each.failure is not None}
    remedy = remedies.pop() if len(remedies) == 1 else "mend what the list says and run the job again"
    if not result.failed:
        remedy = "if they were dropped on purpose, exclude them by name, or set on_gone"
    raise ServerIncompleteError(
        f"{len(problems)} of {count} databases of {job.name} are not backed up", "; ".join(problems), remedy, result
    )


def gone_words(database: str) -> str:
    """Return what is said about a database that has backups and is not there any more."""
    return f"{database}: it has backups, and the server does not have it any more, or it takes no connections"


def _gone(job: ServerJob, wanted: Chosen, known: Members) -> tuple[str, ...]:
    if job.on_gone == "ignore" or job.selection.names is not None:
        return ()  # those that are named are tried
    there = {each.name for each in wanted.databases}
    return tuple(name for name in known.databases.values() if name not in there and job.selection.has(name))


def _member(planned: ServerPlan, shared: SharedGlobals, number: int, say: Say) -> MemberOutcome:
    """Back up one database, in a process that does nothing else meanwhile."""
    database = planned.databases[number].name
    name = member_job(planned.job.name, database)
    try:
        single = dataclasses.replace(planned.job.single(database), server_globals=shared)
        return MemberOutcome(name, database, back_up(single, say))
    except IncompleteError as error:
        return MemberOutcome(name, database, error.result, Failure.of(error))
    except LifeboatError as error:
        return MemberOutcome(name, database, None, Failure.of(error))


def _outcome(planned: ServerPlan, number: int, found: t.Any) -> MemberOutcome:
    if not isinstance(found, LostError):
        return t.cast("MemberOutcome", found)
    database = planned.databases[number].name
    words = "its process was killed, or ended by a bug that it told above"
    lost = Failure(f"Cannot back up database {database}", words, "run the job again")
    return MemberOutcome(member_job(planned.job.name, database), database, None, lost)


def _with_dropped(job: ServerJob, members: list[MemberOutcome]) -> list[MemberOutcome]:
    """Tell of databases that were dropped while the run went on, instead of what that looked like from inside."""
    if job.selection.names is not None or all(each.result is not None for each in members):
        return members
    try:
        there = {each.name for each in databases.databases_of(job.each.server)}
    except LifeboatError:
        return members  # the server has gone, and each of them says so
    return [_dropped(each) if each.result is None and each.database not in there else each for each in members]


def _dropped(member: MemberOutcome) -> MemberOutcome:
    words = "it was there when the run began, and was dropped or renamed since"
    remedy = "nothing is to be done if that was on purpose"
    return dataclasses.replace(member, failure=Failure(f"Cannot back up database {member.database}", words, remedy))
