# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options of backups of buckets and folders, and what they ask for."""

from __future__ import annotations

import dataclasses
import functools
import typing as t

from ansible.module_utils.basic import AnsibleModule

from .._engine.errors import FlaggedError, IncompleteError, LifeboatError, UsageError
from .._engine.host import acknowledging, objects_backup, objects_plan
from .._engine.host.acknowledging import AcknowledgementPlan
from .._engine.host.backup_run import BackupResult, CopyResult
from .._engine.host.object_sources import BucketSelection, FileSelection
from .._engine.host.objects_job import ObjectsJob
from .._engine.objects import guards
from .._engine.objects.reread import Share
from .._engine.repository.layout import checked_job
from . import run as bridge
from .arguments import REPOSITORIES
from .copies import copy_answer, missing_copies
from .options import Spec
from .places import places_from
from .s3_client import client_from

_GUARDS = (guards.MASS_DELETE, guards.MASS_REWRITE, guards.ENTROPY_JUMP)
_COUNTS = ("objects", "bytes", "added", "rewritten", "described", "gone", "read_objects", "read_bytes")

# Documented in the fragment _objects_backup.
OBJECTS_BACKUP: Spec = {
    "job": {"type": "str", "required": True},
    "reread": {"type": "str", "default": ""},
    "acknowledge": {"type": "str"},
    **{f"on_{guard}": {"type": "str", "choices": list(guards.POLICIES), "default": "fail"} for guard in _GUARDS},
    "allow_empty": {"type": "bool", "default": False},
    "proof": {"type": "str", "choices": ["content", "none"], "default": "content"},
    "compression": {"type": "str", "choices": ["zstd", "gzip", "none"], "default": "zstd"},
    "allow_partial": {"type": "bool", "default": False},
    "rebind": {"type": "bool", "default": False},
    "concurrency": {"type": "int", "default": 16},
    "wait_s": {"type": "int", "default": 4200},
    **REPOSITORIES,
}


def bucket_job_from(params: bridge.Params) -> ObjectsJob:
    """Return the job that the options of bucket_backup describe. Raises UsageError."""
    if not params["buckets"]:
        raise UsageError("Cannot back up these buckets", "none is named", "name at least one, or '*' for all")
    chosen = BucketSelection(tuple(params["buckets"]), tuple(params["exclude_buckets"]), params["prefix"])
    return _job_from(params, "bucket", functools.partial(chosen.opened, client_from(params)))


def files_job_from(params: bridge.Params) -> ObjectsJob:
    """Return the job that the options of files_backup describe. Raises UsageError."""
    chosen = FileSelection(
        roots=tuple(params["roots"]),
        exclude=tuple(params["exclude"]),
        include=tuple(params["include"]),
        one_file_system=params["one_file_system"],
        devices=params["devices"],
    )
    return _job_from(params, "files", chosen.opened)


def _job_from(params: bridge.Params, kind: str, open_source: t.Callable[..., t.Any]) -> ObjectsJob:
    for name, least in (("concurrency", 1), ("wait_s", 0)):
        if params[name] < least:
            raise UsageError("Cannot use these options", f"{name} is {params[name]}", f"set it to {least} or more")
    return ObjectsJob(
        name=checked_job(params["job"]),
        kind=kind,
        open_source=open_source,
        places=places_from(params["repositories"]),
        mode=params["mode"],
        reread=Share.parse(params["reread"]),
        proof=params["proof"],
        compression=params["compression"],
        policy={guard: params[f"on_{guard}"] for guard in _GUARDS},
        allow_empty=params["allow_empty"],
        allow_partial=params["allow_partial"],
        rebind=params["rebind"],
        wait_s=params["wait_s"],
        concurrency=params["concurrency"],
    )


@dataclasses.dataclass(frozen=True)
class PlannedBackup:
    """A backup that would be written."""

    plan: objects_plan.ObjectsPlan

    @property
    def changed(self) -> bool:
        return True

    def diff(self) -> tuple[bridge.Result, bridge.Result]:
        """Return the newest backup in each repository, and what would be read, before and after."""
        before: dict[str, t.Any] = {p.repository: p.latest.id if p.latest else None for p in self.plan.places}
        after = {p.repository: before[p.repository] if p.problem else "a new backup" for p in self.plan.places}
        found = dataclasses.asdict(self.plan.estimate) if self.plan.estimate else {}
        return {"newest_backups": before}, {"newest_backups": after, **({"would_be": found} if found else {})}

    def result(self) -> bridge.Result:
        """Return what would be written, and where."""
        plan = self.plan
        unwritten = [CopyResult(p.repository, p is plan.primary, False, False, p.problem) for p in plan.places]
        return {
            "job": plan.job.name,
            "mode": plan.job.mode,
            "collections": list(plan.source.collections[:20]),
            "collection_count": len(plan.source.collections),
            **({"base": plan.base, **dataclasses.asdict(plan.estimate)} if plan.estimate else {}),
            "copies": [copy_answer(copy) for copy in unwritten],
            "warnings": [*plan.notes, *missing_copies(unwritten)],
        }

    def apply(self, module: AnsibleModule) -> bridge.Result:
        """Write the backup; one that is flagged or not complete is a failure that says what there is."""
        try:
            return backup_answer(objects_backup.back_up(self.plan.job))
        except (FlaggedError, IncompleteError) as error:
            bridge.fail(module, error, {**self.result(), **backup_answer(error.result), "changed": True})


@dataclasses.dataclass(frozen=True)
class PlannedAcknowledgement:
    """Flagged backups that would count as looked at."""

    plan: AcknowledgementPlan

    @property
    def changed(self) -> bool:
        return not self.plan.is_empty

    def diff(self) -> tuple[bridge.Result, bridge.Result]:
        """Return the flagged backups before and after."""
        return {"flagged": {i: list(flags) for i, flags in self.plan.flags.items()}}, {"flagged": {}}

    def result(self) -> bridge.Result:
        return {
            "job": self.plan.job,
            "acknowledged": self.plan.id,
            "flags": [flag for flags in self.plan.flags.values() for flag in flags][:20],
            "warnings": [f"{name} cannot be used: {why}" for name, why in self.plan.unreachable.items()],
        }

    def apply(self, module: AnsibleModule) -> bridge.Result:
        """Write the acknowledgement everywhere."""
        try:
            acknowledging.apply(self.plan)
        except LifeboatError as error:
            bridge.fail(module, error, {**self.result(), "changed": self.changed})
        return {}


Planned = t.Union[PlannedBackup, PlannedAcknowledgement]


def plan_from(params: bridge.Params, job_from: t.Callable[[bridge.Params], ObjectsJob], has_estimate: bool) -> Planned:
    """Return what the options ask for: a backup, or an acknowledgement alone."""
    if params["acknowledge"]:
        places = places_from(params["repositories"])
        return PlannedAcknowledgement(acknowledging.plan(params["job"], params["acknowledge"], places))
    return PlannedBackup(objects_plan.plan(job_from(params), has_estimate))


def run(module: AnsibleModule, job_from: t.Callable[[bridge.Params], ObjectsJob]) -> t.NoReturn:
    """Plan and apply; the source is listed for the plan only where somebody looks at it."""
    has_estimate = bool(module.check_mode or module._diff)
    bridge.run(
        module,
        lambda params: plan_from(params, job_from, has_estimate),
        lambda planned: planned.apply(module),
    )


def backup_answer(result: BackupResult) -> dict[str, t.Any]:
    """Return what a task says about a backup that was written."""
    found = result.statistics
    return {
        "id": result.id,
        "base": result.base,
        **{name: found[name] for name in _COUNTS if name in found},
        "copies": [copy_answer(copy) for copy in result.copies],
        "complete": result.is_complete,
        "plain_bytes": result.plain_bytes,
        "stored_bytes": result.stored_bytes,
        "seconds": result.seconds,
        "write_seconds": result.dump_seconds,
        "flags": list(result.flags),
        "remarks": dict(found.get("remarks", {})),
        "remarks_sample": list(found.get("remarks_sample", ())),
        "warnings": [*result.warnings, *missing_copies(result.copies)],
    }
