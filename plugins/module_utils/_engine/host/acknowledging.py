# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
import typing as t

from ..errors import IncompleteError, LifeboatError
from ..repository import acknowledgement
from ..repository.layout import checked_id
from .candidates import Holdings, holdings
from .place import Place


@dataclasses.dataclass(frozen=True)
class AcknowledgementPlan:
    """Which flagged backups would count as looked at, and where that would be written."""

    job: str
    id: str  # this backup and all earlier ones
    flags: t.Mapping[str, tuple[str, ...]]  # of the backups that are flagged now → why
    places: tuple[Place, ...]  # repositories in which one of them is flagged
    unreachable: t.Mapping[str, str]  # name of the repository → why

    @property
    def is_empty(self) -> bool:
        return not self.places


def plan(job: str, wanted: str, places: t.Sequence[Place]) -> AcknowledgementPlan:
    """Look which backups up to `wanted` (an id or `latest`) are flagged; changes nothing.

    Raises LifeboatError when no repository has that backup.
    """
    if wanted != "latest":
        checked_id(wanted)
    known = holdings(job, places)
    # One that nobody vouches for could bear any id, and all backups before it would be acknowledged with it.
    ids = [row.id for row in known.merged() if row.is_authentic and row.manifest is not None]
    if not ids or (wanted != "latest" and wanted not in ids):
        raise LifeboatError(
            f"Cannot acknowledge backup {wanted} of {job}",
            f"{len(ids)} backups are known" + "".join(f"; {name}: {why}" for name, why in known.unreachable.items()),
            "look at the list of backups",
        )
    backup_id = ids[-1] if wanted == "latest" else wanted
    flagged = _flagged(known, backup_id)
    flags = {
        row.id: row.manifest.flags
        for row in known.merged()
        if row.manifest is not None and any(row.id in found for found in flagged.values())
    }
    chosen = tuple(place for place in places if flagged.get(place.name))
    return AcknowledgementPlan(job, backup_id, flags, chosen, known.unreachable)


def apply(planned: AcknowledgementPlan) -> None:
    """Write the acknowledgement into the repositories of the plan; done again it changes nothing.

    Raises IncompleteError when one could not be written to: its backups stay flagged there.
    """
    problems = [f"{name}: {why}" for name, why in planned.unreachable.items()]
    for place in planned.places:
        try:
            acknowledgement.acknowledge(place.store, planned.job, planned.id)
        except LifeboatError as error:
            problems.append(f"{place.name}: {error.cause or error.problem}")
    if problems:
        raise IncompleteError(
            f"Cannot acknowledge backup {planned.id} of {planned.job} everywhere",
            "; ".join(problems),
            "make the repositories available and acknowledge it again",
            planned,
        )


def _flagged(known: Holdings, backup_id: str) -> dict[str, set[str]]:
    return {
        name: {backup.id for backup in found if backup.is_flagged and backup.id <= backup_id}
        for name, found in known.found.items()
    }
