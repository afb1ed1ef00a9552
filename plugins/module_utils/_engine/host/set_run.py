# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs the jobs of a set in their order, and records a recovery point when all of them succeeded."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import functools
import tempfile
import typing as t

from .. import clock
from ..errors import DONE, IncompleteError, LifeboatError
from ..repository.recovery_point import Member, Point, Reference
from ..steps import reached
from . import set_references
from .config import Config
from .database_settings import DatabaseSettings
from .job_lock import job_lock
from .job_settings import JobSettings
from .place import Say
from .run_as import Document, apart
from .set_backup import backed_up
from .set_recording import Lists, record
from .set_settings import ReferenceSettings, SetSettings

_LISTS = ("present", "proved", "lines")

Speaking = t.Callable[[], t.ContextManager[Say]]  # opens what shows progress, in the process that works


@dataclasses.dataclass(frozen=True)
class MemberOutcome:
    """How a backup of a member ended: its only one, or that of one of its databases."""

    job: str
    kind: str
    backup: str = ""  # id; empty: none was written
    exit_code: int = DONE
    is_whole: bool = False  # the backup has all that it should, wherever it is
    present: tuple[str, ...] = ()  # repositories that have it
    problem: str = ""  # empty: none
    proved: tuple[str, ...] = ()  # repositories where it was read back
    lines: tuple[str, ...] = ()  # what the run says to people
    started: str = ""  # as `clock.to_text` writes it; empty: there is no backup
    finished: str = ""

    @property
    def member(self) -> Member:
        """Return the backup as a point names it."""
        times = (clock.from_text(self.started), clock.from_text(self.finished))
        return Member(self.job, self.kind, self.backup, *times)


@dataclasses.dataclass(frozen=True)
class Recorded:
    """The point in one repository."""

    repository: str
    problem: str = ""  # why it is not there; empty: it is


@dataclasses.dataclass(frozen=True)
class SetResult:
    """What a run of a set made."""

    name: str
    point: Point | None  # None: there is no new point
    members: tuple[MemberOutcome, ...]
    recorded: tuple[Recorded, ...]
    samples: t.Mapping[str, tuple[str, ...]]  # reference → missing keys, a few of them
    warnings: tuple[str, ...]
    problems: tuple[str, ...]  # what makes it incomplete
    seconds: float


def run(config: Config, settings: SetSettings, options: argparse.Namespace, speaking: Speaking) -> SetResult:
    """Run the members in order, compare references, and record the point.

    `options` are those of the subcommand `run`, of which none is set: what is asked of one kind means nothing to
    others.
    A member that fails does not keep the others from being backed up. Raises IncompleteError (with the result) when
    backups were written and there is no point, when the point is not in all repositories that the members share, or
    when a reference is not good; LifeboatError when no member has a new backup.
    """
    with job_lock(settings.name), contextlib.ExitStack() as stack:
        lists = {
            each.name: Lists(*(stack.enter_context(tempfile.TemporaryFile()) for _number in range(2)))
            for each in settings.references
        }
        result = _Running(config, settings, options, speaking, lists).result()
    failed = [each for each in result.members if not each.is_whole]
    if failed and not any(each.backup for each in result.members):
        causes = "; ".join(f"{each.job}: {each.problem}" for each in failed)
        raise LifeboatError(f"Cannot back up set {settings.name}", causes, "look at each of its jobs: lifeboat run JOB")
    if result.problems:
        raise IncompleteError(
            f"Set {settings.name} has a recovery point that is not as it should be"
            if result.point
            else f"Set {settings.name} has no new recovery point",
            "; ".join(result.problems),
            "correct the causes and run the set again; the backups that were written stay",
            result,
        )
    return result


class _Running:
    """One run of a set. The work is done in copies of this process, each of the user whom it belongs to."""

    def __init__(
        self,
        config: Config,
        settings: SetSettings,
        options: argparse.Namespace,
        speaking: Speaking,
        lists: t.Mapping[str, Lists],
    ) -> None:
        self._config = config
        self._settings = settings
        self._options = options
        self._speaking = speaking
        self._lists = lists  # by the name of the reference
        self._references: dict[str, Reference] = {}
        self._samples: dict[str, tuple[str, ...]] = {}

    def result(self) -> SetResult:
        begun = clock.monotonic()
        members = tuple(each for name in self._settings.members for each in self._outcomes(name))
        point: Point | None = None
        recorded: list[Recorded] = []
        if all(each.is_whole for each in members):
            self._compare_all({each.job: each for each in members})
            reached("set.compared")
            point, recorded = self._recorded(members)
        warnings, problems = self._judged(members, recorded)
        seconds = clock.seconds_since(begun)
        return SetResult(
            self._settings.name, point, members, tuple(recorded), self._samples, warnings, problems, seconds
        )

    def _judged(
        self, members: t.Sequence[MemberOutcome], recorded: t.Sequence[Recorded]
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        problems = [f"{each.job}: {each.problem}" for each in members if each.problem]
        problems += [f"the point is not in {each.repository}: {each.problem}" for each in recorded if each.problem]
        warnings: list[str] = []
        for each in self._settings.references:
            found = self._references.get(each.name)
            if found is not None and not found.is_good:
                (warnings if each.on_missing == "warn" else problems).append(self._words(found))
        return tuple(warnings), tuple(problems)

    def _words(self, found: Reference) -> str:
        sample = self._samples.get(found.name, ())
        return f"{found.words}: {', '.join(sample[:5])}" if sample else found.words

    def _apart(self, user: str, work: t.Callable[[Say], Document]) -> Document:
        """Do something as a user, in a process of its own; its failure, also by a signal, is the answer's `problem`."""

        def speaks() -> Document:
            with self._speaking() as say:
                return work(say)

        try:
            return apart(user, self._settings.name, speaks)
        except LifeboatError as error:
            return {"problem": error.summary, "exit_code": error.exit_code}

    def _outcomes(self, name: str) -> t.Iterator[MemberOutcome]:
        """Run a member, and yield how each of its backups ended."""
        job = self._config.job(name)
        answer = self._apart(job.run_as, functools.partial(backed_up, self._config, job, self._options))
        reached("set.member")
        for found in answer.get("outcomes", [{"job": name, **answer}]):
            values: dict[str, t.Any] = {key: tuple(each) if key in _LISTS else each for key, each in found.items()}
            outcome = MemberOutcome(kind=job.kind, **values)
            if outcome.is_whole:
                self._collect(self._config.job(outcome.job))
            yield outcome

    def _collect(self, job: JobSettings) -> None:
        """Ask a database for its keys right after it was dumped: objects are read later, so none can be too new."""
        for each in self._settings.references:
            if each.database == job.name and isinstance(job, DatabaseSettings):
                answer = self._apart(job.run_as, functools.partial(_collected, job, each, self._lists[each.name]))
                found = Reference(each.name, each.database, each.objects)
                self._references[each.name] = _with_answer(found, answer)

    def _compare_all(self, members: t.Mapping[str, MemberOutcome]) -> None:
        for each in self._settings.references:
            found = self._references.setdefault(each.name, _never_asked(each))
            if found.problem:
                continue
            job = self._config.job(each.objects)
            work = functools.partial(_compared, self._config, job, each, members[each.objects], self._lists[each.name])
            answer = self._apart(job.run_as, work)
            self._samples[each.name] = tuple(answer.get("sample", ()))
            self._references[each.name] = _with_answer(found, answer)

    def _recorded(self, members: t.Sequence[MemberOutcome]) -> tuple[Point | None, list[Recorded]]:
        references = [self._references[each.name] for each in self._settings.references]
        work = functools.partial(_record, self._config, self._settings, members, references, self._lists)
        answer = self._apart(self._settings.recorder, work)
        if "problem" in answer:
            return None, [Recorded(each, answer["problem"]) for each in self._settings.repositories]
        name, point_id = self._settings.name, answer["id"]
        point = Point.from_bytes(answer["point"].encode("ascii"), name, point_id) if point_id else None
        return point, [Recorded(**each) for each in answer["recorded"]]


def _never_asked(wanted: ReferenceSettings) -> Reference:
    """Return what is known of a reference whose database was not backed up: a job for several has let it out."""
    problem = f"there is no backup of {wanted.database} in this point"
    return Reference(wanted.name, wanted.database, wanted.objects, problem=problem)


def _with_answer(found: Reference, answer: Document) -> Reference:
    return dataclasses.replace(found, **{key: answer[key] for key in ("keys", "missing", "problem") if key in answer})


def _collected(job: DatabaseSettings, wanted: ReferenceSettings, lists: Lists, say: Say) -> Document:
    """Collect the keys of a reference; in the process of the database's member."""
    say(f"{job.name}: collecting the keys of reference {wanted.name}")
    try:
        return {"keys": set_references.collect(job.login(), job.database, wanted.query, lists.keys)}
    except LifeboatError as error:
        return {"problem": error.summary}


def _compared(
    config: Config, job: JobSettings, wanted: ReferenceSettings, outcome: MemberOutcome, lists: Lists, say: Say
) -> Document:
    """Compare the keys of a reference with a backup; in the process of the member that has the objects."""
    say(f"{job.name}: comparing reference {wanted.name}")
    try:
        places = [place for place in config.usable_places(job)[0] if place.name in outcome.present]
        found = set_references.compare(wanted, job.name, outcome.backup, places, lists.keys, lists.missing)
        return dataclasses.asdict(found)
    except LifeboatError as error:
        return {"problem": error.summary}


def _record(
    config: Config,
    settings: SetSettings,
    members: t.Sequence[MemberOutcome],
    references: t.Sequence[Reference],
    lists: t.Mapping[str, Lists],
    say: Say,
) -> Document:
    """Record the point wherever all members are; in the process of the recorder."""
    opened, refused = config.usable_places(settings)
    recorded = [{"repository": name, "problem": why} for name, why in refused.items()]
    chosen = []
    for place in opened:
        away = [each.job for each in members if place.name not in each.present]
        if away:
            problem = f"it has no copy of the backup of {', '.join(away)}"
            recorded.append({"repository": place.name, "problem": problem})
        else:
            chosen.append(place)
    missing = {name: each.missing for name, each in lists.items()}
    point, problems = record(settings.name, chosen, tuple(each.member for each in members), references, missing, say)
    recorded += [{"repository": place.name, "problem": problems.get(place.name, "")} for place in chosen]
    data = point.to_bytes(None).decode("ascii") if point else ""
    return {"point": data, "id": point.id if point else "", "recorded": recorded}
