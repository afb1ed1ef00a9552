# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import pathlib
import signal
import typing as t

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import GuardRefusal, LifeboatError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects import object_writing
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.remarks import Remarks
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.restore_plan import Policy
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.restore_run import Done, Restoration
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.restore_work import Work
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.source import ObjectError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.target import Bring, Take, Written
from ansible_collections.lifeboat.recovery.tests.unit.plugins.module_utils._engine.objects.restore_model import (
    Shelf,
    Stored,
    row,
)

WAIT_S = 20
KEYS = [f"{number:04d}" for number in range(300)]


class FlyingShelf(Shelf):
    """A target of files that takes several objects at once; each has the id of the process that wrote it."""

    folder: pathlib.Path
    is_another = False

    def place(self, given: t.Any) -> str:
        return self.key_for(given)

    def another(self) -> FlyingShelf:
        other = FlyingShelf(refused=self.refused)
        other.folder, other.is_another = self.folder, True
        return other

    def write_through(self, take: Take, at_once: int) -> t.Iterator[tuple[Bring, Written | ObjectError]]:
        taken: list[Bring] = []
        while True:
            order = take(not taken) if len(taken) < at_once else None
            if order is not None:
                taken.append(order)
            elif taken:
                yield self._one(taken.pop())  # they are done in any order
            else:
                return

    def _one(self, order: Bring) -> tuple[Bring, Written | ObjectError]:
        if order.row.key == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if order.row.key == "fire":
            raise GuardRefusal("target", "Cannot write", "it is on fire", "run")
        if order.row.key in self.refused:
            return order, ObjectError("Cannot write it", "the name is refused")
        (self.folder / order.key).write_text(f"{os.getpid()} {order.data.decode()}", encoding="utf-8")
        return order, Written(order.key, ("told",) if order.key != order.row.key else ())


@pytest.fixture(params=[0, 2], ids=["threads", "processes"])
def count(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(object_writing, "processes_for", lambda _at_once: request.param)
    return int(request.param)


def shelf(folder: pathlib.Path, *refused: str) -> FlyingShelf:
    made = FlyingShelf(refused=frozenset(refused))
    made.folder = folder
    return made


def restored(target: FlyingShelf, keys: t.Sequence[str], remarks: Remarks) -> Done:
    rows = [row(key, f"content of {key}") for key in keys]
    work = Work(target, {"uploads": "uploads"}, Policy())
    return Restoration(work, Stored(rows), remarks, ()).run()


def test_every_object_is_written_once_with_its_bytes(tmp_path: pathlib.Path, count: int) -> None:
    done = restored(shelf(tmp_path), KEYS, Remarks())
    assert (done.written, done.failed) == (len(KEYS), 0)
    written = {path.name: path.read_text(encoding="utf-8").split(" ", 1) for path in tmp_path.iterdir()}
    assert {name: content for name, (_pid, content) in written.items()} == {key: f"content of {key}" for key in KEYS}
    assert len({pid for pid, _content in written.values()}) == (count or 1)
    assert (str(os.getpid()) in {pid for pid, _content in written.values()}) == (not count)


def test_an_object_that_the_target_refuses_is_counted_and_the_others_are_written(
    tmp_path: pathlib.Path, count: int
) -> None:
    remarks = Remarks()
    done = restored(shelf(tmp_path, "0007"), [*KEYS[:20], "a!b"], remarks)
    assert (done.written, done.failed) == (20, 1)
    assert sorted(line.split(":", 2)[:2] for line in remarks.sample) == [
        ["changed", " uploads/a!b"],
        ["failed", " uploads/0007"],
        ["renamed", " uploads/a!b"],
    ]
    assert (tmp_path / "a~b").exists()


def test_what_concerns_the_whole_target_comes_out_as_it_is(tmp_path: pathlib.Path, count: int) -> None:
    with pytest.raises(GuardRefusal, match="on fire") as caught:
        restored(shelf(tmp_path), [*KEYS, "fire"], Remarks())
    assert (caught.value.guard, caught.value.remedy) == ("target", "run")


def test_a_process_that_is_killed_fails_the_restore(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_writing, "processes_for", lambda _at_once: 2)
    with pytest.raises(LifeboatError, match="ended early"):
        restored(shelf(tmp_path), [*KEYS, "kill"], Remarks())


def test_what_is_brought_after_the_target_failed_fails_as_well(tmp_path: pathlib.Path) -> None:
    with object_writing._WritingThreads(shelf(tmp_path), 2) as writers:
        for _time in range(2):
            future = writers.submit(Bring("uploads", row("fire"), "fire", b""))
            with pytest.raises(GuardRefusal, match="on fire"):
                future.result(WAIT_S)
