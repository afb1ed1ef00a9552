# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The playbook for a single object that came to harm, in a bucket with versions."""

from __future__ import annotations

import re
import typing as t

import pytest
from ansible_collections.lifeboat.recovery.tests.functional.recovery_plays import Lab, running_lab

PLAYBOOK = "lifeboat.recovery.dr.single_object"
KEY = "reports/annual.pdf"
RIGHT = b"the report as it was"


@pytest.fixture(scope="module")
def lab() -> t.Iterator[Lab]:
    """An object that was overwritten between two backups."""
    with running_lab() as running:
        running.make_bucket(running.near, "papers", versioned=True)
        running.write("papers", {KEY: RIGHT, "other": b"other"})
        running.jobs = [running.bucket_job("papers", "local")]
        assert running.run("lifeboat.recovery.backup").is_good
        running.write("papers", {KEY: b"encrypted!", "other": b"work that shall stay"})
        assert running.run("lifeboat.recovery.backup").is_good
        yield running


def first_backup(said: str) -> str:
    """Return the id that the history tells of the state with the size of the right one."""
    found = re.search(rf"{len(RIGHT)} bytes, SHA-256 \w+, such as (\S+-[0-9a-f]{{6}})", said)
    assert found, said
    return found.group(1)


def test_the_history_leads_to_the_state_that_comes_back(lab: Lab) -> None:
    asked = {"lifeboat_job": "papers", "lifeboat_key": KEY}
    ended = lab.run(PLAYBOOK, **asked)
    assert ended.is_good and "on the server, version of" in ended.shown, ended.said
    assert ended.changed == [] and lab.contents("papers")[KEY] == b"encrypted!"
    backup = first_backup(ended.shown)

    ended = lab.run(PLAYBOOK, **asked, lifeboat_backup=backup, lifeboat_confirm="papers")
    assert ended.is_good, ended.said
    assert lab.contents("papers") == {KEY: RIGHT, "other": b"work that shall stay"}

    ended = lab.run(PLAYBOOK, **asked, lifeboat_backup=backup, lifeboat_confirm="papers")
    assert ended.is_good and ended.changed == [], ended.said


def test_an_object_can_be_looked_at_in_another_bucket_and_one_that_is_in_no_backup_is_told(lab: Lab) -> None:
    before = lab.contents("papers")
    asked = {"lifeboat_job": "papers", "lifeboat_confirm": "papers", "lifeboat_collection": "papers"}
    ended = lab.run(PLAYBOOK, **asked, lifeboat_prefix="oth", lifeboat_to_bucket="papers-before")
    assert ended.is_good, ended.said
    assert set(lab.contents("papers-before")) == {"other"} and lab.contents("papers") == before
    assert "Back the buckets up" not in ended.changed

    ended = lab.run(PLAYBOOK, **asked, lifeboat_key="no such key")
    assert not ended.is_good and "no backup has it" in ended.shown and "has nothing like no such key" in ended.shown
