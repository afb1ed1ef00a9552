# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Indexes as backups write them one after the other: sizes of segments, what is taken over, what is needed."""

from __future__ import annotations

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import DamagedError, LifeboatError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects import segments
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.changes import Taken
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.index_writer import IndexWriter, Totals
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.needed_files import NeededFiles
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.rows import Item
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.segmenting import segmented
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.segments import HEAVY
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.manifest import Need
from ansible_collections.lifeboat.recovery.tests.unit.plugins.module_utils._engine.objects.index_model import (
    Backup,
    Run,
    back_up,
    backup_id,
    digest_of,
    item,
    row,
)


def keys(numbers, content: int = 0) -> dict[str, Item]:
    return {f"k{number:06d}": item(f"k{number:06d}", content) for number in numbers}


def sizes(backup: Backup) -> list[int]:
    return [segment.rows for segment in backup.segments()]


def test_an_unchanged_bucket_writes_the_list_and_nothing_else():
    first = back_up(None, 0, {"b": keys(range(1000))})
    second = back_up(first, 1, {"b": keys(range(1000))})
    assert set(first.run.files) == {"index", "segments"}
    assert set(second.run.files) == {"segments"}
    assert second.run.files["segments"].data == first.run.files["segments"].data
    assert (second.summary.taken_segments, second.summary.written_segments, first.loads) == (4, 0, 0)
    assert second.summary.needs == (Need(backup_id(0), digest_of(backup_id(0)), ((0, 1),)),)


def test_an_empty_bucket_has_a_list_without_lines():
    made = back_up(None, 0, {"b": {}})
    assert made.run.files["segments"].data == b""
    assert set(made.run.files) == {"segments"}
    assert made.summary.collections == {"b": Totals(0, 0)}


def test_collections_have_segments_of_their_own():
    state = {"b": keys(range(3), 5), "a": keys(range(300), 2), "c": {}}
    made = back_up(None, 0, state)
    assert [(each.collection, each.rows, each.size) for each in made.segments()] == [("a", 300, 600), ("b", 3, 15)]
    assert made.summary.collections == {"a": Totals(300, 600), "b": Totals(3, 15), "c": Totals(0, 0)}
    assert (made.summary.rows, made.summary.bytes) == (303, 615)
    assert len(list(back_up(made, 1, {"a": state["a"]}).segments())) == 1


@pytest.mark.parametrize("count", [1, 63, 512, 513, 1023, 1024, 1025, 2111, 10_000])
def test_a_first_backup_cuts_its_rows_evenly(count):
    found = sizes(back_up(None, 0, {"b": keys(range(count))}))
    assert sum(found) == count
    assert max(found) <= 512
    assert min(found) >= min(count, 213)
    assert len(found) <= max(1, count / 213)


@pytest.fixture
def small_segments(monkeypatch):
    """Make segments an eighth of their size, so that they grow fast."""
    for name in ("USUAL", "MOST", "LEAST", "TOGETHER"):
        monkeypatch.setattr(segments, name, getattr(segments, name) // 8)


@pytest.mark.parametrize("daily", [1, 2, 7, 8, 9, 12, 16, 25, 32, 37, 75])
@pytest.mark.parametrize("follows", ["", "z"], ids=["at_the_end", "in_the_middle"])
def test_daily_additions_at_one_place_do_not_make_ever_more_small_segments(small_segments, daily, follows):
    base, held = None, {}
    after = {f"{follows}{number}": item(f"{follows}{number}") for number in range(12)} if follows else {}
    for day in range(max(10, 150 // daily)):
        held.update(keys(range(day * daily, day * daily + daily)))
        base = back_up(base, day, {"b": {**held, **after}})
        assert base.summary.written_segments <= 3 + daily // segments.USUAL
    found = sizes(base)
    assert all(segments.LEAST <= size <= segments.MOST for size in found)
    assert sum(found) / len(found) >= 0.75 * segments.USUAL


def test_a_segment_that_loses_most_of_its_rows_joins_its_smaller_neighbour():
    base = back_up(None, 0, {"b": keys(range(900))})
    assert sizes(base) == [225] * 4
    left = keys([*range(225), *range(225, 235), *range(450, 900)])
    second = back_up(base, 1, {"b": left})
    assert sizes(second) == [235, 225, 225]
    assert second.summary.written_segments == 1
    third = back_up(second, 2, {"b": keys([*range(225), *range(225, 235), *range(450, 455), *range(675, 900)])})
    assert sizes(third) == [235, 230]


def test_rows_before_a_tiny_bucket_do_not_leave_its_segment_tiny():
    tiny = back_up(None, 0, {"b": keys(range(500, 510))})
    assert sizes(tiny) == [10]
    assert sizes(back_up(tiny, 1, {"b": keys(range(400, 510))})) == [110]
    assert sizes(back_up(tiny, 1, {"b": keys(range(500, 600))})) == [100]


def test_many_rows_after_a_segment_that_stays_come_after_it():
    base = back_up(None, 0, {"b": keys(range(500))})
    made = back_up(base, 1, {"b": keys(range(4000))})
    assert [row.key for row in made.rows("b")] == list(keys(range(4000)))
    assert sizes(made)[0] == 500
    assert base.loads == 0


def test_many_rows_after_a_tiny_bucket_do_not_leave_its_segment_tiny():
    made = back_up(back_up(None, 0, {"b": keys(range(10))}), 1, {"b": keys(range(4000))})
    assert min(sizes(made)) >= 213


def test_a_base_with_segments_that_are_too_small_is_put_right(monkeypatch):
    with monkeypatch.context() as other_rules:
        other_rules.setattr(segments, "LEAST", 1)
        other_rules.setattr(segments, "TOGETHER", 0)
        base = back_up(back_up(None, 0, {"b": keys(range(300))}), 1, {"b": keys(range(310))})
        assert sizes(base) == [300, 10]
    assert sizes(back_up(base, 2, {"b": keys(range(310))})) == [310]


def test_rows_that_come_out_unchanged_are_known_after_whole_segments_are_gone():
    base = back_up(None, 0, {"b": keys(range(900))})
    state = {"b": {**keys(range(450, 900)), **keys([500], 1)}}
    second = back_up(base, 1, state, hidden=("k000500",))
    assert set(second.run.files) == {"segments"}
    assert sizes(second) == [225, 225]


def test_a_changed_row_leaves_the_other_segments_where_they_are():
    base = back_up(None, 0, {"b": keys(range(900))})
    second = back_up(base, 1, {"b": {**keys(range(900)), **keys([300], 1)}}, packs=3)
    owners = [(segment.owner, segment.file, segment.rows) for segment in second.segments()]
    old, new = backup_id(0), backup_id(1)
    assert owners == [(old, 1, 225), (new, 3, 225), (old, 1, 225), (old, 1, 225)]
    changed = list(second.segments())[1]
    assert changed.needs == ((old, ((0, 0),)), (new, ((1, 1),)))


def test_rows_that_come_out_unchanged_make_no_new_segment():
    """Objects that cannot be read are looked at again in each run; the index does not change by that."""
    state = keys(range(1000))
    base = back_up(None, 0, {"b": state}, hidden=("k000100",))
    assert base.summary.rows == 999
    second = back_up(base, 1, {"b": {**state, **keys([700], 1)}}, hidden=("k000100", "k000700"))
    assert set(second.run.files) == {"segments"}
    assert base.loads == 2


def test_rows_that_differ_in_what_no_listing_shows_make_a_new_segment():
    base = back_up(None, 0, {"b": keys(range(1000))})
    second = back_up(base, 1, {"b": keys(range(1000))}, reread=lambda row: row.key == "k000001")
    assert second.summary.written_segments == 1


def test_segments_of_large_rows_are_smaller():
    large = [row(f"k{number:06d}")._replace(properties={"xattrs": {"x": "y" * 60_000}}) for number in range(500)]
    rest = iter(large)
    parts = segmented(rest, (), None)
    lengths = [len(next(parts))]
    assert len(list(rest)) >= 500 - 2 * HEAVY // 60_000 - 64  # no more of them are held at once
    lengths = [len(part) for part in segmented(large, (), None)]
    assert sum(lengths) == 500
    assert all(64 <= length <= 2 * HEAVY // 60_000 for length in lengths)


def test_a_failure_of_the_source_drops_the_index_that_was_begun():
    run = Run(0)
    writer = IndexWriter(run)

    def rows():
        yield from (row(f"k{number:06d}") for number in range(2000))
        raise LifeboatError("the source is gone")

    with pytest.raises(LifeboatError, match="gone"):
        writer.add("b", rows())
    assert run.files["index"].is_dropped


@pytest.mark.parametrize("found", [["b", "a"], ["a", "a"], ["\udcff", "\ue000"]])
def test_rows_out_of_order_are_a_mistake(found):
    with pytest.raises(ValueError, match="not in the order"):
        IndexWriter(Run(0)).add("b", map(row, found))


def test_a_segment_that_is_taken_among_its_rows_is_a_mistake():
    base = back_up(None, 0, {"b": keys(range(100))})
    (segment,) = base.segments()
    with pytest.raises(ValueError, match="not in the order"):
        IndexWriter(Run(1), base).add("b", [row("k000050"), Taken(segment)])


def test_what_is_needed_is_named_in_ranges_and_without_the_own_files():
    needed = NeededFiles()
    base = back_up(None, 0, {"b": keys(range(700))}, packs=20)
    for segment in base.segments():
        needed.add(segment)
    assert needed.needs(backup_id(0), dict) == ()
    (need,) = needed.needs(backup_id(9), lambda: {backup_id(0): "1"})
    assert need == Need(backup_id(0), "1", ((7, 7), (20, 20)))


def test_files_of_a_backup_that_the_base_does_not_know_are_damage():
    base = back_up(None, 0, {"b": keys(range(10))})
    base.owners.clear()
    with pytest.raises(DamagedError, match="what files backup"):
        back_up(base, 1, {"b": keys(range(10))})
