# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine import steps
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.child import ChildError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import DamagedError, LifeboatError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres import target
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.archive import ScriptOptions
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.description import describe_database
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.dump import Dump
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.fingerprint import (
    fingerprint_of_archive,
    fingerprint_of_database,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.restore import (
    RestoreOptions,
    drop_abandoned,
    drop_database,
    restore_database,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.swap import swap
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.tools import ClientTools
from ansible_collections.lifeboat.recovery.tests.functional.postgres_fixtures import (
    MAJORS,
    RICH_SCHEMA,
    ROLES,
    PostgresServer,
    content_of,
    database,
    databases_of,
    dump_to,
    login,
    postgres,
    properties_of,
    rich_database,
    tools_of,
)
from ansible_collections.lifeboat.recovery.tests.functional.test_postgres_dump import ODD_NAMES

__all__ = ["postgres"]
Postgres = t.Callable[[int], PostgresServer]

# A CHECK with IN on a varchar column comes back in another wording; both mean the same.
REWRITTEN = ("TABLE clinic.patient: another definition", "VIEW clinic.inpatients: another definition")


@pytest.mark.parametrize("jobs", [1, 4])
@pytest.mark.parametrize("major", MAJORS)
def test_a_restored_database_equals_its_source(postgres: Postgres, tmp_path: Path, major: int, jobs: int) -> None:
    server = postgres(major)
    with rich_database(server, "rich") as name:
        source = describe_database(login(server), name)
        archive = dump_to(tmp_path / "archive", server, name)
        restored = restore_database(login(server), str(archive), source, tools_of(server), RestoreOptions(jobs=jobs))
        try:
            assert content_of(server, restored.name) == {**content_of(server, name)}
            assert properties_of(server, restored.name) == properties_of(server, name)
            assert restored.comparison.differences == ()
            assert restored.comparison.rewritten == REWRITTEN
            assert restored.fingerprint.rows == 5919
        finally:
            drop_database(login(server), restored.name)


@pytest.mark.parametrize("newer", MAJORS[1:])
def test_a_database_is_restored_into_a_newer_major(postgres: Postgres, tmp_path: Path, newer: int) -> None:
    older, server = postgres(15), postgres(newer)
    server.sql(ROLES)
    with rich_database(older, "rich") as name:
        source = describe_database(login(older), name)
        archive = dump_to(tmp_path / "archive", older, name)
        target.check_target(login(server), name, source).require(name)
        tools = target.restore_tools(login(server), "15.18", name)
        assert tools.pg_restore.major == newer
        restored = restore_database(login(server), str(archive), source, tools)
        try:
            before, after = content_of(older, name), content_of(server, restored.name)
            # A privilege that a newer major invented (MAINTAIN, 17) belongs to every owner.
            after["relations"] = [line.replace("arwdDxtm/", "arwdDxt/") for line in after["relations"]]
            assert after == before
            assert restored.comparison.differences == ()
        finally:
            drop_database(login(server), restored.name)


@pytest.mark.parametrize("jobs", [1, 4])
def test_an_archive_of_newer_programs_is_restored_into_the_older_server_that_it_is_of(
    postgres: Postgres, tmp_path: Path, jobs: int
) -> None:
    server, newer = postgres(15), tools_of(postgres(18))
    with rich_database(server, "rich") as name:
        source = describe_database(login(server), name)
        archive = dumped_by(newer, server, name, tmp_path / "archive")
        restored = restore_database(login(server), str(archive), source, newer, RestoreOptions(jobs=jobs))
        try:
            assert content_of(server, restored.name) == content_of(server, name)
            assert restored.comparison.differences == ()
            assert restored.warnings == ()
        finally:
            drop_database(login(server), restored.name)


def test_what_an_older_server_refuses_else_of_an_archive_of_newer_programs_fails_the_restore(
    postgres: Postgres, tmp_path: Path
) -> None:
    server, newer = postgres(15), tools_of(postgres(18))
    before = databases_of(server)
    with database(server, "lab", "CREATE TABLE t (a int CHECK (a < 100)); INSERT INTO t VALUES (7)"):
        source = describe_database(login(server), "lab")
        archive = dumped_by(newer, server, "lab", tmp_path / "archive")
    archive.write_bytes(archive.read_bytes().replace(b"\x007\n", b"\x00x\n"))
    with pytest.raises(LifeboatError, match="invalid input syntax for type integer"):
        restore_database(login(server), str(archive), source, newer)
    assert databases_of(server) == before


def dumped_by(tools: ClientTools, server: PostgresServer, name: str, path: Path) -> Path:
    """Write the dump of a database by the programs of another major."""
    with Dump(login(server), name, tools.pg_dump) as dump:
        path.write_bytes(b"".join(dump))
    return path


def test_a_database_of_a_newer_major_is_refused_with_advice(postgres: Postgres, tmp_path: Path) -> None:
    newer, server = postgres(18), postgres(15)
    with database(newer, "young"):
        source = describe_database(login(newer), "young")
    checked = target.check_target(login(server), "young", source)
    assert len(checked.problems) == 1
    with pytest.raises(
        LifeboatError, match=r"the backup is of PostgreSQL 18\.\d+, the server is 15\.\d+ and a dump does"
    ) as caught:
        checked.require("young")
    assert "restore into 18 or later" in str(caught.value)
    with pytest.raises(LifeboatError, match=r"is older than the archive or the server, which need 18"):
        target.restore_tools(login(server), "18.4", "young")


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_database_with_an_odd_name_is_restored_under_it(postgres: Postgres, tmp_path: Path, name: str) -> None:
    server = postgres(15)
    before = databases_of(server)
    with database(server, name, "CREATE TABLE t AS SELECT 1 AS a"):
        source = describe_database(login(server), name)
        archive = dump_to(tmp_path / "archive", server, name)
        server.sql("DELETE FROM t", name)
        restored = restore_database(login(server), str(archive), source, tools_of(server), RestoreOptions(jobs=2))
        swapped = swap(login(server), name, restored.name, keep_previous=False)
        assert (swapped.name, swapped.previous) == (name, "")
        assert server.sql("SELECT a FROM t", name) == "1"
    assert databases_of(server) == before


def test_a_template_that_is_none_any_more_is_told_of(postgres: Postgres, tmp_path: Path) -> None:
    server = postgres(15)
    with database(server, "stencil") as name:
        server.sql("ALTER DATABASE stencil IS_TEMPLATE true")
        source = describe_database(login(server), name)
        archive = dump_to(tmp_path / "archive", server, name)
        server.sql("ALTER DATABASE stencil IS_TEMPLATE false")
    restored = restore_database(login(server), str(archive), source, tools_of(server))
    drop_database(login(server), restored.name)
    assert restored.warnings == ("it was a template, and is none now (ALTER DATABASE … IS_TEMPLATE true)",)


def test_an_empty_database_is_restored(postgres: Postgres, tmp_path: Path) -> None:
    server = postgres(15)
    with database(server, "empty"):
        source = describe_database(login(server), "empty")
        restored = restore_database(
            login(server), str(dump_to(tmp_path / "a", server, "empty")), source, tools_of(server)
        )
        drop_database(login(server), restored.name)
    assert restored.comparison.is_equal


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_encoding_and_locale_are_those_of_the_source(postgres: Postgres, tmp_path: Path, encoding: str) -> None:
    server = postgres(15)
    options = f"TEMPLATE template0 ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C'"
    script = "SET client_encoding = 'LATIN1'; CREATE TABLE \"caf\u00e9\" AS SELECT '\u00fcml\u00e4ut' AS a"
    with database(server, "old", options=options):
        if encoding == "SQL_ASCII":
            script = script.replace("SET client_encoding = 'LATIN1'; ", "")
        server.sql(script.replace("SET client_encoding = 'LATIN1'; ", ""), "old")
        source = describe_database(login(server), "old")
        restored = restore_database(
            login(server), str(dump_to(tmp_path / "a", server, "old")), source, tools_of(server)
        )
        try:
            assert properties_of(server, restored.name) == properties_of(server, "old")
            assert server.sql('SELECT a FROM "caf\u00e9"', restored.name) == "\u00fcml\u00e4ut"
        finally:
            drop_database(login(server), restored.name)


def test_only_the_schema_is_restored_when_asked_for(postgres: Postgres, tmp_path: Path) -> None:
    server = postgres(15)
    with rich_database(server, "rich") as name:
        source = describe_database(login(server), name)
        archive = dump_to(tmp_path / "archive", server, name)
        options = RestoreOptions(script=ScriptOptions(schema_only=True))
        restored = restore_database(login(server), str(archive), source, tools_of(server), options)
        try:
            found, wanted = content_of(server, restored.name), content_of(server, name)
            assert {key for key, value in found.items() if key.startswith("rows of ") and value} == set()
            left = {key for key in wanted if not key.startswith("rows of ") and found[key] != wanted[key]}
            assert left <= {"sequences", "large objects", "comments"}
        finally:
            drop_database(login(server), restored.name)


def test_definitions_are_compared_however_much_data_lies_behind_them(postgres: Postgres) -> None:
    server = postgres(15)
    # pg_restore leaves this data unread, and pg_dump must not die of that.
    script = "CREATE TABLE big AS SELECT i, repeat(md5(i::text), 30) AS t FROM generate_series(1, 30000) i"
    with database(server, "heavy", script):
        options = ScriptOptions(schema_only=True)
        found = fingerprint_of_database(login(server), "heavy", tools_of(server), options)
        assert found.rows == 0
        assert any("big" in name for name in found.objects)


def test_owners_and_privileges_are_left_out_when_asked_for(postgres: Postgres, tmp_path: Path) -> None:
    server, other = postgres(15), postgres(16)
    other.sql('DROP ROLE IF EXISTS clinic_owner, clinic_reader, "Rôle ""x"" 🛟"')
    script = RICH_SCHEMA.replace("ALTER DEFAULT PRIVILEGES FOR ROLE clinic_owner", "-- ").replace(
        "CREATE POLICY", "-- CREATE POLICY"
    )
    server.sql(ROLES)
    with database(server, "plain", script):
        source = describe_database(login(server), "plain")
        archive = dump_to(tmp_path / "archive", server, "plain")
    options = RestoreOptions(script=ScriptOptions(no_owner=True, no_privileges=True))
    checked = target.check_target(login(other), "plain", source)
    assert checked.problems == (
        'the server lacks the roles Rôle "x" 🛟, clinic_owner, clinic_reader '
        "(restore the globals first, or restore without owners and privileges)",
    )
    target.check_target(login(other), "plain", source, options=options.script).require("plain")
    restored = restore_database(login(other), str(archive), source, tools_of(other), options)
    try:
        assert (
            other.sql("SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'clinic'", restored.name)
            == "postgres"
        )
        assert restored.comparison.differences == ()
    finally:
        drop_database(login(other), restored.name)


def test_owners_that_only_the_archive_names_are_asked_for(postgres: Postgres, tmp_path: Path) -> None:
    server = postgres(15)
    with rich_database(server, "rich") as name:
        source = {**describe_database(login(server), name), "roles": [{"name": "somebody_else", "is_superuser": False}]}
        archive = fingerprint_of_archive(str(dump_to(tmp_path / "a", server, name)), tools_of(server).pg_restore)
        other = postgres(16)
        other.sql('DROP ROLE IF EXISTS clinic_owner, clinic_reader, "Rôle ""x"" 🛟"')
        problems = target.check_target(login(other), name, source, archive).problems
    assert problems[0].startswith('the server lacks the roles Rôle "x" 🛟, clinic_owner, somebody_else')


def test_what_the_target_lacks_is_named_before_anything_is_touched(postgres: Postgres) -> None:
    server = postgres(15)
    with database(server, "wanting"):
        source = {
            **describe_database(login(server), "wanting"),
            "extensions": [{"name": "postgis", "version": "3", "schema": "public"}],
            "tablespaces": ["pg_default", "fast_disk"],
            "size_bytes": 2**60,
        }
        problems = target.check_target(login(server), "wanting", source).problems
    assert [text.split(" (")[0] for text in problems[:3]] == [
        "the server lacks the extensions postgis",
        "the server lacks the tablespaces fast_disk",
        "a database named wanting exists already",
    ]
    assert "MiB are needed" in problems[3]


def test_a_failed_restore_leaves_no_database_behind(postgres: Postgres, tmp_path: Path) -> None:
    server = postgres(15)
    with database(server, "source", "CREATE TABLE t AS SELECT i FROM generate_series(1, 10000) i"):
        source = describe_database(login(server), "source")
        archive = dump_to(tmp_path / "archive", server, "source")
        whole = archive.read_bytes()
        archive.write_bytes(whole[: len(whole) // 2])
        before = databases_of(server)
        with pytest.raises(ChildError, match="Cannot restore the archive"):
            restore_database(login(server), str(archive), source, tools_of(server))
        assert databases_of(server) == before


def test_a_database_whose_own_definitions_forbid_a_restore_leads_to_the_manual(
    postgres: Postgres, tmp_path: Path
) -> None:
    server, manual = postgres(15), Path(__file__).resolve().parents[2] / "docs" / "restore_manual.md"
    script = """CREATE TABLE z (a int); INSERT INTO z VALUES (1);
        CREATE FUNCTION is_known(int) RETURNS bool LANGUAGE sql AS 'SELECT EXISTS (SELECT FROM public.z WHERE a = $1)';
        CREATE TABLE t (a int CHECK (is_known(a))); INSERT INTO t VALUES (1)"""
    with database(server, "source", script):
        source = describe_database(login(server), "source")
        archive = dump_to(tmp_path / "archive", server, "source")
    with pytest.raises(ChildError, match="section What does not load as it is"):
        restore_database(login(server), str(archive), source, tools_of(server))
    assert "\n### What does not load as it is\n" in manual.read_text()


def test_what_a_killed_restore_left_is_dropped_by_the_next_and_a_living_one_is_left_alone(
    postgres: Postgres, tmp_path: Path
) -> None:
    server = postgres(15)
    during: list[set[str]] = []

    def another_restore_begins(step: str) -> None:
        if step == "restore.loaded":
            drop_abandoned(login(server))
        if step in ("restore.created", "restore.loaded"):
            during.append({name for name in databases_of(server) if name.startswith("lifeboat_restore_")})

    with database(server, "source", "CREATE TABLE t AS SELECT 1 AS a"):
        source = describe_database(login(server), "source")
        archive = dump_to(tmp_path / "archive", server, "source")
        server.sql("CREATE DATABASE lifeboat_restore_00000000")
        server.sql("COMMENT ON DATABASE lifeboat_restore_00000000 IS 'lifeboat: restore in progress'")
        steps.watch(another_restore_begins)
        try:
            restored = restore_database(login(server), str(archive), source, tools_of(server))
        finally:
            steps.unwatch(another_restore_begins)
        assert during == [{restored.name}, {restored.name}]
        assert drop_abandoned(login(server)) == []  # what is finished waits for its swap
        assert restored.name in databases_of(server)
        drop_database(login(server), restored.name)


def test_a_restored_database_that_differs_from_its_archive_is_refused_and_dropped(
    postgres: Postgres, tmp_path: Path
) -> None:
    server = postgres(15)
    with database(server, "source", "CREATE TABLE t AS SELECT i FROM generate_series(1, 10000) i"):
        source = describe_database(login(server), "source")
        archive = dump_to(tmp_path / "archive", server, "source")
        expected = fingerprint_of_archive(str(archive), tools_of(server).pg_restore, with_sums=True)
        whole = archive.read_bytes()
        archive.write_bytes(whole.replace(b"5000\n", b"5001\n"))
        before = databases_of(server)
        with pytest.raises(DamagedError, match="table public.t: 10000 rows, some with other content"):
            restore_database(login(server), str(archive), source, tools_of(server), expected=expected)
        assert databases_of(server) == before
        kept = restore_database(
            login(server), str(archive), source, tools_of(server), expected=expected, accept_differences=True
        )
        assert not kept.comparison.is_equal
        drop_database(login(server), kept.name)


def test_an_extension_and_its_configuration_survive(postgres: Postgres, tmp_path: Path) -> None:
    server = postgres(15)
    with database(server, "extended", "CREATE EXTENSION hstore; CREATE TABLE t AS SELECT 'a=>1'::hstore AS h"):
        source = describe_database(login(server), "extended")
        assert {"name": "hstore", "version": "1.8", "schema": "public"} in source["extensions"]
        restored = restore_database(
            login(server), str(dump_to(tmp_path / "a", server, "extended")), source, tools_of(server)
        )
        assert server.sql("SELECT h -> 'a' FROM t", restored.name) == "1"
        drop_database(login(server), restored.name)
