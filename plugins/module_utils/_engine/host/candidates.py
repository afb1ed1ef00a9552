# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
import typing as t

from ..errors import LifeboatError
from ..repository import catalog
from ..repository.catalog import Backup, MergedBackup
from ..repository.layout import checked_id, checked_job
from .place import Place, twins
from .recalling import Recalling, of_nothing

_SHOWN = 3  # problems of a copy


@dataclasses.dataclass(frozen=True)
class Candidate:
    """One copy of a backup that may be used."""

    place: Place
    backup: Backup


@dataclasses.dataclass(frozen=True)
class Holdings:
    """What several repositories have of a job."""

    job: str
    found: t.Mapping[str, list[Backup]]  # name of the repository → its backups, oldest first
    unreachable: t.Mapping[str, str]  # name of the repository → why
    twins: t.Mapping[str, str] = dataclasses.field(default_factory=dict)  # names → the other name of the repository

    def merged(self) -> list[catalog.MergedBackup]:
        return catalog.merged(self.found)


def holdings(job: str, places: t.Sequence[Place], recalling: Recalling = of_nothing) -> Holdings:
    """List the backups of a job in all repositories that answer; the others are named with the reason.

    `recalling` gives what this host remembers of a repository, for who only looks. Raises UsageError for what cannot
    be the name of a job.
    """
    checked_job(job)
    found: dict[str, list[Backup]] = {}
    unreachable: dict[str, str] = {}
    for place in places:
        try:
            place.identity()
            with recalling(place, job) as recall:
                found[place.name] = catalog.backups(place.store, job, recall=recall)
        except LifeboatError as error:
            unreachable[place.name] = error.cause or error.problem
    answering = [place for place in places if place.name in found]
    return Holdings(job, found, unreachable, twins(answering) if len(answering) > 1 else {})


def candidates(known: Holdings, places: t.Sequence[Place], wanted: str) -> list[Candidate]:
    """Return the copies to try, best first, for an id, `latest` or `latest_good`.

    Of one backup, copies that are proved come before others, then nearer repositories (those named first) before
    farther ones. For `latest_good` older good backups follow the newest. What is not authentic is never meant but by
    its id, and where that is allowed: raises GuardRefusal (`unsigned`). Raises LifeboatError when there is none.
    """
    rows = meant(known.merged(), places, wanted)
    if wanted not in ("latest", "latest_good"):
        for row in rows:
            catalog.require_usable([backup for _name, backup in row.copies if backup.manifest is not None], known.job)
    by_name = {place.name: place for place in places}
    order = {place.name: number for number, place in enumerate(places)}
    chosen = [
        Candidate(by_name[name], backup)
        for row in rows
        for name, backup in sorted(row.copies, key=lambda copy: (not copy[1].is_good, order[copy[0]]))
        if backup.manifest is not None and backup.is_usable and (wanted != "latest_good" or backup.is_trusted)
    ]
    if not chosen:
        raise _nothing(known, wanted)
    return chosen


def meant(rows: t.Sequence[MergedBackup], places: t.Sequence[Place], wanted: str) -> list[MergedBackup]:
    """Return the backups that an id or `latest` means, or all that `latest_good` may mean, the newest first."""
    if wanted not in ("latest", "latest_good"):
        checked_id(wanted)
        return [row for row in rows if row.id == wanted]
    is_good = wanted == "latest_good"
    found = {row.id: row for row in rows if (row.is_trusted if is_good else row.is_authentic)}
    order = catalog.age_order(found, [place.store for place in places])
    newest_first = [found[each] for each in sorted(found, key=order, reverse=True)]
    return newest_first if is_good else newest_first[:1]


def remarks(known: Holdings, chosen: Backup, places: t.Sequence[Place]) -> list[str]:
    """Say which repositories do not answer, which backups seem to be of the future, and which copies of the chosen one
    are known to be damaged: those come last, or cannot be used at all.
    """
    found = [f"{name} cannot be used: {why}" for name, why in known.unreachable.items()]
    ids = {backup.id for backups in known.found.values() for backup in backups}
    future = sorted(catalog.of_the_future(ids, [place.store for place in places]))
    if future:
        more = f" and {len(future) - 1} more" if len(future) > 1 else ""
        words = "there may be newer ones" if chosen.id in future else "not taken for the newest"
        found.append(f"{future[0]}{more}: of the future, for a clock was ahead then or is behind now; {words}")
    for name, backups in known.found.items():
        for copy in backups:
            if copy.id == chosen.id and copy.has_failed:
                why = "; ".join((*copy.alarms, *copy.standing.problems)[:_SHOWN]) or "its manifest cannot be read"
                found.append(f"the copy of {copy.id} in {name} is known to be damaged: {why}")
    return found


def _nothing(known: Holdings, wanted: str) -> LifeboatError:
    rows = known.merged()
    there = f"{len(rows)} backups are known, {sum(row.is_proved for row in rows)} of them proved"
    there += catalog.flagged_words(sum(row.is_flagged for row in rows))
    away = "".join(f"; {name} cannot be used: {why}" for name, why in known.unreachable.items())
    return LifeboatError(
        f"Cannot find backup {wanted} of {known.job}",
        there + away,
        "look at the list of backups, make the repositories available, or verify backups so that they are proved",
    )
