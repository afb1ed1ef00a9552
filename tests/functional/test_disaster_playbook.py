# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The playbook for a damaged database where the demo does not take it: servers that were rebuilt, checks that fail."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
import typing as t
from pathlib import Path

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.database_backup import back_up
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.place import Place
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository import catalog
from ansible_collections.lifeboat.recovery.tests.functional.job_fixtures import (
    JOB,
    SMALL,
    job_of,
    local,
    own_locks,
    postgres,
    server,
)
from ansible_collections.lifeboat.recovery.tests.functional.plays import ran
from ansible_collections.lifeboat.recovery.tests.functional.postgres_fixtures import PostgresServer, database

__all__ = ["local", "own_locks", "postgres", "server"]
DATABASE = "lab_of_the_playbook"
CHECKS = """---
- name: Ask the application
  ansible.builtin.copy:
    content: asked
    dest: "{answer}"
    mode: "0600"
- name: Judge what it says
  ansible.builtin.assert:
    that: {verdict}
    fail_msg: the application is not content
"""


@pytest.fixture
def folder() -> t.Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="lbt-", dir="/tmp"))
    yield made
    shutil.rmtree(made)


@pytest.fixture
def rebuilt(postgres: t.Callable[[int], PostgresServer]) -> PostgresServer:
    return postgres(16)


def run(where: PostgresServer, place: Place, folder: Path, **variables: t.Any) -> subprocess.CompletedProcess[str]:
    """Run the playbook on this host, whose database server is `where`."""
    given = {
        "lifeboat_hosts": "all",
        "lifeboat_report_dir": str(folder / "reports"),
        "lifeboat_repositories": [{"name": place.name, "path": place.store.name}],
        "lifeboat_jobs": [
            {
                "name": "lab",
                "job": JOB,
                "kind": "pg_database",
                "database": DATABASE,
                "login_host": str(where.socket_dir),
                "login_port": where.port,
                "login_user": where.user,
                "bin_dir": str(where.bin_dir),
            }
        ],
        **variables,
    }
    return ran("lifeboat.recovery.dr.database_corruption", "-i", "host1,", "-e", json.dumps(given))


def report(folder: Path) -> dict[str, t.Any]:
    found: dict[str, t.Any] = json.loads((folder / "reports" / f"{JOB}.json").read_text())
    return found


def checks(folder: Path, verdict: str) -> Path:
    path = folder / "checks.yml"
    path.write_text(CHECKS.format(answer=folder / "answer", verdict=verdict))
    return path


def rows(where: PostgresServer) -> str:
    return where.sql("SELECT count(*) || '/' || md5(string_agg(what, ',' ORDER BY id)) FROM visit", DATABASE)


def test_a_job_goes_on_with_a_server_that_was_rebuilt_only_when_told_to(
    server: PostgresServer, rebuilt: PostgresServer, local: Place, folder: Path
) -> None:
    with database(server, DATABASE, SMALL):
        back_up(job_of(server, DATABASE, local))
        wanted = rows(server)
    try:
        said = run(rebuilt, local, folder, lifeboat_confirm=DATABASE)
        assert said.returncode != 0, said.stdout
        assert rows(rebuilt) == wanted
        found = report(folder)
        assert found["outcome"] == "incomplete"
        assert "the job is bound to" in " ".join(found["deviations"])
        assert len(catalog.backups(local.store, JOB)) == 1

        asked = checks(folder, "true")
        more = {"lifeboat_rebind": True, "lifeboat_again": True, "lifeboat_validation": str(asked)}
        said = run(rebuilt, local, folder, lifeboat_confirm=DATABASE, **more)
        assert said.returncode == 0, said.stdout
        assert report(folder)["outcome"] == "recovered"
        assert (folder / "answer").read_text() == "asked"
        assert rows(rebuilt) == wanted
        assert [backup.is_good for backup in catalog.backups(local.store, JOB)] == [True, True]
    finally:
        for name in rebuilt.sql("SELECT datname FROM pg_database WHERE datname LIKE 'lab_of_the_playbook%'").split():
            rebuilt.sql(f'DROP DATABASE "{name}"')


def test_an_application_that_is_not_content_is_told(server: PostgresServer, local: Place, folder: Path) -> None:
    with database(server, DATABASE, SMALL):
        back_up(job_of(server, DATABASE, local))
        wanted = rows(server)
        server.sql("DELETE FROM visit WHERE id > 10", DATABASE)
        asked = checks(folder, "false")
        said = run(server, local, folder, lifeboat_confirm=DATABASE, lifeboat_validation=str(asked))
        try:
            assert said.returncode != 0 and "the application is not content" in said.stdout
            found = report(folder)
            assert found["outcome"] == "incomplete"
            assert "the application is not content" in " ".join(found["deviations"])
            assert rows(server) == wanted
        finally:
            previous = report(folder)["recovered"]["previous"]
            if previous:
                server.sql(f'DROP DATABASE "{previous}"')
