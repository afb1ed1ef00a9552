# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Statistics of a restored database, without which its first queries are slow."""

from __future__ import annotations

from ..errors import LifeboatError
from .connection import Session
from .quoting import shorten

# Partitioned tables and parents that have foreign tables somewhere below them.
_WITH_FOREIGN_PARTS = """
    WITH RECURSIVE above (oid) AS (
        SELECT i.inhparent FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE c.relkind = 'f'
        UNION SELECT i.inhparent FROM pg_inherits i JOIN above a ON a.oid = i.inhrelid)
    SELECT oid FROM above"""
_NAMES = "SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"


def analyze(session: Session) -> tuple[str, ...]:
    """Gather statistics of all tables that lie on the server itself; return notes about what has none.

    ANALYZE of a table with foreign parts reads these from their servers (PostgreSQL manual, ANALYZE): a restore must
    neither depend on those nor put load on them. It also runs functions of the database, which may fail: all rows are
    there nevertheless.
    """
    try:
        return _analyzed(session)
    except LifeboatError as error:
        return (f"statistics were not gathered of all tables, run ANALYZE: {error.cause}",)


def _analyzed(session: Session) -> tuple[str, ...]:
    left_out = session.names(f"{_NAMES} WHERE c.oid IN ({_WITH_FOREIGN_PARTS}) ORDER BY 1")
    ours = "n.nspname <> 'information_schema' AND NOT c.relisshared AND c.relkind IN ('r', 'm', 'p')"
    others = f"{_NAMES} WHERE {ours} AND c.oid NOT IN ({_WITH_FOREIGN_PARTS}) ORDER BY 1"
    statements = [f"ANALYZE {name}" for name in session.names(others)] if left_out else ["ANALYZE"]
    # What runs from here on runs with the rights of the owner of a table, and may need what applications find.
    session.run('SET search_path = "$user", public')
    for statement in statements:
        session.run(statement)
    return (f"no statistics were gathered of tables that have foreign parts: {shorten(left_out)}",) if left_out else ()
