# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
import yaml
from ansible_collections.lifeboat.recovery.plugins.filter.utc_time import FilterModule

utc_time = FilterModule().filters()["utc_time"]


@pytest.mark.parametrize(
    "written",
    [
        "2026-11-20T08:30:00Z",
        '"2026-11-20T08:30:00Z"',
        "2026-11-20 08:30:00Z",
        "2026-11-20T10:30:00+02:00",
        '"2026-11-20T10:30:00+02:00"',
        "2026-11-20T08:30:00.250000Z",
    ],
)
def test_a_time_is_the_same_with_quotes_and_without_and_in_every_zone(written):
    assert utc_time(yaml.safe_load(written)) == "2026-11-20T08:30:00Z"


@pytest.mark.parametrize("written", ["", "yesterday", "2026-11-20", "2026-11-20T08:30:00", "20261120T083000Z-0a1b2c"])
def test_what_does_not_say_a_moment_is_left_for_others_to_refuse(written):
    found = yaml.safe_load(written) if written else written
    assert utc_time(found) == str(found)
