# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""When a five-field cron expression comes next, in a time zone."""

from __future__ import annotations

import dataclasses
import datetime as dt
import typing as t

from ..errors import UsageError
from .cron_expression import CronExpression, parse_cron
from .timing import zone_of

_UTC = dt.timezone.utc
_MINUTE = dt.timedelta(minutes=1)
_DAY = dt.timedelta(days=1)
# The longest pause between two days of a calendar that an expression can name: 29 February, from 2096 to 2104.
_MOST_DAYS = 8 * 366 + 1


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
    wanted, place = parse_cron(expression), zone_of(zone)
    day = moment.astimezone(place).date() - _DAY
    for _count in range(_MOST_DAYS + 2):
        if wanted.has_day(day):
            later = [each for each in _moments(wanted, day, place) if each > moment]
            if later:
                return min(later)
        day += _DAY
    return None


def _moments(wanted: CronExpression, day: dt.date, place: dt.tzinfo) -> t.Iterator[dt.datetime]:
    """Yield the moments of a day, in UTC and in no order."""
    for hour in wanted.hours:
        for minute in wanted.minutes:
            local = dt.datetime(day.year, day.month, day.day, hour, minute)
            first, second = (local.replace(tzinfo=place, fold=fold).astimezone(_UTC) for fold in (0, 1))
            if first.astimezone(place).replace(tzinfo=None) == local:
                yield first
                if wanted.is_by_the_hour:
                    yield second
            elif not wanted.is_by_the_hour:
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
