# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import shutil

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine import clock
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository import recovery_record as records
from ansible_collections.lifeboat.recovery.plugins.modules import recovery_record_info


@pytest.fixture
def local(new_repository):
    return new_repository("local")


@pytest.fixture
def site(new_repository):
    return new_repository("site")


@pytest.fixture
def run(run_module, local, site):
    places = [local.options, site.options]
    return lambda **options: run_module(recovery_record_info, **{"repositories": places, **options})


def record(minute, *repositories, job="db1-shop", scenario="database_corruption"):
    begun = clock.from_text(f"2026-11-20T08:{minute:02}:00Z")
    told = records.Recovery(job, scenario, "db1", begun, begun, back_at=begun, recovered={"minute": minute})
    for repository in repositories:
        records.write(repository.store, told)
    return told


def minutes(end):
    return [row["recovered"]["minute"] for row in end["records"]]


def test_records_of_all_repositories_are_one_list_with_the_newest_first(run, local, site):
    record(1, local, site)
    record(3, site)
    record(2, local, job="db1-apps")
    end = run()
    assert not end.failed and not end["changed"] and end["total"] == 3
    assert minutes(end) == [3, 2, 1]
    assert [row["repositories"] for row in end["records"]] == [["site"], ["local"], ["local", "site"]]
    row = end["records"][2]
    assert (row["outcome"], row["rto_s"], row["job"]) == ("recovered", 0.0, "db1-shop")
    assert row["recorded_at"].endswith("Z")


def test_one_job_and_one_scenario_can_be_chosen_and_a_number(run, local):
    for minute in (1, 2, 3):
        record(minute, local)
    record(4, local, scenario="complete_loss")
    record(5, local, job="db1-apps")
    assert minutes(run(job="db1-shop")) == [4, 3, 2, 1]
    assert minutes(run(job="db1-shop", scenario="database_corruption")) == [3, 2, 1]
    assert minutes(run(scenario="database_corruption", limit=2)) == [5, 3]
    assert run(limit=2)["total"] == 5 and len(run(limit=0)["records"]) == 5


def test_no_record_is_an_empty_list(run):
    assert run(job="db1-shop")["records"] == []


def test_a_repository_that_cannot_be_read_is_a_warning_or_a_failure(run, local, site):
    record(1, local)
    shutil.rmtree(site.folder)
    end = run()
    assert not end.failed and minutes(end) == [1] and len(end.warnings) == 1
    assert [row["repository"] for row in end["unreadable"]] == ["site"]
    end = run(allow_partial=False)
    assert end.failed and end["exit_code"] == 5 and minutes(end) == [1]
    shutil.rmtree(local.folder)
    assert run().failed


def test_a_damaged_record_is_read_from_another_repository(run, local, site):
    told = record(1, local, site)
    path = local.folder / told.key
    path.write_bytes(path.read_bytes()[:-5])
    end = run()
    assert minutes(end) == [1] and "damaged" in end.warnings[0]
    (site.folder / told.key).unlink()
    end = run()
    assert end["records"] == [] and end["total"] == 1 and "damaged" in end.warnings[0]


@pytest.mark.parametrize("options", [{"job": "no job; really"}, {"scenario": "A"}, {"limit": -1}, {"repositories": []}])
def test_options_that_make_no_sense_are_wrong_usage(run, options):
    end = run(**options)
    assert end.failed and end["exit_code"] == 2
