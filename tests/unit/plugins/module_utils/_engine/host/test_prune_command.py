# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import re

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine import clock
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host import cli
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository import catalog, identity, proof
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.directory import DirectoryStore
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.publish import Contents, Run
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.store import UnavailableError

JOB = "lab"


@pytest.fixture
def host(tmp_path, monkeypatch, capsys):
    """A host with a job in two repositories; ids of backups are days of November."""
    return Host(tmp_path, monkeypatch, capsys)


class Host:
    def __init__(self, folder, monkeypatch, capsys):
        self._capsys = capsys
        days = iter(range(1, 29))
        monkeypatch.setattr(clock, "new_backup_id", lambda _moment: f"202606{next(days):02}T020000Z-0a1b2c")
        self.stores = {}
        for name in ("local", "site"):
            (folder / name).mkdir()
            self.stores[name] = DirectoryStore(str(folder / name))
            identity.initialise(self.stores[name])
        job = {"kind": "pg_database", "database": "lab", "repositories": ["local", "site"], "timezone": "Europe/Berlin"}
        repositories = {name: {"path": str(folder / name)} for name in self.stores}
        self._document = {"repositories": repositories, "jobs": {JOB: job}}
        self._path = folder / "config.json"
        self.keep({"local": {"last": 2}})

    def keep(self, rules):
        self._document["jobs"][JOB]["keep"] = rules
        self._path.write_text(json.dumps(self._document))
        self._path.chmod(0o640)

    def backups(self, name, count, flags=()):
        return [self._back_up(self.stores[name], flags) for _number in range(count)]

    def _back_up(self, store, flags):
        run = Run(store, JOB)
        run.store_file("dump", "dump", [b"rows"], "none")
        manifest = run.publish(Contents("pg_database", {}, {}, {}, flags=flags))
        verdicts = tuple(proof.FileVerdict(file.name, file.facts.stored_sha256, True) for file in manifest.files)
        proof.write(store, proof.ProofRecord(JOB, run.id, "content", store.now(), "db1", verdicts))
        run.close()
        return run.id

    def ids(self, name):
        return [backup.id for backup in catalog.backups(self.stores[name], JOB)]

    def lifeboat(self, *words):
        code = cli.main(["--config", str(self._path), *words])
        told = self._capsys.readouterr()
        return code, told.out, told.err


def test_a_dry_run_shows_what_stays_and_why_within_a_hundred_columns(host):
    host.keep({"local": {"last": 2, "daily": 3, "monthly": 12}})
    ids = host.backups("local", 5)
    code, out, _err = host.lifeboat("prune", JOB, "--dry-run")
    assert code == 0
    assert all(len(line) <= 100 for line in out.splitlines())
    assert re.search(rf"  {ids[0]}  \d+ (d|h)  +GOES", out)
    assert re.search(rf"  {ids[4]}  .*  stays  2026-", out)
    assert "BECAUSE" in out and "last 2, daily 2026-06-05, monthly 2026-06" in out
    assert "8 stored files" in out and "planned now" in out
    assert "the next backup goes about 2026-06-06" in out
    assert "site: 0 backups; keep is not set: every backup stays" in out
    assert host.ids("local") == ids


def test_a_prune_removes_and_says_so_and_the_next_has_nothing_to_do(host):
    ids = host.backups("local", 3)
    theirs = host.backups("site", 3)
    code, out, _err = host.lifeboat("prune", JOB)
    assert code == 0 and f"  {ids[0]} removed" in out
    assert host.ids("local") == ids[1:] and host.ids("site") == theirs
    code, out, _err = host.lifeboat("prune", JOB)
    assert code == 0 and out.count("nothing to do") == 2


def test_a_stored_file_that_is_gone_is_told_and_costs_no_other_backup(host):
    ids = host.backups("local", 4)
    store = host.stores["local"]
    for entry in list(store.entries(f"data/{JOB}/{ids[3]}/")):
        store.delete(entry.key)
    code, out, _err = host.lifeboat("--json", "prune", JOB, "--repository", "local", "--dry-run")
    assert code == 0 and json.loads(out)["repositories"][0]["lost"] == [ids[3]]
    code, out, _err = host.lifeboat("prune", JOB, "--repository", "local")
    assert code == 0 and f"a stored file of {ids[3]} is gone" in out
    assert host.ids("local") == ids[1:]
    for entry in list(store.entries(f"data/{JOB}/")):
        store.delete(entry.key)
    ids = ids[1:] + host.backups("local", 2)
    for entry in list(store.entries(f"data/{JOB}/{ids[3]}/")):
        store.delete(entry.key)
    code, out, _err = host.lifeboat("prune", JOB, "--repository", "local")
    assert "stored files of 1 more backups are gone or not whole" in out and host.ids("local") == ids


def test_more_than_half_needs_force(host):
    ids = host.backups("local", 5)
    code, out, err = host.lifeboat("prune", JOB, "--repository", "local")
    assert code == 3 and "more than half" in out and "more than half" in err
    assert host.ids("local") == ids
    assert host.lifeboat("prune", JOB, "--force")[0] == 0
    assert host.ids("local") == ids[3:]


def test_a_flag_in_one_repository_freezes_the_others(host):
    ids = host.backups("local", 3)
    host.backups("site", 1, flags=("mass_delete: nearly all",))
    code, out, _err = host.lifeboat("--json", "prune", JOB, "--repository", "local")
    assert code == 3 and json.loads(out)["error"]["guard"] == "flagged"
    assert host.ids("local") == ids


def test_one_repository_that_fails_does_not_keep_the_others_from_it(host, tmp_path):
    host.keep({"last": 2})
    ids = host.backups("local", 3)
    (tmp_path / "site" / "lifeboat.json").unlink()
    code, out, _err = host.lifeboat("--json", "prune", JOB)
    document = json.loads(out)
    assert code == 5 and document["error"]["guard"] == "repository"
    assert [each["removed"] for each in document["repositories"]] == [ids[:1], []]
    assert host.ids("local") == ids[1:]


def test_copies_do_not_bring_back_what_a_prune_removed(host, monkeypatch):
    host.keep({"local": {"last": 2}})
    host.backups("site", 5)
    code, out, err = host.lifeboat("copy", JOB, "--dry-run")
    assert code == 0, err
    assert [line.partition(":")[0] for line in out.splitlines()] == host.ids("site")[3:]


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ({"far": {"last": 2}}, "names far, which is no repository of the job"),
        ({"local": 7}, "has no rules for local"),
        ({"local": {"dayly": 7}}, "it has dayly"),
        ({"last": 0}, "it keeps nothing"),
    ],
)
def test_rules_that_cannot_be_meant_are_refused(host, rules, words):
    host.keep(rules)
    code, _out, err = host.lifeboat("prune", JOB)
    assert code == 2 and words in err


def test_a_backup_whose_id_tells_no_time_is_shown_and_stays(host, monkeypatch):
    monkeypatch.setattr(clock, "new_backup_id", lambda _moment: "20261399T020000Z-0a1b2c")
    host.backups("local", 1)
    code, out, _err = host.lifeboat("prune", JOB, "--dry-run")
    assert code == 0
    assert re.search(r"  20261399T020000Z-0a1b2c  -  .*its id tells no time", out)


def test_a_prune_that_ends_early_says_what_it_has_removed(host, monkeypatch):
    ids, gone = host.backups("local", 6), []
    delete = DirectoryStore.delete

    def delete_one(store, key, version_id="", signed_at=None):
        if key.startswith("manifests/"):
            if gone:
                raise UnavailableError("Cannot delete it", "the disk has gone")
            gone.append(key)
        delete(store, key, version_id, signed_at)

    monkeypatch.setattr(DirectoryStore, "delete", delete_one)
    code, out, _err = host.lifeboat("--json", "prune", JOB, "--repository", "local", "--force")
    told = json.loads(out)["repositories"][0]
    assert (code, told["removed"]) == (1, ids[:1])
    assert "the disk has gone" in told["problem"]
    gone.clear()
    code, out, _err = host.lifeboat("prune", JOB, "--repository", "local", "--force")
    assert code == 1
    assert f"{ids[1]} removed" in out and "it ended early: the disk has gone" in out
    assert "nothing is removed" not in out
    assert host.ids("local") == ids[2:]
