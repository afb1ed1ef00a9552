# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Restores of a small folder from a repository in a directory; nothing is made up."""

from __future__ import annotations

import json

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host import (
    backup_run,
    job_lock,
    objects_backup,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.object_sources import FileSelection
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.objects_job import ObjectsJob
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.place import Place
from ansible_collections.lifeboat.recovery.plugins.modules import files_restore

JOB = "web1-www"


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "www"
    folder.mkdir()
    (folder / "index.html").write_text("home")
    (folder / "about.html").write_text("about")
    return folder


@pytest.fixture
def backup(tmp_path, monkeypatch, root, new_repository):
    monkeypatch.setattr(job_lock, "_FOLDERS", (str(tmp_path),))
    monkeypatch.setattr(backup_run, "_outlast_second", lambda _store, _job: None)
    repository = new_repository("local")
    place = Place("local", repository.store)
    job = ObjectsJob(JOB, "files", FileSelection((str(root),)).opened, (place,))
    return repository, objects_backup.back_up(job).id


@pytest.fixture
def run(run_module, backup):
    given = {"job": JOB, "repositories": [backup[0].options]}
    return lambda check_mode=False, **options: run_module(files_restore, check_mode, **{**given, **options})


def test_a_file_that_is_missing_comes_back(run, root, backup):
    (root / "index.html").unlink()
    end = run()
    assert not end.failed and end["changed"]
    assert (root / "index.html").read_text() == "home"
    assert (end["id"], end["repository"], end["written"], end["written_bytes"]) == (backup[1], "local", 1, 4)
    assert (end["failed"], end["damaged"], end["differences"]) == (0, 0, 0)


def test_what_is_as_in_the_backup_is_no_change(run):
    end = run()
    assert not end.failed and not end["changed"]
    assert end["counts"]["keep"] >= 2 and "written" not in end.answer


@pytest.mark.parametrize("check_mode", [False, True])
@pytest.mark.parametrize("options", [{"key": "about.htm"}, {"prefix": "abuot"}, {"include": ["*.pdf"]}])
def test_what_the_backup_does_not_have_is_warned_of(run, tmp_path, options, check_mode):
    end = run(check_mode, path=str(tmp_path / "out"), **options)
    assert not end.failed and len(end.warnings) == 1 and "has nothing that matches" in end.warnings[0]
    assert run(check_mode, key="about.html").warnings == []


def test_check_mode_returns_the_plan_and_changes_nothing(run, root, tmp_path):
    (root / "index.html").unlink()
    end = run(check_mode=True, plan_file=str(tmp_path / "plan"))
    assert not end.failed and end["changed"] and not (root / "index.html").exists()
    assert (end["counts"]["write"], end["bytes"], end["destroyed"]) == (1, 4, [])
    assert end["places"] == [{"from": str(root), "to": str(root)}]
    assert [each["key"] for each in end["sample"] if each["action"] == "write"] == ["index.html"]
    assert end["diff"]["before"]["objects"][f"{root}/index.html"] is None
    assert end["diff"]["after"]["objects"][f"{root}/index.html"] == "as in the backup"
    assert len((tmp_path / "plan").read_text().splitlines()) >= 2


@pytest.mark.parametrize("check_mode", [True, False])
@pytest.mark.parametrize("confirm", [[], ["/"]])
def test_nothing_is_overwritten_without_its_name_and_the_plan_is_returned(run, root, confirm, check_mode):
    (root / "index.html").write_text("defaced")
    end = run(check_mode=check_mode, confirm=confirm)
    assert end.failed and (end["guard"], end["exit_code"]) == ("confirm", 3)
    assert end["destroyed"] == [str(root)] and (root / "index.html").read_text() == "defaced"


def test_what_differs_is_overwritten_and_saved(run, root, tmp_path):
    (root / "index.html").write_text("defaced")
    end = run(confirm=[str(root)], quarantine={"path": str(tmp_path / "shelf")})
    assert not end.failed and (root / "index.html").read_text() == "home"
    assert (end["saved"], end["saved_bytes"]) == (1, 7)
    assert end["quarantine"].startswith(f"{tmp_path}/shelf/{JOB}-")


def test_an_incomplete_restore_fails_and_returns_what_was_done(run, root, backup, tmp_path):
    repository, backup_id = backup
    (pack,) = (repository.folder / "data" / JOB / backup_id).glob("pack-*")
    pack.chmod(0o600)
    pack.write_bytes(b"\0" * pack.stat().st_size)
    end = run(path=str(tmp_path / "out"), remarks_file=str(tmp_path / "remarks"))
    assert end.failed and end["exit_code"] == 5 and end["changed"]
    assert end["damaged"] == 2 and end["remarks"] >= 2 and len(end["remarks_sample"]) >= 2
    assert all(len(json.loads(line)) == 4 for line in (tmp_path / "remarks").read_text().splitlines())


def test_every_selection_reaches_the_restore(run, root, tmp_path):
    out = tmp_path / "out"
    end = run(path=str(out), roots=[str(root)], key="about.html", check="content", conflicts="skip", concurrency=2)
    assert not end.failed
    assert [path.name for path in out.rglob("*.html")] == ["about.html"]
    other = run(map={str(root): str(tmp_path / "other")}, exclude=["about*"])
    assert not other.failed and [path.name for path in (tmp_path / "other").iterdir()] == ["index.html"]


@pytest.mark.parametrize(
    "options",
    [
        {"prefix": "a", "key": "b"},
        {"path": "/x", "bucket_map": {"/srv": "b"}},
        {"quarantine": {}},
        {"quarantine": {"path": "/x", "bucket": "b"}},
        {"as_of": "yesterday"},
        {"roots": ["/none"]},
        {"map": {"/none": 7}},
        {"concurrency": 0},
        {"conflicts": "rename", "exact": True},
    ],
)
def test_options_that_make_no_sense_are_refused(run, options):
    end = run(**options)
    assert end.failed and "written" not in end.answer
