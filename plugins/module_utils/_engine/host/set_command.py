# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the subcommands do with jobs of kind set."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import functools
import sys
import typing as t

from .. import clock
from ..errors import DONE, FAILED, INCOMPLETE, IncompleteError, LifeboatError, UsageError
from . import restore_command, set_points, set_prune, set_recording, set_restore, set_run, tables
from .config import Config
from .database_settings import DatabaseSettings
from .job_kinds import MINIO
from .job_settings import JobSettings
from .place import Place, Say
from .progress import Progress
from .run_as import Document, as_user
from .set_restore import RestoreMember, SetPlan, Step
from .set_run import SetResult
from .set_settings import SetSettings
from .shown import Shown

Verify = t.Callable[[Config, JobSettings, argparse.Namespace, Say], Shown]

# Of the options of a restore, those that mean something for whole points.
_FOR_SETS = frozenset(("only",))


@contextlib.contextmanager
def speaking() -> t.Iterator[Say]:
    """Show progress on standard error; each process that works for a set has its own."""
    with Progress(sys.stderr, sys.stderr.isatty()) as say:
        yield say


def run(config: Config, settings: SetSettings, options: argparse.Namespace) -> Shown:
    """Run the members of a set and record a recovery point."""
    given = [name for name in ("on_shrink", "rebind", "full", "metadata_only", "reread", "allow_empty", "acknowledge")
             if getattr(options, name)]  # fmt: skip
    if given:
        name = given[0].replace("_", "-")
        raise UsageError(f"Cannot run set {settings.name} with --{name}", "it is of kind set", "run its member with it")
    try:
        return _shown_run(set_run.run(config, settings, options, speaking))
    except IncompleteError as error:
        return _shown_run(error.result, error)


def _shown_run(result: SetResult, error: LifeboatError | None = None) -> Shown:
    shown = []
    for each in result.members:
        shown += list(each.lines) or [tables.printable(f"{each.job}: no backup")]
        shown += tables.note(each.problem) if each.problem else []
    point = result.point
    where = ", ".join(each.repository for each in result.recorded if not each.problem)
    words = f"recovery point {point.id} in {where}" if point else "NO recovery point"
    shown.append(f"{result.name}: {words}, {tables.duration(result.seconds)}")
    for reference in point.references if point else ():
        if reference.is_good:
            shown.append(f"  reference {reference.name}: all of {reference.keys:,} keys are there")
    for warning in result.warnings:
        shown += tables.note(warning, "warning: ")
    return Shown(run_document(result), shown, error.exit_code if error else DONE, error=error)


def run_document(result: SetResult) -> Document:
    """Return what a run of a set made, for machines."""
    point = result.point
    spans = point.spans if point else None
    proved = [each.proved for each in result.members]
    return {
        "job": result.name,
        "id": point.id if point else "",
        "from": clock.to_text(spans[0]) if spans else None,
        "until": clock.to_text(spans[1]) if spans else None,
        "members": [
            {
                "job": each.job,
                "kind": each.kind,
                "backup": each.backup,
                "complete": each.is_whole,
                "present": list(each.present),
                "exit_code": each.exit_code,
                "problem": each.problem,
            }
            for each in result.members
        ],
        "copies": [
            {
                "repository": each.repository,
                "present": not each.problem,
                "proved": not each.problem and all(each.repository in names for names in proved),
                "problem": each.problem,
            }
            for each in result.recorded
        ],
        "references": [
            {
                **{name: getattr(each, name) for name in ("name", "database", "objects", "keys", "missing", "problem")},
                "sample": list(result.samples.get(each.name, ())),
            }
            for each in (point.references if point else ())
        ],
        "complete": not result.problems,
        "warnings": list(result.warnings),
        "seconds": result.seconds,
    }


def verify(config: Config, settings: SetSettings, options: argparse.Namespace, of_job: Verify) -> Shown:
    """Verify the backups of a point, each by its own job, and judge what its references found."""
    if options.scratch_bucket or options.compare_source or options.backup == "all":
        what = "--backup all" if options.backup == "all" else "--scratch-bucket or --compare-source"
        raise UsageError(f"Cannot verify set {settings.name} with {what}", "it is of kind set", "verify its members")
    choose = functools.partial(set_points.choose, config, settings, options.backup)
    point = as_user(settings.reader, settings.name, choose)
    steps = [_verified(config, each, options, of_job) for each in point["members"]]
    shown = [f"{settings.name}: point {point['id']}"]
    shown += [line for each in steps for line in (each.lines or tables.note(f"{each.job}: {each.problem}"))]
    for problem in point["problems"]:
        shown += tables.note(problem)
    document = {
        "job": settings.name,
        "id": point["id"],
        "level": options.level,
        "members": [{"job": each.job, "exit_code": each.exit_code, **each.document} for each in steps],
        "references": point["references"],
        "problems": point["problems"],
    }
    codes = [each.exit_code for each in steps]
    if point["problems"] or any(code not in (DONE, INCOMPLETE) for code in codes):
        return Shown(document, shown, FAILED)
    return Shown(document, shown, max(codes))


def _verified(config: Config, member: Document, options: argparse.Namespace, of_job: Verify) -> Step:
    # There is no server to try it on, and what it holds was parsed.
    level = "content" if member["kind"] == MINIO and options.level == "restore" else options.level

    def verified(_config: Config, job: JobSettings, backup: str, _names: t.Any, _is_plan: bool, say: Say) -> Shown:
        return of_job(config, job, _changed(options, job=job.name, backup=backup, level=level), say)

    return set_restore.step(config, member["job"], member["backup"], (), False, speaking, verified)


def copy(
    settings: SetSettings, sources: t.Sequence[Place], targets: t.Sequence[Place], options: argparse.Namespace
) -> Shown:
    """Record points in repositories that lack them and have got all of their backups; as the set's reader."""
    if options.backup != "all":
        raise UsageError(
            f"Cannot copy point {options.backup} alone", "points go where their backups are", "leave it out"
        )
    brought, problems = set_recording.bring(settings.name, sources, targets, dry_run=options.dry_run)
    verb = "would be recorded" if options.dry_run else "recorded"
    shown = [f"{each.id}: {verb} in {each.target} as in {each.source}" for each in brought]
    if not shown and not problems:
        shown = [f"{settings.name}: every repository has the points whose backups it has"]
    for problem in problems:
        shown += tables.note(problem)
    document = {
        "job": settings.name,
        "dry_run": options.dry_run,
        "copied": [dataclasses.asdict(each) for each in brought],
        "problems": problems,
    }
    return Shown(document, shown, (INCOMPLETE if brought else FAILED) if problems else DONE)


def prune(
    settings: SetSettings,
    places: t.Sequence[Place],
    chosen: t.Sequence[Place],
    refused: t.Mapping[str, str],
    options: argparse.Namespace,
    say: Say,
) -> Shown:
    """Remove the points of which a member has gone; in the process of the set's reader.

    `refused` are those of its repositories that cannot be opened: what they have is not known.
    """
    outcomes = []
    for place in chosen:
        others = set_prune.Others(tuple(each for each in places if each.name != place.name), not refused)
        outcomes.append(set_prune.tidied(settings, place, others, options.dry_run, say))
    shown = []
    for each in outcomes:
        shown.append(f"{each.repository}: {each.points} recovery points")
        verb = "would be removed" if options.dry_run else "removed"
        for point_id, why in each.broken.items():
            shown += tables.note(f"{point_id} {verb}: {why}", "")
        shown += tables.note(each.problem) if each.problem else []
    asked = {name: why for name, why in refused.items() if not options.repository or name in options.repository}
    remarks = [f"{name} cannot be used: {why}" for name, why in asked.items()]
    document = {
        "job": settings.name,
        "dry_run": options.dry_run,
        "repositories": [each.document() for each in outcomes],
    }
    failed = sum(bool(each.problem) for each in outcomes)
    code = FAILED if failed == len(outcomes) else INCOMPLETE if failed or remarks else DONE
    return Shown(document, shown, code, remarks)


def restore(config: Config, settings: SetSettings, options: argparse.Namespace, member: RestoreMember) -> Shown:
    """Bring the members of a point back, or show what that would do."""
    for name, default in restore_command.foreign_to_sets(_FOR_SETS).items():
        if getattr(options, name) != default:
            option = f"--{name.replace('_', '-')}"
            raise UsageError(f"Cannot use {option}", f"{settings.name} is a set", "restore its member with it")
    wishes = set_restore.Options(tuple(options.confirm), tuple(options.only), tuple(options.leave_out))
    planned = set_restore.plan(config, settings, options.backup, wishes, speaking, member)
    if not options.dry_run:
        set_restore.check(planned)
        steps = set_restore.restore(config, planned, speaking, member)
        return _shown_restore(planned, steps)
    error: LifeboatError | None = None
    try:
        set_restore.check(planned)
    except LifeboatError as refusal:
        error = refusal
    lines = [_restore_head(planned, "would restore"), *_step_lines(planned.steps)]
    return Shown(restore_document(planned, planned.steps), lines, error.exit_code if error else DONE, error=error)


def restore_document(planned: SetPlan, steps: t.Sequence[Step]) -> Document:
    """Return what would be or was restored, for machines."""
    point = planned.point
    return {
        "job": planned.settings.name,
        "id": point["id"],
        "from": point["from"],
        "until": point["until"],
        "members": [
            {"job": each.job, "backup": each.backup, "good": each.is_good, "problem": each.problem, **each.document}
            for each in steps
        ],
        "left": [each.job for each in planned.steps[len(steps) :]],
        "warnings": list(point["problems"]),
    }


def _shown_restore(planned: SetPlan, steps: t.Sequence[Step]) -> Shown:
    lines = [_restore_head(planned, "restored"), *_step_lines(steps)]
    document = restore_document(planned, steps)
    if all(each.is_good for each in steps):
        return Shown(document, lines)
    return Shown(document, lines, INCOMPLETE, error=set_restore.unfinished(planned, steps))


def _restore_head(planned: SetPlan, verb: str) -> str:
    point = planned.point
    return f"{planned.settings.name}: {verb} point {point['id']}, which spans {point['from']} to {point['until']}"


def _step_lines(steps: t.Sequence[Step]) -> list[str]:
    shown = []
    for each in steps:
        shown.append(f"{each.job}:")
        shown += [f"  {line}" for line in each.lines]
        shown += tables.note(each.problem) if each.problem else []
    return shown


def member_options(
    given: argparse.Namespace, job: JobSettings, backup: str, confirm: t.Sequence[str], is_plan: bool
) -> argparse.Namespace:
    """Return the options with which a member is restored, by those that a set was given."""
    names = [name for name in confirm if not isinstance(job, DatabaseSettings) or name == job.database]
    more = {"job": job.name, "backup": backup, "confirm": names, "dry_run": is_plan, "only": [], "leave_out": []}
    return _changed(given, **more)


def _changed(options: argparse.Namespace, **more: t.Any) -> argparse.Namespace:
    return argparse.Namespace(**{**vars(options), **more})
