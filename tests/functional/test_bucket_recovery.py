# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The role bucket_recovery in somebody's playbook: a bucket without versions, and a folder."""

from __future__ import annotations

import json
import typing as t

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.directory import DirectoryStore
from ansible_collections.lifeboat.recovery.tests.functional.recovery_plays import Lab, running_lab

PLAY = [
    {
        "hosts": "all",
        "gather_facts": False,
        "roles": [
            {
                "role": "lifeboat.recovery.bucket_recovery",
                "vars": {
                    "bucket_recovery_names": "{{ lifeboat_job | default([]) }}",
                    "bucket_recovery_confirm": "{{ lifeboat_confirm | default([]) }}",
                },
            }
        ],
    }
]
PAPERS = {f"folder/{number}": b"%d" % number * 500 for number in range(12)}


@pytest.fixture(scope="module")
def lab() -> t.Iterator[Lab]:
    """A bucket and a folder that were backed up and then damaged."""
    with running_lab() as running:
        (running.folder / "play.yml").write_text(json.dumps(PLAY))
        running.make_bucket(running.near, "papers")
        running.write("papers", PAPERS)
        etc = running.folder / "etc"
        etc.mkdir()
        (etc / "app.conf").write_text("right")
        (etc / "gone.conf").write_text("needed")
        running.jobs = [
            running.bucket_job("papers", "local", "offsite"),
            {"name": "etc", "kind": "files", "roots": [str(etc)], "repositories": ["offsite"]},
        ]
        made = running.run("lifeboat.recovery.backup")
        assert made.is_good, made.said
        running.remove("papers", "folder/1", "folder/2")
        running.write("papers", {"folder/3": b"damaged", "new": b"written since"})
        (etc / "app.conf").write_text("wrong")
        (etc / "gone.conf").unlink()
        yield running


def state(lab: Lab) -> dict[str, t.Any]:
    files = {path.name: path.read_text() for path in sorted((lab.folder / "etc").iterdir())}
    return {"papers": lab.contents("papers"), "etc": files}


def records(lab: Lab) -> list[dict[str, t.Any]]:
    store = DirectoryStore(str(lab.folder / "repository"))
    keys = [each.key for each in store.entries("") if each.key.startswith("recoveries/")]
    return [json.loads(b"".join(store.read(key))) for key in keys]


def test_nothing_is_changed_before_the_plan_is_confirmed(lab: Lab) -> None:
    damaged = state(lab)
    for arguments, is_good in ((("--check", "--diff"), True), ((), False)):
        ended = lab.run(lab.folder / "play.yml", *arguments, lifeboat_job="papers", lifeboat_confirm="etc")
        assert ended.is_good is is_good, ended.said
        assert "9 objects as in the backup, 2 missing, 1 that differ" in ended.shown
        assert ended.changed == [] and state(lab) == damaged
    assert "lifeboat_confirm=papers (it is etc)" in ended.shown


def test_what_was_lost_comes_back_the_rest_is_kept_and_later_work_is_not_undone(lab: Lab) -> None:
    flag, play = lab.folder / "running", lab.folder / "play.yml"
    flag.touch()
    stop, start = ["mv", str(flag), str(lab.folder / "stopped")], ["touch", str(flag)]
    part = {"name": "shop", "running": ["test", "-e", str(flag)], "stop": stop, "start": start}
    more = {"lifeboat_confirm": "papers, etc", "application_control_parts": [part]}

    ended = lab.run(play, **more)

    assert ended.is_good, ended.said
    assert state(lab) == {
        "papers": {**PAPERS, "new": b"written since"},
        "etc": {"app.conf": "right", "gone.conf": "needed"},
    }
    kept = lab.contents("lifeboat-quarantine")
    assert b"damaged" in kept.values()
    saved = [path.read_text() for path in (lab.folder / "quarantine").rglob("app.conf")]
    assert saved == ["wrong"]
    assert (lab.folder / "stopped").exists() and flag.exists()
    (record,) = records(lab)
    assert (record["job"], record["scenario"]) == ("app1-papers", "bucket_recovery")
    assert [phase["name"] for phase in record["phases"]] == ["assess", "protect", "recover", "validate", "reconstitute"]
    assert record["recovered"]["written"] == 3 and record["new_backup"]["repositories"] == ["local", "offsite"]

    more = {**more, "lifeboat_job": "papers"}
    lab.write("papers", {"folder/4": b"work of the application"})
    # As if the first run had been killed before it started the application.
    (lab.folder / "applications").mkdir(exist_ok=True)
    (lab.folder / "applications" / "application.json").write_text('{"shop": []}')
    flag.unlink()
    ended = lab.run(play, **more)
    assert ended.is_good and ended.changed == ["Start the part", "Forget what was stopped"], ended.said
    assert "what differs was written since" in ended.shown and flag.exists()
    assert lab.contents("papers")["folder/4"] == b"work of the application"

    lab.remove("papers", "folder/5")
    ended = lab.run(play, **more)
    assert not ended.is_good and "lifeboat_again" in ended.shown
    assert ended.changed == [] and "folder/5" not in lab.contents("papers")


def test_a_time_before_all_backups_is_told_instead_of_restoring_what_may_be_damaged(lab: Lab) -> None:
    ended = lab.run(lab.folder / "play.yml", lifeboat_job="papers", bucket_recovery_failed_at="2020-01-01T00:00:00Z")
    assert not ended.is_good and ended.changed == []
    assert "has no proved backup that was finished before 2020-01-01T00:00:00Z" in ended.shown
