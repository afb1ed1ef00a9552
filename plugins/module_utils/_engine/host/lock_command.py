# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The subcommand `lock`."""

from __future__ import annotations

import argparse
import typing as t

from ..errors import UsageError
from . import lock_run, tables
from .job_settings import JobSettings
from .lock_run import PlaceOutcome
from .place import Place, Say
from .repository_settings import RepositorySettings
from .shown import Shown
from .timing import zone_of


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the subcommand, but for the repositories."""
    parser.add_argument("--dry-run", action="store_true", help="only show what would be locked, and until when")


def lock(
    job: JobSettings, repositories: t.Sequence[RepositorySettings], options: argparse.Namespace, say: Say
) -> Shown:
    """Lock the stored files of a job's backups in those of the `repositories` that are to lock.

    Raises UsageError when none is.
    """
    chosen = [each for each in repositories if each.lock is not None]
    if not chosen:
        raise UsageError(
            f"Cannot lock backups of {job.name}",
            "no repository has the section lock",
            'give one in a bucket with object lock: "lock": {"mode": "COMPLIANCE"}',
        )
    places: list[Place] = [each.opened_to_lock() for each in chosen]
    policies = {each.name: each.lock.policy for each in chosen if each.lock is not None}
    request = lock_run.Request(job.name, tuple(places), policies, job.keep, zone_of(job.timezone))
    outcomes = lock_run.plan(request)
    if not options.dry_run:
        outcomes = lock_run.run(request, outcomes, say)
    lines = [line for each in outcomes for line in _lines(each, options.dry_run)]
    document = {
        "job": job.name,
        "dry_run": options.dry_run,
        "repositories": [lock_run.document(each) for each in outcomes],
    }
    return Shown(document, lines, lock_run.exit_code(outcomes), error=lock_run.error_of(outcomes))


def _lines(outcome: PlaceOutcome, is_dry_run: bool) -> list[str]:
    found = lock_run.document(outcome)
    lines = [tables.printable(f"{outcome.name}: {found['mode'].lower() or 'nothing is known'}")]
    if outcome.plan is not None:
        count = found["to_lock"] if is_dry_run else found["locked"]
        verb = "would be locked" if is_dry_run else "locked"
        lines.append(f"  {count} files {verb}, {found['locked_before']} were locked long enough")
        rows = [(f"  {each['id']}", str(each["until"])[:10]) for each in found["backups"]]
        lines += tables.table(("  BACKUP", "LOCKED UNTIL"), rows, (25, 0)) if is_dry_run and rows else []
    if found["left"]:
        lines += tables.note(f"{found['left']} files wait for the next run: there were too many for one")
    if found["weaker"]:
        lines += tables.note(
            f"{found['weaker']} files are under governance, and stay so until that lock ends", "note: "
        )
    for words in found["denied"][:_SHOWN]:
        lines += tables.note(words, "refused: ")
    if outcome.error is not None and not found["denied"]:
        lines += tables.note(outcome.error.cause or outcome.error.problem)
    return lines


_SHOWN = 5  # refusals
