# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses

from . import scram
from .connection import Server, Session, connect
from .quoting import identifier, literal


@dataclasses.dataclass(frozen=True)
class WantedRole:
    """A role as an application needs it to log in, or to own things."""

    name: str
    password: str = dataclasses.field(default="", repr=False)  # empty: the password is left as it is
    may_login: bool = True  # of a role that has to be made


@dataclasses.dataclass(frozen=True)
class LoginRolePlan:
    """What is to be done with a role."""

    wanted: WantedRole
    exists: bool
    is_compared: bool  # whether the present password could be compared with the wanted one
    sets_password: bool
    is_superuser: bool  # who does it

    @property
    def is_empty(self) -> bool:
        return self.exists and not self.sets_password


def plan(server: Server, wanted: WantedRole) -> LoginRolePlan:
    """Look whether a role is there and has the wanted password; changes nothing.

    Only superusers see what the server stores of passwords. For others, the password is to be set whatever it is.
    Raises LifeboatError, UsageError for a password that could not be set.
    """
    if wanted.password:
        scram.new_verifier(wanted.password)
    with connect(server, server.maintenance_database) as session:
        exists = bool(session.rows("SELECT FROM pg_roles WHERE rolname = %s", wanted.name))
        is_superuser = bool(session.value("SELECT rolsuper FROM pg_roles WHERE rolname = current_user"))
        is_compared = bool(session.value("SELECT has_table_privilege('pg_authid', 'SELECT')"))
        sets_password = bool(wanted.password) and not (is_compared and _has_password(session, wanted))
    return LoginRolePlan(wanted, exists, is_compared, sets_password, is_superuser)


def _has_password(session: Session, wanted: WantedRole) -> bool:
    found = session.value("SELECT rolpassword FROM pg_authid WHERE rolname = %s", wanted.name)
    return bool(found) and scram.is_password(wanted.password, str(found))


def apply(server: Server, planned: LoginRolePlan) -> None:
    """Make the role, and give it the password. Raises LifeboatError with the server's words."""
    name = identifier(planned.wanted.name)
    with connect(server, server.maintenance_database) as session, session.transaction():
        if planned.sets_password and planned.is_superuser:
            # A statement with the verifier shall be in no log of the server; only superusers may say so.
            session.run("SET LOCAL log_statement = 'none'; SET LOCAL log_min_duration_statement = -1")
        if not planned.exists:
            session.run(f"CREATE ROLE {name} {'LOGIN' if planned.wanted.may_login else 'NOLOGIN'}")
        if planned.sets_password:
            session.run(f"ALTER ROLE {name} PASSWORD {literal(scram.new_verifier(planned.wanted.password))}")


def document(planned: LoginRolePlan, *, is_done: bool) -> dict[str, str]:
    """Return the role before (`is_done` false) or after the plan, for a difference; never a password."""
    if not is_done and not planned.exists:
        return {"state": "absent"}
    shown = {"state": "present"}
    if planned.sets_password:
        shown["password"] = "the wanted one" if is_done else "another one or none" if planned.is_compared else "unknown"
    return shown
