# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses

from ..errors import GuardRefusal
from ..postgres.connection import Server, connect
from ..postgres.restore import RestoreOptions
from ..postgres.selection import Pattern
from ..postgres.swap import first_free, restored_name
from ..postgres.target import other_than
from .place import Place

ON_CONFLICT = ("replace", "rename", "refuse")


@dataclasses.dataclass(frozen=True)
class RestoreRequest:
    """Which backup to bring back, and as which database."""

    job: str
    backup: str  # an id, latest or latest_good
    places: tuple[Place, ...]  # nearest first
    server: Server
    database: str = ""  # name to restore as; empty: that of the source
    confirm: str = ""  # the name of the database that is to be replaced
    keep_previous: bool = True  # False: drop the replaced database at once
    options: RestoreOptions = dataclasses.field(default_factory=RestoreOptions)
    folder: str = ""  # for the fetched archive; empty: that for temporary files
    include: tuple[Pattern, ...] = ()  # empty: everything
    exclude: tuple[Pattern, ...] = ()
    on_conflict: str = "replace"  # of ON_CONFLICT: what becomes of a database that has the name
    safety_backup: bool = False  # True: back the database up that is replaced
    globals: str = "none"  # none | needed | all: which roles of the backup to make if they are missing

    @property
    def is_partial(self) -> bool:
        return bool(self.include or self.exclude)


def name_on_server(server: Server, database: str, on_conflict: str) -> str:
    """Return the name to restore as: another one where it is taken, and databases come beside each other."""
    if on_conflict != "rename":
        return database
    with connect(server, other_than(server, database)) as session:
        taken = session.names("SELECT datname FROM pg_database")
    return first_free(database, restored_name, taken) if database in taken else database


def guard_name(database: str, exists: bool, confirm: str, on_conflict: str) -> None:
    """Raise GuardRefusal (`conflict`, `confirm`) for a database that is there and may not be replaced."""
    if not exists:
        return
    if on_conflict == "refuse":
        raise GuardRefusal(
            "conflict",
            f"Cannot restore as database {database}",
            "it exists, and on_conflict is 'refuse'",
            "restore under another name, or set on_conflict to 'rename'",
        )
    if confirm != database:
        raise GuardRefusal(
            "confirm",
            f"Cannot replace database {database}",
            f"it exists and {f'confirm is {confirm!r}' if confirm else 'confirm is not set'}",
            f"set confirm to {database!r} to replace it, or restore under another name",
        )


def guard_newcomer(server: Server, database: str, existed: bool, confirm: str, on_conflict: str) -> None:
    """Refuse to replace a database that was made while the restore ran: nobody confirmed that. Raises GuardRefusal."""
    if existed or confirm == database:
        return
    with connect(server, other_than(server, database)) as session:
        exists = bool(session.rows("SELECT FROM pg_database WHERE datname = %s", database))
    guard_name(database, exists, confirm, on_conflict)
