# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import types

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import GuardRefusal, LifeboatError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host import set_plan
from ansible_collections.lifeboat.recovery.plugins.modules import backup_set
from ansible_collections.lifeboat.recovery.tests.unit.plugins.modules.set_host import set_host

__all__ = ["set_host"]


def test_a_run_records_which_backups_belong_together(run_module, set_host):
    end = run_module(backup_set, **set_host.options)
    assert not end.failed and end["changed"] and end["complete"]
    assert set_host.points() == [end["id"]]
    assert [(each["job"], each["complete"], each["present"]) for each in end["members"]] == [
        ("data", True, ["local"]),
        ("config", True, ["local"]),
    ]
    assert [(each["repository"], each["present"], each["proved"]) for each in end["copies"]] == [("local", True, True)]


def test_check_mode_looks_and_writes_nothing(run_module, set_host):
    before = set_host.local.files()
    end = run_module(backup_set, True, **set_host.options)
    assert not end.failed and end["changed"]
    assert [each["job"] for each in end["members"]] == ["data", "config"]
    assert set_host.local.files() == before


def test_check_mode_fails_where_a_member_could_not_run(run_module, set_host):
    (set_host.folders["config"] / "file").unlink()
    end = run_module(backup_set, True, **set_host.options)
    assert end.failed and "config" in end["cause"]


def test_a_member_that_fails_leaves_no_point_and_the_backups_of_the_others(run_module, set_host):
    (set_host.folders["config"] / "file").unlink()
    end = run_module(backup_set, **set_host.options)
    assert end.failed and end["changed"] and end["exit_code"] == 5
    assert [bool(each["backup"]) for each in end["members"]] == [True, False]
    assert end["id"] == "" and set_host.points() == []
    assert any("config" in warning for warning in end.warnings)


def test_a_job_that_is_no_set_is_refused(run_module, set_host):
    end = run_module(backup_set, **{**set_host.options, "job": "data"})
    assert end.failed and "it is of kind files" in end["cause"]


SERVER = {"kind": "pg_database", "databases": "all", "login_host": "127.0.0.1", "repositories": ["local"]}


@pytest.fixture
def server(set_host, monkeypatch):
    """Let the set have a job for all databases of a server as a member; the server is what a test says of it."""
    document = json.loads(set_host.config.read_text())
    document["jobs"]["db"] = dict(SERVER)
    document["jobs"]["whole"]["members"] = ["db", "data"]
    set_host.config.write_text(json.dumps(document))
    found = types.SimpleNamespace(databases=["shop", "wiki"], gone=(), closed=(), document=document)
    log = set_host.config.with_name("looked_at")  # members are looked at in processes of their own
    log.touch()
    found.looked_at = lambda: log.read_text().split()

    def look(job):
        return types.SimpleNamespace(
            job=job, gone=found.gone, databases=[types.SimpleNamespace(name=name) for name in found.databases]
        )

    def look_at_one(job):
        with open(log, "a") as file:
            file.write(f"{job.name}\n")
        if job.database in found.closed:
            raise GuardRefusal(
                "closed_database", f"Cannot back up {job.database}", "it allows no connections", "open it"
            )

    monkeypatch.setattr(set_plan.server_backup, "plan", look)
    monkeypatch.setattr(set_plan.database_plan, "plan", look_at_one)
    return found


def test_check_mode_looks_at_every_database_of_a_member_and_writes_nothing(run_module, set_host, server):
    before = set_host.local.files()
    end = run_module(backup_set, True, **set_host.options)
    assert not end.failed and end["changed"]
    assert [(each["job"], each["kind"]) for each in end["members"]] == [("db", "pg_database"), ("data", "files")]
    assert server.looked_at() == ["db.shop", "db.wiki"]
    assert set_host.local.files() == before and set_host.points() == []


def test_check_mode_names_every_database_that_could_not_be_backed_up(run_module, set_host, server):
    server.closed, server.gone = ("wiki",), ("old",)
    end = run_module(backup_set, True, **set_host.options)
    assert end.failed and server.looked_at() == ["db.shop", "db.wiki"]
    assert "Cannot back up wiki: it allows no connections" in end["cause"] and "old" in end["cause"]
    assert set_host.points() == []


def test_check_mode_lets_databases_go_that_may_be_gone(run_module, set_host, server):
    server.gone = ("old",)
    server.document["jobs"]["db"]["on_gone"] = "ignore"
    set_host.config.write_text(json.dumps(server.document))
    assert not run_module(backup_set, True, **set_host.options).failed


def test_check_mode_fails_where_the_server_of_a_member_is_away(run_module, set_host, server, monkeypatch):
    def away(_job):
        raise LifeboatError("Cannot connect to 127.0.0.1", "connection refused", "start it")

    monkeypatch.setattr(set_plan.server_backup, "plan", away)
    end = run_module(backup_set, True, **set_host.options)
    assert end.failed and "db: Cannot connect to 127.0.0.1: connection refused" in end["cause"]
