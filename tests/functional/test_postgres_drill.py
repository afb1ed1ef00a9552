# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import select
import signal
import stat
import subprocess
import sys
import tempfile
import typing as t
from pathlib import Path

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import LifeboatError, MissingPartError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres import scratch
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.connection import connect
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.description import describe_database
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.drill import restore_and_compare
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.dump import Dump
from ansible_collections.lifeboat.recovery.tests.functional.postgres_fixtures import (
    MAJORS,
    PostgresServer,
    database,
    dump_to,
    login,
    postgres,
    rich_database,
    tools_of,
)

__all__ = ["postgres"]
Postgres = t.Callable[[int], PostgresServer]


@pytest.fixture
def parent() -> t.Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="lbt-", dir="/tmp") as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


@pytest.mark.parametrize("major", MAJORS)
def test_a_drill_restores_everything_and_leaves_nothing(
    postgres: Postgres, parent: Path, tmp_path: Path, major: int
) -> None:
    server = postgres(major)
    with rich_database(server, "rich") as name:
        source = describe_database(login(server), name)
        archive = dump_to(tmp_path / "archive", server, name)
    report = restore_and_compare(str(archive), source, bin_dir=str(server.bin_dir), parent=str(parent))
    assert report.is_good
    assert report.fingerprint.rows == 5919
    assert report.server_version == source["server_version"]
    assert 0 < report.load_s < report.total_s
    assert list(parent.iterdir()) == []


@pytest.mark.parametrize("scratch_major", [15, 18])
def test_a_drill_restores_what_newer_programs_have_dumped(
    postgres: Postgres, parent: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scratch_major: int
) -> None:
    server, newer = postgres(15), postgres(18)
    with rich_database(server, "rich") as name:
        source = describe_database(login(server), name)
        with Dump(login(server), name, tools_of(newer).pg_dump) as dump:
            (tmp_path / "archive").write_bytes(b"".join(dump))
    bin_dir = ""
    if scratch_major == 15:
        monkeypatch.setenv("PATH", f"{newer.bin_dir}:{os.environ['PATH']}")
    else:
        bin_dir = str(newer.bin_dir)
    report = restore_and_compare(str(tmp_path / "archive"), source, bin_dir=bin_dir, parent=str(parent))
    assert report.is_good
    assert report.server_version.startswith(f"{scratch_major}.")


def test_a_drill_uses_another_locale_where_the_source_s_is_missing_and_says_so(
    postgres: Postgres, parent: Path, tmp_path: Path
) -> None:
    server = postgres(15)
    with database(server, "lab", "CREATE TABLE t AS SELECT 1 AS a"):
        source = {**describe_database(login(server), "lab"), "collate": "xx_XX.UTF-8", "lc_monetary": "xx_XX"}
        archive = dump_to(tmp_path / "archive", server, "lab")
    report = restore_and_compare(str(archive), source, parent=str(parent))
    assert report.is_good
    assert "restored with locale C" in report.notes[0]


def test_owners_that_the_description_does_not_know_may_own_what_only_superusers_can(
    postgres: Postgres, parent: Path, tmp_path: Path
) -> None:
    server = postgres(15)
    server.sql("DROP ROLE IF EXISTS boss; CREATE ROLE boss SUPERUSER")
    script = """SET ROLE boss;
        CREATE FUNCTION watch() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN NULL; END';
        CREATE EVENT TRIGGER watching ON ddl_command_end EXECUTE FUNCTION watch()"""
    with database(server, "lab", script):
        source = {**describe_database(login(server), "lab"), "roles": []}
        archive = dump_to(tmp_path / "archive", server, "lab")
    server.sql("DROP ROLE boss")
    assert restore_and_compare(str(archive), source, parent=str(parent)).is_good


def test_a_drill_of_a_damaged_archive_fails_and_leaves_nothing(
    postgres: Postgres, parent: Path, tmp_path: Path
) -> None:
    server = postgres(15)
    with database(server, "lab", "CREATE TABLE t AS SELECT i FROM generate_series(1, 1000) i"):
        source = describe_database(login(server), "lab")
        archive = dump_to(tmp_path / "archive", server, "lab")
    archive.write_bytes(archive.read_bytes()[:-3000])
    with pytest.raises(LifeboatError):
        restore_and_compare(str(archive), source, parent=str(parent))
    assert list(parent.iterdir()) == []


def test_data_that_break_a_constraint_fail_the_drill(postgres: Postgres, parent: Path, tmp_path: Path) -> None:
    server = postgres(15)
    with database(server, "lab", "CREATE TABLE t (a int CHECK (a < 100)); INSERT INTO t VALUES (7)"):
        source = describe_database(login(server), "lab")
        archive = dump_to(tmp_path / "archive", server, "lab")
    archive.write_bytes(archive.read_bytes().replace(b"\x007\n", b"\x00x\n"))
    with pytest.raises(LifeboatError, match="invalid input syntax for type integer"):
        restore_and_compare(str(archive), source, parent=str(parent))


def test_a_scratch_server_is_reachable_by_its_socket_and_password_alone(parent: Path) -> None:
    with scratch.scratch_server(15, parent=str(parent)) as server:
        assert stat.S_IMODE(os.stat(server.host).st_mode) == 0o700
        with connect(server, "postgres") as session:
            assert session.value("SHOW listen_addresses") == ""
            assert session.value("SHOW fsync") == "off"
            folder = Path(session.value("SHOW data_directory"))
        owner = folder.stat().st_uid
        assert owner == (65534 if os.geteuid() == 0 else os.geteuid())
        with (
            pytest.raises(LifeboatError),
            connect(type(server)(host=server.host, user="postgres", password="no"), "postgres"),
        ):
            pass
    assert not folder.exists()


def test_a_long_path_gets_a_short_folder_for_the_socket(parent: Path) -> None:
    long = parent / ("x" * 120)
    long.mkdir()
    long.chmod(0o755)
    with scratch.scratch_server(15, parent=str(long)) as server, connect(server, "postgres") as session:
        assert session.value("SHOW data_directory").startswith(str(long))
        assert not server.host.startswith(str(long))


def test_missing_server_programs_name_the_package(tmp_path: Path) -> None:
    with pytest.raises(MissingPartError, match="postgresql-15"), scratch.scratch_server(15, bin_dir=str(tmp_path)):
        pass


def test_the_scratch_server_of_a_killed_run_is_ended_and_removed_by_the_next(parent: Path) -> None:
    part = "ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres"
    script = f"""
import sys, time
from {part}.scratch import scratch_server
with scratch_server(15, parent=sys.argv[1]) as server:
    print(server.host, flush=True)
    time.sleep(600)
"""
    environment = {**os.environ, "PYTHONPATH": ":".join(sys.path)}
    run = subprocess.Popen(
        [sys.executable, "-c", script, str(parent)], stdout=subprocess.PIPE, text=True, env=environment
    )
    assert run.stdout is not None
    folder = Path(run.stdout.readline().strip())
    postmaster = int((folder / "data" / "postmaster.pid").read_text().splitlines()[0])
    scratch.remove_leftovers(str(parent))
    assert folder.exists()  # its run lives
    run.send_signal(signal.SIGKILL)
    run.wait()
    run.stdout.close()
    watch = os.pidfd_open(postmaster)
    scratch.remove_leftovers(str(parent))
    assert not folder.exists()

    assert select.select([watch], [], [], 30)[0], "the server still runs"
    os.close(watch)
