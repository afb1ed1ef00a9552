# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Says with nothing of Lifeboat, by SQL and boto3 alone, whether two states of a database and a bucket are the same."""

from __future__ import annotations

import dataclasses
import hashlib
import typing as t

from demo_application import BUCKET, client
from servers import MinioServer, PostgresServer


@dataclasses.dataclass(frozen=True)
class Content:
    """One thing of a database or bucket: how much it holds, and a hash of all of it in a fixed order."""

    count: int
    digest: str


State = dict[str, Content]
_GONE = Content(0, "")

# Each row is a name, a count and a hash. Rows are hashed as the server prints them, sorted by their own hashes.
_ROWS = r"""
SELECT format('SELECT %L, count(*), md5(coalesce(string_agg(md5(t::text), '''' ORDER BY md5(t::text)), ''''))
               FROM %s t', c.oid::regclass, c.oid::regclass)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'm') AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_toast'
ORDER BY c.oid::regclass::text
\gexec
SELECT 'large objects', count(*),
       md5(coalesce(string_agg(format('%s %s %s', oid, lomowner::regrole, md5(lo_get(oid))), ',' ORDER BY oid), ''))
FROM pg_largeobject_metadata;
SELECT 'sequences', count(*), md5(coalesce(string_agg(s::text, ',' ORDER BY s::text), '')) FROM pg_sequences s;
"""
_DEFINITIONS = r"""
WITH own AS (
  SELECT oid FROM pg_namespace WHERE nspname NOT IN ('pg_catalog', 'information_schema') AND nspname !~ '^pg_'
), line AS (
  SELECT format('schema %s %s %s', nspname, nspowner::regrole, nspacl) AS text
  FROM pg_namespace WHERE oid IN (TABLE own)
  UNION ALL
  SELECT format('relation %s %s %s %s', oid::regclass, relkind, relowner::regrole, relacl)
  FROM pg_class WHERE relnamespace IN (TABLE own)
  UNION ALL
  SELECT format('column %s.%s %s %s %s %s %s', c.oid::regclass, a.attname, format_type(a.atttypid, a.atttypmod),
                a.attnotnull, a.attidentity, pg_get_expr(d.adbin, d.adrelid), a.attacl)
  FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
  LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum WHERE c.relnamespace IN (TABLE own)
  UNION ALL
  SELECT format('constraint %s %s', conrelid::regclass, pg_get_constraintdef(oid))
  FROM pg_constraint WHERE connamespace IN (TABLE own)
  UNION ALL
  SELECT pg_get_indexdef(indexrelid) FROM pg_index
  WHERE indexrelid IN (SELECT oid FROM pg_class WHERE relnamespace IN (TABLE own))
  UNION ALL
  SELECT format('view %s %s', oid::regclass, pg_get_viewdef(oid)) FROM pg_class
  WHERE relkind IN ('v', 'm') AND relnamespace IN (TABLE own)
  UNION ALL
  SELECT pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace IN (TABLE own)
  UNION ALL
  SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
  UNION ALL
  SELECT format('database %s %s %s %s %s %s', d.datdba::regrole, d.encoding, d.datcollate, d.datconnlimit, d.datacl,
                shobj_description(d.oid, 'pg_database'))
  FROM pg_database d WHERE d.datname = current_database()
  UNION ALL
  SELECT format('settings %s', s.setconfig) FROM pg_db_role_setting s
  WHERE s.setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())
)
SELECT 'definitions', count(*), md5(string_agg(text, chr(10) ORDER BY text)) FROM line;
"""


def state_of(postgres: PostgresServer, database: str) -> State:
    """Read every row and object of a database. Raises SetupError."""
    said = postgres.sql(f"SET timezone = 'UTC';\n{_ROWS}\n{_DEFINITIONS}", database)
    rows = (line.rsplit("|", 2) for line in said.splitlines())
    return {name: Content(int(count), digest) for name, count, digest in rows}


def state_of_bucket(minio: MinioServer) -> State:
    """Read what lists of a bucket tell, and the metadata and tags of each 40th object, by boto3."""
    s3 = client(minio)
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
    # The ETag of an object that came by one request is the MD5 of its bytes.
    listed = sorted(
        (entry["Key"], entry["ETag"], entry["Size"]) for page in pages for entry in page.get("Contents", [])
    )
    described = []
    for key, _etag, _size in listed[::40]:
        head = s3.head_object(Bucket=BUCKET, Key=key)
        tags = s3.get_object_tagging(Bucket=BUCKET, Key=key)["TagSet"]
        named = sorted((tag["Key"], tag["Value"]) for tag in tags)
        described.append((key, head["ContentType"], sorted(head["Metadata"].items()), named))
    digest = hashlib.sha256(repr((listed, described)).encode()).hexdigest()
    return {f"bucket {BUCKET}": Content(len(listed), digest)}


@dataclasses.dataclass(frozen=True)
class Row:
    """What became of one thing."""

    name: str
    before: int  # rows or objects at the time of the backup
    is_damaged: bool
    damaged: int  # rows or objects that the damage left
    recovered: int
    is_same: bool  # the recovered thing equals the one at the time of the backup, byte for byte


def compare(before: State, damaged: State, recovered: State) -> list[Row]:
    """Compare thing by thing; what is only there after the recovery is a difference, too."""
    rows = []
    for name in [*before, *(name for name in recovered if name not in before)]:
        was, broken, now = (state.get(name, _GONE) for state in (before, damaged, recovered))
        same = name in before and was == now
        rows.append(Row(name, was.count, broken != was, broken.count, now.count, same))
    return rows


def table(rows: t.Sequence[Row]) -> list[str]:
    """Return the comparison as lines of at most 100 characters."""
    lines = [f"{'':28}{'at the backup':>14}{'after the damage':>26}{'recovered':>14}"]
    for row in rows:
        harm = "" if not row.is_damaged else "gone" if row.damaged == 0 else f"{row.damaged:,} left, changed"
        verdict = "the same" if row.is_same else "DIFFERENT"
        lines.append(f"{row.name[:27]:28}{row.before:>14,}{harm or 'unharmed':>26}{row.recovered:>14,}  {verdict}")
    return lines
