# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge import identity_reports
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.minio.identity_api import Group
from ansible_collections.lifeboat.recovery.plugins.modules import minio_group_info
from ansible_collections.lifeboat.recovery.tests.unit.plugins.modules.identity_server import IdentityServer


@pytest.fixture
def server(monkeypatch):
    found = IdentityServer()
    monkeypatch.setattr(identity_reports, "api_from", lambda _params: found)
    return found


@pytest.fixture
def run(run_module):
    return lambda **options: run_module(minio_group_info, **options)


def test_all_groups_are_shown_in_the_order_of_their_names(server, run):
    server.groups = {"staff": Group(members=("amy",), policies=("readonly",)), "guests": Group(is_enabled=False)}
    end = run()
    assert end["groups"] == [
        {"name": "guests", "status": "disabled", "members": [], "policies": []},
        {"name": "staff", "status": "enabled", "members": ["amy"], "policies": ["readonly"]},
    ]
    assert end["total"] == 2 and not end["changed"]


def test_a_limit_reads_no_more_groups_than_it_shows(server, run, monkeypatch):
    server.groups = {name: Group() for name in ("a", "b", "c")}
    read = []
    monkeypatch.setattr(server, "group", lambda name: read.append(name) or server.groups[name])
    assert run(limit=2)["total"] == 3 and read == ["a", "b"]


def test_a_group_that_goes_meanwhile_is_left_out(server, run, monkeypatch):
    server.groups = {"staff": Group()}
    monkeypatch.setattr(server, "group_names", lambda: ("gone", "staff"))
    assert [each["name"] for each in run()["groups"]] == ["staff"]


def test_a_group_that_is_not_there_is_no_error(server, run):
    assert (run(name="staff")["groups"], run(name="staff")["total"]) == ([], 0)
