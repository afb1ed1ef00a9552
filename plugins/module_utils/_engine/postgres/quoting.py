# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

# Names and values come from data (databases may be called anything), so each place that builds SQL or a connection
# string goes through here.


NAME_LIMIT = 63  # bytes of an identifier (NAMEDATALEN - 1); the server would cut a longer name silently


def identifier(name: str) -> str:
    """Return `name` as a quoted SQL identifier (PostgreSQL manual, 4.1.1). Raises ValueError for a NUL character."""
    _refuse_nul(name)
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Return `text` as an SQL string constant that means the same with either value of
    `standard_conforming_strings`."""
    _refuse_nul(text)
    quoted = "'" + text.replace("'", "''").replace("\\", "\\\\") + "'"
    return f" E{quoted}" if "\\" in text else quoted


def conninfo(database: str) -> str:
    """Return the connection string `dbname='…'` (libpq, "Keyword/Value Connection Strings").

    The tools take a bare name that contains `=` or begins with `postgresql://` for a whole connection string, and would
    reach another database.
    """
    _refuse_nul(database)
    return "dbname='" + database.replace("\\", "\\\\").replace("'", "\\'") + "'"


def shorten(names: list[str], at_most: int = 12) -> str:
    """Return the names as one line of bounded length for messages: each cut at 80 characters, the rest counted."""
    shown = [name if len(name) <= 80 else name[:79] + "…" for name in names[:at_most]]
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")


def _refuse_nul(text: str) -> None:
    if "\0" in text:
        raise ValueError("a name or value with a NUL character cannot exist in PostgreSQL")
