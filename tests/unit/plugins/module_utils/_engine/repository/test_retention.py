# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Retention by example: what stays, why, and when it will go."""

from __future__ import annotations

import dataclasses
import datetime as dt
import typing as t
import zoneinfo

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine import clock
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import UsageError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository import retention
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.keep import Keep, keep_from
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.retention import Candidate

BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")
NOON = dt.datetime(2026, 11, 20, 12, 0, tzinfo=clock.UTC)
DAY = dt.timedelta(days=1)


def at(*times: str, **fields: t.Any) -> list[Candidate]:
    """Return proved backups of some UTC times such as `2026-11-20 02:00`."""
    compact = [time.replace("-", "").replace(":", "").replace(" ", "T") + "00Z" for time in times]
    return [Candidate(f"{each}-{n:06x}", **{"is_proved": True, **fields}) for n, each in enumerate(compact)]


def days(count: int, hour: int = 2) -> list[Candidate]:
    """Return a backup of each day up to NOON's, the oldest first."""
    moments = [NOON.replace(hour=hour) - n * DAY for n in reversed(range(count))]
    return [Candidate(f"{clock.compact(moment)}-000000", is_proved=True) for moment in moments]


def kept(found: t.Sequence[Candidate], keep: Keep, now: dt.datetime = NOON, zone: dt.tzinfo = clock.UTC) -> list[str]:
    return [each.id[:13] for each in retention.plan(found, keep, now, zone, force=True).kept]


def test_the_newest_of_each_period_stays() -> None:
    found = at("2026-11-18 02:00", "2026-11-18 22:00", "2026-11-19 02:00", "2026-11-19 22:00", "2026-11-20 02:00")
    assert kept(found, Keep(daily=3, verified_min=1)) == ["20261118T2200", "20261119T2200", "20261120T0200"]
    assert kept(found, Keep(monthly=3, verified_min=1)) == ["20261120T0200"]
    assert kept(found, Keep(hourly=2, verified_min=1)) == ["20261119T2200", "20261120T0200"]


def test_periods_without_a_backup_are_not_counted() -> None:
    found = at("2024-01-31 02:00", "2025-06-01 02:00", "2026-11-20 02:00")
    assert len(kept(found, Keep(daily=3, verified_min=1))) == 3


def test_a_day_is_one_of_the_time_zone() -> None:
    found = at("2026-11-19 22:30", "2026-11-19 23:30", "2026-11-20 22:30")
    assert kept(found, Keep(daily=9, verified_min=1), NOON + DAY) == ["20261119T2330", "20261120T2230"]
    assert kept(found, Keep(daily=9, verified_min=1), NOON + DAY, BERLIN) == ["20261119T2230", "20261120T2230"]


def test_the_hour_that_comes_twice_in_autumn_is_two_hours() -> None:
    found = at("2026-10-25 00:30", "2026-10-25 01:30")  # both are half past two in Berlin
    assert len(kept(found, Keep(hourly=2, verified_min=1), NOON, BERLIN)) == 2
    assert len(kept(found, Keep(daily=2, verified_min=1), NOON, BERLIN)) == 1


def test_the_days_around_new_year_are_of_one_week() -> None:
    found = at("2026-12-31 02:00", "2027-01-01 02:00", "2027-01-04 02:00")
    now = dt.datetime(2027, 1, 5, tzinfo=clock.UTC)
    assert kept(found, Keep(weekly=3, verified_min=1), now) == ["20270101T0200", "20270104T0200"]
    plan = retention.plan(found, Keep(weekly=3, verified_min=1), now, force=True)
    assert plan.kept[0].reasons == ("weekly 2026-W53",)


def test_within_counts_from_the_newest_proved_backup_and_not_from_now() -> None:
    found = days(10)
    keep = Keep(within=3 * DAY, verified_min=1)
    assert len(kept(found, keep)) == 4
    assert len(kept(found, keep, NOON + 400 * DAY)) == 4


def test_backups_that_failed_take_no_place_of_good_ones() -> None:
    good, bad = days(6)[:3], [dataclasses.replace(each, is_proved=False, has_failed=True) for each in days(6)[3:]]
    found = retention.plan([*good, *bad], Keep(last=2, verified_min=1), NOON, force=True)
    assert {each.id for each in found.kept} == {each.id for each in (*good[1:], *bad)}  # none newer is proved


def test_where_nothing_was_ever_proved_nothing_goes() -> None:
    found = [dataclasses.replace(each, is_proved=False) for each in days(20)]
    assert len(kept(found, Keep(last=1))) == 20


def test_reasons_say_all_rules_that_keep_a_backup() -> None:
    plan = retention.plan(days(5), Keep(last=1, daily=2, monthly=1), NOON, force=True)
    assert [each.reasons for each in plan.kept] == [
        ("daily 2026-11-19", "one of the last 2 proved"),
        ("last 1", "daily 2026-11-20", "monthly 2026-11", "one of the last 2 proved"),
    ]


@pytest.mark.parametrize(
    "keep",
    [
        Keep(last=5, verified_min=1),
        Keep(daily=7, verified_min=1),
        Keep(within=9 * DAY, verified_min=1),
        Keep(daily=3, weekly=4),
        Keep(last=2, monthly=3),
        Keep(verified_min=4, yearly=1),
    ],
    ids=lambda keep: keep.words,
)
def test_backups_go_about_when_it_was_foreseen(keep: Keep) -> None:
    """Day after day a backup is made, proved and pruned; the last word on each was right to the day."""
    there = days(40)
    foreseen: dict[str, dt.datetime | None] = {}
    went: dict[str, dt.datetime] = {}
    for number in range(120):
        now = NOON + number * DAY
        plan = retention.plan(there, keep, now, BERLIN, force=True)
        went.update((backup_id, now) for backup_id in plan.expired)
        if number == 0:
            went.clear()
            foreseen = {each.id: each.until for each in plan.kept}
        there = [each for each in there if each.id not in plan.expired]
        there.append(Candidate(f"{clock.compact(NOON.replace(hour=2) + (number + 1) * DAY)}-000000", is_proved=True))
    assert foreseen
    for backup_id, until in foreseen.items():
        assert until is not None
        gone = went.get(backup_id)
        late = NOON + 118 * DAY
        assert (gone is None and until > late) or (gone is not None and abs(gone - until) <= 1.5 * DAY), backup_id


@pytest.mark.parametrize(("zone", "minute"), [("UTC", 0), ("Europe/Berlin", 0), ("Asia/Kolkata", 30)])
def test_what_goes_by_the_hour_goes_when_an_hour_of_the_time_zone_begins(zone: str, minute: int) -> None:
    found = at("2026-11-20 06:35", "2026-11-20 07:20", "2026-11-20 08:05", "2026-11-20 08:50")
    plan = retention.plan(found, Keep(hourly=2, verified_min=1), NOON, zoneinfo.ZoneInfo(zone), force=True)
    assert [each.id for each in plan.kept][1:] == [found[-1].id]
    assert plan.kept[0].until == dt.datetime(2026, 11, 20, 9, minute, tzinfo=clock.UTC)


def test_what_cannot_be_foreseen_has_no_date() -> None:
    first, second, third = days(3)
    found = [dataclasses.replace(first, hold="an audit"), second, dataclasses.replace(third, is_proved=False)]
    plan = retention.plan(found, Keep(last=1, verified_min=1), NOON)
    assert [each.until is None for each in plan.kept] == [True, False, True]
    assert plan.next_removal == plan.kept[1].until


def test_a_hold_ends_when_it_says() -> None:
    first, *rest = days(4)
    held = dataclasses.replace(first, hold="an audit", held_until=NOON + DAY)
    assert len(kept([held, *rest], Keep(last=3))) == 4
    assert len(kept([held, *rest], Keep(last=3), NOON + 2 * DAY)) == 3


def test_an_id_without_a_time_stays() -> None:
    strange = Candidate("20261399T000000Z-000000", is_proved=True)
    assert "20261399T0000" in kept([*days(5), strange], Keep(last=1))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"last": 3}, "last 3, verified_min 2"),
        ({"max_backups": "3", "retention_days": 14}, "last 3, within 14d, verified_min 2"),
        ({"within": "36h", "daily": "7", "verified_min": 1}, "within 36h, daily 7, verified_min 1"),
        ({"within": "8w", "last": None, "yearly": ""}, "within 56d, verified_min 2"),
    ],
)
def test_rules_are_read_as_they_are_written(values: dict[str, t.Any], words: str) -> None:
    keep = keep_from(values)
    assert keep is not None and keep.words == words


def test_no_rules_keep_everything() -> None:
    assert keep_from({}) is None
    assert keep_from({"last": None}) is None
    assert not retention.plan(days(50), None, NOON, force=True).expired


@pytest.mark.parametrize(
    "values",
    [
        {"last": 0},
        {"last": 1.5},
        {"last": True},
        {"last": "many"},
        {"last": -3},
        {"dayly": 7},
        {"within": "forever"},
        {"within": 14},
        {"retention_days": 0},
        {"max_backups": 0},
        {"last": 1, "max_backups": 1},
        {"last": 1, "verified_min": 0},
        {"verified_min": 3},
        {"within": "0d"},
    ],
    ids=str,
)
def test_rules_that_mean_nothing_or_everything_are_refused(values: dict[str, t.Any]) -> None:
    with pytest.raises(UsageError):
        keep_from(values)
