# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How a restore is carried out, from a copy and to a target that are dictionaries."""

from __future__ import annotations

import json
import os
import random
import typing as t
from pathlib import Path

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import GuardRefusal
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects import restore_run
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.directory_target import DirectoryTarget
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.remarks import Remarks
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.restore_plan import Policy
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.restore_run import Restoration
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.restore_work import Work
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.rows import Row
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.selection import Selection
from ansible_collections.lifeboat.recovery.tests.unit.plugins.module_utils._engine.objects.restore_model import (
    Shelf,
    Stored,
    row,
)

ROWS = [row("a", "one"), row("b", "two"), row("c", "three")]
ALL = {"a": ("one", ""), "b": ("two", ""), "c": ("three", "")}


def work_on(shelf: t.Any, **options: t.Any) -> Work:
    policy = options.pop("policy", Policy())
    return Work(shelf, {"shop": "shop-again"}, policy, reader=shelf, threads=3, **options)


def restored(
    work: Work, copy: Stored, remarks: Remarks | None = None, allowed: t.Collection[str] = ("shop-again",)
) -> restore_run.Done:
    return Restoration(work, copy, remarks or Remarks(), allowed).run()


def test_a_restore_brings_what_is_missing_and_leaves_the_rest() -> None:
    shelf = Shelf({"b": ("two", ""), "other": ("x", "")})
    copy = Stored(ROWS)

    done = restored(work_on(shelf), copy)

    assert shelf.held == {**ALL, "other": ("x", "")}
    assert (done.written, done.written_bytes, done.kept, copy.read) == (2, 8, 1, ["a", "c"])


def test_a_restore_that_was_ended_goes_on_where_it_was() -> None:
    shelf = Shelf(full_after=2)
    with pytest.raises(OSError, match="broke"):
        restored(work_on(shelf), Stored(ROWS))
    shelf.full_after = -1

    again = Stored(ROWS)
    done = restored(work_on(shelf), again)

    assert shelf.held == ALL and done.kept == 2 and len(again.read) == 1


def test_what_is_damaged_is_not_written_and_comes_from_another_copy() -> None:
    shelf, remarks = Shelf(), Remarks()

    first = restored(work_on(shelf), Stored(ROWS, damaged=frozenset("b")), remarks)

    assert set(shelf.held) == {"a", "c"} and first.damaged == 1
    assert remarks.sample == ("damaged: shop-again/b: its SHA-256 is another one",)
    second = restored(work_on(shelf), Stored(ROWS))
    assert shelf.held == ALL and (second.written, second.damaged) == (1, 0)


def test_big_objects_that_are_damaged_are_not_written_either(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restore_run, "_HELD", 1)
    shelf = Shelf()

    assert restored(work_on(shelf), Stored(ROWS, damaged=frozenset("b"))).damaged == 1
    assert set(shelf.held) == {"a", "c"}


@pytest.mark.parametrize("trouble", ["damaged", "refused"])
def test_nothing_is_removed_while_something_could_not_be_brought(trouble: str) -> None:
    shelf = Shelf({"extra": ("x", "")}, refused=frozenset("b" if trouble == "refused" else ""))
    copy = Stored(ROWS, damaged=frozenset("b" if trouble == "damaged" else ""))

    done = restored(work_on(shelf, policy=Policy(exact=True)), copy)

    assert "extra" in shelf.held and (done.removed, done.left) == (0, 1)


def test_an_exact_restore_removes_what_the_backup_does_not_have() -> None:
    shelf = Shelf({"0": ("x", ""), "z": ("x", "")})

    done = restored(work_on(shelf, policy=Policy(exact=True)), Stored(ROWS))

    assert shelf.held == ALL and done.removed == 2
    assert {what for what, _key in shelf.done[:3]} == {"write"}


def test_a_directory_is_removed_after_what_lies_in_it() -> None:
    shelf = Shelf({"d": ("", "directory"), **{f"d/{number:02}": ("x", "") for number in range(40)}})

    restored(work_on(shelf, policy=Policy(exact=True)), Stored([]))

    assert shelf.done[-1] == ("remove", "d") and shelf.held == {}


@pytest.mark.parametrize("present", ["other", "three, but with more"])
def test_what_nobody_confirmed_is_not_overwritten(present: str) -> None:
    shelf = Shelf({"c": (present, "")})

    with pytest.raises(GuardRefusal) as refusal:
        restored(work_on(shelf), Stored(ROWS), allowed=())

    assert refusal.value.guard == "confirm" and shelf.held["c"] == (present, "")


def test_what_nobody_confirmed_is_not_removed() -> None:
    shelf = Shelf({"z": ("x", "")})

    with pytest.raises(GuardRefusal):
        restored(work_on(shelf, policy=Policy(exact=True)), Stored(ROWS), allowed=())

    assert "z" in shelf.held


def test_a_forged_listing_is_seen_through_where_contents_are_compared() -> None:
    shelf = Shelf({"a": ("POISON!", "")}, forged=frozenset("a"))
    copy = Stored([row("a", "content")])

    assert restored(work_on(shelf), copy).kept == 1
    assert shelf.held["a"] == ("POISON!", "")
    assert restored(work_on(shelf, by_content=True), copy).written == 1
    assert shelf.held["a"] == ("content", "")


def test_what_only_needs_properties_is_not_read() -> None:
    shelf, copy, remarks = Shelf({"a": ("one", "old")}), Stored([row("a", "one", "new")]), Remarks()

    done = restored(work_on(shelf), copy, remarks)

    assert (done.described, copy.read, shelf.held) == (1, [], {"a": ("one", "new")})
    assert remarks.sample == ("changed: shop-again/a: its owner is unknown here",)


def test_what_is_written_beside_another_object_leaves_that_alone() -> None:
    shelf, remarks = Shelf({"b": ("mine", "")}), Remarks()

    restored(work_on(shelf, policy=Policy("rename", suffix=".restored")), Stored(ROWS), remarks, allowed=())

    assert (shelf.held["b"], shelf.held["b.restored"]) == (("mine", ""), ("two", ""))


def _link(key: str, target: str) -> Row:
    return row(key, "", type="hardlink", target=target)._replace(location=None, sha256="")


def test_a_hard_link_comes_after_the_file_and_becomes_one_without_it() -> None:
    rows = [row("a", "one"), _link("b", "a"), *(row(f"c{number}", "x") for number in range(9))]
    whole, alone = Shelf(), Shelf()

    restored(work_on(whole), Stored(rows))
    restored(work_on(alone, selected=Selection(keys=("b",))), Stored(rows))

    assert whole.done[-1] == ("write", "b") and whole.held["b"] == ("", "")
    assert alone.held == {"b": ("one", "")}


def test_no_row_leads_out_of_a_directory(tmp_path: Path) -> None:
    target, outside = tmp_path / "target", tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("mine")
    (tmp_path / "secret").write_text("mine")
    facts = {"mode": 0o755, "uid": 0, "gid": 0, "mtime_ns": 0}
    link = row("link", "", type="symlink", target=str(outside), **facts)._replace(location=None, sha256="")
    rows = [
        *(
            row(key)
            for key in ("../secret", "../outside/file", "/etc/lifeboat-x", "a/../../secret", "..", "a/./b", "a//b")
        ),
        link,
        row("link/file"),
        row("link/new"),
        link._replace(key="hard", properties={"type": "hardlink", "target": "../secret", **facts}),
        link._replace(key="hard2", properties={"type": "hardlink", "target": "link/file", **facts}),
    ]
    directory = DirectoryTarget({"shop-again": str(target)})

    done = restored(Work(directory, {"shop": "shop-again"}, Policy(exact=True), threads=3), Stored(rows))

    assert done.written >= 8
    assert {
        path.name: path.read_text() for path in tmp_path.rglob("*") if target not in path.parents and path.is_file()
    } == {
        "file": "mine",
        "secret": "mine",
    }
    assert (tmp_path / "secret").stat().st_nlink == 1 and not Path("/etc/lifeboat-x").exists()


CROWDED = ("p", "p/", "p/c", "p/c/d", "q/", "q", "r//s", "r")  # each stands in the way of another one in a folder


def in_folder(folder: Path, policy: Policy | None = None, keys: t.Collection[str] = CROWDED) -> Work:
    target = DirectoryTarget({"shop-again": str(folder)}, objects_only=True)
    return Work(target, {"shop": "shop-again"}, policy or Policy(), Selection(keys=tuple(keys)), threads=3)


def crowded() -> Stored:
    return Stored([row(key, f"content of {key}")._replace(modified="2026-11-20T02:00:00.000000Z") for key in CROWDED])


@pytest.mark.parametrize("first", [[], ["p"], ["p/c"], ["p/c/d", "q"], ["q/", "r//s"], ["p", "q", "r"]])
def test_objects_that_stand_in_each_others_way_in_a_folder_lie_beside_each_other_and_are_found_there(
    tmp_path: Path, first: t.Sequence[str]
) -> None:
    folder, copy = tmp_path / "folder", crowded()
    remarks = Remarks()
    for key in [[key] for key in first]:
        restored(in_folder(folder, keys=key), copy)
    done = restored(in_folder(folder), copy, remarks)
    assert (done.failed, done.kept, done.written) == (0, len(first), len(CROWDED) - len(first))
    found = sorted(path.read_text() for path in folder.rglob("*") if path.is_file())
    assert found == sorted(f"content of {key}" for key in CROWDED)
    told = [json.loads(line)[1] for line in b"".join(remarks.chunks()).splitlines()]
    assert set(told) <= set(CROWDED)
    before = {path: path.lstat().st_ino for path in folder.rglob("*")}

    for policy in (Policy(), Policy(exact=True), Policy("refuse")):
        again = restored(in_folder(folder, policy), copy)
        assert (again.kept, again.written, again.removed, again.failed) == (len(CROWDED), 0, 0, 0)
    assert {path: path.lstat().st_ino for path in folder.rglob("*")} == before


def test_what_lies_beside_its_place_and_was_changed_is_written_again_there(tmp_path: Path) -> None:
    folder, copy = tmp_path / "folder", crowded()
    for keys in (["p"], ["p", "p/c"]):
        restored(in_folder(folder, keys=keys), copy)
    beside = folder / "%lb-below-p" / "c"
    for change in (lambda: beside.write_text("another"), lambda: os.utime(beside, (1, 1))):
        change()
        counts = in_folder(folder, keys=keys).tally(copy).counts
        assert (counts["overwrite"], counts["keep"]) == (1, 1)
        assert in_folder(folder, Policy("skip"), keys).tally(copy).counts["skip"] == 1
        assert restored(in_folder(folder, keys=keys), copy).written == 1
        assert beside.read_text() == "content of p/c"


def test_the_bytes_of_many_objects_are_held_within_bounds_and_all_arrive() -> None:
    random_ = random.Random(5)
    rows = [row(f"{number:05}", "x" * random_.randint(0, 50)) for number in range(2000)]
    shelf = Shelf()

    done = restored(work_on(shelf), Stored(rows))

    assert done.written == 2000 and shelf.held == {each.key: (each.etag, "") for each in rows}
