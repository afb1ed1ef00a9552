# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Records of recoveries in several repositories at once."""

from __future__ import annotations

import dataclasses
import typing as t

from ..errors import LifeboatError
from ..repository import layout, recovery_record
from ..repository.recovery_record import Recovery, Stored
from .place import Place


@dataclasses.dataclass(frozen=True)
class RecordCopy:
    """The record of one recovery in one repository."""

    repository: str
    found: Stored | None = None  # None: it is not there
    problem: str = ""  # why it cannot be there


@dataclasses.dataclass(frozen=True)
class RecordingPlan:
    """Where a recovery would be recorded."""

    told: Recovery
    places: tuple[Place, ...]
    copies: tuple[RecordCopy, ...]  # as they are, in the order of the places

    @property
    def missing(self) -> tuple[str, ...]:
        """Return the repositories that would get a record."""
        return tuple(copy.repository for copy in self.copies if copy.found is None and not copy.problem)


def plan(told: Recovery, places: t.Sequence[Place]) -> RecordingPlan:
    """Look where a recovery is recorded already; changes nothing. Raises UsageError."""
    recovery_record.checked(told)
    return RecordingPlan(told, tuple(places), tuple(_tried(place, told, recovery_record.find) for place in places))


def apply(planned: RecordingPlan) -> tuple[RecordCopy, ...]:
    """Write the record where it is missing, and return how all copies are; one that fails is named with the reason."""
    return tuple(
        _tried(place, planned.told, recovery_record.write) if copy.repository in planned.missing else copy
        for place, copy in zip(planned.places, planned.copies)
    )


def _tried(place: Place, told: Recovery, act: t.Callable[..., Stored | None]) -> RecordCopy:
    try:
        place.identity()
        return RecordCopy(place.name, act(place.store, told))
    except LifeboatError as error:
        return RecordCopy(place.name, problem=error.cause or error.problem)


@dataclasses.dataclass(frozen=True)
class FoundRecord:
    """A record, and the repositories that have one under its key."""

    record: Stored
    repositories: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Records:
    """The records of several repositories, as one list."""

    rows: tuple[FoundRecord, ...]  # newest first
    total: int  # how many there are, also those that were not asked for
    unreachable: t.Mapping[str, str]  # name of the repository → why
    damaged: tuple[str, ...]  # what is wrong with records that were passed over


def records(places: t.Sequence[Place], job: str = "", scenario: str = "", limit: int = 0) -> Records:
    """Return the newest `limit` records (0: all) of a job and a scenario, or of all, each from the first place.

    Raises UsageError; a repository that does not answer is no error.
    """
    if job:
        layout.checked_job(job)
    if scenario:
        layout.checked_scenario(scenario)
    holders: dict[str, list[Place]] = {}
    unreachable: dict[str, str] = {}
    for place in places:
        try:
            place.identity()
            for key in recovery_record.keys(place.store, job, scenario):
                holders.setdefault(key, []).append(place)
        except LifeboatError as error:
            unreachable[place.name] = error.cause or error.problem
    newest = sorted(holders, key=lambda key: (recovery_record.begun(key), key), reverse=True)
    damaged: list[str] = []
    rows = [_read(key, holders[key], damaged) for key in newest[: limit or None]]
    return Records(tuple(row for row in rows if row is not None), len(newest), unreachable, tuple(damaged))


def _read(key: str, holders: t.Sequence[Place], damaged: list[str]) -> FoundRecord | None:
    found: Stored | None = None
    for place in holders:
        try:
            document = place.store.get(key)
            found = recovery_record.from_bytes(document.data, key, place.store.keys) if document is not None else None
        except LifeboatError as error:
            damaged.append(f"{place.name}: {error.summary}")
        if found is not None:
            return FoundRecord(found, tuple(each.name for each in holders))
    return None
