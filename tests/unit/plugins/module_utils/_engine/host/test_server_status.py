# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import shutil

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host import cli
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.proving import prove
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository import binding, identity
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.directory import DirectoryStore
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.publish import Contents, Run
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.verify.drill_place import DrillPlace


def back_up(store, job, database):
    """Store a proved backup of a text, which no program can restore."""
    binding.bind(store, job, "pg_database", {"database": database})
    run = Run(store, job)
    run.store_file("globals.sql", "globals", [b"-- no roles\n"], "none")
    manifest = run.publish(Contents("pg_database", {}, {"database": database, "server_version": "15.18"}, {}))
    run.close()
    prove(store, manifest, "content", DrillPlace())


@pytest.fixture
def repository(tmp_path):
    """Return the folder of a repository with backups of the database shop by the job all."""
    folder = tmp_path / "repository"
    folder.mkdir()
    store = DirectoryStore(str(folder))
    identity.initialise(store)
    back_up(store, "all.shop", "shop")
    return folder


@pytest.fixture
def ask(tmp_path, repository, capsys):
    """Ask the host command, with a job for these databases."""

    def asked(databases, *words):
        job = {"kind": "pg_database", "databases": databases, "repositories": ["local"]}
        document = {"repositories": {"local": {"path": str(repository)}}, "jobs": {"all": job}}
        file = tmp_path / "config.json"
        file.write_text(json.dumps(document))
        file.chmod(0o640)
        code = cli.main(["--config", str(file), "--json", *words])
        return code, json.loads(capsys.readouterr().out)

    return asked


def problems(answer):
    return {each["job"]: each["problems"] for each in answer["jobs"]}


def test_a_named_database_that_was_never_backed_up_is_shown_and_wrong(ask):
    code, answer = ask(["wiki", "shop"], "status")
    assert code == 1
    assert problems(answer) == {
        "all": ["1 of 2 databases are not as they should be"],
        "all.shop": [],
        "all.wiki": ["there is no backup"],
    }
    assert (answer["jobs"][0]["members"], answer["jobs"][0]["copies"], answer["jobs"][0]["proved_at"]) == (2, [], None)


@pytest.mark.parametrize("databases", [["shop"], "all"])
def test_all_is_well_where_every_named_database_has_a_backup(ask, databases):
    code, answer = ask(databases, "status")
    assert code == 0 and problems(answer) == {"all": [], "all.shop": []}


def test_nobody_knows_what_was_backed_up_where_no_repository_answers(ask, repository):
    shutil.rmtree(repository)
    code, answer = ask(["shop", "wiki"], "status")
    assert code == 1
    (problem,) = problems(answer)["all"]
    assert "local cannot be used" in problem and list(problems(answer)) == ["all"]


def test_a_verification_misses_a_named_database_that_was_never_backed_up(ask):
    code, answer = ask(["wiki", "shop"], "verify", "all", "--level", "checksum")
    assert code == 1
    assert [each["job"] for each in answer["members"]] == ["all.shop", "all.wiki"]
    assert answer["members"][0]["copies"][0]["good"]
    assert "all.wiki: Cannot verify all.wiki: no repository has backup latest" in answer["error"]["cause"]
    assert ask(["shop"], "verify", "all", "--level", "checksum")[0] == 0


@pytest.mark.parametrize("words", [("copy", "all"), ("prune", "all", "--dry-run"), ("list", "all")])
def test_what_never_was_keeps_no_other_work_from_being_done(ask, words):
    assert ask(["shop", "wiki"], *words)[0] == 0
