# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import datetime as dt
import itertools
import typing as t
import urllib.parse
import xml.sax.saxutils

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3 import listing
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3.failure import S3Error
from hypothesis import given, settings
from hypothesis import strategies as st

MOMENT = dt.datetime(2026, 11, 20, 2, 0, 0, 123000, tzinfo=dt.timezone.utc)
keys = st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30), unique=True, max_size=20)
SHAPES = {
    "minio": "<Contents><Key>{key}</Key><LastModified>{time}</LastModified><ETag>&#34;{etag}&#34;</ETag>"
    "<Size>{size}</Size><StorageClass>STANDARD</StorageClass></Contents>",
    "aws": "<Contents><Key>{key}</Key><LastModified>{time}</LastModified><ETag>&quot;{etag}&quot;</ETag>"
    "<ChecksumAlgorithm>CRC32</ChecksumAlgorithm><ChecksumType>FULL_OBJECT</ChecksumType><Size>{size}</Size>"
    "<Owner><ID>x</ID><DisplayName/></Owner><StorageClass>STANDARD</StorageClass></Contents>",
    "another order": '<Contents><Size>{size}</Size><ETag>"{etag}"</ETag><Key>{key}</Key>'
    "<LastModified>{time}</LastModified></Contents>",
}


def encoded(key: str) -> str:
    return urllib.parse.quote_plus(key, safe="/-_.*")


def page(
    names: t.Sequence[str], shape: str = "minio", truncated: bool = False, token: str = "", is_url: bool = True
) -> bytes:
    rows = "".join(
        SHAPES[shape].format(
            key=encoded(key) if is_url else xml.sax.saxutils.escape(key),
            time="2026-11-20T02:00:00.123Z",
            etag=f"{number:032x}",
            size=number,
        )
        for number, key in enumerate(names)
    )
    kind = "<EncodingType>url</EncodingType>" if is_url else ""
    following = f"<NextContinuationToken>{token}</NextContinuationToken>" if token else ""
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        f"<Name>b</Name><Prefix></Prefix>{kind}<IsTruncated>{str(truncated).lower()}</IsTruncated>{following}{rows}"
        "</ListBucketResult>"
    ).encode()


def in_order(names: t.Iterable[str]) -> list[str]:
    return sorted(names, key=lambda name: name.encode())


def listed(*pages: bytes, prefix: str = "") -> list[listing.Listed]:
    remaining = iter(pages)
    return list(listing.objects(lambda _query: next(remaining), "Cannot list", prefix))


@given(keys, st.sampled_from(sorted(SHAPES)))
def test_a_page_reads_the_same_by_expression_and_by_xml(names: list[str], shape: str) -> None:
    body = page(in_order(names), shape)
    assert listing.parse_objects(body) == listing._xml_objects(body)
    rows = listing.parse_objects(body).entries
    assert [row.key for row in rows] == in_order(names)
    assert all(row.size == number and row.etag == f"{number:032x}" for number, row in enumerate(rows))
    assert all(row.modified == MOMENT for row in rows)


@pytest.mark.parametrize("shape", ["minio", "aws"])
def test_the_shapes_of_known_servers_need_no_xml_parser(shape: str) -> None:
    assert listing._plain_objects(page(["a", "b c"], shape)) is not None


@pytest.mark.parametrize(
    "change",
    [
        (b"<Contents>", b"<Contents a='1'>"),
        (b"<Size>1</Size>", b"<Size>1</Size><Extra><Contents/></Extra>"),
        (b"<Name>b</Name>", b"<!-- x --><Name>b</Name>"),
        (b"</ListBucketResult>", b"</ListBucketResult> <!-- x -->"),
        (b"<EncodingType>url</EncodingType>", b""),
    ],
)
def test_anything_unusual_is_left_to_the_xml_parser(change: tuple[bytes, bytes]) -> None:
    assert listing._plain_objects(page(["a", "b"]).replace(*change)) is None


@given(st.binary(max_size=60), st.integers(0, 2000), st.integers(0, 40))
@settings(max_examples=300)
def test_a_damaged_page_is_refused_or_equals_what_xml_reads(noise: bytes, position: int, cut: int) -> None:
    body = page(["a", "b+c", "d%"], "aws")
    position %= len(body)
    damaged = body[:position] + noise + body[position + cut :]
    plain = listing._plain_objects(damaged)
    if plain is None:
        return
    try:
        by_xml = listing._xml_objects(damaged)
    except listing.MalformedPage:
        # Damage outside of the entries that leaves all of them whole is not seen by the expressions.
        by_xml = plain
    assert [row for row in plain.entries if row not in by_xml.entries] == []
    assert len(plain.entries) == len(by_xml.entries)


def test_keys_of_servers_that_do_not_encode_them_are_taken_as_they_are() -> None:
    names = ["a%20b", "c+d", "e&f"]
    assert [row.key for row in listed(page(names, is_url=False))] == names


def test_bytes_that_are_no_utf8_survive() -> None:
    body = page(["x"]).replace(b"<Key>x</Key>", b"<Key>%FF%fe</Key>")
    assert [row.key.encode("utf-8", "surrogateescape") for row in listed(body)] == [b"\xff\xfe"]


def test_pages_are_joined_by_their_tokens() -> None:
    asked: list[t.Any] = []
    pages = iter([page(["a"], truncated=True, token="t1"), page([], truncated=True, token="t2"), page(["b"])])

    def fetch(query: t.Any) -> bytes:
        asked.append(dict(query))
        return next(pages)

    assert [row.key for row in listing.objects(fetch, "Cannot list", "", "0")] == ["a", "b"]
    assert [query.get("continuation-token") for query in asked] == [None, "t1", "t2"]
    assert all(query["encoding-type"] == "url" and query["list-type"] == "2" for query in asked)


@pytest.mark.parametrize(
    ("pages", "words"),
    [
        ([page(["b", "a"])], "stands behind"),
        ([page(["a", "a"])], "stands behind"),
        ([page(["a"], truncated=True, token="t"), page(["a"])], "stands behind"),
        ([page(["\uffff", "\U00010000"])[:-1]], "no XML"),
        ([page(["a"], truncated=True)], "where the next one begins"),
        ([page(["a"], truncated=True, token="t"), page(["b"], truncated=True, token="t")], "says it twice"),
        ([page(["a"])[:-30]], "no XML"),
        ([b""], "no XML"),
        ([b"<html>hello</html>"], "it is a html"),
        ([b"<!DOCTYPE x [<!ENTITY a 'b'>]>" + page(["a"])], "document type"),
        ([page(["a"]).decode().replace("UTF-8", "UTF-16").encode("utf-16")], "document type, or is not UTF-8"),
        ([page(["a"]).replace(b"<IsTruncated>false</IsTruncated>", b"")], "IsTruncated"),
        ([page(["a"]).replace(b"Size>0<", b"Size>x<")], "cannot be read"),
        ([page(["a"]).replace(b"123Z", b"123")], "cannot be read"),
    ],
)
def test_a_listing_that_cannot_be_trusted_is_refused(pages: list[bytes], words: str) -> None:
    with pytest.raises(S3Error, match="BadAnswer") as caught:
        listed(*pages)
    assert words in str(caught.value)


def test_keys_outside_of_the_prefix_are_refused() -> None:
    with pytest.raises(S3Error, match="stands behind"):
        listed(page(["other/a"]), prefix="mine/")


def test_order_is_that_of_utf8_bytes() -> None:
    assert [row.key for row in listed(page(["\uffff", "\U00010000"]))] == ["\uffff", "\U00010000"]


def version_page(rows: str, following: str = "", truncated: bool = False) -> bytes:
    return (
        '<ListVersionsResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><EncodingType>url</EncodingType>'
        f"<IsTruncated>{str(truncated).lower()}</IsTruncated>{following}{rows}</ListVersionsResult>"
    ).encode()


def row(key: str, version: str, kind: str = "Version", latest: bool = False) -> str:
    size = "<ETag>&quot;e&quot;</ETag><Size>3</Size>" if kind == "Version" else ""
    return (
        f"<{kind}><Key>{key}</Key><LastModified>2026-11-20T02:00:00Z</LastModified>{size}"
        f"<IsLatest>{str(latest).lower()}</IsLatest><VersionId>{version}</VersionId></{kind}>"
    )


# As MinIO writes them.
VERSION = (
    "<Version><Key>{key}</Key><LastModified>2026-11-20T02:00:00.123Z</LastModified><ETag>&#34;{etag}&#34;</ETag>"
    "<Size>{size}</Size><Owner><ID>02d6176d</ID><DisplayName>minio</DisplayName></Owner>"
    "<StorageClass>STANDARD</StorageClass><IsLatest>{latest}</IsLatest><VersionId>{version}</VersionId></Version>"
)


def version_rows(names: t.Iterable[str]) -> str:
    rows = [(encoded(name), version) for name in names for version in (2, 1)]
    return "".join(
        VERSION.format(
            key=key, etag=f"{size:032x}", size=size, latest=str(version == 2).lower(), version=f"9ac5a5b6-{version}"
        )
        for size, (key, version) in enumerate(rows)
    )


@given(keys, st.booleans())
def test_a_page_of_versions_reads_the_same_by_expression_and_by_xml(names: list[str], truncated: bool) -> None:
    following = "<NextKeyMarker>a%2Fb+c</NextKeyMarker><NextVersionIdMarker>2</NextVersionIdMarker>"
    body = version_page(version_rows(in_order(names)), following if truncated else "", truncated)
    plain = listing._plain_versions(body)
    assert plain is not None and plain == listing._xml_versions(body)
    assert [row.key for row in plain.entries] == [name for name in in_order(names) for _version in range(2)]
    assert plain.marker == (("a/b c", "2") if truncated else ())


@pytest.mark.parametrize(
    "change",
    [
        (b"<Version>", b"<Version a='1'>"),
        (b"<Size>0</Size>", b"<Size>0</Size><Size>1</Size>"),
        (b"<IsTruncated>", b"<DeleteMarker/><IsTruncated>"),
        (b"<IsTruncated>", b"<!-- x --><IsTruncated>"),
        (b"<EncodingType>url</EncodingType>", b""),
        (b"02:00:00.123Z", b"25:00:00.123Z"),
        (b"</ListVersionsResult>", b"</ListVersionsResult><x/>"),
    ],
)
def test_an_unusual_page_of_versions_is_left_to_the_xml_parser(change: tuple[bytes, bytes]) -> None:
    assert listing._plain_versions(version_page(version_rows(["a", "b"])).replace(*change)) is None


@given(st.binary(max_size=60), st.integers(0, 2000), st.integers(0, 40))
@settings(max_examples=300)
def test_a_damaged_page_of_versions_is_refused_or_equals_what_xml_reads(noise: bytes, position: int, cut: int) -> None:
    body = version_page(version_rows(["a", "b+c"]))
    position %= len(body)
    damaged = body[:position] + noise + body[position + cut :]
    plain = listing._plain_versions(damaged)
    if plain is None:
        return
    try:
        by_xml = listing._xml_versions(damaged)
    except listing.MalformedPage:
        by_xml = plain  # as with objects: damage outside of the entries
    assert plain.entries == by_xml.entries


def test_versions_and_delete_markers_keep_their_order_across_pages() -> None:
    following = "<NextKeyMarker>a+b</NextKeyMarker><NextVersionIdMarker>2</NextVersionIdMarker>"
    pages = iter(
        [
            version_page(row("a+b", "3", "DeleteMarker", True) + row("a+b", "2"), following, True),
            version_page(row("a+b", "1") + row("c", "null", latest=True)),
        ]
    )
    asked: list[t.Any] = []

    def fetch(query: t.Any) -> bytes:
        asked.append(dict(query))
        return next(pages)

    found = [
        (entry.key, entry.version_id, entry.is_delete_marker, entry.is_latest) for entry in listing.versions(fetch, "x")
    ]
    assert found == [
        ("a b", "3", True, True),
        ("a b", "2", False, False),
        ("a b", "1", False, False),
        ("c", "null", False, True),
    ]
    assert (asked[1]["key-marker"], asked[1]["version-id-marker"]) == ("a b", "2")


@pytest.mark.parametrize("rows", [row("a", "1") + row("a", "1"), row("b", "1") + row("a", "1")])
def test_a_version_that_is_listed_twice_or_out_of_order_is_refused(rows: str) -> None:
    with pytest.raises(S3Error, match="BadAnswer"):
        list(listing.versions(lambda _query: version_page(rows), "x"))


def test_a_listing_is_read_page_by_page() -> None:
    asked = itertools.count()

    def fetch(_query: t.Any) -> bytes:
        number = next(asked)
        return page([f"{number:04d}"], truncated=True, token=f"t{number}")

    endless = listing.objects(fetch, "x")
    assert [next(endless).key for _ignored in range(3)] == ["0000", "0001", "0002"]
    assert next(asked) == 3
