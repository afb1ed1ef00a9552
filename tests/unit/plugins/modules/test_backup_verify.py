# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import pwd
import shutil

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host import verify_run
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository import catalog, copy
from ansible_collections.lifeboat.recovery.plugins.modules import backup_verify

LEVELS = ["checksum", "content"]


@pytest.fixture
def local(new_repository):
    return new_repository("local")


@pytest.fixture
def site(new_repository):
    return new_repository("site")


@pytest.fixture
def both(local, site):
    """A backup in both repositories, proved in none."""
    manifest = local.back_up(proved=False)
    copy.copy(local.store, site.store, manifest, site.identity)
    return manifest


@pytest.fixture
def run(run_module, local, site):
    places = [local.options, site.options]
    return lambda check_mode=False, **options: run_module(
        backup_verify, check_mode, **{"job": "db1-shop", "repositories": places, **options}
    )


def standing(repository):
    return catalog.backups(repository.store, "db1-shop")[-1].standing


def test_every_copy_is_read_and_what_was_found_is_recorded(run, both, local, site):
    end = run()
    assert not end.failed and end["changed"] and end["good"] and end["problems"] == []
    assert [(row["repository"], row["id"], row["good"]) for row in end["copies"]] == [
        ("local", both.id, True),
        ("site", both.id, True),
    ]
    assert standing(local).is_proved and standing(site).is_proved
    assert end["diff"] == {
        "before": {"recorded": []},
        "after": {"recorded": [f"{both.id} in local: content", f"{both.id} in site: content"]},
    }


def test_a_matching_checksum_proves_nothing(run, both, local):
    end = run(level="checksum")
    assert end["good"] and end["changed"]
    assert not standing(local).is_proved


def test_a_copy_that_is_not_there_is_no_reason_to_look_for_failing_hardware(run, local, site):
    local.back_up()
    for _round in range(2):
        end = run()
        assert end.failed and ("it has no copy of" in end["msg"] or "there is no such directory" in end["msg"])
        assert "bring those that are missing" in end["remedy"] and "hardware" not in end["remedy"]
        shutil.rmtree(site.folder, ignore_errors=True)


def test_a_damaged_copy_is_a_reason_to_look_for_failing_hardware(run, both, local):
    local.damage(both)
    assert "failing hardware" in run()["remedy"]


@pytest.mark.parametrize("level", LEVELS)
def test_check_mode_says_what_would_be_read_and_writes_nothing(run, both, local, site, level):
    before = local.files(), site.files()
    planned = run(check_mode=True, level=level)
    assert (local.files(), site.files()) == before
    assert planned["changed"] and planned["good"] is None
    assert planned["stored_bytes"] == 2 * sum(file.facts.stored_size for file in both.files)
    assert [(row["good"], row["seconds"]) for row in planned["copies"]] == [(None, None)] * 2
    assert run(level=level)["diff"] == planned["diff"]


@pytest.mark.parametrize("check_mode", [True, False])
def test_presence_is_looked_at_in_check_mode_too_and_records_nothing(run, both, local, site, check_mode):
    before = local.files(), site.files()
    end = run(check_mode, level="presence")
    assert not end["changed"] and end["good"]
    assert [row["good"] for row in end["copies"]] == [True, True]
    (site.folder / "data" / "db1-shop" / both.id / "globals.sql").unlink()
    end = run(check_mode, level="presence")
    assert end.failed and "not there" in end["problems"][0]
    assert local.files() == before[0]


@pytest.mark.parametrize("level", LEVELS)
def test_a_damaged_copy_is_a_failure_that_returns_what_was_found(run, both, site, level):
    site.damage(both)
    end = run(level=level)
    assert end.failed and end["exit_code"] == 1 and end["changed"]
    assert not end["good"] and end["problems"][0].startswith(f"site: {both.id}/globals.sql")
    assert [row["good"] for row in end["copies"]] == [True, False]
    assert standing(site).problems


def test_a_damaged_copy_is_only_shown_if_it_shall_not_be_a_failure(run, both, site):
    site.damage(both)
    end = run(fail_on_problem=False)
    assert not end.failed and not end["good"] and end["problems"]


@pytest.mark.parametrize("check_mode", [True, False])
def test_a_missing_copy_is_a_problem(run, local, check_mode):
    manifest = local.back_up()
    end = run(check_mode)
    assert end.failed and end["problems"] == [f"site: it has no copy of {manifest.id}"]
    assert not end["good"] and [row["repository"] for row in end["copies"]] == ["local"]


def test_with_all_backups_each_repository_is_taken_as_it_is(run, local, site):
    local.back_up()
    site.back_up()
    assert [row["repository"] for row in run(backup="all")["copies"]] == ["local", "site"]


def test_one_backup_can_be_chosen(run_module, local):
    first, _second = local.back_up(), local.back_up()
    end = run_module(backup_verify, job="db1-shop", backup=first.id, repositories=[local.options])
    assert [row["id"] for row in end["copies"]] == [first.id]


@pytest.mark.parametrize("check_mode", [True, False])
@pytest.mark.parametrize("level", ["presence", "content"])
def test_a_repository_that_does_not_answer_is_a_problem(run, both, site, check_mode, level):
    shutil.rmtree(site.folder)
    end = run(check_mode, level=level)
    assert end.failed and "no such directory" in end["problems"][0]


def test_nothing_but_problems_is_a_failure_without_a_change(run, local, site):
    manifest = local.back_up()
    for folder in (local.folder, site.folder):
        shutil.rmtree(folder)
    end = run(backup=manifest.id)
    assert end.failed and not end["changed"] and len(end["problems"]) == 2


def test_a_job_without_backups_is_a_failure(run):
    end = run()
    assert end.failed and "no repository has backup latest" in end["cause"]


def test_results_stay_small(run, both, monkeypatch):
    many = tuple(f"file-{number}: it is not there" for number in range(2000))
    verdict = verify_run.Verdict("local", both.id, "content", False, many, {}, 0.1)
    monkeypatch.setattr(verify_run, "verify", lambda planned: (verdict,))
    end = run()
    assert (len(end["problems"]), len(end["copies"][0]["problems"])) == (100, 10)
    assert len(end["msg"]) < 1000


def test_the_options_of_a_drill_reach_the_engine(run, both, monkeypatch):
    seen = []
    monkeypatch.setattr(verify_run, "verify", lambda planned: seen.append(planned.request) or ())
    user = pwd.getpwuid(os.getuid())
    run(level="restore", bin_dir="/opt/pg/bin", scratch_dir="/var/tmp", scratch_user=user.pw_name, jobs=3)
    (request,) = seen
    drill = request.drill
    assert request.level == "restore"
    assert (drill.bin_dir, drill.folder, drill.jobs) == ("/opt/pg/bin", "/var/tmp", 3)
    assert drill.user == (user.pw_uid, user.pw_gid)


@pytest.mark.parametrize("options", [{"jobs": 0}, {"scratch_user": "no-such-user"}, {"job": "no job; really"}])
def test_an_option_that_makes_no_sense_is_wrong_usage(run, both, options):
    end = run(**options)
    assert end.failed and end["exit_code"] == 2


@pytest.mark.parametrize(
    "options",
    [
        {"sample": "1/7", "level": "checksum"},
        {"sample": "8/7"},
        {"scratch_bucket": "drill"},
        {"compare_source": True, "level": "checksum"},
    ],
)
def test_options_of_objects_that_would_mean_nothing_are_refused(run, both, options):
    end = run(**options)
    assert end.failed and end["exit_code"] == 2


def test_copies_that_fulfil_their_objective_are_no_problem(run, both, local, site):
    places = [{**local.options, "media": "disk"}, {**site.options, "media": "tape", "offsite": True}]
    end = run(repositories=places, level="presence", copies={"total": 2, "media": 2, "offsite": 1})
    assert not end.failed and end["problems"] == []


@pytest.mark.parametrize("level", ["presence", "content"])
def test_what_an_objective_for_copies_lacks_is_a_problem(run, both, level):
    end = run(level=level, copies={"total": 3, "media": 2, "offsite": 1})
    assert end.failed and end["problems"] == [
        f"there are 2 good copies of {both.id} (local, site), and the objective is 3; the job has 2 repositories",
        f"good copies of {both.id} are on 1 media (disk), and the objective is 2; the repositories of the job are on 1",
        f"no good copies of {both.id} are off site, and the objective is 1; no repositories of the job are off site",
    ]


def test_a_copy_that_was_found_damaged_before_does_not_count_by_its_presence(run, both, site):
    path = site.folder / "data" / "db1-shop" / both.id / "globals.sql"
    data = path.read_bytes()
    path.write_bytes(bytes([data[0] ^ 1]) + data[1:])
    run(level="checksum", fail_on_problem=False)
    end = run(level="presence", copies={"total": 2})
    assert end["problems"] == [f"there is 1 good copy of {both.id} (local), and the objective is 2"]
