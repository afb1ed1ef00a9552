# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import shutil

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host import copy_run
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository import (
    binding,
    catalog,
    copy,
    whole_copies,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.store import UnavailableError
from ansible_collections.lifeboat.recovery.plugins.modules import backup_copy


@pytest.fixture
def local(new_repository):
    return new_repository("local")


@pytest.fixture
def site(new_repository):
    return new_repository("site")


@pytest.fixture
def run(run_module, local, site):
    return lambda check_mode=False, **options: run_module(
        backup_copy, check_mode, **{"job": "db1-shop", "source": local.options, "target": site.options, **options}
    )


def held(repository):
    return {backup.id: backup.is_good for backup in catalog.backups(repository.store, "db1-shop")}


def test_a_backup_arrives_with_the_same_bytes_and_is_proved(run, local, site):
    manifest = local.back_up()
    end = run()
    assert not end.failed and end["changed"]
    assert (end["source"], end["target"]) == ("local", "site")
    assert [row["id"] for row in end["backups"]] == [manifest.id]
    assert held(site) == {manifest.id: True}
    theirs, ours = site.files(), local.files()
    assert {name for name in ours if name.startswith(("data/", "manifests/", "jobs/"))} <= theirs.keys()
    assert all(theirs[name] == ours[name] for name in theirs if name.startswith(("data/", "manifests/", "jobs/")))


def test_a_second_run_changes_nothing(run, local, site):
    local.back_up()
    run()
    before = site.files()
    again = run()
    assert not again["changed"] and again["backups"] == [] and again["bytes"] == 0
    assert again["diff"]["before"] == again["diff"]["after"]
    assert site.files() == before


def test_check_mode_says_what_would_be_moved_and_writes_nothing(run, local, site):
    manifest = local.back_up()
    before = site.files()
    planned = run(check_mode=True)
    size = sum(file.facts.stored_size for file in manifest.files)
    assert planned["changed"] and planned["bytes"] == size
    assert planned["backups"] == [{"id": manifest.id, "bytes": size, "seconds": None}]
    assert planned["diff"]["before"] == {"copies": {manifest.id: f"missing, {size} bytes to move"}}
    assert planned["diff"]["after"] == {"copies": {manifest.id: "complete"}}
    assert site.files() == before
    done = run()
    assert done["diff"] == planned["diff"] and done["bytes"] == size


def test_all_the_newest_the_newest_good_or_one_backup_are_copied(run, local, site):
    first, good = local.back_up(), local.back_up()
    newest = local.back_up(proved=False)
    chosen = {
        wanted: [row["id"] for row in run(check_mode=True, backup=wanted)["backups"]]
        for wanted in ("all", "latest", "latest_good", first.id)
    }
    assert chosen == {
        "all": [first.id, good.id, newest.id],
        "latest": [newest.id],
        "latest_good": [good.id],
        first.id: [first.id],
    }
    run(backup="all")
    assert held(site) == {first.id: True, good.id: True, newest.id: True}


def test_a_copy_without_proof_is_not_proved_and_the_next_run_proves_it(run, local, site):
    manifest = local.back_up()
    run(proof="none")
    assert held(site) == {manifest.id: False}
    assert not run(proof="none")["changed"]
    planned = run(check_mode=True)
    assert planned["diff"]["before"] == {"copies": {manifest.id: "not proved"}}
    end = run()
    assert end["changed"] and end["backups"][0]["bytes"] == 0
    assert held(site) == {manifest.id: True}


def test_a_file_that_was_found_bad_in_the_target_is_replaced(run, local, site):
    manifest = local.back_up()
    run()
    site.damage(manifest)
    assert not run()["changed"]  # nobody has read it yet
    site.read(manifest)
    end = run()
    assert end["changed"] and end["backups"][0]["bytes"] == len(b"all the rows\n")
    assert held(site) == {manifest.id: True}


def test_a_damaged_backup_is_a_failure_after_the_others_were_copied(run, local, site):
    bad, good = local.back_up(), local.back_up()
    local.damage(bad)
    end = run(backup="all")
    assert end.failed and end["exit_code"] == 5 and end["changed"]
    assert [row["id"] for row in end["backups"]] == [good.id] and end["damaged"] == [bad.id]
    assert held(site) == {good.id: True}
    again = run(backup="all")
    assert again.failed and not again["changed"]


def test_a_target_that_goes_away_is_a_failure_that_says_what_was_copied(run, local, site, monkeypatch):
    first, _second = local.back_up(), local.back_up()
    brought = copy_run._brought

    def once(planned, move, say):
        if move.id != first.id:
            raise UnavailableError("Cannot write it", "the line is down")
        return brought(planned, move, say)

    monkeypatch.setattr(copy_run, "_brought", once)
    end = run(backup="all")
    assert end.failed and "the line is down" in end["msg"]
    assert end["changed"] and [row["id"] for row in end["backups"]] == [first.id]
    assert held(site) == {first.id: True}


def test_a_manifest_that_cannot_be_read_is_a_failure_after_the_others_were_copied(run, local, site):
    bad, good = local.back_up(), local.back_up()
    (local.folder / "manifests" / "db1-shop" / f"{bad.id}.json").write_text("{}")
    planned = run(check_mode=True, backup="all")
    assert not planned.failed and planned["damaged"] == [bad.id] and bad.id in planned.warnings[0]
    end = run(backup="all")
    assert end.failed and end["damaged"] == [bad.id] and [row["id"] for row in end["backups"]] == [good.id]
    assert held(site) == {good.id: True}
    assert run(backup="all").failed and run(check_mode=True, backup="all").failed


@pytest.mark.parametrize("folder", ["manifests/db1-shop/{}.json", "data/db1-shop/{}/files.jsonl"])
def test_a_backup_that_was_damaged_after_it_was_copied_is_no_failure(run, local, folder):
    manifest = local.back_up()
    local.back_up()
    run(backup="all", proof="none")
    (local.folder / folder.format(manifest.id)).write_text("{}")
    assert run(backup="all")["changed"]  # the other one lacked its proof
    end = run(backup="all")
    assert not end.failed and not end["changed"]


def test_a_job_of_another_source_is_refused(run, local, site):
    local.back_up()
    binding.bind(site.store, "db1-shop", "pg_database", {"database": "apps"})
    before = site.files()
    end = run()
    assert end.failed and end["guard"] == "source"
    assert site.files() == before


@pytest.mark.parametrize("check_mode", [True, False])
@pytest.mark.parametrize("side", ["source", "target"])
def test_a_place_without_a_repository_is_refused(run, local, site, side, check_mode):
    local.back_up()
    folder = {"source": local.folder, "target": site.folder}[side]
    shutil.rmtree(folder)
    folder.mkdir()
    end = run(check_mode)
    assert end.failed and end["guard"] == "repository"
    assert list(folder.iterdir()) == []


def test_a_job_without_backups_is_a_failure(run):
    assert "0 backups are there" in run()["cause"]
    assert "no readable backup" in run(backup="all")["cause"]


@pytest.mark.parametrize("options", [{"wait_s": -1}, {"backup": "newest"}, {"job": "no job; really"}])
def test_an_option_that_makes_no_sense_is_wrong_usage(run, local, options):
    local.back_up()
    end = run(**options)
    assert end.failed and end["exit_code"] == 2


def test_a_repository_is_not_copied_onto_itself(run, local):
    local.back_up()
    end = run(target={**local.options, "name": "again"})
    assert end.failed and end["exit_code"] == 2


def test_a_backup_that_the_target_would_drop_at_once_is_not_brought(run, local, site):
    first, second, third = (local.back_up() for _run in range(3))
    end = run(backup="all", keep={"last": 1, "verified_min": 2})
    assert end["skipped"] == [first.id]
    assert held(site) == {second.id: True, third.id: True}
    again = run(backup=first.id, keep={"last": 1})
    assert not again["changed"] and again["skipped"] == [first.id]
    assert run(backup=first.id)["changed"]


def test_one_backup_of_each_period_is_brought_and_the_next_task_brings_no_other(run, local, site):
    local.back_up()
    second = local.back_up()
    assert [row["id"] for row in run(backup="all", tier="hourly")["backups"]] == [second.id]
    local.back_up()
    assert not run(backup="all", tier="hourly")["changed"]
    assert held(site) == {second.id: True}


def test_backups_of_another_age_are_left_out(run, local, site):
    local.back_up()
    assert not run(backup="all", min_age="9999w")["changed"]
    assert not run(backup="latest", min_age="9999w")["changed"]
    assert held(site) == {}


@pytest.mark.parametrize(
    "options", [{"min_age": "soon"}, {"keep": {"last": 0}}, {"timezone": "Nowhere/City"}, {"tier": "fortnightly"}]
)
def test_a_choice_that_means_nothing_is_wrong_usage(run, local, options):
    local.back_up()
    assert run(backup="all", **options).failed


def test_of_many_copies_that_are_whole_none_is_asked_for_by_itself(run, local, monkeypatch):
    monkeypatch.setattr(whole_copies, "FEW", 1)
    made = [local.back_up() for _run in range(3)]
    run(backup="all")
    newest = local.back_up()
    plan, asked = copy.plan, []
    monkeypatch.setattr(copy, "plan", lambda *given, **more: asked.append(given[2].id) or plan(*given, **more))
    again = run(check_mode=True, backup="all")
    assert asked == [newest.id] and [row["id"] for row in again["backups"]] == asked
    assert again["diff"]["before"]["copies"].keys() == {each.id for each in (*made, newest)}


def test_for_one_backup_no_catalog_is_read(run, local, monkeypatch):
    first, _second = local.back_up(), local.back_up()
    monkeypatch.setattr(catalog, "backups", lambda *_given, **_more: pytest.fail("a catalog was read"))
    assert [row["id"] for row in run(check_mode=True, backup=first.id)["backups"]] == [first.id]


def test_a_backup_that_is_not_there_is_told_with_those_that_are(run, local):
    local.back_up()
    end = run(check_mode=True, backup="20200101T000000Z-0000aa")
    assert end.failed and "1 backups are there, 1 of them proved" in end["msg"]


@pytest.mark.parametrize("folder", ["manifests/db1-shop/{}.json", "data/db1-shop/{}/files.jsonl"])
def test_an_unproved_copy_is_proved_though_the_source_was_damaged_since(run, local, site, folder):
    bad, good = local.back_up(), local.back_up()
    run(backup="all", proof="none")
    (local.folder / folder.format(bad.id)).write_text("[]")
    assert not run(backup="all", proof="none")["changed"]
    end = run(backup="all")
    assert not end.failed and [(row["id"], row["bytes"]) for row in end["backups"]] == [(bad.id, 0), (good.id, 0)]
    assert held(site) == {bad.id: True, good.id: True}
    assert not run(backup="all")["changed"]


def test_an_unproved_copy_that_is_damaged_as_its_source_is_a_failure(run, local, site):
    manifest = local.back_up()
    run(proof="none")
    (local.folder / "data" / "db1-shop" / manifest.id / "files.jsonl").write_text("[]")
    site.damage(manifest)
    end = run()
    assert end.failed and end["exit_code"] == 5 and end["damaged"] == [manifest.id]
    assert held(site) == {manifest.id: False}
