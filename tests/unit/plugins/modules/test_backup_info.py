# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import shutil

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host import listing
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository import copy
from ansible_collections.lifeboat.recovery.plugins.modules import backup_info


@pytest.fixture
def local(new_repository):
    return new_repository("local")


@pytest.fixture
def site(new_repository):
    return new_repository("site")


@pytest.fixture
def run(run_module, local, site):
    places = [local.options, site.options]
    return lambda **options: run_module(backup_info, **{"repositories": places, **options})


def ids(end):
    return [row["id"] for row in end["backups"]]


def test_the_backups_of_all_repositories_are_one_list_with_the_newest_first(run, local, site):
    first, second = local.back_up(), site.back_up()
    copy.copy(local.store, site.store, first, site.identity)
    end = run(job="db1-shop")
    assert not end.failed and not end["changed"]
    assert ids(end) == [second.id, first.id] and end["total"] == 2
    assert [row["repository"] for row in end["backups"][1]["copies"]] == ["local", "site"]
    assert [row["proved"] for row in end["backups"][1]["copies"]] == [True, False]


def test_what_this_user_has_read_before_is_used(run, local, site, monkeypatch):
    asked = []

    @contextlib.contextmanager
    def remembering(place, job):
        asked.append((place.name, job))
        yield None

    local.back_up()
    monkeypatch.setattr(listing, "of_this_user", remembering)
    run(job="db1-shop")
    assert asked == [("local", "db1-shop"), ("site", "db1-shop")]


def test_a_backup_is_shown_with_its_facts(run, local):
    manifest = local.back_up(text=b"12345678")
    (row,) = run()["backups"]
    moments = {name: row.pop(name) for name in ("started", "finished", "proved_at")}
    assert all(value.endswith("Z") for value in moments.values())
    assert row.pop("copies")[0]["proved_at"] == moments["proved_at"]
    assert row.pop("host")
    assert row == {
        "id": manifest.id,
        "job": "db1-shop",
        "kind": "pg_database",
        "plain_bytes": 8,
        "stored_bytes": 8,
        "source": {"database": "shop", "server_version": "15.18"},
        "proved": True,
        "flags": [],
        "flagged": False,
    }


def test_without_a_job_those_that_any_repository_knows_are_listed(run, local, site):
    local.back_up("db1-shop")
    site.back_up("db1-apps")
    assert {row["job"] for row in run()["backups"]} == {"db1-shop", "db1-apps"}
    assert {row["job"] for row in run(job="db1-apps")["backups"]} == {"db1-apps"}


def test_the_newest_and_the_newest_good_backup_of_each_job_can_be_chosen(run, local):
    good, apps = local.back_up(), local.back_up("db1-apps")
    newest = local.back_up(proved=False)
    assert ids(run(backup="latest")) == [newest.id, apps.id]
    assert ids(run(backup="latest_good")) == [apps.id, good.id]
    assert ids(run(backup=good.id)) == [good.id]


def test_the_databases_of_a_server_are_found_under_their_names(run, local, site):
    for name in ("db1-all.shop", "db1-all.my.2edb", "db1-all.test_1", "db1-shop", "db1-all.Not-.an.Escape"):
        local.back_up(name)
    site.back_up("db1-all.wiki")
    end = run(job="db1-all", databases="all", exclude=["test_*"])
    assert end["jobs"] == ["db1-all.my.2edb", "db1-all.shop", "db1-all.wiki"]
    assert {row["job"] for row in end["backups"]} == set(end["jobs"])
    named = run(job="db1-all", databases=["my.db", "wiki", "new"], backup=local.back_up("db1-all.wiki").id)
    assert named["jobs"] == ["db1-all.my.2edb", "db1-all.wiki"]
    assert [each["database"] for each in end["databases"] if each["has_backups"]] == ["my.db", "shop", "wiki"]
    assert [(each["database"], each["job"]) for each in named["databases"] if not each["has_backups"]] == [
        ("new", "db1-all.new")
    ]
    assert [row["job"] for row in named["backups"]] == ["db1-all.wiki"]
    assert "no job is named" in run(databases="all")["msg"]
    plain = run(job="db1-shop")
    assert (plain["jobs"], plain["databases"]) == (["db1-shop"], [])


def test_no_backup_is_an_empty_list(run, local):
    local.back_up(proved=False)
    assert run(backup="latest_good")["backups"] == []
    assert run(backup="20200101T000000Z-000000")["total"] == 0


def test_results_stay_small_and_say_how_much_there_is(run, local):
    made = [local.back_up().id for _number in range(4)]
    end = run(limit=2)
    assert ids(end) == [made[3], made[2]] and end["total"] == 4
    assert len(run(limit=0)["backups"]) == 4
    assert run(limit=-1)["exit_code"] == 2


def test_a_repository_that_cannot_be_read_is_a_warning(run, local, site):
    made = local.back_up()
    shutil.rmtree(site.folder)
    end = run()
    assert ids(end) == [made.id]
    assert [row["repository"] for row in end["unreadable"]] == ["site"]
    assert "no such directory" in end["unreadable"][0]["reason"]
    assert len(end.warnings) == 1


def test_a_repository_that_cannot_be_read_is_a_failure_if_all_must_be(run, local, site):
    made = local.back_up()
    shutil.rmtree(site.folder)
    end = run(allow_partial=False)
    assert end.failed and end["exit_code"] == 5
    assert ids(end) == [made.id] and end["unreadable"][0]["repository"] == "site"


def test_an_empty_list_never_means_that_nothing_could_be_read(run, local, site):
    shutil.rmtree(local.folder)
    shutil.rmtree(site.folder)
    assert run().failed
    assert run(job="db1-shop").failed


def test_a_copy_that_was_found_bad_is_shown_with_its_problems(run, local):
    manifest = local.back_up()
    local.damage(manifest)
    local.read(manifest, "checksum")
    (row,) = run()["backups"]
    assert not row["proved"] and row["proved_at"] is None
    assert "globals.sql" in row["copies"][0]["problems"][0]


def test_a_manifest_that_cannot_be_read_is_an_alarm_and_its_facts_are_null(run, local):
    manifest = local.back_up()
    (local.folder / "manifests" / "db1-shop" / f"{manifest.id}.json").write_text("{}")
    (row,) = run()["backups"]
    assert (row["kind"], row["source"], row["proved"]) == (None, None, False)
    assert "damaged" in row["copies"][0]["alarms"][0]


@pytest.mark.parametrize("options", [{"job": "no job; really"}, {"backup": "newest"}, {"repositories": []}])
def test_an_option_that_makes_no_sense_is_wrong_usage(run, options):
    end = run(**options)
    assert end.failed and end["exit_code"] == 2


def test_two_repositories_of_one_name_and_one_place_named_twice_are_refused(run, local, site):
    assert run(repositories=[local.options, {**site.options, "name": "local"}])["exit_code"] == 2
    assert run(repositories=[local.options, {**local.options, "name": "other"}])["exit_code"] == 2


def test_no_result_makes_ansible_take_the_host_for_unreachable(run, local, site):
    shutil.rmtree(site.folder)
    assert not {"unreachable", "failed", "skipped", "rc"} & run().answer.keys()


def test_a_name_that_no_job_can_have_is_passed_over(run, local):
    made = local.back_up()
    (local.folder / "jobs" / "no job; really.json").write_text("{}")
    assert ids(run()) == [made.id]
