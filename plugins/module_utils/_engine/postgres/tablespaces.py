# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

from .contents import Contents, Entry
from .description import Description
from .quoting import identifier

_MOVED = {"TABLE": "TABLE", "MATERIALIZED VIEW": "MATERIALIZED VIEW", "INDEX": "INDEX", "CONSTRAINT": "INDEX"}


def mapped(source: Description, tablespaces: t.Mapping[str, str]) -> Description:
    """Return the description of a database that shall lie in other tablespaces than it did."""
    if not tablespaces:
        return source
    default = str(source["tablespace"])
    return {
        **source,
        "tablespace": tablespaces.get(default, default),
        "tablespaces": sorted({tablespaces.get(name, name) for name in source["tablespaces"]}),
    }


def moves(contents: Contents, tablespaces: t.Mapping[str, str], kinds: t.Collection[str]) -> list[str]:
    """Return the statements that put tables or indexes where the archive has them, by other names of tablespaces.

    `kinds` are those of entries. What was not restored is passed over.
    """
    by_id = {entry.id: entry for entry in contents.entries}
    return [
        f"ALTER {_MOVED[entry.kind]} IF EXISTS {identifier(entry.schema)}.{identifier(_relation(entry, by_id))}"
        f" SET TABLESPACE {identifier(tablespaces.get(entry.tablespace, entry.tablespace))}"
        for entry in contents.entries
        if entry.kind in kinds and entry.kind in _MOVED and entry.tablespace
    ]


def _relation(entry: Entry, by_id: t.Mapping[int, Entry]) -> str:
    """Return the name of the table or index; an entry of a constraint names its table first."""
    if entry.kind != "CONSTRAINT":
        return entry.name
    for number in entry.needs:
        table = by_id.get(number)
        if table is not None and table.kind == "TABLE" and entry.name.startswith(f"{table.name} "):
            return entry.name[len(table.name) + 1 :]
    return entry.name
