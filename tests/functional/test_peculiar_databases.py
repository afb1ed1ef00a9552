# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Databases of which two dumps look different, although they hold the same: their restores are accepted."""

from __future__ import annotations

import contextlib
import typing as t
from pathlib import Path

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine import steps
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import DamagedError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.description import describe_database
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.dump import Dump, DumpOptions, Globals
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.restore import (
    Restored,
    drop_abandoned,
    drop_database,
    restore_database,
)
from ansible_collections.lifeboat.recovery.tests.functional import database_judge
from ansible_collections.lifeboat.recovery.tests.functional.postgres_fixtures import (
    PostgresServer,
    database,
    databases_of,
    dump_to,
    login,
    postgres,
    tools_of,
    western_postgres,
)

__all__ = ["postgres", "western_postgres"]
Postgres = t.Callable[[int], PostgresServer]


@contextlib.contextmanager
def restored(server: PostgresServer, name: str, folder: Path) -> t.Iterator[Restored]:
    """Dump a database, and restore it beside itself."""
    source = describe_database(login(server), name)
    archive = dump_to(folder / "archive", server, name, DumpOptions(encoding=source["encoding"]))
    found = restore_database(login(server), str(archive), source, tools_of(server))
    try:
        yield found
    finally:
        drop_database(login(server), found.name)


@pytest.mark.parametrize(
    "setting",
    [
        "bytea_output = 'escape'",
        "client_encoding = 'LATIN1'",
        "quote_all_identifiers = on",
        "standard_conforming_strings = off",
        "statement_timeout = '1ms'",
        "client_min_messages = 'debug5'",
    ],
)
@pytest.mark.parametrize("major", [15, 18])
def test_settings_of_a_database_do_not_change_what_a_dump_says(
    postgres: Postgres, tmp_path: Path, setting: str, major: int
) -> None:
    script = r"""
        CREATE TABLE parent (id int PRIMARY KEY, data bytea, name text DEFAULT E'a\\b');
        INSERT INTO parent VALUES (1, '\x00ff5c27', 'Müller');
        CREATE TABLE child (id int REFERENCES parent);
        COMMENT ON TABLE parent IS E'a\\b';
        CREATE AGGREGATE total (int) (SFUNC = int4pl, STYPE = int)"""
    server = postgres(major)
    with database(server, "lab", script):
        server.sql(f"ALTER DATABASE lab SET {setting}")
        with restored(server, "lab", tmp_path) as found:
            assert found.comparison.differences == ()
            server.sql(f'ALTER DATABASE lab RESET ALL; ALTER DATABASE "{found.name}" RESET ALL')
            assert database_judge.differences((server, "lab"), (server, found.name)) == []


def test_a_database_with_signs_that_its_client_encoding_lacks_is_dumped(postgres: Postgres, tmp_path: Path) -> None:
    server = postgres(15)
    with database(server, "lab", "CREATE TABLE t AS SELECT 'ü €'::text AS a"):
        server.sql("ALTER DATABASE lab SET client_encoding = 'LATIN1'")
        with restored(server, "lab", tmp_path) as found:
            assert found.comparison.differences == ()


def test_time_limits_of_the_login_role_do_not_stop_a_dump(postgres: Postgres, tmp_path: Path) -> None:
    server = postgres(15)
    server.sql("CREATE ROLE hasty SUPERUSER LOGIN; ALTER ROLE hasty SET statement_timeout = '1ms'")
    try:
        with database(server, "lab", "CREATE TABLE t AS SELECT 1 AS a"):
            who = login(server, "hasty")
            tools = tools_of(server)
            for _run in range(5):
                with Dump(who, "lab", tools.pg_dump) as dump, Globals(who, tools.pg_dumpall) as roles:
                    assert b"".join(dump).startswith(b"PGDMP")
                    assert b"CREATE ROLE hasty" in b"".join(roles)
    finally:
        server.sql("DROP ROLE hasty")


@pytest.mark.parametrize(
    "setting",
    [
        "bytea_output = 'escape'",
        "client_encoding = 'LATIN1'",
        "standard_conforming_strings = off",
    ],
)
@pytest.mark.parametrize("option", ["--no-sync", "--quote-all-identifiers"])
def test_an_archive_that_was_written_with_other_settings_is_restored(
    western_postgres: PostgresServer, tmp_path: Path, setting: str, option: str
) -> None:
    server = western_postgres
    script = r"""CREATE TABLE t AS SELECT '\x00ff5c27'::bytea AS a, 'Müller'::text AS b;
        CREATE TABLE "T " (a int); COMMENT ON TABLE t IS E'a\\b'; GRANT SELECT ON t TO pg_monitor"""
    with database(server, "lab", script):
        source = describe_database(login(server), "lab")
        archive = tmp_path / "archive"
        with database(server, "elsewhere", script):
            server.sql(f"ALTER DATABASE elsewhere SET {setting}")
            run_pg_dump(server, "elsewhere", archive, option)
        found = restore_database(login(server), str(archive), source, tools_of(server))
        try:
            assert found.comparison.differences == ()
            assert database_judge.differences((server, "lab"), (server, found.name)) == []
        finally:
            drop_database(login(server), found.name)


def run_pg_dump(server: PostgresServer, name: str, path: Path, option: str) -> None:
    """Write an archive as somebody does who runs pg_dump by hand."""
    arguments = ["--format=custom", option, f"--file={path}", f"--dbname={name}"]
    with tools_of(server).pg_dump.start(arguments, environment=login(server).environment()) as child:
        child.check("Cannot dump")


# The columns of a child come back in another order: those of its parents first (PostgreSQL manual, pg_dump).
INHERITED = r'''
    CREATE TABLE parent (id int, "a, ""b""" text);
    CREATE TABLE child (own text, note text) INHERITS (parent);
    ALTER TABLE parent ADD COLUMN later int;
    INSERT INTO child (id, own, later, note) SELECT i, 'own ' || i, i * 2, E'a\tb\nc\\' FROM generate_series(1, 3000) i;
    INSERT INTO child (id, own) VALUES (1, NULL), (2, repeat('long ', 200000)), (3, '')'''


@pytest.mark.parametrize("major", [15, 18])
def test_a_child_whose_parent_got_a_column_later_is_restored(postgres: Postgres, tmp_path: Path, major: int) -> None:
    server = postgres(major)
    with database(server, "lab", INHERITED), restored(server, "lab", tmp_path) as found:
        assert found.comparison.differences == ()
        assert columns_of(server, found.name) != columns_of(server, "lab")
        texts = """concat_ws('|', id, "a, ""b\""", own, note, later)"""
        query = f"SELECT md5(string_agg({texts}, '/' ORDER BY id, own)) FROM child"
        assert server.sql(query, found.name) == server.sql(query, "lab")


@pytest.mark.parametrize(
    "change", ["UPDATE child SET own = id::text, note = own WHERE id = 7", "UPDATE child SET later = 1 WHERE id = 2999"]
)
def test_a_value_in_a_column_that_came_back_elsewhere_is_compared(
    postgres: Postgres, tmp_path: Path, change: str
) -> None:
    server = postgres(15)

    def damage(name: str) -> None:
        if name == "restore.loaded":
            [new] = [each for each in databases_of(server) if each.startswith("lifeboat_restore_")]
            server.sql(change, new)

    steps.watch(damage)
    try:
        with (
            database(server, "lab", INHERITED),
            pytest.raises(DamagedError, match="some with other content"),
            restored(server, "lab", tmp_path),
        ):
            pass
    finally:
        steps.unwatch(damage)


def columns_of(server: PostgresServer, name: str) -> str:
    return server.sql("SELECT attname FROM pg_attribute WHERE attrelid = 'child'::regclass AND attnum > 0", name)


@pytest.mark.parametrize("major", [15, 18])
def test_rows_that_come_by_the_root_of_their_partitions_are_restored(
    postgres: Postgres, tmp_path: Path, major: int
) -> None:
    # Hashes of enumerations differ from database to database, so pg_dump sends each row to the root.
    script = """
        CREATE TYPE grade AS ENUM ('a', 'b', 'c', 'd', 'e', 'f');
        CREATE TABLE mark (g grade, n int) PARTITION BY HASH (g);
        CREATE TABLE mark0 PARTITION OF mark FOR VALUES WITH (MODULUS 3, REMAINDER 0);
        CREATE TABLE mark1 (n int, g grade);
        ALTER TABLE mark ATTACH PARTITION mark1 FOR VALUES WITH (MODULUS 3, REMAINDER 1);
        CREATE TABLE mark2 PARTITION OF mark FOR VALUES WITH (MODULUS 3, REMAINDER 2);
        INSERT INTO mark SELECT g, n FROM unnest(enum_range(NULL::grade)) g, generate_series(1, 100) n"""
    server = postgres(major)
    with database(server, "lab", script), restored(server, "lab", tmp_path) as found:
        assert found.comparison.differences == ()
        assert found.fingerprint.rows == 600
        assert found.fingerprint.tables["public.mark"].rows == 600
        assert server.sql("SELECT count(*), sum(n) FROM mark", found.name) == "600|30300"


def test_what_a_trigger_does_at_each_login_is_not_done_during_a_restore_and_afterwards_again(
    postgres: Postgres, tmp_path: Path
) -> None:
    # As the manual of PostgreSQL 17 shows it: each login adds a row.
    script = """
        CREATE TABLE logins (who text, at timestamptz DEFAULT now());
        CREATE FUNCTION note_login() RETURNS event_trigger LANGUAGE plpgsql
            AS 'BEGIN INSERT INTO public.logins (who) VALUES (session_user); END';
        CREATE EVENT TRIGGER note_login ON login EXECUTE FUNCTION note_login();
        ALTER EVENT TRIGGER note_login ENABLE ALWAYS"""
    server = postgres(18)
    with database(server, "lab", script), restored(server, "lab", tmp_path) as found:
        assert found.comparison.differences == ()
        kept = found.fingerprint.tables["public.logins"].rows
        assert server.sql("SELECT count(*) FROM logins", found.name) == str(kept + 1)
        assert describe_database(login(server), found.name)["settings"] == []


@pytest.mark.parametrize("major", [15, 18])
def test_a_database_whose_plpgsql_was_made_anew_is_restored(postgres: Postgres, tmp_path: Path, major: int) -> None:
    script = """DROP EXTENSION plpgsql; CREATE EXTENSION plpgsql;
        CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN 7; END'"""
    server = postgres(major)
    with database(server, "lab", script), restored(server, "lab", tmp_path) as found:
        assert found.comparison.differences == ()
        assert server.sql("SELECT f()", found.name) == "7"


def test_a_restored_database_with_a_subscription_is_dropped_and_leaves_the_slot_of_its_publisher_alone(
    postgres: Postgres, tmp_path: Path
) -> None:
    server = postgres(15)
    socket = f"host={server.socket_dir} port={server.port} user=postgres"
    with database(server, "publisher", "CREATE PUBLICATION all_of_it FOR ALL TABLES"):
        server.sql("SELECT pg_create_logical_replication_slot('follower', 'pgoutput')", "publisher")
        script = f"""CREATE SUBSCRIPTION follower CONNECTION '{socket} dbname=publisher' PUBLICATION all_of_it
            WITH (connect = false, slot_name = follower)"""
        try:
            with database(server, "lab", script):
                try:
                    with restored(server, "lab", tmp_path) as found:
                        assert server.sql("SELECT subenabled FROM pg_subscription WHERE subname = 'follower'") == "f\nf"
                    assert found.name not in databases_of(server)
                    assert server.sql("SELECT slot_name FROM pg_replication_slots") == "follower"
                    with restored(server, "lab", tmp_path) as found:
                        server.sql(f"COMMENT ON DATABASE {found.name} IS 'lifeboat: restore in progress'")
                        assert drop_abandoned(login(server)) == [found.name]
                    assert server.sql("SELECT slot_name FROM pg_replication_slots") == "follower"
                finally:
                    server.sql("ALTER SUBSCRIPTION follower SET (slot_name = NONE); DROP SUBSCRIPTION follower", "lab")
        finally:
            server.sql("SELECT pg_drop_replication_slot('follower')", "publisher")
