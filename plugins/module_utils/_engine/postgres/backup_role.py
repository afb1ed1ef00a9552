# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
import typing as t

from ..errors import LifeboatError, UsageError
from . import scram
from .connection import Server, Session, connect
from .preflight import problems_of
from .quoting import identifier, literal, shorten

_ATTRIBUTES = ("LOGIN", "INHERIT", "BYPASSRLS")
_READER = "pg_read_all_data"  # PostgreSQL 14 and later
_FIRST_MAJOR = 14
_AT_ONCE = 1000  # large objects in one statement

_ROLE = "SELECT rolsuper, rolcanlogin, rolinherit, rolbypassrls FROM pg_roles WHERE rolname = %s"
_MEMBERSHIPS = """
    SELECT r.rolname FROM pg_roles r, pg_roles me
     WHERE me.rolname = %s AND r.oid <> me.oid AND pg_has_role(me.oid, r.oid, 'USAGE') ORDER BY 1"""
_MAY_CONNECT = """
    SELECT coalesce((SELECT has_database_privilege(r.oid, d.oid, 'CONNECT') FROM pg_roles r WHERE r.rolname = %s),
                    EXISTS (SELECT FROM aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a
                             WHERE a.grantee = 0 AND a.privilege_type = 'CONNECT'))
      FROM pg_database d WHERE d.datname = %s"""
# pg_read_all_data does not reach large objects.
_LARGE_OBJECTS = """
    SELECT o.rolname, o.rolsuper, array_agg(m.oid::text ORDER BY m.oid)
      FROM pg_largeobject_metadata m JOIN pg_roles o ON o.oid = m.lomowner
      LEFT JOIN pg_roles me ON me.rolname = %s
     WHERE NOT current_setting('lo_compat_privileges')::bool
       AND NOT coalesce(pg_has_role(me.oid, m.lomowner, 'USAGE'), false)
       AND NOT EXISTS (SELECT FROM aclexplode(m.lomacl) a WHERE a.privilege_type = 'SELECT'
                       AND (a.grantee = 0 OR coalesce(pg_has_role(me.oid, a.grantee, 'USAGE'), false)))
     GROUP BY 1, 2 ORDER BY 1"""


@dataclasses.dataclass(frozen=True)
class Wanted:
    """A role that shall be able to dump databases, and nothing more than that needs."""

    name: str
    databases: tuple[str, ...]
    password: str = dataclasses.field(default="", repr=False)  # empty: the password is left as it is


@dataclasses.dataclass(frozen=True)
class RolePlan:
    """What a role lacks."""

    name: str
    exists: bool
    is_superuser: bool
    attributes: tuple[str, ...]  # to be set, of _ATTRIBUTES
    verifier: str = dataclasses.field(repr=False)  # of the password to be set; empty: none
    memberships: tuple[str, ...]  # roles whose rights it is to get
    member_of: tuple[str, ...]  # roles whose rights it has
    connects: tuple[str, ...]  # databases that it may not connect to
    large_objects: t.Mapping[str, tuple[str, ...]]  # by database: those of superusers, by their numbers
    major: int  # of the server

    @property
    def is_empty(self) -> bool:
        return self.exists and not (
            self.attributes or self.verifier or self.memberships or self.connects or self.large_objects
        )

    def missing(self) -> list[str]:
        """Return in words what the role lacks."""
        if not self.exists:
            return ["the role itself", *self._rights()]
        found = [f"the attribute {each}" for each in self.attributes]
        return found + (["the password"] if self.verifier else []) + self._rights()

    def _rights(self) -> list[str]:
        found = [f"membership in {each}" for each in self.memberships]
        found += [f"CONNECT to database {each}" for each in self.connects]
        for database, numbers in self.large_objects.items():
            found.append(f"SELECT on {len(numbers)} large objects of superusers in database {database}")
        return found


def plan(server: Server, wanted: Wanted) -> RolePlan:
    """Find out what a role lacks to dump databases; changes nothing. Raises LifeboatError."""
    with connect(server, server.maintenance_database) as session:
        major = session.version_number // 10000
        if major < _FIRST_MAJOR:
            raise UsageError(
                f"Cannot make role {wanted.name}",
                f"PostgreSQL {major} has no role {_READER}",
                "upgrade the server, or back up as a superuser",
            )
        found = session.rows(_ROLE, wanted.name)
        if found and found[0][0]:
            return RolePlan(wanted.name, True, True, (), "", (), (), (), {}, major)
        attributes = tuple(name for name, is_set in zip(_ATTRIBUTES, found[0][1:]) if not is_set) if found else ()
        member_of = tuple(session.names(_MEMBERSHIPS, wanted.name))
        verifier = _verifier(session, wanted)
        connects = tuple(each for each in wanted.databases if not _may_connect(session, wanted.name, each))
    owners: set[str] = set()
    large_objects: dict[str, tuple[str, ...]] = {}
    for database in wanted.databases:
        with connect(server, database) as session:
            for owner, is_superuser, numbers in session.rows(_LARGE_OBJECTS, wanted.name):
                if is_superuser:
                    large_objects[database] = (*large_objects.get(database, ()), *numbers)
                else:
                    owners.add(str(owner))
    reader = [] if _READER in member_of else [_READER]
    memberships = (*reader, *sorted(owners))
    return RolePlan(
        wanted.name, bool(found), False, attributes, verifier, memberships, member_of, connects, large_objects, major
    )


def apply(server: Server, planned: RolePlan) -> None:
    """Give a role what it lacks. Raises LifeboatError with the server's words."""
    with connect(server, server.maintenance_database) as session, session.transaction():
        # A statement with the verifier shall be in no log of the server.
        if planned.verifier:
            session.run("SET LOCAL log_statement = 'none'; SET LOCAL log_min_duration_statement = -1")
        for statement in statements(planned):
            session.run(statement)
    for database, numbers in planned.large_objects.items():
        with connect(server, database) as session:
            for begin in range(0, len(numbers), _AT_ONCE):
                some = ", ".join(str(int(each)) for each in numbers[begin : begin + _AT_ONCE])
                session.run(f"GRANT SELECT ON LARGE OBJECT {some} TO {identifier(planned.name)}")


def statements(planned: RolePlan) -> list[str]:
    """Return the statements for what concerns the whole server, in their order."""
    name = identifier(planned.name)
    found = [] if planned.exists else [f"CREATE ROLE {name} {' '.join(_ATTRIBUTES)}"]
    if planned.attributes:
        found.append(f"ALTER ROLE {name} {' '.join(planned.attributes)}")
    if planned.verifier:
        found.append(f"ALTER ROLE {name} PASSWORD {literal(planned.verifier)}")
    # From 16 on a member need not be able to become the other role, only to use its rights.
    options = " WITH INHERIT TRUE, SET FALSE" if planned.major >= 16 else ""
    found += [f"GRANT {identifier(each)} TO {name}{options}" for each in planned.memberships]
    return found + [f"GRANT CONNECT ON DATABASE {identifier(each)} TO {name}" for each in planned.connects]


def require_whole_dumps(server: Server, wanted: Wanted) -> None:
    """Raise LifeboatError that names everything that a role which has all it can get could still not dump."""
    for database in wanted.databases:
        with connect(server, database) as session:
            session.run(f"SET ROLE {identifier(wanted.name)}")
            found = list(problems_of(session))
        if found:
            raise LifeboatError(
                f"Role {wanted.name} cannot back up database {database}",
                "; ".join(found),
                "drop what nobody needs of that, or back up as a superuser",
            )


def document(planned: RolePlan, *, is_done: bool) -> dict[str, t.Any]:
    """Return the rights of a role before (`is_done` false) or after the plan, for a difference."""
    if not is_done and not planned.exists:
        return {"state": "absent"}
    if planned.is_superuser:
        return {"state": "present", "superuser": True}
    shown: dict[str, t.Any] = {"state": "present"}
    shown.update({each.lower(): is_done or each not in planned.attributes for each in _ATTRIBUTES})
    if planned.verifier:
        shown["password"] = "the wanted one" if is_done else "another one or none"
    shown["member_of"] = sorted({*planned.member_of, *(planned.memberships if is_done else ())})
    shown["may_not_connect_to"] = [] if is_done else list(planned.connects)
    shown["unreadable_large_objects"] = (
        {}
        if is_done
        else {
            database: f"{len(numbers)}: {shorten(list(numbers))}" for database, numbers in planned.large_objects.items()
        }
    )
    return shown


def _may_connect(session: Session, role: str, database: str) -> bool:
    rows = session.rows(_MAY_CONNECT, role, database)
    if not rows:
        raise LifeboatError(
            f"Cannot make role {role} for database {database}",
            f"the server at {session.server} has no database of this name",
            "check the name",
        )
    return bool(rows[0][0])


def _verifier(session: Session, wanted: Wanted) -> str:
    """Return the verifier to be set, empty when the role has the wanted password or none is wanted."""
    if not wanted.password:
        return ""
    if not session.value("SELECT has_table_privilege('pg_authid', 'SELECT')"):
        raise UsageError(
            f"Cannot look at the password of role {wanted.name}",
            "only a superuser may",
            "log in as a superuser, or leave the password out",
        )
    found = session.value("SELECT rolpassword FROM pg_authid WHERE rolname = %s", wanted.name)
    return "" if found and scram.is_password(wanted.password, found) else scram.new_verifier(wanted.password)
