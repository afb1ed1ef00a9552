# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The subcommand `prune`."""

from __future__ import annotations

import argparse
import datetime as dt
import typing as t

from .. import clock
from ..repository.prune import PrunePlan, PruneResult
from . import prune_run, tables
from .job_settings import JobSettings
from .place import Place, Say
from .prune_run import PlaceOutcome
from .shown import Shown
from .timing import zone_of

_SHOWN = 3  # backups of which a stored file is gone, or not whole


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the subcommand, but for the repositories."""
    parser.add_argument("--dry-run", action="store_true", help="only show what would stay and go, and why")
    parser.add_argument("--force", action="store_true", help="even if more than half of the backups would go")


def prune(
    job: JobSettings,
    places: tuple[Place, ...],
    chosen: tuple[Place, ...],
    refused: t.Mapping[str, str],
    options: argparse.Namespace,
    say: Say,
) -> Shown:
    """Thin out the backups of a job in the `chosen` ones of its places, or show what would be done.

    `refused` are repositories that cannot be opened, and why.
    """
    others = tuple(place for place in places if place not in chosen)
    zone = zone_of(job.timezone)
    request = prune_run.Request(job.name, chosen, job.keep, zone, options.force, others=others)
    outcomes = prune_run.plan(request)
    if not options.dry_run:
        outcomes = prune_run.run(request, outcomes, say)
    lines: list[str] = []
    for each in outcomes:
        lines += [""] if lines else []
        lines += _lines(each, zone, options.dry_run)
    remarks = [f"{name} cannot be used: {why}" for name, why in refused.items()]
    code = prune_run.exit_code(outcomes)
    document = {
        "job": job.name,
        "dry_run": options.dry_run,
        "timezone": job.timezone,
        "repositories": [prune_run.document(each) for each in outcomes],
    }
    error = prune_run.error_of(outcomes)
    return Shown(document, lines, code or (5 if remarks else 0), remarks, error=error)


def _lines(outcome: PlaceOutcome, zone: dt.tzinfo, is_dry_run: bool) -> list[str]:
    planned = outcome.plan
    if planned is None:
        cause = outcome.error.cause or outcome.error.problem if outcome.error else "nothing is known"
        return [f"{outcome.name}:", *tables.note(cause)]
    retention = planned.retention
    remedy = "copy it from another repository"
    lost = [f"a stored file of {each} is gone or not whole: {remedy}" for each in planned.lost[:_SHOWN]]
    if len(planned.lost) > _SHOWN:
        lost.append(f"stored files of {len(planned.lost) - _SHOWN} more backups are gone or not whole")
    count = len(retention.kept) + len(retention.expired)
    words = outcome.keep.words if outcome.keep else "keep is not set: every backup stays"
    lines = tables.heading(f"{outcome.name}: {count} backups; {words}")
    if is_dry_run:
        lines += _table(planned, zone)
        lines += _foreseen(planned, zone)
    elif outcome.result is not None and (outcome.has_removed or outcome.error is None):
        lines += _done(outcome.result, zone)
    elif outcome.error is None:
        lines.append("  nothing to do")
    lines += [line for words in lost for line in tables.note(words)]
    if outcome.error is not None:
        words = "! it ended early: " if outcome.has_removed else "! nothing is removed: "
        lines += tables.note(outcome.error.cause or outcome.error.problem, words)
    return lines


def _table(planned: PrunePlan, zone: dt.tzinfo) -> list[str]:
    kept = {each.id: each for each in planned.retention.kept}
    rows = []
    for backup_id in sorted({*kept, *planned.retention.expired}):
        age = _age(backup_id, planned.now)
        if backup_id in kept:
            why = ", ".join(kept[backup_id].reasons)
            rows.append((f"  {backup_id}", age, "stays", _day(kept[backup_id].until, zone), why))
        else:
            rows.append((f"  {backup_id}", age, "GOES", "", "no rule keeps it"))
    lines = tables.wrapped(("  BACKUP", "AGE", "", "UNTIL", "BECAUSE"), rows, (25, 8, 5, 10, 0)) if rows else []
    return [line for row in lines for line in row]


def _age(backup_id: str, now: dt.datetime) -> str:
    """Return how old a backup is; nothing where its id tells no time that there is."""
    try:
        return tables.duration(max(0.0, (now - clock.from_backup_id(backup_id)).total_seconds()))
    except ValueError:
        return "-"


def _foreseen(planned: PrunePlan, zone: dt.tzinfo) -> list[str]:
    lines = []
    gone, count = len(planned.retention.expired), len(planned.retention.kept)
    if gone:
        lines.append(f"  {gone} of {gone + count} backups {'goes' if gone == 1 else 'go'}, {count} stay")
    if planned.due:
        lines.append(f"  {len(planned.due)} stored files ({tables.size(planned.due_bytes)}) go now")
    if planned.garbage:
        size = tables.size(planned.garbage_bytes)
        lines.append(f"  {len(planned.garbage)} stored files ({size}) are planned now, and go a day later")
    if planned.waiting:
        lines.append(f"  {planned.waiting} stored files wait until {_moment(planned.next_due, zone)}")
    if planned.dead_intents:
        lines.append(f"  {len(planned.dead_intents)} runs ended without a word more than a week ago")
    following = planned.retention.next_removal
    if following:
        lines.append(f"  the next backup goes about {_day(following, zone)}")
    return lines


def _done(result: PruneResult, zone: dt.tzinfo) -> list[str]:
    lines = [f"  {backup_id} removed" for backup_id in result.removed]
    if result.files:
        lines.append(f"  {result.files} stored files ({tables.size(result.bytes)}) deleted")
    if result.planned:
        lines.append(f"  {result.planned} stored files planned: they go a day from now")
    for words in result.denied:
        lines += tables.note(words, "kept, because the repository refused: ")
    following = result.plan.retention.next_removal
    if following:
        lines.append(f"  the next backup goes about {_day(following, zone)}")
    return lines or ["  tidied up"]


def _day(moment: dt.datetime | None, zone: dt.tzinfo) -> str:
    return f"{moment.astimezone(zone):%Y-%m-%d}" if moment is not None else "-"


def _moment(moment: dt.datetime | None, zone: dt.tzinfo) -> str:
    return f"{moment.astimezone(zone):%Y-%m-%d %H:%M}" if moment is not None else "their time has come"
