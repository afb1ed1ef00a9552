# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The least-right keys of a repository on a real MinIO: each does its work, and what it may not do is denied."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import functools
import hashlib
import http.client
import itertools
import os

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine import clock
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host import (
    copy_run,
    objects_backup,
    objects_restore,
    recovery_recording,
    verify_run,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.object_sources import (
    BucketSelection,
    FileSelection,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.objects_choice import Choice
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.objects_destination import Folder
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.objects_job import ObjectsJob
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.place import Place
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.minio import (
    canned_policies,
    repository_keys,
    users,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.minio.bucket_api import BucketApi
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.minio.identity_api import IdentityApi
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.minio.users import WantedUser
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository import (
    catalog,
    identity,
    layout,
    recovery_record,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.bucket import BucketStore
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.directory import DirectoryStore
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3.client import S3Client
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3.credentials import Credentials
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3.failure import S3Error
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3.object_properties import Lock
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3.signature import Signer, encoded_query
from ansible_collections.lifeboat.recovery.tests.functional.job_fixtures import own_locks
from ansible_collections.lifeboat.recovery.tests.functional.s3_fixtures import (
    bucket,
    endpoint_of,
    s3,
    s3_server,
    versioned_bucket,
)

__all__ = ["bucket", "own_locks", "s3", "s3_server", "versioned_bucket"]

_numbers = itertools.count(1)
SECRET = "canary-role-secret"
ROOT = "sites/one"
JOB = "host1-etc"


class Role:
    """Somebody who has the key of one role on one repository."""

    def __init__(self, api, server, role, bucket, prefix=ROOT):
        self.name = f"{role}-{next(_numbers)}"
        self.bucket = bucket
        canned_policies.plan_present(api, self.name, repository_keys.document(role, bucket, prefix)).apply(api)
        users.plan_present(api, WantedUser(self.name, SECRET, policies=(self.name,))).apply(api)
        self.endpoint = dataclasses.replace(endpoint_of(server), access_key=self.name, secret_key=SECRET)
        self.client = S3Client(self.endpoint)
        self.place = Place(role, BucketStore(self.client, bucket, prefix))

    def status(self, method, key, query=(), headers=(), body=b""):
        """Return the status of a request that our own client would never send."""
        path, text = f"/{self.bucket}/{key}", encoded_query(query)
        host = self.endpoint.host_header(self.endpoint.hostname)
        digest = hashlib.sha256(body).hexdigest()
        credentials = Credentials(self.name, SECRET)
        signer = Signer(self.endpoint.region)
        fields = signer.signed(credentials, clock.now(), method, host, path, text, dict(headers), digest)
        with contextlib.closing(http.client.HTTPConnection(host)) as connection:
            connection.request(method, f"{path}?{text}" if text else path, body, fields)
            return connection.getresponse().status


@pytest.fixture
def api(s3_server):
    with contextlib.closing(IdentityApi(endpoint_of(s3_server))) as found:
        yield found


@pytest.fixture
def root(s3, versioned_bucket):
    """Return the repository as its owner sees it, in a bucket with versions and with somebody else's object."""
    store = BucketStore(s3, versioned_bucket, ROOT)
    identity.initialise(store)
    s3.put_object(versioned_bucket, "sites/other/secret", b"not yours")
    return Place("root", store)


@pytest.fixture
def role(api, s3_server, root, versioned_bucket):
    made = []

    def make(name):
        made.append(Role(api, s3_server, name, versioned_bucket))
        return made[-1]

    yield make
    for each in made:
        each.client.close()


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "etc"
    path.mkdir()
    for number in range(5):
        (path / f"file-{number}").write_bytes(os.urandom(3_000))
    return path


def back_up(folder, *places, **more):
    """Back the folder up as a job does."""
    return objects_backup.back_up(ObjectsJob(JOB, "files", FileSelection((str(folder),)).opened, places, **more))


def manifest_key(backup_id):
    return f"{ROOT}/{layout.manifest(JOB, backup_id)}"


def denied(work):
    with pytest.raises(S3Error) as error:
        work()
    return error.value.status == 403


def test_a_writer_backs_up_and_reads_back(role, root, folder):
    writer = role("writer")
    first = back_up(folder, writer.place)
    (folder / "file-0").write_bytes(os.urandom(20 * 1024 * 1024))  # several parts
    second = back_up(folder, writer.place)
    found = catalog.backups(root.store, JOB)
    assert [each.id for each in found] == [first.id, second.id]
    assert list(root.store.entries("intents/")) == []


def test_a_writer_cannot_lose_a_backup(role, root, folder, s3):
    writer = role("writer")
    made = back_up(folder, writer.place)
    key = manifest_key(made.id)
    (version,) = (row.version_id for row in s3.list_versions(writer.bucket, key))
    files = [f"{ROOT}/{entry.key}" for entry in root.store.entries("data/")]
    for target in (key, f"{ROOT}/lifeboat.json", f"{ROOT}/jobs/{JOB}.json", *files):
        assert denied(lambda target=target: writer.client.delete(writer.bucket, target))
    assert denied(lambda: writer.client.delete(writer.bucket, key, version_id=version))
    # What is replaced in place has no older version.
    name = (("versionId", version),)
    assert writer.status("PUT", key, name, body=b"{}") == 403
    assert writer.status("POST", key, (("uploads", ""), *name)) == 403
    assert writer.status("PUT", key, (("versionId", "null"),), body=b"{}") == 403
    # Wipes all versions below a prefix, wherever objects may be deleted.
    for prefix in (f"{ROOT}/", f"{ROOT}/manifests/", f"{ROOT}/data/", ""):
        assert writer.status("DELETE", prefix, headers={"x-minio-force-delete": "true"}.items()) == 403
    # An overwritten manifest is an older version, and that one counts.
    writer.client.put_object(writer.bucket, key, b"forged")
    (found,) = catalog.backups(root.store, JOB)
    assert found.id == made.id and found.manifest is not None


def test_a_writer_records_recoveries_and_no_key_can_lose_them(role):
    writer, moment = role("writer"), clock.from_text("2026-11-20T08:31:00Z")
    told = recovery_record.Recovery(JOB, "flood", "db1", moment, moment, back_at=moment)
    (copy,) = recovery_recording.apply(recovery_recording.plan(told, [writer.place]))
    assert copy.found is not None and not copy.problem
    for name in ("writer", "verifier", "pruner", "reader"):
        someone = role(name)
        assert recovery_recording.records([someone.place], JOB).rows[0].record == copy.found
        assert denied(lambda someone=someone: someone.client.delete(someone.bucket, f"{ROOT}/{told.key}"))


def test_a_writer_has_no_business_elsewhere(role, s3):
    writer = role("writer")
    client, bucket = writer.client, writer.bucket
    assert denied(lambda: client.put_object(bucket, "sites/other/key", b""))
    assert denied(lambda: client.put_object(bucket, "sites/onepiece", b""))
    assert denied(lambda: client.get_bytes(bucket, "sites/other/secret", 100))
    assert denied(lambda: list(client.list_objects(bucket)))
    assert denied(lambda: list(client.list_objects(bucket, "sites/other/")))
    assert denied(lambda: client.delete(bucket, "sites/other/secret"))
    assert denied(lambda: client.document("DELETE", bucket, "lifecycle"))
    assert denied(lambda: client.document("PUT", bucket, "versioning", b"<VersioningConfiguration/>"))
    assert writer.status("DELETE", "") == 403
    assert s3.bucket_exists(bucket)


@pytest.mark.parametrize("name", ["writer", "pruner"])
def test_nobody_but_the_bucket_says_how_long_a_file_is_locked(api, s3_server, s3, name):
    bucket = f"locked-{name}"
    s3.create_bucket(bucket, object_lock=True)
    somebody = Role(api, s3_server, name, bucket)
    key, until = f"{ROOT}/data/x", clock.to_text(clock.now() + dt.timedelta(days=3650))
    locked = {"x-amz-object-lock-mode": "GOVERNANCE", "x-amz-object-lock-retain-until-date": until}
    assert denied(lambda: somebody.client.put_object(bucket, key, b"", locked))
    version = somebody.client.put_object(bucket, key, b"text").version_id
    lock = Lock(mode="GOVERNANCE", until=until)
    assert denied(lambda: somebody.client.set_retention(bucket, key, lock, version_id=version))
    assert denied(lambda: somebody.client.set_legal_hold(bucket, key, True, version_id=version))


def test_a_verifier_verifies_and_writes_nothing_but_its_records(role, folder, root):
    made = back_up(folder, root, proof="none")
    verifier = role("verifier")
    request = verify_run.VerifyRequest(JOB, "latest", (verifier.place,), "content")
    (verdict,) = verify_run.verify(verify_run.plan(request))
    assert verdict.is_good
    assert len(list(root.store.entries("verified/"))) == 1
    client, bucket = verifier.client, verifier.bucket
    record = f"{ROOT}/" + next(iter(root.store.entries("verified/"))).key
    assert denied(lambda: client.delete(bucket, record))
    for key in (manifest_key(made.id), f"{ROOT}/data/x", f"{ROOT}/lifeboat.json", "sites/other/key"):
        assert denied(lambda key=key: client.put_object(bucket, key, b""))
        assert denied(lambda key=key: client.delete(bucket, key))
    assert client.document("GET", bucket, "versioning")
    assert denied(lambda: client.document("PUT", bucket, "versioning", b"<VersioningConfiguration/>"))


def test_a_reader_restores_and_writes_nothing(role, folder, root, tmp_path):
    made = back_up(folder, root)
    reader = role("reader")
    target = tmp_path / "restored"
    request = objects_restore.RestoreRequest(Choice(JOB), (reader.place,), Folder(), map={str(folder): str(target)})
    result = objects_restore.restore(objects_restore.plan(request))
    assert (result.id, result.differences) == (made.id, 0)
    assert {path.name: path.read_bytes() for path in target.iterdir()} == {
        path.name: path.read_bytes() for path in folder.iterdir()
    }
    client, bucket = reader.client, reader.bucket
    for key in (manifest_key(made.id), f"{ROOT}/intents/{JOB}/x.json", f"{ROOT}/verified/x", "sites/other/key"):
        assert denied(lambda key=key: client.put_object(bucket, key, b""))
        assert denied(lambda key=key: client.delete(bucket, key))
    assert denied(lambda: client.get_bytes(bucket, "sites/other/secret", 100))


def test_a_pruner_copies_in_and_deletes_for_good_and_changes_no_settings(role, folder, root, s3, tmp_path):
    local = tmp_path / "local"
    local.mkdir()
    origin = Place("local", DirectoryStore(str(local)))
    identity.initialise(origin.store)
    made = back_up(folder, origin)
    pruner = role("pruner")
    copied = copy_run.run(copy_run.plan(copy_run.CopyRequest(JOB, "all", origin, pruner.place)))
    assert [each.id for each in copied] == [made.id]
    key, client, bucket = manifest_key(made.id), pruner.client, pruner.bucket
    for target in (key, *(f"{ROOT}/{entry.key}" for entry in root.store.entries("data/"))):
        for row in list(s3.list_versions(bucket, target)):
            client.delete(bucket, row.key, version_id=row.version_id)
    assert catalog.backups(root.store, JOB) == []
    assert list(s3.list_versions(bucket, f"{ROOT}/data/")) == []
    for kept in (f"{ROOT}/lifeboat.json", f"{ROOT}/jobs/{JOB}.json", f"{ROOT}/maintenance/{JOB}.json", "sites/other/x"):
        assert denied(lambda kept=kept: client.delete(bucket, kept))
    assert denied(lambda: client.document("PUT", bucket, "versioning", b"<VersioningConfiguration/>"))
    assert pruner.status("DELETE", f"{ROOT}/", headers={"x-minio-force-delete": "true"}.items()) == 403


def test_a_source_is_backed_up_whole_but_for_its_quota(api, s3_server, s3, versioned_bucket, tmp_path):
    s3.put_object(versioned_bucket, "photo", b"a photo", {"x-amz-tagging": "of=us"})
    BucketApi(s3).write(versioned_bucket, "quota", 10_000_000)
    local = tmp_path / "local"
    local.mkdir()
    place = Place("local", DirectoryStore(str(local)))
    identity.initialise(place.store)
    source = Role(api, s3_server, "source", versioned_bucket, "")
    selection = BucketSelection((versioned_bucket,))
    job = ObjectsJob("shop-photos", "bucket", functools.partial(selection.opened, source.client), (place,))
    # It would be incomplete, which raises, if anything but the quota were missing.
    assert objects_backup.back_up(job).statistics["objects"] == 1
    assert denied(lambda: source.client.put_object(versioned_bucket, "photo", b""))
    assert denied(lambda: source.client.delete(versioned_bucket, "photo"))
    assert denied(lambda: source.client.document("PUT", versioned_bucket, "tagging", b"<Tagging/>"))


@pytest.mark.parametrize("prefix", ["", "media"])
def test_an_application_uses_its_bucket_and_keeps_old_versions(api, s3_server, s3, versioned_bucket, prefix):
    application = Role(api, s3_server, "application", versioned_bucket, prefix)
    client, bucket, key = application.client, versioned_bucket, f"{prefix}/picture".lstrip("/")
    client.put_object(bucket, key, b"first")
    client.put_object(bucket, key, b"second")
    client.set_tags(bucket, key, {"kind": "picture"})
    assert client.get_bytes(bucket, key, 100)[0] == b"second"
    assert [row.key for row in client.list_objects(bucket, f"{prefix}/".lstrip("/"))] == [key]
    client.delete(bucket, key)
    versions = list(s3.list_versions(bucket, key))
    assert [row.is_delete_marker for row in versions] == [True, False, False]
    for row in versions:
        assert denied(lambda row=row: client.delete(bucket, key, version_id=row.version_id))
        assert application.status("PUT", key, (("versionId", row.version_id),), body=b"forged") == 403
    assert denied(lambda: client.document("PUT", bucket, "versioning", b"<VersioningConfiguration/>"))
    assert application.status("DELETE", "") == 403
    # The limit that docs/minio.md names.
    assert (
        application.status("DELETE", f"{prefix or 'picture'}/", headers={"x-minio-force-delete": "true"}.items()) == 204
    )
    if prefix:
        assert denied(lambda: client.put_object(bucket, "elsewhere", b""))
        assert denied(lambda: list(client.list_objects(bucket)))


@pytest.mark.parametrize("name", repository_keys.ROLES)
def test_the_policy_of_each_role_is_kept_by_the_server_as_it_is(api, name):
    for prefix in ("", ROOT):
        document = repository_keys.document(name, "backups", prefix)
        plan = canned_policies.plan_present(api, f"kept-{name}", document)
        assert plan.changed
        plan.apply(api)
        assert not canned_policies.plan_present(api, f"kept-{name}", document).changed
