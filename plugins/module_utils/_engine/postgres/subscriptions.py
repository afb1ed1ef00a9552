# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Subscriptions: a database that has one cannot be dropped, and dropping one drops the slot at its publisher."""

from __future__ import annotations

from .connection import Session, connect
from .quoting import identifier

_OF_DATABASE = """
    SELECT s.subname FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid WHERE d.datname = %s ORDER BY 1"""


def drop_subscriptions(session: Session, name: str) -> None:
    """Drop the subscriptions of another database, a restored one, and leave their slots: these are the source's. Raises
    LifeboatError."""
    found = session.names(_OF_DATABASE, name)
    if not found:
        return
    session.run(f"ALTER DATABASE {identifier(name)} ALLOW_CONNECTIONS true")  # a swap that was killed left it closed
    with connect(session.server, name) as inside:
        for each in found:
            subscription = f"SUBSCRIPTION {identifier(each)}"
            inside.run(f"ALTER {subscription} DISABLE")
            inside.run(f"ALTER {subscription} SET (slot_name = NONE)")
            inside.run(f"DROP {subscription}")
