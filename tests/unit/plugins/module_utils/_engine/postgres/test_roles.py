# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.globals_script import (
    Globals,
    Membership,
    ParameterGrant,
    Role,
    read_globals,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.roles import plan_roles, statements

SCRIPT = r"""
--
-- PostgreSQL database cluster dump
--
\restrict abc
SET standard_conforming_strings = on;
CREATE ROLE "Odd ""role""; 🛟";
ALTER ROLE "Odd ""role""; 🛟" WITH NOSUPERUSER INHERIT NOCREATEROLE CREATEDB LOGIN NOREPLICATION NOBYPASSRLS
  CONNECTION LIMIT 7 PASSWORD 'SCRAM-SHA-256$canary' VALID UNTIL '2030-01-01 00:00:00+00';
COMMENT ON ROLE "Odd ""role""; 🛟" IS E'it''s \\ ; "x"';
CREATE ROLE team;
ALTER ROLE team WITH NOSUPERUSER INHERIT NOLOGIN;
CREATE ROLE boss;
ALTER ROLE boss WITH SUPERUSER LOGIN;
ALTER ROLE boss SET search_path TO 'a', '$user';
ALTER ROLE boss SET "my.setting" TO 'x; y';
ALTER ROLE boss IN DATABASE lab SET work_mem TO '7MB';
GRANT team TO "Odd ""role""; 🛟" WITH ADMIN OPTION, INHERIT FALSE GRANTED BY boss;
GRANT team TO boss GRANTED BY boss;
GRANT pg_monitor TO team;
CREATE TABLESPACE fast OWNER boss LOCATION '/somewhere';
GRANT SET ON PARAMETER work_mem TO team;
\unrestrict abc
"""
ODD = 'Odd "role"; 🛟'


def test_roles_are_read_without_their_passwords():
    found = read_globals(SCRIPT)
    assert list(found.roles) == [ODD, "team", "boss"]
    odd, boss = found.roles[ODD], found.roles["boss"]
    assert odd.attributes == {
        "NOSUPERUSER", "INHERIT", "NOCREATEROLE", "CREATEDB", "LOGIN", "NOREPLICATION", "NOBYPASSRLS",
    }  # fmt: skip
    assert (odd.connection_limit, odd.valid_until) == (7, "2030-01-01 00:00:00+00")
    assert odd.comment == 'it\'s \\ ; "x"'
    assert boss.settings == (("search_path", ("a", "$user")), ("my.setting", ("x; y",)))
    assert found.memberships == (
        Membership("team", ODD, admin=True, inherit=False),
        Membership("team", "boss"),
        Membership("pg_monitor", "team"),
    )
    assert "canary" not in repr(found)


def test_needed_roles_come_with_the_groups_that_they_are_in():
    planned = plan_roles(read_globals(SCRIPT), {"postgres", "pg_monitor"}, (), {ODD, "stranger"})
    assert planned.names == (ODD, "team") and planned.unknown == ("stranger",)
    assert planned.grant == (Membership("team", ODD, True, False), Membership("pg_monitor", "team"))
    assert list(planned.notes()) == [
        f"roles without a password, as backups hold none: {ODD} (set it before they log in)"
    ]


def test_all_roles_are_made_but_those_that_are_there():
    planned = plan_roles(read_globals(SCRIPT), {"boss", "team"}, {("team", "boss")}, None)
    assert (planned.names, planned.present) == ((ODD,), ("boss", "team"))
    assert planned.grant == (Membership("team", ODD, True, False),)


def test_memberships_among_roles_that_are_there_are_left_alone():
    planned = plan_roles(read_globals(SCRIPT), {"boss", "team", ODD, "pg_monitor"}, (), None)
    assert (planned.make, planned.grant) == ((), ())


def test_privileges_on_parameters_come_with_the_roles_that_are_made():
    script = SCRIPT.replace(
        "GRANT SET ON PARAMETER work_mem TO team;",
        """GRANT SET,ALTER SYSTEM ON PARAMETER work_mem TO team WITH GRANT OPTION;
        GRANT SET ON PARAMETER "my.thing" TO boss;
        GRANT ALL ON PARAMETER log_statement TO PUBLIC;""",
    )
    planned = plan_roles(read_globals(script), {"boss", "pg_monitor"}, (), None)
    wanted = 'GRANT SET, ALTER SYSTEM ON PARAMETER "work_mem" TO "team" WITH GRANT OPTION'
    assert [each for each in statements(planned, 150018) if "PARAMETER" in each] == [wanted]
    assert [each for each in statements(planned, 140018) if "PARAMETER" in each] == []
    assert plan_roles(read_globals(script), {"team"}, (), None).parameters == (
        ParameterGrant("boss", "my.thing", ("SET",)),
    )


def test_a_membership_that_several_roles_gave_has_the_options_of_all():
    found = read_globals(
        """GRANT team TO a WITH INHERIT FALSE GRANTED BY postgres;
        GRANT team TO a WITH INHERIT TRUE, SET FALSE GRANTED BY boss;
        GRANT team TO b WITH INHERIT FALSE, SET FALSE GRANTED BY postgres;
        GRANT team TO b WITH ADMIN OPTION, INHERIT FALSE, SET FALSE GRANTED BY boss;"""
    )
    assert found.memberships == (
        Membership("team", "a", inherit=True),
        Membership("team", "b", admin=True, inherit=False, may_set=False),
    )


@pytest.mark.parametrize("version", [150018, 160014])
def test_the_statements_quote_everything_and_suit_the_server(version):
    role = Role('a"b', frozenset(("LOGIN", "CREATEDB")), 3, "tomorrow", (("x.y", ("it's",)),), "c'c")
    planned = plan_roles(Globals({role.name: role}, (Membership("g", role.name, True, False),)), {"g"}, (), None)
    assert statements(planned, version) == [
        'CREATE ROLE "a""b" WITH CREATEDB LOGIN CONNECTION LIMIT 3 VALID UNTIL \'tomorrow\'',
        'ALTER ROLE "a""b" SET "x"."y" TO \'it\'\'s\'',
        "COMMENT ON ROLE \"a\"\"b\" IS 'c''c'",
        'GRANT "g" TO "a""b" WITH ADMIN OPTION' + (", INHERIT FALSE" if version >= 160000 else ""),
    ]
