# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Prepared transactions: no session ends them, and a database that has one can be neither renamed nor dropped."""

from __future__ import annotations

from ..errors import LifeboatError
from .connection import Session
from .quoting import identifier, literal, shorten

_OF_DATABASE = "SELECT gid, owner FROM pg_prepared_xacts WHERE database = current_database() ORDER BY gid"


def refuse_prepared(session: Session) -> None:
    """Raise LifeboatError if what was loaded left prepared transactions: others would wait for their locks for ever."""
    found = [str(gid) for gid, _owner in session.rows(_OF_DATABASE)]
    if found:
        raise LifeboatError(
            "Cannot accept what was loaded",
            f"it leaves prepared transactions: {shorten(found)}",
            "take PREPARE TRANSACTION out of the dump; nothing that existed was touched",
        )


def roll_back_prepared(session: Session) -> None:
    """Roll back the prepared transactions of the database that the session is connected to. Raises LifeboatError."""
    for gid, owner in session.rows(_OF_DATABASE):
        # Only a superuser and the role that prepared it may (PostgreSQL manual, ROLLBACK PREPARED).
        session.run(f"SET ROLE {identifier(str(owner))}")
        session.run(f"ROLLBACK PREPARED {literal(str(gid))}")
        session.run("RESET ROLE")
