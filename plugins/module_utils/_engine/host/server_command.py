# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The subcommand `run` for jobs of several databases."""

from __future__ import annotations

import argparse

from ..errors import DONE, UsageError
from . import run_command, server_backup, tables
from .config import Config
from .database_settings import DatabaseSettings
from .place import Say
from .run_as import Document
from .server_backup import MemberOutcome, ServerIncompleteError, ServerJob, ServerResult
from .shown import Shown


def run(config: Config, job: DatabaseSettings, options: argparse.Namespace, say: Say) -> Shown:
    """Back up all databases of the job."""
    wanted = server_job(config, job, options)
    result = server_backup.run(server_backup.plan(wanted), say)
    error: ServerIncompleteError | None = None
    try:
        server_backup.require_all(wanted, result)
    except ServerIncompleteError as missing:
        error = missing
    return Shown(_document(result), _lines(result), error.exit_code if error else DONE, error=error)


def server_job(config: Config, job: DatabaseSettings, options: argparse.Namespace | None = None) -> ServerJob:
    """Return what a run works with. Raises UsageError."""
    if job.selection is None:
        raise UsageError(f"Cannot run job {job.name} for several databases", "it is for one", "set databases")
    wanted = job.all_of_server(job.selection, lambda: config.places_of_run(job))
    if options is None:
        return wanted
    return run_command.with_options(wanted, options)


def _document(result: ServerResult) -> Document:
    results = [each.result for each in result.backed_up if each.result is not None]
    return {
        "job": result.job,
        "members": [_member_document(each) for each in result.members],
        "gone": list(result.gone),
        "complete": not result.failed,
        "plain_bytes": sum(each.plain_bytes for each in results),
        "stored_bytes": sum(each.stored_bytes for each in results),
        "seconds": result.seconds,
        "warnings": [*result.warnings, *_warnings(result)],
    }


def _member_document(member: MemberOutcome) -> Document:
    failure = member.failure
    document: Document = {"job": member.job, "database": member.database, "good": failure is None}
    if member.result is not None:
        document.update(run_command.document_of(member.result))
    if failure is not None:
        document["error"] = {
            **{"problem": failure.problem, "cause": failure.cause, "remedy": failure.remedy},
            **({"guard": failure.guard} if failure.guard else {}),
        }
        document["exit_code"] = failure.exit_code
    return document


def _warnings(result: ServerResult) -> list[str]:
    """Return the warnings of single databases; what several say is told once, with their number."""
    by_words: dict[str, list[str]] = {}
    for each in result.backed_up:
        for words in each.result.warnings if each.result is not None else ():
            by_words.setdefault(words, []).append(each.database)
    return [f"{names[0] if len(names) == 1 else f'{len(names)} databases'}: {w}" for w, names in by_words.items()]


def _lines(result: ServerResult) -> list[str]:
    done = len(result.members) - len(result.failed)
    lines = [f"{result.job}: {done} of {len(result.members)} databases backed up, {tables.duration(result.seconds)}"]
    for each in result.members:
        if each.result is not None:
            sizes = f"{tables.size(each.result.stored_bytes)} of {tables.size(each.result.plain_bytes)}"
            proved = sum(copy.is_proved for copy in each.result.copies)
            copies = f"{proved} of {len(each.result.copies)} copies proved"
            words = f"  {each.database}: {each.result.id}, {sizes}, {copies}, {tables.duration(each.result.seconds)}"
            lines.append(tables.printable(words))
        else:
            lines.append(tables.printable(f"  {each.database}: FAILED"))
        if each.failure is not None:
            lines += tables.note(str(each.failure))
    for name in result.gone:
        lines += tables.note(server_backup.gone_words(name), "GONE ")
    for warning in (*result.warnings, *_warnings(result)):
        lines += tables.note(warning, "warning: ")
    return lines
