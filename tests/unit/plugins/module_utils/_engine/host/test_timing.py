# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import datetime as dt

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import UsageError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.cron_expression import parse_cron
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.timing import (
    INTERVALS,
    are_same,
    is_due,
    minutes_to_look,
    stable_delay,
    timing_of,
    zone_of,
)

UTC = dt.timezone.utc
TODAY = dt.datetime(2026, 11, 20, tzinfo=UTC)


def timing(**wishes):
    given = {"every": "", "at": "", "day": "", "cron": "", "timezone": "UTC", "seed": "db1 db1-shop", **wishes}
    return timing_of(**given)


def minutes_of(text, zone, begin, hours):
    """Return the minutes, in UTC, in which an expression is due."""
    cron, place = parse_cron(text), zone_of(zone)
    moments = (begin + dt.timedelta(minutes=minute) for minute in range(hours * 60))
    return [moment.strftime("%d %H:%M") for moment in moments if is_due(cron, place, moment)]


@pytest.mark.parametrize("every", INTERVALS)
def test_the_time_of_an_interval_is_always_the_same_and_another_one_for_others(every):
    assert timing(every=every) == timing(every=every)
    seeds = {timing(every=every, seed=f"db{number} shop").cron.text for number in range(200)}
    assert len(seeds) > 40


def test_spread_times_are_at_night_and_on_days_that_every_month_has():
    for number in range(500):
        found = [timing(every=every, seed=str(number)).cron for every in ("daily", "weekly", "monthly")]
        assert all(cron.hours < frozenset(range(6)) for cron in found)
        assert max(found[2].days) <= 28


@pytest.mark.parametrize(
    ("wishes", "text"),
    [
        ({"every": "hourly", "at": ":05"}, "5 * * * *"),
        ({"every": "daily", "at": "02:17"}, "17 2 * * *"),
        ({"every": "daily", "at": "23:00"}, "0 23 * * *"),
        ({"every": "weekly", "at": "4:30", "day": "Sunday"}, "30 4 * * 0"),
        ({"every": "weekly", "at": "4:30", "day": "sat"}, "30 4 * * 6"),
        ({"every": "monthly", "at": "00:00", "day": "28"}, "0 0 28 * *"),
        ({"cron": " 1  2 * * * "}, "1 2 * * *"),
    ],
)
def test_a_time_that_is_given_is_kept(wishes, text):
    assert timing(**wishes).cron.text == text


@pytest.mark.parametrize(
    "wishes",
    [
        {},
        {"every": "daily", "cron": "1 2 * * *"},
        {"cron": "1 2 * * *", "at": "02:00"},
        {"every": "yearly"},
        {"every": "daily", "day": "monday"},
        {"every": "daily", "at": "24:00"},
        {"every": "daily", "at": "2:7"},
        {"every": "daily", "at": "137"},  # what YAML makes of 2:17 without quotes
        {"every": "hourly", "at": "02:17"},
        {"every": "weekly", "day": "someday"},
        {"every": "monthly", "day": "29"},
        {"every": "monthly", "day": "monday"},
        {"every": "daily", "timezone": "Europe/Nowhere"},
        {"every": "daily", "timezone": "../etc/passwd"},
    ],
)
def test_a_schedule_that_nobody_can_mean_is_refused(wishes):
    with pytest.raises(UsageError):
        timing(**wishes)


def test_a_day_in_a_time_zone_is_that_of_its_clocks():
    begin = dt.datetime(2026, 7, 1, tzinfo=UTC)
    assert minutes_of("17 2 * * *", "Europe/Berlin", begin, 24) == ["01 00:17"]
    assert minutes_of("17 2 * * *", "Asia/Kolkata", begin, 24) == ["01 20:47"]
    assert minutes_of("0 20 * * tue", "America/New_York", begin, 24) == ["01 00:00"]  # still Tuesday there


def test_what_falls_into_the_hour_that_is_left_out_comes_as_much_later():
    begin = dt.datetime(2026, 3, 29, tzinfo=UTC)  # at 01:00 UTC clocks go from 02:00 to 03:00
    assert minutes_of("30 2 * * *", "Europe/Berlin", begin, 6) == ["29 01:30"]
    assert minutes_of("30 3 * * *", "Europe/Berlin", begin, 6) == ["29 01:30"]
    assert minutes_of("30 4 * * *", "Europe/Berlin", begin, 6) == ["29 02:30"]


def test_what_falls_into_the_hour_that_comes_twice_is_done_once():
    begin = dt.datetime(2026, 10, 24, 22, tzinfo=UTC)  # at 01:00 UTC on the 25th clocks go from 03:00 to 02:00
    assert minutes_of("30 2 * * *", "Europe/Berlin", begin, 8) == ["25 00:30"]


@pytest.mark.parametrize("begin", [dt.datetime(2026, 3, 28, 23, tzinfo=UTC), dt.datetime(2026, 10, 24, 23, tzinfo=UTC)])
def test_what_is_done_every_hour_is_done_every_hour_whatever_clocks_do(begin):
    assert [each[-2:] for each in minutes_of("5 * * * *", "Europe/Berlin", begin, 6)] == ["05"] * 6


@pytest.mark.parametrize(
    ("zones", "minutes"),
    [
        (("Europe/Berlin", "UTC"), "17"),
        (("Asia/Kolkata", "UTC"), "2,17,32,47"),
        (("UTC", "Australia/Lord_Howe"), "2,17,32,47"),  # half an hour of summer time
        (("UTC", "Nowhere/AtAll"), "2,17,32,47"),
    ],
)
def test_cron_looks_in_every_minute_in_which_it_may_be_due(zones, minutes):
    assert minutes_to_look(parse_cron("17 2 * * *"), zones, TODAY) == minutes


def test_cron_looks_every_minute_for_what_may_be_due_in_any():
    assert minutes_to_look(parse_cron("* * * * *"), ("Asia/Kolkata", "UTC"), TODAY) == "*"


@pytest.mark.parametrize(
    "zone", ["Asia/Kolkata", "Asia/Kathmandu", "Europe/Berlin", "Australia/Lord_Howe", "America/St_Johns"]
)
def test_no_due_minute_is_missed_by_looking(zone):
    cron = parse_cron("17 2 * * *")
    looked = {int(minute) for minute in minutes_to_look(cron, (zone, "UTC"), TODAY).split(",")}
    due = minutes_of("17 2 * * *", zone, TODAY, 24 * 14)
    assert len(due) == 14
    assert {int(each[-2:]) for each in due} <= looked


def test_names_of_utc_are_one_time_zone():
    assert are_same("UTC", "Etc/UTC")
    assert are_same("Europe/Berlin", "Europe/Berlin")
    assert not are_same("Europe/Berlin", "UTC")


def test_a_stable_delay_is_below_its_limit_and_spread():
    assert all(0 <= stable_delay(str(number), 600) <= 600 for number in range(500))
    assert len({stable_delay(str(number), 600) for number in range(500)}) > 200
    assert stable_delay("a", 600) == stable_delay("a", 600)
    assert stable_delay("a", 0) == 0
