# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A database and a bucket are backed up into a bucket with a keyring and copied to a disk. Then there is only the disk,
and the code on paper, in a bare place: both are back, and the data are compared."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host import database_backup, objects_backup
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.database_backup import DatabaseJob
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.object_sources import BucketSelection
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.objects_job import ObjectsJob
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.place import Place
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.connection import Server
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.keyring import Access
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3.client import S3Client
from ansible_collections.lifeboat.recovery.tests.functional.job_fixtures import (
    directory_place,
    own_locks,
    server,
    site,
)
from ansible_collections.lifeboat.recovery.tests.functional.postgres_fixtures import PostgresServer, postgres
from ansible_collections.lifeboat.recovery.tests.functional.s3_fixtures import bucket, s3, s3_server, versioned_bucket
from ansible_collections.lifeboat.recovery.tests.functional.test_rescue import Bare
from ansible_collections.lifeboat.recovery.tests.unit.plugins.module_utils._engine.repository import keyrings

__all__ = ["bucket", "own_locks", "postgres", "s3", "s3_server", "server", "site", "versioned_bucket"]
DIGEST = "SELECT md5(string_agg(id || name, ',' ORDER BY id)) FROM goods"
OBJECTS = {
    "a": b"one",
    "2026/ä.txt": "ä".encode(),
    "empty": b"",
    "big": os.urandom(3_000_000) + bytes(3_000_000),
    **{f"small/{number:03}": b"line of object %d\n" % number * number for number in range(300)},
}
SOURCE = "lifeboat-rescue-source"


@pytest.fixture
def shop(server: PostgresServer) -> Server:
    server.sql("DROP DATABASE IF EXISTS rescue_shop")
    server.sql("CREATE DATABASE rescue_shop")
    rows = "CREATE TABLE goods AS SELECT n AS id, md5(n::text) AS name FROM generate_series(1, 20000) AS n"
    server.sql(rows, "rescue_shop")
    return Server(host=str(server.socket_dir), port=server.port, user=server.user, bin_dir=str(server.bin_dir))


def test_a_database_and_a_bucket_are_back_from_the_disk_and_the_code(
    tmp_path: Path, site: Place, s3: S3Client, server: PostgresServer, shop: Server
) -> None:
    secret = keyrings.fresh_secret()
    keyrings.create([site.store], secret)
    code_file = tmp_path / "code"
    keyrings.verify([site.store], secret, keyrings.export([site.store], secret, code_file))
    disk = directory_place(tmp_path / "disk", "disk")
    places = tuple(Place(each.name, each.store, access=Access(secret)) for each in (site, disk))
    s3.create_bucket(SOURCE)
    for key, data in OBJECTS.items():
        s3.put_object(SOURCE, key, data)
    database_backup.back_up(DatabaseJob("db1-shop", shop, "rescue_shop", places))
    opened = BucketSelection((SOURCE,)).opened
    objects_backup.back_up(ObjectsJob("db1-media", "bucket", lambda remark: opened(s3, remark), places))

    lists = {"files.jsonl", "needs.jsonl", "SHA256SUMS"}
    data = {path.name for path in (Path(disk.store.name) / "data").rglob("*") if path.is_file()} - lists
    assert data and all(name.endswith(".enc") for name in data)
    bare = Bare(tmp_path / "bare")
    shutil.copytree(disk.store.name, bare.root / "repository")
    shutil.copy(code_file, bare.root / "root" / "code")
    bare.rescue("restore", "db1-media", "latest", "/root/media")
    bare.rescue("restore", "db1-shop", "latest", "/root/shop")

    folder = bare.root / "root" / "media" / SOURCE
    found = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert found == OBJECTS
    wanted = server.sql(DIGEST, "rescue_shop")
    server.sql("DROP DATABASE rescue_shop")
    login = {"PGHOST": str(server.socket_dir), "PGPORT": str(server.port), "PGUSER": server.user}
    dump = bare.root / "root" / "shop" / "database.dump"
    command = [server.bin_dir / "pg_restore", "--create", "--exit-on-error", "-d", "postgres", dump]
    subprocess.run(command, env={**os.environ, **login}, check=True)
    assert server.sql(DIGEST, "rescue_shop") == wanted
    server.sql("DROP DATABASE rescue_shop")
