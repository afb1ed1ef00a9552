# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import datetime as dt
import json
import types

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import LifeboatError, UsageError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host import (
    config,
    inventory_config,
    set_backup,
    set_restore,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.backup_run import BackupResult, CopyResult
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.inventory_schedules import schedules
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.server_backup import (
    Failure,
    MemberOutcome,
    ServerResult,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.set_references import held

REPOSITORIES = {"local": {"path": "/srv/a"}, "site": {"path": "/srv/b"}, "far": {"path": "/srv/c"}}
REFERENCE = {"database": "db", "query": "SELECT object FROM paper", "objects": "papers"}


def parsed(jobs=None, **changed):
    return whole_config(jobs, **changed).jobs["whole"]


def whole_config(jobs=None, **changed):
    members = {
        "etc": {"kind": "files", "roots": ["/etc/shop"], "repositories": ["site", "far", "local"]},
        "papers": {"kind": "bucket", "buckets": ["papers"], "repositories": ["local", "site"]},
        "db": {"kind": "pg_database", "database": "shop", "repositories": ["local", "site", "far"]},
        **(jobs or {}),
    }
    whole = {"kind": "set", "members": ["etc", "db", "papers"], **changed}
    document = {"repositories": REPOSITORIES, "jobs": {"whole": whole, **members}}
    return config.parse(json.dumps(document).encode(), "config.json")


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


SERVER = {"kind": "pg_database", "databases": "all", "repositories": ["local", "site"]}


def test_all_databases_of_a_server_are_a_member_and_a_reference_names_one_of_them():
    (found,) = parsed({"db": SERVER}, references={"a": {**REFERENCE, "database": "db.shop"}}).references
    assert found.database == "db.shop"
    with pytest.raises(UsageError, match="is db, which is for several databases"):
        parsed({"db": SERVER}, references={"a": REFERENCE})
    with pytest.raises(UsageError, match="'etc.shop', which is no member of kind pg_database"):
        parsed({"db": SERVER}, references={"a": {**REFERENCE, "database": "etc.shop"}})


def of_point(*jobs):
    members = [{"job": job, "backup": f"of {job}", "present": ["local"]} for job in jobs]
    return {"id": "20261120T020000Z-0a1b2c", "members": members}


@pytest.mark.parametrize(
    ("only", "leave_out", "chosen"),
    [
        ((), (), ["db.shop", "db.wiki", "papers", "etc"]),
        (("db",), (), ["db.shop", "db.wiki"]),
        (("db.wiki", "etc"), (), ["db.wiki", "etc"]),
        ((), ("db",), ["papers", "etc"]),
        ((), ("db.shop", "etc"), ["db.wiki", "papers"]),
    ],
)
def test_databases_of_a_server_come_back_at_the_place_of_their_job_and_can_be_chosen(
    monkeypatch, only, leave_out, chosen
):
    config = whole_config({"db": SERVER})
    monkeypatch.setattr(set_restore.set_points, "choose", lambda *_a: of_point("etc", "db.shop", "db.wiki", "papers"))
    steps = []
    monkeypatch.setattr(set_restore, "step", lambda _config, name, *_a: steps.append(name))
    options = set_restore.Options((), only, leave_out)
    set_restore.plan(config, config.jobs["whole"], "latest", options, None, None)
    assert steps == chosen


def test_a_database_that_a_point_does_not_have_is_told(monkeypatch):
    config = whole_config({"db": SERVER})
    monkeypatch.setattr(set_restore.set_points, "choose", lambda *_a: of_point("etc", "db.shop", "papers"))
    options = set_restore.Options((), ("db.wiki",))
    with pytest.raises(LifeboatError, match="it has no db.wiki"):
        set_restore.plan(config, config.jobs["whole"], "latest", options, None, None)
    with pytest.raises(UsageError, match="does not have it"):
        set_restore.plan(config, config.jobs["whole"], "latest", set_restore.Options((), ("x.wiki",)), None, None)


@pytest.mark.parametrize("gone", [(), ("old",)])
def test_each_database_of_a_server_is_a_member_of_the_point_and_one_that_is_gone_prevents_it(monkeypatch, gone):
    """`shop` has no copy off site, and there was nothing to say of `wiki`."""
    config = whole_config({"db": SERVER})
    copies = (CopyResult("local", True, True, True), CopyResult("site", False, False, False, "away"))
    results = [BackupResult(f"db.{name}", f"id of {name}", copies, 1, 1, 1.0, 1.0, ()) for name in ("shop", "wiki")]
    failure = Failure("Backup is not in all of its repositories", "away", exit_code=5)
    members = (MemberOutcome("db.shop", "shop", results[0], failure), MemberOutcome("db.wiki", "wiki", results[1]))
    monkeypatch.setattr(set_backup.server_command, "server_job", lambda *_a: types.SimpleNamespace(on_gone="fail"))
    monkeypatch.setattr(set_backup.server_backup, "plan", lambda _job: None)
    result = ServerResult("db", members, gone, ("template2 is left out",), 1.0)
    monkeypatch.setattr(set_backup.server_backup, "run", lambda _plan, _say: result)
    places = (types.SimpleNamespace(name="local", store=None),)
    monkeypatch.setattr(type(config), "usable_places", lambda _self, _job: (places, {}))
    moment = dt.datetime(2026, 11, 20, tzinfo=dt.timezone.utc)
    manifest = types.SimpleNamespace(manifest=types.SimpleNamespace(started=moment, finished=moment))
    monkeypatch.setattr(set_backup.catalog, "find", lambda *_a: manifest)
    outcomes = set_backup.backed_up(config, config.jobs["db"], None, None)["outcomes"]
    assert [(each["job"], each.get("is_whole", False)) for each in outcomes] == [
        ("db.shop", True),
        ("db.wiki", True),
        *((f"db.{name}", False) for name in gone),
    ]
    assert [each.get("present") for each in outcomes[:2]] == [["local"], ["local"]]
    assert outcomes[0]["exit_code"] == 5 and outcomes[1]["problem"] == ""
    assert "warning: template2 is left out" in "\n".join(outcomes[0]["lines"])


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


def test_an_inventory_names_a_database_of_a_member_for_several():
    reference = {"database": "all.shop", "query": "SELECT 1", "objects": "etc"}
    whole = {**JOBS[2], "members": ["all", "etc"], "restore_order": ["all", "etc"], "references": {"files": reference}}
    jobs = [{"name": "all", "kind": "pg_database", "databases": "all", "run_as": "postgres"}, JOBS[1], whole]
    found = inventory_config.host_files("host1", jobs, PLACES).document["jobs"]["host1-whole"]
    assert found["references"]["files"]["database"] == "host1-all.shop"


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
    ("job", "words"),
    [
        ({"kind": "minio", "verify": {"schedule": "weekly", "level": "restore"}}, "server of its own"),
        ({"kind": "set", "members": ["db"], "lock": "daily"}, "no backups of its own"),
        ({"kind": "set", "members": ["db"], "copy": {"schedule": "daily", "tier": "weekly"}}, "mean nothing for them"),
    ],
)
def test_what_the_command_would_refuse_each_time_is_not_scheduled(job, words):
    with pytest.raises(UsageError, match=words):
        schedules("host1", [JOBS[0], {"name": "x", **job}])
    good = {key: "daily" if key in ("verify", "copy") else value for key, value in job.items() if key != "lock"}
    assert schedules("host1", [JOBS[0], {"name": "x", **good}]) is not None


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
