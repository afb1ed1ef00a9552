# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import datetime as dt
import json
import os
import stat
import threading

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import LifeboatError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host import run_history
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.notify_delivery import Delivery
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.notify_event import Event
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.run_history import (
    BackupFacts,
    History,
    HistoryFile,
    RepositoryFacts,
)

ODD = """{"format": 1, "ends": {}, "repositories": [], "backup": null,
"channels": {"mail": {"failures": "many", "failed": 0, "problem": ""}}}"""
MOMENT = dt.datetime(2026, 11, 20, 2, 0, tzinfo=dt.timezone.utc)


def ended(outcome, hours=0, command="run", **changes):
    moment = MOMENT + dt.timedelta(hours=hours)
    code = {"success": 0, "incomplete": 5, "flagged": 3}.get(outcome, 1)
    return Event(command, "db1-shop", "db1", outcome, moment, moment, exit_code=code, **changes)


def test_a_history_knows_the_last_good_and_the_last_bad_end_of_each_command():
    history = History().with_end(ended("success")).with_end(ended("failure", 1, problem="No", cause="disk"))
    history = history.with_end(ended("success", 2, "verify"))
    end = history.ends["run"]
    assert (end.succeeded, end.failed) == (MOMENT.timestamp(), MOMENT.timestamp() + 3600)
    assert (end.outcome, end.exit_code, end.problem) == ("failure", 1, "No: disk")
    assert (history.ends["verify"].failed, history.ends["verify"].problem) == (0.0, "")


@pytest.mark.parametrize(
    ("before", "after", "recovers"),
    [
        ([], "success", False),
        (["success"], "success", False),
        (["failure"], "success", True),
        (["incomplete"], "success", True),
        (["flagged"], "success", True),
        (["failure", "success"], "success", False),
        (["failure"], "incomplete", False),
    ],
)
def test_a_recovery_is_a_good_end_after_another_one(before, after, recovers):
    history = History()
    for outcome in before:
        history = history.with_end(ended(outcome))
    assert history.recovers(ended(after)) is recovers
    assert not history.recovers(ended(after, command="verify"))


def test_failures_of_a_channel_are_counted_and_are_over_when_it_works():
    away, done = [Delivery("mail", "it is away")], [Delivery("mail")]
    history = History().with_deliveries(away, MOMENT).with_deliveries(away, MOMENT)
    assert (history.channels["mail"].failures, history.channels["mail"].problem) == (2, "it is away")
    channel = history.with_deliveries(done, MOMENT).channels["mail"]
    assert (channel.failures, channel.failed, channel.problem) == (2, 0.0, "")


def test_what_is_remembered_is_read_again(tmp_path):
    history = History(
        ends=History().with_end(ended("failure")).ends,
        backup=BackupFacts(1.0, 2.0, True, 3, 4, 1, 2, 5),
        repositories=(RepositoryFacts("local", True, 6, 7, 8), RepositoryFacts("site", False, 0)),
        channels=History().with_deliveries([Delivery("mail", "away")], MOMENT).channels,
    )
    file = HistoryFile(str(tmp_path), "job", "db1-shop")
    with file.changed() as kept:
        kept.history = history
    assert file.read() == history
    (path,) = tmp_path.iterdir()
    assert (path.name, stat.S_IMODE(path.stat().st_mode)) == ("job.db1-shop.json", 0o640)


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"format": 2}', '{"format": 1, "ends": 3}', "\xff", "null", "3", "[" * 100_000, ODD]
)
def test_a_file_that_cannot_be_understood_is_no_history_and_is_replaced(tmp_path, text):
    path = tmp_path / "job.db1-shop.json"
    path.write_bytes(text.encode("latin-1"))
    file = HistoryFile(str(tmp_path), "job", "db1-shop")
    assert file.read() == History()
    with file.changed() as kept:
        kept.history = kept.history.with_end(ended("success"))
    assert json.loads(path.read_text())["ends"]["run"]["outcome"] == "success"


def test_a_link_is_neither_read_nor_written_through(tmp_path):
    other, folder = tmp_path / "other.json", tmp_path / "state"
    folder.mkdir()
    file = HistoryFile(str(folder), "job", "x")
    with file.changed() as kept:
        kept.history = kept.history.with_end(ended("failure"))
    os.rename(folder / "job.x.json", other)
    before = other.read_bytes()
    (folder / "job.x.json").symlink_to(other)
    assert file.read() == History()
    with file.changed() as kept:
        kept.history = kept.history.with_end(ended("success"))
    assert other.read_bytes() == before
    assert not (folder / "job.x.json").is_symlink()


def test_a_folder_that_is_not_there_is_named_with_what_to_do(tmp_path):
    with (
        pytest.raises(LifeboatError, match="No such file") as error,
        HistoryFile(str(tmp_path / "x"), "job", "x").changed(),
    ):
        raise AssertionError("it must not come so far")
    assert "state_dir" in error.value.remedy


def test_two_writers_lose_nothing_of_each_other(tmp_path):
    file = HistoryFile(str(tmp_path), "job", "x")

    def write(command):
        for number in range(20):
            with HistoryFile(str(tmp_path), "job", "x").changed() as kept:
                kept.history = kept.history.with_deliveries([Delivery(command, f"{number}")], MOMENT)

    threads = [threading.Thread(target=write, args=(name,)) for name in ("run", "verify", "copy")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {name: each.failures for name, each in file.read().channels.items()} == {"run": 20, "verify": 20, "copy": 20}


def test_somebody_who_never_lets_go_is_a_failure_and_no_hang(tmp_path, monkeypatch):
    monkeypatch.setattr(run_history, "_PATIENCE_S", 0.0)
    file = HistoryFile(str(tmp_path), "job", "x")
    with file.changed(), pytest.raises(LifeboatError, match="keeps it locked"), file.changed():
        raise AssertionError("it must not come so far")
