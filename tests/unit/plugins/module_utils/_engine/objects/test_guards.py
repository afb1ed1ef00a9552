# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects import guards
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.guards import Comparison, Finding


def judged(**found):
    return [
        each.flag for each in guards.judge(Comparison(**{"base_objects": 4000, "gone": 0, "rewritten": 0, **found}))
    ]


@pytest.mark.parametrize(
    ("base", "gone", "is_flagged"),
    [(4000, 1200, True), (4000, 401, True), (4000, 400, False), (500, 101, True), (500, 100, False), (100, 100, False)],
)
def test_a_mass_delete_is_more_than_a_hundred_objects_and_a_tenth(base, gone, is_flagged):
    flags = judged(base_objects=base, gone=gone)
    assert flags == ([f"mass_delete: {gone:,} of {base:,} objects are gone"] if is_flagged else [])


@pytest.mark.parametrize(("had", "is_flagged"), [(101, True), (100, False)])
def test_a_bucket_that_lost_everything_is_a_mass_delete_however_small_its_share(had, is_flagged):
    flags = judged(base_objects=1_000_000, gone=had, emptied={"shop": had, "tiny": 3})
    assert flags == ([f"mass_delete: all {had} objects of 'shop' are gone"] if is_flagged else [])


def test_of_several_emptied_buckets_one_is_named_and_the_others_are_counted():
    flags = judged(base_objects=1_000_000, gone=600, emptied={"b": 200, "a": 200, "c": 200})
    assert flags == ["mass_delete: all 200 objects of 'a' are gone, and 2 more are empty"]


@pytest.mark.parametrize(
    ("base", "rewritten", "is_flagged"),
    [(4000, 801, True), (4000, 800, False), (400, 101, True), (400, 100, False)],
)
def test_a_mass_rewrite_is_more_than_a_hundred_objects_and_a_fifth(base, rewritten, is_flagged):
    flags = judged(base_objects=base, rewritten=rewritten)
    assert flags == ([f"mass_rewrite: {rewritten:,} of {base:,} objects have other content"] if is_flagged else [])


@pytest.mark.parametrize(
    ("rewritten", "sampled", "jumped", "is_flagged"),
    [
        (60, 32, 32, True),
        (60, 32, 17, True),
        (60, 32, 16, False),
        (21, 21, 21, True),
        (20, 20, 20, False),
        (60, 0, 0, False),
    ],
)
def test_an_entropy_jump_is_most_of_what_was_rewritten_and_more_than_twenty(rewritten, sampled, jumped, is_flagged):
    flags = judged(rewritten=rewritten, sampled=sampled, jumped=jumped)
    assert [flag.partition(":")[0] for flag in flags] == (["entropy_jump"] if is_flagged else [])


def test_a_first_backup_is_never_doubted():
    assert judged(base_objects=0) == []


def test_policies_make_flags_warnings_or_nothing():
    found = [Finding("mass_delete", "x"), Finding("mass_rewrite", "y"), Finding("entropy_jump", "z")]
    verdict = guards.by_policy(found, {"mass_rewrite": "warn", "entropy_jump": "ignore"})
    assert (verdict.flags, verdict.warnings) == (("mass_delete: x",), ("mass_rewrite: y",))


def test_a_backup_after_a_flagged_one_inherits_that_whatever_the_policy():
    verdict = guards.by_policy([], {"mass_delete": "ignore"}, "20261120T020000Z-0a1b2c")
    assert verdict.flags == ("follows 20261120T020000Z-0a1b2c",)
    assert guards.guard_of(verdict.flags) == "unacknowledged"


def test_the_guard_of_flags_is_the_first_that_doubts_the_backup_itself():
    assert guards.guard_of(["follows x", "mass_rewrite: y", "entropy_jump: z"]) == "mass_rewrite"
