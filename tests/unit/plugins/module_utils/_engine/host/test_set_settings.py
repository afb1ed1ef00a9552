# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import UsageError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host import config, inventory_config
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.inventory_schedules import schedules
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.set_references import held

REPOSITORIES = {"local": {"path": "/srv/a"}, "site": {"path": "/srv/b"}, "far": {"path": "/srv/c"}}
REFERENCE = {"database": "db", "query": "SELECT object FROM paper", "objects": "papers"}


def parsed(jobs=None, **changed):
    members = {
        "etc": {"kind": "files", "roots": ["/etc/shop"], "repositories": ["site", "far", "local"]},
        "papers": {"kind": "bucket", "buckets": ["papers"], "repositories": ["local", "site"]},
        "db": {"kind": "pg_database", "database": "shop", "repositories": ["local", "site", "far"]},
        **(jobs or {}),
    }
    whole = {"kind": "set", "members": ["etc", "db", "papers"], **changed}
    document = {"repositories": REPOSITORIES, "jobs": {"whole": whole, **members}}
    return config.parse(json.dumps(document).encode(), "config.json").jobs["whole"]


def refused(**changed):
    with pytest.raises(UsageError) as error:
        parsed(**changed)
    return str(error.value)


def test_a_set_records_where_all_of_its_members_are():
    assert parsed().repositories == ("site", "local")
    assert parsed(repositories=["local"]).repositories == ("local",)


def test_a_server_comes_back_before_its_buckets():
    server = {"kind": "minio", "source": {"endpoint_url": "https://minio.example.com"}, "repositories": ["site"]}
    found = parsed({"server": server}, members=["etc", "papers", "server", "db"])
    assert found.restore_order == ("db", "server", "papers", "etc")


def test_databases_come_back_first_then_buckets_then_folders_unless_another_order_is_declared():
    assert parsed().restore_order == ("db", "papers", "etc")
    assert parsed(restore_order=["etc", "papers", "db"]).restore_order == ("etc", "papers", "db")


def test_the_user_of_all_members_runs_the_set_and_root_where_they_are_several():
    assert parsed().run_as == ""
    alone = {"kind": "files", "roots": ["/etc"], "repositories": ["local"], "run_as": "shop"}
    assert parsed({"etc": alone}, members=["etc"]).run_as == "shop"
    mixed = parsed({"etc": alone})
    assert (mixed.run_as, mixed.reader) == ("root", "shop")


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"members": []}, "members"),
        ({"members": ["db", "nope"]}, "nope, which is not there"),
        ({"members": ["db", "whole"]}, "whole, which is a set itself"),
        ({"members": ["db", "db"]}, "twice"),
        ({"repositories": ["far"]}, "far, which not all members use"),
        ({"repositories": ["moon"]}, "moon, which is not there"),
        ({"restore_order": ["db"]}, "restore_order does not name exactly"),
        ({"proof": "none"}, "proof is not known"),
        ({"references": {"a": {**REFERENCE, "objects": "db"}}}, "no member of kind bucket or files"),
        ({"references": {"a": {**REFERENCE, "database": "papers"}}}, "no member of kind pg_database"),
        ({"references": {"a": {**REFERENCE, "objects": "etc"}}}, "which comes after etc"),
        ({"references": {"a": {**REFERENCE, "query": ""}}}, "query is empty"),
        ({"references": {"a": {**REFERENCE, "on_missing": "ignore"}}}, "on_missing"),
        ({"references": {"a": {**REFERENCE, "table": "x"}}}, "table is not known"),
    ],
)
def test_what_cannot_be_a_set_is_refused_by_name(changed, words):
    assert words in refused(**changed)


def test_members_without_a_common_repository_are_refused():
    alone = {"kind": "files", "roots": ["/etc"], "repositories": ["far"]}
    assert "no repository in common" in refused(jobs={"etc": alone})


def test_a_reference_keeps_what_it_says():
    (found,) = parsed(references={"papers": {**REFERENCE, "prefix": "a/", "collection": "papers"}}).references
    assert (found.name, found.database, found.objects, found.prefix, found.on_missing) == (
        *("papers", "db", "papers", "a/"),
        "fail",
    )


JOBS = [
    {"name": "db", "kind": "pg_database", "database": "shop", "run_as": "postgres"},
    {"name": "etc", "kind": "files", "roots": ["/etc/shop"], "repositories": ["site"]},
    {
        "name": "whole",
        "kind": "set",
        "run_as": "nobody",
        "members": ["db", "etc"],
        "restore_order": ["etc", "host1-db"],
        "references": {"files": {"database": "db", "query": "SELECT 1", "objects": "etc"}},
        "schedule": "daily",
        "prune": "daily",
    },
]
PLACES = [
    {
        "name": "site",
        "bucket": "backups",
        "endpoint_url": "https://minio.example.com",
        "access_key": "a",
        "secret_key": "s",
    }
]


def test_an_inventory_names_members_as_its_jobs():
    found = inventory_config.host_files("host1", JOBS, PLACES).document["jobs"]["host1-whole"]
    assert found == {
        "kind": "set",
        "members": ["host1-db", "host1-etc"],
        "restore_order": ["host1-etc", "host1-db"],
        "references": {"files": {"database": "host1-db", "query": "SELECT 1", "objects": "host1-etc"}},
    }


def test_an_inventory_names_the_server_of_a_job_at_its_own_level():
    server = {"name": "server", "kind": "minio", "endpoint_url": "https://minio.example.com", "access_key": "a"}
    found = inventory_config.host_files("host1", [{**server, "secret_key": "s"}], PLACES)
    assert found.document["jobs"]["host1-server"]["source"] == {
        "endpoint_url": "https://minio.example.com",
        "access_key": "a",
        "secret_key_file": "/etc/lifeboat/secrets/{user}/job-host1-server.secret_key",
    }
    assert "job-host1-server.secret_key" in "".join(secret.path for secret in found.secrets)


def test_a_set_is_scheduled_for_whoever_can_work_for_all_members():
    found = {each.name: (each.user, each.words) for each in schedules("host1", JOBS)}
    assert found["host1-whole"] == ("root", ("run", "host1-whole"))
    assert found["host1-whole.prune"] == ("root", ("prune", "host1-whole"))
    alone = [*JOBS[1:2], {**JOBS[2], "members": ["etc"]}]
    assert {each.user for each in schedules("host1", alone)} == {"lifeboat"}


@pytest.mark.parametrize(
    ("keys", "rows", "missing"),
    [
        ([], ["a"], []),
        (["a"], [], ["a"]),
        (["a", "b", "c"], ["b"], ["a", "c"]),
        (["a", "b"], ["a", "aa", "b", "c"], []),
        (["Z", "a", "\u00e9", "\uffff", "\U0001f600"], ["Z", "\u00e9", "\U0001f600"], ["a", "\uffff"]),
    ],
)
def test_keys_are_looked_for_in_the_order_of_their_bytes(keys, rows, missing):
    assert [key for key, is_there in held(keys, rows) if not is_there] == missing
