# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository import directory
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.store import DeniedError
from ansible_collections.lifeboat.recovery.plugins.modules import backup_repository_info


@pytest.fixture
def run(run_module):
    return lambda path: run_module(backup_repository_info, repository={"path": str(path)})


@pytest.mark.parametrize("exists", [True, False])
def test_a_place_without_a_repository_is_no_error(run, tmp_path, exists):
    if exists:
        (tmp_path / "repo").mkdir()
    end = run(tmp_path / "repo")
    assert not end.failed and not end["changed"]
    assert (end["found"], end["identity"], end["jobs"]) == (False, None, [])


def test_a_repository_is_shown_with_its_identity(run, new_repository):
    local = new_repository("local")
    end = run(local.folder)
    assert end["found"] and end["identity"]["id"] == local.identity.repository
    assert end["jobs"] == []


def test_jobs_are_shown_with_their_counts_and_newest_backups(run, new_repository):
    local = new_repository("local")
    first = local.back_up("db1-shop", b"12345678")
    second = local.back_up("db1-shop", b"12345678")
    third = local.back_up("db1-shop", b"1234", proved=False)
    local.back_up("db1-apps")
    apps, shop = run(local.folder)["jobs"]
    assert apps["job"] == "db1-apps"
    assert shop == {
        "job": "db1-shop",
        "kind": "pg_database",
        "backups": 3,
        "proved": 2,
        "failed": 0,
        "flagged": 0,
        "stored_bytes": 20,
        "latest": third.id,
        "latest_good": second.id,
    }
    assert first.id < second.id < third.id


def test_a_manifest_that_cannot_be_read_counts_as_failed(run, new_repository):
    local = new_repository("local")
    manifest = local.back_up()
    (local.folder / "manifests" / "db1-shop" / f"{manifest.id}.json").write_text("{}")
    (row,) = run(local.folder)["jobs"]
    assert (row["backups"], row["proved"], row["failed"], row["kind"]) == (1, 0, 1, None)


def test_a_name_that_no_job_can_have_is_passed_over(run, new_repository):
    local = new_repository("local")
    local.back_up()
    (local.folder / "jobs" / "no job; really.json").write_text("{}")
    assert [row["job"] for row in run(local.folder)["jobs"]] == ["db1-shop"]


def test_a_place_that_may_not_be_read_is_an_error(run, new_repository, monkeypatch):
    def denied(self, key, version_id=""):
        raise DeniedError(f"Cannot read {key}", "Permission denied", "check the mode")

    local = new_repository("local")
    monkeypatch.setattr(directory.DirectoryStore, "get", denied)
    end = run(local.folder)
    assert end.failed and end["cause"] == "Permission denied"
