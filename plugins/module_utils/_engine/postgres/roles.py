# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import typing as t
from dataclasses import dataclass

from ..errors import LifeboatError
from ..steps import reached
from .connection import Server, Session, connect
from .globals_script import POWERFUL, Globals, Membership, ParameterGrant, Role
from .properties import setting_value
from .quoting import identifier, literal, shorten

CHOICES = ("none", "needed", "all")


@dataclass(frozen=True)
class RolesPlan:
    """Which roles a restore makes first. Those that exist stay as they are."""

    make: tuple[Role, ...] = ()
    grant: tuple[Membership, ...] = ()
    present: tuple[str, ...] = ()  # that are there already
    unknown: tuple[str, ...] = ()  # that are needed, and neither there nor in the backup
    parameters: tuple[ParameterGrant, ...] = ()  # of those to be made

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(role.name for role in self.make)

    def notes(self) -> t.Iterator[str]:
        """Yield what remains to be done by hand."""
        without = [role.name for role in self.make if role.may_login]
        if without:
            yield f"roles without a password, as backups hold none: {shorten(without)} (set it before they log in)"


def plan_roles(
    found: Globals,
    existing: t.Collection[str],
    members: t.Collection[tuple[str, str]],
    needed: t.Collection[str] | None,
) -> RolesPlan:
    """Choose from the globals of a backup what a server lacks.

    `needed`: only these roles, and those that they are members of; None: all. `existing` are the roles of the server,
    `members` its memberships (group, member). Memberships among roles that exist already are their owner's business.
    """
    wanted = set(found.roles) if needed is None else _with_groups(found, needed)
    wanted = {name for name in wanted if not name.startswith("pg_")}
    make = [role for name, role in found.roles.items() if name in wanted and name not in existing]
    made = {role.name for role in make}
    there = made | set(existing)
    grant = [
        each
        for each in found.memberships
        if (each.member in made or (each.role in made and (needed is None or each.member in wanted)))
        and {each.role, each.member} <= there
        and (each.role, each.member) not in members
    ]
    return RolesPlan(
        tuple(make),
        tuple(grant),
        tuple(sorted(wanted & set(existing))),
        tuple(sorted(wanted - there)),
        tuple(each for each in found.parameters if each.role in made),
    )


def _with_groups(found: Globals, needed: t.Iterable[str]) -> set[str]:
    wanted = set(needed)
    size = -1
    while size != len(wanted):
        size = len(wanted)
        wanted |= {each.role for each in found.memberships if each.member in wanted}
    return wanted


def plan_on_server(session: Session, found: Globals, needed: t.Collection[str] | None) -> RolesPlan:
    """Choose what the server of `session` lacks; changes nothing."""
    rows = session.rows(
        "SELECT g.rolname, m.rolname FROM pg_auth_members a JOIN pg_roles g ON g.oid = a.roleid"
        " JOIN pg_roles m ON m.oid = a.member"
    )
    members = {(str(group), str(member)) for group, member in rows}
    return plan_roles(found, set(session.names("SELECT rolname FROM pg_roles")), members, needed)


def role_problems(session: Session, planned: RolesPlan) -> t.Iterator[str]:
    """Yield why the login role could not make the roles."""
    if not planned.make:
        return
    rows = session.rows("SELECT rolsuper, rolcreaterole FROM pg_roles WHERE rolname = current_user")
    is_superuser, may_create = rows[0] if rows else (False, False)
    powerful = [role.name for role in planned.make if role.attributes & POWERFUL]
    if not (is_superuser or may_create):
        yield "the login role may not make roles (ALTER ROLE … CREATEROLE, or use a superuser)"
    elif powerful and not is_superuser:
        yield f"only a superuser may make the roles {shorten(powerful)} with their attributes"
    if planned.parameters and session.version_number >= 150000 and not is_superuser:
        names = sorted({each.role for each in planned.parameters})
        yield f"only a superuser may give the roles {shorten(names)} their privileges on parameters"


def statements(planned: RolesPlan, server_version: int) -> list[str]:
    """Return the statements that make roles, settings and memberships; no password is among them."""
    return [
        *(each for role in planned.make for each in _role_statements(role)),
        *(_grant(each, server_version) for each in planned.grant),
        *(_parameter_grant(each) for each in planned.parameters if server_version >= 150000),
    ]


def _role_statements(role: Role) -> t.Iterator[str]:
    name = identifier(role.name)
    words = sorted(role.attributes)
    if role.connection_limit != -1:
        words.append(f"CONNECTION LIMIT {role.connection_limit}")
    if role.valid_until:
        words.append(f"VALID UNTIL {literal(role.valid_until)}")
    yield " ".join([f"CREATE ROLE {name}", *(["WITH", *words] if words else [])])
    for parameter, values in role.settings:
        quoted = ".".join(identifier(part) for part in parameter.split("."))
        yield f"ALTER ROLE {name} SET {quoted} TO {setting_value(values)}"
    if role.comment:
        yield f"COMMENT ON ROLE {name} IS {literal(role.comment)}"


def _grant(each: Membership, server_version: int) -> str:
    options = ["ADMIN OPTION"] if each.admin else []
    if server_version >= 160000:
        flags = {"INHERIT": each.inherit, "SET": each.may_set}
        options += [f"{word} {'TRUE' if value else 'FALSE'}" for word, value in flags.items() if value is not None]
    with_options = f" WITH {', '.join(options)}" if options else ""
    return f"GRANT {identifier(each.role)} TO {identifier(each.member)}{with_options}"


def _parameter_grant(each: ParameterGrant) -> str:
    option = " WITH GRANT OPTION" if each.may_grant else ""
    return f"GRANT {', '.join(each.privileges)} ON PARAMETER {_parameter(each)} TO {identifier(each.role)}{option}"


def _parameter(each: ParameterGrant) -> str:
    return ".".join(identifier(part) for part in each.parameter.split("."))


@contextlib.contextmanager
def made_roles(server: Server, planned: RolesPlan | None) -> t.Iterator[None]:
    """Make the roles, all or none of them; when the block fails, those that were made are dropped again."""
    if planned is None or not (planned.make or planned.grant):
        yield
        return
    with connect(server, server.maintenance_database) as session, session.transaction():
        for statement in statements(planned, session.version_number):
            session.run(statement)
    reached("roles.made")
    try:
        yield
    except BaseException:
        _drop(server, planned)
        raise


def _drop(server: Server, planned: RolesPlan) -> None:
    with contextlib.suppress(LifeboatError), connect(server, server.maintenance_database) as session:
        for each in planned.parameters if session.version_number >= 150000 else ():
            session.run(f"REVOKE ALL ON PARAMETER {_parameter(each)} FROM {identifier(each.role)}")
        for name in planned.names:
            with contextlib.suppress(LifeboatError):  # something else was given to it meanwhile
                session.run(f"DROP ROLE IF EXISTS {identifier(name)}")
