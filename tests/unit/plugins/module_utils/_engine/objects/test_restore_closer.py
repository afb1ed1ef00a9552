# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Restores to targets whose listings do not tell whether an object is the same."""

from __future__ import annotations

import dataclasses
import typing as t

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects import restore_work
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.remarks import Remarks
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.restore_plan import OVERWRITE, Policy
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.restore_run import Done, Restoration
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.restore_work import Work
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.rows import Item, Row
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.source import Described
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.target import (
    OTHER,
    SAME,
    UNKNOWN,
    UNLIKELY,
    Written,
)
from ansible_collections.lifeboat.recovery.tests.unit.plugins.module_utils._engine.objects.restore_model import (
    Shelf,
    Stored,
    row,
)


@dataclasses.dataclass
class OddShelf(Shelf):
    """A target that lists a fresh ETag for all that is written to it."""

    verdict: str = UNKNOWN  # of a closer look, where the properties are the same
    tells: bool = False  # the ETag when it writes
    looked: list[str] = dataclasses.field(default_factory=list)
    read: list[str] = dataclasses.field(default_factory=list)
    moves: int = 0

    def item(self, key: str) -> Item:
        return super().item(key)._replace(etag=f"{key}-{self.moves}".replace("-", "~"))

    def is_unsure(self, row: Row, item: Item) -> bool:
        return row.size == item.size

    def look(self, collection: str, row: Row, item: Item) -> str:
        self.looked.append(row.key)
        return self.verdict if item.attributes == row.attributes else OTHER

    def read_whole(self, collection: str, item: Item) -> tuple[Described, bytes]:
        self.read.append(item.key)
        return super().read_whole(collection, item)

    def write(self, collection: str, row: Row, chunks: t.Iterator[bytes]) -> Written:
        written = super().write(collection, row, chunks)
        return written._replace(etag=self.item(row.key).etag) if self.tells else written


ROWS = [row(f"{number:03}", f"content {number:03}") for number in range(700)]
HELD = {each.key: (each.etag, "") for each in ROWS}


def work_on(shelf: OddShelf, **options: t.Any) -> Work:
    policy = options.pop("policy", Policy())
    return Work(shelf, {"shop": "shop"}, policy, reader=t.cast(t.Any, shelf), threads=3, **options)


def restored(work: Work, rows: t.Sequence[Row] = ROWS) -> tuple[Done, list[str]]:
    copy = Stored(rows)
    return Restoration(work, copy, Remarks(), ("shop",)).run(), copy.read


@pytest.mark.parametrize(
    ("verdict", "written", "reads"), [(SAME, 1, False), (UNKNOWN, 2, True), (OTHER, len(ROWS), False)]
)
def test_what_the_listing_leaves_open_is_looked_at(verdict: str, written: int, reads: bool) -> None:
    held = {**HELD, "005": ("CONTENT 005", ""), "600": ("other size", "")}
    shelf = OddShelf(dict(held), verdict=verdict)
    done, brought = restored(work_on(shelf))
    assert done.written == written == len(brought)
    assert sorted(shelf.looked) == sorted(each.key for each in ROWS if each.key != "600")
    assert bool(shelf.read) == reads
    assert shelf.held == (HELD if verdict != SAME else {**HELD, "005": held["005"]})


def test_etags_tell_nothing_where_an_object_with_another_one_has_the_same_content() -> None:
    shelf = OddShelf({**HELD, "005": ("CONTENT 005", "")}, verdict=UNLIKELY)
    done, brought = restored(work_on(shelf))
    assert (done.kept, brought) == (len(ROWS) - 1, ["005"])
    assert sorted(set(shelf.read)) == [each.key for each in ROWS]


def test_etags_are_believed_once_three_objects_were_other_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restore_work, "_TRIED", 20)
    large = [row(f"{number:03}", f"a content of some more bytes {number:03}") for number in range(20)]
    rows = [*large, *ROWS[20:]]
    held = {each.key: (each.etag.upper(), "") for each in rows}
    shelf = OddShelf(dict(held), verdict=UNLIKELY)
    work = work_on(shelf)
    steps = list(work.steps(Stored(rows), "shop"))
    assert {step.action for step in steps} == {OVERWRITE}
    assert len(shelf.read) == 3
    assert not set(shelf.read) & {each.key for each in large}


def test_what_differs_may_stay_after_a_closer_look() -> None:
    shelf = OddShelf({**HELD, "005": ("CONTENT 005", "")})
    done, _brought = restored(work_on(shelf, policy=Policy("skip")))
    assert (done.skipped, done.written, done.kept) == (1, 0, len(ROWS) - 1)


def test_where_contents_are_compared_a_closer_look_is_not_enough() -> None:
    shelf = OddShelf({**HELD, "005": ("CONTENT 005", "")}, verdict=SAME)
    done, brought = restored(work_on(shelf, by_content=True))
    assert (done.written, brought) == (1, ["005"])
    assert sorted(shelf.read) == [each.key for each in ROWS], "each is read once"


def test_what_a_run_has_written_is_known_again_by_the_etag_that_it_got(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restore_work, "_MOST_WRITTEN", 600)
    shelf = OddShelf(tells=True)
    work = work_on(shelf)
    assert restored(work)[0].written == len(ROWS)
    assert restored(work)[0].kept == len(ROWS)
    assert len(shelf.looked) == len(shelf.read) == 100, "only what was too much to remember"

    shelf.moves += 1  # somebody else has written them since
    assert restored(work)[0].kept == len(ROWS)
    assert len(shelf.looked) == 100 + len(ROWS)


def test_a_target_that_cannot_look_closer_is_believed() -> None:
    shelf = Shelf({**HELD, "005": ("CONTENT 005", "")})
    work = Work(shelf, {"shop": "shop"}, Policy(), reader=t.cast(t.Any, shelf))
    done, brought = restored(work)
    assert (done.written, brought) == (1, ["005"])
