# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import email.header

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3 import header_text
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3 import object_properties as properties_of
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3.object_properties import (
    Lock,
    ObjectProperties,
)
from hypothesis import given, settings
from hypothesis import strategies as st

TEXTS = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=60)
# Recorded from MinIO: a long value comes in several words, and the words are cut at signs.
LONG = " ".join(["=?UTF-8?q?" + "=C3=A4" * 10 + "?="] * 10)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("=?UTF-8?q?gr=C3=B6=C3=9Fe_=E6=BC=A2=E5=AD=97?=", "größe 漢字"),
        ("=?UTF-8?B?Z3LDtsOfZQ==?=", "größe"),
        ("=?utf-8?Q?a=C2=A0b?=", "a\u00a0b"),
        ("=?ISO-8859-1?Q?gr=F6=DFe?=", "größe"),
        (LONG, "ä" * 100),
        ("=?UTF-8?B?w6Q=?= =?UTF-8?Q?=C3?= =?UTF-8?Q?=A4?=", "ää"),
        ("gr\u00c3\u00b6\u00c3\u009fe", "größe"),
        ("plain text", "plain text"),
        ("", ""),
        ("see =?UTF-8?Q?x?= here", "see =?UTF-8?Q?x?= here"),
        ("=?UTF-8?B?no base64?=", "=?UTF-8?B?no base64?="),
        ("=?UTF-8?B?abc?=", "=?UTF-8?B?abc?="),
        ("=?nonsense?Q?x?=", "=?nonsense?Q?x?="),
        ("=?UTF-8?Q?=FF?=", "=?UTF-8?Q?=FF?="),
        ("caf\u00e9", "caf\u00e9"),
    ],
)
def test_metadata_of_answers_is_read_as_what_was_meant(value: str, text: str) -> None:
    assert header_text.decoded(value) == text


@settings(max_examples=300, deadline=None)
@given(TEXTS)
def test_text_survives_encoding_and_any_reader_of_mail_understands_it(text: str) -> None:
    encoded = header_text.encoded(text)
    assert encoded.isascii() or text.isascii()
    assert all(len(word) <= 75 for word in encoded.split(" ") if word.startswith("=?UTF-8?B?")) or text.isascii()
    if not text.isascii():
        assert header_text.decoded(encoded) == text
        assert str(email.header.make_header(email.header.decode_header(encoded))) == text


@settings(max_examples=300, deadline=None)
@given(
    st.dictionaries(st.from_regex(r"[a-z][a-z0-9._-]{0,9}", fullmatch=True), TEXTS, max_size=5),
    st.dictionaries(st.text(min_size=1, max_size=10), st.text(max_size=10), max_size=5),
)
def test_what_is_sent_is_read_back(metadata: dict[str, str], tags: dict[str, str]) -> None:
    # RFC 2047 in the text itself is what it stands for, on all servers.
    metadata = {name: value.strip() for name, value in metadata.items() if "=?" not in value}
    wanted = ObjectProperties(
        {"content-type": "text/plain"}, metadata, tags, Lock("GOVERNANCE", "2027-01-01T00:00:00.000000Z", True)
    )
    for encodes in (False, True):
        sent = properties_of.to_fields(wanted, encodes_metadata=encodes)
        query = sent.pop("x-amz-tagging", "")
        received = {name: value.encode("utf-8").decode("latin-1") for name, value in sent.items()}
        assert properties_of.from_fields(received, properties_of.tags_from_query(query)) == wanted


def test_the_digest_knows_all_that_the_listing_shows_and_nothing_else() -> None:
    base = ObjectProperties({"content-type": "a", "expires": "x"}, {"m": "1"}, {"t": "1"})
    others = [
        ObjectProperties({"content-type": "b"}, base.metadata, base.tags),
        ObjectProperties(base.headers, {"m": "2"}, base.tags),
        ObjectProperties(base.headers, {}, base.tags),
        ObjectProperties(base.headers, base.metadata, {"t": "2"}),
        ObjectProperties(base.headers, base.metadata, base.tags, Lock(hold=True)),
        ObjectProperties(base.headers, base.metadata, base.tags, Lock("GOVERNANCE", "2027-01-01T00:00:00.000000Z")),
        ObjectProperties(base.headers, base.tags, base.metadata),
    ]
    assert len({base.digest(), *(other.digest() for other in others)}) == len(others) + 1
    assert ObjectProperties({"content-type": "a"}, {"m": "1"}, {"t": "1"}).digest() == base.digest()


@pytest.mark.parametrize(
    ("fields", "lock"),
    [
        ({}, Lock()),
        ({"x-amz-object-lock-legal-hold": "OFF"}, Lock()),
        ({"x-amz-object-lock-legal-hold": "ON"}, Lock(hold=True)),
        (
            {"x-amz-object-lock-mode": "COMPLIANCE", "x-amz-object-lock-retain-until-date": "2027-01-01T00:00:00Z"},
            Lock("COMPLIANCE", "2027-01-01T00:00:00.000000Z"),
        ),
        (
            {
                "x-amz-object-lock-mode": "GOVERNANCE",
                "x-amz-object-lock-retain-until-date": "2027-01-01T00:00:00.123456789Z",
            },
            Lock("GOVERNANCE", "2027-01-01T00:00:00.123456Z"),
        ),
        ({"x-amz-object-lock-mode": "GOVERNANCE"}, Lock()),
    ],
)
def test_locks_are_read_with_times_in_one_form(fields: dict[str, str], lock: Lock) -> None:
    assert properties_of.from_fields(fields).lock == lock


def test_the_usual_storage_class_is_no_property() -> None:
    assert properties_of.from_fields({"x-amz-storage-class": "STANDARD"}).headers == {}
    assert properties_of.from_fields({"x-amz-storage-class": "GLACIER"}).headers == {"x-amz-storage-class": "GLACIER"}


def test_tags_are_read_with_pluses_and_escapes_as_blanks() -> None:
    assert properties_of.tags_from_query("a+b=c+d&e=%2B&f=/:@&z=") == {"a b": "c d", "e": "+", "f": "/:@", "z": ""}
