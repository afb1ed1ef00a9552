# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import datetime as dt
import typing as t

from .. import clock
from . import set_points, tables
from .config import Config
from .reporting import history_file
from .run_as import Document
from .run_history import History
from .set_settings import SetSettings
from .status import JobStatus
from .status_remarks import of_channels, of_ends


def look(config: Config, settings: SetSettings) -> JobStatus:
    """Look at the points of a set and judge; never raises LifeboatError. The caller is the set's reader."""
    file = history_file(config, settings)
    return judge(settings, set_points.newest(config, settings), clock.now(), file.read() if file else None)


def judge(settings: SetSettings, seen: Document, now: dt.datetime, history: History | None = None) -> JobStatus:
    """Say how a set stands by its points (`set_points.newest`) at the moment `now`."""
    latest, good = seen["latest"], seen["good"]
    moment = clock.from_text(latest["from"]) if latest and latest["from"] else None
    age_s = (now - moment).total_seconds() if moment else None
    problems = [f"{name} cannot be used: {why}" for name, why in seen["unreachable"].items()]
    problems += _of_points(settings, latest, good, age_s)
    if history is not None:
        problems += of_ends(history, moment.timestamp() if moment else 0.0, now)
        problems += of_channels(history, now)
    return JobStatus(
        job=settings.name,
        kind=settings.kind,
        id=latest["id"] if latest else "",
        time=moment,
        age_s=round(age_s, 1) if age_s is not None else None,
        rpo_hours=settings.rpo_hours,
        proved_id=good["id"] if good else "",
        proved_at=_proved_at(good),
        copies=tuple(latest["repositories"]) if latest else (),
        repositories=settings.repositories,
        problems=tuple(problems),
        next_run=settings.schedule.next_after(now) if settings.schedule else None,
    )


def _of_points(
    settings: SetSettings, latest: Document | None, good: Document | None, age_s: float | None
) -> t.Iterator[str]:
    if latest is None:
        yield "there is no recovery point"
        return
    if age_s is not None and settings.rpo_hours is not None and age_s > settings.rpo_hours * 3600:
        yield f"the newest point is {tables.duration(age_s)} old, and the objective is {settings.rpo_hours:g} h"
    yield from (f"{latest['id']}: {words}" for words in latest["problems"])
    if latest["whole"] and not latest["proved"]:
        unproved = ", ".join(each["job"] for each in latest["members"] if not each["proved"])
        yield f"{latest['id']}: the backups of {unproved} are not proved"
    if good is None:
        yield "no point has all of its backups, proved"
    for name in settings.repositories:
        if name not in latest["repositories"]:
            yield f"{name} does not have point {latest['id']}"


def _proved_at(good: Document | None) -> dt.datetime | None:
    """Return when the member that was read back first was: since then all of the point may be called proved."""
    times = [each["proved_at"] for each in good["members"] if each["proved_at"]] if good else []
    return clock.from_text(min(times)) if times else None
