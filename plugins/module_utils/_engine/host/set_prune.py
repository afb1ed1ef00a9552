# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Removes the recovery points that cannot be restored any more, and what lay under them."""

from __future__ import annotations

import dataclasses

from ..errors import DamagedError, LifeboatError
from ..repository import prune, recovery_point
from ..repository.lease import held
from ..repository.prune import PruneRequest
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


def tidied(settings: SetSettings, place: Place, is_dry_run: bool, say: Say) -> Tidied:
    """Remove the points of a repository of which a member has no backup there; never raises LifeboatError.

    Nothing else is removed: how long a point lives is up to what its members keep. A point that cannot be read stays.
    """
    found = Tidied(place.name)
    try:
        window = place.identity().signature_window
        ids = recovery_point.ids(place.store, settings.name)
        found = Tidied(place.name, len(ids), _broken(settings, place, ids))
        request = PruneRequest(settings.name)
        planned = prune.plan(place.store, request, window)
        if is_dry_run or (not found.broken and planned.is_empty):
            return found
        say(f"{settings.name}: pruning {place.name}")
        with held(place.store, settings.name, window, on_wait=say, is_removing=True) as permit:
            for point_id in _broken(settings, place, list(found.broken)):
                recovery_point.remove(place.store, settings.name, point_id, permit)
        # What lay under these points is garbage now, and goes as garbage does: a day later.
        result = prune.prune(place.store, request, window, on_wait=say)
        return dataclasses.replace(found, deleted_files=result.files)
    except LifeboatError as error:
        return dataclasses.replace(found, problem=error.summary)


def _broken(settings: SetSettings, place: Place, ids: list[str]) -> dict[str, str]:
    found = {}
    for point_id in ids:
        try:
            point = recovery_point.find(place.store, settings.name, point_id)
        except DamagedError:
            continue
        gone = recovery_point.gone_members(place.store, point) if point else ()
        if gone:
            found[point_id] = ", ".join(f"backup {each.backup} of {each.job} has gone" for each in gone)
    return found
