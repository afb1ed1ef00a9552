# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
import datetime as dt
import typing as t

from .. import clock
from ..errors import UsageError
from ..repository.catalog import Backup
from ..repository.manifest import Manifest
from .candidates import Candidate, Holdings, candidates, holdings, remarks
from .place import Place

KINDS = ("bucket", "files")
INDEX_ROLE = "segments"  # of the stored file that a backup with objects has
SETTINGS_ROLE = "settings"  # of the stored file that a backup with settings of buckets has
SCOPE_ROLE = "scope"  # of the stored file that says what a backup leaves out, where it does
REMARKS_ROLE = "remarks"  # of the stored file that says what could not be read, where there is any


@dataclasses.dataclass(frozen=True)
class Choice:
    """Which backup is meant."""

    job: str
    backup: str = "latest_good"  # an id, latest or latest_good
    as_of: dt.datetime | None = None  # the newest one that began not later than this

    def candidates(self, places: t.Sequence[Place], roles: t.Collection[str] = ()) -> tuple[list[Candidate], list[str]]:
        """Return the copies to try, best first, and remarks on repositories that could not be used.

        `roles`: what the backup must have, such as INDEX_ROLE: a backup of settings alone is passed over unless it is
        named by its id. Raises LifeboatError when there is none, UsageError when it is one of another kind.
        """
        if self.as_of is not None and self.backup not in ("latest", "latest_good"):
            raise UsageError(
                "Cannot choose a backup", f"both its id {self.backup} and a time are given", "give one of them"
            )
        known = holdings(self.job, places)
        found = candidates(self._narrowed(known, roles), places, self.backup)
        for candidate in found:
            _check_kind(manifest_of(candidate), roles)
        return found, remarks(known, found[0].backup, places)

    def _narrowed(self, known: Holdings, roles: t.Collection[str]) -> Holdings:
        if self.backup not in ("latest", "latest_good"):
            return known
        found = {
            name: [each for each in backups if self._is_in_time(each) and has_roles(each, roles)]
            for name, backups in known.found.items()
        }
        return Holdings(known.job, found, known.unreachable)

    def _is_in_time(self, backup: Backup) -> bool:
        if self.as_of is None:
            return True
        if backup.manifest is None:
            return backup.id.partition("-")[0] <= clock.compact(self.as_of)
        return backup.manifest.started <= self.as_of


def has_roles(backup: Backup, roles: t.Collection[str]) -> bool:
    """Say whether a backup has stored files of these roles; one whose manifest cannot be read may have them."""
    return backup.manifest is None or backup.manifest.roles >= set(roles)


def manifest_of(candidate: Candidate) -> Manifest:
    """Return the manifest of a copy that was chosen because it has one."""
    manifest = candidate.backup.manifest
    if manifest is None:
        raise UsageError(f"Cannot use backup {candidate.backup.id}", "its manifest cannot be read", "use another copy")
    return manifest


def parse_time(text: str) -> dt.datetime:
    """Read a time as operators write it (see `clock.from_zoned_text`). Raises UsageError."""
    try:
        return clock.from_zoned_text(text)
    except ValueError as error:
        raise UsageError(f"Cannot use {text!r} as a time", str(error), "write it as 2026-11-20T02:00:00Z") from error


def _check_kind(manifest: Manifest, roles: t.Collection[str]) -> None:
    problem = f"Cannot restore objects from backup {manifest.id} of {manifest.job}"
    if manifest.kind not in KINDS:
        raise UsageError(problem, f"it is one of kind {manifest.kind}", "restore it with what is made for that kind")
    missing = sorted(set(roles) - manifest.roles)
    if INDEX_ROLE in missing:
        raise UsageError(problem, "it has the settings of buckets only", "restore metadata only, or take another one")
    if missing:
        raise UsageError(problem, "it has no settings of buckets", "restore data only")
