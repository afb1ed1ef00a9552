# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options of backups and restores of MinIO servers, and what they ask for."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible.module_utils.basic import AnsibleModule

from .._engine.errors import IncompleteError, LifeboatError, UsageError
from .._engine.host import minio_backup, minio_command, minio_restore
from .._engine.host.backup_run import BackupResult, CopyResult
from .._engine.host.minio_backup import MinioJob, MinioPlan
from .._engine.host.minio_restore import RestorePlan, RestoreRequest, RestoreResult
from .._engine.minio.server_import import WHAT, Selection
from .._engine.repository.layout import checked_job
from . import run as bridge
from .arguments import REPOSITORIES
from .copies import copy_answer, missing_copies
from .options import Spec
from .places import places_from
from .s3_options import endpoint_from

_SHOWN = 20  # changes in a diff
_COUNTS = ("policies", "users", "groups", "access_keys", "buckets")

MINIO_BACKUP: Spec = {
    "job": {"type": "str", "required": True},
    "proof": {"type": "str", "choices": ["content", "none"], "default": "content"},
    "compression": {"type": "str", "choices": ["zstd", "gzip", "none"], "default": "zstd"},
    "allow_partial": {"type": "bool", "default": False},
    "rebind": {"type": "bool", "default": False},
    "wait_s": {"type": "int", "default": 4200},
    **REPOSITORIES,
}
MINIO_RESTORE: Spec = {
    "job": {"type": "str", "required": True},
    "backup": {"type": "str", "default": "latest_good"},
    "part": {"type": "str", "choices": list(WHAT), "default": "all"},
    "buckets": {"type": "list", "elements": "str", "default": []},
    "users": {"type": "list", "elements": "str", "default": []},
    "confirm": {"type": "str"},
    **REPOSITORIES,
}


def minio_job_from(params: bridge.Params) -> MinioJob:
    """Return the job that the options of minio_backup describe. Raises UsageError."""
    if params["wait_s"] < 0:
        raise UsageError("Cannot use these options", f"wait_s is {params['wait_s']}", "set it to 0 or more")
    return MinioJob(
        name=checked_job(params["job"]),
        endpoint=endpoint_from(params),
        places=places_from(params["repositories"]),
        proof=params["proof"],
        compression=params["compression"],
        allow_partial=params["allow_partial"],
        rebind=params["rebind"],
        wait_s=params["wait_s"],
    )


def minio_restore_from(params: bridge.Params) -> RestoreRequest:
    """Return the restore that the options of minio_restore describe. Raises UsageError."""
    return RestoreRequest(
        job=checked_job(params["job"]),
        backup=params["backup"],
        places=places_from(params["repositories"]),
        endpoint=endpoint_from(params),
        selection=Selection(params["part"], tuple(params["buckets"]), tuple(params["users"])),
        confirm=(params["confirm"],) if params["confirm"] else (),
    )


@dataclasses.dataclass(frozen=True)
class PlannedBackup:
    """A backup that would be written."""

    plan: MinioPlan

    @property
    def changed(self) -> bool:
        return True

    def diff(self) -> tuple[bridge.Result, bridge.Result]:
        """Return what would be in the backup, in numbers."""
        return {}, {name: self.plan.counts[name] for name in _COUNTS}

    def result(self) -> bridge.Result:
        """Return what a run would find."""
        first = next(place.repository for place in self.plan.places if not place.problem)
        unwritten = [
            CopyResult(place.repository, place.repository == first, False, False, place.problem)
            for place in self.plan.places
        ]
        return {
            "job": self.plan.job.name,
            "deployment": self.plan.server.deployment,
            "counts": dict(self.plan.counts),
            "copies": [copy_answer(copy) for copy in unwritten],
            "warnings": missing_copies(unwritten),
        }


def run_backup(module: AnsibleModule) -> t.NoReturn:
    """Plan and back up, and end the module; what was written is returned even where it is not all."""

    def apply(planned: PlannedBackup) -> bridge.Result:
        try:
            return backup_answer(minio_backup.back_up(planned.plan.job))
        except IncompleteError as error:
            bridge.fail(module, error, {**planned.result(), **backup_answer(error.result), "changed": True})

    bridge.run(module, lambda params: PlannedBackup(minio_backup.plan(minio_job_from(params))), apply)


def backup_answer(result: BackupResult) -> dict[str, t.Any]:
    """Return what a task says about a backup that was written."""
    return {
        "id": result.id,
        "counts": {name: result.statistics[name] for name in _COUNTS},
        "copies": [copy_answer(copy) for copy in result.copies],
        "complete": result.is_complete,
        "stored_bytes": result.stored_bytes,
        "seconds": result.seconds,
        "warnings": [*result.warnings, *missing_copies(result.copies)],
    }


@dataclasses.dataclass(frozen=True)
class PlannedRestore:
    """A restore that would be done."""

    plan: RestorePlan

    @property
    def changed(self) -> bool:
        return self.plan.changed

    def diff(self) -> tuple[bridge.Result, bridge.Result]:
        """Return the names of what would be written, a few of them; never what they hold."""
        shown = self.plan.found.changes[:_SHOWN]
        names = {f"{each.kind} {each.name}": each.action for each in shown}
        before = {name: None if action == "add" else "something else" for name, action in names.items()}
        return before, dict.fromkeys(names, "as in the backup")

    def result(self) -> bridge.Result:
        """Return the plan; no secret is part of it."""
        document = minio_command.plan_document(self.plan)
        notes = document.pop("notes")
        return {**document, "warnings": notes}


def run_restore(module: AnsibleModule) -> t.NoReturn:
    """Plan a restore, carry it out, and end the module; what was done is returned even where it is not all."""

    def plan(params: bridge.Params) -> PlannedRestore:
        planned = PlannedRestore(minio_restore.plan(minio_restore_from(params)))
        try:
            minio_restore.check(planned.plan)
        except LifeboatError as error:
            bridge.fail(module, error, planned.result())
        return planned

    def apply(planned: PlannedRestore) -> bridge.Result:
        try:
            return restore_answer(minio_restore.restore(planned.plan))
        except IncompleteError as error:
            bridge.fail(module, error, {**planned.result(), **restore_answer(error.result), "changed": True})

    bridge.run(module, plan, apply)


def restore_answer(result: RestoreResult) -> dict[str, t.Any]:
    """Return what a task says about a restore that was done."""
    return {
        "written": result.written,
        "problems": list(result.problems),
        "seconds": result.seconds,
        "warnings": list(result.notes),
    }
