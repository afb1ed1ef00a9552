# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a restore decides to do, against a target that is a dictionary."""

from __future__ import annotations

import io
import json
import random
import typing as t

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import DamagedError, LifeboatError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects import restore_plan
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.restore_plan import (
    CONFLICT,
    KEEP,
    OVERWRITE,
    PROPERTIES,
    REFUSE,
    REMOVE,
    RENAME,
    SKIP,
    WRITE,
    Counter,
    Policy,
    Step,
    steps,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.rows import Item, Row, order
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.selection import Selection
from ansible_collections.lifeboat.recovery.tests.unit.plugins.module_utils._engine.objects.restore_model import (
    Shelf,
    row,
)

SUFFIX = ".restored-20261120T020000Z-0a1b2c"


def planned(rows: t.Iterable[Row], shelf: Shelf, policy: Policy | None = None, **options: t.Any) -> list[Step]:
    return list(steps(rows, shelf.items("c"), shelf, "c", policy or Policy(suffix=SUFFIX), **options))


def told(found: t.Sequence[Step]) -> list[tuple[str, str]]:
    return [(step.action, step.key) for step in found]


def test_what_is_missing_is_written_and_what_is_there_is_kept() -> None:
    shelf = Shelf({"b": ("content", ""), "c": ("other!!", ""), "d": ("content", "old")})

    found = planned([row("a"), row("b"), row("c"), row("d")], shelf)

    assert told(found) == [(WRITE, "a"), (KEEP, "b"), (OVERWRITE, "c"), (PROPERTIES, "d")]


def test_without_exact_what_the_backup_does_not_have_stays() -> None:
    shelf = Shelf({"0": ("x", ""), "b": ("content", ""), "z": ("x", "")})

    assert told(planned([row("b")], shelf)) == [(KEEP, "b")]
    assert told(planned([row("b")], shelf, Policy(exact=True))) == [(KEEP, "b"), (REMOVE, "z"), (REMOVE, "0")]


def test_removals_come_last_and_backwards() -> None:
    shelf = Shelf({"a": ("x", ""), "c": ("x", "")})

    assert told(planned([row("b"), row("d")], shelf, Policy(exact=True))) == [
        (WRITE, "b"),
        (WRITE, "d"),
        (REMOVE, "c"),
        (REMOVE, "a"),
    ]


@pytest.mark.parametrize(
    ("conflicts", "wanted"),
    [
        ("skip", [(SKIP, "a")]),
        ("refuse", [(CONFLICT, "a")]),
        ("rename", [(RENAME, f"a{SUFFIX}")]),
        ("overwrite_if_different", [(OVERWRITE, "a")]),
    ],
)
def test_what_differs_is_treated_as_asked(conflicts: str, wanted: list[tuple[str, str]]) -> None:
    shelf = Shelf({"a": ("present", "")})

    assert told(planned([row("a", "wanted!")], shelf, Policy(conflicts, suffix=SUFFIX))) == wanted


def test_what_was_written_beside_another_is_kept_by_the_next_restore() -> None:
    shelf = Shelf({"a": ("present", ""), f"a{SUFFIX}": ("wanted", "")})

    assert told(planned([row("a", "wanted")], shelf, Policy("rename", suffix=SUFFIX))) == [(KEEP, f"a{SUFFIX}")]


def test_a_row_that_lies_under_another_key_is_found_there_and_not_removed() -> None:
    shelf = Shelf({"a~": ("content", ""), "b": ("content", "")})

    found = planned([row("a!"), row("b")], shelf, Policy(exact=True))

    assert told(found) == [(KEEP, "a~"), (KEEP, "b")]


def test_a_key_that_the_target_cannot_hold_is_named_with_the_reason() -> None:
    (step,) = planned([row("a\0b")], Shelf())

    assert (step.action, step.why) == (REFUSE, "no name holds it")


def test_only_selected_keys_are_written_or_removed() -> None:
    shelf = Shelf({"logs/new": ("x", ""), "other": ("x", "")})
    rows = [row("data/1"), row("logs/1")]

    found = planned(rows, shelf, Policy(exact=True), selected=Selection(prefix="logs/"))

    assert told(found) == [(WRITE, "logs/1"), (REMOVE, "logs/new")]


def test_a_directory_that_holds_what_is_left_out_is_not_removed() -> None:
    directories, files = ("cache", "d", "d/b", "f"), ("cache/a", "d/b/c.tmp", "d/e", "f/g")
    shelf = Shelf({**dict.fromkeys(directories, ("", "directory")), **dict.fromkeys(files, ("x", ""))})
    left_out = Selection(exclude=("cache/", "*.tmp"))

    found = planned([row("1")], shelf, Policy(exact=True), selected=left_out)

    assert told(found) == [(WRITE, "1"), (REMOVE, "f/g"), (REMOVE, "f"), (REMOVE, "d/e")]


def test_rows_out_of_order_are_damage() -> None:
    with pytest.raises(DamagedError):
        planned([row("b"), row("a")], Shelf())


def test_a_listing_that_goes_back_ends_the_plan() -> None:
    def repeating() -> t.Iterator[Item]:
        yield from (Item(key, 1, "", "") for key in ("a", "b", "a"))

    with pytest.raises(LifeboatError, match="not in order"):
        list(steps([row("c")], repeating(), Shelf(), "c", Policy(exact=True)))


def _random_state(random_: random.Random) -> dict[str, tuple[str, str]]:
    letters = "ab/!~\U0001f600\udce4"
    return {
        "".join(random_.choice(letters) for _letter in range(random_.randint(1, 3))): (
            random_.choice(("one", "two", "three")),
            random_.choice(("", "p")),
        )
        for _key in range(random_.randint(0, 12))
    }


def _rows_of(state: t.Mapping[str, tuple[str, str]]) -> list[Row]:
    return [row(key, *state[key]) for key in sorted(state, key=order)]


@pytest.mark.parametrize("exact", [False, True])
def test_applying_a_plan_gives_the_state_of_the_backup(exact: bool) -> None:
    random_ = random.Random(20261121)
    for _round in range(1500):
        # No key with a tilde: two rows would have to share one key of this target.
        wanted = {key: value for key, value in _random_state(random_).items() if "~" not in key}
        shelf = Shelf({key: value for key, value in _random_state(random_).items() if "!" not in key})
        before = dict(shelf.held)

        for step in planned(_rows_of(wanted), shelf, Policy(exact=exact)):
            shelf.apply(step)

        taken = {key.replace("!", "~"): value for key, value in wanted.items()}
        left = {} if exact else {key: value for key, value in before.items() if key not in taken}
        assert shelf.held == {**left, **taken}
        again = planned(_rows_of(wanted), shelf, Policy(exact=exact))
        assert {step.action for step in again} <= {KEEP}


@pytest.mark.parametrize("conflicts", ["skip", "rename"])
def test_nothing_that_was_there_changes_unless_it_may_be_overwritten(conflicts: str) -> None:
    random_ = random.Random(7)
    for _round in range(1500):
        wanted, shelf = _random_state(random_), Shelf(_random_state(random_))
        before = dict(shelf.held)

        for step in planned(_rows_of(wanted), shelf, Policy(conflicts, suffix=SUFFIX)):
            shelf.apply(step)

        assert {key: shelf.held[key] for key in before} == before


def test_a_tally_counts_all_and_shows_a_bounded_sample() -> None:
    file, counter = io.BytesIO(), Counter()
    full = Counter(file)
    found = planned([row(f"{number:03}") for number in range(100)], Shelf({"050": ("content", ""), "051": ("x", "")}))

    for step in found:
        counter.add("c", step)
        full.add("c", step)

    tally = counter.tally()
    assert (tally.counts[WRITE], tally.counts[KEEP], tally.counts[OVERWRITE]) == (98, 1, 1)
    assert (tally.changes, tally.bytes_written, tally.destroyed) == (99, 99 * 7, ("c",))
    assert len(tally.sample) == restore_plan.SAMPLE
    lines = [json.loads(line) for line in file.getvalue().splitlines()]
    assert [line["key"] for line in lines] == [f"{number:03}" for number in range(100)]


def test_a_key_that_is_no_text_is_shown_with_escapes() -> None:
    assert restore_plan.printable("a\udce4b") == "a\\xe4b"
    assert restore_plan.printable("ä") == "ä"
