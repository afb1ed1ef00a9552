# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The playbook that copies backups, with a repository that was lost."""

from __future__ import annotations

import shutil
import typing as t

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository import catalog
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.directory import DirectoryStore
from ansible_collections.lifeboat.recovery.tests.functional.recovery_plays import Lab, running_lab

PLAYBOOK = "lifeboat.recovery.copy"


@pytest.fixture(scope="module")
def lab() -> t.Iterator[Lab]:
    """Two jobs with two backups off-site, and a local repository whose disk was replaced."""
    with running_lab() as running:
        for name in ("papers", "scans"):
            running.make_bucket(running.near, name)
            running.write(name, {"one": name.encode()})
        running.jobs = [running.bucket_job("papers", "local", "offsite"), running.bucket_job("scans", "offsite")]
        for number in range(2):
            running.write("papers", {f"more{number}": b"more"})
            assert running.run("lifeboat.recovery.backup").is_good
        shutil.rmtree(running.folder / "repository")
        yield running


def copies(lab: Lab) -> list[bool]:
    store = DirectoryStore(str(lab.folder / "repository"))
    return [each.is_good for each in catalog.backups(store, "app1-papers")]


def test_a_lost_repository_is_made_again_and_filled_and_a_second_run_changes_nothing(lab: Lab) -> None:
    assert not lab.run(PLAYBOOK, lifeboat_job="papers").is_good
    more = {"lifeboat_make": "local", "lifeboat_create_directories": ["local"], "lifeboat_backup": "all"}

    ended = lab.run(PLAYBOOK, lifeboat_job="papers", **more)
    assert ended.is_good, ended.said
    assert copies(lab) == [True, True]
    assert "papers: 2 backups" in ended.shown and "from offsite to local" in ended.shown

    ended = lab.run(PLAYBOOK, **more)
    assert ended.is_good and ended.changed == [], ended.said


def test_a_job_that_has_nothing_to_copy_is_told_when_it_was_named(lab: Lab) -> None:
    ended = lab.run(PLAYBOOK, lifeboat_job="scans", lifeboat_to="local")
    assert not ended.is_good and "app1-scans has no latest_good that could be copied to local" in ended.shown
    ended = lab.run(PLAYBOOK, lifeboat_job="nothing", lifeboat_from="nowhere")
    assert not ended.is_good and "There is no nothing, nowhere" in ended.shown
