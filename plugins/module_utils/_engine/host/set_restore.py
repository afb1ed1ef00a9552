# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Brings the members of a recovery point back, in the order in which they need each other."""

from __future__ import annotations

import dataclasses
import functools
import typing as t

from ..errors import DONE, FAILED, REFUSED, GuardRefusal, IncompleteError, LifeboatError, UsageError
from ..repository.layout import checked_job
from ..steps import reached
from . import set_points
from .config import Config
from .job_settings import JobSettings
from .place import Say
from .run_as import Document, apart, as_user
from .set_run import Speaking
from .set_settings import SetSettings, owner_of
from .shown import Shown


@dataclasses.dataclass(frozen=True)
class Options:
    """How members are brought back."""

    confirm: tuple[str, ...] = ()  # names of databases, buckets, folders that may be replaced or overwritten
    only: tuple[str, ...] = ()  # members, or single databases of them; empty: all
    leave_out: tuple[str, ...] = ()  # the same


# Restores a backup (its id) of a job to its own place, or only shows what that would do (True).
RestoreMember = t.Callable[[Config, JobSettings, str, t.Sequence[str], bool, Say], Shown]


@dataclasses.dataclass(frozen=True)
class Step:
    """One member: what would be done, or was done."""

    job: str
    backup: str
    exit_code: int
    document: Document
    lines: tuple[str, ...]
    problem: str = ""
    remedy: str = ""
    guard: str = ""

    @property
    def is_good(self) -> bool:
        return self.exit_code == DONE


@dataclasses.dataclass(frozen=True)
class SetPlan:
    """What a restore of a point would do."""

    settings: SetSettings
    point: Document  # as `set_points.listing` has it
    steps: tuple[Step, ...]  # in the order in which they would be done
    options: Options

    @property
    def refused(self) -> tuple[Step, ...]:
        return tuple(each for each in self.steps if not each.is_good)


def plan(
    config: Config, settings: SetSettings, wanted: str, options: Options, speaking: Speaking, member: RestoreMember
) -> SetPlan:
    """Choose the point and plan the restore of each chosen member; changes nothing.

    What cannot be restored is told in its step. Raises LifeboatError when there is no such point, or when a chosen
    member of it has gone.
    """
    settings.require((*options.only, *options.leave_out), config.jobs)
    point = as_user(
        settings.reader, settings.name, functools.partial(set_points.choose, config, settings, checked_wanted(wanted))
    )
    chosen = _chosen(config, settings, point, options)
    steps = [step(config, name, chosen[name], options.confirm, True, speaking, member) for name in chosen]
    return SetPlan(settings, point, tuple(steps), options)


def checked_wanted(wanted: str) -> str:
    """Return what names a point. Raises UsageError."""
    if wanted == "all":
        raise UsageError("Cannot restore all points", "each replaces what the one before restored", "choose one")
    return wanted


def check(planned: SetPlan) -> None:
    """Refuse a plan of which any member cannot be carried out: nothing is restored then.

    Raises GuardRefusal, LifeboatError.
    """
    if not planned.refused:
        return
    problem = f"Cannot restore point {planned.point['id']} of {planned.settings.name}"
    cause = "; ".join(f"{each.job}: {each.problem}" for each in planned.refused)
    remedies = "; ".join(dict.fromkeys(each.remedy for each in planned.refused if each.remedy))
    if all(each.guard == "confirm" for each in planned.refused):
        raise GuardRefusal("confirm", problem, cause, remedies)
    raise LifeboatError(problem, cause, remedies or "leave these members out, or correct the causes")


def restore(config: Config, planned: SetPlan, speaking: Speaking, member: RestoreMember) -> tuple[Step, ...]:
    """Bring the members back one after the other, and return what was done.

    The first one that fails ends it: those after it may need what it lacks. Raises as `check` before anything is done.
    """
    check(planned)
    done: list[Step] = []
    for each in planned.steps:
        done.append(step(config, each.job, each.backup, planned.options.confirm, False, speaking, member))
        reached("set.restored_member")
        if not done[-1].is_good:
            break
    return tuple(done)


def unfinished(planned: SetPlan, steps: t.Sequence[Step]) -> LifeboatError:
    """Return the error of a restore of which a member failed."""
    failed, left = steps[-1], [each.job for each in planned.steps[len(steps) :]]
    return IncompleteError(
        f"Point {planned.point['id']} of {planned.settings.name} is not restored as a whole",
        f"{failed.job}: {failed.problem}" + (f"; not begun: {', '.join(left)}" if left else ""),
        "correct the cause and restore the rest: what is there already is not written again; databases can be left out",
        steps,
    )


def _chosen(config: Config, settings: SetSettings, point: Document, options: Options) -> dict[str, str]:
    """Return the backups to restore by the names of their jobs, in order. Raises LifeboatError."""
    backups = {each["job"]: each for each in point["members"]}
    parts = _parts(config, settings, backups, options.only)
    only, leave_out = set(options.only), set(options.leave_out)
    names = [
        name
        for member in settings.restore_order
        for name in parts[member]
        if (not only or only & {member, name}) and not leave_out & {member, name}
    ]
    problem = f"Cannot restore point {point['id']} of {settings.name}"
    absent = [name for name in names if name not in backups]
    if absent:
        cause = f"it has no {', '.join(absent)}: they became members later"
        raise LifeboatError(problem, cause, "leave them out, or choose a later point")
    gone = [name for name in names if not backups[name]["present"]]
    if gone:
        cause = "; ".join(set_points.lacking_words(backups[name]) for name in gone)
        remedy = "leave them out, choose another point, or make all repositories available"
        raise LifeboatError(problem, cause, remedy)
    if not names:
        raise UsageError(problem, "no member is left to be restored", "choose others")
    return {checked_job(name): str(backups[name]["backup"]) for name in names}


def _parts(
    config: Config, settings: SetSettings, known: t.Iterable[str], only: t.Iterable[str]
) -> dict[str, list[str]]:
    """Return the jobs that each member has backups of, those of single databases too; of a member that the point does
    not have, its own name."""
    found: dict[str, list[str]] = {name: [] for name in settings.members}
    for name in (*known, *only):
        owner = owner_of(name, settings.members, config.jobs)
        is_whole = name == owner and config.jobs[owner].has_members
        if owner and not is_whole and name not in found[owner]:
            found[owner].append(name)
    return {name: parts or [name] for name, parts in found.items()}


def step(
    config: Config,
    name: str,
    backup: str,
    confirm: t.Sequence[str],
    is_plan: bool,
    speaking: Speaking,
    member: RestoreMember,
) -> Step:
    """Do something with a backup of a member, as its user and in a process of its own."""
    job = config.job(name)

    def work() -> Document:
        try:
            with speaking() as say:
                shown = member(config, job, backup, confirm, is_plan, say)
        except LifeboatError as error:
            shown = Shown({}, (), error.exit_code, error=error)
        return _told(shown)

    try:
        answer = apart(job.run_as, name, work)
    except LifeboatError as error:
        answer = _told(Shown({}, (), error.exit_code, error=error))
    return Step(name, backup, **{**answer, "lines": tuple(answer["lines"])})


def _told(shown: Shown) -> Document:
    error, document = shown.error, shown.document
    code, problem, remedy, guard = shown.exit_code, "", "", ""
    if error is not None:
        problem = error.summary
        remedy, guard = error.remedy, error.guard if isinstance(error, GuardRefusal) else ""
    elif document.get("needs_confirm"):
        code, guard = REFUSED, "confirm"
        problem = f"database {document['database']} exists, and nobody confirmed that it is to be replaced"
        remedy = f"confirm {document['database']}"
    elif code != DONE:
        code, problem = FAILED, "; ".join(map(str, document.get("problems", ()))) or "see its lines"
    more = {"problem": problem, "remedy": remedy, "guard": guard}
    return {"exit_code": code, "document": document, "lines": list(shown.lines), **more}
