# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses

from ..objects.changes import Gone, Kept, Taken, changes, never
from ..objects.source import unseen_by
from ..repository import layout
from . import backup_plan
from .backup_plan import PlaceState
from .objects_job import FoundSource, ObjectsJob, inspect
from .place import Place
from .previous_backup import Base, BaseDamagedError, choose_base


@dataclasses.dataclass(frozen=True)
class Estimate:
    """What a run would find, by the listing of the source and the index of the base; no object is read."""

    objects: int = 0  # that the backup would have
    bytes: int = 0  # their sizes
    added: int = 0
    rewritten: int = 0  # by the listing; reading may show that the bytes are the same
    described: int = 0  # whose properties alone are new
    gone: int = 0
    read_objects: int = 0
    read_bytes: int = 0


@dataclasses.dataclass(frozen=True)
class ObjectsPlan:
    """What a run of a job would do, found out by reading only."""

    job: ObjectsJob
    source: FoundSource
    places: tuple[PlaceState, ...]  # in the order of the job
    base: str = ""  # id of the backup that it would build on
    notes: tuple[str, ...] = ()  # why it is not the newest
    estimate: Estimate | None = None  # None where nobody asked

    @property
    def primary(self) -> PlaceState:
        """The repository that would be written to; `plan` made sure that there is one."""
        return backup_plan.primary(self.places)


def plan(job: ObjectsJob, with_estimate: bool) -> ObjectsPlan:
    """Look at the source and every repository; changes nothing. The estimate lists the whole source.

    Raises LifeboatError when a run would end without a backup: the source is not fit, no repository can be used, or a
    guard forbids it.
    """
    layout.checked_job(job.name)
    found = inspect(job, _unheard)
    places = backup_plan.states_of(job, job.kind, found.identity)
    planned = ObjectsPlan(job, found, places)
    if job.mode == "metadata_only" or not with_estimate:
        return planned
    primary = next(place for place in job.places if place.name == planned.primary.repository)
    return _estimated(planned, primary)


def _unheard(_collection: str, _key: str, _what: str, _why: str) -> None:
    """Take a remark on an object; the run will make it again."""


def _estimated(planned: ObjectsPlan, primary: Place) -> ObjectsPlan:
    damaged: dict[str, str] = {}
    repository = str(primary.identity().repository)
    while True:
        base, notes = choose_base(primary.store, planned.job.name, repository, damaged)
        notes += [f"not built on {each}: {why}" for each, why in damaged.items()]
        try:
            estimate = _estimate(planned, base)
        except BaseDamagedError as error:
            damaged[error.backup_id] = error.cause
            continue
        return dataclasses.replace(planned, base=base.id if base else "", notes=tuple(notes), estimate=estimate)


def _estimate(planned: ObjectsPlan, base: Base | None) -> Estimate:
    counts = dict.fromkeys((field.name for field in dataclasses.fields(Estimate)), 0)
    for name in planned.source.collections:
        _count(planned, base, name, counts)
    for name in set(base.collections() if base else ()) - set(planned.source.collections):
        counts["gone"] += sum(segment.rows for segment in base.segments(name)) if base else 0
    return Estimate(**counts)


def _count(planned: ObjectsPlan, base: Base | None, name: str, counts: dict[str, int]) -> None:
    job = planned.job
    last = base.manifest.statistics.get("reread") if base else None
    turn = job.reread.after(last) if job.reread else None
    for step in changes(
        planned.source.source.items(name),
        base.segments(name) if base else (),
        base.rows_of if base else lambda _segment: [],
        reread=turn.has_row if turn else never,
        has_rereads=turn.has_segment if turn else None,
        full=job.reads_all,
        is_unseen=unseen_by(planned.source.source, name),
    ):
        if isinstance(step, Gone):
            counts["gone"] += 1
            continue
        rows, size = (step.segment.rows, step.segment.size) if isinstance(step, Taken) else (1, 0)
        if isinstance(step, Kept):
            size = step.row.size
        elif not isinstance(step, Taken):
            size = step.item.size
            counts["described" if step.only_properties else ("rewritten" if step.base else "added")] += 1
            if not step.only_properties:
                counts["read_objects"] += 1
                counts["read_bytes"] += size
        counts["objects"] += rows
        counts["bytes"] += size
