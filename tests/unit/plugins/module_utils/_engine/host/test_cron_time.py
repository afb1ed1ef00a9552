# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import datetime as dt

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import UsageError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host import timing
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.cron_expression import parse_cron
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.cron_time import Schedule, next_after
from hypothesis import given, settings
from hypothesis import strategies as st

UTC = dt.timezone.utc
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia", "Asia/Kolkata")


def utc(text):
    return dt.datetime.strptime(text, "%Y-%m-%d %H:%M").replace(tzinfo=UTC)


def after(expression, zone, moment):
    found = next_after(expression, zone, utc(moment))
    return found.strftime("%Y-%m-%d %H:%M") if found else None


@pytest.mark.parametrize(
    ("expression", "moment", "expected"),
    [
        ("17 2 * * *", "2026-11-20 02:16", "2026-11-20 02:17"),
        ("17 2 * * *", "2026-11-20 02:17", "2026-11-21 02:17"),
        ("* * * * *", "2026-11-20 23:59", "2026-11-21 00:00"),
        ("*/15 * * * *", "2026-11-20 10:31", "2026-11-20 10:45"),
        ("5-10/2 3,5 * * *", "2026-11-20 03:08", "2026-11-20 03:09"),
        ("5-10/2 3,5 * * *", "2026-11-20 03:09", "2026-11-20 05:05"),
        ("0 0 1 1 *", "2026-11-20 00:00", "2027-01-01 00:00"),
        ("0 0 1 JAN *", "2026-11-20 00:00", "2027-01-01 00:00"),
        ("0 8 * * mon-fri", "2026-11-20 09:00", "2026-11-23 08:00"),  # Friday
        ("0 8 * * 0", "2026-11-20 09:00", "2026-11-22 08:00"),
        ("0 8 * * 7", "2026-11-20 09:00", "2026-11-22 08:00"),
        ("0 8 * * sun", "2026-11-20 09:00", "2026-11-22 08:00"),
        ("0 8 13 * 5", "2026-11-14 09:00", "2026-11-20 08:00"),  # the 13th, or a Friday
        ("0 8 13 * 5", "2026-12-11 09:00", "2026-12-13 08:00"),
        ("0 8 */2 * 1", "2026-11-20 09:00", "2026-11-23 08:00"),  # a star: an odd day that is a Monday
        ("0 0 31 * *", "2026-11-20 00:00", "2026-12-31 00:00"),
        ("0 0 29 2 *", "2026-11-20 00:00", "2028-02-29 00:00"),
        ("0 0 29 2 *", "2096-03-01 00:00", "2104-02-29 00:00"),
        ("0 0 29 2 */7", "2060-03-01 00:00", None),  # not within eight years
    ],
)
def test_the_next_time_is_what_crontab_says(expression, moment, expected):
    assert after(expression, "UTC", moment) == expected


@pytest.mark.parametrize(
    ("expression", "zone", "moment", "expected"),
    [
        ("30 2 * * *", "Europe/Berlin", "2026-01-15 00:00", "2026-01-15 01:30"),
        ("30 2 * * *", "Europe/Berlin", "2026-07-15 00:00", "2026-07-15 00:30"),
        # 29 March 2026: from 2:00 to 3:00 at 01:00 UTC. 2:30 is left out, and made up for at 3:00.
        ("30 2 * * *", "Europe/Berlin", "2026-03-28 12:00", "2026-03-29 01:00"),
        ("30 2 * * *", "Europe/Berlin", "2026-03-29 01:00", "2026-03-30 00:30"),
        # A star in the hour follows the clock on the wall.
        ("30 * * * *", "Europe/Berlin", "2026-03-29 00:30", "2026-03-29 01:30"),
        # 25 October 2026: from 3:00 back to 2:00 at 01:00 UTC. 2:30 comes twice and counts once.
        ("30 2 * * *", "Europe/Berlin", "2026-10-24 12:00", "2026-10-25 00:30"),
        ("30 2 * * *", "Europe/Berlin", "2026-10-25 00:30", "2026-10-26 01:30"),
        ("30 * * * *", "Europe/Berlin", "2026-10-25 00:30", "2026-10-25 01:30"),
        ("*/30 2 * * *", "Europe/Berlin", "2026-10-25 00:30", "2026-10-25 01:00"),
        # Half an hour only: 4 October 2026, 2:00 to 2:30 at 15:30 UTC of the day before.
        ("15 2 * * *", "Australia/Lord_Howe", "2026-10-03 15:00", "2026-10-03 15:30"),
        # A zone that left a whole day out, 30 December 2011: it was over at 10:00 UTC.
        ("0 12 30 12 *", "Pacific/Apia", "2011-12-29 23:00", "2011-12-30 10:00"),
        ("0 12 * * *", "Pacific/Apia", "2011-12-30 10:00", "2011-12-30 22:00"),
        ("0 9 * * 1", "Asia/Kolkata", "2026-11-20 00:00", "2026-11-23 03:30"),
        # It is Monday there while it is Sunday in UTC, and the other way round.
        ("30 0 * * 1", "Europe/Berlin", "2026-11-22 12:00", "2026-11-22 23:30"),
        ("30 22 * * 0", "America/New_York", "2026-11-22 12:00", "2026-11-23 03:30"),
    ],
)
def test_clocks_that_are_put_forward_and_back_are_followed_as_cron_does(expression, zone, moment, expected):
    assert after(expression, zone, moment) == expected


@given(
    st.sampled_from(ZONES),
    st.integers(0, 59),
    st.sampled_from(["*", "*/7", "2", "1-3", "0,23"]),
    st.datetimes(dt.datetime(2026, 1, 1), dt.datetime(2027, 12, 31)),
)
@settings(max_examples=60, deadline=None)
def test_no_moment_between_is_one_that_the_clock_on_the_wall_shows(zone, minute, hours, moment):
    place, moment = timing.zone_of(zone), moment.replace(second=0, microsecond=0, tzinfo=UTC)
    found = next_after(f"{minute} {hours} * * *", zone, moment)
    wanted = parse_cron(f"{minute} {hours} * * *")
    assert found > moment
    seen = moment + dt.timedelta(minutes=1)
    shown = set()
    while seen < found:
        local = seen.astimezone(place)
        if local.minute == minute and local.hour in wanted.hours and (wanted.is_by_the_hour or local.fold == 0):
            shown.add(seen)
        seen += dt.timedelta(minutes=1)
    assert shown == set()


@pytest.mark.parametrize(
    "expression",
    [
        "",
        "17 2 * *",
        "17 2 * * * *",
        "60 2 * * *",
        "17 24 * * *",
        "17 2 0 * *",
        "17 2 * 13 *",
        "17 2 * * 8",
        "17 2 * * monday",
        "5-1 2 * * *",
        "*/0 2 * * *",
        "5/2 2 * * *",
        "1,,2 2 * * *",
        "+1 2 * * *",
        "１ 2 * * *",
        "@daily",
        "17 2 * * *%",
    ],
)
def test_what_cron_does_not_understand_is_refused(expression):
    with pytest.raises(UsageError):
        next_after(expression, "UTC", utc("2026-11-20 00:00"))


def test_a_schedule_that_never_comes_and_a_zone_that_nobody_knows_are_refused():
    with pytest.raises(UsageError, match="no day is like that"):
        Schedule("0 0 30 2 *")
    for zone in ("Europe/Atlantis", "../../etc/passwd", ""):
        with pytest.raises(UsageError, match="there is none of this name"):
            Schedule("0 0 * * *", zone)


def test_utc_needs_no_database_of_zones(monkeypatch):
    monkeypatch.setattr(timing.zoneinfo, "ZoneInfo", None)
    assert Schedule("17 2 * * *").next_after(utc("2026-11-20 00:00")) == utc("2026-11-20 02:17")
