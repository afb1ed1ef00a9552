# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import dataclasses
import secrets
import typing as t

from .. import clock
from ..errors import LifeboatError
from ..steps import reached
from . import scram
from .connection import Server, Session, connect
from .quoting import identifier, literal

_PREFIX = "lifeboat_load_"
_LOADING = "lifeboat: loads a dump from elsewhere"  # comment of a role that may be dropped when nobody uses it
_LOOPBACK = "127.0.0.1"
# Rights with which SQL from elsewhere could do more than fill its own database.
# Members of a role can become it, and others act for it by its rights. Roles of PostgreSQL itself that only look at the
# server, or have no rights of their own, do no harm.
_IS_POWERFUL = """
    SELECT EXISTS (SELECT FROM pg_roles p WHERE pg_has_role(r.oid, p.oid, 'MEMBER')
               AND (p.rolsuper OR p.rolcreaterole OR p.rolreplication OR p.rolbypassrls
                    OR p.rolname ~ '^pg_' AND p.rolname NOT IN ('pg_monitor', 'pg_read_all_settings',
                       'pg_read_all_stats', 'pg_stat_scan_tables', 'pg_checkpoint', 'pg_database_owner',
                       'pg_use_reserved_connections')))
      FROM pg_roles r WHERE rolname = %s"""
_MAY_MAKE_ROLES = "SELECT rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = current_user"
_MAY_GIVE_TO = "SELECT pg_has_role(oid, %s) FROM pg_roles WHERE rolname = %s"
_SET_IS_A_RIGHT = 160000  # since this version a member needs it to give what is its own to the role


def loader_problems(session: Session, owner: str) -> t.Iterator[str]:
    """Yield why a dump cannot be loaded by a role that is made for it, and then be given to `owner` (empty: the current
    role).

    No login role can do without: each may change its own password and settings, and drop its own databases, so SQL that
    runs as that role may as well.
    """
    if not session.value(_MAY_MAKE_ROLES):
        yield (
            "SQL in the dump would be run as the login role, could give it another password or drop databases that it "
            "owns, and that role may not make a role that loads it (log in as a superuser or as a role with CREATEROLE)"
        )
        return
    name = owner or str(session.value("SELECT current_user"))
    if session.value(_IS_POWERFUL, name):
        yield (
            f"functions in the dump would be run with the powers of role {name}, such as when tables are analyzed "
            "(name an owner that has none; pg_login_role makes one)"
        )
    elif session.value(_MAY_GIVE_TO, "SET" if session.version_number >= _SET_IS_A_RIGHT else "MEMBER", name) is False:
        yield f"the database cannot be given to {name}, which the login role is no member of (GRANT that role to it)"


@contextlib.contextmanager
def loading_role(server: Server) -> t.Iterator[Server]:
    """Make a role that may do nothing but log in, and yield how to log in as it; it is dropped in the end.

    What it owns must have been given away by `hand_over` or dropped. Roles that killed runs left go first. Raises
    LifeboatError when the server lets nobody in by a password.
    """
    name, password = _PREFIX + secrets.token_hex(4), secrets.token_urlsafe(24)
    with connect(server, server.maintenance_database) as session:
        _drop_abandoned(session)
        with session.transaction():
            if session.value("SELECT rolsuper FROM pg_roles WHERE rolname = current_user"):
                session.run("SET LOCAL log_statement = 'none'; SET LOCAL log_min_duration_statement = -1")
            session.run(f"CREATE ROLE {identifier(name)} LOGIN PASSWORD {literal(scram.new_verifier(password))}")
            session.run(f"COMMENT ON ROLE {identifier(name)} IS {literal(_LOADING)}")
            session.run(f"GRANT {identifier(name)} TO CURRENT_USER")
    try:
        reached("loader.made")
        yield _reachable(dataclasses.replace(server, user=name, password=password, session_role=""))
    finally:
        with contextlib.suppress(LifeboatError), connect(server, server.maintenance_database) as session:
            _drop(session, name)


def _reachable(server: Server) -> Server:
    """Return where the role is let in: where everybody else is, or by TCP where the socket asks for the user of the
    operating system."""
    places = [server, *([dataclasses.replace(server, host=_LOOPBACK)] if server.is_local else [])]
    failures = []
    for place in places:
        try:
            with connect(place, place.maintenance_database) as session:
                found = session.value("SELECT session_user")
            if found == server.user:
                return place
            failures.append(f"{server} lets {found} in instead, because its service says so")
        except LifeboatError as error:
            failures.append(error.cause)
    raise LifeboatError(
        "Cannot load a dump from elsewhere as a role without rights",
        "; ".join(failures),
        "let roles log in by password from this host (pg_hba.conf, scram-sha-256), or, if you trust the dump as you"
        " trust your own SQL, say so (trusted)",
    )


def hand_over(server: Server, database: str, loader: str, owner: str) -> None:
    """Give a database and all that is in it, from the role that loaded it to the one that shall own it.

    Settings that its former owner gave it are taken away: a search path would lead others to what the dump holds.
    """
    with connect(server, database) as session, session.transaction():
        session.run(f"ALTER DATABASE {identifier(database)} RESET ALL")
        session.run(f"ALTER DATABASE {identifier(database)} IS_TEMPLATE false CONNECTION LIMIT -1")
        session.run(f"REASSIGN OWNED BY {identifier(loader)} TO {identifier(owner)}")
        session.run(f"DROP OWNED BY {identifier(loader)}")  # privileges that it was granted
    reached("loader.handed_over")


def _drop_abandoned(session: Session) -> None:
    names = session.names(
        "SELECT rolname FROM pg_roles WHERE starts_with(rolname, %s) AND shobj_description(oid, 'pg_authid') = %s"
        " AND NOT EXISTS (SELECT FROM pg_stat_activity WHERE usename = rolname)"
        " AND NOT EXISTS (SELECT FROM pg_database WHERE datdba = pg_roles.oid)",
        _PREFIX,
        _LOADING,
    )
    for name in names:
        _drop(session, name)


def _drop(session: Session, name: str) -> None:
    """Drop a role, once the sessions that were its are gone."""
    deadline = clock.monotonic() + 5.0
    while clock.monotonic() < deadline:
        with contextlib.suppress(LifeboatError):
            session.run(f"DROP ROLE IF EXISTS {identifier(name)}")
            return
        clock.sleep(0.1)
