# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""All databases of a server as one job, on a real server."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import threading
import typing as t
from pathlib import Path

import psycopg2
import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine import steps
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import LifeboatError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host import (
    database_backup,
    restore_run,
    server_backup,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.backup_run import newest_manifest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.cli import main
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.database_backup import DatabaseJob
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.job_lock import job_lock
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.member_names import member_job
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.place import Place
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.restore_run import RestoreRequest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.server_backup import (
    ServerIncompleteError,
    ServerJob,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.databases import Selection
from ansible_collections.lifeboat.recovery.tests.functional.job_fixtures import (
    MAJORS,
    SMALL,
    directory_place,
    files_of,
    local,
    own_locks,
    postgres,
    server,
)
from ansible_collections.lifeboat.recovery.tests.functional.postgres_fixtures import (
    PostgresServer,
    content_of,
    database,
    login,
)

__all__ = ["local", "own_locks", "postgres", "server"]
JOB = "host1"
ODD = 'Ödd "name"; $(id) 🛟'
LONG = "🛟" * 15 + "end"  # 63 bytes, the longest name that a server takes


def job_for(cluster: PostgresServer, *places: Place, **more: t.Any) -> ServerJob:
    each = DatabaseJob(JOB, login(cluster), "", ())
    return ServerJob(each, lambda: places, **{"selection": Selection(), **more})


def back_up(job: ServerJob) -> server_backup.ServerResult:
    result = server_backup.run(server_backup.plan(job))
    server_backup.require_all(job, result)
    return result


def saved(result: server_backup.ServerResult) -> list[str]:
    return [each.database for each in result.backed_up]


def ids_of(place: Place, name: str) -> list[str]:
    return [entry.key for entry in place.store.entries(f"manifests/{member_job(JOB, name)}/")]


@pytest.fixture
def three(server: PostgresServer) -> t.Iterator[PostgresServer]:
    """Return a server with three databases beside `postgres`."""
    with database(server, "shop", SMALL), database(server, ODD, SMALL), database(server, LONG, "CREATE TABLE t ()"):
        yield server


def test_every_database_gets_backups_of_its_own_and_comes_back(three: PostgresServer, local: Place) -> None:
    result = back_up(job_for(three, local, parallel=3))
    assert saved(result) == sorted(["postgres", "shop", ODD, LONG])
    assert all(each.result is not None and each.result.copies[0].is_proved for each in result.members)
    before = content_of(three, ODD)
    three.sql("DELETE FROM visit", ODD)
    request = RestoreRequest(member_job(JOB, ODD), "latest_good", (local,), login(three), confirm=ODD)
    planned = restore_run.plan(request)
    assert planned.database == ODD
    kept = restore_run.restore(planned).previous
    three.sql(f'DROP DATABASE "{kept.replace(chr(34), chr(34) * 2)}"')
    assert content_of(three, ODD) == before


def test_the_globals_are_dumped_once_and_are_with_every_database(three: PostgresServer, local: Place) -> None:
    begun: list[str] = []
    steps.watch(begun.append)
    try:
        back_up(job_for(three, local))
    finally:
        steps.unwatch(begun.append)
    # Only what this process itself started: the version of pg_dumpall was asked for, and it ran.
    assert begun.count("child.started") == 4
    stored = {key: data for key, data in files_of(local).items() if "/globals.sql" in key}
    assert len(stored) == 4 and len(set(stored.values())) == 1


def test_a_role_that_is_newer_than_the_shared_globals_is_not_missed(server: PostgresServer, local: Place) -> None:
    with database(server, "shop", SMALL):
        job = job_for(server, local).single("shop")
        shared = database_backup.SharedGlobals(b"-- of yesterday", frozenset())
        database_backup.back_up(dataclasses.replace(job, server_globals=shared))
        manifest = newest_manifest(local.store, member_job(JOB, "shop"))
        assert manifest is not None and manifest.file("globals").facts.plain_size > 200


def test_one_failure_stops_no_other_and_is_reported_with_the_complete_list(three: PostgresServer, local: Place) -> None:
    three.sql("CREATE ROLE limited LOGIN")
    try:
        for name in ("shop", LONG):
            three.sql("GRANT SELECT ON ALL TABLES IN SCHEMA public TO limited", name)
        job = job_for(three, local)
        job = ServerJob(
            DatabaseJob(JOB, login(three, "limited"), "", ()),
            job.open_places,
            Selection(exclude=("postgres",)),
        )
        with pytest.raises(ServerIncompleteError) as caught:
            back_up(job)
    finally:
        for name in ("shop", LONG):
            three.sql("DROP OWNED BY limited", name)
        three.sql("DROP ROLE limited")
    assert caught.value.exit_code == 5
    assert saved(caught.value.result) == ["shop", LONG]
    assert f"{ODD}: Cannot back up database {ODD} as limited: may not read the table public.visit" in str(caught.value)


def test_without_a_single_backup_the_run_has_failed(three: PostgresServer, tmp_path: Path) -> None:
    nowhere = directory_place(tmp_path / "gone", "gone")
    (tmp_path / "gone" / "lifeboat.json").unlink()
    with pytest.raises(ServerIncompleteError) as caught:
        back_up(job_for(three, nowhere))
    assert caught.value.exit_code == 1
    assert len(caught.value.result.failed) == 4


def test_a_database_that_is_dropped_while_the_run_goes_on_is_told_as_such(three: PostgresServer, local: Place) -> None:
    job = job_for(three, local, parallel=1)
    planned = server_backup.plan(job)
    three.sql("DROP DATABASE shop")
    result = server_backup.run(planned)
    (failed,) = result.failed
    assert failed.database == "shop" and "dropped or renamed since" in str(failed.failure)
    assert len(result.backed_up) == 3


def test_new_databases_appear_and_dropped_ones_are_reported_until_they_are_excluded(
    server: PostgresServer, local: Place
) -> None:
    with database(server, "first", SMALL):
        assert saved(back_up(job_for(server, local))) == ["first", "postgres"]
        with database(server, "second", SMALL):
            assert saved(back_up(job_for(server, local))) == ["first", "postgres", "second"]
        with pytest.raises(ServerIncompleteError, match="second: it has backups, and the server does not") as caught:
            back_up(job_for(server, local))
        assert saved(caught.value.result) == ["first", "postgres"]
        warned = back_up(job_for(server, local, on_gone="warn"))
        assert warned.gone == ("second",) and "second: it has backups" in warned.warnings[0]
        assert back_up(job_for(server, local, on_gone="ignore")).gone == ()
        assert back_up(job_for(server, local, selection=Selection(exclude=("sec*",)))).gone == ()


def test_templates_and_closed_databases_are_left_out_unless_they_are_named(
    server: PostgresServer, local: Place
) -> None:
    with database(server, "shut"), database(server, "shop"):
        server.sql("ALTER DATABASE shut ALLOW_CONNECTIONS false")
        result = back_up(job_for(server, local))
        assert saved(result) == ["postgres", "shop"]
        assert result.warnings == ("left out, because they take no connections: shut",)
        with pytest.raises(ServerIncompleteError, match="shut: .* it does not allow connections") as caught:
            back_up(job_for(server, local, selection=Selection(("shop", "shut", "template1"))))
        assert saved(caught.value.result) == ["shop", "template1"]
        with pytest.raises(ServerIncompleteError, match="nowhere: .* has no database of this name"):
            back_up(job_for(server, local, selection=Selection(("nowhere", "shop"))))


def test_a_database_that_was_closed_counts_as_gone(server: PostgresServer, local: Place) -> None:
    with database(server, "shop"):
        back_up(job_for(server, local))
        server.sql("ALTER DATABASE shop ALLOW_CONNECTIONS false")
        with pytest.raises(ServerIncompleteError, match="shop: it has backups"):
            back_up(job_for(server, local))


def test_databases_are_dumped_at_the_same_time(three: PostgresServer, local: Place) -> None:
    """Each of two dumps waits for a lock that is let go only when both wait."""
    where = {"host": str(three.socket_dir), "port": three.port, "user": "postgres"}
    waiting = (
        "SELECT count(DISTINCT datname) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        " AND query LIKE 'LOCK TABLE%'"
    )
    with contextlib.ExitStack() as stack:
        holders = [stack.enter_context(contextlib.closing(psycopg2.connect(dbname=n, **where))) for n in ("shop", ODD)]
        for holder in holders:
            holder.cursor().execute("LOCK TABLE visit IN ACCESS EXCLUSIVE MODE")
        seen = threading.Event()
        # No program is asked: what is forked at the same moment would inherit its pipes, and keep them open.
        observer = stack.enter_context(contextlib.closing(psycopg2.connect(dbname="postgres", **where)))
        observer.autocommit = True

        def watch() -> None:
            cursor = observer.cursor()
            for _attempt in range(600):
                cursor.execute(waiting)
                if cursor.fetchone() == (2,):
                    seen.set()
                    break
                cursor.execute("SELECT pg_sleep(0.1)")
            for holder in holders:
                holder.rollback()

        watcher = threading.Timer(0, watch)
        job = job_for(three, local, parallel=2, selection=Selection(("shop", ODD)))
        planned = server_backup.plan(job)
        watcher.start()
        result = server_backup.run(planned)
        watcher.join()
    assert seen.is_set() and not result.failed


def test_a_process_that_is_killed_fails_its_database_only(three: PostgresServer, local: Place) -> None:
    job = job_for(three, local, parallel=2)
    planned = server_backup.plan(job)
    order = [each.name for each in planned.databases]
    first = member_job(JOB, order[0])

    def die(step: str) -> None:
        if step == "child.started" and os.getpid() != parent and is_first():
            os.kill(os.getpid(), 9)

    def is_first() -> bool:
        return any(entry.key.startswith(f"intents/{first}/") for entry in local.store.entries("intents/"))

    parent = os.getpid()
    steps.watch(die)
    try:
        result = server_backup.run(planned)
    finally:
        steps.unwatch(die)
    assert "killed" in str(result.failed[0].failure)
    assert {each.database for each in result.failed} >= {order[0]}
    assert len(back_up(job).backed_up) == 4  # what the killed one left behind is cleaned up


# The host command.


@pytest.fixture
def config(three: PostgresServer, tmp_path: Path) -> Path:
    for name in ("here", "there"):
        directory_place(tmp_path / name, name)
    file = tmp_path / "config.json"
    document = {
        "repositories": {name: {"path": str(tmp_path / name)} for name in ("here", "there")},
        "jobs": {
            JOB: {
                "kind": "pg_database",
                "databases": "all",
                "exclude": ["postgres"],
                "parallel": 2,
                "repositories": ["here", "there"],
                "login_unix_socket": str(three.socket_dir),
                "login_port": three.port,
                "login_user": "postgres",
                "bin_dir": str(three.bin_dir),
                "objectives": {"rpo_hours": 24},
                "keep": {"last": 1, "verified_min": 1},
            }
        },
        "state_dir": str(tmp_path),
        "metrics": {"directory": str(tmp_path)},
    }
    file.write_text(json.dumps(document), encoding="utf-8")
    file.chmod(0o600)
    return file


def lifeboat(config: Path, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = main(["--config", str(config), *words])
    told = capsys.readouterr()
    return code, told.out, told.err


def test_the_host_command_works_on_the_whole_and_on_each_database(
    three: PostgresServer, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shop = member_job(JOB, "shop")
    assert lifeboat(config, capsys, "check")[0] == 0
    code, out, err = lifeboat(config, capsys, "run", JOB)
    assert code == 0, err
    assert "3 of 3 databases backed up" in out and "2 of 2 copies proved" in out
    code, out, _err = lifeboat(config, capsys, "status", "--metrics")
    assert code == 0 and "3 databases" in out and shop in out
    assert (config.parent / f"lifeboat.job.{shop}.prom").exists()
    code, out, _err = lifeboat(config, capsys, "--json", "list", JOB)
    assert code == 0 and [len(each["backups"]) for each in json.loads(out)["jobs"]] == [1, 1, 1]
    assert lifeboat(config, capsys, "run", shop)[0] == 0
    assert lifeboat(config, capsys, "run", member_job(JOB, LONG))[0] == 0
    code, out, _err = lifeboat(config, capsys, "--json", "verify", JOB)
    assert code == 0 and [len(each["copies"]) for each in json.loads(out)["members"]] == [2, 2, 2]
    assert lifeboat(config, capsys, "copy", JOB)[0] == 0
    code, out, _err = lifeboat(config, capsys, "prune", JOB, "--dry-run")
    assert code == 0 and out.count("GOES") == 4
    assert lifeboat(config, capsys, "prune", JOB)[0] == 0
    assert lifeboat(config, capsys, "list", shop)[1].count("here, there") == 1
    code, out, _err = lifeboat(config, capsys, "show", shop)
    assert code == 0 and "shop on PostgreSQL" in out
    for command in ("show", "restore"):
        code, _out, err = lifeboat(config, capsys, command, JOB)
        assert code == 2 and f"lifeboat list {JOB}" in err


def test_a_run_that_misses_a_database_ends_with_5_and_the_status_tells_it(
    three: PostgresServer, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lifeboat(config, capsys, "run", JOB)
    three.sql("DROP DATABASE shop")
    code, out, err = lifeboat(config, capsys, "run", JOB)
    assert code == 5
    assert "GONE shop" in out and "1 of 3 databases of host1 are not backed up" in err
    code, out, _err = lifeboat(config, capsys, "status")
    assert code == 1 and "3 databases" in out and "1 of 3 databases" in out
    code, out, _err = lifeboat(config, capsys, "check")
    assert code == 5 and "exclude it if it was dropped on purpose" in out


def test_a_second_run_of_the_whole_is_busy(three: PostgresServer, local: Place) -> None:
    with job_lock(JOB), pytest.raises(LifeboatError, match="running on this host already"):
        back_up(job_for(three, local))


def test_newer_majors_are_listed_the_same_way(postgres: t.Callable[[int], PostgresServer], local: Place) -> None:
    cluster = postgres(MAJORS[-1])
    with database(cluster, "shop", SMALL):
        assert saved(back_up(job_for(cluster, local))) == ["postgres", "shop"]
