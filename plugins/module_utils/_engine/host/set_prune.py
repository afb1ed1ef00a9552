# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Removes the recovery points that cannot be restored any more, and what lay under them."""

from __future__ import annotations

import dataclasses
import typing as t

from ..errors import DamagedError, LifeboatError
from ..repository import prune, recovery_point
from ..repository.lease import held
from ..repository.prune import PruneRequest
from ..repository.recovery_point import Member, Point
from .place import Place, Say
from .run_as import Document
from .set_settings import SetSettings


@dataclasses.dataclass(frozen=True)
class Tidied:
    """What was removed from one repository, or would be."""

    repository: str
    points: int = 0  # before
    broken: dict[str, str] = dataclasses.field(default_factory=dict)  # id → which member has gone
    deleted_files: int = 0  # lists of missing keys of points that went earlier
    problem: str = ""

    def document(self) -> Document:
        """Return it for machines."""
        return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True)
class Others:
    """The other repositories of a set, where members of its points may still be."""

    places: tuple[Place, ...] = ()
    are_all: bool = True  # False: there are more, which cannot be used


def tidied(settings: SetSettings, place: Place, others: Others, is_dry_run: bool, say: Say) -> Tidied:
    """Remove the points of a repository of which a member has gone; never raises LifeboatError.

    A point whose members are in several repositories can be restored: it goes where one of them has gone once another
    repository has all of it, or a member has gone everywhere. Nothing else is removed: how long a point lives is up to
    what its members keep. A point that cannot be read stays.
    """
    found = Tidied(place.name)
    try:
        window = place.identity().signature_window
        ids = recovery_point.ids(place.store, settings.name)
        found = Tidied(place.name, len(ids), _broken(settings, place, others, ids))
        request = PruneRequest(settings.name)
        planned = prune.plan(place.store, request, window)
        if is_dry_run or (not found.broken and planned.is_empty):
            return found
        say(f"{settings.name}: pruning {place.name}")
        with held(place.store, settings.name, window, on_wait=say, is_removing=True) as permit:
            for point_id in _broken(settings, place, others, list(found.broken)):
                recovery_point.remove(place.store, settings.name, point_id, permit)
        # What lay under these points is garbage now, and goes as garbage does: a day later.
        result = prune.prune(place.store, request, window, on_wait=say)
        return dataclasses.replace(found, deleted_files=result.files)
    except LifeboatError as error:
        return dataclasses.replace(found, problem=error.summary)


def _broken(settings: SetSettings, place: Place, others: Others, ids: list[str]) -> dict[str, str]:
    found = {}
    for point_id in ids:
        try:
            point = recovery_point.find(place.store, settings.name, point_id)
        except DamagedError:
            continue
        gone = recovery_point.gone_members(place.store, point) if point else ()
        if point is not None and gone and _may_go(settings, point, gone, others):
            found[point_id] = ", ".join(f"backup {each.backup} of {each.job} has gone" for each in gone)
    return found


def _may_go(settings: SetSettings, point: Point, gone: t.Collection[Member], others: Others) -> bool:
    """Say whether a point is not needed here: another repository has all of it, or nothing brings a member back."""
    nowhere, is_certain = set(gone), others.are_all
    for other in others.places:
        try:
            other.identity()  # where nothing is mounted, nothing has gone
            has_point = point.id in recovery_point.ids(other.store, settings.name)
            if has_point and not recovery_point.missing_members(other.store, point):
                return True
            nowhere.intersection_update(recovery_point.gone_members(other.store, point))
        except LifeboatError:
            is_certain = False
    return is_certain and bool(nowhere)
