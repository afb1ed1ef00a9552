# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import (
    BusyError,
    DamagedError,
    GuardRefusal,
    IncompleteError,
    UsageError,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host import (
    cli,
    commands,
    database_backup,
    signals,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.backup_run import BackupResult, CopyResult
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.version import VERSION
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository import binding, identity
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.directory import DirectoryStore

ID = "20261120T020000Z-0a1b2c"


@pytest.fixture
def file(tmp_path):
    """Return the path of a configuration with one job and one repository."""
    (tmp_path / "repository").mkdir()
    document = {
        "repositories": {"local": {"path": str(tmp_path / "repository")}},
        "jobs": {
            "lab": {
                "kind": "pg_database",
                "database": "lab",
                "repositories": ["local"],
                "login_unix_socket": str(tmp_path),
            }
        },
    }
    path = tmp_path / "config.json"
    path.write_text(json.dumps(document))
    path.chmod(0o640)
    return str(path)


@pytest.fixture
def repository(tmp_path, file):
    store = DirectoryStore(str(tmp_path / "repository"))
    identity.initialise(store)
    return store


def answer_of(monkeypatch, work):
    """Let the subcommand `run` do `work` instead of a backup."""
    monkeypatch.setattr(database_backup, "back_up", lambda _job, _say: work())


def result(**changes):
    given = {
        "job": "lab",
        "id": ID,
        "copies": (CopyResult("local", True, True, True, seconds=1.0),),
        "plain_bytes": 3000,
        "stored_bytes": 1000,
        "seconds": 2.0,
        "dump_seconds": 1.0,
        "warnings": (),
    }
    return BackupResult(**{**given, **changes})


def raising(error):
    def work():
        raise error

    return work


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (DamagedError("Cannot trust it", "it is cut", "use another"), 1),
        (UsageError("Cannot do it", "wrong", "mend it"), 2),
        (GuardRefusal("source", "Cannot do it", "another source", "mend it"), 3),
        (BusyError("Cannot run it", "it is running", "wait"), 4),
        (IncompleteError("It is not everywhere", "site: away", "copy it", result()), 5),
    ],
)
def test_a_failure_is_two_lines_and_an_exit_code(monkeypatch, capsys, file, error, code):
    answer_of(monkeypatch, raising(error))
    assert cli.main(["--config", file, "run", "lab"]) == code
    told = capsys.readouterr().err
    assert told == f"{error}\n"
    assert told.count("\n") == 2
    assert "Remedy: " in told


def test_a_run_that_is_done_ends_with_0_and_says_what_it_made(monkeypatch, capsys, file):
    answer_of(monkeypatch, result)
    assert cli.main(["--config", file, "run", "lab"]) == 0
    assert capsys.readouterr().out == f"lab: backup {ID}, 1000 B of 2.9 KiB, 2.0 s\n  local: proved\n"


def test_what_is_done_is_said_even_when_a_copy_is_missing(monkeypatch, capsys, file):
    copies = (CopyResult("local", True, True, True), CopyResult("site", False, False, False, "Cannot: away"))
    answer_of(monkeypatch, raising(IncompleteError("It", "is", "so", result(copies=copies))))
    assert cli.main(["--config", file, "--json", "run", "lab"]) == 5
    document = json.loads(capsys.readouterr().out)
    assert (document["id"], document["exit_code"], document["complete"]) == (ID, 5, False)
    assert document["error"] == {"problem": "It", "cause": "is", "remedy": "so"}
    assert [copy["problem"] for copy in document["copies"]] == ["", "Cannot: away"]


@pytest.mark.parametrize("place", ["before", "after"])
def test_machines_get_one_document_wherever_the_option_stands(monkeypatch, capsys, file, place):
    answer_of(monkeypatch, raising(GuardRefusal("source", "Cannot", "no", "mend")))
    options = ["--config", file, "--json"]
    argv = [*options, "run", "lab"] if place == "before" else ["run", "lab", *options]
    assert cli.main(argv) == 3
    document = json.loads(capsys.readouterr().out)
    assert document == {
        "error": {"problem": "Cannot", "cause": "no", "remedy": "mend", "guard": "source"},
        "exit_code": 3,
    }


def test_a_bug_stays_a_traceback(monkeypatch, file):
    answer_of(monkeypatch, raising(ZeroDivisionError()))
    with pytest.raises(ZeroDivisionError):
        cli.main(["--config", file, "run", "lab"])


def test_a_told_end_is_one_line_and_the_exit_code_of_shells(monkeypatch, capsys, file):
    cleaned = []

    def work():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            raise RuntimeError("the signal was lost")
        finally:
            cleaned.append(True)

    answer_of(monkeypatch, work)
    monkeypatch.setattr(signals, "_end_children", lambda: None)  # those of the test's process are not the command's
    assert cli.main(["--config", file, "run", "lab"]) == 143
    assert cleaned
    assert capsys.readouterr().err == "Ended by SIGTERM.\n"
    assert cli.main(["--config", file, "--json", "run", "lab"]) == 143
    document = json.loads(capsys.readouterr().out)
    assert (document["exit_code"], document["error"]["problem"]) == (143, "run lab was ended by SIGTERM")


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["sail"],
        ["run"],
        ["run", "lab", "lab"],
        ["--conf", "x", "status"],
        ["verify", "lab", "--level", "full"],
        ["restore", "lab", "--jobs", "0"],
        ["run", "lab", "--on-shrink", "panic"],
    ],
)
def test_wrong_usage_ends_with_2(argv, capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(argv)
    assert end.value.code == 2
    assert "usage: lifeboat" in capsys.readouterr().err


@pytest.mark.parametrize("argv", [["--json", "sail"], ["run", "--json"], ["run", "lab", "--sail", "--json"]])
def test_machines_are_told_of_wrong_usage(argv, capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(argv)
    document = json.loads(capsys.readouterr().out)
    assert (end.value.code, document["exit_code"]) == (2, 2)
    assert document["error"]["problem"] == "Cannot understand the command line"


@pytest.mark.parametrize("argv", [["list", "lab"], ["--json", "list", "lab"], ["--help"], ["--version"]])
def test_a_result_that_finds_no_room_is_a_failure_in_one_line(argv, repository, file, monkeypatch, capsys):
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        try:
            code = cli.main(["--config", file, *argv])
        except SystemExit as end:
            code = end.code
    assert code == 1
    assert capsys.readouterr().err == "Cannot write to standard output: No space left on device.\n"


def test_wrong_usage_ends_with_2_where_nobody_can_be_told(monkeypatch):
    with contextlib.suppress(OSError), open("/dev/full", "w") as full, pytest.raises(SystemExit) as end:
        monkeypatch.setattr(sys, "stderr", full)
        full.reconfigure(write_through=True)
        cli.main(["sail"])
    assert end.value.code == 2


@pytest.mark.parametrize("argv", [["run", "labs"], ["show", "labs"], ["status", "labs"], ["check", "labs"]])
def test_a_job_that_is_not_configured_is_wrong_usage(argv, file, capsys):
    assert cli.main(["--config", file, *argv]) == 2
    assert "its jobs are: lab" in capsys.readouterr().err


def test_options_of_a_run_overrule_its_job(monkeypatch, file):
    seen = []
    monkeypatch.setattr(database_backup, "back_up", lambda job, _say: seen.append(job) or result())
    cli.main(["--config", file, "run", "lab"])
    cli.main(["--config", file, "run", "lab", "--on-shrink", "warn", "--rebind"])
    assert [(job.on_shrink, job.rebind) for job in seen] == [("fail", False), ("warn", True)]


def test_the_version_is_that_of_the_collection(capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(["--version"])
    assert end.value.code == 0
    assert capsys.readouterr().out == f"lifeboat {VERSION} (not installed as one file)\n"


def test_a_repository_that_is_not_there_is_refused_by_check(file, capsys):
    assert cli.main(["--config", file, "--json", "check"]) == 3
    (check,) = json.loads(capsys.readouterr().out)["checks"]
    assert check["findings"][0]["subject"] == "repository local"
    assert "no lifeboat.json" in check["findings"][0]["words"]


def test_check_looks_at_repositories_that_no_job_uses(tmp_path, repository, capsys):
    path = tmp_path / "other.json"
    path.write_text(json.dumps({"repositories": {"local": {"path": repository.name}}}))
    assert cli.main(["--config", str(path), "check"]) == 0
    told = "".join(capsys.readouterr().out.split())  # a long folder makes it two lines
    assert f"okrepositorylocal:{repository.name}isrepository{identity.require(repository).repository}" in told


@pytest.mark.parametrize("name", ["", "data", "manifests/lab"])
def test_check_finds_where_this_user_cannot_write(tmp_path, repository, file, capsys, monkeypatch, name):
    folder = tmp_path / "repository" / name
    folder.mkdir(parents=True, exist_ok=True)
    may = os.access
    monkeypatch.setattr(os, "access", lambda path, *more, **how: path != str(folder) and may(path, *more, **how))
    assert cli.main(["--config", file, "check", "lab"]) == 1
    told = "".join(capsys.readouterr().out.split())  # a long folder makes it two lines
    assert "WRONGrepositorylocal" in told and f"cannotwriteto{folder}" in told


def test_check_refuses_another_repository_than_the_configured_one(tmp_path, repository, capsys):
    other = "00000000-0000-4000-8000-000000000000"
    path = tmp_path / "other.json"
    path.write_text(json.dumps({"repositories": {"local": {"path": repository.name, "id": other}}}))
    assert cli.main(["--config", str(path), "check"]) == 3
    assert "WRONG repository local" in capsys.readouterr().out


def test_check_waits_for_the_first_file_and_misses_the_last_one(tmp_path, repository, capsys):
    path, folder = tmp_path / "other.json", tmp_path / "uploads"
    folder.mkdir()
    jobs = {"uploads": {"kind": "files", "roots": [str(folder)], "repositories": ["local"]}}
    path.write_text(json.dumps({"repositories": {"local": {"path": repository.name}}, "jobs": jobs}))
    assert cli.main(["--config", str(path), "check"]) == 0
    assert "refused by runs until something is in" in " ".join(capsys.readouterr().out.split())
    binding.bind(repository, "uploads", "files", {"host": "here"})
    assert cli.main(["--config", str(path), "check"]) == 3
    assert "its source is empty" in " ".join(capsys.readouterr().out.split())


def test_check_finds_all_that_is_wrong_and_changes_nothing(tmp_path, repository, file, capsys):
    before = sorted(tmp_path.rglob("*"))
    assert cli.main(["--config", file, "check"]) != 0
    told = capsys.readouterr().out
    assert "  ok    repository local" in told
    assert "  WRONG database lab: Cannot connect" in told
    assert "Remedy: " in told
    assert sorted(tmp_path.rglob("*")) == before


def test_the_list_of_a_job_that_never_ran_is_empty(repository, file, capsys):
    assert cli.main(["--config", file, "list", "lab"]) == 0
    assert capsys.readouterr().out == "no backups\n"


def test_a_list_without_any_repository_is_a_failure(file, capsys):
    assert cli.main(["--config", file, "list", "lab"]) == 1
    assert "lab: local cannot be used: there is no repository" in capsys.readouterr().err


def test_the_status_of_a_job_that_never_ran_is_wrong(repository, file, capsys):
    assert cli.main(["--config", file, "status"]) == 1
    assert "  ! there is no backup" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["status", "list", "check"])
def test_jobs_of_others_are_left_out_with_a_remark(monkeypatch, file, repository, capsys, command):
    with open(file) as opened:
        document = json.load(opened)
    document["jobs"]["other"] = {**document["jobs"]["lab"], "run_as": "root"}
    with open(file, "w") as opened:
        json.dump(document, opened)
    monkeypatch.setattr(commands, "is_root", lambda: False)
    monkeypatch.setattr(commands, "is_other", lambda user: user == "root")
    cli.main(["--config", file, "--json", command])
    told = capsys.readouterr()
    assert "left out, because only root could look: other of user root" in told.err
    document = json.loads(told.out)
    assert [each["job"] for each in document.get("jobs", document.get("checks"))] == ["lab"]


def test_a_repository_that_the_job_does_not_have_is_wrong_usage(repository, file, capsys):
    assert cli.main(["--config", file, "verify", "lab", "--repository", "site"]) == 2
    assert "job lab does not have it" in capsys.readouterr().err


def test_an_option_with_an_empty_value_is_named(capsys, file):
    with pytest.raises(SystemExit) as end:
        cli.main(["--config", file, "--json", "copy", "lab", "--min-age", ""])
    told = capsys.readouterr()
    assert end.value.code == 2 and "--min-age" in told.err
    assert "--min-age" in json.loads(told.out)["error"]["cause"]
