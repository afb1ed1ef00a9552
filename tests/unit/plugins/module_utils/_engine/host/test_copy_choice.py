# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import datetime as dt
import zoneinfo

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import UsageError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.copy_choice import (
    Narrowing,
    narrowing_from,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.retention import Candidate

UTC = dt.timezone.utc
NOW = dt.datetime(2026, 11, 20, 12, tzinfo=UTC)


def candidate(day, hour=2, proved=True, **more):
    return Candidate(f"{day}T{hour:02d}0000Z-0a1b2c", is_proved=proved, **more)


def days(*candidates):
    return sorted(each.id[:8] for each in candidates)


def chosen(narrowing, found, there=()):
    return sorted(each[:8] for each in narrowing.chosen(found, there, NOW))


def test_without_tier_and_ages_everything_is_chosen():
    found = [candidate("20261001"), candidate("20261120", proved=False)]
    assert chosen(Narrowing(), found) == ["20261001", "20261120"]


def test_of_each_month_the_newest_proved_backup_is_chosen():
    found = [
        candidate("20260901"),
        candidate("20260930"),
        candidate("20261015"),
        candidate("20261031", proved=False),
        candidate("20261120", proved=False),
    ]
    assert chosen(Narrowing("monthly"), found) == ["20260930", "20261015", "20261120"]


def test_a_month_of_which_the_target_has_a_backup_gets_no_other():
    found = [candidate("20261101"), candidate("20261119"), candidate("20261015")]
    assert chosen(Narrowing("monthly"), found, [candidate("20261101")]) == ["20261015", "20261101"]


def test_a_damaged_backup_in_the_target_stands_for_nothing():
    found, broken = [candidate("20261101"), candidate("20261119")], candidate("20261101", proved=False, has_failed=True)
    assert chosen(Narrowing("monthly"), found, [broken]) == ["20261119"]


@pytest.mark.parametrize("more", [{"has_failed": True}, {"alarm": "it was written 2 times"}])
def test_what_failed_or_was_touched_is_never_chosen_for_its_period(more):
    assert chosen(Narrowing("monthly"), [candidate("20261101", proved=False, **more)]) == []


def test_periods_are_those_of_the_time_zone():
    found = [candidate("20261031", 22), candidate("20261031", 23)]
    berlin = zoneinfo.ZoneInfo("Europe/Berlin")
    assert len(Narrowing("monthly").chosen(found, (), NOW)) == 1
    assert len(Narrowing("monthly", zone=berlin).chosen(found, (), NOW)) == 2


def test_ages_leave_out_what_is_younger_and_older():
    found = [candidate(f"202611{day:02d}", 12) for day in (1, 10, 13, 19)]
    assert chosen(Narrowing(min_age=dt.timedelta(7)), found) == ["20261101", "20261110", "20261113"]
    assert chosen(Narrowing(max_age=dt.timedelta(7)), found) == ["20261113", "20261119"]
    assert chosen(Narrowing("yearly", dt.timedelta(7)), found) == ["20261113"]


def test_what_an_operator_wrote_is_understood():
    found = narrowing_from("all", "weekly", "36h", "8w", UTC)
    assert found == Narrowing("weekly", dt.timedelta(hours=36), dt.timedelta(weeks=8), UTC)
    assert narrowing_from("20261120T020000Z-0a1b2c", "", "", None, UTC).is_open


@pytest.mark.parametrize(
    "given",
    [
        ("all", "fortnightly", "", ""),
        ("all", "", "soon", ""),
        ("all", "", "9w", "8w"),
        ("20261120T020000Z-0a1b2c", "daily", "", ""),
        ("20261120T020000Z-0a1b2c", "", "7d", ""),
    ],
)
def test_what_means_nothing_is_refused(given):
    with pytest.raises(UsageError):
        narrowing_from(*given, UTC)
