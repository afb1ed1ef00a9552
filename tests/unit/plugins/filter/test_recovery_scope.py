# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which jobs of an inventory a recovery of everything brings back."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.lifeboat.recovery.plugins.filter.recovery_scope import FilterModule

JOBS = [
    {"name": "all", "kind": "pg_database", "databases": "all", "exclude": ["old"], "login_port": 5433},
    {"name": "alone", "kind": "pg_database", "database": "alone", "job": "other-name"},
    {"name": "media", "kind": "bucket", "buckets": ["media"], "repositories": ["local", "site"]},
    {"name": "web", "kind": "files", "roots": ["/etc/nginx", "/srv/web"]},
    {"name": "server", "kind": "minio"},
    {"name": "whole", "kind": "set", "members": ["all", "server", "media"]},
]
FOUND = [{"name": "all", "job": f"db1-all.{name}", "database": name} for name in ("shop", "blog")]


def scope(jobs=None, **options):
    return FilterModule().filters()["recovery_scope"](JOBS if jobs is None else jobs, host="db1", **options)


def names(jobs):
    return [job["name"] for job in jobs]


def test_without_names_all_that_can_be_brought_back_is_meant():
    found = scope(databases=FOUND)
    assert names(found["jobs"]) == ["all.shop", "all.blog", "alone", "media", "web"]
    assert (found["asked"], found["set"], found["confirmed"], found["backups"]) == ([], {}, [], {})
    assert found["servers"] == ["all"] and found["databases"] == ["all.shop", "all.blog", "alone"]
    assert found["left_out"] == []


@pytest.mark.parametrize("roots", [["/etc"], ["/srv", "/etc/"], "/", ["//"], ["/usr/../var"]])
def test_folders_of_the_operating_system_come_back_only_where_their_job_is_named(roots):
    host = {"name": "etc", "kind": "files", "roots": roots}
    jobs = [host, *JOBS]
    found = scope(jobs, databases=FOUND)
    assert (found["asked"], found["left_out"]) == (["all.shop", "all.blog", "alone", "media", "web"], ["etc"])
    assert found["databases"] == ["all.shop", "all.blog", "alone"]
    named = scope(jobs, names="etc,media", databases=FOUND)
    assert (named["asked"], named["left_out"]) == (["etc", "media"], [])
    assert scope([host, JOBS[0]])["asked"] == ["all"]
    with pytest.raises(AnsibleFilterError, match="name the job in lifeboat_job"):
        scope([host])


def test_a_database_of_a_server_has_what_its_job_has_but_for_the_choice_of_databases():
    job = scope(databases=FOUND)["jobs"][0]
    assert job == {
        **{"name": "all.shop", "job": "db1-all.shop", "database": "shop"},
        **{"kind": "pg_database", "login_port": 5433},
    }


def test_a_job_whose_databases_nobody_knows_stands_for_itself_and_never_for_everything():
    found = scope(names="all")
    assert found["servers"] == ["all"] and found["asked"] == ["all"] and "all" not in names(found["jobs"])
    assert found["databases"] == []


@pytest.mark.parametrize("given", ["all,media", " all , media,", ["all", "media"], ["all,media"]])
def test_names_come_as_a_list_or_with_commas(given):
    found = scope(names=given, confirm=given, databases=FOUND)
    assert found["asked"] == found["confirmed"] == ["all.shop", "all.blog", "media"]
    assert found["databases"] == ["all.shop", "all.blog"]


def test_one_database_of_a_server_can_be_named_and_confirmed():
    found = scope(names="all.blog", confirm="all.blog", databases=FOUND)
    assert found["asked"] == found["confirmed"] == found["databases"] == ["all.blog"]
    assert found["servers"] == []


def test_a_set_stands_for_its_members_but_those_that_the_inventory_makes():
    members = [
        {"job": "db1-all.shop", "backup": "1"},
        {"job": "db1-media", "backup": "2"},
        {"job": "db2-media", "backup": "3"},
    ]
    found = scope(names="whole", confirm="whole", databases=FOUND, members=members)
    assert found["set"]["name"] == "whole" and found["servers"] == ["all"]
    assert found["asked"] == found["confirmed"] == ["all.shop", "all.blog", "media"]
    assert found["backups"] == {"all.shop": "1", "media": "2"}
    assert scope(names="whole", confirm="media", databases=FOUND)["confirmed"] == ["media"]


def test_a_set_of_nothing_that_can_be_brought_back_does_not_stand_for_everything():
    assert scope([*JOBS, {"name": "mine", "kind": "set", "members": ["server"]}], names="mine")["asked"] == ["server"]


def test_names_that_nobody_knows_are_left_for_others_to_refuse():
    assert scope(names="whole,media")["asked"] == ["whole", "media"]
    assert scope(names="no such job")["asked"] == ["no such job"]


def test_full_names_are_those_of_backups():
    found = scope(databases=FOUND)["full_names"]
    assert found == {
        **{"all.shop": "db1-all.shop", "all.blog": "db1-all.blog", "alone": "other-name"},
        **{"media": "db1-media", "web": "db1-web"},
    }
    with pytest.raises(AnsibleFilterError, match="Remedy"):
        scope([{"name": "no/job", "kind": "files"}])


def test_jobs_can_be_kept_from_repositories_that_nobody_may_read():
    found = {job["name"]: job["repositories"] for job in scope(repositories=["site", "offsite"])["jobs"]}
    assert found == {"alone": ["site", "offsite"], "media": ["site"], "web": ["site", "offsite"]}
    assert "repositories" not in scope()["jobs"][0]


def test_what_is_empty_in_a_job_is_as_if_it_were_not_there():
    job = {"name": "shop", "kind": "pg_database", "database": "shop", "login_port": 5433}
    found = scope([{**job, "databases": "", "job": None, "container": ""}], names="shop")
    assert found["jobs"] == [job] and found["servers"] == [] and found["databases"] == ["shop"]
