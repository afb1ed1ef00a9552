# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import datetime as dt
import hashlib
import typing as t
import zoneinfo
from dataclasses import dataclass

from ..errors import UsageError
from .cron_expression import CronExpression, parse_cron

INTERVALS = ("hourly", "daily", "weekly", "monthly")
UTC_NAMES = frozenset(
    ("UTC", "Etc/UTC", "Etc/UCT", "UCT", "Etc/Universal", "Universal", "Etc/Zulu", "Zulu", "Etc/GMT", "GMT")
)
_DAYS = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
_NIGHT_MINUTES = 6 * 60  # daily, weekly and monthly work is spread from midnight to six
_LAST_DAY = 28  # which every month has
_LONGEST_GAP = dt.timedelta(hours=3)  # no clock was set forward by more in one step, but for moves across the date line
_QUARTER_HOURS = (0, 15, 30, 45)  # all offsets from UTC that are in use are multiples of 15 minutes


@dataclass(frozen=True)
class Timing:
    """When something is due."""

    cron: CronExpression
    timezone: str = "UTC"  # name in the IANA database


def timing_of(every: str, at: str, day: str, cron: str, timezone: str, seed: str) -> Timing:
    """Return when something is due: by a cron expression, or at an interval at a time of its own.

    `at` is `HH:MM` (hourly: `:MM`), `day` the name of a day (weekly) or 1 to 28 (monthly). What is left empty follows
    from `seed`, so that the hosts of a fleet do not all begin at once, and each keeps its time. Raises UsageError.
    """
    zone_of(timezone)
    if bool(cron) == bool(every):
        raise _refusal("it needs either cron, or one of hourly, daily, weekly, monthly", "give one of them")
    if cron:
        if at or day:
            raise _refusal("cron stands beside at or day", "say all in the cron expression")
        return Timing(parse_cron(cron), timezone)
    if every not in INTERVALS:
        raise _refusal(f"the interval is {every!r}", f"use one of {', '.join(INTERVALS)}, or cron")
    if day and every in ("hourly", "daily"):
        raise _refusal(f"it is {every} and has a day", "leave the day out, or make it weekly or monthly")
    spread = int.from_bytes(hashlib.sha256(seed.encode("utf-8")).digest()[:8], "big")
    minute, hour = _time(every, at, spread)
    days = _monthday(day, spread) if every == "monthly" else "*"
    weekday = _weekday(day, spread) if every == "weekly" else "*"
    return Timing(parse_cron(f"{minute} {hour} {days} * {weekday}"), timezone)


def stable_delay(seed: str, most_s: int) -> int:
    """Return a number of seconds from 0 to `most_s` that is always the same for `seed`."""
    return int.from_bytes(hashlib.sha256(f"delay {seed}".encode()).digest()[:8], "big") % (most_s + 1)


def zone_of(name: str) -> dt.tzinfo:
    """Return a time zone by its name in the IANA database. Raises UsageError."""
    if name in UTC_NAMES:
        return dt.timezone.utc
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise UsageError(
            f"Cannot use the time zone {name!r}",
            "there is none of this name here",
            "write it as Europe/Berlin or UTC, and install tzdata",
        ) from error


def is_due(cron: CronExpression, zone: dt.tzinfo, instant: dt.datetime) -> bool:
    """Say whether the minute of `instant` is one of the expression's, by the wall clocks of a time zone.

    When clocks are set forward, what was due in the hour that is left out is due as much later. When they are set
    back, what is due in the hour that comes twice is due the first time only. What runs in every hour, or every n-th,
    follows real time instead.
    """
    local = instant.astimezone(zone)
    if cron.is_by_the_hour:
        return cron.matches(local)
    if local.fold:
        return False
    skipped = _left_out(local, instant, zone)
    return cron.matches(local) or (skipped is not None and cron.matches(skipped))


def minutes_to_look(cron: CronExpression, zones: t.Sequence[str], today: dt.datetime) -> str:
    """Return the minutes field for a cron in the last of `zones` that shall look every hour whether something is due in
    the first."""
    shifts = (0,) if all(_has_whole_hours(name, today) for name in zones) else _QUARTER_HOURS
    minutes = sorted({(minute + shift) % 60 for minute in cron.minutes for shift in shifts})
    return ",".join(str(minute) for minute in minutes) if len(minutes) < 60 else "*"


def are_same(one: str, other: str) -> bool:
    """Say whether two names are known to mean the same time zone."""
    return one == other or (one in UTC_NAMES and other in UTC_NAMES)


def _has_whole_hours(name: str, today: dt.datetime) -> bool:
    try:
        zone = zone_of(name)
    except UsageError:
        return False
    offsets = [(today + dt.timedelta(weeks=weeks)).astimezone(zone).utcoffset() for weeks in range(105)]
    return all(offset is not None and offset.total_seconds() % 3600 == 0 for offset in offsets)


def _left_out(local: dt.datetime, instant: dt.datetime, zone: dt.tzinfo) -> dt.datetime | None:
    """Return what wall clocks would show now if they had not been set forward meanwhile, None if they were not."""
    before = (instant - _LONGEST_GAP).astimezone(zone).utcoffset()
    now = local.utcoffset()
    if before is None or now is None or now <= before:
        return None
    wall = local.replace(tzinfo=None) - (now - before)
    there = wall.replace(tzinfo=zone).astimezone(dt.timezone.utc).astimezone(zone).replace(tzinfo=None)
    return wall if there != wall else None


def _time(every: str, at: str, spread: int) -> tuple[str, str]:
    if not at:
        return str(spread % 60), "*" if every == "hourly" else str(spread % _NIGHT_MINUTES // 60)
    hour, colon, minute = at.partition(":")
    is_time = colon and minute.isdigit() and len(minute) == 2 and int(minute) < 60
    if every == "hourly" and is_time and not hour:
        return str(int(minute)), "*"
    if every != "hourly" and is_time and hour.isdigit() and int(hour) < 24:
        return str(int(minute)), str(int(hour))
    wanted = ":MM, such as :17" if every == "hourly" else "HH:MM, such as 02:17"
    raise _refusal(f"at is {at!r}", f"write {wanted}, in quotes")


def _weekday(day: str, spread: int) -> str:
    if not day:
        return str(spread // _NIGHT_MINUTES % 7)
    found = [number for number, name in enumerate(_DAYS) if day.lower() in (name, name[:3])]
    if not found:
        raise _refusal(f"the day is {day!r}", f"use one of {', '.join(_DAYS)}")
    return str(found[0])


def _monthday(day: str, spread: int) -> str:
    if not day:
        return str(spread // _NIGHT_MINUTES % _LAST_DAY + 1)
    if not day.isdigit() or not 1 <= int(day) <= _LAST_DAY:
        raise _refusal(f"the day is {day!r}", f"use 1 to {_LAST_DAY}: not every month has more")
    return str(int(day))


def _refusal(cause: str, remedy: str) -> UsageError:
    return UsageError("Cannot use this schedule", cause, remedy)
