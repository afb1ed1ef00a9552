# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Until when stored files are locked: arithmetic alone; tests/functional/test_object_lock.py has a real server."""

from __future__ import annotations

import datetime as dt

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.lock_policy import LockPolicy
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.object_lock import (
    extended,
    promised,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.store import NOT_RETAINED, Retention

NOW = dt.datetime(2026, 11, 20, 12, tzinfo=dt.timezone.utc)
TODAY = dt.datetime(2026, 11, 20, tzinfo=dt.timezone.utc)
DAY = dt.timedelta(days=1)
USUAL = LockPolicy()


@pytest.mark.parametrize(
    ("until", "policy", "wanted"),
    [
        (TODAY + 30 * DAY, USUAL, TODAY + 30 * DAY),
        (NOW + 30 * DAY, USUAL, TODAY + 31 * DAY),  # the day is over, then it may go
        (None, USUAL, TODAY + 15 * DAY),
        (TODAY + 900 * DAY, LockPolicy(most=400 * DAY), TODAY + 401 * DAY),
        (None, LockPolicy(most=10 * DAY, rolling=5 * DAY), TODAY + 6 * DAY),
    ],
)
def test_a_promise_ends_at_a_midnight_after_the_backup_may_go(until, policy, wanted):
    assert promised(until, NOW, policy) == wanted


def test_what_is_not_locked_or_whose_lock_has_ended_is_locked_as_asked():
    wanted = Retention("COMPLIANCE", TODAY + 30 * DAY)
    assert extended(NOT_RETAINED, TODAY + 30 * DAY, NOW, USUAL) == wanted
    assert extended(Retention("GOVERNANCE", NOW - DAY), TODAY + 30 * DAY, NOW, USUAL) == wanted


def test_a_lock_that_ends_before_the_promise_is_extended_by_however_little():
    found = Retention("COMPLIANCE", TODAY + 29 * DAY)
    assert extended(found, TODAY + 30 * DAY, NOW, USUAL) == Retention("COMPLIANCE", TODAY + 30 * DAY)


@pytest.mark.parametrize("days", [30, 31, 3000])
def test_a_lock_that_lasts_long_enough_stays_as_it_is(days):
    assert extended(Retention("COMPLIANCE", TODAY + days * DAY), TODAY + 30 * DAY, NOW, USUAL) is None
    assert extended(Retention("GOVERNANCE", TODAY + days * DAY), TODAY + 30 * DAY, NOW, USUAL) is None


def test_the_mode_of_a_lock_that_has_not_ended_stays():
    found = extended(Retention("GOVERNANCE", TODAY + 3 * DAY), TODAY + 30 * DAY, NOW, USUAL)
    assert found == Retention("GOVERNANCE", TODAY + 30 * DAY)
    found = extended(Retention("COMPLIANCE", TODAY + 3 * DAY), TODAY + 30 * DAY, NOW, LockPolicy("GOVERNANCE"))
    assert found == Retention("COMPLIANCE", TODAY + 30 * DAY)


def test_what_is_promised_until_a_time_that_is_over_is_not_locked():
    assert extended(NOT_RETAINED, TODAY, NOW, USUAL) is None


@pytest.mark.parametrize("policy", [USUAL, LockPolicy(rolling=30 * DAY), LockPolicy(most=400 * DAY)])
def test_a_lock_that_moves_with_the_day_is_not_renewed_every_day_and_never_falls_short_by_more_than_a_week(policy):
    """Run once a day for 200 days with a backup that stays for ever."""
    until = None if policy.most is None else NOW + 5000 * DAY
    found, changes, now = NOT_RETAINED, 0, NOW
    for _day in range(200):
        wanted = promised(until, now, policy)
        later = extended(found, wanted, now, policy)
        if later is not None:
            found, changes = later, changes + 1
        assert wanted - found.until <= 7 * DAY
        assert found.until - now >= (wanted - now) * 3 / 4
        now += DAY
    assert 200 / 9 < changes < 200 / 3
