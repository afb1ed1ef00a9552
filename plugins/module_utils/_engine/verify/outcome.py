# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
import typing as t

from ..repository.proof import FileVerdict


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a verification at one level showed: a verdict per stored file, by the backup that wrote it."""

    level: str
    verdicts: t.Mapping[str, tuple[FileVerdict, ...]]  # id of the writing backup → its files
    report: t.Mapping[str, t.Any] = dataclasses.field(default_factory=dict)  # figures; no names of tables

    @property
    def problems(self) -> tuple[str, ...]:
        """Return a line per file that is not good."""
        return tuple(
            f"{owner}/{verdict.name}: {verdict.problem}"
            for owner, verdicts in self.verdicts.items()
            for verdict in verdicts
            if not verdict.is_good
        )

    @property
    def is_good(self) -> bool:
        return not self.problems
