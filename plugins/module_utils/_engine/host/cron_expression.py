# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import datetime as dt
import typing as t
from dataclasses import dataclass

from ..errors import UsageError

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_LONGEST = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)  # days of each month
_SYSTEMD_DAYS = ("Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat")  # systemd.time(7), "Calendar events"


class _Field(t.NamedTuple):
    name: str
    least: int
    most: int
    names: t.Sequence[str] = ()  # other words for least, least + 1 …


# crontab(5); 7 is Sunday too.
_FIELDS = (
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day of the month", 1, 31),
    _Field("month", 1, 12, _MONTHS),
    _Field("day of the week", 0, 7, _DAYS),
)


@dataclass(frozen=True)
class CronExpression:
    """The five fields of a line in a crontab (crontab(5)), without its extensions such as `@daily`."""

    text: str
    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]  # 0 is Sunday
    either_day: bool  # both kinds of days are restricted: one of them is enough

    @property
    def is_by_the_hour(self) -> bool:
        """Say whether it runs in every or every n-th hour or minute, which changes of the clocks do not touch: cron(8)
        of Debian, "Daylight Saving Time".
        """
        return any(word.startswith("*") for word in self.text.split()[:2])

    def has_day(self, day: dt.date) -> bool:
        """Say whether it runs on a day."""
        by_day, by_weekday = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        return day.month in self.months and (by_day or by_weekday if self.either_day else by_day and by_weekday)

    def matches(self, moment: dt.datetime) -> bool:
        """Say whether the minute that a wall clock shows is one of those."""
        return moment.minute in self.minutes and moment.hour in self.hours and self.has_day(moment.date())

    def calendar(self, timezone: str) -> tuple[str, ...]:
        """Return the same as values of OnCalendar (systemd.time(7)); two where either kind of day is enough."""
        months = _listed(self.months, 1, 12)
        time = f"{_listed(self.hours, 0, 23)}:{_listed(self.minutes, 0, 59)}:00 {timezone}"
        weekdays = ",".join(_SYSTEMD_DAYS[day] for day in sorted(self.weekdays))
        prefix = "" if len(self.weekdays) == 7 else f"{weekdays} "
        days = _listed(self.days, 1, 31)
        if self.either_day:
            return (f"*-{months}-{days} {time}", f"{prefix}*-{months}-* {time}")
        return (f"{prefix}*-{months}-{days} {time}",)


def parse_cron(text: str) -> CronExpression:
    """Return the five fields that a text has. Raises UsageError, for days that no month has too: it would never run."""
    words = text.split()
    if len(words) != len(_FIELDS):
        raise _refusal(text, f"it has {len(words)} fields, not 5")
    found = [_parsed(text, field, word) for field, word in zip(_FIELDS, words)]
    weekdays = frozenset(day % 7 for day in found[4])
    # An asterisk at the begin, also of `*/2`, makes a day no restriction (crontab(5), and cron does the same).
    either = not words[2].startswith("*") and not words[4].startswith("*")
    if not either and all(min(found[2]) > _LONGEST[month - 1] for month in found[3]):
        raise _refusal(text, "no day is like that")
    return CronExpression(" ".join(words), found[0], found[1], found[2], found[3], weekdays, either)


def _parsed(text: str, field: _Field, word: str) -> frozenset[int]:
    found: set[int] = set()
    for part in word.split(","):
        span, slash, step_text = part.partition("/")
        step = _number(text, field, step_text, 1, field.most) if slash else 1
        low_text, dash, high_text = span.partition("-")
        if span == "*":
            low, high = field.least, field.most - (1 if field.most == 7 else 0)
        else:
            low = _value(text, field, low_text)
            high = _value(text, field, high_text) if dash else low
            if slash and not dash:
                raise _refusal(text, f"its {field.name} {part!r} has a step without a range")
        if low > high:
            raise _refusal(text, f"its {field.name} {part!r} ends before it begins")
        found.update(range(low, high + 1, step))
    return frozenset(found)


def _value(text: str, field: _Field, word: str) -> int:
    if word.lower() in field.names:
        return field.least + field.names.index(word.lower())
    return _number(text, field, word, field.least, field.most)


def _number(text: str, field: _Field, word: str, least: int, most: int) -> int:
    if not word.isascii() or not word.isdigit() or not least <= int(word) <= most:
        raise _refusal(text, f"its {field.name} has {word!r}, which is not {least} to {most}")
    return int(word)


def _refusal(text: str, cause: str) -> UsageError:
    remedy = "write minute, hour, day of the month, month and day of the week, such as 17 2 * * 1-5"
    return UsageError(f"Cannot use the cron expression {text!r}", cause, remedy)


def _listed(values: frozenset[int], least: int, most: int) -> str:
    if len(values) == most - least + 1:
        return "*"
    return ",".join(f"{value:02d}" for value in sorted(values))
