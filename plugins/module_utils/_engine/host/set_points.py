# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The recovery points of a set, as its repositories have them together."""

from __future__ import annotations

import dataclasses
import typing as t

from .. import clock
from ..errors import DamagedError, LifeboatError
from ..repository import catalog, layout, recovery_point
from ..repository.catalog import Backup
from ..repository.recovery_point import Member, Point
from .config import Config
from .place import Place
from .run_as import Document
from .set_settings import SetSettings


@dataclasses.dataclass(frozen=True)
class Points:
    """What the repositories of a set have of it."""

    having: t.Mapping[str, tuple[Place, ...]]  # id of the point → repositories that have it; oldest first
    reached: tuple[Place, ...]
    unreachable: t.Mapping[str, str]  # name of the repository → why

    @property
    def newest_first(self) -> list[str]:
        """Return the ids; those of the future come last."""
        return sorted(
            self.having, key=catalog.age_order(self.having, [place.store for place in self.reached]), reverse=True
        )


def points(config: Config, settings: SetSettings) -> Points:
    """List the points in all repositories that answer."""
    places, refused = config.usable_places(settings)
    unreachable, having, reached = dict(refused), dict[str, list[Place]](), []
    for place in places:
        try:
            place.identity()
            for point_id in recovery_point.ids(place.store, settings.name):
                having.setdefault(point_id, []).append(place)
            reached.append(place)
        except LifeboatError as error:
            unreachable[place.name] = error.cause or error.problem
    known = {point_id: tuple(having[point_id]) for point_id in sorted(having)}
    return Points(known, tuple(reached), unreachable)


def listing(config: Config, settings: SetSettings, wanted: str = "all") -> Document:
    """Return points with their members and how they stand, oldest first; `wanted`: all, latest, or an id.

    Raises UsageError for what is no id.
    """
    if wanted not in ("all", "latest"):
        layout.checked_id(wanted)
    known = points(config, settings)
    ids = list(known.having)
    if wanted != "all":
        ids = known.newest_first[:1] if wanted == "latest" else [each for each in ids if each == wanted]
    reader = _Reader(settings.name, known)
    described = [reader.described(each, known.having[each]) for each in ids]
    return {
        "job": settings.name,
        "kind": settings.kind,
        "points": described,
        "reached": [place.name for place in known.reached if place.name not in reader.unreachable],
        "unreachable": dict(reader.unreachable),
    }


def newest(config: Config, settings: SetSettings) -> Document:
    """Return the newest point and the newest good one, as `listing` has them, and how many there are; None for none."""
    known = points(config, settings)
    reader = _Reader(settings.name, known)
    latest: Document | None = None
    good: Document | None = None
    for point_id in known.newest_first:
        found = reader.described(point_id, known.having[point_id])
        latest = latest or found
        if found["good"]:
            good = found
            break
    return {"latest": latest, "good": good, "count": len(known.having), "unreachable": dict(reader.unreachable)}


def choose(config: Config, settings: SetSettings, wanted: str) -> Document:
    """Return the point that an operator means: an id, latest, or latest_good. Raises LifeboatError."""
    if wanted == "latest_good":
        seen = newest(config, settings)
        found, count, away = seen["good"], seen["count"], seen["unreachable"]
    else:
        listed = listing(config, settings, wanted)
        found, away = (listed["points"] or [None])[-1], listed["unreachable"]
        count = len(listed["points"])
    if found is None:
        causes = [f"{count} points are known" if count else "no point is known"]
        causes += [f"{name} cannot be used: {why}" for name, why in away.items()]
        raise LifeboatError(
            f"Cannot find recovery point {wanted} of {settings.name}",
            "; ".join(causes),
            "look at the list of points, verify the newest one, or make the repositories available",
        )
    return {**found, "unreachable": away}


class _Reader:
    """Looks points and their members up; backups that several points or copies share are asked for once."""

    def __init__(self, name: str, known: Points) -> None:
        self._name = name
        self._places = known.reached
        self._known: dict[tuple[str, str, str], Backup | None] = {}
        self.unreachable = dict(known.unreachable)  # and those that fail while they are looked into: name → why

    def described(self, point_id: str, having: t.Sequence[Place]) -> Document:
        """Return a point as results show it."""
        problems = []
        point: Point | None = None
        for place in having:
            try:
                point = point or recovery_point.find(place.store, self._name, point_id)
            except (DamagedError, LifeboatError) as error:
                problems.append(f"{place.name}: {error.cause or error.problem}")
        repositories = [place.name for place in having]
        if point is None:
            lacking: Document = {"started": None, "from": None, "until": None, "members": [], "references": []}
            standing = {"whole": False, "proved": False, "good": False}
            return {"id": point_id, "repositories": repositories, **lacking, **standing, "problems": problems}
        members = [self._member(each) for each in point.members]
        is_whole, is_proved = all(each["present"] for each in members), all(each["proved"] for each in members)
        problems += [lacking_words(each) for each in members if not each["present"]]
        problems += [f"{each['job']}: backup {each['backup']} is flagged" for each in members if each["flagged"]]
        problems += point.problems
        first, last = point.spans
        return {
            "id": point_id,
            "repositories": repositories,
            "started": clock.to_text(point.started),
            "from": clock.to_text(first),
            "until": clock.to_text(last),
            "members": members,
            "references": [
                {name: getattr(each, name) for name in ("name", "database", "objects", "keys", "missing", "problem")}
                for each in point.references
            ],
            "whole": is_whole,
            "proved": is_proved,
            "good": is_whole and is_proved and not problems,
            "problems": problems,
        }

    def _member(self, member: Member) -> Document:
        copies = [(place, self._backup(place, member)) for place in self._places]
        found = [(place.name, backup) for place, backup in copies if backup is not None and backup.manifest is not None]
        damaged = [place.name for place, backup in copies if backup is not None and backup.manifest is None]
        unknown = {**self.unreachable, **dict.fromkeys(damaged, "its manifest cannot be read")}
        good = [backup.standing.proved_at for _name, backup in found if backup.is_good]
        proved_at = max((moment for moment in good if moment is not None), default=None)
        return {
            "job": member.job,
            "kind": member.kind,
            "backup": member.backup,
            "present": [name for name, _backup in found],
            "unknown": [{"repository": name, "reason": why} for name, why in unknown.items()],
            "proved": bool(good),
            "proved_at": clock.to_text(proved_at) if proved_at else None,
            "flagged": bool(found) and all(backup.is_flagged for _name, backup in found),
        }

    def _backup(self, place: Place, member: Member) -> Backup | None:
        key = (place.name, member.job, member.backup)
        if key not in self._known:
            try:
                self._known[key] = catalog.find(place.store, member.job, member.backup)
            except LifeboatError as error:
                self.unreachable.setdefault(place.name, error.cause or error.problem)
                self._known[key] = None
        return self._known[key]


def lacking_words(member: Document) -> str:
    """Return what to say of a member that no repository shows: it is gone only if all of them have said so."""
    words = f"{member['job']}: backup {member['backup']}"
    if not member["unknown"]:
        return f"{words} is gone"
    away = "; ".join(f"{each['repository']}: {each['reason']}" for each in member["unknown"])
    return f"{words} was not found, and not all repositories could be asked ({away})"
