# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Buckets of a real server as a source and as a target."""

from __future__ import annotations

import hashlib
import os

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import GuardRefusal
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects import bucket_documents, mangling
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.bucket_source import BucketSource
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.bucket_target import BucketTarget
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.rows import Row
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.source import (
    ChangedError,
    Described,
    VanishedError,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3.client import S3Client
from ansible_collections.lifeboat.recovery.tests.functional.s3_fixtures import VERSIONED, bucket, s3, s3_server

__all__ = ["bucket", "s3", "s3_server"]

HEADERS = {
    "content-type": "image/png",
    "cache-control": "no-cache",
    "content-disposition": "attachment; filename=a.png",
    "content-language": "de",
    "expires": "Wed, 21 Oct 2026 07:28:00 GMT",
    "x-amz-meta-owner": "söme body",
    "x-amz-tagging": "a=1&b=x%20y",
}


REFUSED = ("a//b", "/x", "../x", "a/./b", "a/../b", "x" * 256, "a/" * 600, ".", "a/ ../b", "é" * 600)


@pytest.fixture
def other_bucket(s3: S3Client, bucket: str) -> str:
    """Return a second bucket, with versions."""
    name = f"{bucket}-other"
    s3.create_bucket(name)
    s3.document("PUT", name, "versioning", VERSIONED)
    return name


def row_of(found: Described, data: bytes) -> Row:
    return Row(*found.item, found.version, hashlib.sha256(data).hexdigest(), None, found.properties)


def test_what_an_object_is_besides_its_bytes_goes_from_bucket_to_bucket(
    s3: S3Client, bucket: str, other_bucket: str
) -> None:
    s3.put_object(bucket, "a/picture", b"content", HEADERS)
    s3.put_object(bucket, "plain", b"")
    source, target = BucketSource(s3, [bucket]), BucketTarget(s3)
    target.prepare(other_bucket)
    for item in source.items(bucket):
        found, data = source.read_whole(bucket, item)
        assert found.item == item
        assert target.write(other_bucket, row_of(found, data), iter([data])).remarks == ()
        assert source.describe(bucket, item) == found
    for one, other in zip(source.items(bucket), source.items(other_bucket)):
        assert one._replace(modified="") == other._replace(modified="")
        assert target.is_same(row_of(source.describe(bucket, one), b""), other)
        assert source.describe(other_bucket, other).properties == source.describe(bucket, one).properties
    assert source.describe(bucket, next(source.items(bucket))).properties == {
        "headers": {name: value for name, value in HEADERS.items() if not name.startswith("x-amz")},
        "metadata": {"owner": "söme body"},
        "tags": {"a": "1", "b": "x y"},
    }


def test_an_object_in_parts_keeps_its_parts_and_so_its_etag(s3: S3Client, bucket: str) -> None:
    part, data = 5 * 1024 * 1024, os.urandom(11 * 1024 * 1024)
    upload = s3.create_upload(bucket, "parts", {})
    parts = [s3.put_part(bucket, "parts", upload, n + 1, (data[n * part : (n + 1) * part],)) for n in range(3)]
    s3.complete_upload(bucket, "parts", upload, parts)
    source, target = BucketSource(s3, [bucket]), BucketTarget(s3)
    (item,) = source.items(bucket)
    found = source.describe(bucket, item)
    assert (found.properties["part_size"], found.properties["parts"]) == (part, 3)
    middle = b"".join(source.read_range(bucket, item, part - 5, 10))
    assert middle == data[part - 5 : part + 5]
    row = row_of(found, data)
    target.write(bucket, row._replace(key="again"), iter([data[:7], data[7:]]))
    changed = row._replace(properties={**row.properties, "tags": {"new": "1"}})
    target.write_properties(bucket, changed)
    listed = {each.key: each for each in source.items(bucket)}
    assert listed["again"].etag == listed["parts"].etag == item.etag
    assert source.describe(bucket, listed["parts"]).properties["tags"] == {"new": "1"}


def test_a_change_of_tags_alone_is_noticed_in_the_listing(s3: S3Client, bucket: str) -> None:
    s3.put_object(bucket, "a", b"content", HEADERS)
    source = BucketSource(s3, [bucket])
    (before,) = source.items(bucket)
    s3.set_tags(bucket, "a", {"a": "2"})
    (after,) = source.items(bucket)
    assert before._replace(attributes="") == after._replace(attributes="")
    assert (
        before.attributes and before.attributes != after.attributes == source.describe(bucket, before).item.attributes
    )


def test_objects_that_changed_or_vanished_are_told_apart(s3: S3Client, bucket: str) -> None:
    s3.put_object(bucket, "a", b"one")
    source = BucketSource(s3, [bucket])
    (item,) = source.items(bucket)
    s3.put_object(bucket, "a", b"two!")
    found, data = source.read_whole(bucket, item)
    assert (data, found.item.size) == (b"two!", 4)
    with pytest.raises(ChangedError):
        list(source.read_range(bucket, item, 0, 3))
    s3.put_object(bucket, "a", os.urandom(3 * 1024 * 1024))
    with pytest.raises(ChangedError):
        source.read_whole(bucket, item)
    s3.delete(bucket, "a")
    for ask in (lambda: source.describe(bucket, item), lambda: source.read_whole(bucket, item)):
        with pytest.raises(VanishedError):
            ask()


def test_a_bucket_that_is_named_and_missing_is_refused(s3: S3Client, bucket: str) -> None:
    assert BucketSource(s3, [bucket]).collections() == [bucket]
    assert bucket in BucketSource(s3, ["*"]).collections()
    assert bucket not in BucketSource(s3, ["*"], [bucket[:3] + "*"]).collections()
    with pytest.raises(GuardRefusal) as caught:
        BucketSource(s3, [bucket, "not-there"]).collections()
    assert caught.value.guard == "source"


@pytest.mark.parametrize(
    "key", ["a//b", "/x", "../x", "a/./b", "a/../b", "x" * 256, "a/" * 600, ".", "a/ ../b", "é" * 600]
)
def test_what_the_server_refuses_is_written_under_another_name_and_told(s3: S3Client, bucket: str, key: str) -> None:
    target = BucketTarget(s3)
    row = Row(key, 3, "", "", "", "", "", None, {"headers": {"content-type": "text/plain"}})
    written = target.write(bucket, row, iter([b"abc"]))
    assert written.key == mangling.mangled(key) == target.key_for(row)
    assert written.remarks
    assert [item.key for item in BucketSource(s3, [bucket]).items(bucket)] == [written.key]


def test_settings_go_from_bucket_to_bucket_as_the_servers_own_documents(
    s3: S3Client, bucket: str, other_bucket: str
) -> None:
    tagging = b"<Tagging><TagSet><Tag><Key>a</Key><Value>1</Value></Tag></TagSet></Tagging>"
    s3.document("PUT", other_bucket, "tagging", tagging)
    found = bucket_documents.read(s3, other_bucket)
    assert {"versioning", "tagging"} <= set(found)
    there = bucket_documents.read(s3, bucket)
    names = bucket_documents.changes(found, there)
    assert names == ("versioning", "tagging")
    for name in names:
        bucket_documents.write(s3, bucket, name, found.get(name))
    assert bucket_documents.changes(found, bucket_documents.read(s3, bucket)) == ()
    assert bucket_documents.changes({}, found) == ("tagging",)
    bucket_documents.write(s3, bucket, "tagging", None)
    assert "tagging" not in bucket_documents.read(s3, bucket)
