# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import typing as t
from pathlib import Path

import psycopg2
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "environment"))

import postgres_binaries
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.connection import Server
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.dump import Dump, DumpOptions
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.quoting import identifier
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.tools import ClientTools, client_tools
from ansible_collections.lifeboat.recovery.tests.functional.quick_folder import quick_folder
from servers import PostgresServer

MAJORS = postgres_binaries.MAJORS
_SETTINGS = {"wal_level": "logical", "max_prepared_transactions": "5", "autovacuum": "off", "timezone": "Asia/Tokyo"}
_running: dict[int, PostgresServer] = {}


@pytest.fixture(scope="session")
def postgres() -> t.Iterator[t.Callable[[int], PostgresServer]]:
    """Return a function that gives the server of a major; each is started once, when it is first asked for."""
    folder = quick_folder("lbt-")
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        stack.callback(_running.clear)

        def of_major(major: int) -> PostgresServer:
            if major not in _running:
                server = PostgresServer(folder / str(major), major, settings=_SETTINGS)
                _running[major] = stack.enter_context(server)
            return _running[major]

        yield of_major


@pytest.fixture(scope="module")
def western_postgres() -> t.Iterator[PostgresServer]:
    """A server of its own: pg_dump reads the names of all roles, and those of other tests are not in every encoding."""
    folder = quick_folder("lbt-")
    try:
        with PostgresServer(folder / "p", 15) as server:
            yield server
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def login(server: PostgresServer, user: str = "postgres", **more: t.Any) -> Server:
    """Return how the engine reaches a test server by its socket."""
    return Server(
        host=str(server.socket_dir),
        port=server.port,
        user=user,
        bin_dir=str(server.bin_dir),
        ssl_mode="disable",
        **more,
    )


def tools_of(server: PostgresServer) -> ClientTools:
    return client_tools(server.major * 10000, str(server.bin_dir), "Cannot test")


@contextlib.contextmanager
def database(server: PostgresServer, name: str, script: str = "", options: str = "") -> t.Iterator[str]:
    """Make a database, fill it, and drop it in the end."""
    server.sql(f"CREATE DATABASE {identifier(name)} {options}")
    try:
        if script:
            server.sql(script, name)
        yield name
    finally:
        server.sql(f"DROP DATABASE IF EXISTS {identifier(name)} WITH (FORCE)")


def dump_to(path: Path, server: PostgresServer, name: str, options: DumpOptions | None = None) -> Path:
    """Write the engine's dump of a database to a file."""
    with Dump(login(server), name, tools_of(server).pg_dump, options) as dump, path.open("wb") as file:
        for chunk in dump:
            file.write(chunk)
    return path


def databases_of(server: PostgresServer) -> set[str]:
    return set(server.sql("SELECT datname FROM pg_database").splitlines())


ROLES = """
DO $$ BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'clinic_owner') THEN
    CREATE ROLE clinic_owner NOLOGIN;
    CREATE ROLE clinic_reader NOLOGIN;
    CREATE ROLE "Rôle ""x"" 🛟" NOLOGIN;
  END IF;
END $$;
"""

# One of everything that a dump has to carry; nothing in it comes from an extension, because not every server has some.
RICH_SCHEMA = r"""
CREATE SCHEMA clinic AUTHORIZATION clinic_owner;
CREATE SCHEMA "Odd ""schema"" 🛟";
CREATE TYPE clinic.mood AS ENUM ('good', 'so ''so''', 'bad');
CREATE DOMAIN clinic.email AS text CHECK (VALUE ~ '@');
CREATE TYPE clinic.address AS (street text, number int);
CREATE TYPE clinic.period AS RANGE (subtype = timestamptz);
CREATE TABLE clinic.patient (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name varchar(80) NOT NULL, mail clinic.email, feels clinic.mood DEFAULT 'good', lives clinic.address,
  born date, notes jsonb, photo bytea, seen timestamptz DEFAULT now(), paid numeric(12, 2), balance money,
  shout text GENERATED ALWAYS AS (upper(name)) STORED, weight float8, waits interval,
  kind varchar(10) CHECK (kind IN ('in', 'out')));
ALTER TABLE clinic.patient OWNER TO clinic_owner;
INSERT INTO clinic.patient (name, mail, feels, lives, born, notes, photo, paid, balance, weight, waits, kind)
  SELECT 'Patient ' || i, 'p' || i || '@example.org', (ARRAY['good', 'so ''so''', 'bad'])[1 + i % 3]::clinic.mood,
         ROW('Street ' || i, i)::clinic.address, DATE '1950-01-01' + i, jsonb_build_object('n', i, 't', E'\\ " \n'),
         decode(md5(i::text), 'hex'), i * 1.25, i::numeric::money, i / 3.0::float8, i * INTERVAL '1 hour',
         CASE WHEN i % 2 = 0 THEN 'in' ELSE 'out' END
  FROM generate_series(1, 2000) i;
CREATE TABLE clinic.visit (
  id serial PRIMARY KEY, patient bigint NOT NULL REFERENCES clinic.patient ON DELETE CASCADE, during clinic.period,
  EXCLUDE USING gist (during WITH &&) WHERE (false));
INSERT INTO clinic.visit (patient, during)
  SELECT 1 + i % 2000, clinic.period(TIMESTAMPTZ '2026-01-01 00:00+00' + i * INTERVAL '1 hour', NULL)
  FROM generate_series(1, 3000) i;
CREATE INDEX visit_by_patient ON clinic.visit (patient) WHERE patient > 5;
CREATE STATISTICS clinic.linked ON id, patient FROM clinic.visit;
SELECT setval('clinic.visit_id_seq', 987654, false);
CREATE SEQUENCE public.down INCREMENT -3 MINVALUE -1000 START -1;
SELECT nextval('public.down'), nextval('public.down');
CREATE TABLE public.measured (at timestamptz NOT NULL, value float4) PARTITION BY RANGE (at);
CREATE TABLE public.measured_2025 PARTITION OF public.measured FOR VALUES
        FROM ('2025-01-01 00:00+00') TO ('2026-01-01 00:00+00');
CREATE TABLE public.measured_rest PARTITION OF public.measured DEFAULT;
INSERT INTO public.measured SELECT TIMESTAMPTZ '2025-06-01 00:00+00' + i * INTERVAL '9 hours', i
        FROM generate_series(1, 900) i;
CREATE TABLE public.animal (name text);
CREATE TABLE public.cat (lives int DEFAULT 9) INHERITS (public.animal);
INSERT INTO public.animal VALUES ('generic'); INSERT INTO public.cat VALUES ('tom', 7);
CREATE TABLE public.nothing ();
INSERT INTO public.nothing DEFAULT VALUES; INSERT INTO public.nothing DEFAULT VALUES;
CREATE UNLOGGED TABLE public.quick (a int); INSERT INTO public.quick VALUES (1), (NULL);
CREATE TABLE public.traps (a text, b text);
INSERT INTO public.traps VALUES
  (E'\\.', E'\\.'), (E'a\tb\nc\rd', E'\\N'), (NULL, ''), (E'\n\\.\n',
        E'-- Name: x; Type: TABLE; Schema: public; Owner: y'),
  (E'--\n-- PostgreSQL database dump complete\n--\n', 'COPY public.traps (a, b)
        FROM stdin;'), (E'\x01\x08\x0b', '🛟é');
CREATE TABLE public.single (a text); INSERT INTO public.single VALUES (E'\\.'), (''), (NULL), (E'\\\\.');
CREATE TABLE "Odd ""schema"" 🛟"."ta
ble; -- ""x"" 🛟" ("co""l
umn" int, "select" text);
INSERT INTO "Odd ""schema"" 🛟"."ta
ble; -- ""x"" 🛟" VALUES (1, 'one'), (2, 'two');
ALTER TABLE "Odd ""schema"" 🛟"."ta
ble; -- ""x"" 🛟" OWNER TO "Rôle ""x"" 🛟";
CREATE TABLE public."COPY x FROM stdin;
" (a int); INSERT INTO public."COPY x FROM stdin;
" VALUES (42);
CREATE TABLE public.empty_one (a int);
CREATE VIEW clinic.inpatients AS SELECT id, name FROM clinic.patient WHERE kind IN ('in', 'other');
CREATE MATERIALIZED VIEW clinic.per_mood AS SELECT feels, count(*) FROM clinic.patient GROUP BY 1;
SET check_function_bodies = off;
CREATE FUNCTION clinic.trap() RETURNS text LANGUAGE plpgsql AS $f$
BEGIN
--
-- Dump of a table
--

COPY public.x (a) FROM stdin;
\.
SET default_tablespace = '';
  RETURN 'x';
END $f$;
CREATE FUNCTION clinic.total() RETURNS bigint LANGUAGE sql STABLE BEGIN ATOMIC SELECT count(*)
        FROM clinic.patient; END;
CREATE PROCEDURE public.tidy(INOUT n int) LANGUAGE plpgsql AS 'BEGIN n := n + 1; END';
CREATE FUNCTION public.touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.a := NEW.a + 1; RETURN NEW; END';
CREATE TRIGGER touching BEFORE INSERT OR UPDATE ON public.quick FOR EACH ROW EXECUTE FUNCTION public.touch();
CREATE RULE quiet AS ON DELETE TO public.empty_one DO INSTEAD NOTHING;
ALTER TABLE clinic.visit ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON clinic.visit FOR SELECT TO clinic_reader USING (patient > 10);
CREATE FUNCTION public.watch() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN NULL; END';
CREATE EVENT TRIGGER watching ON ddl_command_end EXECUTE FUNCTION public.watch();
CREATE FOREIGN DATA WRAPPER far; CREATE SERVER away FOREIGN DATA WRAPPER far OPTIONS (host 'nowhere');
CREATE FOREIGN TABLE public.remote (a int) SERVER away;
CREATE PUBLICATION news FOR TABLE public.animal;
GRANT USAGE ON SCHEMA clinic TO clinic_reader;
GRANT SELECT (id, name) ON clinic.patient TO clinic_reader;
GRANT SELECT, UPDATE ON clinic.visit TO clinic_reader WITH GRANT OPTION;
REVOKE ALL ON FUNCTION clinic.trap() FROM PUBLIC;
ALTER DEFAULT PRIVILEGES FOR ROLE clinic_owner IN SCHEMA clinic GRANT SELECT ON TABLES TO clinic_reader;
COMMENT ON TABLE clinic.patient IS E'People; it''s "all" of them\nand \\more 🛟';
COMMENT ON COLUMN clinic.patient.name IS 'full';
SELECT lo_from_bytea(400001, decode(repeat('00ff10', 50000), 'hex')), lo_from_bytea(400002, ''),
       lo_from_bytea(401025, 'same group as the first');
ALTER LARGE OBJECT 400001 OWNER TO clinic_owner;
GRANT SELECT ON LARGE OBJECT 400002 TO clinic_reader;
COMMENT ON LARGE OBJECT 400002 IS 'empty';
"""

_DATABASE = r"""
ALTER DATABASE {name} OWNER TO clinic_owner;
ALTER DATABASE {name} SET search_path TO clinic, "$user", "Odd ""schema"" 🛟";
ALTER DATABASE {name} SET default_transaction_read_only TO on;
ALTER DATABASE {name} SET my.setting TO E'it''s \\ %s "x"';
ALTER DATABASE {name} SET timezone TO 'Europe/Lisbon';
ALTER ROLE clinic_reader IN DATABASE {name} SET work_mem TO '7MB';
ALTER DATABASE {name} CONNECTION LIMIT 42;
COMMENT ON DATABASE {name} IS E'The ''main'' one\\ 100%';
REVOKE ALL ON DATABASE {name} FROM PUBLIC;
GRANT CONNECT ON DATABASE {name} TO clinic_reader WITH GRANT OPTION;
"""


@contextlib.contextmanager
def rich_database(server: PostgresServer, name: str) -> t.Iterator[str]:
    """Make a database with one of everything, and with settings of its own."""
    server.sql(ROLES)
    with database(server, name, RICH_SCHEMA):
        server.sql(_DATABASE.format(name=identifier(name)))
        yield name


# What the catalogs and tables themselves say: the judge of a restore that has nothing in common with the engine's
# fingerprint. Each query gives texts.
_OURS = "n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'"
_CONTENT = {
    "relations": f"""SELECT format('%I.%I %s %s %s %s', n.nspname, c.relname, c.relkind, c.relpersistence,
        pg_get_userbyid(c.relowner), (SELECT string_agg(a::text, ',' ORDER BY a::text) FROM unnest(c.relacl) a))
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE {_OURS} AND c.relkind <> 't'""",
    "columns": f"""SELECT format('%I.%I.%I %s %s %s %s %s', n.nspname, c.relname, a.attname,
        format_type(a.atttypid, a.atttypmod),
        a.attnotnull, a.attidentity, a.attgenerated, pg_get_expr(d.adbin, d.adrelid)) FROM pg_attribute a
        JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
        LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
            WHERE {_OURS} AND a.attnum > 0 AND NOT a.attisdropped""",
    "constraints": f"""SELECT format('%I.%s %I %s %s', n.nspname, c.conrelid::regclass, c.conname, c.contype,
        CASE WHEN c.contype <> 'c' THEN pg_get_constraintdef(c.oid) END)
        FROM pg_constraint c JOIN pg_namespace n ON n.oid = c.connamespace WHERE {_OURS} AND c.contype <> 'n'""",
    "indexes": f"SELECT pg_get_indexdef(i.indexrelid) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid"
    f" JOIN pg_namespace n ON n.oid = c.relnamespace WHERE {_OURS}",
    "functions": f"""SELECT pg_get_functiondef(p.oid) || pg_get_userbyid(p.proowner) ||
        coalesce(p.proacl::text, '') FROM pg_proc p
        JOIN pg_namespace n ON n.oid = p.pronamespace WHERE {_OURS} AND p.prokind <> 'a' AND p.prosrc <> ''""",
    "types": f"""SELECT format('%I.%I %s %s', n.nspname, y.typname, y.typtype, (SELECT string_agg(e.enumlabel,
        '|' ORDER BY e.enumsortorder)
        FROM pg_enum e WHERE e.enumtypid = y.oid)) FROM pg_type y
            JOIN pg_namespace n ON n.oid = y.typnamespace WHERE {_OURS}""",
    "triggers": "SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal",
    "event triggers": "SELECT format('%s %s %s', evtname, evtevent, evtenabled) FROM pg_event_trigger",
    "policies": "SELECT format('%s %s %s %s', tablename, policyname, roles, qual) FROM pg_policies",
    "comments": """SELECT format('%s %s', pg_describe_object(classoid, objoid, objsubid), description)
        FROM pg_description
        WHERE objoid >= 16384""",
    "publications": "SELECT format('%s %s', pubname, tablename) FROM pg_publication_tables",
    "statistics": "SELECT pg_get_statisticsobjdef(oid) FROM pg_statistic_ext",
    "rules": "SELECT definition FROM pg_rules WHERE schemaname = 'public'",
    "servers": "SELECT format('%s %s', srvname, srvoptions) FROM pg_foreign_server",
    "default privileges": "SELECT format('%s %s', defaclobjtype, defaclacl) FROM pg_default_acl",
    "sequences": "SELECT format('%s %s %s %s', schemaname, sequencename, last_value, increment_by) FROM pg_sequences",
    "large objects": """SELECT format('%s %s %s %s', oid, pg_get_userbyid(lomowner), lomacl,
        md5(lo_get(oid))) FROM pg_largeobject_metadata""",
}
_TABLES = f"""SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c
        JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE {_OURS} AND c.relkind IN ('r', 'm') ORDER BY 1"""


def content_of(server: PostgresServer, name: str) -> dict[str, t.Any]:
    """Return all that a database holds, asked of its catalogs and tables."""

    connection = psycopg2.connect(
        dbname=name,
        host=str(server.socket_dir),
        port=server.port,
        user="postgres",
        options="-c search_path= -c timezone=UTC",
    )
    with contextlib.closing(connection), connection.cursor() as cursor:
        found: dict[str, t.Any] = {}
        for part, query in _CONTENT.items():
            cursor.execute(query)
            found[part] = sorted(row[0] for row in cursor.fetchall())
        cursor.execute(_TABLES)
        for (table,) in cursor.fetchall():
            cursor.execute(f"SELECT x::text FROM ONLY {table} x ORDER BY 1")
            found[f"rows of {table}"] = [row[0] for row in cursor.fetchall()]
        return found


_PROPERTIES = """
SELECT pg_encoding_to_char(encoding), datcollate, datctype, pg_get_userbyid(datdba), datconnlimit, datallowconn,
       (SELECT string_agg(a::text, ',' ORDER BY a::text) FROM unnest(datacl) a), shobj_description(oid,
           'pg_database'),
       (SELECT string_agg(format('%s:%s', setrole::regrole, (SELECT string_agg(c, '|' ORDER BY c)
           FROM unnest(setconfig) c)), ';'
               ORDER BY setrole) FROM pg_db_role_setting WHERE setdatabase = d.oid)
  FROM pg_database d WHERE datname = """


def properties_of(server: PostgresServer, name: str) -> str:
    """Return what the server knows about a database as such."""
    return server.sql(_PROPERTIES + "'" + name.replace("'", "''") + "'")


def is_running_as_root() -> bool:
    return os.geteuid() == 0
