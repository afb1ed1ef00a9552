# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import typing as t

import psycopg2
import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine import steps
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import GuardRefusal, LifeboatError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres import target
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.description import describe_database
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.swap import swap
from ansible_collections.lifeboat.recovery.tests.functional.postgres_fixtures import (
    MAJORS,
    PostgresServer,
    database,
    databases_of,
    login,
    postgres,
)

__all__ = ["postgres"]
Postgres = t.Callable[[int], PostgresServer]


def marked(text: str) -> str:
    return f"CREATE TABLE mark AS SELECT '{text}' AS text"


def drop(server: PostgresServer, name: str) -> None:
    server.sql(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


@pytest.mark.parametrize("major", MAJORS)
def test_a_swap_puts_the_new_database_in_place_and_keeps_the_old_one_closed(postgres: Postgres, major: int) -> None:
    server = postgres(major)
    with database(server, "lab", marked("old")), database(server, "fresh", marked("new")):
        swapped = swap(login(server), "lab", "fresh")
        try:
            assert server.sql("SELECT text FROM mark", "lab") == "new"
            assert swapped.previous.startswith("lab_before_2")
            assert server.sql(f"SELECT datallowconn FROM pg_database WHERE datname = '{swapped.previous}'") == "f"
            server.sql(f'ALTER DATABASE "{swapped.previous}" ALLOW_CONNECTIONS true')
            assert server.sql("SELECT text FROM mark", swapped.previous) == "old"
        finally:
            drop(server, swapped.previous)


def test_a_swap_without_a_former_database_is_a_rename(postgres: Postgres) -> None:
    server = postgres(15)
    with database(server, "fresh", marked("new")):
        assert swap(login(server), "first_time", "fresh").previous == ""
        assert server.sql("SELECT text FROM mark", "first_time") == "new"
        drop(server, "first_time")


@pytest.mark.parametrize("name", ["lab", "first_time"])
def test_who_enters_the_new_database_does_not_keep_it_from_its_name(postgres: Postgres, name: str) -> None:
    server = postgres(15)
    entered = []

    def enter(step: str) -> None:
        if step == "swap.emptied":
            with contextlib.suppress(psycopg2.OperationalError):
                entered.append(enter_database(server, "fresh"))

    with database(server, "lab", marked("old")), database(server, "fresh", marked("new")):
        entered.append(enter_database(server, "fresh"))
        steps.watch(enter)
        try:
            swapped = swap(login(server), name, "fresh")
        finally:
            steps.unwatch(enter)
        try:
            assert len(entered) == 1
            assert server.sql("SELECT text FROM mark", name) == "new"
        finally:
            entered[0].close()
            for each in {swapped.previous, "first_time"} - {""}:
                drop(server, each)


def enter_database(server: PostgresServer, name: str) -> t.Any:
    return psycopg2.connect(host=str(server.socket_dir), port=server.port, user="postgres", dbname=name)


def test_the_old_database_is_dropped_when_it_is_not_to_be_kept(postgres: Postgres) -> None:
    server = postgres(15)
    before = databases_of(server)
    with database(server, "lab", marked("old")), database(server, "fresh", marked("new")):
        assert swap(login(server), "lab", "fresh", keep_previous=False).previous == ""
        assert databases_of(server) == before | {"lab"}


def test_an_old_database_that_cannot_be_dropped_is_kept_and_named(postgres: Postgres) -> None:
    server = postgres(15)
    follows = "CREATE SUBSCRIPTION news CONNECTION 'dbname=x' PUBLICATION p WITH (connect = false, slot_name = NONE)"
    with database(server, "lab", follows), database(server, "fresh", marked("new")):
        swapped = swap(login(server), "lab", "fresh", keep_previous=False)
        previous = swapped.previous
        assert server.sql("SELECT text FROM mark", "lab") == "new"
        words = f"the former database is {previous} now: the database subscribes to others"
        assert swapped.remarks[0].startswith(words)
        server.sql(f'ALTER DATABASE "{previous}" ALLOW_CONNECTIONS true')
        server.sql("DROP SUBSCRIPTION news", previous)
        drop(server, previous)


@pytest.mark.parametrize("keep_previous", [False, True])
def test_an_old_database_is_kept_with_a_replication_slot_that_was_made_on_it_meanwhile(
    postgres: Postgres, keep_previous: bool
) -> None:
    server = postgres(15)
    with database(server, "lab", marked("old")), database(server, "fresh", marked("new")):
        server.sql("SELECT pg_create_logical_replication_slot('follower', 'pgoutput')", "lab")
        try:
            swapped = swap(login(server), "lab", "fresh", keep_previous=keep_previous)
            assert server.sql("SELECT text FROM mark", "lab") == "new"
            follows = "SELECT database FROM pg_replication_slots WHERE slot_name = 'follower'"
            assert server.sql(follows) == swapped.previous != ""
            assert "logical replication slots follow the database: follower" in swapped.remarks[0]
        finally:
            server.sql("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots")
        drop(server, swapped.previous)


def test_a_drop_that_fails_after_the_swap_is_said_and_the_new_database_stays(postgres: Postgres) -> None:
    server = postgres(15)

    def break_off(name: str) -> None:
        if name == "swap.renamed":
            server.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'lifeboat'")

    with database(server, "lab", marked("old")), database(server, "fresh", marked("new")):
        steps.watch(break_off)
        try:
            swapped = swap(login(server), "lab", "fresh", keep_previous=False)
        finally:
            steps.unwatch(break_off)
        assert state(server, "lab") == ("t", "new")
        assert swapped.previous in databases_of(server)
        assert swapped.remarks[0].startswith(f"the former database may still be there as {swapped.previous}: ")
        drop(server, swapped.previous)


def test_sessions_in_the_old_database_are_ended(postgres: Postgres) -> None:
    server = postgres(15)
    with database(server, "lab", marked("old")), database(server, "fresh", marked("new")):
        session = psycopg2.connect(dbname="lab", host=str(server.socket_dir), port=server.port, user="postgres")
        with contextlib.closing(session), session.cursor() as cursor:
            cursor.execute("SELECT pg_sleep(0)")
            swap(login(server), "lab", "fresh", keep_previous=False)
            with pytest.raises(psycopg2.Error):
                cursor.execute("SELECT text FROM mark")


def state(server: PostgresServer, name: str) -> tuple[str, str]:
    is_open = server.sql(f"SELECT datallowconn FROM pg_database WHERE datname = '{name}'")
    return is_open, server.sql("SELECT text FROM mark", name)


def test_a_swap_whose_second_rename_fails_leaves_the_old_database_open_under_its_name(postgres: Postgres) -> None:
    server = postgres(15)
    with database(server, "lab", marked("old")):
        before = databases_of(server)
        with pytest.raises(LifeboatError, match='database "not_there" does not exist'):
            swap(login(server), "lab", "not_there")
        assert state(server, "lab") == ("t", "old")
        assert databases_of(server) == before


@pytest.mark.parametrize("step", ["swap.closed", "swap.first_rename"])
def test_an_interrupted_swap_leaves_the_old_database_open_under_its_name(postgres: Postgres, step: str) -> None:
    server = postgres(15)

    def interrupt(name: str) -> None:
        if name == step:
            raise KeyboardInterrupt

    with database(server, "lab", marked("old")), database(server, "fresh", marked("new")):
        steps.watch(interrupt)
        try:
            with pytest.raises(KeyboardInterrupt):
                swap(login(server), "lab", "fresh")
        finally:
            steps.unwatch(interrupt)
        assert state(server, "lab") == ("t", "old")
        assert state(server, "fresh") == ("t", "new")


@pytest.mark.parametrize("step", ["swap.closed", "swap.first_rename"])
def test_a_swap_whose_connection_breaks_leaves_the_old_database_open_under_its_name(
    postgres: Postgres, step: str
) -> None:
    server = postgres(15)

    def break_off(name: str) -> None:
        if name == step:
            server.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'lifeboat'")

    with database(server, "lab", marked("old")), database(server, "fresh", marked("new")):
        steps.watch(break_off)
        try:
            with pytest.raises(LifeboatError):
                swap(login(server), "lab", "fresh")
        finally:
            steps.unwatch(break_off)
        assert state(server, "lab") == ("t", "old")
        assert state(server, "fresh") == ("t", "new")


def test_the_maintenance_database_can_be_swapped_and_templates_not(postgres: Postgres) -> None:
    server = postgres(15)
    with database(server, "lab", marked("old")), database(server, "fresh", marked("new")):
        reach = login(server, maintenance_database="lab")
        assert swap(reach, "lab", "fresh", keep_previous=False).name == "lab"
        assert server.sql("SELECT text FROM mark", "lab") == "new"
    with pytest.raises(GuardRefusal):
        swap(login(server), "template1", "fresh")


def test_what_would_be_torn_by_a_swap_is_named_before(postgres: Postgres) -> None:
    server = postgres(15)
    with database(server, "lab", "CREATE TABLE t (a int)"):
        source = describe_database(login(server), "lab")
        assert target.check_target(login(server), "lab", source, replace=True).problems == ()
        server.sql("SELECT pg_create_logical_replication_slot('follower', 'pgoutput')", "lab")
        server.sql("BEGIN; INSERT INTO t VALUES (1); PREPARE TRANSACTION 'half way'", "lab")
        server.sql("CREATE SUBSCRIPTION away CONNECTION 'dbname=x' PUBLICATION p WITH (connect = false)", "lab")
        server.sql("ALTER DATABASE lab IS_TEMPLATE true")
        problems = target.check_target(login(server), "lab", source, replace=True).problems
        server.sql("ALTER DATABASE lab IS_TEMPLATE false; SELECT pg_drop_replication_slot('follower')")
        server.sql("ROLLBACK PREPARED 'half way'", "lab")
        server.sql("ALTER SUBSCRIPTION away SET (slot_name = NONE); DROP SUBSCRIPTION away", "lab")
    assert [text.split(" (")[0] for text in problems] == [
        "the database is a template",
        "logical replication slots follow the database: follower",
        "prepared transactions are open: half way",
        "the database subscribes to others: away",
    ]


def test_a_name_that_the_server_would_cut_is_refused(postgres: Postgres) -> None:
    server = postgres(15)
    with database(server, "lab") as name:
        source = describe_database(login(server), name)
    assert not target.check_target(login(server), "é" * 31 + "x", source).problems
    words = "the name has 64 bytes, of which a server keeps 63 (take a shorter one)"
    assert target.check_target(login(server), "é" * 32, source).problems == (words,)


def test_a_role_without_the_right_to_create_databases_is_told_so(postgres: Postgres) -> None:
    server = postgres(15)
    server.sql("DROP ROLE IF EXISTS weak; CREATE ROLE weak LOGIN")
    with database(server, "lab"):
        problems = target.check_target(login(server, "weak"), "lab2", describe_database(login(server), "lab")).problems
    assert problems == ("the login role may not create databases (ALTER ROLE … CREATEDB, or use a superuser)",)
    server.sql("DROP ROLE weak")
