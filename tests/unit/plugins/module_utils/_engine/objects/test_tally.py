# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.changes import Gone, Kept, Taken, Wanted
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.rows import Item, Location, Row
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.segments import Segment
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.tally import Tally

OWN, OLD = "20261121T020000Z-0a1b2c", "20261120T020000Z-0a1b2c"


def row(key: str, sha: str = "1", owner: str = OLD, **properties: str) -> Row:
    return Row(key, 10, "e", "m", "", "", sha, Location(owner, 0, 0, 5, 0), properties)


def segment(first: str, last: str, rows: int, size: int) -> Segment:
    return Segment("c", first, last, rows, size, "", "", OLD, 0, 0, 0, ())


def counted(base, steps, rows) -> Tally:
    """Run steps and finished rows of one collection through a tally; rows come later than steps, as when reading."""
    tally = Tally(OWN)
    one = tally.collection("c")
    assert list(one.base(base)) == base
    assert list(one.steps(steps)) == steps
    assert list(one.rows(rows)) == rows
    return tally


def wanted(key: str, base: Row | None, only_properties: bool = False) -> Wanted:
    return Wanted(Item(key, 10, "f", "n"), base, only_properties)


def test_every_kind_of_step_is_counted_once():
    taken = Taken(segment("a", "b", 256, 5000))
    changed, described = row("d", "2", OWN), row("e", "1", x="y")
    steps = [
        taken,
        Kept(row("c")),
        wanted("d", row("d")),
        wanted("e", row("e"), True),
        Gone(row("f")),
        wanted("g", None),
    ]
    tally = counted(
        [segment("a", "b", 256, 5000), segment("c", "f", 4, 40)],
        steps,
        [taken, row("c"), changed, described, row("g", "3", OWN)],
    )
    assert tally.statistics() == {
        "objects": 260,
        "bytes": 5040,
        "added": 1,
        "rewritten": 1,
        "described": 1,
        "gone": 1,
        "read_objects": 2,
        "read_bytes": 20,
    }
    assert tally.base_objects == 260


def test_an_object_that_vanishes_before_it_is_read_is_gone_if_the_base_had_it():
    steps = [wanted("a", row("a")), wanted("b", None), wanted("c", row("c"))]
    tally = counted([segment("a", "c", 2, 20)], steps, [])
    assert (tally.gone, tally.added, tally.emptied) == (2, 0, {"c": 2})


def test_an_object_that_could_not_be_read_and_keeps_its_row_has_not_changed():
    steps = [wanted("a", row("a")), wanted("b", row("b"))]
    tally = counted([segment("a", "b", 2, 20)], steps, [row("a"), row("b", "2", OWN)])
    assert (tally.rewritten.count, tally.described, tally.gone, tally.read_objects) == (1, 0, 0, 1)


def test_the_same_content_read_again_is_no_rewrite():
    tally = counted([segment("a", "a", 1, 10)], [wanted("a", row("a"))], [row("a", "1", OWN)])
    assert (tally.rewritten.count, tally.read_objects) == (0, 1)


def test_a_collection_that_is_not_there_any_more_counts_as_gone():
    tally = Tally(OWN)
    tally.lost("old", [segment("a", "b", 256, 1), segment("c", "d", 44, 1)])
    assert (tally.gone, tally.base_objects, tally.emptied) == (300, 300, {"old": 300})


def test_a_collection_that_was_empty_before_is_not_emptied():
    assert counted([], [], []).emptied == {}


def test_guards_get_what_was_counted():
    tally = counted([segment("a", "b", 2, 20)], [wanted("a", row("a")), Gone(row("b"))], [row("a", "2", OWN)])
    found = tally.compared(lambda _row: iter(()))
    assert (found.base_objects, found.gone, found.rewritten, found.sampled) == (2, 1, 1, 0)
