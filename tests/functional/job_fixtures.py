# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What tests of whole jobs need: repositories, jobs, and ways to look at and to damage what lies there."""

from __future__ import annotations

import dataclasses
import typing as t
from pathlib import Path

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host import job_lock, restore_run
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.database_backup import DatabaseJob
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.place import Place, Say, silent
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.restore_request import RestoreRequest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.restore_run import RestoreResult
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.connection import Server
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.quoting import identifier
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository import identity
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.bucket import BucketStore
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.directory import DirectoryStore
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3.client import S3Client
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3.endpoint import Endpoint
from ansible_collections.lifeboat.recovery.tests.functional.postgres_fixtures import (
    MAJORS,
    PostgresServer,
    databases_of,
    login,
    postgres,
)
from servers import free_port

__all__ = ["own_locks", "local", "postgres", "server", "site"]

JOB = "host1-lab"
SMALL = """CREATE TABLE visit (id int PRIMARY KEY, what text);
INSERT INTO visit SELECT g, md5(g::text) FROM generate_series(1, 2000) g;"""


@pytest.fixture(autouse=True)
def own_locks(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep the locks of jobs out of the folder that real jobs of this machine use."""
    monkeypatch.setattr(job_lock, "_FOLDERS", (str(tmp_path_factory.mktemp("locks")),))


@pytest.fixture
def server(postgres: t.Callable[[int], PostgresServer]) -> t.Iterator[PostgresServer]:
    """Return a server of the oldest major, shared by all tests; databases that a test leaves on it are dropped."""
    shared = postgres(MAJORS[0])
    before = databases_of(shared)
    yield shared
    for left in databases_of(shared) - before:
        shared.sql(f"DROP DATABASE {identifier(left)} WITH (FORCE)")


@pytest.fixture
def local(tmp_path: Path) -> Place:
    """Return a repository in a directory."""
    return directory_place(tmp_path / "repository", "local")


@pytest.fixture
def site(s3: S3Client, versioned_bucket: str) -> Place:
    """Return a repository in a bucket with versions."""
    store = BucketStore(s3, versioned_bucket, "backups")
    identity.initialise(store)
    return Place("site", store)


def directory_place(folder: Path, name: str) -> Place:
    folder.mkdir()
    store = DirectoryStore(str(folder))
    identity.initialise(store)
    return Place(name, store)


def away(name: str = "away") -> Place:
    """Return a repository whose server does not run."""
    endpoint = Endpoint(f"http://127.0.0.1:{free_port()}", access_key="a", secret_key="b", max_attempts=1)
    return Place(name, BucketStore(S3Client(endpoint), "backups", ""))


def job_of(cluster: PostgresServer, name: str, /, *places: Place, **more: t.Any) -> DatabaseJob:
    given = DatabaseJob(JOB, login(cluster), name, places)
    return dataclasses.replace(given, **more)


def restored(server: Server, *places: Place, say: Say = silent, **more: t.Any) -> RestoreResult:
    """Restore the newest good backup, as a task would."""
    request = dataclasses.replace(RestoreRequest(JOB, "latest_good", places, server), **more)
    return restore_run.restore(restore_run.plan(request), say)


def files_of(place: Place) -> dict[str, bytes]:
    """Return everything that a repository holds."""
    return {entry.key: b"".join(place.store.read(entry.key)) for entry in place.store.entries("")}


def manifests_of(place: Place) -> list[str]:
    return [entry.key for entry in place.store.entries("manifests/")]


def dump_path(place: Place, backup_id: str) -> Path:
    """Return the stored file of a dump in a directory."""
    (path,) = (Path(place.store.name) / "data" / JOB / backup_id).glob("database.dump*")
    return path


def flip(path: Path) -> None:
    """Change one bit in the middle of a file; stored files are read-only, their owner may do so all the same."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    rewrite(path, bytes(data))


def rewrite(path: Path, data: bytes) -> None:
    path.chmod(0o600)
    path.write_bytes(data)
