# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A least-right role on real servers: what it gets is enough for a whole dump, and for nothing else."""

from __future__ import annotations

import contextlib
import dataclasses
import typing as t

import psycopg2
import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import LifeboatError, UsageError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres import backup_role
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.dump import Dump, Globals
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.preflight import check_source
from ansible_collections.lifeboat.recovery.tests.functional.postgres_fixtures import (
    MAJORS,
    PostgresServer,
    database,
    login,
    postgres,
    tools_of,
)

__all__ = ["postgres"]
Postgres = t.Callable[[int], PostgresServer]

NAME = 'back"up'
PASSWORD = "correct horse battery"
# Each of these makes a role that has pg_read_all_data alone fail.
HARD = """
    CREATE SCHEMA closed;
    CREATE TABLE closed.secret (a int);
    INSERT INTO closed.secret SELECT generate_series(1, 100);
    CREATE TABLE filtered (a int);
    ALTER TABLE filtered ENABLE ROW LEVEL SECURITY;
    INSERT INTO filtered VALUES (1);
    ALTER TABLE filtered OWNER TO hard_owner;
    SELECT lo_from_bytea(0, 'of a superuser');
    SET ROLE hard_owner;
    SELECT lo_from_bytea(0, 'of an owner');
"""


@contextlib.contextmanager
def hard_database(found: PostgresServer) -> t.Iterator[PostgresServer]:
    """Make a database that is hard to read, which only superusers and its owner may connect to."""
    found.sql("CREATE ROLE hard_owner LOGIN")
    try:
        with database(found, "hard", HARD):
            found.sql("REVOKE CONNECT ON DATABASE hard FROM PUBLIC")
            yield found
    finally:
        found.sql('DROP ROLE IF EXISTS "back""up"; DROP ROLE hard_owner')


@pytest.fixture(params=MAJORS)
def each_server(request: pytest.FixtureRequest, postgres: Postgres) -> t.Iterator[PostgresServer]:
    """A server of every major with the hard database."""
    with hard_database(postgres(request.param)) as found:
        yield found


@pytest.fixture
def server(postgres: Postgres) -> t.Iterator[PostgresServer]:
    """A server of the oldest major with the hard database, for what is the same in all of them."""
    with hard_database(postgres(MAJORS[0])) as found:
        yield found


def wanted(password: str = "", databases: tuple[str, ...] = ("hard",)) -> backup_role.Wanted:
    return backup_role.Wanted(NAME, databases, password)


def make(server: PostgresServer, password: str = "") -> backup_role.RolePlan:
    planned = backup_role.plan(login(server), wanted(password))
    backup_role.apply(login(server), planned)
    return planned


def question(server: PostgresServer, query: str, name: str = "hard") -> bool:
    return server.sql(f"SELECT {query}", name) == "t"


def test_the_role_can_dump_everything_and_lacks_nothing_after_that(each_server: PostgresServer) -> None:
    planned = make(each_server)
    assert planned.missing()[0] == "the role itself"
    again = backup_role.plan(login(each_server), wanted())
    assert again.is_empty and again.missing() == []
    backup_role.require_whole_dumps(login(each_server), wanted())
    mine = login(each_server, NAME)
    assert check_source(mine, "hard").problems == ()
    tools = tools_of(each_server)
    with Dump(mine, "hard", tools.pg_dump) as dump:
        assert b"of a superuser" in b"".join(dump)
    with Globals(mine, tools.pg_dumpall) as roles:
        assert b"hard_owner" in b"".join(roles)


def test_the_role_can_write_nothing_that_it_does_not_have_to(each_server: PostgresServer) -> None:
    make(each_server)
    for right in ("rolsuper", "rolcreatedb", "rolcreaterole", "rolreplication"):
        assert not question(each_server, f"{right} FROM pg_roles WHERE rolname = '{NAME}'")
    assert not question(each_server, f"has_table_privilege('{NAME}', 'closed.secret', 'INSERT')")
    if each_server.major >= 16:
        assert not question(each_server, f"pg_has_role('{NAME}', 'hard_owner', 'SET')")


def test_looking_changes_nothing(server: PostgresServer) -> None:
    planned = backup_role.plan(login(server), wanted(PASSWORD))
    assert set(planned.missing()) == {
        "the role itself",
        "membership in pg_read_all_data",
        "membership in hard_owner",
        "CONNECT to database hard",
        "SELECT on 1 large objects of superusers in database hard",
    }
    assert server.sql(f"SELECT count(*) FROM pg_roles WHERE rolname = '{NAME}'") == "0"


def test_each_right_that_somebody_takes_is_missed_and_given_back(server: PostgresServer) -> None:
    make(server, PASSWORD)
    server.sql('ALTER ROLE "back""up" NOBYPASSRLS NOLOGIN PASSWORD NULL; REVOKE pg_read_all_data FROM "back""up"')
    server.sql('REVOKE CONNECT ON DATABASE hard FROM "back""up"')
    planned = backup_role.plan(login(server), wanted(PASSWORD))
    assert planned.missing() == [
        "the attribute LOGIN",
        "the attribute BYPASSRLS",
        "the password",
        "membership in pg_read_all_data",
        "CONNECT to database hard",
    ]
    backup_role.apply(login(server), planned)
    assert backup_role.plan(login(server), wanted(PASSWORD)).is_empty


def test_a_new_large_object_of_a_superuser_is_found(server: PostgresServer) -> None:
    make(server)
    server.sql("SELECT lo_from_bytea(0, 'another one')", "hard")
    planned = backup_role.plan(login(server), wanted())
    assert planned.missing() == ["SELECT on 1 large objects of superusers in database hard"]
    backup_role.apply(login(server), planned)
    backup_role.require_whole_dumps(login(server), wanted())


def test_the_password_is_set_once_and_in_no_log_of_the_server(server: PostgresServer) -> None:
    server.sql("ALTER SYSTEM SET log_statement = 'all'; SELECT pg_reload_conf()")
    try:
        make(server, PASSWORD)
        assert backup_role.plan(login(server), wanted(PASSWORD)).is_empty
        assert backup_role.plan(login(server), wanted("another one")).missing() == ["the password"]
        stored = server.sql(f"SELECT rolpassword FROM pg_authid WHERE rolname = '{NAME}'")
    finally:
        server.sql("ALTER SYSTEM RESET log_statement; SELECT pg_reload_conf()")
    said = server.log.read_text(encoding="utf-8", errors="replace")
    assert stored.startswith("SCRAM-SHA-256$")
    assert "CREATE DATABASE" in said or "SELECT" in said
    assert PASSWORD not in said and stored not in said


def test_a_superuser_is_left_alone(server: PostgresServer) -> None:
    planned = backup_role.plan(login(server), dataclasses.replace(wanted("a word"), name="postgres"))
    assert planned.is_empty and planned.is_superuser
    backup_role.require_whole_dumps(login(server), dataclasses.replace(wanted(), name="postgres"))


def test_what_no_right_can_give_is_said(server: PostgresServer) -> None:
    make(server)
    server.sql("CREATE SUBSCRIPTION far CONNECTION 'host=x' PUBLICATION p WITH (connect = false)", "hard")
    try:
        with pytest.raises(LifeboatError, match="subscriptions are visible to a superuser only") as refused:
            backup_role.require_whole_dumps(login(server), wanted())
        assert refused.value.remedy
    finally:
        server.sql("ALTER SUBSCRIPTION far SET (slot_name = NONE)", "hard")
        server.sql("DROP SUBSCRIPTION far", "hard")


def test_others_than_superusers_are_told_what_they_may_not(server: PostgresServer) -> None:
    make(server)
    weak = login(server, "hard_owner")
    with pytest.raises(UsageError, match="only a superuser may"):
        backup_role.plan(weak, wanted(PASSWORD))
    with pytest.raises(LifeboatError, match="must be superuser"):
        planned = backup_role.plan(login(server), wanted())
        backup_role.apply(weak, dataclasses.replace(planned, attributes=("BYPASSRLS",)))


def test_a_database_that_is_not_there_is_said(server: PostgresServer) -> None:
    with pytest.raises(LifeboatError, match="no database of this name"):
        backup_role.plan(login(server), wanted(databases=("nothing",)))


def test_the_servers_refuse_what_the_role_may_not(server: PostgresServer) -> None:
    make(server)
    with (
        pytest.raises(psycopg2.errors.InsufficientPrivilege),
        psycopg2.connect(host=str(server.socket_dir), port=server.port, user=NAME, dbname="hard") as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute("DELETE FROM closed.secret")
