# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Two MinIO servers with buckets to mirror between, and mirrors of them, judged by what the servers hold."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import sys
import typing as t
from pathlib import Path

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host import mirror_run
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.mirror_job import MirrorJob, Side
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.mirror_run import MirrorResult
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.mirror_sides import QUARANTINE
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3 import object_properties
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3.client import S3Client
from ansible_collections.lifeboat.recovery.tests.functional.s3_fixtures import VERSIONED, endpoint_of, quick_server

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "environment"))

from servers import MinioServer

MIB = 1024 * 1024
PART = 5 * MIB  # the smallest part that S3 takes ("Amazon S3 multipart upload limits")
_numbers = itertools.count(1)


@dataclasses.dataclass(frozen=True)
class Bucket:
    """A bucket of a test server."""

    client: S3Client
    name: str
    versioned: bool

    def side(self, prefix: str = "", name: str = "", **endpoint: t.Any) -> Side:
        return Side(name, dataclasses.replace(self.client.endpoint, **endpoint), self.name, prefix)

    def put(self, key: str, data: bytes = b"x", **fields: str) -> str:
        headers = {name.replace("_", "-"): value for name, value in fields.items()}
        return self.client.put_object(self.name, key, data, headers).etag

    def put_parts(self, key: str, *parts: bytes, **fields: str) -> str:
        headers = {name.replace("_", "-"): value for name, value in fields.items()}
        upload = self.client.create_upload(self.name, key, headers)
        sent = [self.client.put_part(self.name, key, upload, n, (part,)) for n, part in enumerate(parts, 1)]
        return self.client.complete_upload(self.name, key, upload, sent).etag

    def get(self, key: str) -> bytes:
        return self.client.get_bytes(self.name, key, 1 << 30)[0]

    def etags(self, prefix: str = "") -> dict[str, str]:
        """Return the ETags of what is there, but for the quarantine."""
        listed = self.client.list_objects(self.name, prefix)
        return {each.key: each.etag for each in listed if QUARANTINE not in each.key}

    def quarantined(self) -> dict[str, bytes]:
        """Return what is in quarantine, by the key that it had."""
        listed = self.client.list_objects(self.name, QUARANTINE)
        return {each.key.split("/", 2)[2]: self.get(each.key) for each in listed}

    def old_versions(self) -> dict[tuple[str, str], bytes]:
        """Return the noncurrent versions, by key and ETag."""
        listed = [each for each in self.client.list_versions(self.name) if not each.is_latest and each.etag]
        return {
            (each.key, each.etag): self.client.get_bytes(self.name, each.key, 1 << 30, version_id=each.version_id)[0]
            for each in listed
        }

    def properties(self, key: str) -> object_properties.ObjectProperties:
        found = self.client.head(self.name, key)
        assert found is not None, f"{key} is not there"
        has_tags = object_properties.tagging_count(found.fields)
        return object_properties.from_fields(found.fields, self.client.tags(self.name, key) if has_tags else {})


class Makes(t.Protocol):
    def __call__(self, versioned: bool = True, lock: bool = False) -> Bucket:
        """Return a fresh bucket."""


def _maker(server: MinioServer) -> t.Iterator[Makes]:
    with contextlib.closing(S3Client(endpoint_of(server))) as client:

        def make(versioned: bool = True, lock: bool = False) -> Bucket:
            name = f"mirror-{next(_numbers)}"
            client.create_bucket(name, object_lock=lock)
            if versioned and not lock:
                client.document("PUT", name, "versioning", VERSIONED)
            return Bucket(client, name, versioned)

        yield make


@pytest.fixture(scope="module")
def here_server() -> t.Iterator[MinioServer]:
    with quick_server("lbm-") as running:
        yield running


@pytest.fixture(scope="module")
def there_server() -> t.Iterator[MinioServer]:
    with quick_server("lbm-") as running:
        yield running


@pytest.fixture
def here(here_server: MinioServer) -> t.Iterator[Makes]:
    yield from _maker(here_server)


@pytest.fixture
def there(there_server: MinioServer) -> t.Iterator[Makes]:
    yield from _maker(there_server)


def mirrored(source: Side, *targets: Side, **options: t.Any) -> MirrorResult:
    """Mirror, and return what was done."""
    job = MirrorJob(source, targets, **{"threads": 4, **options})
    with mirror_run.opened(job) as request:
        planned = mirror_run.plan(request, job)
        with planned.steps:
            return mirror_run.run(planned)


def counts(result: MirrorResult, number: int = 0) -> dict[str, int]:
    """Return what was done at a target, without what was not."""
    return {action.value: count for action, count in result.targets[number].counts.items() if count}


def planned(source: Side, *targets: Side, **options: t.Any) -> list[dict[str, int]]:
    """Return what would be done at each target."""
    job = MirrorJob(source, targets, **{"threads": 4, **options})
    with mirror_run.opened(job) as request:
        found = mirror_run.plan(request, job)
        found.steps.close()
        return [{action.value: n for action, n in tally.counts.items() if n} for tally in found.tallies]
