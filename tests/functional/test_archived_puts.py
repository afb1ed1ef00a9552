# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Small objects that come back to a bucket together, in archives that MinIO unpacks."""

from __future__ import annotations

import dataclasses
import typing as t

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects import archived_puts
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.bucket_source import BucketSource
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.bucket_target import BucketTarget
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.mangling import mangled
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.rows import Item, Row
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.target import Bring, Written
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3.client import S3Client
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3.object_properties import ObjectProperties
from ansible_collections.lifeboat.recovery.tests.functional.fault_proxy import FaultProxy
from ansible_collections.lifeboat.recovery.tests.functional.s3_fixtures import (
    VERSIONED,
    bucket,
    endpoint_of,
    limited,
    s3,
    s3_server,
    servers,
)
from ansible_collections.lifeboat.recovery.tests.functional.test_bucket_makes import row_of, versity

__all__ = ["bucket", "s3", "s3_server", "versity"]

RICH = ObjectProperties(
    {
        "content-type": "image/png",
        "cache-control": "no-cache",
        "content-disposition": 'attachment; filename="a b.png"',
        "content-encoding": "gzip",
        "content-language": "de",
        "expires": "Wed, 21 Oct 2026 07:28:00 GMT",
    },
    {"owner": "größe 漢字", "plain": "a b", "equals": "a=b&c"},
    {"a": "1", "b": "x y+=:/@"},
)
PLAIN = ObjectProperties({"content-type": "text/plain"})
CONTENTS = {
    **{f"folder-{number % 7}/object-{number:03}": b"object %d " % number * 40 for number in range(150)},
    "empty": b"",
    "zeros": bytes(5000),
    "odd/ä b+c%2F&<>'\".txt": b"odd name",
    "e\u0301 beside \u00e9": b"of two forms",
    "back\\slash": b"of another system",
    "much.too/" + "long-" * 30 + "/for-a-header": b"long name",
    "a.b/..c/.d/e..": b"dots that stay",
    "two  blanks ": b"at the end as well",
    "large": bytes(range(256)) * 600,  # more than what travels
}


class Sent:
    """The requests that wrote objects, as a target sends them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.archives: list[bytes] = []
        self.alone: list[str] = []
        put_task = S3Client.put_task

        def noted(client: S3Client, name: str, key: str, data: bytes, fields: t.Any, **options: t.Any) -> t.Any:
            if fields is archived_puts._UNPACK:
                self.archives.append(data)
            else:
                self.alone.append(key)
            return put_task(client, name, key, data, fields, **options)

        monkeypatch.setattr(S3Client, "put_task", noted)


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Sent:
    return Sent(monkeypatch)


@pytest.fixture(scope="module")
def rows(s3_server: servers.MinioServer) -> list[Row]:
    """Return the rows of objects as a backup has them: every third has metadata and tags."""
    client = S3Client(endpoint_of(s3_server))
    client.create_bucket("origin")
    for number, (key, data) in enumerate(CONTENTS.items()):
        client.put_object("origin", key, data, client.property_fields(PLAIN if number % 3 else RICH))
    source = BucketSource(client, ["origin"])
    found = [row_of(source.describe("origin", item), CONTENTS[item.key]) for item in source.items("origin")]
    client.close()
    return found


def bring(client: S3Client, to: str, given: t.Sequence[Row]) -> list[tuple[Bring, t.Any]]:
    """Bring rows to a bucket as a restore does, and return what came of them."""
    target = BucketTarget(client)
    target.prepare(to)
    orders = [Bring(to, row, target.key_for(row), CONTENTS[row.key], number) for number, row in enumerate(given)]
    waiting = iter(orders)
    done = list(target.write_through(lambda _may_wait: next(waiting, None), 12))
    assert sorted(order.token for order, _outcome in done) == list(range(len(orders))), "each is told once"
    return done


def assert_same(client: S3Client, to: str, given: t.Sequence[Row], is_listed: bool = True) -> None:
    """A bucket has the objects of the rows with all that they have, and nothing else."""
    source, target = BucketSource(client, [to]), BucketTarget(client)
    there: dict[str, Item] = {item.key: item for item in source.items(to)}
    assert set(there) == {row.key for row in given}
    for row in given:
        found, data = source.read_whole(to, there[row.key])
        assert data == CONTENTS[row.key]
        assert found.properties == row.properties
        assert target.is_same(row, there[row.key])
        assert bool(there[row.key].attributes) == is_listed


def test_objects_come_back_together_with_all_that_they_had(
    s3: S3Client, bucket: str, rows: list[Row], sent: Sent
) -> None:
    s3.document("PUT", bucket, "versioning", VERSIONED)
    done = bring(s3, bucket, rows)
    assert all(outcome[:2] == (order.row.key, ()) for order, outcome in done)
    assert_same(s3, bucket, rows)
    assert sent.alone == ["large"]
    assert 3 <= len(sent.archives) <= 6
    assert len(list(s3.list_versions(bucket))) == len(CONTENTS), "nothing was written twice"


def test_an_archive_that_was_damaged_on_its_way_leaves_no_damaged_object(
    s3_server: servers.MinioServer, s3: S3Client, bucket: str, rows: list[Row], sent: Sent
) -> None:
    damaged: list[bytes] = []

    def damage(_line: str, body: bytes) -> bytes:
        if body.count(b"ustar") < 10:
            return body
        for name in (b"object 2 object", b"object 107 object"):
            damaged.extend([name] * (name in body))
            body = body.replace(name, name.upper())
        return body

    with FaultProxy(s3_server.port) as proxy:
        proxy.change = damage
        through = S3Client(dataclasses.replace(s3.endpoint, url=proxy.url))
        done = bring(through, bucket, rows)
        through.close()
    assert len(damaged) >= 4, "it is sent once more"
    assert all(outcome[:2] == (order.row.key, ()) for order, outcome in done)
    assert_same(s3, bucket, rows)
    assert len(sent.alone) == 1 + 64, "what was damaged is written alone"
    assert len(sent.archives) > 1


def test_a_server_that_takes_an_archive_for_an_object_gets_each_alone(
    versity: S3Client, rows: list[Row], sent: Sent, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = [row for row in rows if row.key.startswith("folder")]
    bring(versity, "not-asked", given)
    assert sent.archives == []
    assert_same(versity, "not-asked", given, is_listed=False)

    monkeypatch.setattr(BucketTarget, "_unpacks", lambda _self, _collection: True)
    bring(versity, "asked", given)
    assert 1 <= len(sent.archives) <= 3
    assert_same(versity, "asked", given, is_listed=False)


def below(s3: S3Client, prefix: str) -> S3Client:
    """Return a client that may read all and write below a prefix."""
    return limited(
        s3,
        {"Effect": "Allow", "Action": ["s3:ListBucket", "s3:GetObject"], "Resource": ["arn:aws:s3:::*"]},
        {"Effect": "Allow", "Action": ["s3:PutObject", "s3:PutObjectTagging"], "Resource": [f"arn:aws:s3:::{prefix}*"]},
    )


def test_a_key_that_may_write_below_one_prefix_only_writes_there(
    s3: S3Client, bucket: str, rows: list[Row], sent: Sent
) -> None:
    inside = [row for row in rows if row.key.startswith("folder-1/")]
    outside = [row for row in rows if row.key.startswith("folder-2/")]
    client = below(s3, f"{bucket}/folder-1/")
    done = bring(client, bucket, [*inside, *outside])
    client.close()
    assert {order.row.key for order, outcome in done if isinstance(outcome, Written)} == {row.key for row in inside}
    assert_same(s3, bucket, inside)
    assert sorted(sent.alone) == sorted(row.key for row in [*inside, *outside])


def test_a_key_that_may_write_in_the_whole_bucket_sends_objects_together(
    s3: S3Client, bucket: str, rows: list[Row], sent: Sent
) -> None:
    client = below(s3, f"{bucket}/")
    bring(client, bucket, rows[:50])
    client.close()
    assert_same(s3, bucket, rows[:50])
    assert len(sent.archives) == 1 and sent.alone == []


def test_nothing_travels_to_a_bucket_that_can_lock(s3: S3Client, bucket: str, rows: list[Row], sent: Sent) -> None:
    name = f"{bucket}-locked"
    s3.create_bucket(name, object_lock=True)
    bring(s3, name, rows[:40])
    assert sent.archives == []
    assert_same(s3, name, rows[:40])


def test_what_no_archive_can_carry_goes_alone(s3: S3Client, bucket: str, rows: list[Row], sent: Sent) -> None:
    first = next(row for row in rows if row.key == "folder-1/object-001")
    odd = [
        first._replace(key=key, properties={**first.properties, **more})
        for key, more in (
            ("class", {"headers": {"content-type": "a/b", "x-amz-storage-class": "GLACIER"}}),
            ("line\nfeed", {}),
            ("folder/", {}),
            ("a//b", {}),
            ("tags", {"tags": {"a": "b&c"}}),
        )
    ]
    target = BucketTarget(s3)
    target.prepare(bucket)
    data = CONTENTS[first.key]
    orders = iter(
        [Bring(bucket, row, target.key_for(row), data) for row in [*odd, first, first._replace(key="second")]]
    )
    done = {order.row.key: outcome for order, outcome in target.write_through(lambda _wait: next(orders, None), 12)}
    assert len(sent.archives) == 1 and set(sent.alone) == {row.key for row in odd if row.key != "a//b"} | {
        mangled("a//b")
    }
    assert done["line\nfeed"][:2] == ("line\nfeed", ())
    assert [words.split(":")[0] for words in done["class"].remarks] == ["in the usual storage class"]
    assert [words.split(":")[0] for words in done["tags"].remarks] == ["without its tags"]
    listed = [item.key for item in BucketSource(s3, [bucket]).items(bucket)]
    assert sorted(listed) == sorted(outcome.key for outcome in done.values())
    assert all(s3.get_bytes(bucket, key, 10_000)[0] == data for key in listed)
