# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The role postgres_recovery in somebody's playbook: what happens to the application around the restore."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
import time
import typing as t
from pathlib import Path

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine import clock
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host import recovery_recording
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.database_backup import back_up
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.place import Place
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres import scram
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository import catalog
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.recovery_record import Stored
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
DATABASE = "lab_of_the_role"
PASSWORD = "canary-5ecret of the shop"
# Each call is written down. It asks for rows where that is told, as an application would.
APPLICATION = """#!/bin/sh
echo "$1" >> {folder}/told
case "$1" in
  running) sed -i '$d' {folder}/told; [ -e {folder}/runs ] ;;
  stop) rm {folder}/runs ;;
  start) touch {folder}/runs ;;
  migrate) [ ! -e {folder}/broken ] ;;
esac
"""


class Shop:
    """An application that uses a database, and the play that recovers it."""

    def __init__(self, folder: Path, where: PostgresServer, place: Place) -> None:
        self.folder, self._server, self._place = folder, where, place
        self.login = {"login_host": str(where.socket_dir), "login_port": where.port, "login_user": where.user}
        self._program = folder / "application"
        self._program.write_text(APPLICATION.format(folder=folder))
        self._program.chmod(0o755)
        (folder / "runs").touch()

    def recover(self, *arguments: str, **variables: t.Any) -> subprocess.CompletedProcess[str]:
        words = [str(self._program)]
        given = {
            "postgres_recovery_report_dir": str(self.folder / "reports"),
            "postgres_recovery_repositories": [{"name": self._place.name, "path": self._place.store.name}],
            "postgres_recovery_jobs": [self._job()],
            "postgres_recovery_host": "db1",
            "postgres_recovery_roles": [{"name": "lab_shop", "password": PASSWORD}],
            "postgres_recovery_before": [{"name": "before", "command": [*words, "before"]}],
            "postgres_recovery_after": [{"name": "migrations", "command": [*words, "migrate"]}],
            "application_control_memory_dir": str(self.folder / "memory"),
            "application_control_check_retries": 0,
            "application_control_parts": [
                {
                    "name": "shop",
                    "running": [*words, "running"],
                    "stop": [*words, "stop"],
                    "start": [*words, "start"],
                }
            ],
            "application_control_checks": [{"name": "health", "command": [*words, "health"]}],
            **{f"postgres_recovery_{name}": value for name, value in variables.items()},
        }
        play = {"hosts": "all", "connection": "local", "gather_facts": False, "vars": given}
        roles = [{"role": "lifeboat.recovery.postgres_recovery"}]
        (self.folder / "play.yml").write_text(json.dumps([{**play, "roles": roles}]))
        done = ran("-i", "db1,", *arguments, str(self.folder / "play.yml"))
        assert PASSWORD not in done.stdout
        return done

    def _job(self) -> dict[str, t.Any]:
        where = self._server
        return {
            "name": "lab",
            "job": JOB,
            "kind": "pg_database",
            "database": DATABASE,
            **self.login,
            "bin_dir": str(where.bin_dir),
            "objectives": {"rpo_hours": 1, "rto_hours": 2},
        }

    def told(self) -> list[str]:
        """Return what the application was told since the last call."""
        path = self.folder / "told"
        lines = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return lines

    @property
    def runs(self) -> bool:
        return (self.folder / "runs").exists()

    def records(self) -> list[Stored]:
        return [row.record for row in recovery_recording.records([self._place], JOB).rows]

    @property
    def report(self) -> dict[str, t.Any]:
        found: dict[str, t.Any] = json.loads((self.folder / "reports" / f"{JOB}.json").read_text())
        return found


@pytest.fixture
def shop(server: PostgresServer, local: Place) -> t.Iterator[Shop]:
    """A shop whose database was backed up and damaged."""
    folder = Path(tempfile.mkdtemp(prefix="lbt-", dir="/tmp"))
    with database(server, DATABASE, SMALL):
        back_up(job_of(server, DATABASE, local))
        server.sql("DELETE FROM visit WHERE id > 10", DATABASE)
        yield Shop(folder, server, local)
    for name in server.sql("SELECT datname FROM pg_database WHERE datname LIKE 'lab_of_the_role%'").split():
        server.sql(f'DROP DATABASE "{name}"')
    server.sql("DROP ROLE IF EXISTS lab_shop")
    shutil.rmtree(folder)


def rows(where: PostgresServer) -> int:
    return int(where.sql("SELECT count(*) FROM visit", DATABASE))


def changed(said: subprocess.CompletedProcess[str]) -> int:
    return int(said.stdout.rpartition("changed=")[2].split()[0])


def test_an_application_and_its_database_are_recovered_once_and_the_plan_is_shown_first(
    shop: Shop, server: PostgresServer, local: Place
) -> None:
    said = shop.recover("--check", "--diff")
    assert said.returncode == 0 and "lab_shop will be made" in said.stdout, said.stdout
    assert '"msg": "shop"' in said.stdout  # it would be stopped
    assert shop.told() == [] and shop.runs and shop.records() == [] and rows(server) == 10

    said = shop.recover()
    assert said.returncode != 0 and f"lifeboat_confirm={DATABASE}" in said.stdout, said.stdout
    assert shop.told() == [] and shop.records() == []

    failed_at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    said = shop.recover(confirm=DATABASE, failed_at=failed_at, safety="backup")
    assert said.returncode == 0, said.stdout
    assert rows(server) > 10 and shop.runs
    assert [backup.is_good for backup in catalog.backups(local.store, f"{JOB}-damaged")] == [True]
    assert shop.told() == ["stop", "before", "migrate", "start", "health"]
    verifier = server.sql("SELECT rolpassword FROM pg_authid WHERE rolname = 'lab_shop'")
    assert scram.is_password(PASSWORD, verifier)
    (record,) = shop.records()
    assert (record.verdict.outcome, record.told.host) == ("recovered", "db1")
    assert record.verdict.is_rpo_met and record.verdict.is_rto_met
    assert record.told.failed_at == clock.from_text(failed_at)
    assert [phase.name for phase in record.told.phases] == ["assess", "protect", "recover", "validate", "reconstitute"]
    assert [check.name for check in record.told.checks] == ["comparison with the backup", "health"]
    assert record.told.recovered["database"] == DATABASE and record.told.recovered["rows"] > 0
    assert shop.report["new_backup"]["id"] and f"record:   {record.told.key}" in said.stdout

    # What the host forgot, the repository knows. An application that did not start, say, is still known to be stopped.
    shutil.rmtree(shop.folder / "reports")
    (shop.folder / "memory" / "application.json").write_text('{"shop": []}')
    (shop.folder / "runs").unlink()
    said = shop.recover(confirm=DATABASE, failed_at=failed_at)
    assert said.returncode == 0 and changed(said) == 2 and "Nothing to do" in said.stdout, said.stdout
    assert shop.told() == ["start", "health"] and shop.runs and len(shop.records()) == 1


def test_an_application_stays_stopped_while_its_migrations_fail_and_the_next_run_ends_what_was_begun(
    shop: Shop, server: PostgresServer
) -> None:
    (shop.folder / "broken").touch()
    said = shop.recover(confirm=DATABASE)
    assert said.returncode != 0 and not shop.runs, said.stdout
    assert shop.told() == ["stop", "before", "migrate"]
    (record,) = shop.records()
    assert record.verdict.outcome == "failed" and not (shop.folder / "reports" / f"{JOB}.json").exists()
    assert "left stopped" in " ".join(record.told.deviations)

    (shop.folder / "broken").unlink()
    said = shop.recover(confirm=DATABASE)
    assert said.returncode == 0 and shop.runs, said.stdout
    assert shop.told() == ["before", "migrate", "start", "health"] and rows(server) > 10
    assert [record.verdict.outcome for record in shop.records()] == ["recovered", "failed"]


def test_an_application_is_started_again_if_nothing_could_be_restored(
    shop: Shop, server: PostgresServer, local: Place
) -> None:
    for path in (Path(local.store.name) / "data").rglob("database.dump*"):
        path.write_bytes(path.read_bytes()[:-1])
    said = shop.recover(confirm=DATABASE)
    assert said.returncode != 0 and "Cannot restore" in said.stdout, said.stdout
    assert shop.runs and shop.told() == ["stop", "before", "start", "health"] and rows(server) == 10
    (record,) = shop.records()
    assert record.verdict.outcome == "failed" and record.told.backup_id == ""


def test_a_part_comes_back_with_the_roles_that_it_needs(shop: Shop, server: PostgresServer, local: Place) -> None:
    server.sql("CREATE ROLE lab_needed; CREATE TABLE logs (a int); CREATE TABLE kept AS SELECT 3 AS a", DATABASE)
    server.sql("ALTER TABLE kept OWNER TO lab_needed", DATABASE)
    back_up(job_of(server, DATABASE, local, on_shrink="ignore"))
    server.sql("DROP TABLE logs, kept; DROP ROLE lab_needed", DATABASE)
    try:
        said = shop.recover(confirm=DATABASE, globals="needed", exclude=["public.logs"])
        assert said.returncode == 0, said.stdout
        assert "lab_needed will be made, without passwords" in said.stdout
        query = "SELECT tablename, tableowner FROM pg_tables WHERE tablename IN ('logs', 'kept')"
        assert server.sql(query, DATABASE) == "kept|lab_needed"
    finally:
        server.sql("DROP TABLE IF EXISTS kept; DROP ROLE IF EXISTS lab_needed", DATABASE)


def test_a_database_is_recovered_on_the_server_that_its_service_names(shop: Shop, server: PostgresServer) -> None:
    file = shop.folder / "services"
    file.write_text(f"[shop]\nhost={server.socket_dir}\nport={server.port}\nuser={server.user}\n")
    shop.login = {"login_service": "shop", "login_service_file": str(file), "session_role": server.user}
    said = shop.recover(confirm=DATABASE)
    assert said.returncode == 0 and rows(server) > 10, said.stdout


def test_what_is_empty_in_a_job_is_as_if_it_were_not_there(shop: Shop, server: PostgresServer) -> None:
    given = {key: str(value) for key, value in shop.login.items()}
    empty = dict.fromkeys(
        ("login_unix_socket", "ssl_mode", "ca_cert", "container", "container_engine", "databases"), ""
    )
    shop.login = {**given, **empty, "login_password": None}
    said = shop.recover(confirm=DATABASE)
    assert said.returncode == 0 and rows(server) > 10, said.stdout
