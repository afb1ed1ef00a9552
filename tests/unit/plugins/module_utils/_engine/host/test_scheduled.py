# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import datetime as dt
import json
import os
import stat
import sys

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine import clock
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host import cli, job_lock, scheduled


@pytest.fixture(autouse=True)
def own_locks(tmp_path, monkeypatch):
    """Keep locks apart from those of other tests."""
    (tmp_path / "locks").mkdir()
    monkeypatch.setattr(job_lock, "_FOLDERS", (str(tmp_path / "locks"),))


@pytest.fixture
def slept(monkeypatch):
    """Let waiting take no time, and return for how long it would have been."""
    found = []
    monkeypatch.setattr(clock, "sleep", found.append)
    return found


@pytest.fixture
def streams(monkeypatch):
    """Return what lets Python write to the descriptors that programs have: pytest's own streams go around them, and it
    puts them in place at the begin of each test."""

    def open_streams():
        for number, name in ((1, "stdout"), (2, "stderr")):
            monkeypatch.setattr(sys, name, open(number, "w", closefd=False))  # noqa: SIM115

    return open_streams


@pytest.fixture
def run(tmp_path, slept, streams, monkeypatch):
    """Run `lifeboat scheduled` with a log and a state; `work` stands for the subcommand."""

    def run(*words, work=lambda argv: 0):
        streams()
        main = cli.main
        monkeypatch.setattr(cli, "main", lambda argv, **_how: work(argv[2:]) if "scheduled" not in argv else main(argv))
        files = ["--log", str(tmp_path / "log"), "--state", str(tmp_path / "state.json")]
        return main(["scheduled", "--name", "db1-shop", *files, *words])

    return run


def state(tmp_path):
    return json.loads((tmp_path / "state.json").read_text())


def test_what_the_command_says_goes_to_the_log_and_nowhere_else(run, tmp_path, capfd):
    def work(argv):
        assert list(argv) == ["run", "db1-shop", "--full"]
        os.write(1, b"to standard output\n")
        sys.stderr.write("to standard error\n")
        return 0

    assert run("--", "run", "db1-shop", "--full", work=work) == 0
    lines = (tmp_path / "log").read_text().splitlines()
    assert lines[0].endswith("Z db1-shop: begins: lifeboat run db1-shop --full")
    assert lines[1:3] == ["to standard output", "to standard error"]
    assert "db1-shop: ended with 0 (done), " in lines[3]
    assert capfd.readouterr() == ("", "")
    assert stat.S_IMODE((tmp_path / "log").stat().st_mode) & 0o037 == 0


def test_a_log_is_added_to(run, tmp_path):
    run("--", "status")
    run("--", "status")
    assert (tmp_path / "log").read_text().count("begins") == 2


@pytest.mark.parametrize("code", [1, 2, 3, 5, 143])
def test_the_exit_code_of_a_failure_is_kept_and_said_in_one_line(run, tmp_path, capfd, code):
    assert run("--", "run", "x", work=lambda argv: code) == code
    assert capfd.readouterr() == ("", f"lifeboat: scheduled db1-shop ended with {code}: see {tmp_path / 'log'}\n")
    assert state(tmp_path)["exit_code"] == code


def test_a_busy_job_is_no_reason_for_mail(run, tmp_path, capfd):
    assert run("--", "run", "x", work=lambda argv: 4) == 4
    assert capfd.readouterr() == ("", "")
    assert "ended with 4 (busy)" in (tmp_path / "log").read_text()
    assert state(tmp_path)["exit_code"] == 4


def test_a_schedule_whose_last_run_is_under_way_is_busy_and_leaves_its_state_alone(run, tmp_path, capfd):
    seen = []

    def work(argv):
        seen.append((run("--", "mirror", "x", work=lambda argv: seen.append("overlap")), state(tmp_path)["exit_code"]))
        return 0

    assert run("--", "mirror", "x", work=work) == 0
    assert seen == [(4, None)]
    assert "ended with 4 (busy), the last run is still under way" in (tmp_path / "log").read_text()
    assert capfd.readouterr() == ("", "")


def test_the_state_tells_a_run_that_was_killed_from_one_that_ended(run, tmp_path):
    seen = []
    run("--", "run", "x", work=lambda argv: seen.append(state(tmp_path)) or 0)
    assert (seen[0]["exit_code"], seen[0]["finished"], seen[0]["last_done"]) == (None, None, None)
    done = state(tmp_path)
    assert (done["name"], done["command"], done["exit_code"]) == ("db1-shop", ["run", "x"], 0)
    assert done["last_done"] == done["finished"] > done["started"]


def test_a_failure_leaves_the_time_of_the_last_success(run, tmp_path):
    run("--", "run", "x")
    done = state(tmp_path)["last_done"]
    run("--", "run", "x", work=lambda argv: 1)
    assert state(tmp_path)["last_done"] == done
    assert state(tmp_path)["finished"] > done


@pytest.mark.parametrize("text", ["", "[]", "{", "\xff"])
def test_a_state_that_cannot_be_read_is_replaced(run, tmp_path, text):
    (tmp_path / "state.json").write_text(text, encoding="latin-1")
    assert run("--", "run", "x") == 0
    assert state(tmp_path)["exit_code"] == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["locks", "log", "state.json"]


def test_a_log_that_cannot_be_written_ends_no_run(run, tmp_path, capfd):
    (tmp_path / "log").symlink_to(tmp_path / "other")
    done = []
    assert run("--", "run", "x", work=lambda argv: done.append(argv) or 0) == 0
    assert done
    assert "Cannot write" in capfd.readouterr().err
    assert not (tmp_path / "other").exists()


def test_a_crash_is_a_failure_and_in_the_log(run, tmp_path):
    assert run("--", "run", "x", work=lambda argv: 1 // 0) == 1
    assert "ZeroDivisionError" in (tmp_path / "log").read_text()
    assert state(tmp_path)["exit_code"] == 1


def test_wrong_usage_of_what_is_scheduled_is_2_and_in_the_log(tmp_path, streams):
    streams()
    assert cli.main(["scheduled", "--name", "x", "--log", str(tmp_path / "log"), "--", "fly"]) == 2
    assert "invalid choice: 'fly'" in (tmp_path / "log").read_text()


@pytest.mark.parametrize(("minute", "runs"), [("2026-07-01T00:17:30Z", 1), ("2026-07-01T02:17:30Z", 0)])
def test_only_what_is_due_in_its_time_zone_is_done(run, tmp_path, slept, monkeypatch, minute, runs):
    monkeypatch.setattr(
        clock, "now", lambda: dt.datetime.strptime(minute, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=clock.UTC)
    )
    done = []
    timing = ["--cron", "17 2 * * *", "--timezone", "Europe/Berlin", "--wait", "5"]
    assert run(*timing, "--", "run", "x", work=lambda argv: done.append(argv) or 0) == 0
    assert (len(done), len(slept), (tmp_path / "log").exists()) == (runs, runs, bool(runs))


def test_delays_are_waited_for_before_anything_is_written(run, slept, tmp_path):
    run("--wait", "7", "--", "run", "x")
    assert slept == [7]
    run("--wait-up-to", "600", "--", "run", "x")
    run("--wait-up-to", "600", "--", "run", "x")
    assert 0 <= slept[1] != slept[2] <= 600


@pytest.mark.parametrize(
    "words",
    [["--cron", "x", "--", "run"], ["--timezone", "No/Where", "--cron", "* * * * *", "--", "run"], ["--", "scheduled"]],
)
def test_what_cannot_be_used_is_said(run, tmp_path, capfd, words):
    assert run(*words) == 2
    assert "Remedy" in capfd.readouterr().err
    assert not (tmp_path / "state.json").exists()


def test_the_configuration_is_handed_on(monkeypatch):
    seen = []
    monkeypatch.setattr(scheduled, "run", lambda options, main: seen.append((options.command, main)) or 0)
    cli.main(["--config", "/tmp/other.json", "scheduled", "--name", "x", "--", "run", "x"])
    monkeypatch.setattr(cli, "_run", lambda options, _by_schedule: seen.append(options.config) or 0)
    seen[0][1](["status"])
    assert seen[1] == "/tmp/other.json"
