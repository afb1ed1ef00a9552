# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How ends of the command are told and remembered."""

from __future__ import annotations

import json
import os
import signal

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import (
    FlaggedError,
    IncompleteError,
    LifeboatError,
    UsageError,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host import (
    cli,
    notify_http,
    objects_backup,
    reporting,
    signals,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.backup_run import BackupResult, CopyResult
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.notify_channel import NotSent, Opened
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.run_history import HistoryFile
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository import identity
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.directory import DirectoryStore

ID = "20261120T020000Z-0a1b2c"
COPIES = (CopyResult("local", True, True, True), CopyResult("site", False, False, False, "it is away"))


def result(**changes):
    given = {"job": "etc", "id": ID, "copies": COPIES[:1], "plain_bytes": 300, "stored_bytes": 100, "seconds": 2.0}
    more = {"dump_seconds": 1.0, "warnings": (), "statistics": {"bytes": 5000}}
    return BackupResult(**{**given, **more, **changes})


@pytest.fixture
def host(tmp_path, monkeypatch):
    return Host(tmp_path, monkeypatch)


class Host:
    """A host whose runs do what a test says, and whose webhook is kept in a list."""

    def __init__(self, folder, monkeypatch):
        for name in ("local", "state", "metrics"):
            (folder / name).mkdir()
        self.folder, self.work, self.told, self.refuses = folder, result, [], None
        identity.initialise(DirectoryStore(str(folder / "local")))
        self.document = {
            "repositories": {"local": {"path": str(folder / "local")}},
            "jobs": {"etc": {"kind": "files", "roots": ["/etc"], "repositories": ["local"]}},
            "notifications": {"channels": {"hook": self.channel("webhook"), "ping": self.channel("ping")}},
            "metrics": {"directory": str(folder / "metrics")},
            "state_dir": str(folder / "state"),
        }
        monkeypatch.setattr(objects_backup, "back_up", lambda _job, _say: self.work())
        monkeypatch.setattr(notify_http.Webhook, "opened", lambda channel: Opened(self.send, ()))
        monkeypatch.setattr(notify_http.Ping, "opened", lambda channel: Opened(self.send, ()))

    @staticmethod
    def channel(kind):
        return {"type": kind, "url": "https://hook.example.com/x", "attempts": 1}

    def send(self, event):
        self.told.append(event)
        if self.refuses is not None:
            raise self.refuses

    def run(self, *words):
        path = self.folder / "config.json"
        path.write_text(json.dumps(self.document))
        path.chmod(0o600)
        return cli.main(["--config", str(path), *(words or ("run", "etc"))])

    def raises(self, error):
        def work():
            raise error

        self.work = work

    def history(self):
        return HistoryFile(str(self.folder / "state"), "job", "etc").read()

    def metrics(self):
        text = (self.folder / "metrics" / "lifeboat.job.etc.prom").read_text()
        return dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))

    def words(self):
        return [event.outcome for event in self.told]


@pytest.mark.parametrize(
    ("error", "code", "outcome"),
    [
        (LifeboatError("Cannot", "no", "mend"), 1, "failure"),
        (UsageError("Cannot", "no", "mend"), 2, "failure"),
        (FlaggedError("mass_delete", "It is doubted", "so", "look", result(flags=("mass_delete: 4",))), 3, "flagged"),
        (IncompleteError("It", "is", "so", result(copies=COPIES)), 5, "incomplete"),
    ],
)
def test_every_bad_end_is_told_once_to_each_channel_and_kept(host, error, code, outcome):
    host.raises(error)
    assert host.run() == code
    assert sorted(host.words()) == sorted(["start", outcome, outcome])  # the begin is for the ping alone
    told = host.told[-1]
    assert (told.exit_code, told.problem, told.job, told.kind) == (code, error.problem, "etc", "files")
    assert host.history().ends["run"].outcome == outcome
    assert host.metrics()['lifeboat_last_exit_code{command="run",lifeboat_job="etc"}'] == str(code)


MISTYPED = [
    ("verify", "etc", "--repository", "foo"),
    ("verify", "etc", "--sample", "x"),
    ("copy", "etc", "--min-age", "x"),
    ("copy", "etc", "--to", "foo"),
    ("run", "etc", "--on-shrink", "warn"),
]


@pytest.mark.parametrize("words", MISTYPED)
def test_what_somebody_has_mistyped_is_told_to_nobody_else(host, words):
    assert host.run(*words) == 2
    assert host.told == [] and not host.history().ends


def test_a_schedule_with_a_name_that_is_no_more_is_told(host):
    assert host.run("scheduled", "--name", "weekly", "--", *MISTYPED[0]) == 2
    assert host.history().ends["verify"].outcome == "failure"


def test_a_good_end_is_for_the_ping_alone_unless_the_one_before_was_bad(host):
    assert host.run() == 0
    assert host.words() == ["start", "success"]
    host.raises(LifeboatError("No"))
    host.run()
    host.told.clear()
    host.work = result
    assert host.run() == 0
    assert sorted(host.words()) == ["start", "success", "success"]
    assert host.told[-1].is_recovery


def test_what_a_run_wrote_is_in_the_metrics(host):
    host.run()
    found = host.metrics()
    label = '{kind="files",lifeboat_job="etc"}'
    assert found[f"lifeboat_backup_timestamp_seconds{label}"] == "1795140000"
    assert float(found[f"lifeboat_backup_proved_timestamp_seconds{label}"]) > 0
    assert (found[f"lifeboat_backup_source_bytes{label}"], found[f"lifeboat_backup_flagged{label}"]) == ("5000", "0")
    assert (found[f"lifeboat_backup_copies{label}"], found[f"lifeboat_backup_copies_wanted{label}"]) == ("1", "1")


def test_a_flagged_or_failed_run_takes_no_proof_away_and_gives_none(host):
    host.run()
    proved = host.history().backup.proved
    host.raises(FlaggedError("mass_delete", "It", "is", "so", result(flags=("mass_delete: 4",))))
    host.run()
    assert (host.history().backup.proved, host.history().backup.is_flagged) == (proved, True)
    host.raises(LifeboatError("No"))
    host.run()
    assert host.history().backup.proved == proved


def test_a_signal_is_told(host, monkeypatch, capsys):
    monkeypatch.setattr(signals, "_end_children", lambda: None)  # those of the test's process are not the command's

    def work():
        os.kill(os.getpid(), signal.SIGTERM)
        raise RuntimeError("the signal was lost")

    host.work = work
    assert host.run() == 143
    assert host.words()[-2:] == ["failure", "failure"]
    assert (host.told[-1].exit_code, host.told[-1].problem) == (143, "run etc was ended by SIGTERM")
    assert capsys.readouterr().err.splitlines()[-1] == "Ended by SIGTERM."


def test_a_bug_is_told_without_its_words_and_stays_a_traceback(host):
    host.raises(ZeroDivisionError("canary-5ecret"))
    with pytest.raises(ZeroDivisionError):
        host.run()
    assert host.told[-1].problem == "run etc ended by a bug"
    assert "canary" not in repr(host.told[-1])
    assert host.history().ends["run"].exit_code == 1


def test_a_job_that_is_not_configured_is_told(host):
    assert host.run("run", "ect") == 2
    assert host.words() == ["start", "failure", "failure"]
    assert "Cannot find job ect" in host.told[-1].problem


@pytest.mark.parametrize("work", [result, LifeboatError("No")])
def test_a_channel_that_is_away_changes_no_exit_code_and_is_seen_everywhere(host, work, capsys):
    if isinstance(work, LifeboatError):
        host.raises(work)
    host.document["notifications"]["channels"]["hook"]["on"] = ["success", "failure"]
    host.refuses = NotSent("it is away", True)
    assert host.run("--json", "run", "etc") == (1 if isinstance(work, LifeboatError) else 0)
    shown = capsys.readouterr()
    assert "warning: notification channel hook was not reached: it is away" in shown.err
    assert {"channel": "hook", "delivered": False, "problem": "it is away"} in json.loads(shown.out)["notifications"]
    assert host.metrics()['lifeboat_notification_failures_total{channel="hook",lifeboat_job="etc"}'] == "1"
    assert host.run("--json", "status") == 1
    (job,) = json.loads(capsys.readouterr().out)["jobs"]
    assert any("notification channel hook was not reached" in problem for problem in job["problems"])


@pytest.mark.parametrize("lost", ["state", "metrics"])
def test_what_cannot_be_written_is_a_remark_and_everybody_is_told_all_the_same(host, lost, capsys):
    (host.folder / lost).rename(host.folder / "elsewhere")
    assert host.run() == 0
    assert host.words() == ["start", "success"]
    assert str(host.folder / lost) in capsys.readouterr().err


def test_a_bug_in_the_telling_is_a_remark(host, monkeypatch, capsys):
    monkeypatch.setattr(reporting, "with_result", lambda *_words: 1 / 0)
    assert host.run() == 0
    assert "Cannot report the end of run etc: ZeroDivisionError" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ("list",),
        ("check",),
        ("copy", "etc", "--dry-run"),
        ("run", "etc", "--acknowledge"),
        ("restore", "etc", "--dry-run"),
    ],
)
def test_who_only_looks_or_acknowledges_tells_nobody(host, words):
    host.run(*words)
    assert host.told == []
    assert list((host.folder / "state").iterdir()) == []


def test_what_is_wrong_is_in_the_status_until_it_works_again(host, capsys):
    host.raises(LifeboatError("Cannot read", "the disk is gone"))
    host.run()
    capsys.readouterr()
    assert host.run("status") == 1
    assert "the last run ended with 1" in capsys.readouterr().out
    host.work = result
    host.run()
    capsys.readouterr()
    host.run("status")
    assert "the last run ended" not in capsys.readouterr().out


def test_a_flag_that_was_acknowledged_leaves_nothing_in_the_status(host, capsys):
    host.raises(FlaggedError("mass_delete", "It", "is", "so", result(flags=("mass_delete: 4",))))
    assert host.run() == 3
    capsys.readouterr()
    host.run("status")
    assert "the last run ended" not in capsys.readouterr().out, "a flag is seen in the repository, as long as it counts"


def test_a_history_that_cannot_be_kept_by_a_bug_keeps_nobody_from_being_told(host, monkeypatch, capsys):
    monkeypatch.setattr(reporting, "write_metrics", lambda *_words: 1 / 0)
    host.raises(LifeboatError("No"))
    assert host.run() == 1
    assert host.words() == ["start", "failure", "failure"]
    assert "Cannot remember the end of run etc: ZeroDivisionError" in capsys.readouterr().err


def test_a_channel_that_cannot_be_opened_by_a_bug_is_a_remark(host, monkeypatch, capsys):
    monkeypatch.setattr(notify_http.Webhook, "opened", lambda _channel: 1 / 0)
    host.raises(LifeboatError("No"))
    assert host.run() == 1
    assert host.words() == ["start", "failure"]
    assert "channel hook was not reached: it cannot be opened: ZeroDivisionError" in capsys.readouterr().err


def test_the_status_writes_metrics_of_all_jobs_and_removes_those_of_others(host, capsys):
    host.document["jobs"]["srv"] = {**host.document["jobs"]["etc"], "schedule": {"cron": "17 2 * * *"}}
    host.document["mirrors"] = {"near": {"source": {"path": "/srv"}, "targets": {"far": {"bucket": "b"}}}}
    (host.folder / "metrics" / "lifeboat.job.gone.prom").touch()
    assert host.run("status", "--metrics") == 1  # no backup yet
    names = sorted(path.name for path in (host.folder / "metrics").iterdir())
    assert names == ["lifeboat.job.etc.prom", "lifeboat.job.srv.prom", "lifeboat.mirror.near.prom", "lifeboat.prom"]
    found = host.metrics()
    assert found['lifeboat_backup_timestamp_seconds{kind="files",lifeboat_job="etc"}'] == "0"
    assert found['lifeboat_repository_reachable{lifeboat_job="etc",repository="local"}'] == "1"
    size = float(found['lifeboat_repository_size_bytes{lifeboat_job="etc",repository="local"}'])
    assert 0 < float(found['lifeboat_repository_free_bytes{lifeboat_job="etc",repository="local"}']) <= size
    text = (host.folder / "metrics" / "lifeboat.job.srv.prom").read_text()
    assert 'lifeboat_next_run_timestamp_seconds{lifeboat_job="srv"}' in text
    capsys.readouterr()
    host.run("status")
    shown = capsys.readouterr().out
    assert "MIRROR" in shown and " in " in shown
    assert max(map(len, shown.splitlines())) <= 100


def test_metrics_need_a_folder(host, capsys):
    del host.document["metrics"]
    assert host.run("status", "--metrics") == 2
    assert "metrics.directory" in capsys.readouterr().err


def test_a_job_that_cannot_be_looked_at_hides_no_other(host, capsys):
    host.document["jobs"]["odd"] = {**host.document["jobs"]["etc"], "run_as": "no-such-user-here"}
    host.document["jobs"]["srv"] = host.document["jobs"]["etc"]
    code = host.run("--json", "status")
    if os.geteuid() != 0:
        assert code == 2  # only root looks at the jobs of others
        return
    jobs = {job["job"]: job for job in json.loads(capsys.readouterr().out)["jobs"]}
    assert "this host has no such user" in jobs["odd"]["problems"][0]
    assert jobs["srv"]["problems"] == ["there is no backup"]


def test_a_trial_goes_to_all_channels_and_changes_nothing(host, capsys):
    assert host.run("notify", "--test") == 0
    assert (host.words(), capsys.readouterr().out) == (["test", "test"], "hook: sent\nping: sent\n")
    assert list((host.folder / "state").iterdir()) == []


def test_a_trial_that_is_not_taken_ends_with_1(host, capsys):
    host.refuses = NotSent("it is away", False)
    assert host.run("notify", "etc", "--test", "--channel", "hook") == 1
    assert capsys.readouterr().out == "hook: NOT SENT\n  ! it is away\n"
    assert host.run("notify", "--test", "--channel", "pigeon") == 2


def test_check_looks_at_channels_and_folders(host, capsys):
    host.document["state_dir"] = str(host.folder / "missing")
    assert host.run("check") == 1
    shown = " ".join(capsys.readouterr().out.split())
    assert "ok notification channel hook: tells of failure" in shown
    assert "WRONG state_dir: Cannot use" in shown and "ok metrics.directory" in shown
    assert host.told == []
