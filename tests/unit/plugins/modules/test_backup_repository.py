# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import stat

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository import identity, initialisation
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.directory import DirectoryStore
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.store import DeniedError, StoreError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3.failure import S3Error
from ansible_collections.lifeboat.recovery.plugins.modules import backup_repository

OTHER = "6f0f2f4e-6b0c-4d0e-9a55-0d1f6a3f7c11"


@pytest.fixture
def run(run_module, tmp_path):
    return lambda check_mode=False, **options: run_module(
        backup_repository, check_mode, **{"repository": {"path": str(tmp_path / "repo"), "name": "local"}, **options}
    )


def test_an_empty_directory_becomes_a_repository(run, tmp_path):
    (tmp_path / "repo").mkdir()
    end = run()
    assert not end.failed and end["changed"]
    assert (end["repository"], end["location"]) == ("local", str(tmp_path / "repo"))
    made = identity.find(DirectoryStore(str(tmp_path / "repo")))
    assert end["identity"]["id"] == made.repository
    assert (end["identity"]["format"], end["identity"]["conditional_writes"]) == (1, True)
    assert end["identity"]["signature_window_s"] == 0
    assert end["diff"]["before"] == {"state": "absent"}


def test_a_second_run_changes_nothing_and_returns_the_same_identity(run, tmp_path):
    (tmp_path / "repo").mkdir()
    first, again = run(), run()
    assert not again["changed"]
    assert again["identity"] == first["identity"]
    assert again["diff"]["before"] == again["diff"]["after"]


def test_check_mode_writes_nothing_and_shows_the_same_difference(run, tmp_path):
    (tmp_path / "repo").mkdir()
    planned = run(check_mode=True)
    assert planned["changed"] and planned["identity"] is None
    assert os.listdir(tmp_path / "repo") == []
    assert run()["diff"] == planned["diff"]


def test_a_missing_directory_is_made_only_if_that_is_wanted(run, tmp_path):
    end = run()
    assert end.failed and "no such directory" in end["cause"]
    assert not (tmp_path / "repo").exists()
    planned = run(check_mode=True, create_directory=True)
    assert planned["changed"] and not planned.warnings
    assert not (tmp_path / "repo").exists()
    assert run(create_directory=True)["diff"] == planned["diff"]
    assert stat.S_IMODE((tmp_path / "repo").stat().st_mode) == 0o750


def test_a_missing_directory_is_a_warning_in_check_mode(run, tmp_path):
    end = run(check_mode=True)
    assert end["changed"] and "no such directory" in end.warnings[0]


def test_a_directory_without_a_parent_is_not_made(run_module, tmp_path):
    path = str(tmp_path / "nas" / "repo")
    end = run_module(backup_repository, repository={"path": path}, create_directory=True)
    assert end.failed and end["guard"] == "repository"
    assert not (tmp_path / "nas").exists()


def test_a_directory_without_a_parent_is_a_warning_in_check_mode(run_module, tmp_path):
    path = str(tmp_path / "nas" / "repo")
    end = run_module(backup_repository, True, repository={"path": path}, create_directory=True)
    assert end["changed"] and f"there is no directory {tmp_path / 'nas'}; it must be there" in end.warnings[0]


@pytest.mark.parametrize("check_mode", [True, False])
def test_the_place_of_somebody_else_is_refused(run, tmp_path, check_mode):
    (tmp_path / "repo").mkdir()
    (tmp_path / "repo" / "holiday.jpg").write_text("beach")
    end = run(check_mode)
    assert end.failed and (end["guard"], end["exit_code"]) == ("repository", 3)
    assert "holiday.jpg" in end["cause"]
    assert os.listdir(tmp_path / "repo") == ["holiday.jpg"]


def test_a_certain_identity_can_be_demanded(run, tmp_path):
    (tmp_path / "repo").mkdir()
    made = run()["identity"]["id"]
    assert not run(repository_id=made)["changed"]
    end = run(repository_id=OTHER)
    assert end.failed and end["guard"] == "repository" and made in end["cause"]


@pytest.mark.parametrize("check_mode", [True, False])
def test_no_repository_is_made_where_a_certain_one_must_be(run, tmp_path, check_mode):
    (tmp_path / "repo").mkdir()
    end = run(check_mode, repository_id=OTHER, create_directory=True)
    assert end.failed and end["guard"] == "repository"
    assert os.listdir(tmp_path / "repo") == []


def test_a_server_that_ignores_conditions_is_a_warning_at_each_run(run, tmp_path, monkeypatch):
    (tmp_path / "repo").mkdir()
    monkeypatch.setattr(identity, "_has_conditional_writes", lambda store: False)
    for _attempt in range(2):
        end = run()
        assert end["identity"]["conditional_writes"] is False
        assert "ignores conditional writes" in end.warnings[0]


def from_server(error, kind=StoreError):
    try:
        raise kind("Cannot read", error.cause) from error
    except StoreError as told:
        return told


def test_a_missing_bucket_is_told_from_a_refusal():
    missing = S3Error("Cannot read", 404, "NoSuchBucket", "no")
    denied = S3Error("Cannot read", 403, "AccessDenied", "no")
    assert initialisation.is_missing_place(from_server(missing))
    assert not initialisation.is_missing_place(from_server(denied, DeniedError))


def test_exactly_one_kind_of_place_is_needed(run):
    assert run(repository={"path": "/srv/a", "bucket": "b"}).failed
    assert run(repository={"prefix": "p"}).failed
    assert run(repository={"path": "relative"}).failed
