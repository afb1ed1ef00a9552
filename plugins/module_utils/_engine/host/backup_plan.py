# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a run of a job of any kind would find in its repositories."""

from __future__ import annotations

import dataclasses
import typing as t

from ..errors import DamagedError, LifeboatError
from ..repository import binding
from ..repository.manifest import Manifest
from .backup_run import Job, newest_manifest
from .place import Place, is_unusable


@dataclasses.dataclass(frozen=True)
class PlaceState:
    """What a run would find in one of the job's repositories."""

    repository: str
    problem: str = ""  # why it cannot be used; empty: it can
    is_primary: bool = False  # the backup would be written here first; the others get copies
    latest: Manifest | None = None  # the newest backup that is there


def primary(places: t.Sequence[PlaceState]) -> PlaceState:
    """Return the repository that would be written to; `states_of` made sure that there is one."""
    return next(place for place in places if place.is_primary)


def states_of(job: Job, kind: str, identity: binding.Identity) -> tuple[PlaceState, ...]:
    """Look into every repository of a job, by reading only.

    Raises LifeboatError when a run would end without a backup: no repository can be used, or a guard forbids it.
    """
    states: list[PlaceState] = []
    for place in job.places:
        is_copy = place.store.copies_only or any(state.is_primary for state in states)
        try:
            states.append(_state(job, kind, identity, place, is_copy))
        except LifeboatError as error:
            # What stops the primary stops the run; what stops a copy only leaves the backup incomplete.
            if len(job.places) == 1 or not (is_copy or is_unusable(error) or isinstance(error, DamagedError)):
                raise
            states.append(PlaceState(place.name, error.summary))
    if not any(state.is_primary for state in states):
        raise LifeboatError(
            f"Cannot back up {job.name}: no repository works",
            "; ".join(state.problem or f"{state.repository} is for copies only" for state in states),
            "make one of the repositories available and run the job again",
        )
    return tuple(states)


def _state(job: Job, kind: str, identity: binding.Identity, place: Place, is_copy: bool) -> PlaceState:
    if is_copy:
        place.receiving_identity()
    else:
        place.writable_identity()
    if not job.rebind:
        binding.check(place.store, job.name, kind, identity)
    return PlaceState(place.name, is_primary=not is_copy, latest=newest_manifest(place.store, job.name))
