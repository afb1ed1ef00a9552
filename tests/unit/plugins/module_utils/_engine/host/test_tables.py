# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host import tables


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (13 * 2**20 + 2**19, "13.5 MiB"), (2**60, "1048576.0 TiB")],
)
def test_sizes_are_for_people(count, text):
    assert tables.size(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.26, "0.3 s"),
        (59, "59 s"),
        (119, "119 s"),
        (120, "2 min"),
        (7199, "119 min"),
        (7200, "2 h"),
        (172799, "47 h"),
        (172800, "2 d"),
        (-30, "-30 s"),
    ],
)
def test_durations_have_one_unit(seconds, text):
    assert tables.duration(seconds) == text


def test_columns_are_as_wide_as_their_widest_cell():
    assert tables.table(("ID", "NAME", "X"), [("1", "first", "a"), ("22", "b", "")], (10, 10, 0)) == [
        "ID  NAME   X",
        "1   first  a",
        "22  b",
    ]


def test_what_does_not_fit_is_cut_visibly():
    lines = tables.table(("ID", "NAMES"), [("x" * 30, "n" * 200)], (10, 0))
    assert lines[1] == "x" * 9 + "…" + "  " + "n" * 87 + "…"
    assert len(lines[1]) == tables.WIDTH


def test_nothing_that_moves_the_cursor_reaches_a_terminal():
    lines = tables.table(("A", "B"), [("a\x1b[2J\r", "b\nc\u202e")], (0, 0))
    assert lines[1] == "a\N{REPLACEMENT CHARACTER}[2J   b c\N{REPLACEMENT CHARACTER}"


def test_notes_are_wrapped_and_indented():
    lines = tables.note("word " * 40)
    assert lines[0].startswith("  ! word")
    assert lines[1].startswith("    word")
    assert max(map(len, lines)) <= tables.WIDTH
