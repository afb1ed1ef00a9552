# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Roles of applications on a real server: made where they are missing, with passwords that work."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import LifeboatError, UsageError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres import login_role, scram
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.connection import Server
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.login_role import WantedRole
from ansible_collections.lifeboat.recovery.tests.functional.postgres_fixtures import (
    MAJORS,
    PostgresServer,
    login,
    postgres,
)

__all__ = ["postgres"]

NAME = 'shop"keeper'
PASSWORD = "correct horse battery"


@pytest.fixture
def server(postgres: t.Callable[[int], PostgresServer]) -> t.Iterator[PostgresServer]:
    found = postgres(MAJORS[0])
    yield found
    found.sql('DROP ROLE IF EXISTS "shop""keeper"; DROP ROLE IF EXISTS clerk')


def make(where: Server, wanted: WantedRole) -> login_role.LoginRolePlan:
    planned = login_role.plan(where, wanted)
    login_role.apply(where, planned)
    return planned


def stored(server: PostgresServer) -> str:
    return server.sql("SELECT rolpassword FROM pg_authid WHERE rolname = 'shop\"keeper'")


def test_a_role_is_made_once_with_a_password_that_the_server_accepts(server: PostgresServer) -> None:
    wanted = WantedRole(NAME, PASSWORD)
    planned = make(login(server), wanted)
    assert (planned.exists, planned.sets_password, planned.is_empty) == (False, True, False)
    assert scram.is_password(PASSWORD, stored(server))
    assert server.sql("SELECT rolcanlogin FROM pg_roles WHERE rolname = 'shop\"keeper'") == "t"
    assert login_role.plan(login(server), wanted).is_empty
    before = stored(server)
    assert make(login(server), WantedRole(NAME, "another")).sets_password
    assert stored(server) != before and scram.is_password("another", stored(server))


def test_a_role_that_is_there_keeps_its_attributes_and_without_a_wanted_password_the_one_it_has(
    server: PostgresServer,
) -> None:
    server.sql("CREATE ROLE \"shop\"\"keeper\" NOLOGIN CREATEDB PASSWORD 'x'")
    before = stored(server)
    assert login_role.plan(login(server), WantedRole(NAME)).is_empty
    make(login(server), WantedRole(NAME, PASSWORD))
    assert stored(server) != before
    assert server.sql("SELECT rolcanlogin, rolcreatedb FROM pg_roles WHERE rolname = 'shop\"keeper'") == "f|t"


def test_who_may_not_see_passwords_sets_them_each_time(server: PostgresServer) -> None:
    server.sql("CREATE ROLE clerk LOGIN CREATEROLE")
    clerk = login(server, "clerk")
    wanted = WantedRole(NAME, PASSWORD, may_login=False)
    planned = make(clerk, wanted)
    assert not planned.is_compared and not planned.is_superuser
    before = stored(server)
    assert scram.is_password(PASSWORD, before)
    assert make(clerk, wanted).sets_password and stored(server) != before


def test_what_cannot_be_done_is_said_before_or_by_the_server(server: PostgresServer) -> None:
    with pytest.raises(UsageError, match="printable"):
        login_role.plan(login(server), WantedRole(NAME, "pässword"))
    server.sql("CREATE ROLE clerk LOGIN")
    with pytest.raises(LifeboatError, match="permission denied"):
        make(login(server, "clerk"), WantedRole(NAME))
