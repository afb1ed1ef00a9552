# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import tempfile
import typing as t
from pathlib import Path

import psycopg2
import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.child import ChildError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import (
    GuardRefusal,
    LifeboatError,
    MissingPartError,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres import dump, preflight, tools
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.connection import Server, connect
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.description import describe_database
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.fingerprint import (
    fingerprint_of_archive,
)
from ansible_collections.lifeboat.recovery.tests.functional.postgres_fixtures import (
    MAJORS,
    ROLES,
    PostgresServer,
    database,
    dump_to,
    login,
    postgres,
    tools_of,
)

__all__ = ["postgres"]
Postgres = t.Callable[[int], PostgresServer]

ODD_NAMES = (
    "dbname=postgres",
    "a b;$(id)",
    "quo'te\" \\ back",
    "new\nline",
    "postgresql:///postgres",
    "--help",
    "🛟 %s {0}",
    "x" * 63,
)


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_database_is_dumped_by_its_exact_name_whatever_the_name(
    postgres: Postgres, tmp_path: Path, name: str
) -> None:
    server = postgres(15)
    with database(server, name, "CREATE TABLE here_it_is (a int); INSERT INTO here_it_is VALUES (1)"):
        archive = dump_to(tmp_path / "archive", server, name)
        found = fingerprint_of_archive(str(archive), tools_of(server).pg_restore)
        assert {table: each.rows for table, each in found.tables.items()} == {"public.here_it_is": 1}
        assert describe_database(login(server), name)["database"] == name
        with connect(login(server), name) as session:
            assert session.value("SELECT current_database()") == name


@pytest.mark.parametrize("major", MAJORS)
def test_an_empty_database_gives_an_archive_without_tables(postgres: Postgres, tmp_path: Path, major: int) -> None:
    server = postgres(major)
    with database(server, "empty"):
        archive = dump_to(tmp_path / "archive", server, "empty")
        found = fingerprint_of_archive(str(archive), tools_of(server).pg_restore)
        assert (found.tables, found.rows, found.large_object_count) == ({}, 0, 0)


def test_a_backend_that_is_terminated_midway_fails_the_dump(postgres: Postgres) -> None:
    server = postgres(15)
    script = "CREATE TABLE big AS SELECT i, repeat(md5(i::text), 30) AS t FROM generate_series(1, 30000) i"
    with database(server, "big", script), dump.Dump(login(server), "big", tools_of(server).pg_dump) as running:
        chunks = iter(running)
        assert next(chunks).startswith(b"PGDMP")
        ended = server.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'lifeboat' AND query LIKE 'COPY%'"
        )
        assert ended == "t"
        with pytest.raises(ChildError, match="Cannot back up database big"):
            for _ignored in chunks:
                pass


def test_a_reader_that_leaves_early_leaves_no_pg_dump_behind(postgres: Postgres) -> None:
    server = postgres(15)
    script = "CREATE TABLE big AS SELECT i, repeat(md5(i::text), 30) AS t FROM generate_series(1, 30000) i"
    with database(server, "big", script):
        with dump.Dump(login(server), "big", tools_of(server).pg_dump) as running:
            next(iter(running))
            pid = running._child.pid
        assert not Path(f"/proc/{pid}").exists()


def test_a_locked_table_fails_the_dump_after_the_lock_timeout(postgres: Postgres, tmp_path: Path) -> None:
    server = postgres(15)
    with database(server, "locked", "CREATE TABLE busy (a int)"):
        holder = psycopg2.connect(dbname="locked", host=str(server.socket_dir), port=server.port, user="postgres")
        with contextlib.closing(holder), holder.cursor() as cursor:
            cursor.execute("LOCK TABLE busy IN ACCESS EXCLUSIVE MODE")
            with pytest.raises(ChildError, match="canceling statement due to"):
                dump_to(tmp_path / "archive", server, "locked", dump.DumpOptions(lock_timeout_s=1))


def test_the_globals_hold_the_roles_and_no_password(postgres: Postgres) -> None:
    server = postgres(15)
    server.sql(ROLES)
    server.sql("ALTER ROLE clinic_reader PASSWORD 'canary-4711'")
    with dump.Globals(login(server), tools_of(server).pg_dumpall) as running:
        text = b"".join(running).decode()
    assert "CREATE ROLE clinic_reader" in text
    assert "PASSWORD" not in text


def test_the_password_is_in_no_argument_and_in_no_text(postgres: Postgres) -> None:
    server = postgres(15)
    secret = login(server, password="canary-4711")
    # Much more than a pipe holds: pg_dump cannot have ended when its arguments are looked at.
    script = "CREATE TABLE big AS SELECT i, repeat(md5(i::text), 30) AS t FROM generate_series(1, 30000) i"
    with database(server, "held", script), dump.Dump(secret, "held", tools_of(server).pg_dump) as running:
        next(iter(running))  # until it writes, the kernel may still be setting its arguments up
        arguments = Path(f"/proc/{running._child.pid}/cmdline").read_bytes()
        assert b"pg_dump" in arguments
        assert b"canary" not in arguments
    assert "canary" not in repr(secret) + str(secret)


def test_a_wrong_password_is_told_as_such_and_not_repeated(tmp_path_factory: pytest.TempPathFactory) -> None:

    folder = Path(tempfile.mkdtemp(prefix="lbt-", dir="/tmp"))
    folder.chmod(0o755)
    try:
        with PostgresServer(folder / "p", 15, password="right-one") as server:
            reach = Server(host="127.0.0.1", port=server.port, user="postgres", password="right-one")
            with connect(reach, "postgres") as session:
                assert session.value("SELECT 1") == 1
            wrong = Server(host="127.0.0.1", port=server.port, user="postgres", password="canary-4711")
            with (
                pytest.raises(LifeboatError, match="password authentication failed") as caught,
                connect(wrong, "postgres"),
            ):
                pass
            assert "canary" not in str(caught.value)
            assert "password" in caught.value.remedy
            with (
                pytest.raises(ChildError) as refused,
                dump.Dump(wrong, "postgres", tools_of(server).pg_dump) as running,
            ):
                list(running)
            assert "canary" not in str(refused.value)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def test_a_client_that_is_older_than_the_server_is_refused(postgres: Postgres, tmp_path: Path) -> None:
    for name in ("pg_dump", "pg_dumpall", "pg_restore"):
        program = tmp_path / name
        program.write_text(f'#!/bin/sh\necho "{name} (PostgreSQL) 13.14 (Debian 13.14-0+deb11u1)"\n')
        program.chmod(0o755)
    with connect(login(postgres(15)), "postgres") as session:
        version = session.version_number
    with pytest.raises(LifeboatError) as caught:
        tools.client_tools(version, str(tmp_path), "Cannot back up database lab")
    assert str(caught.value).splitlines() == [
        f"Cannot back up database lab: pg_dump 13.14 is older than the server ({tools.version_text(version)}).",
        "Remedy: install postgresql-client-15 or set option bin_dir to the folder of its programs",
    ]


def test_a_newer_client_is_used_with_a_warning(postgres: Postgres) -> None:
    newer = tools_of(postgres(18))
    found = tools.client_tools(150018, str(Path(newer.pg_dump.path).parent), "Cannot test")
    assert found.pg_dump.major == 18
    assert "newer than the server" in found.warnings[0]


def test_a_missing_client_names_the_package(tmp_path: Path) -> None:
    with pytest.raises(MissingPartError, match="postgresql-client-15"):
        tools.client_tools(150018, str(tmp_path), "Cannot back up database lab")


_GUARDED = """
CREATE SCHEMA closed; CREATE TABLE closed.t (a int);
CREATE TABLE secret (a int); CREATE SEQUENCE hidden;
CREATE TABLE filtered (a int); ALTER TABLE filtered ENABLE ROW LEVEL SECURITY; GRANT SELECT ON filtered TO limited;
CREATE TABLE open (a int); GRANT SELECT ON open TO limited;
SELECT lo_from_bytea(0, 'x'), lo_from_bytea(0, 'y'); SELECT lo_from_bytea(4711, 'z');
GRANT SELECT ON LARGE OBJECT 4711 TO limited;
CREATE SUBSCRIPTION away CONNECTION 'dbname=nowhere' PUBLICATION p WITH (connect = false);
"""


@contextlib.contextmanager
def guarded_database(server: PostgresServer) -> t.Iterator[str]:
    server.sql("DROP ROLE IF EXISTS limited; CREATE ROLE limited LOGIN")
    with database(server, "guarded", _GUARDED) as name:
        try:
            yield name
        finally:
            server.sql(
                "ALTER SUBSCRIPTION away SET (slot_name = NONE); DROP SUBSCRIPTION away; DROP OWNED BY limited", name
            )
    server.sql("DROP ROLE limited")


@pytest.mark.parametrize("major", MAJORS)
def test_all_that_a_role_may_not_read_is_named_before_the_dump(postgres: Postgres, major: int) -> None:
    server = postgres(major)
    with guarded_database(server) as name:
        found = preflight.check_source(login(server, "limited"), name)
        assert found.problems == (
            "may not use the schema closed",
            "may not read the tables closed.t, public.secret",
            "may not read the sequence public.hidden",
            "row security hides rows of the table public.filtered",
            "may not read 2 large objects",
            "subscriptions are visible to a superuser only and would be left out",
        )
        with pytest.raises(LifeboatError, match="Cannot back up database guarded as limited: may not use"):
            found.require(name, "limited")
        assert preflight.check_source(login(server), name).problems == ()


def test_what_the_preflight_asks_for_is_enough_for_a_dump(postgres: Postgres, tmp_path: Path) -> None:
    server = postgres(15)
    with guarded_database(server) as name:
        limited = login(server, "limited")
        with pytest.raises(ChildError), dump.Dump(limited, name, tools_of(server).pg_dump) as running:
            list(running)
        server.sql("GRANT pg_read_all_data, postgres TO limited; ALTER ROLE limited BYPASSRLS NOINHERIT", name)
        assert preflight.check_source(limited, name, with_subscriptions=False).problems != ()
        server.sql("ALTER ROLE limited INHERIT")
        assert preflight.check_source(limited, name, with_subscriptions=False).problems == ()
        without = dump.DumpOptions(with_subscriptions=False)
        with dump.Dump(limited, name, tools_of(server).pg_dump, without) as running:
            (tmp_path / "archive").write_bytes(b"".join(running))
        assert fingerprint_of_archive(str(tmp_path / "archive"), tools_of(server).pg_restore).large_object_count == 3


def test_a_dump_that_leaves_subscriptions_out_is_a_failure(postgres: Postgres) -> None:
    server = postgres(15)
    with guarded_database(server) as name:
        server.sql("GRANT pg_read_all_data, postgres TO limited; ALTER ROLE limited BYPASSRLS", name)
        words = "subscriptions not dumped because current user is not a superuser"
        running = dump.Dump(login(server, "limited"), name, tools_of(server).pg_dump)
        with running, pytest.raises(LifeboatError, match=words):
            list(running)


def test_a_database_that_is_not_there_or_closed_is_told_before_the_dump(postgres: Postgres) -> None:
    server = postgres(15)
    with pytest.raises(LifeboatError, match="has no database of this name"):
        preflight.check_source(login(server), "nowhere")
    with database(server, "shut"):
        server.sql("ALTER DATABASE shut ALLOW_CONNECTIONS false")
        with pytest.raises(GuardRefusal, match="does not allow connections"):
            preflight.check_source(login(server), "shut")


TRAP = """
SET ROLE tenant;
CREATE UNLOGGED TABLE public.u (a int); CREATE SCHEMA traps;
CREATE FUNCTION public.trap() RETURNS text LANGUAGE plpgsql AS $f$ BEGIN
  IF (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user) THEN
    ALTER ROLE tenant CREATEROLE;
  END IF;
  RETURN 'x'; END $f$;
CREATE FUNCTION public.format(text, name, name) RETURNS text LANGUAGE sql AS 'SELECT public.trap()';
CREATE FUNCTION traps.pg_is_in_recovery() RETURNS bool LANGUAGE sql AS 'SELECT public.trap() IS NULL';
ALTER DATABASE hostile SET search_path = traps, pg_catalog, public;
"""


def test_functions_of_a_database_are_never_run_by_those_who_look_at_it(postgres: Postgres) -> None:
    server = postgres(16)
    server.sql("CREATE ROLE tenant")
    with database(server, "hostile", TRAP, "OWNER tenant"):
        describe_database(login(server), "hostile")
        preflight.check_source(login(server), "hostile")
        assert server.sql("SELECT rolcreaterole FROM pg_roles WHERE rolname = 'tenant'") == "f"
        with connect(login(server), "hostile", keeps_search_path=True) as session:  # as queries of the operator are run
            assert session.value("SHOW search_path") == "traps, pg_catalog, public"
    server.sql("DROP ROLE tenant")


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("PGHOSTADDR", "127.0.0.9"),
        ("PGSERVICE", "elsewhere"),
        ("PGTARGETSESSIONATTRS", "standby"),
        ("PGUSER", "somebody"),
        ("PGOPTIONS", "-c default_transaction_read_only=on"),
        ("PGDATABASE", "elsewhere"),
        ("PGCLIENTENCODING", "LATIN1"),
    ],
)
def test_variables_of_the_caller_lead_no_session_elsewhere_than_the_programs(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    server = postgres(15)
    me = pwd.getpwuid(os.geteuid()).pw_name
    server.sql(f'DROP ROLE IF EXISTS "{me}"; CREATE ROLE "{me}" LOGIN')
    monkeypatch.setenv(variable, value)
    try:
        with connect(Server(host=str(server.socket_dir), port=server.port), "postgres") as session:
            assert session.value("SELECT current_user || ' in ' || current_database()") == f"{me} in postgres"
    finally:
        monkeypatch.undo()
        server.sql(f'DROP ROLE "{me}"')
