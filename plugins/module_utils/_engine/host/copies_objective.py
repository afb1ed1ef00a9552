# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How many copies of a backup there are to be, on how many kinds of media, and how many off site (docs/copies.md)."""

from __future__ import annotations

import dataclasses
import typing as t

from ..errors import UsageError
from .place import Site

KEYS = ("total", "media", "offsite")
_MOST = 100


@dataclasses.dataclass(frozen=True)
class CopiesObjective:
    """What is wanted at least; 0: nothing is asked for."""

    total: int = 0  # repositories that have a good copy
    media: int = 0  # different media that these are on
    offsite: int = 0  # those of them that are off site


@dataclasses.dataclass(frozen=True)
class CopiesCount:
    """What is there of a backup; unreadable and damaged copies do not count."""

    total: int
    media: int
    offsite: int


def objective_from(values: t.Mapping[str, t.Any], where: str = "copies") -> CopiesObjective | None:
    """Return the objective that an operator wrote, None for none at all. Raises UsageError."""
    given = {key: value for key, value in values.items() if value is not None and value != ""}
    unknown = sorted(str(key) for key in given if key not in KEYS)
    if unknown:
        raise UsageError(f"Cannot use {where}", f"it has {unknown[0]}", f"known are {', '.join(KEYS)}")
    if not given:
        return None
    return CopiesObjective(**{key: _whole(value, key, where) for key, value in given.items()})


def counted(names: t.Collection[str], sites: t.Mapping[str, Site]) -> CopiesCount:
    """Count the good copies of a backup that lie in repositories of these names."""
    found = [sites.get(name, Site()) for name in names]
    return CopiesCount(len(found), len({site.media for site in found}), sum(site.is_offsite for site in found))


def lacking(
    objective: CopiesObjective, backup_id: str, names: t.Sequence[str], sites: t.Mapping[str, Site]
) -> list[str]:
    """Say what a backup lacks that has good copies in repositories of these names; `sites` are those of the job."""
    found, problems = counted(names, sites), []
    if found.total < objective.total:
        are = f"is 1 good copy of {backup_id}" if found.total == 1 else f"are {found.total} good copies of {backup_id}"
        where = f" ({', '.join(names)})" if names else ""
        more = f"; the job has {len(sites)} repositories" if len(sites) < objective.total else ""
        problems.append(f"there {are}{where}, and the objective is {objective.total}{more}")
    if found.media < objective.media:
        media = sorted({sites.get(name, Site()).media for name in names})
        where = f" ({', '.join(media)})" if media else ""
        all_media = len({site.media for site in sites.values()})
        more = f"; the repositories of the job are on {all_media}" if all_media < objective.media else ""
        problems.append(
            f"good copies of {backup_id} are on {found.media} media{where}, and the objective is "
            f"{objective.media}{more}"
        )
    if found.offsite < objective.offsite:
        able = sum(site.is_offsite for site in sites.values())
        more = f"; {able or 'no'} repositories of the job are off site" if able < objective.offsite else ""
        problems.append(
            f"{found.offsite or 'no'} good copies of {backup_id} are off site, and the objective is "
            f"{objective.offsite}{more}"
        )
    return problems


def _whole(value: t.Any, key: str, where: str) -> int:
    text = "" if isinstance(value, bool) else str(value).strip()
    if not (text.isascii() and text.isdigit()) or int(text) > _MOST:
        raise UsageError(f"Cannot use {where}", f"{key} is {value!r}", f"use a whole number from 0 to {_MOST}")
    return int(text)
