# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The subcommand run, for each kind of job."""

from __future__ import annotations

import json

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import FlaggedError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host import cli, objects_backup
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.backup_run import BackupResult, CopyResult
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository import acknowledgement, identity
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.directory import DirectoryStore
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.publish import Contents, Run

FLAG = "mass_delete: 4 of 9 objects are gone"
STATISTICS = {
    "objects": 9,
    "bytes": 9216,
    "added": 1,
    "rewritten": 2,
    "gone": 4,
    "read_bytes": 300,
    "remarks_sample": ["skipped: /srv/www/x: it is a socket"],
}
RESULT = BackupResult(
    "web1-www",
    "20261120T020000Z-0a1b2c",
    (CopyResult("local", True, True, True),),
    100,
    40,
    2.0,
    1.0,
    (),
    STATISTICS,
    (FLAG,),
)


@pytest.fixture
def store(tmp_path):
    folder = tmp_path / "local"
    folder.mkdir()
    store = DirectoryStore(str(folder))
    identity.initialise(store)
    return store


@pytest.fixture
def run(tmp_path, store, monkeypatch, capsys):
    """Return what runs the command with a job of each kind; folders are not read, the jobs are kept in seen."""
    config = tmp_path / "config.json"
    document = {
        "repositories": {"local": {"path": store.name}},
        "jobs": {
            "web1-www": {"kind": "files", "roots": ["/srv/www"], "repositories": ["local"]},
            "db1-shop": {"kind": "pg_database", "database": "shop", "repositories": ["local"]},
        },
    }
    config.write_text(json.dumps(document), encoding="utf-8")
    config.chmod(0o600)
    seen = []

    def back_up(job, _say):
        seen.append(job)
        raise FlaggedError("mass_delete", "It is doubted", FLAG, "look", RESULT)

    monkeypatch.setattr(objects_backup, "back_up", back_up)

    def main(*words):
        code = cli.main(["--config", str(config), *words])
        return code, capsys.readouterr()

    main.seen = seen
    return main


def test_a_flagged_backup_is_shown_and_ends_with_its_own_code(run):
    code, shown = run("run", "web1-www")
    assert code == 3
    assert "9 objects of 9.0 KiB: 1 new, 2 changed, 4 gone; 300 B read" in shown.out
    assert f"FLAG: {FLAG}" in shown.out and "it is a socket" in shown.out
    code, shown = run("run", "web1-www", "--json")
    answer = json.loads(shown.out)
    assert (code, answer["error"]["guard"], answer["flags"]) == (3, "mass_delete", [FLAG])
    assert answer["statistics"]["objects"] == 9


@pytest.mark.parametrize(
    ("words", "mode"),
    [
        ([], "incremental"),
        (["--full"], "full"),
        (["--metadata-only"], "metadata_only"),
        (["--reread", "2/7"], "incremental"),
    ],
)
def test_options_reach_a_job_of_folders(run, words, mode):
    run("run", "web1-www", "--rebind", "--allow-empty", *words)
    (job,) = run.seen
    assert (job.kind, job.mode, job.rebind, job.allow_empty) == ("files", mode, True, True)
    assert (job.reread.of if job.reread else None) == (7 if "--reread" in words else None)


@pytest.mark.parametrize(
    ("job", "option"),
    [
        ("db1-shop", ["--full"]),
        ("db1-shop", ["--metadata-only"]),
        ("db1-shop", ["--reread", "1/7"]),
        ("db1-shop", ["--allow-empty"]),
        ("web1-www", ["--on-shrink", "warn"]),
    ],
)
def test_options_of_another_kind_are_wrong_usage(run, job, option):
    code, shown = run("run", job, *option)
    assert code == 2 and option[0] in shown.err
    assert run.seen == []


@pytest.mark.parametrize("words", [["--full", "--metadata-only"], ["--reread", "8/7"], ["--reread", "x"]])
def test_what_excludes_each_other_or_is_no_share_is_wrong_usage(run, words):
    with pytest.raises(SystemExit) as end:
        run("run", "web1-www", *words)
    assert end.value.code == 2


@pytest.mark.parametrize("words", [["--acknowledge"], ["--acknowledge", "ID"]])
def test_acknowledging_makes_no_backup(run, store, words):
    made = Run(store, "web1-www")
    manifest = made.publish(Contents("files", {}, {}, {}, (), (FLAG,)))
    made.close()
    code, shown = run("run", "web1-www", *(manifest.id if word == "ID" else word for word in words))
    assert code == 0 and run.seen == []
    assert f"{manifest.id} and all earlier backups are acknowledged" in shown.out and FLAG in shown.out
    assert acknowledgement.newest(store, "web1-www") == manifest.id


def test_without_a_backup_there_is_nothing_to_acknowledge(run):
    code, shown = run("run", "web1-www", "--acknowledge")
    assert code == 1 and "0 backups are known" in shown.err
