# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import UsageError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.reread import Share
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.segments import Segment


def segment(number: int) -> Segment:
    return Segment("c", f"key {number}", f"key {number}x", 256, 0, "", "", "", 0, 0, 0, ())


@pytest.mark.parametrize(("text", "parts", "of"), [("1/7", 1, 7), ("2/5", 2, 5), ("3/3", 3, 3)])
def test_after_a_round_of_runs_every_segment_had_its_turn(text, parts, of):
    share = Share.parse(text)
    assert (share.parts, share.of) == (parts, of)
    seen: list[int] = []
    last: object = None
    for _run in range(-(-of // parts)):
        turn = share.after(last)
        seen += [number for number in range(300) if turn.has_segment(segment(number))]
        last = turn.statistics
    assert set(seen) == set(range(300))
    if of % parts == 0:
        assert len(seen) == 300


def test_a_row_has_the_turn_of_the_segment_that_was_asked_for_last():
    turn = Share(1, 2).after(None)
    answers = {turn.has_segment(segment(number)): turn.has_row(None) for number in range(20)}
    assert answers == {True: True, False: False}


@pytest.mark.parametrize("last", [None, 3, {}, {"of": 5, "next": 2}, {"of": 7, "next": "x"}, {"of": 7}])
def test_what_another_share_left_behind_begins_a_new_round(last):
    assert Share(1, 7).after(last).statistics == {"next": 1, "of": 7}


def test_no_share_is_an_empty_text():
    assert Share.parse("") is None


@pytest.mark.parametrize("text", ["7", "0/7", "8/7", "-1/7", "1/0", "a/b", "1/7 ", "1/9999999"])
def test_what_is_no_share_is_refused(text):
    with pytest.raises(UsageError, match="again"):
        Share.parse(text)
