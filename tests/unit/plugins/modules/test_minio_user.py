# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine import clock
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.minio.identity_api import AccessKey, User
from ansible_collections.lifeboat.recovery.plugins.modules import minio_user
from ansible_collections.lifeboat.recovery.tests.unit.plugins.modules.identity_server import (
    IdentityServer,
    nothing_written,
)

SECRET, OTHER = "canary-secret-one", "canary-secret-two"


@pytest.fixture
def server(monkeypatch):
    found = IdentityServer()
    monkeypatch.setattr(minio_user, "api_from", lambda _params: found)
    monkeypatch.setattr(clock, "sleep", lambda _seconds: None)
    return found


@pytest.fixture
def run(run_module):
    return lambda **options: run_module(minio_user, **{"name": "shop", **options})


def test_a_user_is_created_with_its_policies(server, run):
    end = run(user_secret=SECRET, policies=["readonly"])
    assert end["changed"] and (end["status"], end["policies"], end["groups"]) == ("enabled", ["readonly"], [])
    assert server.done == ["write shop", "policies of shop"]
    assert end["diff"]["before"] == {"state": "absent"}
    assert SECRET not in str(end.answer)


def test_a_second_run_changes_nothing(server, run):
    run(user_secret=SECRET, policies=["readonly"], status="enabled")
    with nothing_written(server):
        end = run(user_secret=SECRET, policies=["readonly"], status="enabled")
    assert not end["changed"] and end["diff"]["before"] == end["diff"]["after"]


@pytest.mark.parametrize("exists", [True, False])
def test_check_mode_only_reads(server, run, exists):
    if exists:
        run(user_secret=SECRET)
    with nothing_written(server):
        end = run(user_secret=OTHER, policies=["readonly"], check_mode=True)
    assert end["changed"] and end["policies"] == ["readonly"]


def test_a_secret_that_does_not_work_is_set_and_never_shown(server, run):
    run(user_secret=SECRET)
    end = run(user_secret=OTHER)
    assert end["changed"] and server.secrets["shop"] == OTHER
    assert end["diff"]["before"]["secret"] == "another one"
    assert SECRET not in str(end.answer) and OTHER not in str(end.answer)


def test_the_secret_of_a_disabled_user_waits_until_the_user_is_enabled(server, run):
    run(user_secret=SECRET, status="disabled")
    assert not run(user_secret=OTHER)["changed"]
    assert run(user_secret=OTHER, status="enabled")["changed"]
    assert server.secrets["shop"] == OTHER and server.users["shop"].is_enabled


@pytest.mark.parametrize("before, after", [("enabled", "disabled"), ("disabled", "enabled")])
def test_policies_change_while_the_user_is_enabled(server, run, before, after):
    server.policies["other"] = {}
    run(user_secret=SECRET, policies=["readonly"], status=before)
    run(policies=["other"], status=after)
    assert server.users["shop"] == User(after == "enabled", ("other",))


def test_policies_of_a_user_that_stays_disabled_are_not_changed(server, run):
    run(user_secret=SECRET, policies=["readonly"], status="disabled")
    with nothing_written(server):
        end = run(policies=[])
    assert end.failed and "disabled" in end["cause"]


def test_what_is_not_set_stays(server, run):
    run(user_secret=SECRET, policies=["readonly"])
    assert not run()["changed"]
    end = run(status="disabled")
    assert end["changed"] and end["policies"] == ["readonly"] and server.done[-1] == "status of shop"


def test_policies_are_exact_or_appended(server, run):
    server.policies["other"] = {}
    run(user_secret=SECRET, policies=["readonly"])
    assert run(policies=["other"], append=True)["policies"] == ["other", "readonly"]
    assert run(policies=["other"])["policies"] == ["other"]
    assert run(policies=[])["policies"] == []


def test_a_policy_that_is_not_there_is_a_warning_in_check_mode_and_a_failure_else(server, run):
    end = run(user_secret=SECRET, policies=["nothing"], check_mode=True)
    assert not end.failed and "no policy nothing" in end.warnings[0]
    with nothing_written(server):
        end = run(user_secret=SECRET, policies=["nothing"])
    assert end.failed and "minio_policy" in end["remedy"]


def test_a_user_goes_with_its_access_keys(server, run):
    run(user_secret=SECRET)
    server.keys["shop-import"] = AccessKey("shop")
    with nothing_written(server):
        assert run(state="absent", check_mode=True)["removed_access_keys"] == ["shop-import"]
    assert run(state="absent")["changed"]
    assert not run(state="absent")["changed"]


@pytest.mark.parametrize("options", [{"state": "absent"}, {"status": "disabled"}, {"user_secret": OTHER}])
def test_a_task_does_not_lock_itself_out(server, run, options):
    server.users["shop"], server.secrets["shop"], server.caller = User(), SECRET, "shop"
    with nothing_written(server):
        end = run(**options)
    assert end.failed and (end["guard"], end["exit_code"]) == ("own_key", 3)


def test_a_server_that_keeps_nothing_is_found_out(server, run):
    server.keeps = False
    end = run(user_secret=SECRET, policies=["readonly"])
    assert end.failed and "without an error" in end["cause"]


@pytest.mark.parametrize(
    "options, words",
    [
        ({}, "secret key"),
        ({"user_secret": "short"}, "8 characters"),
        ({"name": "ab", "user_secret": SECRET}, "3 characters"),
        ({"name": "a,b", "user_secret": SECRET}, "comma"),
        ({"name": "anna b", "user_secret": SECRET}, "without blanks"),
        ({"name": "j\u00fcrgen", "user_secret": SECRET}, "ASCII"),
        ({"user_secret": f"{SECRET}\n"}, "line feed"),
        ({"name": "root", "user_secret": SECRET}, "root user"),
        ({"status": "asleep"}, "asleep"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_written(server, run, options, words):
    with nothing_written(server):
        end = run(**options)
    assert end.failed and words in end["msg"]
