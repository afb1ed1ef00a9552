# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses

from ..errors import GuardRefusal, UsageError
from ..repository import delete, layout
from ..repository.keep import VERIFIED_MIN
from ..repository.lease import WAIT_S
from .place import Place, Say, silent


@dataclasses.dataclass(frozen=True)
class DeletePlan:
    """The backup that would be deleted from one repository."""

    place: Place
    job: str
    id: str
    is_there: bool
    verified_min: int


def plan(
    place: Place,
    job: str,
    backup_id: str,
    confirm: str,
    verified_min: int = VERIFIED_MIN,
    is_preview: bool = False,
) -> DeletePlan:
    """Look for the backup, and whether it may go; a preview needs no `confirm`.

    Raises GuardRefusal (`confirm`, `held`, `in_use`, `last_proved`), UsageError.
    """
    layout.checked_job(job)
    layout.checked_id(backup_id)
    if verified_min < 1:
        raise UsageError("Cannot keep fewer proved backups than one", "verified_min is 0", "set it to 1 or more")
    place.identity()
    versions = place.store.versions(layout.manifest(job, backup_id))  # one that is hidden by a delete marker is there
    is_there = any(not version.is_delete_marker for version in versions)
    if is_there and confirm != backup_id and not (is_preview and not confirm):
        raise GuardRefusal(
            "confirm",
            f"Cannot delete backup {backup_id} of {job} from {place.name}",
            f"confirm is {confirm or 'not set'}",
            f"set it to {backup_id} to delete this backup",
        )
    if is_there:
        delete.find(place.store, job, backup_id, verified_min)
    return DeletePlan(place, job, backup_id, is_there, verified_min)


def run(planned: DeletePlan, wait_s: float = WAIT_S, say: Say = silent) -> None:
    """Delete the backup: its manifest now, its files by later prunes. Raises BusyError, and what `plan` does."""
    place = planned.place
    window = place.identity().signature_window
    delete.delete(place.store, planned.job, planned.id, window, planned.verified_min, wait_s, say)
