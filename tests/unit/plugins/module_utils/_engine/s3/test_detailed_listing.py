# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t
import urllib.parse

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine import clock
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3 import detailed_listing, listing
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3.detailed_listing import Shown
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3.failure import S3Error
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3.listing import MalformedPage
from hypothesis import example, given, settings
from hypothesis import strategies as st

# Entries as MinIO RELEASE.2026-02-12T20-18-48Z sent them.
PLAIN = (
    "<Contents><Key>plain</Key><LastModified>2026-11-21T05:06:42.834Z</LastModified>"
    "<ETag>&#34;5d41402abc4b2a76b9719d911017c592&#34;</ETag><Size>5</Size><StorageClass>STANDARD</StorageClass>"
    "{details}</Contents>"
)
TYPE = "<content-type>binary/octet-stream</content-type>"
INTERNAL = "<Internal><K>1</K><M>0</M></Internal>"
FULL = (
    "<UserMetadata><X-Amz-Meta-Empty></X-Amz-Meta-Empty><content-type>text/x; charset=&#34;ä&#34;</content-type>"
    "<X-Amz-Meta-Rfc>=?UTF-8?Q?gr=C3=B6?=</X-Amz-Meta-Rfc><x-amz-object-lock-mode>GOVERNANCE</x-amz-object-lock-mode>"
    "<x-amz-storage-class>REDUCED_REDUNDANCY</x-amz-storage-class><X-Amz-Meta-Sp>a   b</X-Amz-Meta-Sp>"
    "<X-Amz-Meta-Plain>a &lt;b&gt; &amp; &#34;c&#34;&#x9;</X-Amz-Meta-Plain><X-Amz-Meta-A$b>v</X-Amz-Meta-A$b>"
    "<X-Amz-Meta-A&b>v</X-Amz-Meta-A&b><X-Amz-Meta-Uml>größe 漢字</X-Amz-Meta-Uml>"
    "<x-amz-object-lock-retain-until-date>2027-01-01T00:00:00.000Z</x-amz-object-lock-retain-until-date>"
    "<x-amz-object-lock-legal-hold>ON</x-amz-object-lock-legal-hold></UserMetadata>"
    "<UserTags>k=v&amp;k2=v%202&amp;z=</UserTags>" + INTERNAL
)


def page(*details: str, end: str = "") -> bytes:
    entries = "".join(
        PLAIN.format(details=each).replace("plain<", f"key-{number}<") for number, each in enumerate(details)
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        f"<Name>b</Name><Prefix></Prefix><KeyCount>{len(details)}</KeyCount><MaxKeys>1000</MaxKeys>"
        f"<IsTruncated>false</IsTruncated>{entries}<EncodingType>url</EncodingType></ListBucketResult>{end}"
    ).encode()


def shown_of(body: bytes) -> list[Shown | None]:
    return detailed_listing.parse(body).shown


def test_all_that_minio_shows_is_read() -> None:
    (shown,) = shown_of(page(FULL))
    assert shown is not None
    properties = shown.properties
    assert properties.headers == {"content-type": 'text/x; charset="ä"', "x-amz-storage-class": "REDUCED_REDUNDANCY"}
    assert properties.metadata == {
        "empty": "", "rfc": "grö", "sp": "a   b", "plain": 'a <b> & "c"\t', "a$b": "v", "a&b": "v", "uml": "größe 漢字",
    }  # fmt: skip
    assert properties.tags == {"k": "v", "k2": "v 2", "z": ""}
    assert (properties.lock.mode, properties.lock.until, properties.lock.hold) == (
        "GOVERNANCE", "2027-01-01T00:00:00.000000Z", True,
    )  # fmt: skip
    assert shown.digest == properties.digest()


def test_every_entry_has_its_own_details() -> None:
    body = page(
        f"<UserMetadata>{TYPE}</UserMetadata>{INTERNAL}", FULL, f"<UserMetadata>{TYPE}</UserMetadata><UserTags/>"
    )
    found = detailed_listing.parse(body)
    assert found.keys == ["key-0", "key-1", "key-2"]
    assert [each is not None and len(each.properties.metadata) for each in found.shown] == [0, 7, 0]


def test_a_listing_without_details_is_a_plain_one() -> None:
    assert shown_of(page("", "")) == [None, None]


def test_an_entry_without_content_type_shows_nothing_that_can_be_trusted() -> None:
    tags = "<UserTags>a=b</UserTags>"
    assert (
        shown_of(page("<UserMetadata></UserMetadata>" + INTERNAL, f"<UserMetadata></UserMetadata>{tags}")) == [None] * 2
    )


def test_entries_with_and_without_details_are_told_apart() -> None:
    shown = shown_of(page("", f"<UserMetadata>{TYPE}</UserMetadata>", ""))
    assert [each is not None for each in shown] == [False, True, False]


@pytest.mark.parametrize(
    "details", [f"<UserMetadata>{TYPE}<!-- x --></UserMetadata>", f"<UserMetadata>{TYPE}\n</UserMetadata>"]
)
def test_what_is_not_plain_is_read_as_xml(details: str) -> None:
    (shown,) = shown_of(page(details))
    assert shown is not None and shown.properties.headers == {"content-type": "binary/octet-stream"}


def test_both_readers_see_the_same() -> None:
    details = FULL.replace("A&b", "Ab").replace("A$b", "A.b")
    assert detailed_listing._by_xml(page(details, "")) == detailed_listing.parse(page(details, ""))


@pytest.mark.parametrize(
    "body",
    [
        page(FULL)[:-30],
        page(FULL, end="<ListBucketResult>"),
        page("<UserMetadata><a>x</b></UserMetadata>"),
        page("<UserMetadata><a>x</a>"),
        b"",
    ],
)
def test_a_damaged_page_is_refused(body: bytes) -> None:
    with pytest.raises(MalformedPage):
        detailed_listing.parse(body)


def test_order_and_prefix_are_checked_and_metadata_is_asked_for() -> None:
    asked: list[t.Any] = []

    def fetch(query: t.Any) -> bytes:
        asked.append(dict(query))
        return page(FULL, FULL)

    assert [each.keys for each in detailed_listing.pages(fetch, "x", "key-")] == [["key-0", "key-1"]]
    assert asked[0]["metadata"] == "true" and asked[0]["encoding-type"] == "url"
    with pytest.raises(S3Error):
        list(detailed_listing.pages(fetch, "x", "other"))


def test_a_name_in_the_key_is_never_taken_for_details() -> None:
    body = page(f"<UserMetadata>{TYPE}</UserMetadata>").replace(b"key-0", b"%3CUserMetadata%3E")
    found = detailed_listing.parse(body)
    assert found.keys == ["<UserMetadata>"] and found.shown[0] is not None
    assert listing.parse_objects(body).keys == found.keys


@given(
    st.lists(st.sampled_from(["", FULL, f"<UserMetadata>{TYPE}</UserMetadata>{INTERNAL}"]), max_size=4),
    st.sampled_from(["2026-11-21T05:06:42Z", "2026-11-21T05:06:42.834Z", "2026-11-21T05:06:42.834001Z"]),
)
def test_a_page_reads_the_same_by_expression_and_by_xml(details: list[str], time: str) -> None:
    body = page(*(each.replace("A&b", "Ab").replace("A$b", "A.b") for each in details))
    body = body.replace(b"2026-11-21T05:06:42.834Z", time.encode()).replace(b"key-", b"%C3%A4+")
    found = detailed_listing._plain(body)
    assert found is not None and found == detailed_listing._by_xml(body)
    assert found.keys == [f"ä {number}" for number in range(len(details))]
    assert set(found.times) <= {clock.to_text(clock.from_text(time))}


@given(st.binary(max_size=60), st.integers(0, 2000), st.integers(0, 40))
@example(b"\xc2\x80\r", 919, 0)
@settings(max_examples=300)
def test_a_damaged_page_is_left_to_the_xml_parser_or_equals_what_that_reads(
    noise: bytes, position: int, cut: int
) -> None:
    body = page(
        f"<UserMetadata>{TYPE}</UserMetadata><UserTags>a=b</UserTags>", "", f"<UserMetadata>{TYPE}</UserMetadata>"
    )
    position %= len(body)
    damaged = body[:position] + noise + body[position + cut :]
    plain = detailed_listing._plain(damaged)
    if plain is None:
        return
    try:
        by_xml = detailed_listing._by_xml(damaged)
    except MalformedPage:
        return  # damage outside of the entries, or bytes in metadata that are no UTF-8, which they keep as they can
    assert plain == by_xml


@pytest.mark.parametrize(
    "change",
    [
        (b"<Contents>", b"<Contents a='1'>"),
        (b"</Contents>", b"</Contents><Contents/>"),
        (b"<Size>5</Size>", b"<Size>5</Size><Extra/>"),
        (b"<Name>b</Name>", b"<!-- x --><Name>b</Name>"),
        (b"</UserMetadata>", b"</UserMetadata><!-- x -->"),
        (b"<content-type>binary", b"<content-type>\0binary"),
        (b"<EncodingType>url</EncodingType>", b""),
        (b"<IsTruncated>false</IsTruncated>", b""),
        (b"T05:06:42.834Z", b"T24:00:00.000Z"),
        (b"2026-11-21T", b"2026-02-29T"),
        (b"42.834Z", b"42.83Z"),
    ],
)
def test_anything_unusual_is_left_to_the_xml_parser(change: tuple[bytes, bytes]) -> None:
    body = page(f"<UserMetadata>{TYPE}</UserMetadata>", f"<UserMetadata>{TYPE}</UserMetadata>")
    assert detailed_listing._plain(body) is not None and change[0] in body
    assert detailed_listing._plain(body.replace(*change)) is None


@pytest.mark.parametrize("last", ["key-0", "key-1", "\U0001f600"])
def test_a_page_that_repeats_a_key_or_does_not_follow_the_one_before_is_refused(last: str) -> None:
    more = b"<NextContinuationToken>t</NextContinuationToken><IsTruncated>true"
    answers = iter([page("", "").replace(b"key-1", urllib.parse.quote(last).encode()), page("", "")])
    found = detailed_listing.pages(lambda _query: next(answers).replace(b"<IsTruncated>false", more), "x")
    with pytest.raises(S3Error, match="stands behind"):
        list(found)
