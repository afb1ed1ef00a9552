# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module on real folders and repositories."""

from __future__ import annotations

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host import job_lock, objects_backup
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.backup_run import BackupResult
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository import catalog
from ansible_collections.lifeboat.recovery.plugins.modules import files_backup

JOB = "web1-www"


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setattr(job_lock, "_FOLDERS", (str(tmp_path),))
    folder = tmp_path / "www"
    folder.mkdir()
    for number in range(300):
        folder.joinpath(f"f{number:03}").write_text(f"file {number}\n" * 20, encoding="utf-8")
    return folder


@pytest.fixture
def local(new_repository):
    return new_repository("local")


@pytest.fixture
def run(run_module, root, local):
    given = {"job": JOB, "roots": [str(root)], "repositories": [local.options]}
    return lambda check_mode=False, **options: run_module(files_backup, check_mode, **{**given, **options})


def test_a_backup_is_a_change_and_returns_what_was_written(run, root):
    end = run()
    assert not end.failed and end["changed"]
    assert (end["job"], end["mode"], end["base"]) == (JOB, "incremental", "")
    assert (end["collections"], end["collection_count"]) == ([str(root)], 1)
    assert (end["objects"], end["added"], end["read_objects"]) == (301, 301, 300)
    assert end["complete"] and [copy["proved"] for copy in end["copies"]] == [True]
    assert (end["flags"], end["remarks"], end["remarks_sample"], end.warnings) == ([], {}, [], [])
    assert 0 < end["stored_bytes"] < end["plain_bytes"]


def test_check_mode_says_what_would_be_read_and_writes_nothing(run, root, local):
    first = run()
    root.joinpath("f001").write_text("other", encoding="utf-8")
    root.joinpath("f002").unlink()
    before = local.files()
    end = run(check_mode=True)
    assert not end.failed and end["changed"] and local.files() == before
    # By the listing the folder itself is another one, too.
    assert (end["base"], end["objects"], end["rewritten"], end["gone"]) == (first["id"], 300, 2, 1)
    assert end["read_objects"] in (1, 2)
    assert "id" not in end.answer
    assert [(copy["primary"], copy["present"]) for copy in end["copies"]] == [(True, False)]


def test_the_diff_has_the_newest_backups_and_what_would_be_read(run):
    first = run()
    diff = run(check_mode=True)["diff"]
    assert diff["before"] == {"newest_backups": {"local": first["id"]}}
    assert diff["after"]["newest_backups"] == {"local": "a new backup"}
    assert diff["after"]["would_be"]["read_objects"] == 0


def test_a_flagged_backup_fails_with_its_guard_and_is_returned(run, root, local):
    run()
    for number in range(150):
        root.joinpath(f"f{number:03}").unlink()
    end = run()
    assert end.failed and end["changed"]
    assert (end["guard"], end["exit_code"]) == ("mass_delete", 3)
    assert end["flags"] == ["mass_delete: 150 of 301 objects are gone"]
    assert catalog.find(local.store, JOB, end["id"]).is_flagged


def test_acknowledging_makes_no_backup_and_is_a_change_once(run, root, local):
    run()
    for number in range(150):
        root.joinpath(f"f{number:03}").unlink()
    flagged = run()
    before = len(catalog.backups(local.store, JOB))
    checked = run(check_mode=True, acknowledge="latest")
    assert checked["changed"] and catalog.find(local.store, JOB, flagged["id"]).is_flagged
    end = run(acknowledge="latest")
    assert not end.failed and end["changed"]
    assert (end["acknowledged"], end["flags"]) == (flagged["id"], flagged["flags"])
    assert end["diff"] == {"before": {"flagged": {flagged["id"]: flagged["flags"]}}, "after": {"flagged": {}}}
    assert not run(acknowledge=flagged["id"])["changed"]
    assert len(catalog.backups(local.store, JOB)) == before
    assert not run().failed


@pytest.mark.parametrize("check_mode", [True, False])
def test_an_empty_folder_is_refused(run, tmp_path, local, check_mode):
    tmp_path.joinpath("void").mkdir()
    before = local.files()
    end = run(check_mode=check_mode, roots=[str(tmp_path / "void")])
    assert end.failed and (end["guard"], end["exit_code"]) == ("source", 3)
    assert local.files() == before
    assert not run(check_mode=check_mode, roots=[str(tmp_path / "void")], allow_empty=True).failed


def test_every_option_reaches_the_job(run, monkeypatch, local):
    seen = []
    made = BackupResult(JOB, "20261120T020000Z-0a1b2c", (), 1, 1, 1.0, 1.0, ())
    monkeypatch.setattr(objects_backup, "back_up", lambda job: seen.append(job) or made)
    run(
        exclude=["cache/"],
        include=["*.html"],
        one_file_system=True,
        devices=True,
        mode="full",
        reread="2/9",
        on_mass_delete="warn",
        on_mass_rewrite="ignore",
        proof="none",
        compression="gzip",
        allow_partial=True,
        allow_empty=True,
        rebind=True,
        concurrency=3,
        wait_s=8,
    )
    (job,) = seen
    assert (job.name, job.kind, job.mode, job.proof, job.compression) == (JOB, "files", "full", "none", "gzip")
    assert (job.reread.parts, job.reread.of, job.concurrency, job.wait_s) == (2, 9, 3, 8)
    assert job.policy == {"mass_delete": "warn", "mass_rewrite": "ignore", "entropy_jump": "fail"}
    assert (job.allow_partial, job.allow_empty, job.rebind) == (True, True, True)
    selection = job.open_source.__self__
    assert (selection.exclude, selection.include) == (("cache/",), ("*.html",))
    assert (selection.one_file_system, selection.devices) == (True, True)


@pytest.mark.parametrize(
    "options",
    [
        {"job": "../x"},
        {"repositories": []},
        {"roots": []},
        {"exclude": [""]},
        {"mode": "metadata_only"},
        {"proof": "restore"},
        {"compression": "xz"},
        {"reread": "8/7"},
        {"on_mass_delete": "stop"},
        {"concurrency": 0},
        {"wait_s": -1},
        {"acknowledge": "newest"},
        {"acknowledge": "latest"},  # there is no backup
    ],
)
def test_a_wrong_option_is_refused_and_nothing_is_written(run, local, options):
    before = local.files()
    assert run(**options).failed
    assert local.files() == before
