# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge import identity_reports
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.minio.identity_api import User
from ansible_collections.lifeboat.recovery.plugins.modules import minio_policy_info
from ansible_collections.lifeboat.recovery.tests.unit.plugins.modules.identity_server import IdentityServer


@pytest.fixture
def server(monkeypatch):
    found = IdentityServer()
    monkeypatch.setattr(identity_reports, "api_from", lambda _params: found)
    return found


@pytest.fixture
def run(run_module):
    return lambda **options: run_module(minio_policy_info, **options)


def test_all_policies_are_shown_and_nobody_is_asked_who_has_them(server, run, monkeypatch):
    monkeypatch.setattr(server, "holders", None)
    server.policies["shop"] = {"Version": "2012-10-17", "Statement": []}
    end = run()
    assert [(each["name"], each["is_built_in"]) for each in end["policies"]] == [("readonly", True), ("shop", False)]
    assert end["policies"][1]["document"] == server.policies["shop"] and "users" not in end["policies"][1]
    assert end["total"] == 2 and not end["changed"]


def test_who_has_a_policy_is_shown_where_that_is_wanted(server, run):
    server.users = {"amy": User(policies=("readonly",)), "bob": User()}
    (row,) = run(name="readonly", holders=True)["policies"]
    assert (row["users"], row["groups"]) == (["amy"], [])


def test_a_policy_that_is_not_there_is_no_error(server, run):
    assert run(name="shop")["policies"] == []
