# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import typing as t

from .. import clock
from ..errors import LifeboatError
from .connection import Server, Session, connect
from .tools import version_text

Description = t.Mapping[str, t.Any]

_PROVIDERS = {"c": "libc", "i": "icu", "b": "builtin"}

_PROPERTIES = """
    SELECT d.oid::bigint, pg_encoding_to_char(d.encoding), d.datcollate, d.datctype, r.rolname, d.datconnlimit,
           d.datallowconn, d.datistemplate, s.spcname, coalesce(shobj_description(d.oid, 'pg_database'), ''),
           d.datacl IS NOT NULL, to_jsonb(d)
      FROM pg_database d
      LEFT JOIN pg_roles r ON r.oid = d.datdba
      LEFT JOIN pg_tablespace s ON s.oid = d.dattablespace
     WHERE d.datname = current_database()"""

_ACL = """
    SELECT coalesce(r.rolname, ''), a.privilege_type, a.is_grantable
      FROM pg_database d, aclexplode(d.datacl) a LEFT JOIN pg_roles r ON r.oid = a.grantee
     WHERE d.datname = current_database() ORDER BY 1, 2"""

_SETTINGS = """
    SELECT coalesce(r.rolname, ''), split_part(entry, '=', 1), substr(entry, strpos(entry, '=') + 1)
      FROM pg_db_role_setting s
      JOIN pg_database d ON d.oid = s.setdatabase AND d.datname = current_database()
      LEFT JOIN pg_roles r ON r.oid = s.setrole, unnest(s.setconfig) entry
     ORDER BY 1, 2"""

# Owners and grantees of anything in the database, or of it. Roles that the server made itself are not in pg_shdepend.
_ROLES = """
    WITH this AS (SELECT oid, datdba, datacl FROM pg_database WHERE datname = current_database())
    SELECT r.rolname, r.rolsuper FROM pg_roles r
     WHERE r.rolname !~ '^pg_' AND r.oid IN (
           SELECT p.refobjid FROM pg_shdepend p, this
            WHERE p.refclassid = 'pg_authid'::regclass
              AND (p.dbid = this.oid OR (p.dbid = 0 AND p.classid = 'pg_database'::regclass AND p.objid = this.oid))
     UNION SELECT datdba FROM this
     UNION SELECT a.grantee FROM this, aclexplode(this.datacl) a
     UNION SELECT s.setrole FROM pg_db_role_setting s, this WHERE s.setdatabase = this.oid
     UNION SELECT c.relowner FROM pg_class c
     UNION SELECT n.nspowner FROM pg_namespace n)
     ORDER BY 1"""

_TABLESPACES = """
    SELECT DISTINCT s.spcname FROM pg_tablespace s
     WHERE s.oid IN (SELECT dattablespace FROM pg_database WHERE datname = current_database()
                     UNION SELECT reltablespace FROM pg_class WHERE NOT relisshared)
       AND s.spcname <> 'pg_global'
     ORDER BY 1"""

_EXTENSIONS = """
    SELECT e.extname, e.extversion, n.nspname
      FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace ORDER BY 1"""


def describe_database(server: Server, database: str) -> dict[str, t.Any]:
    """Return what identifies a database and what a restore needs to make an equal one; JSON-serialisable, the `source`
    of a manifest.

    Keys: `system_identifier`, `database`, `oid`, `server_version`, `server_version_number`, `cluster_name`, `encoding`,
    `collate`, `ctype`, `locale_provider` (libc, icu, builtin), `locale`, `locale_rules`, `lc_monetary`, `owner`,
    `connection_limit`, `allow_connections`, `is_template`, `comment`, `tablespace`, `tablespaces` (names in use), `acl`
    (null: the default; else grantee ('' is PUBLIC), privilege, grantable), `settings` (role ('' is all), name, value),
    `roles` (name, is_superuser: owners and grantees), `extensions` (name, version, schema), `size_bytes`,
    `server_time`, and for a standby, which has no rows of unlogged tables, `is_standby` (true).
    """
    with connect(server, database) as session:
        found = dict(zip(_PROPERTY_NAMES, session.rows(_PROPERTIES)[0]))
        columns = found.pop("columns")
        has_acl = found.pop("has_acl")
        return {
            "system_identifier": _system_identifier(session),
            "database": database,
            "server_version": version_text(session.version_number),
            "server_version_number": session.version_number,
            "cluster_name": session.value("SELECT current_setting('cluster_name')"),
            **found,
            # PostgreSQL 14 knew libc only; the column of the locale was renamed in 17.
            "locale_provider": _PROVIDERS.get(columns.get("datlocprovider", "c"), "libc"),
            "locale": columns.get("datlocale") or columns.get("daticulocale") or "",
            "locale_rules": columns.get("daticurules") or "",
            "lc_monetary": session.value("SELECT current_setting('lc_monetary')"),
            "tablespaces": session.names(_TABLESPACES),
            "acl": _records(session, _ACL, "grantee", "privilege", "grantable") if has_acl else None,
            "settings": _records(session, _SETTINGS, "role", "name", "value"),
            "roles": _records(session, _ROLES, "name", "is_superuser"),
            "extensions": _records(session, _EXTENSIONS, "name", "version", "schema"),
            "size_bytes": int(session.value("SELECT pg_database_size(current_database())")),
            "server_time": clock.to_text(session.value("SELECT clock_timestamp()")),
            **({"is_standby": True} if session.value("SELECT pg_is_in_recovery()") else {}),
        }


_PROPERTY_NAMES = (
    "oid",
    "encoding",
    "collate",
    "ctype",
    "owner",
    "connection_limit",
    "allow_connections",
    "is_template",
    "tablespace",
    "comment",
    "has_acl",
    "columns",
)


def _records(session: Session, query: str, *names: str) -> list[dict[str, t.Any]]:
    return [dict(zip(names, row)) for row in session.rows(query)]


def _system_identifier(session: Session) -> str:
    """Return the number that tells this cluster from all others; empty where the provider forbids to ask."""
    with contextlib.suppress(LifeboatError):
        return str(session.value("SELECT system_identifier FROM pg_control_system()"))
    return ""
