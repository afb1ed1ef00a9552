# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ..errors import GuardRefusal, LifeboatError
from .connection import Server, Session, connect
from .quoting import shorten

# Relations that pg_dump locks and reads. Those of extensions are made by CREATE EXTENSION, unless the extension marks
# them as configuration.
_OURS = """
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
      AND NOT EXISTS (
          SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
             AND NOT EXISTS (SELECT FROM pg_extension e WHERE e.oid = d.refobjid AND c.oid = ANY (e.extconfig)))"""
_NAME = "format('%I.%I', n.nspname, c.relname)"

_UNREADABLE_SCHEMAS = f"""
    SELECT DISTINCT format('%I', n.nspname) {_OURS}
       AND c.relkind IN ('r', 'p', 'S') AND NOT has_schema_privilege(n.oid, 'USAGE') ORDER BY 1"""
_UNREADABLE_TABLES = f"""
    SELECT {_NAME} {_OURS} AND c.relkind IN ('r', 'p') AND NOT has_table_privilege(c.oid, 'SELECT') ORDER BY 1"""
# CASE, because the server may ask in any order, and refuses the question for what is no sequence.
_UNREADABLE_SEQUENCES = f"""
    SELECT {_NAME} {_OURS}
       AND CASE WHEN c.relkind = 'S' THEN NOT has_sequence_privilege(c.oid, 'SELECT') END ORDER BY 1"""
_FILTERED_TABLES = f"""
    SELECT {_NAME} {_OURS} AND c.relkind IN ('r', 'p') AND c.relrowsecurity AND row_security_active(c.oid) ORDER BY 1"""
_UNLOGGED = f"SELECT {_NAME} {_OURS} AND c.relkind = 'r' AND c.relpersistence = 'u' ORDER BY 1"
_FOREIGN = f"SELECT {_NAME} {_OURS} AND c.relkind = 'f' ORDER BY 1"

# pg_read_all_data does not reach large objects: only their owner, and who was granted SELECT on each, may read them.
_UNREADABLE_LARGE_OBJECTS = """
    SELECT count(*) FROM pg_largeobject_metadata m
     WHERE NOT current_setting('lo_compat_privileges')::bool AND NOT pg_has_role(m.lomowner, 'USAGE')
       AND NOT EXISTS (SELECT FROM aclexplode(m.lomacl) a WHERE a.privilege_type = 'SELECT'
                       AND (a.grantee = 0 OR pg_has_role(a.grantee, 'USAGE')))"""
# The server hides most of pg_subscription from others than superusers, not these two columns.
_SUBSCRIPTION_COUNT = """
    SELECT count(*) FROM pg_subscription
     WHERE subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())"""


@dataclass(frozen=True)
class Preflight:
    """What stands between a role and a whole dump of a database."""

    size_bytes: int  # of the database's files: an estimate, indexes included
    is_standby: bool
    problems: tuple[str, ...]  # each would make the dump fail or leave something out
    notes: tuple[str, ...]  # what a dump never holds, by its nature

    def require(self, database: str, user: str) -> None:
        """Raise LifeboatError that names everything that is missing."""
        if self.problems:
            who = f" as {user}" if user else ""
            raise LifeboatError(
                f"Cannot back up database {database}{who}",
                "; ".join(self.problems),
                "give the backup role BYPASSRLS, pg_read_all_data and membership in the owning roles, or be superuser",
            )


def check_source(server: Server, database: str, *, with_subscriptions: bool = True) -> Preflight:
    """Find out what the login role could not read of a database, before a byte is dumped. Raises LifeboatError when it
    cannot even connect."""
    with connect(server, server.maintenance_database) as session:
        _refuse_closed(session, database)
    with connect(server, database) as session:
        is_standby = bool(session.value("SELECT pg_is_in_recovery()"))
        unlogged = session.names(_UNLOGGED)
        problems = list(problems_of(session, with_subscriptions=with_subscriptions))
        return Preflight(
            size_bytes=int(session.value("SELECT pg_database_size(current_database())")),
            is_standby=is_standby,
            problems=tuple(problems),
            notes=tuple(_notes(session, is_standby, unlogged)),
        )


def _refuse_closed(session: Session, database: str) -> None:
    rows = session.rows(
        "SELECT datallowconn, has_database_privilege(oid, 'CONNECT') FROM pg_database WHERE datname = %s", database
    )
    if not rows:
        raise LifeboatError(
            f"Cannot back up database {database}",
            f"the server at {session.server} has no database of this name",
            "check the name",
        )
    allows_connections, may_connect = rows[0]
    if not allows_connections:
        raise GuardRefusal(
            "closed_database",
            f"Cannot back up database {database}",
            "it does not allow connections",
            "a restore may have left it closed: ALTER DATABASE … ALLOW_CONNECTIONS true",
        )
    if not may_connect:
        raise LifeboatError(
            f"Cannot back up database {database}",
            "the login role may not connect to it",
            "GRANT CONNECT ON DATABASE to it",
        )


def problems_of(session: Session, *, with_subscriptions: bool = True) -> t.Iterator[str]:
    """Yield what the current role of a session could not dump of its database."""
    if session.value("SELECT rolsuper FROM pg_roles WHERE rolname = current_user"):
        return
    questions = (
        (_UNREADABLE_SCHEMAS, "may not use the schema"),
        (_UNREADABLE_TABLES, "may not read the table"),
        (_UNREADABLE_SEQUENCES, "may not read the sequence"),
        (_FILTERED_TABLES, "row security hides rows of the table"),
    )
    for query, text in questions:
        names = session.names(query)
        if names:
            yield f"{text}{'s' if len(names) > 1 else ''} {shorten(names)}"
    large_objects = int(session.value(_UNREADABLE_LARGE_OBJECTS))
    if large_objects:
        yield f"may not read {large_objects} large objects"
    if with_subscriptions and int(session.value(_SUBSCRIPTION_COUNT)):
        yield "subscriptions are visible to a superuser only and would be left out"


def _notes(session: Session, is_standby: bool, unlogged: list[str]) -> t.Iterator[str]:
    foreign = session.names(_FOREIGN)
    if foreign:
        yield f"rows of foreign tables stay on their servers: {shorten(foreign)}"
    if is_standby and unlogged:
        yield f"a standby has no rows of unlogged tables: {shorten(unlogged)}"
    mappings = int(session.value("SELECT count(*) FROM pg_user_mappings WHERE umoptions IS NULL"))
    if mappings:
        yield f"the options of up to {mappings} user mappings are hidden from this role"
