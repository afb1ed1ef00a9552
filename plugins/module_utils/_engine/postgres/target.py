# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import typing as t
from dataclasses import dataclass

from ..errors import LifeboatError
from .archive import ScriptOptions
from .connection import Server, Session, connect
from .container_server import entered
from .description import Description
from .extensions import extension_problems
from .fingerprint import Fingerprint
from .quoting import NAME_LIMIT, shorten
from .tools import ClientTools, find_tool, major_of, version_text

_SPARE = 1.1  # a restored database may be a little larger than its source was


@dataclass(frozen=True)
class TargetCheck:
    """Whether a server can take a database in, found out before anything is touched."""

    exists: bool  # a database of the wanted name is there
    server_version: int
    problems: tuple[str, ...]
    notes: tuple[str, ...]

    def require(self, database: str) -> None:
        """Raise LifeboatError that names everything that stands in the way, each with its remedy."""
        if self.problems:
            raise LifeboatError(
                f"Cannot restore database {database}",
                "; ".join(self.problems),
                "mend these and start again; nothing was touched",
            )


def restore_tools(server: Server, dumped_by: str, database: str) -> ClientTools:
    """Find the programs that can read an archive of pg_dump `dumped_by` and restore it into `server`.

    Raises LifeboatError when they are too old for one of the two.
    """
    purpose = f"Cannot restore database {database}"
    with connect(server, server.maintenance_database) as session:
        version = session.version_number
    major = max(version // 10000, major_of(dumped_by))
    inside = entered(server, purpose)
    names = ("pg_dump", "pg_dumpall", "pg_restore")
    tools = [find_tool(name, major, server.bin_dir, purpose, inside) for name in names]
    for tool in tools:
        if tool.major < major:
            raise LifeboatError(
                purpose,
                f"{tool.name} {tool.version} is older than the archive or the server, which need {major}",
                _older_remedy(server, major),
            )
    return ClientTools(tools[0], tools[1], tools[2])


def _older_remedy(server: Server, major: int) -> str:
    if server.container is not None:
        return f"restore into a server of PostgreSQL {major} or later, or name the folder of its programs with bin_dir"
    return f"install postgresql-client-{major} or say with bin_dir in which folder the programs lie"


def check_target(
    server: Server,
    database: str,
    source: Description,
    archive: Fingerprint | None = None,
    options: ScriptOptions | None = None,
    *,
    replace: bool = False,
    with_tablespaces: bool = True,
    coming_roles: t.Collection[str] = (),
) -> TargetCheck:
    """Find out what a restore of `source` as `database` would meet on a server.

    `archive` adds the owners that its entries name. `replace`: an existing database of the name is to be swapped out.
    `coming_roles` are made before the restore. A source without `size_bytes` needs nobody knows how much space.
    """
    chosen = options or ScriptOptions()
    with connect(server, other_than(server, database)) as session:
        exists = bool(session.rows("SELECT FROM pg_database WHERE datname = %s", database))
        problems = [*_version(session, source), *_rights(session), *extension_problems(session, source)]
        problems += _name(database)
        if not (chosen.no_owner and chosen.no_privileges):
            problems += _missing_roles(session, source, archive, coming_roles)
        if with_tablespaces:
            problems += _missing_tablespaces(session, source)
        if exists:
            problems += obstacles(session, database) if replace else [f"a database named {database} exists already"]
        lacking, notes = _space(server, session, int(source["size_bytes"]))
        return TargetCheck(exists, session.version_number, (*problems, *lacking), tuple(notes))


def other_than(server: Server, database: str) -> str:
    """Return a database to be connected to while `database` is renamed or dropped."""
    if server.maintenance_database != database:
        return server.maintenance_database
    return "template1" if database != "template1" else "postgres"


def _name(database: str) -> t.Iterator[str]:
    if len(database.encode()) > NAME_LIMIT:
        yield f"the name has {len(database.encode())} bytes, of which a server keeps {NAME_LIMIT} (take a shorter one)"


def _version(session: Session, source: Description) -> t.Iterator[str]:
    wanted = int(source["server_version_number"])
    if session.version_number // 10000 < wanted // 10000:
        yield (
            f"the backup is of PostgreSQL {version_text(wanted)}, the server is {version_text(session.version_number)} "
            f"and a dump does not go back to an older major (restore into {wanted // 10000} or later)"
        )


def _rights(session: Session) -> t.Iterator[str]:
    rows = session.rows("SELECT rolsuper OR rolcreatedb FROM pg_roles WHERE rolname = current_user")
    if not rows or not rows[0][0]:
        yield "the login role may not create databases (ALTER ROLE … CREATEDB, or use a superuser)"
    if session.value("SELECT pg_is_in_recovery()"):
        yield "the server is a standby (restore into its primary)"


def _missing_roles(
    session: Session, source: Description, archive: Fingerprint | None, coming: t.Collection[str]
) -> t.Iterator[str]:
    wanted = {str(role["name"]) for role in source["roles"]} | set(archive.owners if archive else ())
    missing = sorted(wanted - set(session.names("SELECT rolname FROM pg_roles")) - set(coming))
    if missing:
        yield (
            f"the server lacks the roles {shorten(missing)} "
            "(restore the globals first, or restore without owners and privileges)"
        )


def _missing_tablespaces(session: Session, source: Description) -> t.Iterator[str]:
    missing = sorted(set(source["tablespaces"]) - set(session.names("SELECT spcname FROM pg_tablespace")))
    if missing:
        yield (
            f"the server lacks the tablespaces {shorten(missing)} "
            "(create them, map them to others, or restore without tablespaces)"
        )


def obstacles(session: Session, database: str) -> t.Iterator[str]:
    """Yield what would break, or be torn from its users, when the database is swapped out or dropped."""
    if session.value("SELECT datistemplate FROM pg_database WHERE datname = %s", database):
        yield "the database is a template (ALTER DATABASE … IS_TEMPLATE false)"
    slots = session.names("SELECT slot_name FROM pg_replication_slots WHERE database = %s", database)
    if slots:
        yield f"logical replication slots follow the database: {shorten(slots)} (drop them; make new ones afterwards)"
    prepared = session.names("SELECT gid FROM pg_prepared_xacts WHERE database = %s", database)
    if prepared:
        yield f"prepared transactions are open: {shorten(prepared)} (commit or roll them back)"
    subscriptions = session.names(
        "SELECT s.subname FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid WHERE d.datname = %s", database
    )
    if subscriptions:
        yield f"the database subscribes to others: {shorten(subscriptions)} (drop the subscriptions first)"


def _space(server: Server, session: Session, size_bytes: int) -> tuple[list[str], list[str]]:
    if not size_bytes:
        return [], ["free space was not checked: how much of the database comes is not known before"]
    folder = _data_folder(session) if server.is_local else ""
    if not folder or not os.path.isdir(folder):
        return [], ["free space was not checked: the server's folder is not to be seen from here"]
    state = os.statvfs(folder)
    free = state.f_bavail * state.f_frsize
    needed = int(size_bytes * _SPARE)
    if free < needed:
        return [f"{needed // 2**20} MiB are needed beside the existing databases and {free // 2**20} MiB are free"], []
    return [], []


def _data_folder(session: Session) -> str:
    try:
        return str(session.value("SHOW data_directory"))
    except LifeboatError:  # only superusers and pg_read_all_settings may see it
        return ""
