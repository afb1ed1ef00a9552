# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import random
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import DamagedError, LifeboatError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.archive import ScriptOptions
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.comparison import Comparison, compare
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.fingerprint import (
    Fingerprint,
    fingerprint_of_archive,
    fingerprint_of_database,
)
from ansible_collections.lifeboat.recovery.tests.functional.postgres_fixtures import (
    MAJORS,
    PostgresServer,
    content_of,
    database,
    dump_to,
    login,
    postgres,
    rich_database,
    tools_of,
)
from ansible_collections.lifeboat.recovery.tests.functional.test_postgres_dump import guarded_database

__all__ = ["postgres"]
Postgres = t.Callable[[int], PostgresServer]


def taken(server: PostgresServer, archive: Path, **options: bool) -> Fingerprint:
    return fingerprint_of_archive(str(archive), tools_of(server).pg_restore, ScriptOptions(**options), with_sums=True)


@pytest.mark.parametrize("major", MAJORS)
def test_a_database_and_its_archive_have_the_same_fingerprint(postgres: Postgres, tmp_path: Path, major: int) -> None:
    server = postgres(major)
    with rich_database(server, "rich") as name:
        archive = taken(server, dump_to(tmp_path / "archive", server, name))
        live = fingerprint_of_database(login(server), name, tools_of(server))
        assert compare(archive, live, same_major=True) == Comparison()
        assert archive.digest == live.digest


@pytest.mark.parametrize("major", MAJORS)
def test_the_figures_are_those_that_the_database_tells(postgres: Postgres, tmp_path: Path, major: int) -> None:
    server = postgres(major)
    with rich_database(server, "rich") as name:
        found = taken(server, dump_to(tmp_path / "archive", server, name))
        content = content_of(server, name)
        views = {"rows of clinic.per_mood"}
        rows = {key: len(value) for key, value in content.items() if key.startswith("rows of ") and key not in views}
        assert {f"rows of {table}": each.rows for table, each in found.tables.items()} == rows
        assert found.rows == sum(rows.values())
        assert found.large_object_count == 3
        assert found.sequence_count == 3
        assert found.owners == {"postgres", "clinic_owner", 'Rôle "x" 🛟'}
        assert found.server_version == found.dumped_by == server.sql("SHOW server_version").split()[0]


# What somebody, or a bad disk, may have changed in a restored database, and how the comparison tells it.
CHANGES = (
    (
        "UPDATE clinic.patient SET name = 'patient 7' WHERE name = 'Patient 7'",
        "table clinic.patient: 2000 rows, some with other content",
    ),
    (
        "DELETE FROM clinic.visit WHERE id = (SELECT min(id) FROM clinic.visit)",
        "table clinic.visit: 3000 rows in the archive, 2999 restored",
    ),
    (
        "INSERT INTO public.nothing DEFAULT VALUES",
        "table public.nothing: 2 rows in the archive, 3 restored",
    ),
    (
        "UPDATE public.single SET a = NULL WHERE a = ''",
        "table public.single: 4 rows, some with other content",
    ),
    (
        "UPDATE public.traps SET b = NULL WHERE b = E'\\\\N'",
        "table public.traps: 6 rows, some with other content",
    ),
    (
        "ALTER TABLE public.traps RENAME a TO c",
        "table public.traps: other columns",
    ),
    (
        "DROP TABLE public.empty_one",
        "table public.empty_one: not restored",
    ),
    (
        "CREATE TABLE public.more (a int)",
        "TABLE public.more: not in the archive",
    ),
    (
        "SELECT setval('public.down', -7)",
        "SEQUENCE SET public.down: another definition",
    ),
    (
        "SELECT lo_put(400001, 77, 'x')",
        "large objects: at least 1 of 3 have other content",
    ),
    (
        "SELECT lo_unlink(400002)",
        "3 large objects in the archive, 2 restored",
    ),
    (
        "DROP INDEX clinic.visit_by_patient",
        "INDEX clinic.visit_by_patient: not restored",
    ),
    (
        "ALTER TABLE clinic.visit DROP CONSTRAINT visit_patient_fkey",
        "FK CONSTRAINT clinic.visit visit_patient_fkey: not restored",
    ),
    (
        "DROP VIEW clinic.inpatients",
        "VIEW clinic.inpatients: not restored",
    ),
    (
        "DROP POLICY own ON clinic.visit",
        "POLICY clinic.visit own: not restored",
    ),
    (
        "ALTER TABLE clinic.visit DISABLE ROW LEVEL SECURITY",
        "ROW SECURITY clinic.visit: not restored",
    ),
    (
        "REVOKE UPDATE ON clinic.visit FROM clinic_reader",
        "ACL clinic.TABLE visit: another definition",
    ),
    (
        "COMMENT ON TABLE clinic.patient IS 'other'",
        "COMMENT clinic.TABLE patient: another definition",
    ),
    (
        "ALTER TYPE clinic.mood ADD VALUE 'new'",
        "TYPE clinic.mood: another definition",
    ),
    (
        "ALTER TYPE clinic.address OWNER TO clinic_owner",
        "TYPE clinic.address: another definition",
    ),
    (
        "ALTER LARGE OBJECT 400002 OWNER TO clinic_owner",
        "BLOB: another definition",
    ),
    (
        "DROP EVENT TRIGGER watching",
        "EVENT TRIGGER watching: not restored",
    ),
)


def test_every_kind_of_change_is_told(postgres: Postgres, tmp_path: Path) -> None:
    server = postgres(15)
    with rich_database(server, "rich") as name:
        archive = taken(server, dump_to(tmp_path / "archive", server, name))
        server.sql("ALTER DATABASE rich RESET default_transaction_read_only")
        server.sql("ALTER DATABASE rich CONNECTION LIMIT -1")
        for change, told in CHANGES:
            with database(server, "changed", options="TEMPLATE rich"):
                server.sql(change, "changed")
                live = fingerprint_of_database(login(server), "changed", tools_of(server))
                assert told in compare(archive, live, same_major=True).differences, change
                assert live.digest != archive.digest


def test_rows_in_another_order_are_the_same_rows(postgres: Postgres, tmp_path: Path) -> None:
    server = postgres(15)
    with database(server, "one", "CREATE TABLE t AS SELECT i, md5(i::text) FROM generate_series(1, 50000) i"):
        archive = taken(server, dump_to(tmp_path / "archive", server, "one"))
        with database(server, "two", "CREATE TABLE t AS SELECT i, md5(i::text) FROM generate_series(50000, 1, -1) i"):
            live = fingerprint_of_database(login(server), "two", tools_of(server))
            assert compare(archive, live, same_major=True).is_equal
            server.sql("UPDATE t SET md5 = (SELECT md5 FROM t WHERE i = 1) WHERE i = 2", "two")
            live = fingerprint_of_database(login(server), "two", tools_of(server))
            assert compare(archive, live, same_major=True).differences == (
                "table public.t: 50000 rows, some with other content",
            )


@pytest.mark.parametrize("major", MAJORS)
def test_an_archive_that_was_cut_anywhere_is_refused(postgres: Postgres, tmp_path: Path, major: int) -> None:
    server = postgres(major)
    with rich_database(server, "rich") as name:
        whole = dump_to(tmp_path / "whole", server, name).read_bytes()
    choose = random.Random(major)
    places = {0, 1, 4, 5, 10, 11, 100, len(whole) - 1, len(whole) - 2, len(whole) - 5, len(whole) - 6, len(whole) - 100}
    places |= {choose.randrange(len(whole)) for _ignored in range(80)}
    cut = tmp_path / "cut"
    for place in sorted(places):
        cut.write_bytes(whole[:place])
        with pytest.raises(LifeboatError):
            taken(server, cut)


def test_flipped_bits_in_rows_and_large_objects_change_the_fingerprint(postgres: Postgres, tmp_path: Path) -> None:
    server = postgres(15)
    with rich_database(server, "rich") as name:
        path = dump_to(tmp_path / "archive", server, name)
    good, whole = taken(server, path), path.read_bytes()
    flipped = tmp_path / "flipped"
    for text in (
        b"\tPatient 7\t",
        b"generic\n",
        b"\x00\xff\x10\x00\xff\x10",
        b"same group",
        b"setval('public.down",
        b"CREATE VIEW",
    ):
        place = whole.index(text) + 4
        flipped.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        assert taken(server, flipped).digest != good.digest, text


def test_flipped_bits_anywhere_never_pass_with_other_rows(postgres: Postgres, tmp_path: Path) -> None:
    server = postgres(15)
    with database(server, "small", "CREATE TABLE t AS SELECT i, md5(i::text) FROM generate_series(1, 300) i"):
        path = dump_to(tmp_path / "archive", server, "small")
    good, whole = taken(server, path), path.read_bytes()
    first_row = whole.index(b"1\tc4ca4238a0b923820dcc509a6f75849b\n")
    end = whole.index(b"300\t")
    choose = random.Random(1)
    flipped = tmp_path / "flipped"
    for place in (choose.randrange(first_row, end) for _ignored in range(60)):
        flipped.write_bytes(whole[:place] + bytes([whole[place] ^ (1 << choose.randrange(8))]) + whole[place + 1 :])
        try:
            differences = compare(good, taken(server, flipped), same_major=True).differences
        except LifeboatError:
            continue
        assert differences, place


def test_what_is_no_archive_is_refused_by_its_first_bytes(postgres: Postgres, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("CREATE TABLE t (a int);")
    with pytest.raises(DamagedError, match="it begins with"):
        taken(postgres(15), tmp_path / "text")


def test_a_database_that_cannot_be_dumped_tells_the_words_of_pg_dump(postgres: Postgres) -> None:
    server = postgres(15)
    with pytest.raises(LifeboatError, match='database "nowhere" does not exist'):
        fingerprint_of_database(login(server), "nowhere", tools_of(server))


def test_a_dump_that_leaves_something_out_gives_no_fingerprint(postgres: Postgres) -> None:
    server = postgres(15)
    with guarded_database(server) as name:
        server.sql("GRANT pg_read_all_data, postgres TO limited; ALTER ROLE limited BYPASSRLS", name)
        with pytest.raises(LifeboatError, match="subscriptions not dumped"):
            fingerprint_of_database(login(server, "limited"), name, tools_of(server))


def test_the_time_zone_of_a_server_does_not_change_the_fingerprint(postgres: Postgres) -> None:
    server = postgres(15)
    with database(server, "clocks", "CREATE TABLE t AS SELECT TIMESTAMPTZ '2026-03-29 01:30:00+00' AS at"):
        one = fingerprint_of_database(login(server), "clocks", tools_of(server))
        server.sql("ALTER DATABASE clocks SET timezone TO 'Europe/Lisbon'")
        server.sql("ALTER ROLE postgres SET timezone TO 'America/Lima'")
        try:
            other = fingerprint_of_database(login(server), "clocks", tools_of(server))
        finally:
            server.sql("ALTER ROLE postgres RESET timezone")
        assert one.digest == other.digest


def test_a_row_of_many_megabytes_needs_no_memory_of_its_size(postgres: Postgres, tmp_path: Path) -> None:

    server = postgres(15)
    with database(server, "wide", "CREATE TABLE t AS SELECT repeat('0123456789abcdef', 10 * 1024 * 1024) AS a"):
        path = dump_to(tmp_path / "archive", server, "wide")
    part = "ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres"
    script = f"""
import sys
from {part}.fingerprint import fingerprint_of_archive
from {part}.tools import Tool
found = fingerprint_of_archive(sys.argv[1], Tool("pg_restore", sys.argv[2], 15, "15"), with_sums=True)
# Not ru_maxrss: that begins with the size of the process that made this one (getrusage(2)).
peak = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM:"))
print(found.rows, found.tables["public.t"].size_bytes, peak // 1024)
"""
    argv = [sys.executable, "-c", script, str(path), tools_of(server).pg_restore.path]
    done = subprocess.run(argv, capture_output=True, text=True, check=True, env={"PYTHONPATH": ":".join(sys.path)})
    rows, size, peak_mib = map(int, done.stdout.split())
    assert (rows, size) == (1, 160 * 1024 * 1024 + 1)
    assert peak_mib < 80
