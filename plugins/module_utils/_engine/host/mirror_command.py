# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import argparse
import typing as t

from ..errors import DONE, IncompleteError, UsageError
from ..objects.mirror_guards import GUARDS
from ..objects.mirror_run import MirrorPlan, MirrorResult, MirrorStopped, Request
from . import mirror_answer, mirror_run
from .mirror_config import MirrorSettings
from .mirror_job import MirrorJob
from .place import Say
from .run_as import become
from .shown import Shown


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the subcommand `mirror`."""
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--dry-run", action="store_true", help="only show what would be copied and removed")
    words = "change nothing and compare both sides, by their listings or (content) by SHA-256 of all objects"
    how.add_argument("--verify", choices=("listing", "content"), nargs="?", const="listing", default="", help=words)
    words = "do it although this guard refuses; may be repeated"
    parser.add_argument("--allow", choices=GUARDS, action="append", default=[], help=words)
    parser.add_argument("--plan-file", metavar="FILE", default="", help="write all that is to be done to this file")


def mirror(mirrors: t.Mapping[str, MirrorSettings], file: str, options: argparse.Namespace, say: Say) -> Shown:
    """Mirror, or compare both sides."""
    if options.job not in mirrors:
        known = ", ".join(sorted(mirrors)) or "none"
        raise UsageError(f"Cannot find mirror {options.job}", f"{file} does not have it", f"its mirrors are: {known}")
    settings = mirrors[options.job]
    become(settings.run_as, settings.name)
    job = settings.job(options.allow, options.plan_file)
    with mirror_run.opened(job) as request:
        say(f"{settings.name}: comparing")
        if options.verify:
            return _verified(request, job, options.verify == "content")
        planned = mirror_run.plan(request, job)
        with planned.steps:
            if options.dry_run:
                document = mirror_answer.planned_answer(planned)
                return Shown({**document, "dry_run": True}, mirror_answer.lines(document, is_done=False))
            return _mirrored(planned, say)


def _mirrored(planned: MirrorPlan, say: Say) -> Shown:
    error: IncompleteError | MirrorStopped | None = None
    try:
        result = mirror_run.run(planned, say)
    except (IncompleteError, MirrorStopped) as failure:
        error = failure
        result = t.cast(MirrorResult, failure.result)
    document = mirror_answer.answer(planned, result)
    remarks = document["warnings"]
    code = error.exit_code if error else DONE
    return Shown(document, mirror_answer.lines(document, is_done=True), code, remarks, error)


def _verified(request: Request, job: MirrorJob, reads_content: bool) -> Shown:
    planned, compared, error = mirror_run.verify(request, job, reads_content)
    document = mirror_answer.compared_answer(planned, compared)
    code = error.exit_code if error else DONE
    return Shown(document, mirror_answer.lines(document, is_done=False), code, error=error)
