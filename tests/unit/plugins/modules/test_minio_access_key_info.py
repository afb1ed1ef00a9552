# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import datetime as dt

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge import identity_reports
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.minio.identity_api import AccessKey
from ansible_collections.lifeboat.recovery.plugins.modules import minio_access_key_info
from ansible_collections.lifeboat.recovery.tests.unit.plugins.modules.identity_server import IdentityServer


@pytest.fixture
def server(monkeypatch):
    found = IdentityServer()
    monkeypatch.setattr(identity_reports, "api_from", lambda _params: found)
    return found


@pytest.fixture
def run(run_module):
    return lambda **options: run_module(minio_access_key_info, **options)


@pytest.fixture
def keys(server):
    server.keys = {
        "shop-2": AccessKey("shop", is_enabled=False, expires=dt.datetime(2027, 1, 31, 12, tzinfo=dt.timezone.utc)),
        "shop-1": AccessKey("shop", policy={"Version": "2012-10-17", "Statement": []}, label="nightly"),
        "root-1": AccessKey("root"),
    }
    server.secrets = {"shop-1": "canary-secret"}


def test_all_access_keys_are_shown_in_their_order_without_secrets(keys, run):
    end = run()
    assert [each["key_id"] for each in end["access_keys"]] == ["root-1", "shop-1", "shop-2"]
    assert end["access_keys"][2]["status"] == "disabled"
    assert end["access_keys"][2]["expires"] == "2027-01-31T12:00:00Z"
    assert end["access_keys"][1]["policy"]["Statement"] == [] and end["access_keys"][0]["policy"] is None
    assert not end["changed"] and "canary" not in str(end.answer)


def test_those_of_one_user_are_shown_up_to_the_limit(keys, run):
    end = run(user="shop", limit=1)
    assert ([each["key_id"] for each in end["access_keys"]], end["total"]) == (["shop-1"], 2)


def test_an_access_key_that_is_not_there_or_of_somebody_else_is_not_shown(keys, run):
    assert [each["user"] for each in run(key_id="shop-2", user="shop")["access_keys"]] == ["shop"]
    assert run(key_id="shop-3")["access_keys"] == []
    assert (run(key_id="root-1", user="shop")["access_keys"], run(key_id="root-1", user="shop")["total"]) == ([], 0)
