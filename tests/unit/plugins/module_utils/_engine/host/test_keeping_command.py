# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host import cli
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository import catalog, hold, identity
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.directory import DirectoryStore
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.publish import Contents, Run
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.store import Store

JOB = "lab"
LATER = "2099-06-30T00:00:00Z"


class Host:
    """A host with a job in two repositories."""

    def __init__(self, folder, capsys):
        self._capsys = capsys
        self.stores: dict[str, Store] = {}
        for name in ("local", "site"):
            (folder / name).mkdir()
            self.stores[name] = DirectoryStore(str(folder / name))
            identity.initialise(self.stores[name])
        self._folder = folder
        self._path = folder / "config.json"
        self.use("local", "site")

    def use(self, *repositories):
        job = {"kind": "pg_database", "database": "lab", "repositories": list(repositories)}
        places = {name: {"path": str(self._folder / name)} for name in self.stores}
        self._path.write_text(json.dumps({"repositories": places, "jobs": {JOB: job}}))
        self._path.chmod(0o640)

    def back_up(self, name):
        run = Run(self.stores[name], JOB)
        run.store_file("dump", "dump", [b"rows"], "none")
        run.publish(Contents("pg_database", {}, {}, {}))
        run.close()
        return run.id

    def ids(self, name):
        return [backup.id for backup in catalog.backups(self.stores[name], JOB)]

    def reasons(self, name):
        return [each.reason for each in hold.read(self.stores[name], JOB).values()]

    def lifeboat(self, *words):
        code = cli.main(["--config", str(self._path), *words])
        told = self._capsys.readouterr()
        return code, told.out, told.err


@pytest.fixture
def host(tmp_path, capsys):
    return Host(tmp_path, capsys)


def test_a_backup_is_held_where_it_is_and_the_command_says_where_it_is_not(host):
    backup_id = host.back_up("local")
    code, out, err = host.lifeboat("hold", JOB, backup_id, "--reason", "an audit", "--until", LATER)
    assert code == 5 and f"{JOB}: {backup_id} in local: held" in out
    assert "site: it is not there" in out and "Cannot hold" in err
    assert host.reasons("local") == ["an audit"] and host.reasons("site") == []


def test_latest_is_no_id_for_a_hold(host):
    code, _out, err = host.lifeboat("hold", JOB, "latest", "--reason", "an audit")
    assert code == 2 and "say latest" not in err and "take the id" in err


def test_a_second_hold_changes_nothing_and_a_release_ends_it(host):
    backup_id = host.back_up("local")
    words = ("hold", JOB, backup_id, "--repository", "local")
    assert host.lifeboat(*words, "--reason", "an audit", "--dry-run")[0] == 0
    assert host.reasons("local") == []
    assert host.lifeboat(*words, "--reason", "an audit")[0] == 0
    code, out, _err = host.lifeboat(*words, "--reason", "an audit")
    assert code == 0 and "already" in out
    code, out, _err = host.lifeboat("hold", JOB, backup_id, "--release", "--json")
    assert code == 0 and [row["changed"] for row in json.loads(out)["repositories"]] == [True, False]
    assert host.reasons("local") == []


@pytest.mark.parametrize(
    "words", [(), ("--reason", "  "), ("--reason", "x", "--until", "soon"), ("--reason", "x", "--release")]
)
def test_a_hold_that_makes_no_sense_is_wrong_usage(host, words):
    backup_id = host.back_up("local")
    assert host.lifeboat("hold", JOB, backup_id, *words)[0] == 2
    assert host.reasons("local") == []


def test_a_backup_is_deleted_from_the_named_repository_once_that_is_confirmed(host):
    backup_id = host.back_up("local")
    words = ("delete", JOB, backup_id, "--repository", "local")
    code, out, _err = host.lifeboat(*words, "--dry-run")
    assert code == 0 and "would be deleted" in out
    code, _out, err = host.lifeboat(*words)
    assert code == 3 and f"set it to {backup_id}" in err
    assert host.lifeboat(*words, "--confirm", "another")[0] == 3
    assert host.ids("local") == [backup_id]
    code, out, _err = host.lifeboat(*words, "--confirm", backup_id)
    assert code == 0 and f"{backup_id} in local: deleted" in out
    assert host.ids("local") == []
    code, out, _err = host.lifeboat(*words, "--confirm", backup_id)
    assert code == 0 and "it is not there" in out


def test_where_there_are_several_repositories_a_delete_names_them(host):
    backup_id = host.back_up("local")
    code, _out, err = host.lifeboat("delete", JOB, backup_id, "--confirm", backup_id)
    assert code == 2 and "local, site" in err
    host.use("local")
    assert host.lifeboat("delete", JOB, backup_id, "--confirm", backup_id)[0] == 0
    assert host.ids("local") == []


def test_a_held_backup_is_not_deleted(host):
    backup_id = host.back_up("local")
    host.lifeboat("hold", JOB, backup_id, "--reason", "an audit", "--repository", "local")
    code, _out, err = host.lifeboat("delete", JOB, backup_id, "--confirm", backup_id, "--repository", "local")
    assert code == 3 and "it is held: an audit" in err
    assert host.ids("local") == [backup_id]


def test_what_cannot_be_an_id_is_wrong_usage(host):
    for command in ("hold", "delete"):
        words = ("--reason", "x") if command == "hold" else ()
        assert host.lifeboat(command, JOB, "newest", "--repository", "local", *words)[0] == 2


def test_nothing_is_locked_without_a_section_that_says_how(host):
    host.back_up("local")
    code, _out, err = host.lifeboat("lock", JOB)
    assert code == 2 and "no repository has the section lock" in err
    assert host.lifeboat("lock", JOB, "--repository", "elsewhere")[0] == 2
