# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Buckets as source and target on other makes of server, over TLS, and with object lock."""

from __future__ import annotations

import datetime as dt
import hashlib
import typing as t

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine import clock
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.bucket_source import BucketSource
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.bucket_target import BucketTarget
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.mangling import mangled
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.remarks import SKIPPED
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.rows import Row
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.source import Described
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3 import detailed_listing, failure
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3.calls import PartLayout
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3.client import S3Client
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3.failure import S3Error
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3.object_properties import (
    Lock,
    ObjectProperties,
)
from ansible_collections.lifeboat.recovery.tests.functional.s3_fixtures import (
    bucket,
    endpoint_of,
    s3,
    s3_server,
    s3_tls,
    s3_tls_server,
    servers,
)

__all__ = ["bucket", "s3", "s3_server", "s3_tls", "s3_tls_server"]

MIB = 1024 * 1024
PROPERTIES = ObjectProperties(
    {"content-type": "image/png", "cache-control": "no-cache", "expires": "Wed, 21 Oct 2026 07:28:00 GMT"},
    {"owner": "größe 漢字", "plain": "a  b"},
    {"a": "1", "b": "x y"},
)


@pytest.fixture(scope="module")
def versity(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[S3Client]:
    with servers.VersityServer(tmp_path_factory.mktemp("versity")) as server:
        client = S3Client(endpoint_of(server))
        yield client
        client.close()


def row_of(found: Described, data: bytes = b"") -> Row:
    return Row(*found.item, found.version, hashlib.sha256(data).hexdigest(), None, found.properties)


def round_trip(client: S3Client, name: str) -> None:
    """Write objects with properties and parts, bring them to another bucket, and compare."""
    client.create_bucket(name)
    client.put_object(name, "folder/small", b"content", client.property_fields(PROPERTIES))
    client.put_object(name, "empty", b"")
    upload = client.create_upload(name, "parts", client.property_fields(PROPERTIES))
    parts = [
        client.put_part(name, "parts", upload, 1, (b"x" * 5 * MIB,)),
        client.put_part(name, "parts", upload, 2, (b"y",)),
    ]
    client.complete_upload(name, "parts", upload, parts)
    source, target, other = BucketSource(client, [name]), BucketTarget(client), f"{name}-other"
    target.prepare(other)
    for item in source.items(name):
        found, data = source.read_whole(name, item)
        assert found == source.describe(name, item)
        written = target.write(other, row_of(found), iter([data[:3], data[3:]]))
        assert (written.key, written.remarks) == (item.key, ())
    there = list(source.items(other))
    for one, two in zip(source.items(name), there):
        row, copy = row_of(source.describe(name, one)), source.describe(other, two)
        assert copy.properties == row.properties
        assert (two.etag, two.size) == (one.etag, one.size)
        assert target.is_same(row, two)
    assert [item.key for item in there] == ["empty", "folder/small", "parts"]
    assert client.part_layout(other, "parts", there[2].etag) == PartLayout(5 * MIB, 2)


def test_objects_go_from_bucket_to_bucket_on_another_make_of_server(versity: S3Client) -> None:
    round_trip(versity, "plain")


def test_objects_go_from_bucket_to_bucket_over_tls(s3_tls: S3Client) -> None:
    round_trip(s3_tls, "plain")


def test_properties_are_changed_in_place_on_another_make_of_server(versity: S3Client) -> None:
    versity.create_bucket("changing")
    versity.put_object("changing", "a", b"content", versity.property_fields(PROPERTIES))
    source, target = BucketSource(versity, ["changing"]), BucketTarget(versity)
    (item,) = source.items("changing")
    row = row_of(source.describe("changing", item))
    versity.set_tags("changing", "a", {"a": "2"})
    assert versity.tags("changing", "a") == {"a": "2"}
    assert target.write_properties("changing", row).remarks == ()
    assert source.describe("changing", item).properties == row.properties
    assert versity.get_bytes("changing", "a", 100)[0] == b"content"


@pytest.mark.parametrize("keys", [("p", "p-x", "p/c"), ("a/b", "a/b/c", "a/b/c/d"), ("m", "m/", "m/x")])
@pytest.mark.parametrize("make", ["minio", "versity"])
def test_both_of_two_objects_of_which_one_hides_the_other_can_be_read(
    request: pytest.FixtureRequest, make: str, keys: tuple[str, ...]
) -> None:
    client: S3Client = request.getfixturevalue({"minio": "s3", "versity": "versity"}[make])
    name = f"hiding-{keys[0].replace('/', '-')}x"
    target = BucketTarget(client)
    target.prepare(name)
    rows = [Row(key, 0 if key.endswith("/") else 1, "", "", "", "", "", None, {}) for key in keys]
    for row in rows:
        target.key_for(row)
    written = {row.key: target.write(name, row, iter([b"x" * row.size])) for row in reversed(rows)}
    listed = {item.key for item in target.items(name)}
    assert listed == {each.key for each in written.values()}, "nothing is hidden"
    assert len(listed) == len(keys)
    hidden = written[keys[-1]]
    assert hidden.key == mangled(keys[-1])
    assert hidden.remarks


def test_locks_are_kept_where_the_bucket_can_and_told_where_it_cannot(s3: S3Client, bucket: str) -> None:
    until = clock.to_text(clock.now().replace(microsecond=0) + dt.timedelta(days=1))
    locked = ObjectProperties({"content-type": "a/b"}, {}, {}, Lock("GOVERNANCE", until, True))
    first, second = f"{bucket}-locked", f"{bucket}-locked-too"
    for name in (first, second):
        s3.create_bucket(name, object_lock=True)
    s3.put_object(first, "a", b"content", s3.property_fields(locked))
    source, target = BucketSource(s3, [first]), BucketTarget(s3)
    (item,) = source.items(first)
    row = row_of(source.describe(first, item))
    assert row.properties["lock"] == {"mode": "GOVERNANCE", "until": until, "hold": True}
    target.prepare(second)
    assert target.write(second, row, iter([b"content"])).remarks == ()
    (there,) = source.items(second)
    assert s3.lock(second, "a") == Lock("GOVERNANCE", until, True)
    assert target.is_same(row, there)
    s3.set_legal_hold(second, "a", False)
    (there,) = source.items(second)
    assert not target.is_same(row, there), "a hold that was lifted shows"
    plain = BucketTarget(s3)
    plain.prepare(bucket)
    assert plain.write(bucket, row, iter([b"content"])).remarks == ("without its lock: the bucket has no object lock",)
    (there,) = source.items(bucket)
    assert plain.is_same(row, there), "what a bucket cannot keep is not brought again and again"
    over = row._replace(
        properties={**row.properties, "lock": {"mode": "GOVERNANCE", "until": "2020-01-01T00:00:00.000000Z"}}
    )
    assert target.write(second, over._replace(key="over"), iter([b"content"])).remarks == ()
    assert s3.lock(second, "over") == Lock()
    s3.set_retention(first, "a", Lock("GOVERNANCE", until), bypass=True)
    s3.set_legal_hold(first, "a", False)


def test_what_a_server_refuses_of_the_properties_is_left_out_and_told(s3: S3Client, bucket: str) -> None:
    target = BucketTarget(s3)
    members = {"tags": {"ä": "ö"}, "headers": {"content-type": "a/b", "x-amz-storage-class": "GLACIER"}}
    for key, size in (("small", 3), ("large", 17 * MIB)):
        row = Row(key, size, "", "", "", "", "", None, members)
        written = target.write(bucket, row, iter([b"x" * size]))
        assert written.key == key
        assert sorted(words.split(":")[0] for words in written.remarks) == [
            "in the usual storage class",
            "without its tags",
        ]
        assert BucketSource(s3, [bucket]).describe(bucket, row.item).properties["headers"] == {"content-type": "a/b"}


def test_parts_that_are_too_large_for_memory_are_cut_anew_and_that_is_told(s3: S3Client, bucket: str) -> None:
    members = {"part_size": 1024 * MIB, "parts": 1}
    row = Row("a", 20 * MIB, "0" * 32 + "-1", "", "", "", "", None, members)
    written = BucketTarget(s3).write(bucket, row, (b"x" * MIB for _number in range(20)))
    assert written.remarks == ("in other parts than it had: its ETag is another",)
    assert s3.get_bytes(bucket, "a", 21 * MIB)[0] == b"x" * 20 * MIB


def test_what_breaks_off_leaves_nothing(s3: S3Client, bucket: str) -> None:
    def chunks() -> t.Iterator[bytes]:
        yield b"x" * 18 * MIB
        raise ZeroDivisionError

    for size in (20, 18 * MIB):
        with pytest.raises(ZeroDivisionError):
            BucketTarget(s3).write(bucket, Row("a", size, "", "", "", "", "", None, {}), chunks())
    assert s3.head(bucket, "a") is None
    assert s3.list_uploads(bucket, "a") == []


def test_what_missing_rights_hide_is_told(s3: S3Client, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"{bucket}-locked"
    s3.create_bucket(name, object_lock=True)
    for key in ("a", "b"):
        s3.put_object(name, key, b"content")
    told: list[tuple[str, ...]] = []
    source = BucketSource(s3, [name], report=lambda *words: told.append(words))
    items = list(source.items(name))
    assert [source.describe(name, item).item for item in items] == items
    assert told == []

    def denied(*_: t.Any, **__: t.Any) -> t.NoReturn:
        raise S3Error("Cannot read", 403, "AccessDenied", "no")

    monkeypatch.setattr(s3, "lock", denied)
    source = BucketSource(s3, [name], report=lambda *words: told.append(words))
    for item in items:
        source.describe(name, item)
    assert [(words[:3], "GetObjectRetention" in words[3]) for words in told] == [((name, "", "unseen"), True)]


def test_a_listing_that_shows_no_metadata_is_taken_as_it_is_and_told(
    s3: S3Client, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key in ("a", "b"):
        s3.put_object(bucket, key, b"content")
    told: list[tuple[str, ...]] = []
    source = BucketSource(s3, [bucket], report=lambda *words: told.append(words))
    monkeypatch.setattr(detailed_listing, "_complete", lambda *_: None)
    detailed_listing._shown.cache_clear()
    items = list(source.items(bucket))
    assert [(item.key, item.attributes) for item in items] == [("a", ""), ("b", "")]
    assert [words[:3] for words in told] == [(bucket, "", SKIPPED)]
    assert source.describe(bucket, items[0]).item == items[0]
    detailed_listing._shown.cache_clear()


def test_a_listing_whose_metadata_cannot_be_read_goes_on_without(
    s3: S3Client, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key in ("a", "b", "c"):
        s3.put_object(bucket, key, b"content")
    listed = s3.list_detailed

    def broken(*words: t.Any) -> t.Iterator[t.Any]:
        (page,) = listed(*words)
        assert page.keys == ["a", "b", "c"]
        yield page._replace(keys=["a"], is_truncated=True)  # as if the others were on the next page
        raise S3Error("Cannot list", 200, failure.BAD_ANSWER, "no XML")

    monkeypatch.setattr(s3, "list_detailed", broken)
    told: list[tuple[str, ...]] = []
    items = list(BucketSource(s3, [bucket], report=lambda *words: told.append(words)).items(bucket))
    assert [(item.key, bool(item.attributes)) for item in items] == [("a", True), ("b", False), ("c", False)]
    assert len(told) == 1
