# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What tests of backups of buckets and their faults need: a server with the buckets, and one with repositories."""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import hashlib
import itertools
import pathlib
import shutil
import typing as t

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository import catalog, identity
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.bucket import open_bucket
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.stored_files import needed_files
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3.client import S3Client
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3.endpoint import Endpoint
from ansible_collections.lifeboat.recovery.tests.functional.crash_driver import Order
from ansible_collections.lifeboat.recovery.tests.functional.fault_fixtures import BUCKET, Driver, Ended, Lab, Site
from ansible_collections.lifeboat.recovery.tests.functional.quick_folder import quick_folder
from ansible_collections.lifeboat.recovery.tests.functional.s3_fixtures import VERSIONED
from servers import MinioServer

_numbers = itertools.count(1)
_THREADS = 16
PACK_BYTES = 1024 * 1024  # plain size of packs: small data has several; no less than a group of objects has
PART_BYTES = 5 * 1024 * 1024

Contents = t.Mapping[str, bytes]


class ObjectLab(Lab):
    """A MinIO with the buckets that are backed up (`origin`), and one with repositories (`minio`)."""

    def __init__(self, folder: pathlib.Path, origin: MinioServer, minio: MinioServer) -> None:
        super().__init__(folder, t.cast(t.Any, None), minio)
        self.origin = origin
        self.client = S3Client(Endpoint(**self.origin_endpoint()))

    def origin_endpoint(self, **changes: t.Any) -> dict[str, t.Any]:
        server = self.origin
        given = {"url": server.endpoint, "access_key": server.access_key, "secret_key": server.secret_key}
        return {**given, "max_attempts": 3, **changes}

    def bucket_with(self, contents: Contents, versioned: bool = False) -> str:
        """Return a fresh bucket that has these objects."""
        name = f"data-{next(_numbers)}"
        self.client.create_bucket(name)
        if versioned:
            self.client.document("PUT", name, "versioning", VERSIONED)
        self.write(name, contents)
        return name

    def write(self, bucket: str, contents: Contents) -> None:
        with concurrent.futures.ThreadPoolExecutor(_THREADS) as pool:
            list(pool.map(lambda each: self.client.put_object(bucket, *each), contents.items()))

    def remove(self, bucket: str, keys: t.Iterable[str]) -> None:
        with concurrent.futures.ThreadPoolExecutor(_THREADS) as pool:
            list(pool.map(lambda key: self.client.delete(bucket, key), keys))

    def contents(self, bucket: str) -> dict[str, bytes]:
        """Return what a bucket has."""
        keys = [each.key for each in self.client.list_objects(bucket)]
        with concurrent.futures.ThreadPoolExecutor(_THREADS) as pool:
            found = pool.map(lambda key: self.client.get_bytes(bucket, key, 1 << 28)[0], keys)
            return dict(zip(keys, found))

    def backup(self, job: str, bucket: str, *sites: Site, **changes: t.Any) -> Order:
        """Return the order of a backup; sites are its repositories."""
        places = [site.facts for site in sites]
        source = {"endpoint": self.origin_endpoint(), "buckets": [bucket]}
        given = Order("back_up_objects", job, places, source=source, pack_bytes=PACK_BYTES, part_bytes=PART_BYTES)
        return dataclasses.replace(given, **changes)

    def restore(self, job: str, bucket: str, to: str, *sites: Site, **changes: t.Any) -> Order:
        """Return the order of a restore of the newest good backup into another bucket."""
        places = [site.facts for site in sites]
        source = {"endpoint": self.origin_endpoint(), "map": {bucket: to}}
        return dataclasses.replace(Order("restore_objects", job, places, source=source), **changes)

    def restored(self, driver: Driver, job: str, bucket: str, *sites: Site, **options: t.Any) -> dict[str, bytes]:
        """Restore into a new bucket and return what is there."""
        to = self.bucket_with({})
        ended = driver.run(self.restore(job, bucket, to, *sites, options=options))
        assert ended.is_good, ended.error
        return self.contents(to)

    def close(self) -> None:
        self.client.close()
        super().close()


def contents(count: int, size: int = 2000, seed: str = "") -> dict[str, bytes]:
    """Return objects that do not compress, the same at every call."""
    return {f"folder-{n % 7}/object-{n:05d}": body(f"{seed}{n}", size) for n in range(count)}


def body(seed: str, size: int) -> bytes:
    return hashlib.shake_128(seed.encode()).digest(size)


def faults(site: Site, job: str) -> list[str]:
    """Say what is wrong with the stored files that backups of a job need, and what is to be read there; reads every
    byte."""
    there = site.documents(f"data/{job}/")  # also what killed runs have left
    found = site.leaks()
    for backup in catalog.backups(site.store, job, with_proof=False):
        if backup.manifest is None:
            found.append(f"{site.name}: the manifest of {backup.id} cannot be read")
            continue
        for each in needed_files(site.store, backup.manifest):
            if hashlib.sha256(there.get(each.key(job), b"")).hexdigest() != each.file.facts.stored_sha256:
                found.append(f"{site.name}: {each.key(job)} is not what was written")
    return found


def assert_good(ended: Ended, job: str, *sites: Site) -> str:
    """A run succeeded, its backup is good everywhere, and nothing else was left; return its id."""
    assert ended.is_good, ended.error
    for site in sites:
        assert ended.one["id"] in site.good_ids(job)
        assert faults(site, job) == []
        assert site.documents(f"intents/{job}/") == {}
        assert site.temporary_files() == []
    return str(ended.one["id"])


@contextlib.contextmanager
def running_object_lab() -> t.Iterator[ObjectLab]:
    folder = quick_folder("lbo-")
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        origin, minio = (stack.enter_context(MinioServer(folder / name)) for name in ("o", "m"))
        lab = ObjectLab(folder, origin, minio)
        stack.callback(lab.close)
        client = S3Client(Endpoint(**lab.endpoint()))
        stack.callback(client.close)
        client.create_bucket(BUCKET)
        client.document("PUT", BUCKET, "versioning", VERSIONED)
        yield lab


@pytest.fixture(scope="session")
def object_lab() -> t.Iterator[ObjectLab]:
    with running_object_lab() as running:
        yield running


def second_site(lab: ObjectLab) -> Site:
    """Return a fresh repository in a bucket of the origin's server, for when the other one is away."""
    bucket = lab.bucket_with({})
    facts = {"name": "near", "bucket": bucket, "prefix": "", "endpoint": lab.origin_endpoint()}
    store = open_bucket(Endpoint(**lab.origin_endpoint()), bucket, "")
    identity.initialise(store)
    return Site(facts, store)


@pytest.fixture
def object_driver() -> t.Iterator[Driver]:
    driver = Driver()
    yield driver
    driver.close()
