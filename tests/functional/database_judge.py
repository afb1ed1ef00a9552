# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Judges restored databases without anything of the engine: by SQL on both servers, and by what pg_dump writes."""

from __future__ import annotations

import collections
import contextlib
import os
import re
import subprocess
import typing as t

import psycopg2
from ansible_collections.lifeboat.recovery.tests.functional.postgres_fixtures import PostgresServer

_OURS = "n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'"
# Tables and filled materialized views, with the number of their rows and a digest over their ordered texts.
_DIGESTS = f"""
SELECT format('%I.%I', n.nspname, c.relname),
       format('SELECT count(*), md5(string_agg(md5(x::text), '''' ORDER BY x::text COLLATE "C")) FROM ONLY %I.%I x',
              n.nspname, c.relname)
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE {_OURS} AND c.relkind IN ('r', 'm') AND c.relispopulated ORDER BY 1"""
_OTHERS = {
    "large objects": """SELECT m.oid, pg_get_userbyid(lomowner), (SELECT string_agg(a::text, ',' ORDER BY a::text)
        FROM unnest(lomacl) a), length(lo_get(m.oid)), md5(lo_get(m.oid)), obj_description(m.oid, 'pg_largeobject')
        FROM pg_largeobject_metadata m ORDER BY 1""",
    "sequences": """SELECT schemaname, sequencename, data_type, start_value, min_value, max_value, increment_by, cycle,
        cache_size, last_value FROM pg_sequences ORDER BY 1, 2""",
    "comments": """SELECT (pg_identify_object(classoid, objoid, objsubid)).identity, description FROM pg_description
        WHERE objoid >= 16384 ORDER BY 1, 2""",
    "owners": f"""SELECT n.nspname, c.relname, c.relkind, c.relpersistence, pg_get_userbyid(c.relowner)
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE {_OURS} ORDER BY 1, 2""",
    "columns": f"""SELECT n.nspname, c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
        a.attidentity, a.attgenerated, a.attstorage, a.attcompression, a.attislocal, a.attinhcount, a.attoptions,
        a.attfdwoptions, pg_get_expr(d.adbin, d.adrelid)
        FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
        LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
        WHERE {_OURS} AND a.attnum > 0 AND NOT a.attisdropped AND c.relkind <> 'i' ORDER BY 1, 2, 3""",
    "counts": "SELECT " + ", ".join(
        f"(SELECT count(*) FROM {catalog} WHERE oid >= 16384)"
        for catalog in (
            *("pg_type", "pg_proc", "pg_operator", "pg_opclass", "pg_cast", "pg_collation", "pg_conversion", "pg_am"),
            *("pg_trigger", "pg_event_trigger", "pg_policy", "pg_rewrite", "pg_statistic_ext", "pg_publication"),
            *("pg_foreign_server", "pg_ts_dict", "pg_ts_config", "pg_extension", "pg_default_acl", "pg_namespace"),
        )
    ),
}  # fmt: skip
# What differs between two dumps of the same database, or is of the server and not of the database.
_CHANCE = re.compile(r"^(--.*|\\(un)?restrict .*|SET transaction_timeout .*|)$")


def data_of(server: PostgresServer, database: str) -> dict[str, t.Any]:
    """Return the number and digest of the rows of every table, and what catalogs say of all the rest."""
    options = "-c search_path= -c timezone=UTC -c row_security=off"
    where = {"host": str(server.socket_dir), "port": server.port, "user": "postgres"}
    with contextlib.closing(psycopg2.connect(dbname=database, options=options, **where)) as connection:
        cursor = connection.cursor()
        cursor.execute(_DIGESTS)
        found: dict[str, t.Any] = {}
        for name, query in cursor.fetchall():
            cursor.execute(query)
            found[name] = cursor.fetchone()
        for name, query in _OTHERS.items():
            cursor.execute(query)
            found[name] = cursor.fetchall()
        return found


def definitions_of(server: PostgresServer, database: str, dumper: PostgresServer) -> list[str]:
    """Return what the pg_dump of `dumper`'s major writes of all definitions, without what is chance."""
    name = "dbname='" + database.replace("\\", "\\\\").replace("'", "\\'") + "'"
    argv = [dumper.bin_dir / "pg_dump", "--schema-only", "--no-sync", "-h", server.socket_dir, "-p", server.port]
    argv += ["-U", "postgres", "-d", name]
    done = subprocess.run(
        [str(word) for word in argv],
        env={"PATH": os.defpath, "HOME": str(server.folder), "PGTZ": "UTC"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
    )
    return [line for line in done.stdout.splitlines() if not _CHANCE.match(line)]


def differences(
    before: tuple[PostgresServer, str], after: tuple[PostgresServer, str], reworded: re.Pattern[str] | None = None
) -> list[str]:
    """Return what differs between two databases, each a server and a name; `reworded`: what definitions may lack."""
    wanted, found = data_of(*before), data_of(*after)
    told = [
        f"{name}: {_less(wanted.get(name), found.get(name))} became {_less(found.get(name), wanted.get(name))}"
        for name in sorted({*wanted, *found})
        if wanted.get(name) != found.get(name)
    ]
    one, other = (definitions_of(*each, dumper=after[0]) for each in (before, after))
    if reworded is not None:
        one, other = ([reworded.sub("", line) for line in lines] for lines in (one, other))
    missing, added = collections.Counter(one) - collections.Counter(other), collections.Counter(other)
    added -= collections.Counter(one)
    told += [f"only before: {line}" for line in missing.elements()]
    told += [f"only after: {line}" for line in added.elements()]
    return told or ([] if one == other else ["the definitions are in another order"])


def _less(rows: t.Any, others: t.Any) -> str:
    """Return what is in one list of rows only, cut to a readable length."""
    if isinstance(rows, list) and isinstance(others, list):
        rows = [row for row in rows if row not in others]
    return str(rows)[:600]
