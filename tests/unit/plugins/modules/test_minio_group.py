# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine import clock
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.minio.identity_api import Group, User
from ansible_collections.lifeboat.recovery.plugins.modules import minio_group
from ansible_collections.lifeboat.recovery.tests.unit.plugins.modules.identity_server import (
    IdentityServer,
    nothing_written,
)


@pytest.fixture
def server(monkeypatch):
    found = IdentityServer()
    found.users = {"anna": User(), "ben": User()}
    found.policies["other"] = {}
    monkeypatch.setattr(minio_group, "api_from", lambda _params: found)
    monkeypatch.setattr(clock, "sleep", lambda _seconds: None)
    return found


@pytest.fixture
def run(run_module):
    return lambda **options: run_module(minio_group, **{"name": "staff", **options})


FULL = {"members": ["ben", "anna"], "policies": ["readonly"], "status": "enabled"}


def test_a_group_is_created_with_members_and_policies(server, run):
    end = run(**FULL)
    assert end["changed"] and server.groups["staff"] == Group(True, ("anna", "ben"), ("readonly",))
    assert (end["members"], end["policies"], end["status"]) == (["anna", "ben"], ["readonly"], "enabled")
    assert end["diff"]["before"] == {"state": "absent"}


def test_a_second_run_changes_nothing(server, run):
    run(**FULL)
    with nothing_written(server):
        end = run(**FULL)
    assert not end["changed"] and end["diff"]["before"] == end["diff"]["after"]
    assert not run()["changed"]


@pytest.mark.parametrize("exists", [True, False])
def test_check_mode_only_reads(server, run, exists):
    if exists:
        run(members=["anna"])
    with nothing_written(server):
        end = run(**FULL, check_mode=True)
    assert end["changed"] and end["members"] == ["anna", "ben"]


def test_members_and_policies_are_exact_or_appended(server, run):
    run(members=["anna"], policies=["readonly"])
    end = run(members=["ben"], policies=["other"], append=True)
    assert (end["members"], end["policies"]) == (["anna", "ben"], ["other", "readonly"])
    end = run(members=["ben"], policies=["other"])
    assert (end["members"], end["policies"]) == (["ben"], ["other"])


def test_nobody_is_taken_out_by_a_request_that_would_remove_the_group(server, run):
    run(members=["anna"])
    end = run(members=[])
    assert end["members"] == [] and "staff" in server.groups
    with nothing_written(server):
        run(members=[])


@pytest.mark.parametrize("before, after", [("enabled", "disabled"), ("disabled", "enabled")])
def test_policies_change_while_the_group_is_enabled(server, run, before, after):
    run(members=["anna"], policies=["readonly"], status=before)
    run(policies=["other"], status=after)
    assert server.groups["staff"] == Group(after == "enabled", ("anna",), ("other",))


def test_policies_of_a_group_that_stays_disabled_are_not_changed(server, run):
    run(policies=["readonly"], status="disabled")
    with nothing_written(server):
        end = run(policies=["other"])
    assert end.failed and "disabled" in end["cause"]


def test_who_is_not_there_is_a_warning_in_check_mode_and_a_failure_else(server, run):
    end = run(members=["nobody"], policies=["nothing"], check_mode=True)
    assert not end.failed and len(end.warnings) == 2
    with nothing_written(server):
        assert "no policy nothing" in run(policies=["nothing"])["msg"]
        assert "no user nobody" in run(members=["nobody"])["msg"]


def test_a_group_goes_with_its_members_taken_out(server, run):
    run(**FULL)
    with nothing_written(server):
        assert run(state="absent", check_mode=True)["removed_members"] == ["anna", "ben"]
    assert run(state="absent")["changed"] and not server.groups
    assert not run(state="absent")["changed"]
    run(name="empty")
    assert run(name="empty", state="absent")["changed"]


def test_a_server_that_keeps_nothing_is_found_out(server, run):
    server.keeps = False
    end = run(members=["anna"])
    assert end.failed and "without an error" in end["cause"]


def test_a_name_with_a_comma_would_be_two(server, run):
    with nothing_written(server):
        assert "commas" in run(name="a,b")["msg"]
