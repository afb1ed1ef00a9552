# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Dumps that other programs wrote, restored on real servers; judged by what catalogs and tables say."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import gzip
import hashlib
import http.server
import re
import secrets
import shutil
import subprocess
import threading
import typing as t
from pathlib import Path

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine import steps
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import (
    DamagedError,
    GuardRefusal,
    LifeboatError,
    UsageError,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host import foreign_plan, foreign_restore
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.dump_place import DumpPlace
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.foreign_plan import DumpRequest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.foreign_restore import DumpResult
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.archive import ScriptOptions
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.connection import Server
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.restore import RestoreOptions
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.selection import patterns
from ansible_collections.lifeboat.recovery.tests.functional.postgres_fixtures import (
    MAJORS,
    PostgresServer,
    content_of,
    database,
    databases_of,
    login,
    postgres,
    western_postgres,
)
from ansible_collections.lifeboat.recovery.tests.functional.quick_folder import quick_folder

__all__ = ["postgres", "western_postgres"]
Postgres = t.Callable[[int], PostgresServer]

LAB = r"""
CREATE SCHEMA lab; CREATE TYPE lab.state AS ENUM ('new', 'done');
CREATE TABLE lab.sample (id serial PRIMARY KEY, name text, state lab.state DEFAULT 'new', raw bytea);
INSERT INTO lab.sample (name, raw) SELECT E'it''s \\ ; "' || i, decode(md5(i::text), 'hex')
  FROM generate_series(1, 3000) i;
CREATE TABLE public.notes (t text);
INSERT INTO public.notes VALUES (E'\\.'), (E'a\n\\connect evil'), ('ALTER TABLE x OWNER TO y;');
CREATE FUNCTION lab.f() RETURNS text LANGUAGE plpgsql AS $f$ BEGIN
GRANT SELECT ON lab.sample TO PUBLIC;
ALTER TABLE lab.sample OWNER TO postgres;
RETURN '\!'; END $f$;
ALTER TABLE lab.sample OWNER TO lab_owner; GRANT SELECT ON lab.sample TO pg_monitor;
COMMENT ON TABLE public.notes IS E'\\! and ; and $$';
SELECT lo_from_bytea(600001, 'large');
"""
FORMS = ("sql", "sql.gz", "sql.zst", "custom", "custom.gz", "directory", "tar", "inserts")


@pytest.fixture(scope="module")
def dumps(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[t.Mapping[str, Path]]:
    """Return dumps of a database of a server of 15 in all forms; its owner is a role that the others lack."""
    server, folder = postgres(15), tmp_path_factory.mktemp("dumps")
    server.sql("DROP ROLE IF EXISTS lab_owner; CREATE ROLE lab_owner")
    found = {form: folder / f"lab.{form}" for form in FORMS}
    with database(server, "lab", LAB):
        for form, option in (("sql", "-Fp"), ("custom", "-Fc"), ("directory", "-Fd"), ("tar", "-Ft")):
            pg_dump(server, "lab", found[form], option)
        pg_dump(server, "lab", found["inserts"], "--inserts")
        yield {**found, **packed(found)}
    server.sql("DROP ROLE lab_owner")


def pg_dump(server: PostgresServer, name: str, path: Path, *options: str) -> None:
    reach = ["-h", str(server.socket_dir), "-p", str(server.port), "-U", "postgres"]
    subprocess.run([str(server.bin_dir / "pg_dump"), *reach, *options, "-f", str(path), name], check=True)


def packed(found: t.Mapping[str, Path]) -> dict[str, Path]:
    for form in ("sql", "custom"):
        found[f"{form}.gz"].write_bytes(gzip.compress(found[form].read_bytes()))
    subprocess.run(["zstd", "-q", str(found["sql"]), "-o", str(found["sql.zst"])], check=True)
    return {}


def taker(server: PostgresServer) -> str:
    """Return the role without any rights that dumps go to."""
    made = "CREATE ROLE taker; EXCEPTION WHEN duplicate_object THEN NULL"
    server.sql(f"DO $$ BEGIN {made}; END $$")
    return "taker"


def request_of(server: PostgresServer, path: Path | str, name: str = "arrived", **more: t.Any) -> DumpRequest:
    if "owner" not in more and not more.get("is_trusted"):
        more["owner"] = taker(server)
    return dataclasses.replace(DumpRequest(DumpPlace(str(path)), login(server), name), **more)


def loaded(server: PostgresServer, path: Path | str, name: str = "arrived", **more: t.Any) -> DumpResult:
    return foreign_restore.restore(foreign_plan.plan(request_of(server, path, name, **more)))


@contextlib.contextmanager
def unchanged(server: PostgresServer) -> t.Iterator[None]:
    """See that the block leaves the databases and roles of a server as they are."""
    taker(server)
    before = databases_of(server), server.sql("SELECT rolname FROM pg_roles ORDER BY 1")
    try:
        yield
    finally:
        server.sql('DROP DATABASE IF EXISTS "arrived" WITH (FORCE)')
    assert (databases_of(server), server.sql("SELECT rolname FROM pg_roles ORDER BY 1")) == before


def without_owners(content: dict[str, t.Any]) -> dict[str, t.Any]:
    """Return what a database holds, whoever owns it."""
    relations = [" ".join(line.split(" ")[:3]) for line in content["relations"]]
    rest = {name: [re.sub("lab_owner|taker", "postgres", line) for line in content[name]] for name in _OWNED}
    return {**content, "relations": relations, **rest}


_OWNED = ("functions", "large objects")


@pytest.mark.parametrize("form", FORMS)
def test_a_dump_in_every_form_is_loaded_without_rights_and_holds_what_its_source_holds(
    postgres: Postgres, dumps: t.Mapping[str, Path], form: str
) -> None:
    source, server = postgres(15), postgres(18 if form in ("sql", "custom") else 15)
    with unchanged(server):
        planned = foreign_plan.plan(request_of(server, dumps[form], options=RestoreOptions(jobs=2)))
        assert planned.target.problems == () and planned.size_bytes > 0
        result = foreign_restore.restore(planned)
        found, wanted = content_of(server, "arrived"), content_of(source, "lab")
        assert without_owners(found) == without_owners(wanted)
        owners = "SELECT DISTINCT relowner::regrole FROM pg_class WHERE relnamespace IN (2200, 'lab'::regnamespace)"
        assert server.sql(owners, "arrived") == "taker"
        assert server.sql("SELECT count(*) FROM pg_class WHERE relacl IS NOT NULL AND oid > 16384", "arrived") == "0"
        assert (result.figures["tables"], result.figures["rows"]) == (2, 3003)
        assert bool([note for note in result.notes if "rows were not compared" in note]) == (form == "inserts")


@pytest.mark.parametrize("form", ["plain", "custom"])
def test_a_dump_that_newer_programs_took_of_an_older_server_is_loaded_into_one(
    postgres: Postgres, tmp_path: Path, form: str
) -> None:
    server, newer = postgres(15), postgres(18)
    path, words = tmp_path / "dump", "SET transaction_timeout = 0;"
    with unchanged(server):
        with database(server, "plain", f"CREATE TABLE t AS SELECT '{words}'::text AS a, E'x\\n{words}\\n' AS b"):
            reach = ["-h", str(server.socket_dir), "-p", str(server.port), "-U", "postgres"]
            program = str(newer.bin_dir / "pg_dump")
            subprocess.run([program, *reach, f"--format={form}", "-f", str(path), "plain"], check=True)
            before = server.sql("SELECT md5(a || b) FROM t", "plain")
        there = dataclasses.replace(login(server), bin_dir=str(newer.bin_dir))
        planned = foreign_plan.plan(dataclasses.replace(request_of(server, path), server=there))
        result = foreign_restore.restore(planned)
        assert result.figures["rows"] == 1
        assert not [note for note in result.notes if "statements" in note and "owners" not in note]
        assert server.sql("SELECT md5(a || b) FROM t", "arrived") == before


def test_a_trusted_dump_keeps_owners_and_privileges_and_another_one_goes_to_the_owner_that_is_named(
    postgres: Postgres, dumps: t.Mapping[str, Path]
) -> None:
    server = postgres(15)
    query = "SELECT tableowner FROM pg_tables WHERE tablename = 'sample'"
    for form in ("sql", "custom"):
        with unchanged(server):
            loaded(server, dumps[form], is_trusted=True)
            assert server.sql(query, "arrived") == "lab_owner"
            assert "pg_monitor=r" in server.sql("SELECT relacl FROM pg_class WHERE relname = 'sample'", "arrived")
        with unchanged(server):
            loaded(server, dumps[form], owner="lab_owner")
            assert server.sql(query, "arrived") == "lab_owner"
            assert server.sql("SELECT datdba::regrole FROM pg_database WHERE datname = 'arrived'") == "lab_owner"
    other = postgres(18)
    trusted = foreign_plan.plan(request_of(other, dumps["custom"], is_trusted=True))
    assert trusted.target.problems[0].startswith("the server lacks the roles lab_owner")
    assert foreign_plan.plan(request_of(other, dumps["custom"], owner="nobody_here")).target.problems == (
        "the server lacks the role nobody_here (make it, with pg_login_role)",
    )


def test_a_part_of_an_archive_or_its_definitions_are_restored(postgres: Postgres, dumps: t.Mapping[str, Path]) -> None:
    server = postgres(15)
    with unchanged(server):
        loaded(server, dumps["directory"], include=patterns(["lab.sample"]), options=RestoreOptions(jobs=2))
        assert server.sql("SELECT count(*) FROM lab.sample", "arrived") == "3000"
        assert server.sql("SELECT to_regclass('public.notes') IS NULL", "arrived") == "t"
    with unchanged(server):
        loaded(server, dumps["custom.gz"], options=RestoreOptions(script=ScriptOptions(schema_only=True)))
        assert server.sql("SELECT count(*) FROM lab.sample", "arrived") == "0"
    with pytest.raises(UsageError, match="no table of contents"):
        loaded(server, dumps["sql"], include=patterns(["lab"]))


def damaged(path: Path, target: Path, form: str) -> Path:
    data = path.read_bytes()
    if form == "marker":
        end = data.index(b"--\n-- PostgreSQL database dump complete")
        data = data[:end]
    elif form == "middle":
        data = data[: data.index(b"COPY public.notes") + 40]
    else:
        data = data[: len(data) // 2]
    target.write_bytes(data)
    return target


@pytest.mark.parametrize(
    ("form", "cut", "words"),
    [
        ("sql", "marker", "the mark is missing"),
        ("sql", "middle", "breaks off in the middle"),
        ("sql.gz", "half", "it is cut"),
        ("sql.zst", "half", "Cannot decompress"),
        ("custom", "half", "Cannot read"),
        ("tar", "half", "Cannot read"),
        ("custom.gz", "half", "it is cut"),
    ],
)
def test_a_dump_that_is_cut_is_refused_before_anything_is_made(
    postgres: Postgres, dumps: t.Mapping[str, Path], tmp_path: Path, form: str, cut: str, words: str
) -> None:
    server = postgres(15)
    seen: list[str] = []
    steps.watch(seen.append)
    try:
        with unchanged(server), pytest.raises(DamagedError, match=words):
            loaded(server, damaged(dumps[form], tmp_path / "cut", cut))
    finally:
        steps.unwatch(seen.append)
    assert "restore.created" not in seen and "loader.made" not in seen


def test_the_checksum_beside_a_dump_is_believed(
    postgres: Postgres, dumps: t.Mapping[str, Path], tmp_path: Path
) -> None:
    server = postgres(15)
    script = tmp_path / "hand.sql"
    script.write_text("CREATE TABLE t (a int);\nINSERT INTO t VALUES (1), (2);\n", encoding="utf-8")
    with unchanged(server), pytest.raises(DamagedError, match="no SHA-256 beside it"):
        loaded(server, script)
    sidecar = tmp_path / "hand.sql.sha256"
    for digest, is_right in ((hashlib.sha256(script.read_bytes()).hexdigest(), True), ("0" * 64, False)):
        sidecar.write_text(f"{digest}  hand.sql\n", encoding="utf-8")
        with unchanged(server):
            if is_right:
                assert loaded(server, script).figures["rows"] == 2
            else:
                with pytest.raises(DamagedError, match="and that beside it says 000"):
                    loaded(server, script)
    for form in ("custom", "sql.gz"):
        copy = tmp_path / f"copy.{form}"
        copy.write_bytes(dumps[form].read_bytes())
        Path(f"{copy}.sha256").write_text("f" * 64, encoding="utf-8")
        with unchanged(server), pytest.raises(DamagedError, match="that beside it says fff"):
            loaded(server, copy)


MARK = "\n--\n-- PostgreSQL database dump complete\n--\n\n"


@pytest.mark.parametrize(
    ("script", "error", "words"),
    [
        ("\\! touch {proof}\n", UsageError, "a command of psql"),
        ("SELECT 1 \\! touch {proof}\n;", UsageError, "a command of psql"),
        ("CREATE DATABASE evil;\n", LifeboatError, "transaction block|permission denied"),
        ("COPY (SELECT 1) TO PROGRAM 'touch {proof}';\n", LifeboatError, "permission denied|must be"),
        ("CREATE ROLE evil SUPERUSER;\n", LifeboatError, "permission denied|must be"),
        ("RESET SESSION AUTHORIZATION; ALTER ROLE postgres CONNECTION LIMIT 1;\n", LifeboatError, "permission|must be"),
        ("SET ROLE postgres;\n", LifeboatError, "permission denied to set role"),
        ("CREATE TABLE t (a int);\nSELECT 1/0;\n", LifeboatError, "division by zero"),
    ],
)
def test_sql_from_elsewhere_can_do_nothing_but_fill_its_own_database(
    postgres: Postgres, tmp_path: Path, script: str, error: type[LifeboatError], words: str
) -> None:
    server, proof = postgres(15), tmp_path / "proof"
    path = tmp_path / "evil.sql"
    path.write_text(script.format(proof=proof) + MARK, encoding="utf-8")
    with unchanged(server), pytest.raises(error, match=words):
        loaded(server, path)
    assert not proof.exists()
    assert server.sql("SELECT count(*) FROM pg_roles WHERE rolname = 'evil'") == "0"


def test_an_existing_database_is_replaced_only_with_its_name_and_kept(
    postgres: Postgres, dumps: t.Mapping[str, Path]
) -> None:
    server = postgres(15)
    with database(server, "arrived", "CREATE TABLE old AS SELECT 1 AS a"):
        with pytest.raises(GuardRefusal) as caught:
            loaded(server, dumps["sql"])
        assert caught.value.guard == "confirm"
        with pytest.raises(GuardRefusal, match="on_conflict is 'refuse'"):
            loaded(server, dumps["sql"], confirm="arrived", on_conflict="refuse")
        beside = loaded(server, dumps["sql"], on_conflict="rename")
        assert beside.database.startswith("arrived_restored_2")
        result = loaded(server, dumps["sql"], confirm="arrived")
        assert server.sql("SELECT count(*) FROM lab.sample", "arrived") == "3000"
        server.sql(f'ALTER DATABASE "{result.previous}" ALLOW_CONNECTIONS true')
        assert server.sql("SELECT a FROM old", result.previous) == "1"
        for name in (result.previous, beside.database):
            server.sql(f'DROP DATABASE "{name}"')


@pytest.mark.parametrize("form", ["sql", "custom"])
def test_a_failure_at_any_step_leaves_the_server_as_it_was_and_the_next_run_succeeds(
    postgres: Postgres, dumps: t.Mapping[str, Path], form: str
) -> None:
    server = postgres(15)
    for step in ("loader.made", "restore.created", "restore.loaded", "restore.finished", "loader.handed_over"):

        def fail(name: str, step: str = step) -> None:
            if name == step:
                raise KeyboardInterrupt

        steps.watch(fail)
        try:
            with unchanged(server), pytest.raises(KeyboardInterrupt):
                loaded(server, dumps[form])
        finally:
            steps.unwatch(fail)
    with unchanged(server):
        assert loaded(server, dumps[form]).figures["rows"] == 3003


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/away":
            self.send_response(302)
            self.send_header("Location", "/lab.sql")
            self.end_headers()
        elif self.path == "/short":
            self.send_response(200)
            self.send_header("Content-Length", "100000000")
            self.end_headers()
            self.wfile.write(b"-- PostgreSQL database dump\n" * 100)
        else:
            with contextlib.suppress(ConnectionError):  # whoever looks at the beginning goes away
                super().do_GET()

    def log_message(self, *_words: t.Any) -> None:
        pass


@pytest.fixture
def site(dumps: t.Mapping[str, Path]) -> t.Iterator[str]:
    """Return the URL of a server on loopback that has the dumps."""
    handler = functools.partial(_Quiet, directory=str(dumps["sql"].parent))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_dump_is_fetched_by_its_url(postgres: Postgres, dumps: t.Mapping[str, Path], site: str) -> None:
    server = postgres(15)
    sidecar = dumps["sql.gz"].with_name("lab.sql.gz.sha256")
    sidecar.write_text(hashlib.sha256(dumps["sql.gz"].read_bytes()).hexdigest(), encoding="utf-8")
    for name in ("lab.sql.gz", "lab.custom", "lab.custom.gz", "lab.tar"):
        with unchanged(server):
            planned = foreign_plan.plan(request_of(server, f"{site}/{name}?signature=canary"))
            assert planned.size_bytes == dumps[name[4:]].stat().st_size
            assert bool(planned.digest) == (name == "lab.sql.gz")
            result = foreign_restore.restore(planned)
            assert result.figures["rows"] == 3003 and "canary" not in repr(result)
    sidecar.unlink()
    for path, words in (("nothing", "answered 404"), ("away", "redirects are not followed"), ("short", "broke|bytes")):
        with unchanged(server), pytest.raises(LifeboatError, match=words):
            loaded(server, f"{site}/{path}")
    for url, words in (
        ("http://backup.example.com/a.sql", "not encrypted"),
        ("https://me:secret@example.com/a.sql", "user's name"),
        ("ftp://example.com/a.sql", "no URL"),
        ("relative.sql", "no absolute path"),
        ("/not/there.sql", "not there"),
    ):
        with pytest.raises(LifeboatError, match=words) as caught:
            loaded(server, url)
        assert "secret" not in str(caught.value)


def test_where_the_socket_asks_for_the_user_of_the_system_the_loading_role_comes_by_tcp(
    dumps: t.Mapping[str, Path],
) -> None:
    folder = quick_folder("lbt-")
    try:
        with PostgresServer(folder / "peer", 15, password=secrets.token_urlsafe(24)) as server:
            rules = server.data_dir / "pg_hba.conf"
            by_tcp = "host all all 127.0.0.1/32 scram-sha-256\n"
            for rest, is_fit in ((by_tcp, True), ("", False)):
                rules.write_text(f"local all postgres trust\nlocal all all peer\n{rest}", encoding="utf-8")
                server.sql("SELECT pg_reload_conf()")
                with unchanged(server):
                    if is_fit:
                        assert loaded(server, dumps["sql"]).figures["rows"] == 3003
                    else:
                        with pytest.raises(LifeboatError, match=r"(?s)Peer authentication failed.*pg_hba\.conf"):
                            loaded(server, dumps["sql"])
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def role(server: PostgresServer, name: str, rights: str) -> t.Iterator[Server]:
    """Make a role that logs in, yield how it does, and drop it with all that is its own."""
    server.sql(f"CREATE ROLE {name} LOGIN {rights}")
    try:
        yield login(server, name)
    finally:
        server.sql(f"DROP DATABASE IF EXISTS arrived WITH (FORCE); DROP OWNED BY {name}; DROP ROLE {name}")


def test_a_dump_never_runs_as_a_login_role_that_could_be_taken_away_by_it(postgres: Postgres, tmp_path: Path) -> None:
    server, path = postgres(16), tmp_path / "own.sql"
    path.write_text(f"DO $$ BEGIN ALTER ROLE CURRENT_USER PASSWORD 'mine'; END $$;{MARK}", encoding="utf-8")
    with unchanged(server), role(server, "maker", "CREATEDB") as maker:
        for owner in ("", "taker"):
            request = dataclasses.replace(request_of(server, path, owner=owner), server=maker)
            problems = foreign_plan.plan(request).target.problems
            assert len(problems) == 1 and "another password" in problems[0] and "may not make a role" in problems[0]
            with pytest.raises(LifeboatError, match="may not make a role"):
                foreign_restore.restore(foreign_plan.plan(request))
        assert server.sql("SELECT rolpassword IS NULL FROM pg_authid WHERE rolname = 'maker'") == "t"


def test_a_trusted_dump_is_loaded_by_a_role_that_may_only_make_databases(
    postgres: Postgres, dumps: t.Mapping[str, Path]
) -> None:
    server = postgres(16)
    with unchanged(server), role(server, "maker", "CREATEDB") as maker:
        options = RestoreOptions(script=ScriptOptions(no_owner=True, no_privileges=True))
        request = request_of(server, dumps["sql"], is_trusted=True, options=options)
        foreign_restore.restore(foreign_plan.plan(dataclasses.replace(request, server=maker)))
        assert server.sql("SELECT tableowner FROM pg_tables WHERE tablename = 'sample'", "arrived") == "maker"


@pytest.mark.parametrize("major", MAJORS)
def test_a_role_that_may_make_roles_gives_a_dump_only_to_one_that_it_belongs_to(
    postgres: Postgres, dumps: t.Mapping[str, Path], major: int
) -> None:
    server = postgres(major)
    with unchanged(server), role(server, "smith", "CREATEDB CREATEROLE") as smith:
        request = dataclasses.replace(request_of(server, dumps["sql"]), server=smith)
        problems = foreign_plan.plan(request).target.problems
        assert len(problems) == 1 and "cannot be given to taker" in problems[0]
        server.sql("GRANT taker TO smith")
        foreign_restore.restore(foreign_plan.plan(request))
        assert server.sql("SELECT tableowner FROM pg_tables WHERE tablename = 'sample'", "arrived") == "taker"


def test_a_login_that_could_become_a_powerful_role_loads_nothing_itself(
    postgres: Postgres, dumps: t.Mapping[str, Path]
) -> None:
    server = postgres(16)
    server.sql("CREATE ROLE between; GRANT postgres TO between")
    try:
        with role(server, "dba", "CREATEDB") as dba:
            server.sql("GRANT between TO dba")
            request = dataclasses.replace(request_of(server, dumps["sql"], owner=""), server=dba)
            assert "may not make a role" in foreign_plan.plan(request).target.problems[0]
    finally:
        server.sql("DROP ROLE between")


def test_a_dump_is_never_given_to_a_role_whose_powers_its_functions_would_have(
    postgres: Postgres, dumps: t.Mapping[str, Path]
) -> None:
    server = postgres(15)
    server.sql("CREATE ROLE heir; GRANT pg_execute_server_program TO heir")
    try:
        for owner in ("", "postgres", "heir"):  # who logs in is a superuser
            problems = foreign_plan.plan(request_of(server, dumps["custom"], owner=owner)).target.problems
            assert len(problems) == 1 and f"with the powers of role {owner or 'postgres'}" in problems[0]
    finally:
        server.sql("DROP ROLE heir")


@pytest.mark.parametrize("form", ["plain", "custom"])
def test_a_dump_in_another_encoding_and_with_escaped_binary_data_is_compared_in_its_own_form(
    western_postgres: PostgresServer, tmp_path: Path, form: str
) -> None:
    server = western_postgres
    script = r"CREATE TABLE t AS SELECT 'Müller'::text AS a, '\x00ff5c27'::bytea AS b"
    with database(server, "elsewhere", script):
        server.sql("ALTER DATABASE elsewhere SET bytea_output = 'escape'")
        pg_dump(server, "elsewhere", tmp_path / "dump", f"--format={form}", "--encoding=LATIN1")
    try:
        loaded(server, tmp_path / "dump")
        assert server.sql("SELECT a, b FROM t", "arrived") == r"Müller|\x00ff5c27"
    finally:
        server.sql("DROP DATABASE IF EXISTS arrived WITH (FORCE)")


def test_settings_of_the_database_do_not_come_with_a_dump_from_elsewhere(postgres: Postgres, tmp_path: Path) -> None:
    server, path = postgres(15), tmp_path / "set.sql"
    deed = "EXECUTE format('ALTER DATABASE %I SET search_path = traps, pg_catalog', current_database())"
    path.write_text(f"CREATE TABLE t AS SELECT 1 AS a; DO $$ BEGIN {deed}; END $$;{MARK}", encoding="utf-8")
    with unchanged(server):
        assert loaded(server, path).figures["rows"] == 1
        assert server.sql("SHOW search_path", "arrived") == '"$user", public'


def test_a_script_with_tables_on_servers_that_do_not_answer_is_loaded(postgres: Postgres, tmp_path: Path) -> None:
    server, path = postgres(MAJORS[0]), tmp_path / "away.sql"  # only that of the distribution has this extension
    path.write_text(
        """CREATE EXTENSION postgres_fdw;
        CREATE SERVER away FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '127.0.0.1', port '1', dbname 'x');
        CREATE USER MAPPING FOR PUBLIC SERVER away;
        CREATE TABLE public.sale (n int) PARTITION BY RANGE (n);
        CREATE TABLE public.sale_new PARTITION OF public.sale FOR VALUES FROM (0) TO (9);
        CREATE FOREIGN TABLE public.sale_old PARTITION OF public.sale FOR VALUES FROM (-9) TO (0) SERVER away;
        INSERT INTO public.sale VALUES (1);
        """
        + MARK,
        encoding="utf-8",
    )
    with unchanged(server):
        result = loaded(server, path, is_trusted=True)
        assert "no statistics were gathered of tables that have foreign parts: public.sale" in result.notes
        assert server.sql("SELECT n FROM public.sale_new", "arrived") == "1"


def test_a_dump_of_a_newer_major_is_refused_with_advice(postgres: Postgres, tmp_path: Path) -> None:
    newer, server = postgres(MAJORS[-1]), postgres(15)
    with database(newer, "young", "CREATE TABLE t AS SELECT 1 AS a"):
        pg_dump(newer, "young", tmp_path / "young", "-Fc")
    planned = foreign_plan.plan(request_of(server, tmp_path / "young"))
    assert "a dump does not go back to an older major (restore into 18 or later)" in planned.target.problems[0]
    with unchanged(server), pytest.raises(LifeboatError, match="does not go back"):
        foreign_restore.restore(planned)


PREPARED = "SELECT count(*) FROM pg_prepared_xacts"
# Held without anybody connected, the lock would keep everybody out, and the transaction the database in the server.
HANDS_OVER = "CREATE TABLE public.held (a int); COMMIT; BEGIN; LOCK TABLE public.held; PREPARE TRANSACTION '{name}';\n"


def replace_definition(path: Path, begin: bytes, statement: bytes) -> None:
    """Put another statement, which is not longer, in the place of one of an archive."""
    data = path.read_bytes()
    start = data.index(begin)
    length = data.index(b";\n", start) + 2 - start
    assert len(statement) <= length
    path.write_bytes(data[:start] + statement.ljust(length) + data[start + length :])


@pytest.fixture
def prepared_of(tmp_path: Path) -> t.Callable[[PostgresServer, str], Path]:
    """Return a function that writes a dump, in a form, that leaves a prepared transaction behind."""

    def written(server: PostgresServer, form: str) -> Path:
        path, statement = tmp_path / f"prepared.{form}", HANDS_OVER.format(name=f"of {form}").strip()
        if form == "sql":
            path.write_text(f"{statement}{MARK}", encoding="utf-8")
            return path
        with database(server, "innocent", f"CREATE VIEW v AS SELECT '{'x' * 300}'::text AS a"):
            pg_dump(server, "innocent", path, "-Fc")
        replace_definition(path, b"CREATE VIEW public.v", f"BEGIN; {statement}".encode())
        return path

    return written


@pytest.mark.parametrize("form", ["sql", "custom"])
@pytest.mark.parametrize("rights", ["SUPERUSER", "CREATEDB CREATEROLE"])
def test_a_dump_that_leaves_a_prepared_transaction_is_refused_and_nothing_stays(
    postgres: Postgres, prepared_of: t.Callable[[PostgresServer, str], Path], form: str, rights: str
) -> None:
    server = postgres(16)
    path = prepared_of(server, form)
    with unchanged(server), role(server, "maker", rights) as maker:
        server.sql("GRANT taker TO maker WITH ADMIN OPTION")
        request = dataclasses.replace(request_of(server, path), server=maker)
        with pytest.raises(LifeboatError, match="prepared transaction"):
            foreign_restore.restore(foreign_plan.plan(request))
        assert server.sql(PREPARED) == "0"


@pytest.mark.parametrize("comment", ["'lifeboat: restore in progress'", "NULL"])
def test_a_restore_that_was_killed_beside_a_prepared_transaction_is_cleared_away_by_the_next(
    postgres: Postgres, dumps: t.Mapping[str, Path], comment: str
) -> None:
    server, left = postgres(15), "lifeboat_restore_0123abcd"
    with unchanged(server):
        server.sql(f"CREATE DATABASE {left}")
        server.sql(f"COMMENT ON DATABASE {left} IS {comment}")
        server.sql(HANDS_OVER.format(name="of the killed").replace("CREATE", "BEGIN; CREATE", 1), left)
        assert server.sql(PREPARED) == "1"
        assert loaded(server, dumps["sql"]).figures["rows"] == 3003
        assert server.sql(PREPARED) == "0"


def test_what_an_archive_says_of_its_database_is_no_sql(postgres: Postgres, tmp_path: Path) -> None:
    server, path, name = postgres(15), tmp_path / "evil.dump", "a_name_that_is_as_long_as_what_stands_in_its_place"
    with database(server, name, "CREATE TABLE t AS SELECT 1 AS a"):
        pg_dump(server, name, path, "-Fc")
    made = b"CREATE DATABASE a WITH ENCODING = 'UTF8' LOCALE_PROVIDER = 'libc IS_TEMPLATE true' LOCALE = 'C';"
    replace_definition(path, b"CREATE DATABASE", made)
    with unchanged(server):
        result = loaded(server, path)
        assert result.figures["rows"] == 1 and "made with the locale of this server" in " ".join(result.notes)
        assert server.sql("SELECT datistemplate FROM pg_database WHERE datname = 'arrived'") == "f"


def test_a_dump_by_a_release_that_was_not_final_is_judged_by_its_major(
    postgres: Postgres, dumps: t.Mapping[str, Path], tmp_path: Path
) -> None:
    server, path = postgres(15), tmp_path / "beta.dump"
    data = dumps["custom"].read_bytes()
    version = re.search(rb"\0(1\d\.\d+)(?: [^\0]*)?\x00", data[:200])
    assert version, data[:200]
    for major, words in ((b"15", ""), (b"99", "is of PostgreSQL 99")):
        path.write_bytes(data.replace(version[1], (major + b"beta1")[: len(version[1])]))
        with unchanged(server), contextlib.ExitStack() as stack:
            if words:
                stack.enter_context(pytest.raises(LifeboatError, match=words))
            assert loaded(server, path).figures["rows"] == 3003


@pytest.mark.parametrize("end", ["SELECT 1/0;", "SELECT 1;"])
def test_a_dump_that_makes_its_database_a_template_neither_stays_nor_arrives_as_one(
    postgres: Postgres, tmp_path: Path, end: str
) -> None:
    server, path = postgres(15), tmp_path / "template.sql"
    deed = "EXECUTE format('ALTER DATABASE %I IS_TEMPLATE true CONNECTION LIMIT 3', current_database())"
    path.write_text(f"CREATE TABLE t AS SELECT 1 AS a; DO $$ BEGIN {deed}; END $$; COMMIT; {end}{MARK}", "utf-8")
    with unchanged(server):
        if "0" in end:
            with pytest.raises(LifeboatError, match="division by zero"):
                loaded(server, path)
        else:
            assert loaded(server, path).figures["rows"] == 1
            found = server.sql("SELECT datistemplate, datconnlimit FROM pg_database WHERE datname = 'arrived'")
            server.sql("ALTER DATABASE arrived IS_TEMPLATE false")
            assert found == "f|-1"
