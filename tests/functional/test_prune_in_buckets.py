# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Prunes on a real MinIO: with versions, under object lock, and with keys that may do more or less."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import typing as t

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import GuardRefusal
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.minio.identity_api import IdentityApi
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository import (
    catalog,
    delete,
    hold,
    identity,
    layout,
    lease,
    proof,
    prune,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.bucket import BucketStore
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.deletion_plan import DeletionPlan
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.keep import Keep
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.publish import Contents, Run
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.store import Store
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3.client import S3Client
from ansible_collections.lifeboat.recovery.tests.functional.s3_fixtures import (
    bucket,
    endpoint_of,
    s3,
    s3_server,
    versioned_bucket,
)
from ansible_collections.lifeboat.recovery.tests.functional.test_repository_keys import Role

__all__ = ["bucket", "s3", "s3_server", "versioned_bucket"]

JOB = "host1-etc"
ROOT = "sites/one"
WINDOW = dt.timedelta(minutes=15)
_RETENTION = b"""<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule><DefaultRetention>
<Mode>GOVERNANCE</Mode><Days>1</Days></DefaultRetention></Rule></ObjectLockConfiguration>"""


def back_up(store: Store) -> str:
    run = Run(store, JOB)
    run.store_file("dump", "dump", [run.id.encode()], "none")
    manifest = run.publish(Contents("pg_database", {}, {}, {}))
    verdicts = tuple(proof.FileVerdict(file.name, file.facts.stored_sha256, True) for file in manifest.files)
    proof.write(store, proof.ProofRecord(JOB, run.id, "content", store.now(), "db1", verdicts))
    run.close()
    return run.id


def backups(store: Store, count: int) -> list[str]:
    identity.initialise(store)
    return sorted(back_up(store) for _number in range(count))


def pruned(store: Store, keep: Keep | None = Keep(last=2), **options: t.Any) -> prune.PruneResult:  # noqa: B008
    return prune.prune(store, prune.PruneRequest(JOB, keep, force=True, **options), WINDOW, 0)


def make_plans_old(store: Store) -> None:
    for entry in list(store.entries(layout.plans(JOB))):
        document = store.get(entry.key)
        assert document is not None
        plan = DeletionPlan.from_bytes(document.data, entry.key)
        older = dataclasses.replace(plan, created=plan.created - dt.timedelta(days=2), is_struck=True)
        store.replace(entry.key, older.to_bytes(), document.etag)


def every_version(store: Store, prefix: str) -> list[str]:
    return [version.entry.key for version in store.versions(prefix)]


def ids(store: Store) -> list[str]:
    return [backup.id for backup in catalog.backups(store, JOB)]


@pytest.fixture
def root(s3: S3Client, versioned_bucket: str) -> BucketStore:
    return BucketStore(s3, versioned_bucket, ROOT)


@pytest.fixture
def role(s3_server: t.Any, versioned_bucket: str) -> t.Iterator[t.Callable[[str], Store]]:
    made = []
    with contextlib.closing(IdentityApi(endpoint_of(s3_server))) as api:

        def make(name: str) -> Store:
            made.append(Role(api, s3_server, name, versioned_bucket))
            return t.cast(Store, made[-1].place.store)

        yield make
    for each in made:
        each.client.close()


def test_the_key_of_the_pruner_removes_all_versions_of_what_goes_and_nothing_else(
    s3: S3Client, root: BucketStore, role: t.Callable[[str], Store], versioned_bucket: str
) -> None:
    made = backups(root, 4)
    s3.put_object(versioned_bucket, "sites/other/secret", b"not ours")
    root.put(layout.data(JOB, made[0], "dump"), b"overwritten")  # a second version
    root.delete(layout.data(JOB, made[1], "dump"))  # hidden by a delete marker
    root.put("notes.txt", b"somebody's")
    pruner = role("pruner")
    result = pruned(pruner)
    assert list(result.removed) == made[:2] and result.denied == ()
    make_plans_old(root)
    later = pruned(pruner)
    assert len(every_version(root, layout.lease(JOB))) == 4  # the key may not remove those
    assert later.files == result.planned == 8 and later.denied == ()
    for gone in made[:2]:
        for folder in ("data", "manifests", "verified", "intents"):
            assert not [key for key in every_version(root, f"{folder}/{JOB}/") if gone in key], folder
    assert ids(root) == made[2:]
    assert root.stat("notes.txt") and s3.head(versioned_bucket, "sites/other/secret")
    assert prune.plan(pruner, prune.PruneRequest(JOB, Keep(last=2)), WINDOW).is_empty


def test_a_key_that_may_removes_old_versions_of_the_lease(root: BucketStore) -> None:
    made = backups(root, 4)
    for gone in made[:2]:
        assert pruned(root, Keep(last=3 - made.index(gone))).removed == (gone,)
        # As it was held and as it was given back, by this prune and no other.
        assert len(every_version(root, layout.lease(JOB))) == 2
    assert prune.plan(root, prune.PruneRequest(JOB, Keep(last=2)), WINDOW).is_empty


def test_the_key_of_a_writer_removes_no_backup_and_no_file(root: BucketStore, role: t.Callable[[str], Store]) -> None:
    made = backups(root, 4)
    root.put(layout.data(JOB, "20200101T000000Z-0000aa", "dump"), b"left by a killed run")
    pruned(root, None)
    make_plans_old(root)
    files = every_version(root, "data/")
    result = pruned(role("writer"))
    assert not result.removed and result.files == 0
    assert len(result.denied) >= 2
    assert ids(root) == made and every_version(root, "data/") == files


def test_a_pruner_holds_and_releases_and_deletes(root: BucketStore, role: t.Callable[[str], Store]) -> None:
    made = backups(root, 3)
    pruner = role("pruner")
    with lease.held(pruner, JOB, WINDOW, 0) as permit:
        hold.place(pruner, JOB, made[0], "an audit", None, permit)
    root.delete(layout.hold(JOB, made[0]))  # a delete marker does not release it
    assert not pruned(pruner).removed
    with pytest.raises(GuardRefusal):
        delete.delete(pruner, JOB, made[0], WINDOW, wait_s=0)
    with lease.held(pruner, JOB, WINDOW, 0) as permit:
        hold.release(pruner, JOB, made[0], permit)
    assert not every_version(root, layout.holds(JOB))
    delete.delete(pruner, JOB, made[0], WINDOW, wait_s=0)
    assert ids(root) == made[1:]


def test_what_is_locked_stays_and_says_until_when(s3: S3Client, bucket: str) -> None:
    name = f"{bucket}-locked"
    s3.create_bucket(name, object_lock=True)
    store = BucketStore(s3, name, ROOT)
    identity.initialise(store)
    s3.document("PUT", name, "object-lock", _RETENTION)
    made = backups(store, 4)
    result = pruned(store)
    assert not result.removed and ids(store) == made
    first = result.plan.retention.kept[0]
    assert first.reasons == ("locked by its bucket",)
    assert first.until is not None
    assert abs(first.until - store.now() - dt.timedelta(days=1)) < dt.timedelta(minutes=10)
    store.put(layout.data(JOB, "20200101T000000Z-0000aa", "dump"), b"left by a killed run")
    pruned(store)
    make_plans_old(store)
    result = pruned(store)
    assert result.files == 0
    assert len([each for each in result.denied if "20200101T000000Z" in each and "locked until" in each]) == 1
    for each in made:
        assert b"".join(store.read(layout.data(JOB, each, "dump"))) == each.encode()
