# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge import identity_reports
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.minio.identity_api import Group, User
from ansible_collections.lifeboat.recovery.plugins.modules import minio_user_info
from ansible_collections.lifeboat.recovery.tests.unit.plugins.modules.identity_server import IdentityServer


@pytest.fixture
def server(monkeypatch):
    found = IdentityServer()
    monkeypatch.setattr(identity_reports, "api_from", lambda _params: found)
    return found


@pytest.fixture
def run(run_module):
    return lambda **options: run_module(minio_user_info, **options)


def test_all_users_are_shown_in_the_order_of_their_names_without_secrets(server, run):
    server.users = {"zoe": User(is_enabled=False), "amy": User(policies=("readonly",))}
    server.secrets = {"zoe": "canary-secret"}
    server.groups = {"staff": Group(members=("amy",))}
    end = run()
    assert end["users"] == [
        {"name": "amy", "status": "enabled", "policies": ["readonly"], "groups": ["staff"]},
        {"name": "zoe", "status": "disabled", "policies": [], "groups": []},
    ]
    assert end["total"] == 2 and not end["changed"] and "canary" not in str(end.answer)


def test_a_limit_shows_the_first_ones_and_says_how_many_there_are(server, run):
    server.users = {name: User() for name in ("amy", "bob", "zoe")}
    end = run(limit=1)
    assert ([each["name"] for each in end["users"]], end["total"]) == (["amy"], 3)
    assert len(run(limit=0)["users"]) == 3


def test_one_user_is_shown_and_one_that_is_not_there_is_no_error(server, run):
    server.users = {"amy": User(), "bob": User()}
    assert [each["name"] for each in run(name="bob")["users"]] == ["bob"]
    assert (run(name="zoe")["users"], run(name="zoe")["total"]) == ([], 0)


def test_a_negative_limit_is_refused(server, run):
    end = run(limit=-1)
    assert end.failed and "limit is -1" in end["msg"]
