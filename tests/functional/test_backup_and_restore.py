# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whole jobs on real servers: what went in comes out, whatever happened to a copy in between."""

from __future__ import annotations

import dataclasses
import functools
import subprocess
import typing as t
from pathlib import Path

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import (
    DamagedError,
    GuardRefusal,
    IncompleteError,
    LifeboatError,
    MissingPartError,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host import database_plan, proving, restore_run
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.backup_run import (
    BackupResult,
    newest_manifest,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.database_backup import back_up
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.drills import try_out
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.place import Place
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.archive import ScriptOptions
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.restore import RestoreOptions
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.verify.drill_place import DrillPlace
from ansible_collections.lifeboat.recovery.tests.functional.job_fixtures import (
    JOB,
    SMALL,
    away,
    dump_path,
    files_of,
    flip,
    job_of,
    local,
    manifests_of,
    own_locks,
    postgres,
    restored,
    rewrite,
    server,
    site,
)
from ansible_collections.lifeboat.recovery.tests.functional.postgres_fixtures import (
    MAJORS,
    PostgresServer,
    content_of,
    database,
    databases_of,
    login,
    properties_of,
    rich_database,
)

__all__ = ["local", "own_locks", "postgres", "server", "site"]
pytest_plugins = ("ansible_collections.lifeboat.recovery.tests.functional.s3_fixtures",)

Postgres = t.Callable[[int], PostgresServer]
NAMES = ("dbname=postgres", "a b;$(id)", "quo'te\" \\ back", "new\nline", "🛟 %s {0}")


def count(server: PostgresServer, name: str) -> str:
    return server.sql("SELECT count(*) FROM visit", name)


def drop(server: PostgresServer, name: str) -> None:
    if name:
        server.sql('DROP DATABASE "{}" WITH (FORCE)'.format(name.replace('"', '""')))


@pytest.mark.parametrize("major", MAJORS)
def test_a_dropped_database_comes_back_with_everything(
    postgres: Postgres, local: Place, site: Place, major: int
) -> None:
    server = postgres(major)
    with rich_database(server, "rich") as name:
        before, properties = content_of(server, name), properties_of(server, name)
        made = back_up(job_of(server, name, local, site))
        drop(server, name)
        result = restored(login(server), local, site)
        assert content_of(server, name) == before
        assert properties_of(server, name) == properties
    assert (result.id, result.repository, result.previous) == (made.id, "local", "")
    assert [(c.repository, c.is_primary, c.is_present, c.is_proved) for c in made.copies] == [
        ("local", True, True, True),
        ("site", False, True, True),
    ]
    assert made.is_complete and 0 < made.stored_bytes < made.plain_bytes


@pytest.mark.parametrize("kept", ["site", "local"])
def test_a_database_comes_back_from_the_repository_that_is_left(
    server: PostgresServer, local: Place, site: Place, kept: str
) -> None:
    with database(server, "lab", SMALL) as name:
        before = content_of(server, name)
        made = back_up(job_of(server, name, local, site))
        drop(server, name)
        lost = local if kept == "site" else site
        for entry in list(lost.store.entries("")):
            lost.store.delete(entry.key)
        result = restored(login(server), local, site)
        assert content_of(server, name) == before
    assert (result.id, result.repository) == (made.id, kept)
    assert any(note.startswith(f"{lost.name} cannot be used") for note in result.notes)


def test_copies_are_the_same_bytes(server: PostgresServer, local: Place, site: Place) -> None:
    with database(server, "lab", SMALL) as name:
        back_up(job_of(server, name, local, site, proof="none"))
    here, there = files_of(local), files_of(site)
    for each in (here, there):
        each.pop("lifeboat.json")
        for key in [key for key in each if key.startswith("maintenance/")]:
            each.pop(key)
    assert here == there and len(here) > 4


def test_damaged_tables_are_replaced_and_kept_beside(server: PostgresServer, local: Place) -> None:
    with database(server, "lab", SMALL) as name:
        before = content_of(server, name)
        back_up(job_of(server, name, local))
        server.sql("DELETE FROM visit WHERE id % 2 = 0; UPDATE visit SET what = 'gone' WHERE id = 1", name)
        damaged = content_of(server, name)
        result = restored(login(server), local, confirm="lab")
        try:
            assert content_of(server, name) == before
            server.sql(f'ALTER DATABASE "{result.previous}" ALLOW_CONNECTIONS true')
            assert content_of(server, result.previous) == damaged
        finally:
            drop(server, result.previous)


def test_a_replaced_database_goes_at_once_where_that_is_wanted(server: PostgresServer, local: Place) -> None:
    with database(server, "lab", SMALL) as name:
        back_up(job_of(server, name, local))
        there = databases_of(server)
        assert restored(login(server), local, confirm="lab", keep_previous=False).previous == ""
        assert databases_of(server) == there


@pytest.mark.parametrize("name", NAMES)
def test_a_job_finds_its_database_whatever_the_name(server: PostgresServer, local: Place, name: str) -> None:
    with database(server, name, SMALL):
        before = content_of(server, name)
        back_up(job_of(server, name, local))
        server.sql("DROP TABLE visit", name)
        result = restored(login(server), local, confirm=name)
        try:
            assert content_of(server, name) == before
            assert result.database == name and result.previous.startswith(f"{name}_before_")
        finally:
            drop(server, result.previous)


def test_an_empty_database_comes_back_empty(server: PostgresServer, local: Place, site: Place) -> None:
    with database(server, "void") as name:
        before = content_of(server, name)
        made = back_up(job_of(server, name, site, local))
        drop(server, name)
        restored(login(server), site, local)
        assert content_of(server, name) == before
    assert made.is_complete


@pytest.mark.parametrize("compression, suffix", [("gzip", ".gz"), ("none", "")])
def test_every_compression_comes_back(server: PostgresServer, local: Place, compression: str, suffix: str) -> None:
    with database(server, "lab", SMALL) as name:
        made = back_up(job_of(server, name, local, compression=compression))
        drop(server, name)
        restored(login(server), local)
        assert count(server, name) == "2000"
    assert dump_path(local, made.id).name == f"database.dump{suffix}"


def test_a_job_can_prove_each_copy_by_restoring_it(server: PostgresServer, local: Place) -> None:
    place = DrillPlace(bin_dir=str(server.bin_dir))
    with database(server, "lab", SMALL) as name:
        made = back_up(job_of(server, name, local, proof="restore", drill=place))
    assert made.copies[0].is_proved
    assert any(key.endswith("-restore.json") for key in files_of(local))


def test_a_scratch_server_that_ends_amid_a_restore_does_not_condemn_a_good_backup(
    server: PostgresServer, local: Place
) -> None:
    script = """CREATE FUNCTION ends() RETURNS bool LANGUAGE sql AS
            $$ SELECT current_database() = 'lab' OR pg_terminate_backend(pg_backend_pid()) $$;
        CREATE TABLE t (a int CHECK (public.ends())); INSERT INTO t VALUES (1)"""
    with database(server, "lab", script) as name:
        back_up(job_of(server, name, local))
    before, manifest = files_of(local), newest_manifest(local.store, JOB)
    assert manifest is not None
    place = DrillPlace(bin_dir=str(server.bin_dir))
    with pytest.raises(LifeboatError, match="that says nothing of the backup"):
        proving.prove(local.store, manifest, "restore", place, drill=functools.partial(try_out, place=place))
    assert files_of(local) == before


def test_a_pg_restore_that_is_too_old_does_not_condemn_a_good_backup(postgres: Postgres, local: Place) -> None:
    old, new = postgres(MAJORS[0]), postgres(MAJORS[-1])
    with database(new, "lab", SMALL) as name:
        back_up(job_of(new, name, local))
    before = files_of(local)
    manifest = newest_manifest(local.store, JOB)
    assert manifest is not None
    with pytest.raises(MissingPartError, match=f"cannot read an archive of pg_dump {new.major}"):
        proving.prove(local.store, manifest, "content", DrillPlace(bin_dir=str(old.bin_dir)))
    assert files_of(local) == before


def _cut(path: Path, _other: Path) -> None:
    rewrite(path, path.read_bytes()[:-100])


def _swapped(path: Path, other: Path) -> None:
    rewrite(path, other.read_bytes())


DAMAGES: dict[str, t.Callable[[Path, Path], None]] = {
    "missing": lambda path, _other: path.unlink(),
    "cut": _cut,
    "one bit": lambda path, _other: flip(path),
    "that of another backup": _swapped,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_bad_copy_is_passed_over_for_the_next(server: PostgresServer, local: Place, site: Place, damage: str) -> None:
    with database(server, "lab", SMALL) as name:
        earlier = back_up(job_of(server, name, local, site))
        server.sql("DELETE FROM visit WHERE id > 1500", name)
        made = back_up(job_of(server, name, local, site))
        before = content_of(server, name)
        DAMAGES[damage](dump_path(local, made.id), dump_path(local, earlier.id))
        drop(server, name)
        result = restored(login(server), local, site)
        assert content_of(server, name) == before
    assert (result.id, result.repository) == (made.id, "site")
    assert [note for note in result.notes if "local" in note and made.id in note]


def test_an_older_good_backup_stands_in_when_no_copy_of_the_newest_is_left(
    server: PostgresServer, local: Place
) -> None:
    with database(server, "lab", SMALL) as name:
        older = back_up(job_of(server, name, local))
        before = content_of(server, name)
        server.sql("INSERT INTO visit VALUES (9999, 'new')", name)
        newer = back_up(job_of(server, name, local))
        flip(dump_path(local, newer.id))
        drop(server, name)
        result = restored(login(server), local)
        assert content_of(server, name) == before
    assert result.id == older.id
    assert any(newer.id in note for note in result.notes)


@pytest.mark.parametrize("wanted", ["latest", "the id"])
def test_a_certain_backup_is_never_replaced_by_another(server: PostgresServer, local: Place, wanted: str) -> None:
    with database(server, "lab", SMALL) as name:
        back_up(job_of(server, name, local))
        newer = back_up(job_of(server, name, local))
        flip(dump_path(local, newer.id))
        before, there = content_of(server, name), databases_of(server)
        with pytest.raises(DamagedError, match="no copy of the backup can be used"):
            restored(login(server), local, confirm="lab", backup=newer.id if wanted == "the id" else wanted)
        assert content_of(server, name) == before
        assert databases_of(server) == there


def test_latest_good_is_the_newest_proved_one(server: PostgresServer, local: Place) -> None:
    with database(server, "lab", SMALL) as name:
        proved = back_up(job_of(server, name, local))
        unproved = back_up(job_of(server, name, local, proof="none"))

        def chosen(wanted: str) -> str:
            request = restore_run.RestoreRequest(JOB, wanted, (local,), login(server))
            return restore_run.plan(request).manifest.id

        assert chosen("latest_good") == proved.id
        assert chosen("latest") == unproved.id
        manifest = newest_manifest(local.store, JOB)
        assert manifest is not None and manifest.id == unproved.id
        proving.prove(local.store, manifest, "content", DrillPlace(bin_dir=str(server.bin_dir)))
        assert chosen("latest_good") == unproved.id
        flip(dump_path(local, unproved.id))
        proving.prove(local.store, manifest, "checksum", DrillPlace())
        assert chosen("latest_good") == proved.id


def test_nothing_proved_is_no_latest_good(server: PostgresServer, local: Place) -> None:
    with database(server, "lab", SMALL) as name:
        back_up(job_of(server, name, local, proof="none"))
        with pytest.raises(LifeboatError, match="1 backups are known, 0 of them proved"):
            restored(login(server), local, confirm="lab")


def test_a_backup_that_does_not_read_back_is_a_failure_and_not_good(
    server: PostgresServer, local: Place, site: Place
) -> None:
    def damage(line: str) -> None:
        if "back from local" in line:
            flip(dump_path(local, line.split("reading ")[1].split()[0]))

    with database(server, "lab", SMALL) as name:
        good = back_up(job_of(server, name, local, site))
        with pytest.raises(DamagedError, match="Cannot trust backup"):
            back_up(job_of(server, name, local, site), damage)
        assert len(manifests_of(site)) == 1
        request = restore_run.RestoreRequest(JOB, "latest_good", (local, site), login(server))
        assert restore_run.plan(request).manifest.id == good.id


def incomplete(job: t.Any) -> BackupResult:
    with pytest.raises(IncompleteError) as caught:
        back_up(job)
    assert isinstance(caught.value.result, BackupResult)
    assert caught.value.exit_code == 5
    return caught.value.result


def test_the_second_repository_is_written_to_when_the_first_is_away(server: PostgresServer, local: Place) -> None:
    gone = away()
    with database(server, "lab", SMALL) as name:
        before = content_of(server, name)
        result = incomplete(job_of(server, name, gone, local))
        drop(server, name)
        back = restored(login(server), gone, local)
        assert content_of(server, name) == before
    found = [(c.repository, c.is_primary, c.is_present, c.is_proved, bool(c.problem)) for c in result.copies]
    assert found == [("away", False, False, False, True), ("local", True, True, True, False)]
    assert back.id == result.id and any("away" in note for note in back.notes)


def test_a_copy_that_cannot_be_made_leaves_the_backup_incomplete(server: PostgresServer, local: Place) -> None:
    with database(server, "lab", SMALL) as name:
        result = incomplete(job_of(server, name, local, away()))
    assert [(c.repository, c.is_present) for c in result.copies] == [("local", True), ("away", False)]
    assert not result.is_complete and len(manifests_of(local)) == 1


def test_an_incomplete_backup_can_be_good_enough(server: PostgresServer, local: Place) -> None:
    with database(server, "lab", SMALL) as name:
        result = back_up(job_of(server, name, away(), local, allow_partial=True))
    assert not result.is_complete and result.copies[0].problem


def test_no_repository_at_all_is_a_failure_that_names_each(server: PostgresServer) -> None:
    with database(server, "lab", SMALL) as name, pytest.raises(LifeboatError) as caught:
        back_up(job_of(server, name, away("one"), away("two")))
    assert "no repository works" in str(caught.value) and not isinstance(caught.value, IncompleteError)


def test_a_plan_changes_nothing_and_estimates(server: PostgresServer, local: Place, site: Place) -> None:
    with database(server, "lab", SMALL) as name:
        job = job_of(server, name, away(), local, site)
        empty = files_of(local), files_of(site)
        first = database_plan.plan(job)
        assert (files_of(local), files_of(site)) == empty
        assert first.primary.repository == "local" and first.places[0].problem
        assert first.estimated_bytes == first.source.check.size_bytes
        made = back_up(dataclasses.replace(job, allow_partial=True))
        second = database_plan.plan(job)
    assert [place.latest.id if place.latest else "" for place in second.places] == ["", made.id, made.id]
    assert abs(second.estimated_bytes - made.stored_bytes) < made.stored_bytes * 0.2


def test_the_definitions_alone_can_be_restored_beside(server: PostgresServer, local: Place) -> None:
    with database(server, "lab", SMALL) as name:
        back_up(job_of(server, name, local))
        options = RestoreOptions(script=ScriptOptions(schema_only=True))
        try:
            restored(login(server), local, database="lab empty", options=options)
            assert (count(server, "lab empty"), count(server, name)) == ("0", "2000")
        finally:
            drop(server, "lab empty")


def test_another_server_without_the_roles_takes_the_data_without_owners(postgres: Postgres, local: Place) -> None:
    source, target = postgres(MAJORS[0]), postgres(MAJORS[-1])
    source.sql("CREATE ROLE only_here NOLOGIN")
    try:
        with database(
            source, "lab", SMALL + "ALTER TABLE visit OWNER TO only_here; GRANT SELECT ON visit TO only_here"
        ):
            back_up(job_of(source, "lab", local))
            before = source.sql("SELECT visit::text FROM visit ORDER BY id", "lab")
        request = restore_run.RestoreRequest(JOB, "latest_good", (local,), login(target))
        planned = restore_run.plan(request)
        with pytest.raises(LifeboatError, match="lacks the roles only_here"):
            restore_run.restore(planned)
        options = RestoreOptions(script=ScriptOptions(no_owner=True, no_privileges=True))
        try:
            restored(login(target), local, options=options)
            assert target.sql("SELECT visit::text FROM visit ORDER BY id", "lab") == before
        finally:
            drop(target, "lab")
    finally:
        source.sql("DROP ROLE only_here")


def test_a_database_that_appears_meanwhile_is_not_replaced(server: PostgresServer, local: Place) -> None:
    def newcomer(line: str) -> None:
        if "swapping in" in line:
            server.sql('CREATE DATABASE "lab two"')
            server.sql("CREATE TABLE precious (a int)", "lab two")

    with database(server, "lab", SMALL) as name:
        back_up(job_of(server, name, local))
        there = databases_of(server)
        try:
            with pytest.raises(GuardRefusal, match="Cannot replace database lab two") as caught:
                restored(login(server), local, database="lab two", say=newcomer)
            assert caught.value.guard == "confirm"
            assert databases_of(server) == there | {"lab two"}
            assert server.sql("SELECT count(*) FROM precious", "lab two") == "0"
        finally:
            drop(server, "lab two")


def test_a_standby_is_backed_up_without_its_unlogged_rows(
    postgres: Postgres, server: PostgresServer, local: Place
) -> None:
    settings = {"max_prepared_transactions": "5", "wal_level": "logical"}  # not less than those of the primary
    standby = PostgresServer(server.folder.parent / "standby", server.major, settings=settings)
    with database(server, "lab", SMALL + "CREATE UNLOGGED TABLE quick (a int); INSERT INTO quick VALUES (1);"):
        _clone(server, standby)
        with standby:
            made = back_up(job_of(standby, "lab", local))
        drop(server, "lab")
        restored(login(server), local)
        assert count(server, "lab") == "2000"
        assert server.sql("SELECT count(*) FROM quick", "lab") == "0"
    assert any("unlogged tables: public.quick" in warning for warning in made.warnings)


def _clone(server: PostgresServer, standby: PostgresServer) -> None:
    """Make a standby of a server by pg_basebackup."""
    standby._make_folders()
    argv = [server.bin_dir / "pg_basebackup", "-h", server.socket_dir, "-p", server.port, "-U", "postgres"]
    argv += ["-D", standby.data_dir, "-R", "-X", "stream", "-c", "fast", "--no-sync"]
    uid, gid = server.identity or (None, None)
    extra: dict[str, t.Any] = {"user": uid, "group": gid, "extra_groups": []} if server.identity else {}
    subprocess.run([str(word) for word in argv], check=True, capture_output=True, cwd=standby.folder, **extra)
