# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository import hold, layout
from ansible_collections.lifeboat.recovery.plugins.modules import backup_hold

JOB = "db1-shop"
LATER = "2099-06-30T00:00:00Z"


@pytest.fixture
def local(new_repository):
    return new_repository("local")


@pytest.fixture
def run(run_module, local):
    manifest = local.back_up()

    def run(check_mode=False, **options):
        given = {"job": JOB, "id": manifest.id, "repository": local.options, **options}
        return run_module(backup_hold, check_mode, **given)

    return run


def holds(repository):
    return [(each.reason, each.until) for each in hold.read(repository.store, JOB).values()]


def test_a_backup_is_held_and_released_once(run, local):
    planned = run(check_mode=True, reason="an audit", until=LATER)
    assert planned["changed"] and holds(local) == []
    end = run(reason="an audit", until=LATER)
    assert end["changed"] and end["diff"] == planned["diff"]
    assert (end["held"], end["reason"], end["until"]) == (True, "an audit", "2099-06-30T00:00:00.000000Z")
    assert [reason for reason, _until in holds(local)] == ["an audit"]
    assert not run(reason="an audit", until=LATER)["changed"]
    released = run(state="released")
    assert released["changed"] and not released["held"] and holds(local) == []
    assert not run(state="released")["changed"]


def test_another_reason_or_time_replaces_a_hold(run, local):
    run(reason="an audit", until=LATER)
    assert run(reason="a lawsuit")["changed"]
    assert holds(local) == [("a lawsuit", None)]


def test_a_hold_that_cannot_be_read_can_be_released(run, local):
    backup_id = run(reason="an audit")["id"]
    local.store.put(layout.hold(JOB, backup_id), b"gibberish")
    assert run(state="released")["changed"] and holds(local) == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "reason"),
        ({"reason": " "}, "reason is empty"),
        ({"reason": "an audit", "until": "2020-01-01T00:00:00Z"}, "this time is over"),
        ({"reason": "an audit", "until": "tomorrow"}, "no time in UTC"),
        ({"reason": "an audit", "id": "20200101T000000Z-000000"}, "it is not there"),
        ({"reason": "an audit", "id": "latest"}, "only its id"),
        ({"reason": "an audit", "repository": {"path": "/nowhere"}}, "/nowhere"),
    ],
)
def test_what_cannot_work_is_refused(run, local, options, words):
    end = run(**options)
    assert end.failed and words in end["msg"]
    assert holds(local) == []
