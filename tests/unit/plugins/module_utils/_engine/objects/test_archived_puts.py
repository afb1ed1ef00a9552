# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import collections
import hashlib
import io
import tarfile
import typing as t

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import LifeboatError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects import archived_puts
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.archived_puts import (
    ArchivedPuts,
    Member,
    archive,
    has_simple,
    may_travel,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.rows import Row
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.target import Bring, Written
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3.failure import S3Error

TYPE = {"content-type": "a/b"}


def order(key: str, data: bytes = b"content", collection: str = "uploads", **changes: t.Any) -> Bring:
    row = Row(key, len(data), hashlib.md5(data).hexdigest(), "", "", "", "", None, {})
    return Bring(collection, row._replace(**changes), key, data, key)


def member(given: Bring, **fields: str) -> Member:
    return Member(given, {**TYPE, **{name.replace("_", "-"): value for name, value in fields.items()}}, Written("told"))


@pytest.mark.parametrize(
    "key", ["a", "a/b", "ä/ö ", ".a", "a./b", "..a/b..", "a\\b", "x" * 1024, "a b/-c", "a/...", "%2F"]
)
def test_a_name_that_stays_as_it_is_may_travel(key: str) -> None:
    assert may_travel(order(key))


@pytest.mark.parametrize(
    "key",
    ["/a", "a/", "a//b", ".", "..", "./a", "../a", "a/.", "a/..", "a/./b", "a/../b", "a\nb", "a\0", "\x7f", "\udcff"],
)
def test_a_name_that_might_become_another_goes_alone(key: str) -> None:
    assert not may_travel(order(key))


@pytest.mark.parametrize(
    "given",
    [
        order("a", b"x" * 64 * 1024 + b"x"),
        order("a", properties={"parts": 1}),
        order("a", etag="0" * 32 + "-2"),
        order("a", etag=""),
    ],
)
def test_what_its_etag_would_not_tell_again_goes_alone(given: Bring) -> None:
    assert not may_travel(given)


@pytest.mark.parametrize(
    ("fields", "is_simple"),
    [
        ({}, True),
        ({"content-type": "a/b", "x-amz-meta-a": "ö"}, True),
        ({"x-amz-tagging": "a=b%20c&d="}, True),
        ({"x-amz-tagging": "a=b%26c"}, False),
        ({"x-amz-tagging": "%C3%A4=b"}, False),
        ({"x-amz-tagging": "&".join(f"{number}=x" for number in range(11))}, False),
        ({"x-amz-tagging": "a=" + "b" * 257}, False),
        ({"x-amz-meta-a": ""}, False),
        ({"x-amz-storage-class": "GLACIER"}, False),
        ({"x-amz-object-lock-legal-hold": "ON"}, False),
        ({"x-amz-website-redirect-location": "/a"}, False),
    ],
)
def test_only_headers_that_come_out_as_they_went_in_may_travel(fields: dict[str, str], is_simple: bool) -> None:
    assert has_simple(fields) == is_simple


def test_an_archive_can_be_read_by_others() -> None:
    long = "folder/" + "ä" * 150
    given = [
        member(order("a/b", b"first"), x_amz_meta_owner="größe"),
        member(order(long, b"x" * 1000)),
        member(order("empty", b"")),
        Member(order("bare", b"y" * 512), {}, Written("bare")),
    ]
    with tarfile.open(fileobj=io.BytesIO(archive(given))) as opened:
        found = {each.name: (each, t.cast(t.IO[bytes], opened.extractfile(each)).read()) for each in opened}
    assert {name: data for name, (_info, data) in found.items()} == {
        "a/b": b"first",
        long: b"x" * 1000,
        "empty": b"",
        "bare": b"y" * 512,
    }
    records = {name: info.pax_headers for name, (info, _data) in found.items()}
    assert records["a/b"] == {"minio.metadata.content-type": "a/b", "minio.metadata.x-amz-meta-owner": "größe"}
    assert records["bare"] == {"minio.metadata.content-type": "binary/octet-stream"}, "not by the end of its name"
    assert {info.mtime for info, _data in found.values()} == {0}


def refusal(status: int = 400, code: str = "BadRequest") -> S3Error:
    return S3Error("Cannot write", status, code, "it does not like it")


class Server:
    """A client that notes what it sends, each time answered at once."""

    def __init__(self, *refusals: S3Error, forgets: bool = False) -> None:
        self.refusals = list(refusals)  # of archives, the first ones
        self.forgets = forgets  # it does not unpack
        self.archives: list[tuple[str, list[str]]] = []  # key of the request, and of its members
        self.alone: list[str] = []
        self.looked: list[str] = []
        self.there: dict[str, t.Any] = {}

    def put_task(self, _collection: str, key: str, data: bytes, fields: t.Any) -> t.Any:
        yield from ()
        assert fields == {"x-amz-meta-snowball-auto-extract": "true"}
        if self.refusals:
            raise self.refusals.pop(0)
        with tarfile.open(fileobj=io.BytesIO(data)) as opened:
            self.archives.append((key, opened.getnames()))
            for each in opened:
                content = t.cast(t.IO[bytes], opened.extractfile(each)).read()
                sent = {name[len("minio.metadata.") :]: value for name, value in each.pax_headers.items()}
                self.there[each.name] = (len(content), hashlib.md5(content).hexdigest(), sent)

    def head_task(self, _collection: str, key: str) -> t.Any:
        yield from ()
        self.looked.append(key)
        if self.forgets:
            return None
        found = collections.namedtuple("Found", "size etag fields")
        return found(*self.there[key])

    def put_alone(self, given: Bring) -> t.Any:
        yield from ()
        self.alone.append(given.key)
        return given, Written("alone")

    def through(self, orders: t.Sequence[Bring], *rich: str, lonely: t.Collection[str] = ()) -> dict[str, str]:
        """Return, by key, what is told of each order; in the order in which that came."""

        def as_member(given: Bring) -> Member | None:
            if given.key in lonely:
                return None
            return member(given, x_amz_meta_a="b") if given.key in rich else member(given)

        waiting = iter(orders)
        puts = ArchivedPuts(t.cast(t.Any, self), as_member, self.put_alone)
        done = list(puts.through(lambda _may_wait: next(waiting, None), 4))
        assert sorted(given.token for given, _outcome in done) == sorted(given.token for given in orders)
        return {given.token: t.cast(Written, outcome).key for given, outcome in done}


KEYS = [f"{number:03}" for number in range(200)]


def test_objects_go_together_in_groups_and_the_first_one_is_looked_at() -> None:
    server = Server()
    done = server.through([order(key) for key in KEYS])
    assert [names for _key, names in server.archives] == [KEYS[:64], KEYS[64:128], KEYS[128:192], KEYS[192:]]
    assert [key for key, _names in server.archives] == [KEYS[0], KEYS[64], KEYS[128], KEYS[192]]
    assert server.looked == [KEYS[0]]
    assert set(done.values()) == {"told"} and server.alone == []


def test_an_archive_is_bounded_by_its_bytes() -> None:
    server = Server()
    server.through([order(key, b"x" * 60_000) for key in KEYS[:40]])
    assert [len(names) for _key, names in server.archives] == [18, 18, 4]


def test_metadata_is_looked_at_when_it_first_travels() -> None:
    server = Server()
    server.through([order(key) for key in KEYS], KEYS[70], KEYS[130])
    assert server.looked == [KEYS[0], KEYS[70]]


def test_what_goes_alone_keeps_its_place_and_collections_are_not_mixed() -> None:
    server = Server()
    orders = [order(key) for key in KEYS[:4]] + [order("a//b"), *(order(key) for key in KEYS[4:6])]
    orders += [order(key, collection="others") for key in KEYS[6:9]] + [order("single")]
    done = server.through(orders, lonely=[KEYS[1]])
    assert [names for _key, names in server.archives] == [KEYS[2:4], KEYS[4:6], KEYS[6:9]]
    assert server.alone == [KEYS[0], KEYS[1], "a//b", "single"]
    assert list(done) == [given.key for given in orders]


def test_a_server_that_does_not_unpack_gets_all_alone() -> None:
    server = Server(forgets=True)
    done = server.through([order(key) for key in KEYS])
    assert len(server.archives) == 1
    assert server.alone == KEYS and set(done.values()) == {"alone"}


@pytest.mark.parametrize("what", ["content-type", "x-amz-meta-a"])
def test_a_server_that_loses_properties_gets_all_alone(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server()
    monkeypatch.setattr(archived_puts, "_PROPERTY", f"minio.metadata.lost-{what}-")
    archived_puts._extension.cache_clear()
    server.through([order(key) for key in KEYS], KEYS[3])
    archived_puts._extension.cache_clear()
    assert len(server.archives) == 1 and server.alone == KEYS


def test_what_is_refused_goes_alone_and_after_three_times_all_does() -> None:
    server = Server(refusal(), refusal(403, "AccessDenied"))
    server.through([order(key) for key in KEYS])
    assert server.alone == KEYS[:128]
    assert [names for _key, names in server.archives] == [KEYS[128:192], KEYS[192:]]

    server = Server(refusal(), refusal(), refusal())
    server.through([order(key) for key in KEYS])
    assert server.alone == KEYS and server.archives == []


@pytest.mark.parametrize("error", [refusal(503, "SlowDown"), refusal(0, ""), refusal(403, "ExpiredToken")])
def test_what_concerns_the_whole_server_comes_out(error: S3Error) -> None:
    with pytest.raises(LifeboatError) as caught:
        Server(error).through([order(key) for key in KEYS])
    assert caught.value is error
