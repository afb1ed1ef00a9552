# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine import clock
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.minio.identity_api import Group, User
from ansible_collections.lifeboat.recovery.plugins.modules import minio_policy
from ansible_collections.lifeboat.recovery.tests.unit.plugins.modules.identity_server import (
    IdentityServer,
    nothing_written,
)

STATEMENT = {"Effect": "Allow", "Action": ["s3:GetObject", "s3:ListBucket"], "Resource": "*"}
DOCUMENT = {"Version": "2012-10-17", "Statement": [STATEMENT]}


@pytest.fixture
def server(monkeypatch):
    found = IdentityServer()
    monkeypatch.setattr(minio_policy, "api_from", lambda _params: found)
    monkeypatch.setattr(clock, "sleep", lambda _seconds: None)
    return found


@pytest.fixture
def run(run_module):
    return lambda **options: run_module(minio_policy, **{"name": "reports", **options})


@pytest.mark.parametrize("form", [dict, json.dumps])
def test_a_policy_is_written_from_a_dictionary_or_a_text(server, run, form):
    end = run(document=form(DOCUMENT))
    assert end["changed"] and end["document"] == DOCUMENT == server.policies["reports"]
    assert end["diff"] == {"before": {"state": "absent"}, "after": {"state": "present", "document": DOCUMENT}}


@pytest.mark.parametrize(
    "kept",
    [
        {"Action": ["s3:ListBucket", "s3:GetObject"], "Resource": ["**"]},
        {"Action": ["s3:GetObject", "s3:ListBucket", "s3:GetObject"], "Resource": "arn:aws:s3:::*", "Sid": "a label"},
    ],
)
def test_what_the_server_makes_of_a_policy_is_no_change(server, run, kept):
    server.policies["reports"] = {"ID": "x", "Version": "2012-10-17", "Statement": [{**STATEMENT, **kept}]}
    with nothing_written(server):
        end = run(document=DOCUMENT)
    assert not end["changed"] and end["diff"]["before"] == end["diff"]["after"]


def test_check_mode_only_reads(server, run):
    with nothing_written(server):
        assert run(document=DOCUMENT, check_mode=True)["changed"]
        server.policies["reports"] = DOCUMENT
        assert run(state="absent", check_mode=True)["changed"]


def test_a_grant_is_a_ready_made_policy(server, run):
    end = run(grant={"role": "writer", "bucket": "backups", "prefix": "db1"})
    assert end["changed"]
    assert "arn:aws:s3:::backups/db1/intents/*" in str(server.policies["reports"])
    assert not run(grant={"role": "writer", "bucket": "backups", "prefix": "/db1/"})["changed"]
    assert run(grant={"role": "reader", "bucket": "backups", "prefix": "db1"})["changed"]


def test_a_policy_in_use_is_not_removed(server, run):
    server.policies["reports"] = DOCUMENT
    server.users["anna"], server.groups["staff"] = User(policies=("reports",)), Group(policies=("reports",))
    with nothing_written(server):
        end = run(state="absent")
    assert (end["guard"], end["exit_code"]) == ("policy_in_use", 3)
    assert "user anna" in end["cause"] and "group staff" in end["cause"]


def test_a_policy_is_removed_once(server, run):
    server.policies["reports"] = DOCUMENT
    assert run(state="absent")["changed"]
    assert not run(state="absent")["changed"]


def test_the_policies_of_the_server_itself_are_left_alone(server, run):
    with nothing_written(server):
        assert run(name="readonly", state="absent")["guard"] == "built_in_policy"
        assert run(name="readonly", document=DOCUMENT)["guard"] == "built_in_policy"


def test_a_server_that_keeps_something_else_is_found_out(server, run):
    server.keeps = False
    end = run(document=DOCUMENT)
    assert end.failed and "without an error" in end["cause"]


@pytest.mark.parametrize(
    "options, words",
    [
        ({}, "document, grant"),
        ({"document": DOCUMENT, "grant": {"role": "reader", "bucket": "b"}}, "mutually exclusive"),
        ({"document": "no JSON"}, "no JSON"),
        ({"document": "[]"}, "at least one statement"),
        ({"document": {"Version": "2012-10-17", "Statement": []}}, "at least one statement"),
        ({"document": {"Statement": [{"Effect": "Allow", "NotAction": "s3:*", "Resource": "*"}]}}, "NotAction"),
        ({"document": {"Statement": {"Effect": "Allow", "Principal": "*", "Action": "s3:*"}}}, "Principal"),
        ({"grant": {"role": "reader", "bucket": "*"}}, "wildcards"),
        ({"name": "a,b", "document": DOCUMENT}, "commas"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_written(server, run, options, words):
    with nothing_written(server):
        end = run(**options)
    assert end.failed and words in end["msg"]
