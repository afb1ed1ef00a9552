# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge import places
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.directory import DirectoryStore
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.publish import Contents, Run
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.store import (
    NOT_RETAINED,
    DeniedError,
    UnavailableError,
)
from ansible_collections.lifeboat.recovery.plugins.modules import backup_lock


class Locking(DirectoryStore):
    """Stands for a bucket with object lock; tests/functional/test_object_lock.py has a real one."""

    kept: dict = {}
    refused: frozenset = frozenset()
    breaks_after: int = -1  # locks that it takes before its server is away

    def versions(self, prefix):
        for version in super().versions(prefix):
            yield dataclasses.replace(version, entry=dataclasses.replace(version.entry, version_id="1"))

    def retention(self, key, version_id):
        return self.kept.get(key, NOT_RETAINED)

    def retain(self, key, version_id, wanted):
        if key.rpartition("/")[2] in self.refused:
            raise DeniedError("Cannot lock it", "Access Denied")
        if 0 <= self.breaks_after <= len(self.kept):
            raise UnavailableError("Cannot lock it", "connection refused")
        self.kept[key] = wanted


@pytest.fixture
def local(new_repository):
    return new_repository("local")


@pytest.fixture
def run(run_module, local, monkeypatch):
    monkeypatch.setattr(Locking, "kept", {})
    monkeypatch.setattr(places, "store_from", lambda params: Locking(params["path"]))

    def run(check_mode=False, lock=None, keep=None, **options):
        repository = {**local.options, "lock": lock, "keep": keep}
        given = {"job": "db1-shop", "repositories": [repository], **options}
        return run_module(backup_lock, check_mode, **given)

    return run


def test_check_mode_says_what_would_be_locked_and_a_second_task_changes_nothing(run, local):
    manifest = local.back_up()
    planned = run(check_mode=True)
    assert planned["changed"] and Locking.kept == {}
    [found] = planned["repositories"]
    assert (found["repository"], found["mode"], found["locked_before"], found["locked"]) == (
        "local",
        "COMPLIANCE",
        0,
        0,
    )
    assert [row["id"] for row in found["backups"]] == [manifest.id]
    end = run()
    assert end["changed"] and end["diff"] == planned["diff"]
    assert end["repositories"][0]["locked"] == found["to_lock"] == len(Locking.kept)
    assert {"manifests", "data", "lifeboat.json", "jobs"} == {key.partition("/")[0] for key in Locking.kept}
    again = run()
    assert not again["changed"] and again["repositories"][0]["locked_before"] == found["to_lock"]


def test_a_run_that_ends_early_says_what_was_locked_before(run, local, monkeypatch):
    local.back_up()
    monkeypatch.setattr(Locking, "breaks_after", 3)
    end = run()
    [found] = end["repositories"]
    assert end["changed"] and end["exit_code"] == 5
    assert (found["locked"], len(Locking.kept)) == (3, 3)
    assert "connection refused; 3 of 7 files were locked before" in found["problem"]
    monkeypatch.setattr(Locking, "breaks_after", -1)
    [again] = run()["repositories"]
    assert (again["locked_before"], again["locked"]) == (3, 4)


def test_a_first_lock_that_cannot_be_read_back_counts_as_set(run, local, monkeypatch):
    local.back_up()

    def away(store, key, version_id):
        if store.kept:
            raise UnavailableError("Cannot read it", "connection refused")
        return NOT_RETAINED

    monkeypatch.setattr(Locking, "retention", away)
    end = run()
    assert end["changed"] and end["repositories"][0]["locked"] == 1


def test_what_no_rule_keeps_is_not_locked(run, local):
    made = [local.back_up() for _run in range(3)]
    end = run(keep={"last": 2})
    assert [row["id"] for row in end["repositories"][0]["backups"]] == [each.id for each in made[1:]]
    assert not any(made[0].id in key for key in Locking.kept)


def test_more_than_is_allowed_in_one_run_waits_for_the_next_one(run, local):
    local.back_up()
    [first] = run(most_requests=3)["repositories"]
    assert (first["locked"], first["left"]) == (3, 4)
    [second] = run(most_requests=3)["repositories"]
    assert (second["locked_before"], second["locked"], second["left"]) == (3, 3, 1)


def test_what_is_refused_is_a_failure_that_says_what_was_locked(run, local, monkeypatch):
    local.back_up()
    monkeypatch.setattr(Locking, "refused", frozenset(("globals.sql",)))
    end = run()
    assert end.failed and end["exit_code"] == 5 and end["changed"]
    [found] = end["repositories"]
    assert found["denied"] == [f"{key}: Access Denied" for key in denied_keys(local)]
    assert found["locked"] == found["to_lock"] - 1


def denied_keys(local):
    return [name for name in local.files() if name.endswith("globals.sql")]


def back_up_packs(repository):
    run = Run(repository.store, "db1-shop")
    run.store_file("pack-0", "pack", [b"many objects"], "none")
    manifest = run.publish(Contents("bucket", {}, {}, {}))
    run.close()
    return manifest


def test_a_backup_whose_lists_cannot_be_read_keeps_no_other_from_being_locked(run, local):
    good, bad = (back_up_packs(local) for _run in range(2))
    local.store.delete(f"data/db1-shop/{bad.id}/files.jsonl")
    planned = run(check_mode=True)
    assert planned.failed and planned["exit_code"] == 5 and planned["changed"] and Locking.kept == {}
    end = run()
    assert end.failed and end["exit_code"] == 5 and end["changed"] and bad.id in end["cause"]
    assert {f"data/db1-shop/{good.id}/pack-0", f"manifests/db1-shop/{good.id}.json"} < Locking.kept.keys()
    assert {f"manifests/db1-shop/{bad.id}.json", f"data/db1-shop/{bad.id}/needs.jsonl"} < Locking.kept.keys()
    again = run()
    assert again.failed and again["exit_code"] == 5 and not again["changed"]


def test_a_directory_has_no_object_lock(run_module, local):
    local.back_up()
    end = run_module(backup_lock, job="db1-shop", repositories=[local.options])
    assert end.failed and "no versions" in end["cause"]


@pytest.mark.parametrize(
    "options",
    [
        {"most_requests": 0},
        {"lock": {"rolling": "long"}},
        {"lock": {"rolling": "20d", "most": "10d"}},
        {"lock": {"mode": "NONE"}},
        {"lock": {"access_key": "alone"}},
        {"timezone": "Nowhere/City"},
    ],
)
def test_options_that_mean_nothing_are_refused(run, local, options):
    local.back_up()
    assert run(**options).failed and Locking.kept == {}
