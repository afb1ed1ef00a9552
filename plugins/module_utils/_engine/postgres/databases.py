# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which databases a server has, and which of them a job means."""

from __future__ import annotations

import fnmatch
import re
import typing as t
from dataclasses import dataclass

from ..errors import UsageError
from .connection import Server, connect

# Being connected to template1 makes CREATE DATABASE fail for everybody else, and template0 takes no connections.
TEMPLATES = ("template0", "template1")
_RESTORING = re.compile(r"lifeboat_restore_[0-9a-f]{8}")  # a restore is filling it; it gets its name in the end

_DATABASES = """
    SELECT datname, datallowconn,
           CASE WHEN has_database_privilege(oid, 'CONNECT') OR pg_has_role('pg_read_all_stats', 'USAGE')
                THEN coalesce(pg_database_size(oid), 0) ELSE 0 END
      FROM pg_database WHERE datconnlimit <> -2 ORDER BY 1"""
# A database whose DROP was interrupted has this limit of connections from PostgreSQL 15.4 on, and can only be dropped.


@dataclass(frozen=True)
class Database:
    """One database of a server."""

    name: str
    allows_connections: bool
    size_bytes: int  # of its files; 0: this role may not know


@dataclass(frozen=True)
class Selection:
    """Which databases of a server are meant."""

    names: tuple[str, ...] | None = None  # None: all that there are at that time
    exclude: tuple[str, ...] = ()  # names or patterns of the shell (`*`, `?`, `[…]`) of those to leave out

    def has(self, name: str) -> bool:
        """Say whether a database of this name is meant, if there is one."""
        if self.names is not None:
            return name in self.names
        if name in TEMPLATES or _RESTORING.fullmatch(name):
            return False
        return not any(name == pattern or fnmatch.fnmatchcase(name, pattern) for pattern in self.exclude)


@dataclass(frozen=True)
class Chosen:
    """The databases that a selection means on a server."""

    databases: tuple[Database, ...]  # the largest first: the last to end is then a small one
    closed: tuple[str, ...]  # they take no connections, and nobody named them


def selection_from(databases: t.Any, exclude: t.Sequence[str], problem: str) -> Selection:
    """Return the selection that `all` or a list of names, and the names to leave out, ask for. Raises UsageError."""
    if databases == "all":
        return Selection(None, tuple(exclude))
    if not isinstance(databases, (list, tuple)) or not all(isinstance(each, str) and each for each in databases):
        raise UsageError(problem, "databases is neither all nor a list of names", 'write it as ["first", "second"]')
    if not databases or len(set(databases)) < len(databases):
        words = "has a name twice" if databases else "is an empty list"
        raise UsageError(problem, f"databases {words}", "name each once, or say all")
    if exclude:
        raise UsageError(problem, "exclude stands beside a list of databases", "name those that are to be saved only")
    return Selection(tuple(databases))


def databases_of(server: Server) -> tuple[Database, ...]:
    """Return all databases of a server but those whose removal was interrupted, in the order of their names."""
    with connect(server, server.maintenance_database) as session:
        return tuple(Database(str(name), bool(open_), int(size)) for name, open_, size in session.rows(_DATABASES))


def chosen(found: t.Sequence[Database], selection: Selection) -> Chosen:
    """Return which of the databases of a server are meant; those named that are not there are among them, too."""
    meant = [each for each in found if selection.has(each.name)]
    if selection.names is not None:
        there = {each.name for each in meant}
        meant += [Database(name, True, 0) for name in selection.names if name not in there]
        return Chosen(_largest_first(meant), ())
    closed = tuple(each.name for each in meant if not each.allows_connections)
    return Chosen(_largest_first([each for each in meant if each.allows_connections]), closed)


def _largest_first(databases: t.Sequence[Database]) -> tuple[Database, ...]:
    return tuple(sorted(databases, key=lambda each: (-each.size_bytes, each.name)))
