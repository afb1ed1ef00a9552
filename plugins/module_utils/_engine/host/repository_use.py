# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How much of a repository is used, as far as that can be seen without reading it."""

from __future__ import annotations

import os
import typing as t

from ..repository.catalog import Backup
from .repository_settings import RepositorySettings
from .run_history import RepositoryFacts


def of_repository(settings: RepositorySettings, found: t.Sequence[Backup] | None) -> RepositoryFacts:
    """Return what is known of a repository; `found` are the backups of one job there, None: it does not answer."""
    stored = sum(_stored(backup) for backup in found or ())
    size, free = _capacity(settings.path) if settings.path and found is not None else (None, None)
    return RepositoryFacts(settings.name, found is not None, stored, size, free)


def _stored(backup: Backup) -> int:
    """Return what was written for a backup; a manifest that cannot be read is not counted."""
    return backup.manifest.figure("stored_bytes") if backup.manifest is not None else 0


def _capacity(path: str) -> tuple[int | None, int | None]:
    """Return size and free bytes of the file system under a folder, free as for everybody but root."""
    try:
        facts = os.statvfs(path)
    except OSError:
        return None, None
    return facts.f_blocks * facts.f_frsize, facts.f_bavail * facts.f_frsize
