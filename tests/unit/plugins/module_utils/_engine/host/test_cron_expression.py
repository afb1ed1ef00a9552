# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import datetime as dt

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import UsageError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.cron_expression import parse_cron

FRIDAY = dt.datetime(2026, 11, 20, 2, 17)


@pytest.mark.parametrize(
    ("text", "is_then"),
    [
        ("17 2 * * *", True),
        ("18 2 * * *", False),
        ("* * * * *", True),
        ("*/17 */2 * * *", True),
        ("7-20/10 2 * * *", True),
        ("0,17 2 20 nov *", True),
        ("17 2 * * fri", True),
        ("17 2 * * 1-5", True),
        ("17 2 * * 0,7", False),
        ("17 2 1 * 5", True),  # either kind of day
        ("17 2 20 * 1", True),
        ("17 2 1 * 1", False),
        ("17 2 */2 * 5", False),  # begins with an asterisk, so both must fit (the 20th is no odd day)
        ("17 2 20 12 *", False),
        ("17 2 31 2,11 5", True),  # every Friday
        ("17 2 29 2 *", False),
    ],
)
def test_a_minute_is_one_of_those_that_an_expression_means(text, is_then):
    assert parse_cron(text).matches(FRIDAY) is is_then


@pytest.mark.parametrize("day", [0, 7])
def test_sunday_has_two_numbers(day):
    assert parse_cron(f"0 0 * * {day}").matches(dt.datetime(2026, 11, 22))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("17 2 * *", "4 fields"),
        ("@daily", "1 fields"),
        ("60 2 * * *", "'60', which is not 0 to 59"),
        ("1 24 * * *", "hour"),
        ("1 2 0 * *", "day of the month"),
        ("1 2 * 13 *", "month"),
        ("1 2 * * 8", "day of the week"),
        ("5-3 2 * * *", "ends before it begins"),
        ("*/0 2 * * *", "'0'"),
        ("5/10 2 * * *", "a step without a range"),
        (", 2 * * *", "''"),
        ("1 2 * * x", "'x'"),
        ("² 2 * * *", "'²'"),
        ("0 0 30-31 2 *", "no day is like that"),
        ("0 0 31 4,6,9 *", "no day is like that"),
    ],
)
def test_what_cron_would_not_understand_is_refused_with_the_field(text, words):
    with pytest.raises(UsageError, match="Cannot use the cron expression") as refused:
        parse_cron(text)
    assert words in refused.value.cause


@pytest.mark.parametrize(
    ("text", "calendar"),
    [
        ("17 2 * * *", ("*-*-* 02:17:00 Europe/Berlin",)),
        ("* * * * *", ("*-*-* *:*:00 Europe/Berlin",)),
        ("*/20 1-3 * * *", ("*-*-* 01,02,03:00,20,40:00 Europe/Berlin",)),
        ("0 4 1 1,7 *", ("*-01,07-01 04:00:00 Europe/Berlin",)),
        ("0 4 * * 1-5", ("Mon,Tue,Wed,Thu,Fri *-*-* 04:00:00 Europe/Berlin",)),
        ("0 4 * * 7", ("Sun *-*-* 04:00:00 Europe/Berlin",)),
        ("0 4 13 * 5", ("*-*-13 04:00:00 Europe/Berlin", "Fri *-*-* 04:00:00 Europe/Berlin")),
    ],
)
def test_systemd_is_told_the_same(text, calendar):
    assert parse_cron(text).calendar("Europe/Berlin") == calendar
