# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Jobs of kind set: several jobs that run as one, and whose backups are one recovery point."""

from __future__ import annotations

import dataclasses
import typing as t

from ..errors import UsageError
from .fields import Fields
from .job_kinds import SET, user_of_members
from .job_settings import JobSettings
from .member_names import member_job
from .notify_config import notify_from, schedule_from

ON_MISSING = ("fail", "warn")
# What is restored before what: applications know objects by what their databases say, and buckets must be there, with
# their locks and keys, before objects come into them.
_RESTORE_ORDER = ("pg_database", "minio", "bucket", "files")
_OBJECTS = ("bucket", "files")


@dataclasses.dataclass(frozen=True)
class ReferenceSettings:
    """Keys that a database knows, each of which must be an object of the same point."""

    name: str
    database: str  # member of kind pg_database, or a database of one for several
    query: str  # SQL of one column: the keys
    objects: str  # member of kind bucket or files
    collection: str  # bucket or root that the keys lie in; empty: the only one that the backup has
    prefix: str = ""  # put before each key
    on_missing: str = ON_MISSING[0]


@dataclasses.dataclass(frozen=True)
class SetSettings(JobSettings):
    """A job that runs other jobs."""

    members: tuple[str, ...] = ()  # full names of jobs, in the order in which they run
    restore_order: tuple[str, ...] = ()  # of the members
    references: tuple[ReferenceSettings, ...] = ()
    recorder: str = ""  # user of this host who writes and reads points: whose repositories they are in

    @property
    def reader(self) -> str:
        return self.recorder

    def require(self, names: t.Sequence[str], jobs: t.Mapping[str, JobSettings]) -> None:
        """Raise UsageError for names that are neither members nor databases of one."""
        for name in names:
            if not owner_of(name, self.members, jobs):
                raise UsageError(
                    f"Cannot choose {name}", f"set {self.name} does not have it", f"it has {', '.join(self.members)}"
                )


def owner_of(name: str, members: t.Sequence[str], jobs: t.Mapping[str, JobSettings]) -> str:
    """Return the member whose backups those of a job are: itself, or the job for several databases that it is a part
    of; empty: none."""
    if name in members:
        return name
    return next((each for each in members if jobs[each].member(name) is not None), "")


def set_from(name: str, fields: Fields, repositories: t.Collection[str]) -> SetSettings:
    """Return a job of kind set; `with_members` completes it. Raises UsageError."""
    objectives, schedule = fields.section("objectives"), schedule_from(fields)
    chosen = fields.texts("repositories", ())
    for each in chosen:
        if each not in repositories:
            known = ", ".join(sorted(repositories)) or "none"
            raise fields.refuse("repositories", f"names {each}, which is not there", f"there are: {known}")
    found = SetSettings(
        name=name,
        kind=SET,
        repositories=chosen,
        run_as=fields.text("run_as"),
        rpo_hours=objectives.hours("rpo_hours"),
        notify=notify_from(fields),
        schedule=schedule,
        timezone=fields.text("timezone") or (schedule.timezone if schedule else "UTC"),
        members=fields.texts("members"),
        restore_order=fields.texts("restore_order", ()),
        references=tuple(_reference(each, found) for each, found in fields.sections("references").items()),
    )
    objectives.hours("rto_hours")
    objectives.finish()
    return found


def _reference(name: str, fields: Fields) -> ReferenceSettings:
    found = ReferenceSettings(
        name=name,
        database=fields.text("database", None),
        query=fields.text("query", None),
        objects=fields.text("objects", None),
        collection=fields.text("collection"),
        prefix=fields.text("prefix"),
        on_missing=fields.choice("on_missing", ON_MISSING, ON_MISSING[0]),
    )
    fields.finish()
    return found


def with_members(jobs: t.Mapping[str, JobSettings], document: Fields) -> dict[str, JobSettings]:
    """Return the jobs of a configuration with all that sets get from their members. Raises UsageError."""
    return {
        name: _completed(job, jobs, document) if isinstance(job, SetSettings) else job for name, job in jobs.items()
    }


def _completed(found: SetSettings, jobs: t.Mapping[str, JobSettings], document: Fields) -> SetSettings:
    key = f"jobs.{found.name}"
    for name in found.members:
        if name not in jobs or isinstance(jobs[name], SetSettings):
            why = "is a set itself" if name in jobs else "is not there"
            raise document.refuse(f"{key}.members", f"names {name}, which {why}", "name jobs of other kinds")
    members = [jobs[name] for name in found.members]
    repositories = _shared_repositories(found, members, document)
    _check_references(found, jobs, document)
    return dataclasses.replace(
        found,
        repositories=repositories,
        restore_order=_restore_order(found, jobs, document),
        run_as=user_of_members([each.run_as for each in members]),
        recorder=members[0].run_as,
    )


def _shared_repositories(found: SetSettings, members: t.Sequence[JobSettings], document: Fields) -> tuple[str, ...]:
    shared = tuple(name for name in members[0].repositories if all(name in each.repositories for each in members))
    for name in found.repositories:
        if name not in shared:
            known = ", ".join(shared) or "none"
            words = f"names {name}, which not all members use"
            raise document.refuse(f"jobs.{found.name}.repositories", words, f"all of them use: {known}")
    if not shared:
        words = "have no repository in common, so that no point could be recorded"
        raise document.refuse(f"jobs.{found.name}.members", words, "let all of them use one")
    return found.repositories or shared


def _restore_order(found: SetSettings, jobs: t.Mapping[str, JobSettings], document: Fields) -> tuple[str, ...]:
    if found.restore_order:
        if sorted(found.restore_order) != sorted(found.members):
            remedy = f"name each of {', '.join(found.members)} once"
            raise document.refuse(f"jobs.{found.name}.restore_order", "does not name exactly the members", remedy)
        return found.restore_order
    ranks = {kind: number for number, kind in enumerate(_RESTORE_ORDER)}
    return tuple(sorted(found.members, key=lambda name: ranks.get(jobs[name].kind, len(ranks))))


def _check_references(found: SetSettings, jobs: t.Mapping[str, JobSettings], document: Fields) -> None:
    for each in found.references:
        key = f"jobs.{found.name}.references.{each.name}"
        database = owner_of(each.database, found.members, jobs)
        for name, member, kinds in (("database", database, ("pg_database",)), ("objects", each.objects, _OBJECTS)):
            if member not in found.members or jobs[member].kind not in kinds:
                words = f"is {getattr(each, name)!r}, which is no member of kind {' or '.join(kinds)}"
                raise document.refuse(f"{key}.{name}", words, f"the members are: {', '.join(found.members)}")
        if jobs[database].has_members and each.database == database:
            words = f"is {database}, which is for several databases"
            raise document.refuse(f"{key}.database", words, f"name one of them, such as {member_job(database, 'shop')}")
        if found.members.index(database) > found.members.index(each.objects):
            words = f"is {each.database}, which comes after {each.objects}"
            remedy = "name the database first in members: what is added between the two would always be missing"
            raise document.refuse(f"{key}.database", words, remedy)
