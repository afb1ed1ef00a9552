# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options of restores, each on real servers; judged by what catalogs and tables say."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import typing as t
from pathlib import Path

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine import steps
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import (
    GuardRefusal,
    LifeboatError,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host import database_backup, restore_run
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.place import Place
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.restore_request import RestoreRequest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.archive import ScriptOptions
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.quoting import identifier
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.restore import RestoreOptions
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.selection import patterns
from ansible_collections.lifeboat.recovery.tests.functional.job_fixtures import (
    JOB,
    directory_place,
    job_of,
    manifests_of,
    own_locks,
    restored,
)
from ansible_collections.lifeboat.recovery.tests.functional.postgres_fixtures import (
    MAJORS,
    PostgresServer,
    content_of,
    database,
    databases_of,
    login,
    postgres,
    rich_database,
)

__all__ = ["own_locks", "postgres"]
Postgres = t.Callable[[int], PostgresServer]

SHOP = """
CREATE SCHEMA sales; CREATE SCHEMA audit;
CREATE TYPE sales.state AS ENUM ('open', 'paid');
CREATE FUNCTION sales.stamp() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.at := now(); RETURN NEW; END';
CREATE TABLE public.users (id serial PRIMARY KEY, name text UNIQUE);
INSERT INTO public.users (name) SELECT 'user ' || i FROM generate_series(1, 50) i;
CREATE TABLE sales.orders (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, who int REFERENCES public.users,
  state sales.state DEFAULT 'open', at timestamptz);
CREATE TRIGGER stamping BEFORE UPDATE ON sales.orders FOR EACH ROW EXECUTE FUNCTION sales.stamp();
CREATE INDEX orders_by_who ON sales.orders (who);
INSERT INTO sales.orders (who, state) SELECT 1 + i % 50, 'paid' FROM generate_series(1, 700) i;
CREATE TABLE audit.lines (id int, text text) PARTITION BY RANGE (id);
CREATE TABLE audit.lines_1 PARTITION OF audit.lines FOR VALUES FROM (0) TO (100);
CREATE TABLE audit.lines_2 PARTITION OF audit.lines FOR VALUES FROM (100) TO (200);
INSERT INTO audit.lines SELECT i, 'line ' || i FROM generate_series(0, 199) i;
SELECT lo_from_bytea(500001, 'large');
"""


@pytest.fixture(scope="module")
def shop(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[tuple[PostgresServer, Place]]:
    """Return a server with a database, and a repository with its backup."""
    server = postgres(15)
    place = directory_place(tmp_path_factory.mktemp("shop") / "local", "local")
    with database(server, "shop", SHOP):
        database_backup.back_up(job_of(server, "shop", place))
        yield server, place


@contextlib.contextmanager
def dropped(server: PostgresServer, *names: str) -> t.Iterator[None]:
    try:
        yield
    finally:
        for name in names:
            server.sql(f"DROP DATABASE IF EXISTS {identifier(name)} WITH (FORCE)")


def count(server: PostgresServer, name: str, table: str) -> int:
    return int(server.sql(f"SELECT count(*) FROM {table}", name))


def test_everything_but_the_users_comes_back_and_what_pointed_at_them_is_named(
    shop: tuple[PostgresServer, Place],
) -> None:
    server, place = shop
    with dropped(server, "without"):
        result = restored(login(server), place, database="without", exclude=patterns(["public.users"]))
        assert result.left_out == ("FK CONSTRAINT sales.orders orders_who_fkey, which needs TABLE public.users",)
        assert (count(server, "without", "sales.orders"), count(server, "without", "audit.lines")) == (700, 200)
        found, wanted = content_of(server, "without"), content_of(server, "shop")
        assert [line for line in wanted["relations"] if "public.users" not in line] == found["relations"]
        assert found["large objects"] == wanted["large objects"]
        assert found["triggers"] == wanted["triggers"] and found["indexes"] != wanted["indexes"]
        assert result.figures["tables"] == 3 and result.figures["rows"] == 900


@pytest.mark.parametrize(
    ("include", "exclude", "tables"),
    [
        (["sales"], [], {"sales.orders"}),
        (["sales.orders"], [], {"sales.orders"}),  # with its type, its trigger's function and its sequence
        (["audit.lines"], [], {"audit.lines", "audit.lines_1", "audit.lines_2"}),
        (["audit"], ["audit.*_1"], {"audit.lines", "audit.lines_2"}),
        (["*.users", "sales"], [], {"public.users", "sales.orders"}),
    ],
)
def test_only_what_is_named_comes_back_with_what_it_needs(
    shop: tuple[PostgresServer, Place], include: list[str], exclude: list[str], tables: set[str]
) -> None:
    server, place = shop
    with dropped(server, "part"):
        restored(
            login(server), place, database="part", include=patterns(include), exclude=patterns(exclude),
            options=RestoreOptions(jobs=2),
        )  # fmt: skip
        query = "SELECT schemaname || '.' || tablename FROM pg_tables WHERE schemaname !~ '^(pg_|information)'"
        assert set(server.sql(query, "part").splitlines()) == tables
        for table in tables:
            if table != "audit.lines":
                assert count(server, "part", table) == count(server, "shop", table)


def test_a_part_that_cannot_stand_alone_is_refused_with_what_it_needs(
    shop: tuple[PostgresServer, Place], postgres: Postgres, tmp_path: Path
) -> None:
    server, place = shop
    before = databases_of(server)
    script = "CREATE TABLE t (a int); CREATE VIEW v AS SELECT a FROM t; CREATE TABLE c (b int) INHERITS (t)"
    with database(server, "views", script):
        own = directory_place(tmp_path / "own", "own")
        database_backup.back_up(job_of(server, "views", own))
    for include, exclude, words in (
        (["public.v"], [], "VIEW public.v needs TABLE public.t, which is not selected"),
        ([], ["public.t"], "TABLE public.c needs TABLE public.t, which is not selected"),
        (["t"], [], r"nothing in the backup is called t \(did you mean public.t\?\)"),
    ):
        with pytest.raises(LifeboatError, match=words):
            restored(login(server), own, database="x", include=patterns(include), exclude=patterns(exclude))
    assert databases_of(server) == before


@pytest.mark.parametrize("major", MAJORS)
def test_odd_names_are_chosen_as_they_are(postgres: Postgres, tmp_path: Path, major: int) -> None:
    server = postgres(major)
    place = directory_place(tmp_path / "local", "local")
    with rich_database(server, "rich") as name, dropped(server, "odd"):
        database_backup.back_up(job_of(server, name, place))
        result = restored(login(server), place, database="odd", include=patterns(['"Odd ""schema"" 🛟"', "clinic.*"]))
        found, wanted = content_of(server, "odd"), content_of(server, name)
        assert {key for key in found if key.startswith("rows of ")} == {
            key for key in wanted if key.startswith(("rows of clinic.", 'rows of "Odd'))
        }
        assert all(found[key] == wanted[key] for key in found if key.startswith("rows of "))
        assert found["large objects"] == [] and result.figures["large_objects"] == 0


def test_a_taken_name_is_refused_evaded_or_replaced_as_asked(shop: tuple[PostgresServer, Place]) -> None:
    server, place = shop
    before = databases_of(server)
    with pytest.raises(GuardRefusal, match="on_conflict is 'refuse'") as caught:
        restored(login(server), place, confirm="shop", on_conflict="refuse")
    assert caught.value.guard == "conflict" and databases_of(server) == before
    result = restored(login(server), place, on_conflict="rename")
    with dropped(server, result.database, "fresh"):
        assert result.database.startswith("shop_restored_2") and result.previous == ""
        assert databases_of(server) == {*before, result.database}
        assert count(server, result.database, "public.users") == 50
        assert restored(login(server), place, database="fresh", on_conflict="rename").database == "fresh"


def test_what_is_replaced_is_backed_up_first_as_a_job_of_its_own(
    shop: tuple[PostgresServer, Place], tmp_path: Path
) -> None:
    server, source = shop
    place = directory_place(tmp_path / "own", "own")
    with database(server, "lab", "CREATE TABLE t AS SELECT 1 AS a"):
        first = database_backup.back_up(job_of(server, "lab", place))
        server.sql("UPDATE t SET a = 2", "lab")
        result = restored(login(server), place, confirm="lab", keep_previous=False, safety_backup=True)
        assert (result.id, result.previous) == (first.id, "") and server.sql("SELECT a FROM t", "lab") == "1"
        assert f"manifests/{JOB}-damaged/{result.safety_backup}.json" in manifests_of(place)
        request = RestoreRequest(f"{JOB}-damaged", "latest_good", (place,), login(server), "lab2")
        with dropped(server, "lab2"):
            restore_run.restore(restore_run.plan(request))
            assert server.sql("SELECT a FROM t", "lab2") == "2"


def test_tables_and_indexes_go_to_the_tablespaces_that_they_are_mapped_to(postgres: Postgres, tmp_path: Path) -> None:
    server = postgres(15)
    for name in ("fast", "slow", "other"):
        folder = server.folder / f"space-{name}"
        folder.mkdir()
        if server.identity:
            os.chown(folder, *server.identity)
        server.sql(f"CREATE TABLESPACE {name} LOCATION '{folder}'")
    script = """CREATE TABLE quick (a int, CONSTRAINT "quick key" PRIMARY KEY (a) USING INDEX TABLESPACE slow)
          TABLESPACE slow;
        INSERT INTO quick SELECT generate_series(1, 1000); CREATE INDEX quick_a ON quick (a) TABLESPACE slow;
        CREATE TABLE plain (a int); CREATE MATERIALIZED VIEW seen TABLESPACE slow AS SELECT count(*) FROM quick"""
    where = """SELECT c.relname || ' ' || coalesce(spcname, '-') FROM pg_class c
        LEFT JOIN pg_tablespace s ON s.oid = reltablespace WHERE relnamespace = 2200 ORDER BY 1"""
    place = directory_place(tmp_path / "local", "local")
    with database(server, "spread", script, "TABLESPACE fast"):
        database_backup.back_up(job_of(server, "spread", place))
    with dropped(server, "spread", "flat"):
        mapping = {"slow": "other", "fast": "pg_default"}
        restored(login(server), place, options=RestoreOptions(tablespaces=mapping, jobs=2))
        assert sorted(server.sql(where, "spread").splitlines()) == [
            "plain -", "quick key other", "quick other", "quick_a other", "seen other",
        ]  # fmt: skip
        assert count(server, "spread", "quick") == 1000 and server.sql("SELECT * FROM seen", "spread") == "1000"
        restored(login(server), place, database="flat", options=RestoreOptions(with_tablespaces=False))
        assert set(server.sql(where, "flat").splitlines()) == {
            "plain -", "quick -", "quick key -", "quick_a -", "seen -",
        }  # fmt: skip
        request = RestoreRequest(JOB, "latest", (place,), login(server), "x")
        gone = dataclasses.replace(request, options=RestoreOptions(tablespaces={"slow": "nowhere"}))
        assert restore_run.plan(gone).target.problems[0].startswith("the server lacks the tablespaces nowhere (create")
    server.sql("DROP TABLESPACE fast; DROP TABLESPACE slow; DROP TABLESPACE other")


ROLES = """
CREATE ROLE shop_team NOLOGIN; CREATE ROLE shop_boss LOGIN CREATEDB CONNECTION LIMIT 3 PASSWORD 'canary-of-a-password';
CREATE ROLE shop_bystander NOLOGIN; ALTER ROLE shop_boss SET search_path TO 'sales', "$user";
ALTER ROLE shop_boss SET work_mem TO '9MB'; COMMENT ON ROLE shop_boss IS 'it''s \\ the boss';
GRANT shop_team TO shop_boss WITH ADMIN OPTION; GRANT SET ON PARAMETER log_statement TO shop_boss;
"""


@pytest.fixture
def owned(postgres: Postgres, tmp_path: Path) -> t.Iterator[Place]:
    """Return a repository with the backup of a database whose roles the other servers lack."""
    source = postgres(15)
    source.sql(ROLES)
    place = directory_place(tmp_path / "local", "local")
    script = "CREATE TABLE t AS SELECT 1 AS a; ALTER TABLE t OWNER TO shop_boss; GRANT SELECT ON t TO shop_team"
    with database(source, "owned", script, "OWNER shop_boss"):
        source.sql("ALTER ROLE shop_boss IN DATABASE owned SET lock_timeout TO '3s'")
        database_backup.back_up(job_of(source, "owned", place))
    yield place
    for major in MAJORS:
        for role in roles_of(postgres(major)):
            postgres(major).sql(f"DROP OWNED BY {role}; DROP ROLE {role}")


def roles_of(server: PostgresServer) -> set[str]:
    return set(server.sql("SELECT rolname FROM pg_roles WHERE rolname LIKE 'shop%'").splitlines())


def test_the_roles_that_a_database_needs_are_made_first_without_passwords(postgres: Postgres, owned: Place) -> None:
    server = postgres(18)
    request = RestoreRequest(JOB, "latest", (owned,), login(server), globals="needed")
    lacking = restore_run.plan(dataclasses.replace(request, globals="none"))
    assert lacking.target.problems[0].startswith("the server lacks the roles shop_boss, shop_team")
    planned = restore_run.plan(request)
    assert planned.target.problems == () and roles_of(server) == set()
    assert planned.roles is not None and sorted(planned.roles.names) == ["shop_boss", "shop_team"]
    assert [note for note in planned.notes if "without a password" in note]
    with dropped(server, "owned"):
        result = restore_run.restore(planned)
        assert sorted(result.roles) == ["shop_boss", "shop_team"] and roles_of(server) == {"shop_boss", "shop_team"}
        facts = "SELECT rolcreatedb, rolcanlogin, rolconnlimit, rolpassword IS NULL FROM pg_authid"
        assert server.sql(f"{facts} WHERE rolname = 'shop_boss'") == "t|t|3|t"
        settings = "SELECT unnest(setconfig) FROM pg_db_role_setting WHERE setrole = 'shop_boss'::regrole ORDER BY 1"
        assert server.sql(settings).splitlines() == ["lock_timeout=3s", 'search_path=sales, "$user"', "work_mem=9MB"]
        assert server.sql("SELECT shobj_description('shop_boss'::regrole, 'pg_authid')") == "it's \\ the boss"
        assert server.sql("SELECT admin_option FROM pg_auth_members WHERE member = 'shop_boss'::regrole") == "t"
        assert server.sql("SELECT has_parameter_privilege('shop_boss', 'log_statement', 'SET')") == "t"
        again = restore_run.plan(dataclasses.replace(request, database="again", globals="all"))
        assert again.roles is not None and again.roles.names == ("shop_bystander",)


def test_roles_of_a_restore_that_fails_are_dropped_again(postgres: Postgres, owned: Place) -> None:
    server = postgres(16)
    before = databases_of(server)

    def fail(step: str) -> None:
        if step == "restore.loaded":
            raise LifeboatError("Cannot go on")

    request = RestoreRequest(JOB, "latest", (owned,), login(server), globals="needed")
    steps.watch(fail)
    try:
        with pytest.raises(LifeboatError, match="Cannot go on"):
            restore_run.restore(restore_run.plan(request))
    finally:
        steps.unwatch(fail)
    assert (roles_of(server), databases_of(server)) == (set(), before)
    with dropped(server, "owned"):
        restore_run.restore(restore_run.plan(request))
        assert server.sql("SELECT a FROM t", "owned") == "1"


def test_without_owners_and_privileges_no_role_of_the_source_is_needed(postgres: Postgres, owned: Place) -> None:
    server = postgres(16)
    script = ScriptOptions(no_owner=True, no_privileges=True)
    with dropped(server, "owned"):
        result = restored(login(server), owned, options=RestoreOptions(script=script), globals="needed")
        assert result.roles == () and roles_of(server) == set()
        assert server.sql("SELECT tableowner FROM pg_tables WHERE tablename = 't'", "owned") == "postgres"


def test_an_extension_that_the_server_lacks_is_named_with_its_package_unless_it_is_not_asked_for(
    postgres: Postgres, tmp_path: Path
) -> None:
    source, server = postgres(15), postgres(18)
    place = directory_place(tmp_path / "local", "local")
    with database(
        source, "extended", "CREATE EXTENSION hstore; CREATE TABLE t (h hstore); CREATE TABLE p AS SELECT 1 a"
    ):
        database_backup.back_up(job_of(source, "extended", place))
    request = RestoreRequest(JOB, "latest", (place,), login(server), include=())
    (problem,) = restore_run.plan(request).target.problems
    assert problem.startswith("the server lacks the extensions hstore (install there postgresql-18")
    before = databases_of(server)
    with pytest.raises(LifeboatError, match="lacks the extensions"):
        restore_run.restore(restore_run.plan(request))
    assert databases_of(server) == before
    with dropped(server, "extended"):
        part = restore_run.plan(dataclasses.replace(request, include=patterns(["public.p"])))
        assert restore_run.restore(part).figures["rows"] == 1
