# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import datetime as dt
import email.utils

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import GuardRefusal, LifeboatError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.minio import bucket_removal
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3.download import Stored
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3.failure import S3Error
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3.listing import Listed

NOW = dt.datetime(2030, 1, 1, tzinfo=dt.timezone.utc)


class Bucket:
    """Stands for S3Client with one bucket; a key that another one shadows is in no listing, as on MinIO."""

    def __init__(self, *versions, locks=None, uploads=()):
        # A dictionary, because deletions come from several threads.
        self.versions = {(key, version): Listed(key, 1, "e", NOW, version) for key, version in versions}
        self.locks = locks or {}
        self.uploads = list(uploads)
        self.refused = set()
        self.grows = False

    def list_versions(self, bucket):
        keys = {key for key, _version in self.versions}
        shadows = [key for key in keys if any(other.startswith(key + "/") for other in keys)]
        entries = list(self.versions.values())
        return iter([entry for entry in entries if not any(entry.key.startswith(key + "/") for key in shadows)])

    def list_uploads(self, bucket):
        return list(self.uploads)

    def abort_upload(self, bucket, key, upload_id):
        self.uploads.remove((key, upload_id))

    def delete(self, bucket, key, version_id=""):
        if key in self.refused:
            raise S3Error("Cannot delete", 400, "InvalidRequest", "Object is WORM protected")
        del self.versions[(key, version_id)]
        if self.grows:
            self.versions[(key + "x", version_id)] = Listed(key + "x", 1, "e", NOW, version_id)

    def head(self, bucket, key, version_id=""):
        fields = {"date": email.utils.format_datetime(NOW, usegmt=True), **self.locks.get(key, {})}
        return Stored(1, "e", NOW, version_id, fields)


def test_all_versions_and_uploads_are_deleted():
    bucket = Bucket(("a", "1"), ("a", "2"), ("b", "3"), uploads=[("u", "1"), ("u", "2")])
    assert bucket_removal.empty(bucket, "docs") == 3
    assert bucket.versions == {} and bucket.uploads == []


def test_keys_that_the_listing_hides_are_deleted_too():
    bucket = Bucket(("p", "1"), ("p/c", "2"), ("p/c/d", "3"))
    assert bucket_removal.empty(bucket, "docs") == 3
    assert bucket.versions == {}


def test_more_versions_than_one_batch_are_deleted():
    bucket = Bucket(*(("k", str(number)) for number in range(2500)))
    assert bucket_removal.empty(bucket, "docs") == 2500


def test_a_refused_deletion_is_reported_with_the_words_of_the_server():
    bucket = Bucket(("a", "1"), ("b", "2"))
    bucket.refused = {"b"}
    with pytest.raises(LifeboatError, match="1 of 2 deletions.*'b' version 2.*WORM protected"):
        bucket_removal.empty(bucket, "docs")


def test_a_bucket_that_somebody_writes_to_is_given_up():
    bucket = Bucket(("a", "1"))
    bucket.grows = True
    with pytest.raises(LifeboatError, match="somebody is writing"):
        bucket_removal.empty(bucket, "docs")


@pytest.mark.parametrize(
    "lock",
    [
        {"x-amz-object-lock-legal-hold": "ON"},
        {
            "x-amz-object-lock-mode": "GOVERNANCE",
            "x-amz-object-lock-retain-until-date": "2030-01-01T00:00:01Z",
        },
        {
            "x-amz-object-lock-mode": "COMPLIANCE",
            "x-amz-object-lock-retain-until-date": "2031-01-01T00:00:00.123Z",
        },
        {"x-amz-object-lock-mode": "COMPLIANCE", "x-amz-object-lock-retain-until-date": "some day"},
    ],
)
def test_a_locked_version_is_found_before_anything_is_deleted(lock):
    bucket = Bucket(("a", "1"), ("b", "2"), locks={"b": lock})
    with pytest.raises(GuardRefusal, match="'b' version 2"):
        bucket_removal.refuse_locked(bucket, "docs")
    assert len(bucket.versions) == 2


@pytest.mark.parametrize(
    "lock",
    [
        {},
        {"x-amz-object-lock-legal-hold": "OFF"},
        {"x-amz-object-lock-mode": "GOVERNANCE", "x-amz-object-lock-retain-until-date": "2029-12-31T23:59:59Z"},
    ],
)
def test_a_version_whose_lock_has_ended_by_the_servers_clock_is_not_locked(lock):
    bucket_removal.refuse_locked(Bucket(("a", "1"), locks={"a": lock}), "docs")


def test_delete_markers_are_not_asked_for_locks():
    bucket = Bucket()
    bucket.versions = {("a", "1"): Listed("a", 0, "", NOW, "1", True, True)}
    bucket.head = None
    bucket_removal.refuse_locked(bucket, "docs")
