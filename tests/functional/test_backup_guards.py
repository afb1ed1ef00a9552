# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Jobs that are refused or fail, on real servers: what they say, what they leave, and what they never show."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import resource
import shutil
import threading
import typing as t
from pathlib import Path

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine import steps
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import (
    BusyError,
    GuardRefusal,
    IncompleteError,
    LifeboatError,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host import database_plan, restore_run
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.database_backup import back_up
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.place import Place
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.connection import Server
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.bucket import BucketStore
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.directory import DirectoryStore
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3.client import S3Client
from ansible_collections.lifeboat.recovery.tests.functional.job_fixtures import (
    JOB,
    SMALL,
    directory_place,
    files_of,
    job_of,
    local,
    manifests_of,
    own_locks,
    postgres,
    restored,
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
)
from ansible_collections.lifeboat.recovery.tests.functional.quick_folder import quick_folder
from servers import MinioServer

__all__ = ["local", "own_locks", "postgres", "server", "site"]
pytest_plugins = ("ansible_collections.lifeboat.recovery.tests.functional.s3_fixtures",)

PASSWORD = "canary-of-the-database-0123456789"


@pytest.fixture(scope="module")
def guarded() -> t.Iterator[PostgresServer]:
    """Return a server that asks for a password on its TCP port."""
    folder = quick_folder("lbt-")
    try:
        with PostgresServer(folder / "pg", MAJORS[0], password=PASSWORD, settings={"log_connections": "on"}) as running:
            yield running
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def over_tcp(server: PostgresServer, **changes: t.Any) -> Server:
    return dataclasses.replace(login(server), host="127.0.0.1", **{"password": PASSWORD, **changes})


def refused(job: t.Any) -> GuardRefusal:
    with pytest.raises(GuardRefusal) as caught:
        back_up(job)
    assert caught.value.exit_code == 3 and caught.value.remedy
    return caught.value


def nothing_but_identity(place: Place) -> bool:
    return list(files_of(place)) == ["lifeboat.json"]


def test_a_dump_that_shrank_is_refused_and_the_last_backup_stays(server: PostgresServer, local: Place) -> None:
    with database(server, "lab", SMALL) as name:
        first = back_up(job_of(server, name, local))
        before = content_of(server, name)
        server.sql("DELETE FROM visit WHERE id > 10", name)
        assert refused(job_of(server, name, local)).guard == "shrunk"
        assert len(manifests_of(local)) == 1
        result = restored(login(server), local, database="lab two")
        try:
            assert result.id == first.id
            assert content_of(server, "lab two") == before
        finally:
            server.sql('DROP DATABASE "lab two"')
        warned = back_up(job_of(server, name, local, on_shrink="warn"))
        assert any("the last time it was" in warning for warning in warned.warnings)
        assert back_up(job_of(server, name, local)).warnings == ()


def test_shrinking_can_be_ignored(server: PostgresServer, local: Place) -> None:
    with database(server, "lab", SMALL) as name:
        back_up(job_of(server, name, local))
        server.sql("TRUNCATE visit", name)
        assert back_up(job_of(server, name, local, on_shrink="ignore")).warnings == ()


def test_a_job_saves_one_source_only_until_it_is_bound_anew(server: PostgresServer, local: Place, site: Place) -> None:
    with database(server, "lab", SMALL), database(server, "other", SMALL + "DROP TABLE visit; CREATE TABLE a (b int)"):
        back_up(job_of(server, "lab", local, site))
        other = job_of(server, "other", local, site, on_shrink="ignore")
        assert refused(other).guard == "source"
        with pytest.raises(GuardRefusal, match="is bound to"):
            database_plan.plan(other)
        assert len(manifests_of(local)) == 1
        rebound = back_up(dataclasses.replace(other, rebind=True))
        assert rebound.is_complete and len(manifests_of(site)) == 2
        back_up(other)
        assert refused(job_of(server, "lab", local, site)).guard == "source"


def test_a_copy_place_that_is_bound_elsewhere_leaves_the_backup_incomplete(
    server: PostgresServer, local: Place, site: Place
) -> None:
    with database(server, "lab", SMALL), database(server, "other"):
        back_up(job_of(server, "other", site))
        job = job_of(server, "lab", local, site)
        assert "is bound to" in database_plan.plan(job).places[1].problem
        with pytest.raises(IncompleteError, match="is bound to"):
            back_up(job)
    assert len(manifests_of(site)) == 1


def test_an_unmounted_repository_is_refused_and_not_written_to(
    server: PostgresServer, local: Place, tmp_path: Path
) -> None:
    mount_point = tmp_path / "nfs"
    mount_point.mkdir()
    unmounted = Place("nfs", DirectoryStore(str(mount_point)))
    with database(server, "lab", SMALL) as name:
        assert refused(job_of(server, name, unmounted)).guard == "repository"
        with pytest.raises(GuardRefusal, match="there is no repository"):
            database_plan.plan(job_of(server, name, unmounted))
        with pytest.raises(IncompleteError) as caught:
            back_up(job_of(server, name, unmounted, local))
        assert "no repository" in caught.value.result.copies[0].problem
    assert list(mount_point.iterdir()) == []


def test_another_repository_than_the_wanted_one_is_refused(server: PostgresServer, local: Place) -> None:
    wrong = dataclasses.replace(local, repository="00000000-0000-4000-8000-000000000000")
    with database(server, "lab", SMALL) as name:
        assert refused(job_of(server, name, wrong)).guard == "repository"
    assert nothing_but_identity(local)


def test_a_damaged_identity_does_not_cost_the_backup(server: PostgresServer, local: Place, tmp_path: Path) -> None:
    damaged = directory_place(tmp_path / "damaged", "damaged")
    path = tmp_path / "damaged" / "lifeboat.json"
    path.chmod(0o600)
    path.write_bytes(b"{")
    with database(server, "lab", SMALL) as name, pytest.raises(IncompleteError) as caught:
        back_up(job_of(server, name, damaged, local))
    assert [copy.is_present for copy in caught.value.result.copies] == [False, True]


def test_replacing_needs_the_name_of_the_database(server: PostgresServer, local: Place) -> None:
    with database(server, "lab", SMALL) as name:
        back_up(job_of(server, name, local))
        there = databases_of(server)
        for confirm in ("", "Lab", "lab "):
            with pytest.raises(GuardRefusal) as caught:
                restored(login(server), local, confirm=confirm)
            assert caught.value.guard == "confirm" and "'lab'" in caught.value.remedy
        assert databases_of(server) == there


def test_two_runs_of_a_job_at_once_are_one_run(server: PostgresServer, local: Place) -> None:
    begun, may_go = threading.Event(), threading.Event()

    def hold(line: str) -> None:
        if "backing up" in line:
            begun.set()
            assert may_go.wait(30)

    with database(server, "lab", SMALL) as name:
        job = job_of(server, name, local)
        made: list[t.Any] = []
        first = threading.Thread(target=lambda: made.append(back_up(job, hold)))
        first.start()
        try:
            assert begun.wait(30)
            with pytest.raises(BusyError) as caught:
                back_up(job)
        finally:
            may_go.set()
            first.join()
    assert caught.value.exit_code == 4
    assert len(made) == 1 and len(manifests_of(local)) == 1


def test_a_role_that_may_not_read_everything_is_told_what_is_missing(server: PostgresServer, local: Place) -> None:
    script = SMALL + "CREATE SCHEMA closed; CREATE TABLE closed.secret (a int); SELECT lo_from_bytea(0, 'x');"
    server.sql("CREATE ROLE reader LOGIN")
    try:
        with database(server, "lab", script) as name:
            job = job_of(server, name, local, server=login(server, "reader"))
            with pytest.raises(LifeboatError) as caught:
                back_up(job)
            text = str(caught.value)
            for words in ("as reader", "public.visit", "closed", "1 large objects", "pg_read_all_data"):
                assert words in text
            assert nothing_but_identity(local)
    finally:
        server.sql("DROP ROLE reader")


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"password": "wrong"}, ("password authentication failed", "login user and password")),
        ({"user": "nobody_here"}, ("nobody_here", "pg_hba.conf")),
        ({"port": 1}, ("refused", "that the server runs")),
    ],
)
def test_a_server_that_does_not_let_in_is_told_in_its_own_words(
    guarded: PostgresServer, local: Place, changes: dict[str, t.Any], words: tuple[str, ...]
) -> None:
    with pytest.raises(LifeboatError) as caught:
        back_up(job_of(guarded, "postgres", local, server=over_tcp(guarded, **changes)))
    assert all(word in str(caught.value) for word in words), str(caught.value)
    assert nothing_but_identity(local)


def test_a_database_that_is_not_there_is_named(server: PostgresServer, local: Place) -> None:
    with pytest.raises(LifeboatError, match="no database of this name"):
        back_up(job_of(server, "lba", local))


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"secret_key": "wrong-canary-0123456789"}, "SignatureDoesNotMatch"),
        ({"access_key": "who-is-this"}, "InvalidAccessKeyId"),
        ({"url": "http://127.0.0.1:1"}, "refused"),
    ],
)
def test_a_repository_that_does_not_let_in_is_told_in_its_own_words(
    server: PostgresServer, versioned_bucket: str, s3: S3Client, changes: dict[str, t.Any], words: str
) -> None:
    endpoint = dataclasses.replace(s3.endpoint, max_attempts=1, **changes)
    place = Place("site", BucketStore(S3Client(endpoint), versioned_bucket, "backups"))
    with database(server, "lab", SMALL) as name, pytest.raises(LifeboatError) as caught:
        back_up(job_of(server, name, place))
    assert words in str(caught.value) and caught.value.remedy, str(caught.value)
    assert "wrong-canary" not in str(caught.value) and s3.endpoint.secret_key not in str(caught.value)


def test_a_bucket_that_is_not_there_is_named(server: PostgresServer, s3: S3Client) -> None:
    place = Place("site", BucketStore(s3, "no-such-bucket", ""))
    with database(server, "lab", SMALL) as name, pytest.raises(LifeboatError) as caught:
        back_up(job_of(server, name, place))
    assert "no-such-bucket" in str(caught.value) and caught.value.remedy


@contextlib.contextmanager
def disk_of(size_bytes: int) -> t.Iterator[None]:
    """Let no file of this process grow beyond a size, as on a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_costs_the_new_backup_only(server: PostgresServer, local: Place) -> None:
    more = "INSERT INTO visit SELECT g, md5(g::text) FROM generate_series(10000, 40000) g"
    with database(server, "lab", SMALL) as name:
        first = back_up(job_of(server, name, local))
        before = content_of(server, name)
        server.sql(more, name)
        with disk_of(200_000), pytest.raises(LifeboatError) as caught:
            back_up(job_of(server, name, local))
        assert "larger than its file system or the limit" in str(caught.value)
        assert len(manifests_of(local)) == 1
        result = restored(login(server), local, database="lab two")
        try:
            assert (result.id, content_of(server, "lab two")) == (first.id, before)
        finally:
            server.sql('DROP DATABASE "lab two"')
        back_up(job_of(server, name, local))
        assert not list(local.store.entries("intents/"))


def test_a_full_disk_for_the_fetched_archive_leaves_the_server_alone(server: PostgresServer, site: Place) -> None:
    with database(server, "lab", SMALL) as name:
        back_up(job_of(server, name, site))
        there = databases_of(server)
        with disk_of(10_000), pytest.raises(LifeboatError, match="name another folder"):
            restored(login(server), site, confirm="lab")
        assert databases_of(server) == there


class Witness:
    """Notes the arguments of every process on this machine whenever the work comes to a step."""

    def __init__(self) -> None:
        self.seen: set[bytes] = set()

    def __call__(self, _step: str) -> None:
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                self.seen.add(path.read_bytes())

    def programs(self) -> set[str]:
        return {os.path.basename(line.split(b"\0")[0]).decode("utf-8", "replace") for line in self.seen}


def test_secrets_are_nowhere_to_be_seen(
    guarded: PostgresServer, local: Place, site: Place, s3_server: MinioServer
) -> None:
    witness, said = Witness(), []
    steps.watch(witness)
    try:
        with database(guarded, "lab", SMALL) as name:
            job = job_of(guarded, name, local, site, server=over_tcp(guarded), proof="restore")
            made = back_up(job, said.append)
            request = restore_run.RestoreRequest(JOB, "latest_good", (site, local), job.server, confirm="lab")
            planned = restore_run.plan(request)
            back = restore_run.restore(planned, said.append)
            guarded.sql(f'DROP DATABASE "{back.previous}"')
    finally:
        steps.unwatch(witness)
    assert {"pg_dump", "pg_dumpall", "pg_restore", "postgres"} <= witness.programs()
    places: dict[str, bytes] = {
        "arguments": b"\n".join(witness.seen),
        "progress": "\n".join(said).encode(),
        "results": repr((made, back, planned, job)).encode(),
        "log of PostgreSQL": guarded.log.read_bytes(),
        "log of MinIO": s3_server.log.read_bytes(),
        **{f"local {key}": data for key, data in files_of(local).items()},
        **{f"site {key}": data for key, data in files_of(site).items()},
    }
    assert len(places) > 15 and said
    for secret in (PASSWORD, s3_server.secret_key):
        assert [where for where, data in places.items() if secret.encode() in data] == []
