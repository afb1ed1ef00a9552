# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import (
    GuardRefusal,
    LifeboatError,
    UsageError,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects import mirror_guards
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.mirror_guards import Location
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.mirror_plan import (
    SAMPLE,
    Action,
    Questions,
    Step,
    Tally,
    Verdict,
    differences,
    joined,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.rows import Item, order
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3.endpoint import Endpoint
from hypothesis import given
from hypothesis import strategies as st

KEYS = st.text(alphabet=["a", "b", "/", "\u00e9", "\U0001f6df", "\udc80", "-", "."], min_size=1, max_size=6)
LISTINGS = st.dictionaries(KEYS, st.sampled_from(["one", "two"]), max_size=12)


def listing(contents):
    return iter([Item(key, 5, contents[key], "") for key in sorted(contents, key=order)])


def questions(judge=None, look=None, hidden=()):
    return Questions(
        lambda _number, _item: True,
        judge or (lambda _number, item, own: Verdict.SAME if item.etag == own.etag else Verdict.OTHER),
        look or (lambda _number, _item, _own: False),
        lambda key: key in hidden,
    )


@given(LISTINGS, st.lists(LISTINGS, max_size=3))
def test_a_plan_names_exactly_what_each_target_lacks_or_has_too_much(source, targets):
    tallies = [Tally() for _target in targets]
    pairs = joined(listing(source), [listing(each) for each in targets])
    found = list(differences(pairs, tallies, questions(), threads=2))
    assert [each.key for each in found] == sorted({each.key for each in found}, key=order)
    for number, target in enumerate(targets):
        after = dict(target)
        for each in found:
            for step in each.steps:
                if step.target == number and step.action is Action.REMOVE:
                    del after[each.key]
                elif step.target == number:
                    assert (each.key in target) is (step.action is Action.REPLACE)
                    after[each.key] = each.item.etag
        assert after == source
        tally = tallies[number]
        assert tally.objects == len(target)
        assert tally.unchanged == sum(source.get(key) == etag for key, etag in target.items())
        assert sum(tally.counts.values()) == sum(step.target == number for each in found for step in each.steps)


@pytest.mark.parametrize("keys", [["b", "a"], ["a", "a"], ["a", "b", "b"], ["\U0001f6df", "\uffff"]])
def test_a_listing_out_of_order_is_an_error(keys):
    items = iter([Item(key, 1, "", "") for key in keys])
    with pytest.raises(LifeboatError, match="Cannot compare the listings"):
        list(joined(iter([]), [items]))


def test_an_error_of_a_listing_comes_out_of_the_plan():
    def broken():
        yield Item("a", 1, "", "")
        raise LifeboatError("Cannot list")

    with pytest.raises(LifeboatError, match="Cannot list"):
        list(differences(joined(broken(), [listing({})]), [Tally()], questions()))


def test_what_listings_do_not_tell_is_looked_at_and_stays_in_order():
    source = {f"{number:03}": str(number % 3) for number in range(200)}
    looked = []

    def look(_number, item, _own):
        looked.append(item.key)
        return item.etag == "0"

    tally = Tally()
    judge = questions(lambda _number, item, _own: Verdict.LOOK if item.etag != "2" else Verdict.OTHER, look)
    found = list(differences(joined(listing(source), [listing(source)]), [tally], judge, threads=3))
    assert [each.key for each in found] == [key for key in sorted(source) if source[key] != "0"]
    assert sorted(looked) == [key for key in sorted(source) if source[key] != "2"]
    assert (tally.unchanged, tally.counts[Action.REPLACE]) == (67, 133)


def test_what_the_source_has_without_listing_it_is_not_removed():
    tally = Tally()
    pairs = joined(listing({"p": "one"}), [listing({"p": "one", "p/c": "two", "q": "two"})])
    found = list(differences(pairs, [tally], questions(hidden=["p/c"])))
    assert [(each.key, each.steps[0].action) for each in found] == [("q", Action.REMOVE)]
    assert (tally.hidden, tally.unchanged, tally.objects) == (1, 2, 3)


def test_samples_are_bounded():
    tally = Tally()
    list(differences(joined(listing({str(n): "x" for n in range(500)}), [listing({})]), [tally], questions()))
    assert tally.counts[Action.COPY] == 500 and tally.bytes[Action.COPY] == 2500
    assert len(tally.samples[Action.COPY]) == SAMPLE


# Guards


def tally_of(objects, removed=0, replaced=0):
    tally = Tally(objects=objects)
    for action, count in ((Action.REMOVE, removed), (Action.REPLACE, replaced)):
        for number in range(count):
            tally.add(f"key-{number}", Step(0, action, Item("", 1, "", "")), None)
    return tally


@pytest.mark.parametrize(
    ("objects", "removed", "replaced", "guard"),
    [
        (1000, 101, 0, "mass_delete"),
        (1009, 101, 0, "mass_delete"),
        (1010, 101, 0, ""),
        (1000, 100, 0, ""),
        (100, 100, 0, ""),
        (101, 101, 0, "mass_delete"),
        (504, 0, 101, "mass_rewrite"),
        (505, 0, 101, ""),
        (100, 0, 100, ""),
        (5000, 501, 1001, "mass_delete"),
    ],
)
def test_masses_are_refused_from_a_tenth_and_a_fifth_on_beyond_a_hundred(objects, removed, replaced, guard):
    tally = tally_of(objects, removed, replaced)
    if not guard:
        mirror_guards.check_masses(tally, "there", ())
        return
    with pytest.raises(GuardRefusal) as refusal:
        mirror_guards.check_masses(tally, "there", {"mass_delete", "mass_rewrite"} - {guard})
    assert (refusal.value.guard, refusal.value.exit_code) == (guard, 3)
    mirror_guards.check_masses(tally, "there", {"mass_delete", "mass_rewrite"})


def test_an_empty_source_is_refused_unless_that_is_allowed():
    with pytest.raises(GuardRefusal) as refusal:
        mirror_guards.check_source(0, "here", ())
    assert refusal.value.guard == "source"
    mirror_guards.check_source(0, "here", {"source"})
    mirror_guards.check_source(1, "here", ())


def bucket_at(path="", url="http://127.0.0.1:9000", bucket="photos"):
    return Location(f"{bucket}/{path}", Endpoint(url), bucket, path)


@pytest.mark.parametrize(
    ("place", "other"),
    [
        (bucket_at(), bucket_at()),
        (bucket_at("a/"), bucket_at("a/")),
        (bucket_at(), bucket_at(url="http://localhost:9000")),
        (Location("here", path="/srv/data"), Location("there", path="/srv//data/")),
    ],
)
def test_a_place_is_not_mirrored_to_itself_whatever_is_allowed(place, other):
    with pytest.raises(UsageError, match="the same place"):
        mirror_guards.left_out(place, [other], mirror_guards.GUARDS)


@pytest.mark.parametrize(
    ("place", "other", "inside"),
    [
        (bucket_at(), bucket_at("copy/"), "copy/"),
        (bucket_at("a/"), bucket_at("a/b/"), "b/"),
        (bucket_at(), bucket_at("copy/", url="http://localhost:9000"), "copy/"),
        (Location("here", path="/srv/data"), Location("there", path="/srv/data/copy"), "copy/"),
    ],
)
def test_a_place_inside_another_is_refused_or_left_out(place, other, inside):
    with pytest.raises(GuardRefusal) as refusal:
        mirror_guards.left_out(place, [other], ())
    assert refusal.value.guard == "nested"
    assert mirror_guards.left_out(place, [other], {"nested"}) == (inside,)


@pytest.mark.parametrize(
    ("place", "other"),
    [
        (bucket_at("a/"), bucket_at()),
        (bucket_at("a/"), bucket_at("ab/")),
        (bucket_at(), bucket_at(bucket="films")),
        (bucket_at(), bucket_at(url="http://127.0.0.1:9001")),
        (bucket_at(), Location("there", path="/srv")),
        (Location("here", path="/srv/data"), Location("there", path="/srv/database")),
        (Location("here", path="/srv/data"), Location("there", path="/srv")),
    ],
)
def test_places_beside_each_other_leave_nothing_out(place, other):
    assert mirror_guards.left_out(place, [other], ()) == ()
