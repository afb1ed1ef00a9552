# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import LifeboatError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres import backup_role
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.databases import Database
from ansible_collections.lifeboat.recovery.plugins.modules import pg_backup_role

LACKING = backup_role.RolePlan(
    name="lifeboat",
    exists=True,
    is_superuser=False,
    attributes=("BYPASSRLS",),
    verifier="",
    memberships=("pg_read_all_data",),
    member_of=(),
    connects=(),
    large_objects={},
    major=15,
)
WHOLE = dataclasses.replace(LACKING, attributes=(), memberships=(), member_of=("pg_read_all_data",))


@pytest.fixture
def calls(monkeypatch):
    """Return what the module asks of the server, in order; the role lacks something until it is given."""
    found = []
    monkeypatch.setattr(backup_role, "plan", lambda server, wanted: found.append(wanted) or LACKING)
    monkeypatch.setattr(backup_role, "apply", lambda server, planned: found.append("apply"))
    monkeypatch.setattr(backup_role, "require_whole_dumps", lambda server, wanted: found.append("look"))
    return found


def test_a_role_is_given_what_it_lacks_and_then_looked_at(run_module, calls):
    end = run_module(pg_backup_role, name="lifeboat", databases=["shop", "shop"], password="word")
    assert not end.failed and end["changed"]
    assert end["missing"] == ["the attribute BYPASSRLS", "membership in pg_read_all_data"]
    assert (end["diff"]["before"]["bypassrls"], end["diff"]["after"]["bypassrls"]) == (False, True)
    assert calls == [backup_role.Wanted("lifeboat", ("shop",), "word"), "apply", "look"]


def test_check_mode_only_looks(run_module, calls):
    end = run_module(pg_backup_role, check_mode=True, name="lifeboat", databases=["shop"])
    assert end["changed"] and "apply" not in calls


def test_a_role_that_lacks_nothing_must_be_able_to_dump(run_module, calls, monkeypatch):
    monkeypatch.setattr(backup_role, "plan", lambda server, wanted: WHOLE)
    end = run_module(pg_backup_role, check_mode=True, name="lifeboat", databases=["shop"])
    assert not end["changed"] and end["missing"] == []
    assert calls == ["look"]

    def refuse(server, wanted):
        raise LifeboatError("Role lifeboat cannot back up database shop", "subscriptions", "be a superuser")

    monkeypatch.setattr(backup_role, "require_whole_dumps", refuse)
    end = run_module(pg_backup_role, check_mode=True, name="lifeboat", databases=["shop"])
    assert end.failed and end["remedy"] == "be a superuser"


def test_all_databases_are_those_that_take_connections(run_module, calls, monkeypatch):
    there = (Database("postgres", True, 1), Database("shop", True, 2), Database("template1", True, 1))
    monkeypatch.setattr(pg_backup_role.databases, "databases_of", lambda server: there)
    run_module(pg_backup_role, check_mode=True, name="lifeboat", all_databases=True, databases=["shop"])
    assert calls[0].databases == ("shop", "postgres")


def test_some_database_must_be_named(run_module, calls):
    end = run_module(pg_backup_role, name="lifeboat")
    assert end.failed and "no database is named" in end["msg"] and calls == []
