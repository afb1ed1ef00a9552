# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The subcommand `restore` for the identities and bucket settings of a server."""

from __future__ import annotations

import argparse
import dataclasses
import typing as t

from .. import clock
from ..errors import DONE, GuardRefusal, IncompleteError, LifeboatError
from ..minio.server_import import WHAT, Selection
from . import minio_restore, tables
from .minio_restore import RestorePlan, RestoreRequest, RestoreResult
from .minio_settings import MinioSettings
from .place import Place, Say
from .run_as import Document
from .shown import Shown

_SHOWN = 20  # changes of a plan


def add_restore_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of restores of servers."""
    group = parser.add_argument_group("MinIO servers", "--only names buckets")
    group.add_argument("--part", choices=WHAT, default="all", help="identities, or settings of buckets; default: all")
    words = "this user, with its access keys and policies; repeatable"
    group.add_argument("--user", metavar="NAME", action="append", default=[], help=words)


def restore(
    job: MinioSettings, places: tuple[Place, ...], notes: t.Sequence[str], options: argparse.Namespace, say: Say
) -> Shown:
    """Bring identities and settings back, or show what that would do."""
    selection = Selection(options.part, tuple(options.only), tuple(options.user))
    request = RestoreRequest(job.name, options.backup, places, job.endpoint(), selection, tuple(options.confirm))
    planned = minio_restore.plan(request, say)
    planned = dataclasses.replace(planned, notes=(*planned.notes, *notes))
    if options.dry_run:
        return _planned(planned)
    try:
        return _restored(minio_restore.restore(planned, say))
    except IncompleteError as error:
        return _restored(error.result, error)


def plan_document(planned: RestorePlan) -> Document:
    """Return what would be restored, for machines; no secret is part of it."""
    changes = planned.found.changes
    return {
        "job": planned.request.job,
        "id": planned.manifest.id,
        "time": clock.to_text(planned.manifest.started),
        "repository": planned.candidate.place.name,
        "target": planned.request.endpoint.url,
        "counts": {action: sum(each.action == action for each in changes) for action in ("add", "change")},
        "changes": [{"kind": each.kind, "name": each.name, "action": each.action} for each in changes],
        "notes": list(planned.notes),
    }


def _planned(planned: RestorePlan) -> Shown:
    refusal: GuardRefusal | None = None
    try:
        minio_restore.check(planned)
    except GuardRefusal as error:
        refusal = error
    document = plan_document(planned)
    shown = [
        f"would restore {document['id']} of {document['time']} from {document['repository']}",
        f"to {document['target']}: {document['counts']['add']} to add, {document['counts']['change']} to change",
        *(f"  {each.words}" for each in planned.found.changes[:_SHOWN]),
    ]
    if len(planned.found.changes) > _SHOWN:
        shown.append(f"  and {len(planned.found.changes) - _SHOWN:,} more")
    lines = [tables.printable(line) for line in shown]
    for words in planned.notes:
        lines += tables.note(words, "note: ")
    code = refusal.exit_code if refusal else DONE
    return Shown({"dry_run": True, **document}, lines, code, error=refusal)


def _restored(result: RestoreResult, error: LifeboatError | None = None) -> Shown:
    lines = [
        f"{result.job}: restored {result.id} from {result.repository}: {result.written:,} identities and buckets "
        f"written, {tables.duration(result.seconds)}"
    ]
    for problem in result.problems[:_SHOWN]:
        lines += tables.note(problem)
    for words in result.notes:
        lines += tables.note(words, "note: ")
    return Shown(dataclasses.asdict(result), lines, error.exit_code if error else DONE, error=error)
