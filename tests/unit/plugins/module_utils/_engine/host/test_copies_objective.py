# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import UsageError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.copies_objective import (
    CopiesObjective,
    lacking,
    objective_from,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.place import Site

ID = "20261120T020000Z-0a1b2c"
SITES = {"local": Site("disk"), "nas": Site("disk"), "cloud": Site("s3", True)}
THREE_TWO_ONE = CopiesObjective(3, 2, 1)


def test_three_copies_on_two_media_and_one_off_site_lack_nothing():
    assert lacking(THREE_TWO_ONE, ID, ["local", "nas", "cloud"], SITES) == []


def test_more_than_is_asked_for_is_no_problem():
    assert lacking(CopiesObjective(1, 1, 0), ID, ["local", "nas", "cloud"], SITES) == []


def test_what_is_missing_is_named():
    assert lacking(THREE_TWO_ONE, ID, ["local", "nas"], SITES) == [
        f"there are 2 good copies of {ID} (local, nas), and the objective is 3",
        f"good copies of {ID} are on 1 media (disk), and the objective is 2",
        f"no good copies of {ID} are off site, and the objective is 1",
    ]


def test_a_job_whose_repositories_can_never_do_is_told_so():
    assert lacking(THREE_TWO_ONE, ID, ["local"], {"local": Site("disk")}) == [
        f"there is 1 good copy of {ID} (local), and the objective is 3; the job has 1 repositories",
        f"good copies of {ID} are on 1 media (disk), and the objective is 2; the repositories of the job are on 1",
        f"no good copies of {ID} are off site, and the objective is 1; no repositories of the job are off site",
    ]


def test_no_objective_is_no_objective_and_texts_are_numbers():
    assert objective_from({}) is None
    assert objective_from({"total": None}) is None
    assert objective_from({"total": "3", "offsite": 1}) == CopiesObjective(3, 0, 1)


@pytest.mark.parametrize("values", [{"copies": 3}, {"total": -1}, {"total": True}, {"total": "many"}, {"total": 1.5}])
def test_what_means_nothing_is_refused(values):
    with pytest.raises(UsageError):
        objective_from(values)
