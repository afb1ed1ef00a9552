# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Segments and their list as bytes, and how large segments are."""

from __future__ import annotations

import dataclasses
import hashlib
import json

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import DamagedError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects import rows, segment_list, segments
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.segments import Segment
from ansible_collections.lifeboat.recovery.tests.unit.plugins.module_utils._engine.objects.index_model import (
    backup_id,
    item,
    row,
)
from hypothesis import given
from hypothesis import strategies as st

KEYS = ["a", "a\nb", "a/", "é", "\udcff", "\U0001f600"]
ROWS = sorted((row(key, number) for number, key in enumerate(KEYS)), key=lambda each: rows.order(each.key))
SEGMENT = Segment("b", "a", "c", 2, 7, "0" * 64, "1" * 64, backup_id(1), 3, 0, 10, ((backup_id(0), ((0, 2), (5, 5))),))


def named(collection: str, first: str, last: str) -> Segment:
    return dataclasses.replace(SEGMENT, collection=collection, first=first, last=last)


def test_the_listing_digest_is_that_of_the_fields_with_a_nul_after_each():
    listed = [item("a", 1), item("é\n", 2, "t")]
    plain = b"".join(f"{field}\0".encode() for each in listed for field in each)
    assert segments.listing_digest(listed) == hashlib.sha256(plain).hexdigest()


def test_the_listing_digest_of_fields_with_a_nul_is_that_of_the_items_as_json():
    listed = [item("a\0", 1), item("b", 2)]
    plain = json.dumps(listed, separators=(",", ":")).encode()
    assert segments.listing_digest(listed) == hashlib.sha256(plain).hexdigest()


@given(st.lists(st.tuples(*[st.text("a\0\n0", max_size=3)] * 2), min_size=1, max_size=3), st.data())
def test_other_items_have_another_listing_digest(fields, data):
    other = data.draw(st.lists(st.tuples(*[st.text("a\0\n0", max_size=3)] * 2), min_size=1, max_size=3))
    one, two = ([rows.Item(key, 0, etag, "", "") for key, etag in each] for each in (fields, other))
    assert (segments.listing_digest(one) == segments.listing_digest(two)) == (one == two)


def test_rows_read_back_from_the_plain_bytes_of_a_segment():
    data = segments.encode(ROWS)
    assert segments.decode(data, "it") == ROWS
    assert data.isascii()
    assert data.count(b"\n") == len(ROWS)


@pytest.mark.parametrize(
    ("data", "cause"),
    [
        (segments.encode(ROWS)[:-1], "last line has no end"),
        (segments.encode(ROWS[::-1]), "stands after"),
        (segments.encode([ROWS[0], ROWS[0]]), "stands after"),
        (segments.encode(ROWS)[:-9] + b"\n", "damaged"),
        (b"[1,2]\n", "no row"),
        (b"", "last line has no end"),
        (b'["\\ud800",1,"","","","","",null,{}]\n', "damaged"),
    ],
)
def test_what_is_no_segment_is_damage(data, cause):
    with pytest.raises(DamagedError, match=cause):
        segments.decode(data, "the index")


def test_the_packs_of_a_segment_are_ranges_by_owner():
    found = [row(str(number), owner=backup_id(number % 2), pack=number // 2) for number in (0, 2, 4, 5, 9, 1)]
    found.append(row("x")._replace(location=None))
    assert segments.needs_of(found) == ((backup_id(0), ((0, 2),)), (backup_id(1), ((0, 0), (2, 2), (4, 4))))


def test_rows_are_cut_into_segments_of_64_to_512():
    for count in (*range(1, 1500), 4096, 100_000):
        pieces = segments.pieces(count, 100 * count)
        smallest, largest = count // pieces, -(-count // pieces)
        assert largest <= segments.MOST
        assert smallest >= segments.LEAST or pieces == 1
        assert count < 2 * segments.MOST or 230 <= smallest <= largest <= 290


def test_segments_of_large_rows_are_smaller_but_not_below_the_least():
    mib = 1024 * 1024
    assert segments.pieces(256, 20 * mib) == 4
    assert segments.pieces(200, 200 * mib) == 3
    assert segments.pieces(1, 300 * mib) == 1


def test_a_small_addition_joins_its_neighbour_and_a_large_one_does_not():
    assert segments.belong_together(63, 0, 512)
    assert segments.belong_together(512, 0, 63)
    assert segments.belong_together(128, 0, 256)
    assert not segments.belong_together(129, 0, 256)
    assert not segments.belong_together(64, segments.HEAVY, 64)


def test_a_segment_list_reads_back_from_chunks_of_any_length():
    listed = [
        named("b", "a", "a"),
        named("b", "a\n", "\ue000"),
        named("b", "\udcee\udc81", "\udcff"),
        named("c", "", ""),
    ]
    data = b"".join(segment_list.to_lines(listed))
    for length in (1, 7, 100, len(data)):
        chunks = [data[start : start + length] for start in range(0, len(data), length)]
        assert list(segment_list.parse(chunks, "it")) == listed


@pytest.mark.parametrize(
    "listed",
    [
        [named("b", "c", "a")],
        [named("b", "a", "c"), named("b", "c", "d")],
        [named("b", "c", "d"), named("b", "a", "b")],
        [named("c", "a", "c"), named("b", "d", "e")],
    ],
)
def test_segments_that_are_out_of_order_or_overlap_are_damage(listed):
    with pytest.raises(DamagedError, match="not in its place"):
        list(segment_list.parse(segment_list.to_lines(listed), "the list"))


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("collection", 1),
        ("first", None),
        ("rows", 0),
        ("rows", True),
        ("size", -1),
        ("file", "3"),
        ("offset", 1.0),
        ("owner", "../x"),
        ("needs", [["x", []]]),
        ("needs", [[backup_id(1), [[2, 1]]]]),
        ("needs", [[backup_id(1), [["0", 1]]]]),
        ("needs", 7),
    ],
)
def test_a_line_with_another_member_is_damage(member, value):
    (line,) = segment_list.to_lines([dataclasses.replace(SEGMENT, **{member: value})])
    with pytest.raises(DamagedError, match="damaged"):
        list(segment_list.parse([line], "the list"))


@pytest.mark.parametrize("data", [b"{}\n", b"[]\n", b"\n", b"x\n", b"[1]", b"\xff\n"])
def test_what_is_no_segment_list_is_damage(data):
    with pytest.raises(DamagedError, match="damaged"):
        list(segment_list.parse([data], "the list"))


def test_a_list_without_line_ends_does_not_fill_the_memory():
    endless = (b"x" * 1024 * 1024 for _number in range(1_000_000))
    with pytest.raises(DamagedError, match="a line has no end"):
        list(segment_list.parse(endless, "the list"))


def many(count: int) -> list[Segment]:
    return [named(name, f"{number:04d}a", f"{number:04d}m") for name in ("b", "c\n") for number in range(count)]


def test_a_packed_list_gives_back_what_was_added():
    held = segment_list.SegmentList(many(300))
    assert list(held) == many(300)
    assert held.collections() == ["b", "c\n"]
    held.append(named("d", "a", "b"))
    assert [*held][-1] == named("d", "a", "b")
    assert len(held) == 601
    assert [len(list(held.of(name))) for name in ("b", "c\n", "d", "a", "c", "e")] == [300, 300, 1, 0, 0, 0]


@pytest.mark.parametrize(
    ("key", "first"), [("", 0), ("0000m", 0), ("0000n", 1), ("0128a", 128), ("0299m", 299), ("1", 300)]
)
def test_a_packed_list_is_read_from_the_segment_on_that_could_hold_a_key(key, first):
    held = segment_list.SegmentList(many(300))
    assert list(held.of("c\n", key)) == many(300)[300 + first :]
