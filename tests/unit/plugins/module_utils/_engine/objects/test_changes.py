# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a listing means for the segments of the base."""

from __future__ import annotations

import itertools

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import LifeboatError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.changes import (
    Gone,
    Kept,
    Taken,
    Wanted,
    changes,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.rows import Item
from ansible_collections.lifeboat.recovery.tests.unit.plugins.module_utils._engine.objects.index_model import (
    Backup,
    back_up,
    item,
)

BUCKET = "b"


def keys(*numbers: int) -> dict[str, Item]:
    return {f"k{number:06d}": item(f"k{number:06d}", number) for number in numbers}


@pytest.fixture
def base() -> Backup:
    """A backup of the even numbers below 2,000: four segments of 250."""
    made = back_up(None, 0, {BUCKET: keys(*range(0, 2000, 2))})
    assert [segment.rows for segment in made.segments()] == [250] * 4
    return made


def steps(base: Backup, listed: dict[str, Item], **how) -> list:
    return list(changes(iter(listed.values()), base.segments(BUCKET), base.rows_of, **how))


def kinds(found: list) -> dict[type, int]:
    return {kind: sum(isinstance(step, kind) for step in found) for kind in {type(step) for step in found}}


def test_what_is_listed_as_it_was_is_taken_over_unread(base):
    assert kinds(steps(base, keys(*range(0, 2000, 2)))) == {Taken: 4}
    assert base.loads == 0


def test_what_the_listing_could_not_look_at_is_kept(base):
    listed = keys(*range(0, 600, 2), *range(1400, 2000, 2))
    found = steps(base, listed, is_unseen=lambda key: "k000700" <= key < "k001400")
    assert kinds(found) == {Taken: 2, Kept: 50 + 350 + 50, Gone: 50}
    kept = [step.row.key for step in found if isinstance(step, Kept)]
    assert kept == sorted(kept) and "k000700" in kept and "k000698" not in kept


def test_without_a_base_everything_is_wanted():
    listed = keys(1, 2)
    assert list(changes(iter(listed.values()), (), None)) == [Wanted(each, None, False) for each in listed.values()]


def test_an_empty_listing_loses_everything(base):
    assert kinds(steps(base, {})) == {Gone: 1000}


@pytest.mark.parametrize("place", [0, 249, 250, 999])
def test_one_changed_object_costs_its_segment(base, place):
    listed = keys(*range(0, 2000, 2))
    key = list(listed)[place]
    listed[key] = item(key, 9)
    found = steps(base, listed)
    assert kinds(found) == {Taken: 3, Kept: 249, Wanted: 1}
    (wanted,) = (step for step in found if isinstance(step, Wanted))
    assert (wanted.item, wanted.base.key, wanted.only_properties) == (listed[key], key, False)
    assert base.loads == 1


@pytest.mark.parametrize("number", [0, 498, 500, 1998])
def test_one_lost_object_costs_its_segment(base, number):
    found = steps(base, keys(*(each for each in range(0, 2000, 2) if each != number)))
    assert kinds(found) == {Taken: 3, Kept: 249, Gone: 1}


def test_new_keys_beside_segments_leave_them_unread(base):
    found = steps(base, {**item_before(), **keys(*range(0, 500, 2), 499, *range(500, 2000, 2), *range(2001, 2009))})
    assert kinds(found) == {Taken: 4, Wanted: 10}
    assert base.loads == 0


def item_before() -> dict[str, Item]:
    return {"a": item("a", 1)}


def test_other_attributes_alone_make_only_the_properties_wanted(base):
    listed = keys(*range(0, 2000, 2))
    listed["k000000"] = listed["k000000"]._replace(attributes="new")
    listed["k000002"] = listed["k000002"]._replace(attributes="new", etag="new")
    assert [step.only_properties for step in steps(base, listed) if isinstance(step, Wanted)] == [True, False]


@pytest.mark.parametrize("other", [{"size": 1}, {"etag": "new"}, {"modified": "2026-11-21T02:36:21.000000Z"}])
def test_any_other_size_etag_or_time_makes_the_bytes_wanted(base, other):
    listed = keys(*range(0, 2000, 2))
    listed["k000000"] = listed["k000000"]._replace(**other)
    assert [step.only_properties for step in steps(base, listed) if isinstance(step, Wanted)] == [False]


def test_what_was_looked_ahead_for_a_long_segment_serves_the_short_ones_after_it():
    base = None
    for number, end in enumerate((500, 600, 1050)):
        base = back_up(base, number, {BUCKET: keys(*range(end))})
    assert [segment.rows for segment in base.segments()] == [500, 100, 450]
    assert kinds(steps(base, keys(*range(300), *range(500, 1050)))) == {Kept: 300, Gone: 200, Taken: 2}


def test_a_full_run_wants_every_object_with_its_base(base):
    found = steps(base, keys(*range(0, 2000, 2)), full=True, has_rereads=lambda _segment: False)
    assert kinds(found) == {Wanted: 1000}
    assert all(step.base.item == step.item and not step.only_properties for step in found)


def test_rows_that_are_to_be_read_again_are_wanted_although_they_are_unchanged(base):
    found = steps(base, keys(*range(0, 2000, 2)), reread=lambda row: row.size % 100 == 0)
    assert kinds(found) == {Kept: 980, Wanted: 20}


def test_segments_without_rows_to_read_again_are_taken_over_unread(base):
    def first_segment(segment):
        return segment.first == "k000000"

    found = steps(base, keys(*range(0, 2000, 2)), reread=lambda row: row.size == 2, has_rereads=first_segment)
    assert kinds(found) == {Kept: 249, Wanted: 1, Taken: 3}
    assert base.loads == 1


@pytest.mark.parametrize("numbers", [(2, 2), (4, 2), (0, 500, 499), (5000, 4999)])
def test_a_listing_out_of_order_is_refused(base, numbers):
    listed = [item(f"k{number:06d}", number) for number in numbers]
    with pytest.raises(LifeboatError, match="out of order"):
        list(changes(iter(listed), base.segments(BUCKET), base.rows_of))


@pytest.mark.parametrize("begin", [0, 250, 750])
@pytest.mark.parametrize("count", [250, 100, 1])
def test_a_page_that_is_listed_twice_is_refused_also_where_segments_are_taken(base, begin, count):
    page = list(keys(*range(0, 2000, 2)).values())
    listed = [*page[: begin + 250], *page[begin + 250 - count :]]
    with pytest.raises(LifeboatError, match="shows a page twice"):
        list(changes(iter(listed), base.segments(BUCKET), base.rows_of))


def test_the_order_is_that_of_bytes():
    listed = ["\ue000", "\U0001f600", "\udcff"]  # as text the last one is the first
    assert len(list(changes(map(item, listed), (), None))) == 3
    with pytest.raises(LifeboatError):
        list(changes(map(item, sorted(listed)), (), None))


@pytest.mark.parametrize("prefix", ["a", "k000498x", "z"])
def test_millions_of_new_keys_at_one_place_are_not_looked_ahead(base, prefix):
    """They are passed on one by one: at most a segment's length of the listing is ever held."""
    before = [each for key, each in keys(*range(0, 2000, 2)).items() if key < prefix]
    pulled = itertools.count()

    def listing():
        yield from before
        while True:
            yield item(f"{prefix}{next(pulled):09d}")

    found = changes(listing(), base.segments(BUCKET), base.rows_of)
    wanted = (step for step in found if isinstance(step, Wanted))
    for number in range(3000):
        assert next(wanted).item.key == f"{prefix}{number:09d}"
    assert next(pulled) <= 3000 + 250


def test_segments_are_loaded_one_after_the_other(base):
    found = changes(iter(()), base.segments(BUCKET), base.rows_of)
    for number in range(1000):
        next(found)
        assert base.loads == number // 250 + 1
