# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import shutil

import pytest
from ansible_collections.lifeboat.recovery.plugins.modules import recovery_record

KEY = "recoveries/db1-shop/20261120T083100Z-database_corruption.json"
TOLD = {
    "job": "db1-shop",
    "scenario": "database_corruption",
    "host": "db1",
    "begun": "2026-11-20T08:31:00Z",
    "failed_at": "2026-11-20T08:30:00Z",
    "back_at": "2026-11-20T08:31:35.500000Z",
    "finished": "2026-11-20T08:32:00Z",
    "recovery_point": "2026-11-20T08:00:00Z",
    "phases": [{"name": "recover", "seconds": "1.5"}],
    "backup": {"id": "20261120T080000Z-0a1b2c", "repository": "site"},
    "checks": [{"name": "health", "is_good": "yes", "said": "HTTP 200"}],
    "deviations": [""],
    "objectives": {"rpo_hours": 1, "rto_hours": 0.01},
    "recovered": {"database": "shop"},
}


@pytest.fixture
def local(new_repository):
    return new_repository("local")


@pytest.fixture
def site(new_repository):
    return new_repository("site")


@pytest.fixture
def run(run_module, local, site):
    places = [local.options, site.options]
    return lambda **options: run_module(recovery_record, **{"repositories": places, **TOLD, **options})


def test_a_recovery_is_judged_summed_up_and_recorded_in_every_repository(run, local, site):
    end = run()
    assert not end.failed and end["changed"] and end["key"] == KEY
    record = end["record"]
    assert (record["outcome"], record["rpo_s"], record["rto_s"]) == ("recovered", 1800.0, 95.5)
    assert (record["is_rpo_met"], record["is_rto_met"]) == (True, False)
    assert record["phases"] == [{"name": "recover", "seconds": 1.5}]
    assert record["deviations"] == [] and record["new_backup"] == {"id": "", "repositories": []}
    assert end["summary"][0] == "database_corruption, job db1-shop of db1: recovered"
    assert [copy["repository"] for copy in end["copies"]] == ["local", "site"]
    assert all(copy["recorded_at"].endswith("Z") and not copy["problem"] for copy in end["copies"])
    assert KEY in local.files() and KEY in site.files()
    assert end["diff"] == {"before": {"recorded_in": []}, "after": {"recorded_in": ["local", "site"]}}


def test_a_second_run_changes_nothing(run, local):
    run()
    before = local.files()
    end = run()
    assert not end.failed and not end["changed"] and local.files() == before
    assert end["copies"][0]["recorded_at"].endswith("Z")


def test_check_mode_writes_nothing_and_says_the_same(run, local):
    before = local.files()
    checked = run(check_mode=True)
    assert not checked.failed and checked["changed"] and local.files() == before
    done = run()
    assert {name: checked[name] for name in ("record", "summary", "key", "diff")} == {
        name: done[name] for name in ("record", "summary", "key", "diff")
    }


def test_a_repository_that_is_gone_is_a_warning(run, local, site):
    shutil.rmtree(site.folder)
    end = run()
    assert not end.failed and end["changed"] and KEY in local.files()
    assert "no such directory" in end["copies"][1]["problem"]
    assert end.warnings == [f"site has no record of this recovery: {end['copies'][1]['problem']}"]


@pytest.mark.parametrize("is_second_run", [False, True])
def test_a_repository_that_is_gone_is_a_failure_if_all_must_have_the_record(run, local, site, is_second_run):
    shutil.rmtree(site.folder)
    if is_second_run:
        run()
    end = run(allow_partial=False)
    assert end.failed and end["exit_code"] == 5 and KEY in local.files()
    assert end.answer.get("changed", False) is not is_second_run
    assert end["record"]["outcome"] == "recovered"
    assert run(allow_partial=False, check_mode=True).failed


def test_a_record_that_is_nowhere_is_a_failure_and_the_result_has_it_nevertheless(run, local, site):
    shutil.rmtree(local.folder)
    shutil.rmtree(site.folder)
    end = run()
    assert end.failed and end["exit_code"] == 1 and "no such directory" in end["cause"]
    assert end["record"]["outcome"] == "recovered" and end["summary"]


def test_a_recovery_of_the_same_second_that_is_another_one_is_not_overwritten(run, local, site):
    run()
    before = local.files()
    end = run(host="db2")
    assert end.failed and "says something else" in end["cause"] and local.files() == before


def test_the_host_has_a_name_by_itself(run):
    assert run(host="")["record"]["host"]


@pytest.mark.parametrize(
    "options",
    [
        {"job": "no job; really"},
        {"scenario": "Flood"},
        {"begun": "2026-11-20 08:31"},
        {"failed_at": "yesterday"},
        {"backup": {"id": "latest"}},
        {"objectives": {"rpo_hours": 0}},
        {"repositories": []},
    ],
)
def test_options_that_make_no_sense_are_wrong_usage(run, options):
    end = run(**options)
    assert end.failed and end["exit_code"] == 2


def test_no_result_makes_ansible_take_the_host_for_unreachable(run):
    assert not {"unreachable", "failed", "skipped", "rc"} & run().answer.keys()
