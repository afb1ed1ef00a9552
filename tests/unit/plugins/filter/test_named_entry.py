# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.lifeboat.recovery.plugins.filter.named_entry import FilterModule

named_entry = FilterModule().filters()["named_entry"]
JOBS = [
    {"name": "appdb", "login_host": "", "login_port": None, "exact": False, "jobs": 0, "exclude": []},
    {"name": "media", "bucket": "media"},
]


def test_what_is_empty_is_left_out_and_what_is_false_is_not():
    assert named_entry(JOBS, "appdb") == {"name": "appdb", "exact": False, "jobs": 0, "exclude": []}
    assert named_entry(JOBS, "media") == JOBS[1]


def test_a_name_that_is_not_there_is_told_with_those_that_are():
    with pytest.raises(AnsibleFilterError, match=r"Cannot find app: these names are known: appdb, media"):
        named_entry(JOBS, "app")
    with pytest.raises(AnsibleFilterError, match=r"known: nothing"):
        named_entry([], "app")
