# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import re
import typing as t

from .connection import Session
from .description import Description
from .quoting import identifier, literal

# Settings whose value is a list of names: the server keeps it as text, and takes it back one element at a time
# (GUC_LIST_QUOTE, the list in pg_dump's dumputils.c, variable_is_guc_list_quote).
_LISTS = frozenset(
    (
        "local_preload_libraries",
        "search_path",
        "session_preload_libraries",
        "shared_preload_libraries",
        "temp_tablespaces",
        "unix_socket_directories",
    )
)
_ELEMENT = re.compile(r'\s*(?:"((?:[^"]|"")*)"|([^,"]*))\s*(?:,|$)')

# These change how values are read, so the database has them before its rows come; all others wait, because some would
# stop the restore (default_transaction_read_only, role, session_replication_role).
_READING = frozenset(("lc_monetary", "datestyle", "intervalstyle", "timezone"))


def create_statement(name: str, source: Description, *, server_version: int, owner: bool, tablespace: bool) -> str:
    """Return CREATE DATABASE for an empty database with the encoding, locale, owner and tablespace of `source`.

    From template0, because template1 may hold things that the archive holds too.
    """
    parts = [f"CREATE DATABASE {identifier(name)} TEMPLATE template0 ENCODING {literal(source['encoding'])}"]
    parts += _locale(source, server_version)
    if owner:
        parts.append(f"OWNER {identifier(source['owner'])}")
    if tablespace and source["tablespace"] != "pg_default":
        parts.append(f"TABLESPACE {identifier(source['tablespace'])}")
    return " ".join(parts)


def _locale(source: Description, server_version: int) -> list[str]:
    parts = [f"LC_COLLATE {literal(source['collate'])} LC_CTYPE {literal(source['ctype'])}"]
    if server_version < 150000:
        return parts
    provider = source["locale_provider"]
    parts.append(f"LOCALE_PROVIDER {literal(provider)}")
    if provider == "icu":
        parts.append(f"ICU_LOCALE {literal(source['locale'])}")
    elif provider == "builtin":
        parts.append(f"BUILTIN_LOCALE {literal(source['locale'])}")
    if source["locale_rules"]:
        parts.append(f"ICU_RULES {literal(source['locale_rules'])}")
    return parts


def reading_settings(name: str, source: Description) -> list[str]:
    """Return the statements that the database needs before its rows are read."""
    return [
        _setting(name, entry) for entry in source["settings"] if not entry["role"] and entry["name"].lower() in _READING
    ]


def property_statements(name: str, source: Description, *, privileges: bool) -> list[str]:
    """Return the statements that give a restored database the settings, limits, comment and privileges of its
    source."""
    database = identifier(name)
    statements = [_setting(name, entry) for entry in source["settings"]]
    if source["connection_limit"] != -1:
        statements.append(f"ALTER DATABASE {database} CONNECTION LIMIT {int(source['connection_limit'])}")
    if source["comment"]:
        statements.append(f"COMMENT ON DATABASE {database} IS {literal(source['comment'])}")
    if privileges and source["acl"] is not None:
        statements += _privileges(database, source)
    return statements


def _setting(name: str, entry: t.Mapping[str, str]) -> str:
    where = f"ALTER DATABASE {identifier(name)}"
    if entry["role"]:
        where = f"ALTER ROLE {identifier(entry['role'])} IN DATABASE {identifier(name)}"
    parameter = ".".join(identifier(part) for part in entry["name"].split("."))
    value = literal(entry["value"])
    if entry["name"].lower() in _LISTS:
        value = setting_value(list_elements(entry["value"]))
    return f"{where} SET {parameter} TO {value}"


def setting_value(values: t.Sequence[str]) -> str:
    """Return what stands behind `SET … TO` for one value, or for a list of names."""
    return ", ".join(literal(value) for value in values) or "''"


def list_elements(value: str) -> list[str]:
    """Return the names in the text of a list setting: `"$user", public` are two."""
    found = []
    position = 0
    while position < len(value):
        match = _ELEMENT.match(value, position)
        if match is None:
            return [value]
        found.append(match.group(1).replace('""', '"') if match.group(1) is not None else match.group(2).strip())
        position = match.end()
    return found


def _privileges(database: str, source: Description) -> list[str]:
    owner = identifier(source["owner"])
    statements = [f"REVOKE ALL ON DATABASE {database} FROM PUBLIC", f"REVOKE ALL ON DATABASE {database} FROM {owner}"]
    for grant in source["acl"]:
        grantee = identifier(grant["grantee"]) if grant["grantee"] else "PUBLIC"
        option = " WITH GRANT OPTION" if grant["grantable"] else ""
        privilege = re.sub(r"[^A-Z ]", "", grant["privilege"])
        statements.append(f"GRANT {privilege} ON DATABASE {database} TO {grantee}{option}")
    return statements


def apply(session: Session, statements: t.Sequence[str]) -> None:
    """Run the statements one by one."""
    for statement in statements:
        session.run(statement)
