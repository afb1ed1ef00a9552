# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Single statements, run from this process: to start psql takes several times as long as most of them do."""

from __future__ import annotations

import contextlib
import typing as t

import psycopg2
import psycopg2.extensions
from cache import SetupError

# Values of all types as the server writes them, which is what psql shows.
_AS_WRITTEN = psycopg2.extensions.new_type(
    tuple(psycopg2.extensions.string_types), "AS_WRITTEN", lambda value, _cursor: value
)


def is_plain(statement: str) -> bool:
    """Say whether this is surely one statement, without words of psql's own."""
    alone = statement.strip().removesuffix(";")
    return bool(alone) and not any(words in alone for words in (";", "\\", "--")) and alone[:4].upper() != "COPY"


def rows(statement: str, where: t.Mapping[str, t.Any]) -> str:
    """Run a plain statement on a connection of its own, and return the rows as `psql -At` does. Raises SetupError."""
    try:
        with contextlib.closing(psycopg2.connect(**where, client_encoding="UTF8")) as connection:
            connection.autocommit = True
            psycopg2.extensions.register_type(_AS_WRITTEN, connection)
            with connection.cursor() as cursor:
                cursor.execute(statement)
                found = cursor.fetchall() if cursor.description else []
    except psycopg2.Error as error:
        raise SetupError(f"PostgreSQL refused a statement: {(error.pgerror or str(error)).strip()}") from None
    return "\n".join("|".join(field or "" for field in row) for row in found).rstrip("\n")
