# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The subcommands restore and history for a job that backs a folder up into a directory."""

from __future__ import annotations

import json

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host import backup_run, cli, job_lock
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository import identity, proof
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.directory import DirectoryStore
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.store import DeniedError


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "www"
    folder.mkdir()
    (folder / "index.html").write_text("home")
    (folder / "about.html").write_text("about")
    return folder


@pytest.fixture
def command(tmp_path, monkeypatch, capsys, root):
    monkeypatch.setattr(job_lock, "_FOLDERS", (str(tmp_path),))
    monkeypatch.setattr(backup_run, "_outlast_second", lambda _store, _job: None)
    (tmp_path / "repository").mkdir()
    identity.initialise(DirectoryStore(str(tmp_path / "repository")))
    document = {
        "repositories": {"local": {"path": str(tmp_path / "repository")}},
        "jobs": {
            "www": {"kind": "files", "roots": [str(root)], "repositories": ["local"]},
            "lab": {"kind": "pg_database", "database": "lab", "repositories": ["local"]},
        },
    }
    path = tmp_path / "config.json"
    path.write_text(json.dumps(document))
    path.chmod(0o640)

    def run(*words):
        code = cli.main(["--config", str(path), *words])
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    assert run("run", "www")[0] == 0
    return run


def test_what_is_missing_comes_back(command, root):
    (root / "index.html").unlink()
    code, out, _err = command("restore", "www")
    assert code == 0 and (root / "index.html").read_text() == "home"
    assert "restored" in out and "1 written" in out


def test_a_dry_run_shows_the_plan_and_what_it_would_take(command, root):
    (root / "index.html").write_text("defaced")
    code, out, err = command("restore", "www", "--dry-run")
    assert code == 3 and "1 overwrite" in out and f"{root}/index.html" in out
    assert f"set confirm to {root}" in err
    assert command("restore", "www", "--dry-run", "--confirm", str(root))[0] == 0
    assert (root / "index.html").read_text() == "defaced"


def test_nothing_is_overwritten_without_a_word(command, root):
    (root / "index.html").write_text("defaced")
    assert command("restore", "www")[0] == 3
    assert command("restore", "www", "--confirm", str(root))[0] == 0
    assert (root / "index.html").read_text() == "home"


def test_machines_get_the_counts(command, root, tmp_path):
    plan = tmp_path / "plan.jsonl"
    code, out, _err = command("restore", "www", "--to", str(tmp_path / "out"), "--json", "--plan-file", str(plan))
    answer = json.loads(out)
    assert code == 0 and answer["done"]["written"] == 2 and answer["repository"] == "local"
    assert len(plan.read_text().splitlines()) == 3


def test_only_what_is_selected_is_restored_where_it_is_wanted(command, root, tmp_path):
    words = ("--only", str(root), "--key", "about.html", "--map", f"{root}={tmp_path / 'there'}")
    assert command("restore", "www", *words)[0] == 0
    assert [path.name for path in (tmp_path / "there").iterdir()] == ["about.html"]


@pytest.mark.parametrize(
    "how", [["--key", "about.htm"], ["--prefix", "abuot"], ["--include", "*.pdf"], ["--exclude", "*"]]
)
@pytest.mark.parametrize("more", [[], ["--dry-run"]])
def test_a_restore_of_what_the_backup_does_not_have_is_no_success(command, root, tmp_path, how, more):
    code, out, err = command("restore", "www", "--to", str(tmp_path / "there"), *how, *more)
    assert (code, out) == (2, "") and "nothing that matches" in err
    assert not (tmp_path / "there").exists()


@pytest.mark.parametrize("option", ["--to", "--as-of", "--quarantine", "--prefix", "--repository", "--backup"])
def test_a_value_that_is_empty_is_not_taken_for_one_that_is_not_given(command, root, option):
    (root / "index.html").unlink()
    for words in ([option, ""], [f"{option}="]):
        with pytest.raises(SystemExit) as end:
            command("restore", "www", *words)
        assert end.value.code == 2
    assert [path.name for path in root.iterdir()] == ["about.html"]


def test_an_exact_restore_of_what_the_backup_does_not_have_removes_it(command, root):
    (root / "new.html").write_text("not mine")
    assert command("restore", "www", "--prefix", "new", "--exact", "--confirm", str(root))[0] == 0
    assert sorted(path.name for path in root.iterdir()) == ["about.html", "index.html"]
    assert command("restore", "www", "--key", "index.html")[0] == 0  # it is there already


def test_a_repository_whose_secret_cannot_be_read_costs_a_copy_and_not_the_backup(command, root, tmp_path):
    document = json.loads((tmp_path / "config.json").read_text())
    server = {"endpoint_url": "https://127.0.0.1:9", "access_key": "a", "secret_key_file": str(tmp_path / "gone")}
    document["repositories"]["site"] = {"bucket": "backups", **server}
    job = document["jobs"]["www"]
    for order in (["site", "local"], ["local", "site"]):
        job["repositories"] = order
        (tmp_path / "config.json").write_text(json.dumps(document))
        code, out, err = command("run", "www")
        assert code == 5 and "local: proved" in out and "site: MISSING" in out and str(tmp_path / "gone") in err
    assert command("copy", "www")[0] in (1, 5)
    job["repositories"] = ["site"]
    (tmp_path / "config.json").write_text(json.dumps(document))
    code, out, err = command("run", "www")
    assert (code, out) == (2, "") and str(tmp_path / "gone") in err


@pytest.mark.parametrize(("is_damaged", "expected", "words"), [(False, 5, "good"), (True, 1, "BAD")])
def test_a_verdict_that_cannot_be_recorded_is_still_the_one_that_was_found(
    command, tmp_path, monkeypatch, is_damaged, expected, words
):
    def refuse(*_given):
        raise DeniedError("Cannot write", "Permission denied", "check the owner")

    monkeypatch.setattr(proof, "write", refuse)
    if is_damaged:
        (pack,) = (tmp_path / "repository" / "data").rglob("pack-*")
        pack.write_bytes(bytes(pack.stat().st_size))
    code, out, _err = command("verify", "www")
    assert code == expected and f"{words} (content)" in out and "Permission denied" in " ".join(out.split())


def test_a_list_does_not_say_that_there_is_nothing_where_nothing_can_be_read(command, tmp_path):
    (tmp_path / "repository").rename(tmp_path / "elsewhere")
    code, out, _err = command("list", "www")
    assert code == 1 and out == "no repository can be read: backups are not known\n"
    code, out, _err = command("list", "www", "--json")
    assert json.loads(out)["jobs"][0]["backups"] == []


def test_what_is_destroyed_is_saved_first(command, root, tmp_path):
    (root / "extra.html").write_text("mine")
    words = ("--exact", "--confirm", str(root), "--quarantine", str(tmp_path / "shelf"))
    code, out, _err = command("restore", "www", *words)
    assert code == 0 and "1 saved first" in out
    assert [path.read_text() for path in (tmp_path / "shelf").rglob("extra.html")] == ["mine"]


def test_a_history_shows_states_with_their_backups(command, root):
    (root / "index.html").write_text("second")
    assert command("run", "www")[0] == 0
    code, out, _err = command("history", "www", str(root), "index.html")
    assert code == 0 and len([line for line in out.splitlines() if "newest" in line]) == 2
    answer = json.loads(command("history", "www", str(root), "index.html", "--json")[1])
    assert sorted(each["size"] for each in answer["states"]) == [4, 6] and answer["complete"]


@pytest.mark.parametrize(
    "words",
    [
        ("restore", "www", "--database", "x"),
        ("restore", "www", "--schema-only"),
        ("restore", "lab", "--exact"),
        ("restore", "lab", "--prefix", "a"),
        ("restore", "lab", "--confirm", "a", "--confirm", "b"),
        ("restore", "www", "--map", "nowhere"),
        ("restore", "www", "--quarantine", "s3://bucket"),
        ("restore", "www", "--quarantine", "relative"),
        ("restore", "www", "--as-of", "yesterday"),
        ("restore", "www", "--exact", "--conflicts", "skip"),
        ("history", "lab", "a", "b"),
        ("history", "www", "a", "b", "--limit", "0"),
    ],
)
def test_what_makes_no_sense_is_wrong_usage(command, words):
    code, out, err = command(*words)
    assert code == 2 and err and not out
