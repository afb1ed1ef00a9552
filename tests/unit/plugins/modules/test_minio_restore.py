# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import copy

import pytest
from ansible_collections.lifeboat.recovery.plugins.modules import minio_backup, minio_restore
from ansible_collections.lifeboat.recovery.tests.unit.plugins.modules.server_double import (
    SECRET,
    URL,
    keyring,
    server,
)

__all__ = ["keyring", "server"]


@pytest.fixture
def run(run_module, new_repository, server, keyring):
    shared = {
        "job": "minio1-server",
        "endpoint_url": URL,
        "access_key": "root",
        "secret_key": "other",
        "repositories": [new_repository("local").options],
    }
    run_module(minio_backup, **shared)

    def run(check_mode=False, **options):
        end = run_module(minio_restore, check_mode, **{**shared, **options})
        assert SECRET not in repr(end.answer) + repr(end.warnings)
        return end

    return run


@pytest.fixture
def lost(run, server):
    """Lose all that the server had, and return what it was."""
    before = copy.deepcopy((server.identities, server.buckets))
    server.identities, server.buckets = {"policies": {}, "users": {}}, {}
    return before


def test_what_is_missing_comes_back_and_a_second_run_changes_nothing(run, server, lost):
    end = run()
    assert not end.failed and end["changed"]
    assert (end["written"], end["problems"]) == (4, [])
    assert (server.identities, server.buckets) == lost
    assert not run()["changed"]


def test_check_mode_names_what_would_be_written(run, server, lost):
    end = run(check_mode=True)
    assert not end.failed and end["changed"]
    assert end["counts"] == {"add": 4, "change": 0}
    assert {"kind": "users", "name": "shop", "action": "add"} in end["changes"]
    assert end["diff"]["after"]["users shop"] == "as in the backup"
    assert server.buckets == {}


def test_what_is_there_is_changed_only_when_the_server_is_confirmed(run, server):
    server.identities["users"]["shop"]["secretKey"] = "another"
    refused = run()
    assert refused.failed and refused["guard"] == "confirm"
    assert refused["counts"] == {"add": 0, "change": 1}
    assert server.identities["users"]["shop"]["secretKey"] == "another"
    assert run(confirm="https://minio2.example.com").failed
    assert not run(confirm=URL).failed
    assert server.identities["users"]["shop"]["secretKey"] == SECRET


def test_a_part_can_be_chosen(run, server, lost):
    assert not run(part="buckets").failed
    assert (server.identities["users"], list(server.buckets)) == ({}, ["papers"])
    assert not run(part="identities", users=["shop"]).failed
    assert list(server.identities["users"]) == ["shop"]
    assert run(buckets=["nope"])["exit_code"] == 2


def test_what_the_server_does_not_keep_is_told(run, server, lost):
    server.send = _forgetful(server)
    end = run()
    assert end.failed and end["changed"] and end["exit_code"] == 5
    assert any("add users shop" in each for each in end["problems"])


def _forgetful(server):
    answer = server.send

    def send(client, problem, method, verb, query=(), body=b"", most=0):
        return b"{}" if verb == "import-iam-v2" else answer(client, problem, method, verb, query, body, most)

    return send
