# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
import difflib
import typing as t

from ..errors import UsageError
from ..repository.keep import KEYS, Keep, keep_from
from ..stream.compression import SUFFIXES
from ..verify.drill_place import DrillPlace
from .copies_objective import CopiesObjective, objective_from
from .cron_time import Schedule
from .fields import Fields
from .notify_config import Notify, notify_from, schedule_from
from .timing import zone_of


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
    copies: CopiesObjective | None = None  # objective: how many copies there are to be, and where; None: no objective
    notify: Notify | None = None  # None: as for all jobs
    schedule: Schedule | None = None  # None: not known here
    keep: t.Mapping[str, Keep] = dataclasses.field(default_factory=dict)  # by repository; none: all stays
    timezone: str = "UTC"  # whose days, weeks and so on `keep` means

    @property
    def has_members(self) -> bool:
        """Say whether its backups lie under the names of several jobs, one for each of its parts."""
        return False

    def member(self, _name: str) -> JobSettings | None:
        """Return the job of one of its parts, None when it has none of this name."""
        return None

    @property
    def drill(self) -> DrillPlace:
        """Return where restores are tried out."""
        return DrillPlace()

    @property
    def reader(self) -> str:
        """Return the user of this host who can look into the repositories; empty: whoever runs the command."""
        return self.run_as


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
    schedule = schedule_from(fields)
    found = {
        "name": name,
        "kind": kind,
        "repositories": chosen,
        "proof": fields.choice("proof", proofs, "content"),
        "compression": fields.choice("compression", tuple(SUFFIXES), "zstd"),
        "allow_partial": fields.flag("allow_partial", False),
        "run_as": fields.text("run_as"),
        "rpo_hours": objectives.hours("rpo_hours"),
        "copies": _copies_from(objectives),
        "notify": notify_from(fields),
        "schedule": schedule,
        "keep": _keep_from(fields, chosen),
        "timezone": _timezone_from(fields, schedule),
    }
    objectives.hours("rto_hours")  # how long a recovery may take: nothing that runs on the host judges by it
    objectives.finish()
    return found


def _copies_from(objectives: Fields) -> CopiesObjective | None:
    try:
        return objective_from(objectives.mapping("copies"))
    except UsageError as error:
        raise objectives.refuse("copies", f"is wrong: {error.cause}", error.remedy) from error


def _keep_from(fields: Fields, repositories: t.Sequence[str]) -> dict[str, Keep]:
    """Return what each repository keeps: the same rules for all of them, or rules by the names of repositories."""
    given = fields.mapping("keep")
    is_for_all = any(key in KEYS for key in given)
    rules = {name: given for name in repositories} if is_for_all else given
    found: dict[str, Keep] = {}
    for name, values in rules.items():
        if name not in repositories:
            known = ", ".join(repositories)
            if not isinstance(values, dict):
                near = difflib.get_close_matches(name, KEYS, 1)
                hint = f"did you mean {near[0]}? " if near else ""
                raise fields.refuse("keep", f"has {name}, which is no rule", f"{hint}known are {', '.join(KEYS)}")
            raise fields.refuse("keep", f"names {name}, which is no repository of the job", f"it has {known}")
        if not isinstance(values, dict):
            raise fields.refuse("keep", f"has no rules for {name}", 'write it as {"daily": 7, "weekly": 4}')
        try:
            keep = keep_from(values, f"keep of {name}")
        except UsageError as error:
            raise fields.refuse("keep", f"is wrong for {name}: {error.cause}", error.remedy) from error
        if keep is not None:
            found[name] = keep
    return found


def _timezone_from(fields: Fields, schedule: Schedule | None) -> str:
    name = fields.text("timezone") or (schedule.timezone if schedule is not None else "UTC")
    try:
        zone_of(name)
    except UsageError as error:
        raise fields.refuse("timezone", f"is {name!r}: {error.cause}", error.remedy) from error
    return name
