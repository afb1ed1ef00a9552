# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
import typing as t

from ..stream.compression import SUFFIXES
from ..verify.restore import DrillPlace
from .cron_time import Schedule
from .fields import Fields
from .notify_config import Notify, notify_from, schedule_from


@dataclasses.dataclass(frozen=True)
class JobSettings:
    """A job of the configuration, as far as jobs of all kinds are alike."""

    name: str
    kind: str
    repositories: tuple[str, ...]  # the primary one first
    proof: str = "content"
    compression: str = "zstd"
    allow_partial: bool = False
    run_as: str = ""  # user of this host; empty: whoever runs the command
    rpo_hours: float | None = None  # objective: how old the newest backup may be; None: no objective
    notify: Notify | None = None  # None: as for all jobs
    schedule: Schedule | None = None  # None: not known here

    @property
    def drill(self) -> DrillPlace:
        """Return where restores are tried out."""
        return DrillPlace()


def shared_from(
    name: str, kind: str, fields: Fields, repositories: t.Collection[str], proofs: t.Sequence[str]
) -> dict[str, t.Any]:
    """Return the values of the fields of JobSettings. Raises UsageError."""
    chosen = fields.texts("repositories")
    unknown = [each for each in chosen if each not in repositories]
    if unknown:
        known = ", ".join(sorted(repositories)) or "none"
        raise fields.refuse("repositories", f"names {unknown[0]}, which is not there", f"there are: {known}")
    objectives = fields.section("objectives")
    found = {
        "name": name,
        "kind": kind,
        "repositories": chosen,
        "proof": fields.choice("proof", proofs, "content"),
        "compression": fields.choice("compression", tuple(SUFFIXES), "zstd"),
        "allow_partial": fields.flag("allow_partial", False),
        "run_as": fields.text("run_as"),
        "rpo_hours": objectives.hours("rpo_hours"),
        "notify": notify_from(fields),
        "schedule": schedule_from(fields),
    }
    objectives.hours("rto_hours")  # how long a recovery may take: nothing that runs on the host judges by it
    objectives.finish()
    return found
