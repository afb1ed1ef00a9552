# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""When a five-field cron expression comes next, in a time zone."""

from __future__ import annotations

import dataclasses
import datetime as dt
import typing as t
import zoneinfo

from ..errors import UsageError

_UTC = dt.timezone.utc
_MINUTE = dt.timedelta(minutes=1)
_DAY = dt.timedelta(days=1)
# The longest pause between two days of a calendar that an expression can name: 29 February, from 2096 to 2104.
_MOST_DAYS = 8 * 366 + 1
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_FIELDS: tuple[tuple[str, int, int, tuple[str, ...]], ...] = (
    ("minute", 0, 59, ()),
    ("hour", 0, 23, ()),
    ("day of the month", 1, 31, ()),
    ("month", 1, 12, _MONTHS),
    ("day of the week", 0, 7, _WEEKDAYS),  # 0 and 7 are Sunday
)


@dataclasses.dataclass(frozen=True)
class _Expression:
    """The values of each field, and which of them begin with a star."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]  # 0 is Sunday
    is_fixed: bool  # neither minute nor hour begins with a star
    takes_either_day: bool  # both fields of days are limited: one of them is enough

    def has_day(self, day: dt.date) -> bool:
        """Say whether something is to be done on a day."""
        in_month, in_week = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        is_wanted = (in_month or in_week) if self.takes_either_day else (in_month and in_week)
        return is_wanted and day.month in self.months


@dataclasses.dataclass(frozen=True)
class Schedule:
    """When a job is run. Raises UsageError for what never comes."""

    cron: str  # five fields, as in crontab(5)
    timezone: str = "UTC"  # a name of the IANA database

    def __post_init__(self) -> None:
        if next_after(self.cron, self.timezone, dt.datetime(2026, 1, 1, tzinfo=_UTC)) is None:
            raise UsageError(f"Cannot use the schedule {self.cron!r}", "no day is like that", "correct day and month")

    def next_after(self, moment: dt.datetime) -> dt.datetime:
        """Return when the next run begins after `moment`, in UTC."""
        return next_after(self.cron, self.timezone, moment) or moment


def next_after(expression: str, zone: str, moment: dt.datetime) -> dt.datetime | None:
    """Return the first time after `moment` that an expression names in a zone, in UTC; None for one that never comes.

    Where clocks are put forward, a run at a fixed time that is left out begins when the left-out time is over; where
    they are put back, it begins the first time only. Runs with a star in the minute or hour follow the wall clock: they
    are not made up for, and begin in both hours (cron(8) on Debian, "Daylight Saving Time"). Raises UsageError.
    """
    wanted, place = _parsed(expression), zone_of(zone)
    day = moment.astimezone(place).date() - _DAY
    for _count in range(_MOST_DAYS + 2):
        if wanted.has_day(day):
            later = [each for each in _moments(wanted, day, place) if each > moment]
            if later:
                return min(later)
        day += _DAY
    return None


def zone_of(name: str) -> dt.tzinfo:
    """Return a time zone; UTC is known also where the system has no database of them. Raises UsageError."""
    if name == "UTC":
        return _UTC
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise UsageError(
            f"Cannot use the time zone {name!r}",
            "this host does not know it",
            "write it like Europe/Berlin; install tzdata",
        ) from error


def _moments(wanted: _Expression, day: dt.date, place: dt.tzinfo) -> t.Iterator[dt.datetime]:
    """Yield the moments of a day, in UTC and in no order."""
    for hour in wanted.hours:
        for minute in wanted.minutes:
            local = dt.datetime(day.year, day.month, day.day, hour, minute)
            first, second = (local.replace(tzinfo=place, fold=fold).astimezone(_UTC) for fold in (0, 1))
            if first.astimezone(place).replace(tzinfo=None) == local:
                yield first
                if not wanted.is_fixed:
                    yield second
            elif wanted.is_fixed:
                yield _end_of_gap(place, second, first)


def _end_of_gap(place: dt.tzinfo, before: dt.datetime, after: dt.datetime) -> dt.datetime:
    """Return the moment at which the clocks of a zone are put forward; it lies between two others."""
    offset = before.astimezone(place).utcoffset()
    while after - before > _MINUTE:
        middle = before + (after - before) / 2
        middle = middle.replace(second=0, microsecond=0)
        if middle <= before:
            break
        if middle.astimezone(place).utcoffset() == offset:
            before = middle
        else:
            after = middle
    return after


def _parsed(expression: str) -> _Expression:
    texts = expression.split()
    if len(texts) != len(_FIELDS):
        raise _refused(expression, f"it has {len(texts)} fields")
    minutes, hours, days, months, weekdays = (_values(expression, text, *field) for text, field in zip(texts, _FIELDS))
    return _Expression(
        minutes,
        hours,
        days,
        months,
        frozenset(day % 7 for day in weekdays),
        is_fixed=not any(text.startswith("*") for text in texts[:2]),
        takes_either_day=not (texts[2].startswith("*") or texts[4].startswith("*")),
    )


def _values(expression: str, text: str, what: str, least: int, most: int, names: tuple[str, ...]) -> frozenset[int]:
    found: set[int] = set()
    for part in text.split(","):
        values = _range(part, least, most, names)
        if not values:
            raise _refused(expression, f"{part!r} is no {what}")
        found.update(values)
    return frozenset(found)


def _range(text: str, least: int, most: int, names: tuple[str, ...]) -> range:
    """Return what one of the parts between commas means; nothing for what means nothing."""
    span, slash, step_text = text.partition("/")
    first_text, dash, last_text = (str(least), "-", str(most)) if span == "*" else span.partition("-")
    first = _number(first_text, names, least)
    last = _number(last_text, names, least) if dash else first
    step = _number(step_text) if slash else 1
    if first is None or last is None or not step or not least <= first <= last <= most or (slash and not dash):
        return range(0)
    return range(first, last + 1, step)


def _number(text: str, names: tuple[str, ...] = (), least: int = 0) -> int | None:
    if text.lower() in names:
        return names.index(text.lower()) + least
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 2 else None


def _refused(expression: str, cause: str) -> UsageError:
    remedy = "write minute, hour, day, month and weekday, such as 17 2 * * *"
    return UsageError(f"Cannot use the schedule {expression!r}", cause, remedy)
