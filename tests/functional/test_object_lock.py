# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Object lock on a real MinIO: what is to be kept is locked, by a key that can do nothing else."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import typing as t

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.minio.identity_api import IdentityApi
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository import (
    catalog,
    identity,
    layout,
    object_lock,
    prune,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.bucket import BucketStore
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.keep import Keep
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.lock_policy import LockPolicy
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.object_lock import (
    LockRequest,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.store import (
    DeniedError,
    Retention,
    Store,
    StoreError,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3.client import S3Client
from ansible_collections.lifeboat.recovery.tests.functional.s3_fixtures import (
    bucket,
    endpoint_of,
    s3,
    s3_server,
    versioned_bucket,
)
from ansible_collections.lifeboat.recovery.tests.functional.test_prune_in_buckets import (
    JOB,
    ROOT,
    WINDOW,
    back_up,
    ids,
    make_plans_old,
)
from ansible_collections.lifeboat.recovery.tests.functional.test_repository_keys import Role

__all__ = ["bucket", "s3", "s3_server", "versioned_bucket"]

DAY = dt.timedelta(days=1)
_DEFAULT = b"""<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule><DefaultRetention>
<Mode>COMPLIANCE</Mode><Days>1</Days></DefaultRetention></Rule></ObjectLockConfiguration>"""


@pytest.fixture
def locking_bucket(s3: S3Client, bucket: str) -> str:
    """Return a fresh bucket with object lock."""
    name = f"locked-{bucket}"
    s3.create_bucket(name, object_lock=True)
    return name


@pytest.fixture
def root(s3: S3Client, locking_bucket: str) -> BucketStore:
    store = BucketStore(s3, locking_bucket, ROOT)
    identity.initialise(store)
    return store


@pytest.fixture
def locker(s3_server: t.Any, locking_bucket: str) -> t.Iterator[Store]:
    """Return the repository as the key of the role locker sees it."""
    with contextlib.closing(IdentityApi(endpoint_of(s3_server))) as api:
        made = Role(api, s3_server, "locker", locking_bucket)
        yield made.place.store
        made.client.close()


def locked(store: Store, keep: Keep | None = None, **changes: t.Any) -> object_lock.LockResult:
    request = dataclasses.replace(LockRequest(JOB, keep), **changes)
    return object_lock.lock(store, object_lock.plan(store, request))


def retentions(store: Store, prefix: str) -> dict[str, Retention]:
    return {
        version.entry.key: store.retention(version.entry.key, version.entry.version_id)
        for version in store.versions(prefix)
        if not version.is_delete_marker
    }


def test_everything_that_alive_backups_need_is_locked_by_a_key_that_can_do_nothing_else(
    root: BucketStore, locker: Store
) -> None:
    backup_id = back_up(root)
    now = root.now()

    result = locked(locker)

    needed = retentions(root, layout.data(JOB, backup_id))
    needed.update(retentions(root, layout.manifests(JOB)))
    needed.update(retentions(root, layout.IDENTITY))
    assert result.extended == len(needed) == 6 and result.denied == ()
    for key, found in needed.items():
        assert found.mode == "COMPLIANCE" and found.until is not None, key
        assert 14 * DAY <= found.until - now <= 15 * DAY
    for key in needed:
        version = next(version for version in root.versions(key) if version.entry.key == key)
        with pytest.raises(DeniedError):
            root.delete(key, version.entry.version_id)  # this is root of the server
    with pytest.raises(DeniedError):
        locker.put("data/x", b"")
    with pytest.raises(DeniedError):
        locker.delete(layout.manifest(JOB, backup_id))


def test_a_second_run_changes_nothing_and_no_lock_is_ever_shortened(root: BucketStore, locker: Store) -> None:
    backup_id = back_up(root)
    locked(locker, policy=LockPolicy(rolling=30 * DAY))
    before = retentions(root, "")

    again = object_lock.plan(locker, LockRequest(JOB, None, policy=LockPolicy(rolling=30 * DAY)))
    assert again.is_empty and again.locked == 6
    shorter = object_lock.plan(locker, LockRequest(JOB, None, policy=LockPolicy("GOVERNANCE", rolling=2 * DAY)))
    assert shorter.is_empty

    assert retentions(root, "") == before
    key = layout.manifest(JOB, backup_id)
    version = next(iter(root.versions(key)))
    soon = Retention("COMPLIANCE", root.now() + DAY)
    with pytest.raises(DeniedError):
        locker.retain(key, version.entry.version_id, soon)


def test_a_lock_lasts_as_long_as_the_tiers_promise_and_expired_backups_get_none(
    root: BucketStore, locker: Store
) -> None:
    first, second, third = sorted(back_up(root) for _number in range(3))
    keep = Keep(last=2, yearly=1, verified_min=1)
    result = locked(locker, keep)
    assert set(result.plan.promises) == {second, third}
    assert all(not found.mode for found in retentions(root, layout.data(JOB, first)).values())
    for backup_id in (second, third):
        [found] = retentions(root, layout.manifest(JOB, backup_id)).values()
        assert found.until == result.plan.promises[backup_id]


def test_a_backup_of_which_a_stored_file_is_gone_takes_the_lock_of_no_whole_one(
    root: BucketStore, locker: Store
) -> None:
    first, second, third = sorted(back_up(root) for _number in range(3))
    (dump,) = (entry.key for entry in root.entries(layout.data(JOB, third)) if "dump" in entry.key)
    root.delete(dump)  # what a delete marker hides is locked, too
    result = locked(locker, Keep(last=1, verified_min=1))
    assert set(result.plan.promises) == {second, third}
    for backup_id in (second, third):
        assert all(found.mode for found in retentions(root, layout.data(JOB, backup_id)).values())
    assert not any(found.mode for found in retentions(root, layout.data(JOB, first)).values())


def test_governance_is_extended_as_it_is_and_told_where_compliance_is_wanted(root: BucketStore, locker: Store) -> None:
    backup_id = back_up(root)
    locked(locker, policy=LockPolicy("GOVERNANCE"))
    result = locked(locker, policy=LockPolicy("COMPLIANCE", rolling=40 * DAY))
    assert (result.extended, result.denied, result.plan.weaker) == (6, (), 6)
    [found] = retentions(root, layout.manifest(JOB, backup_id)).values()
    assert found.mode == "GOVERNANCE" and found.until is not None and found.until - root.now() > 39 * DAY


def test_a_run_is_bounded_and_the_next_one_goes_on(root: BucketStore, locker: Store) -> None:
    back_up(root)
    first = locked(locker, most_requests=4)
    assert (first.extended, first.plan.left) == (4, 2)
    second = locked(locker, most_requests=4)
    assert (second.extended, second.plan.left) == (2, 0)


def test_prune_keeps_what_is_locked_and_says_until_when(root: BucketStore, locker: Store) -> None:
    made = sorted(back_up(root) for _number in range(4))
    locked(locker)
    request = prune.PruneRequest(JOB, Keep(last=2), force=True)

    result = prune.prune(root, request, WINDOW, 0)

    assert result.removed == () and ids(root) == made
    kept = {each.id: each for each in result.plan.retention.kept}
    [until] = {each.until for each in retentions(root, layout.manifest(JOB, made[0])).values()}
    assert kept[made[0]].reasons == ("locked by its bucket",) and kept[made[0]].until == until


def test_a_repository_can_be_made_and_used_in_a_bucket_with_a_default_retention(
    s3: S3Client, locking_bucket: str
) -> None:
    s3.document("PUT", locking_bucket, "object-lock", _DEFAULT)
    store = BucketStore(s3, locking_bucket, ROOT)

    made = identity.initialise(store)

    assert made.has_conditional_writes and made.signature_window == WINDOW
    assert [entry.key for entry in store.entries("")] == [layout.IDENTITY]  # probes are hidden
    assert identity.initialise(store) == made
    first, second = sorted(back_up(store) for _number in range(2))
    assert ids(store) == [first, second]
    result = prune.prune(store, prune.PruneRequest(JOB, Keep(last=1, verified_min=1), force=True), WINDOW, 0)
    assert ids(store) == [first, second]
    assert result.denied and all("locked until 20" in words for words in result.denied)  # intents that have ended
    make_plans_old(store)
    assert all(backup.is_good for backup in catalog.backups(store, JOB))


def test_a_bucket_without_object_lock_is_refused(s3: S3Client, versioned_bucket: str) -> None:
    store = BucketStore(s3, versioned_bucket, ROOT)
    identity.initialise(store)
    backup_id = back_up(store)
    with pytest.raises(StoreError):
        locked(store)
    document = store.get(layout.manifest(JOB, backup_id))
    assert document is not None and document.data.startswith(b"{")  # no retention was taken for its new bytes


def test_a_bucket_without_versions_is_refused(s3: S3Client, bucket: str) -> None:
    store = BucketStore(s3, bucket, ROOT)
    identity.initialise(store)
    back_up(store)
    with pytest.raises(StoreError, match="no versions"):
        locked(store)


def test_a_locked_file_cannot_be_written_into(
    s3_server: t.Any, root: BucketStore, locker: Store, locking_bucket: str
) -> None:
    """MinIO lets who may write put other bytes into a version that is there, also into one under governance."""
    backup_id = back_up(root)
    locked(locker)
    bucket, key = root.place_of(layout.data(JOB, backup_id, "dump"))
    version = next(iter(root.versions(layout.data(JOB, backup_id, "dump")))).entry.version_id
    with contextlib.closing(IdentityApi(endpoint_of(s3_server))) as api:
        anybody = Role(api, s3_server, "application", locking_bucket)
        status = anybody.status("PUT", key, (("versionId", version),), body=b"forged")
        anybody.client.close()
    assert status in (400, 403)
    assert b"".join(root.read(layout.data(JOB, backup_id, "dump"), version_id=version)) == backup_id.encode()
