# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What tasks say about the copies of a backup."""

from __future__ import annotations

import typing as t

from .._engine.host.backup_run import CopyResult


def copy_answer(copy: CopyResult) -> dict[str, t.Any]:
    """Return what a task says about the backup in one repository."""
    return {
        "repository": copy.repository,
        "primary": copy.is_primary,
        "present": copy.is_present,
        "proved": copy.is_proved,
        "problem": copy.problem,
        "seconds": copy.seconds,
    }


def missing_copies(copies: t.Sequence[CopyResult]) -> list[str]:
    """Return a warning for each copy that is not as it should be."""
    return [f"{copy.repository}: {copy.problem}" for copy in copies if copy.problem]
