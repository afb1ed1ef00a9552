# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
import datetime as dt
import types

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository import catalog, layout
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.deletion_plan import DeletionPlan
from ansible_collections.lifeboat.recovery.plugins.modules import backup_prune

JOB = "db1-shop"
LAST_TWO = types.MappingProxyType({"last": 2})


@pytest.fixture
def local(new_repository):
    return new_repository("local")


@pytest.fixture
def site(new_repository):
    return new_repository("site")


@pytest.fixture
def run(run_module, local):
    def run(check_mode=False, keep=LAST_TWO, **options):
        places = options.pop("places", [(local, keep)])
        repositories = [{**place.options, "keep": rules and dict(rules)} for place, rules in places]
        return run_module(backup_prune, check_mode, **{"job": JOB, "repositories": repositories, **options})

    return run


def ids(repository):
    return [backup.id for backup in catalog.backups(repository.store, JOB)]


def backups(repository, count):
    return sorted(repository.back_up().id for _number in range(count))


def make_old(repository, days=2):
    """Make all plans older than they are."""
    for entry in list(repository.store.entries(layout.plans(JOB))):
        plan = DeletionPlan.from_bytes(repository.store.get(entry.key).data, entry.key)
        older = dataclasses.replace(plan, created=plan.created - dt.timedelta(days=days), is_struck=True)
        repository.store.put(entry.key, older.to_bytes())


def test_expired_backups_go_and_their_files_a_day_later(run, local):
    made = backups(local, 4)
    end = run(force=True)
    (found,) = end["repositories"]
    assert not end.failed and end["changed"]
    assert found["removed"] == found["expired"] == made[:2]
    assert [each["id"] for each in found["kept"]] == made[2:] == ids(local)
    assert found["deleted_files"] == 0 and found["garbage_files"] == 8
    assert not run()["changed"]
    make_old(local)
    later = run()["repositories"][0]
    assert later["deleted_files"] == later["due_files"] == 8 and later["deleted_bytes"] == found["garbage_bytes"]
    assert not any(name.startswith(f"data/{JOB}/{gone}") for name in local.files() for gone in made[:2])
    again = run()
    assert not again["changed"] and again["diff"]["before"] == again["diff"]["after"] == {"local": made[2:]}


def test_check_mode_says_what_would_go_and_why_the_rest_stays_and_writes_nothing(run, local):
    made = backups(local, 4)
    before = local.files()
    planned = run(check_mode=True, force=True)
    (found,) = planned["repositories"]
    assert planned["changed"] and local.files() == before
    assert (found["expired"], found["removed"], found["garbage_files"]) == (made[:2], [], 8)
    assert found["kept"][-1]["reasons"] == ["last 2", "one of the last 2 proved"]
    assert planned["diff"] == {"before": {"local": made}, "after": {"local": made[2:]}}
    assert run(force=True)["diff"] == planned["diff"]


def test_more_than_half_needs_force_and_check_mode_shows_what_it_is(run, local):
    made = backups(local, 5)
    for check_mode in (True, False):
        end = run(check_mode)
        assert end.failed and end["guard"] == "mass_removal" and end["exit_code"] == 3
        assert end["repositories"][0]["expired"] == made[:3] and not end["changed"]
    assert ids(local) == made


def test_each_repository_keeps_by_its_own_rules(run, local, site):
    here, there = backups(local, 4), backups(site, 4)
    end = run(places=[(local, LAST_TWO), (site, None)], force=True)
    assert ids(local) == here[2:] and ids(site) == there
    assert [each["keep"] for each in end["repositories"]] == ["last 2, verified_min 2", ""]


def test_one_repository_that_fails_does_not_keep_the_others_from_it(run, local, site):
    made = backups(local, 3)
    (site.folder / "lifeboat.json").unlink()
    end = run(places=[(site, LAST_TWO), (local, LAST_TWO)])
    assert end.failed and end["guard"] == "repository" and end["changed"]
    assert ids(local) == made[1:]
    assert end["repositories"][1]["removed"] == made[:1] and "lifeboat.json" in end["repositories"][0]["problem"]


def test_backups_that_nobody_proved_stay_behind_none_that_is_proved(run, local):
    made = sorted(local.back_up(proved=False).id for _number in range(4))
    end = run(keep={"last": 1})
    assert not end.failed and not end["changed"] and ids(local) == made
    assert end["repositories"][0]["kept"][0]["reasons"][-1] == "newer than every proved one"


def test_plain_words_mean_the_same(run, local):
    backups(local, 3)
    found = run(check_mode=True, keep={"max_backups": 2})["repositories"][0]
    assert found["keep"] == "last 2, verified_min 2" and len(found["expired"]) == 1
    found = run(check_mode=True, keep={"retention_days": 30})["repositories"][0]
    assert found["keep"] == "within 30d, verified_min 2" and found["expired"] == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"keep": {"last": 0}}, "it keeps nothing"),
        ({"keep": {"verified_min": 2}}, "it keeps nothing"),
        ({"keep": {"last": 2, "verified_min": 0}}, "verified_min is 0"),
        ({"keep": {"last": -1}}, "last is -1"),
        ({"keep": {"within": "30"}}, "within is '30'"),
        ({"keep": {"last": 2, "max_backups": 2}}, "mean the same"),
        ({"timezone": "Nowhere"}, "Nowhere"),
        ({"wait_s": -1}, "wait_s is -1"),
        ({"job": "../x"}, "../x"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_touched(run, local, options, words):
    made = backups(local, 3)
    end = run(**options)
    assert end.failed and words in end["msg"]
    assert ids(local) == made
