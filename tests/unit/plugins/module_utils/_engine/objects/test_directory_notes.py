# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects import directory_notes
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.directory_notes import DirectoryNotes
from ansible_collections.lifeboat.recovery.tests.unit.plugins.module_utils._engine.objects.tree_model import file_row


def test_the_deepest_directories_get_their_properties_first() -> None:
    notes = DirectoryNotes()
    names = [["a", "b", "c"], ["a"], [], ["a", "b"], ["line\nfeed", "\udcff"]]
    for each in names:
        notes.add_row(file_row("/".join(each), type="directory"), each)
    found = list(notes.rows())
    assert [len(each) for _row, each in found] == [3, 2, 2, 1, 0]
    assert all(row.key == "/".join(each) for row, each in found)
    assert sorted(each for _row, each in found) == sorted(names)


def test_the_first_time_of_a_directory_comes_last_and_so_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(directory_notes, "_REMEMBERED", 1)
    notes = DirectoryNotes()
    for number, name in enumerate(["a", "b", "b", "a"]):
        notes.touch([name], lambda number=number: number)
    assert list(notes.times()) == [(["a"], 3), (["b"], 1), (["a"], 0)]


def test_a_directory_that_is_touched_often_is_noted_once() -> None:
    notes = DirectoryNotes()
    for number in range(1_000):
        notes.touch(["a"], lambda number=number: number)
    assert list(notes.times()) == [(["a"], 0)]


def test_notes_can_be_added_after_some_were_read() -> None:
    notes = DirectoryNotes()
    notes.touch(["a"], lambda: 1)
    assert list(notes.times()) == [(["a"], 1)]
    notes.touch(["b"], lambda: 2)
    assert list(notes.times()) == [(["b"], 2), (["a"], 1)]
