# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import signal
import time

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.parallel_runs import LostError, run_all
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.place import silent
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.signals import Interrupted


@pytest.mark.parametrize("parallel", [1, 3, 50])
def test_results_come_in_the_order_of_the_work(parallel):
    assert run_all(lambda number, _say: number * number, 20, parallel, silent) == [n * n for n in range(20)]


def test_more_pieces_than_a_pipe_holds_are_done():
    assert sum(run_all(lambda number, _say: number, 40000, 2, silent)) == sum(range(40000))


def test_every_child_is_another_process_and_what_it_says_is_heard():
    heard = []

    def work(number, say):
        say(f"piece {number}")
        return os.getpid()

    pids = run_all(work, 4, 2, heard.append)
    assert os.getpid() not in pids and len(set(pids)) <= 2
    assert sorted(heard) == [f"piece {number}" for number in range(4)]


def test_a_process_that_is_killed_loses_its_piece_and_the_others_go_on():
    def work(number, _say):
        if number == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return number

    found = run_all(work, 6, 2, silent)
    assert isinstance(found[1], LostError)
    assert [each for each in found if not isinstance(each, LostError)] == [0, 2, 3, 4, 5]


def test_a_bug_is_told_and_loses_one_piece(capfd):
    def work(number, _say):
        return 1 // number

    found = run_all(work, 3, 2, silent)
    assert isinstance(found[0], LostError) and found[1:] == [1, 0]
    assert "ZeroDivisionError" in capfd.readouterr().err


def test_large_results_arrive_whole():
    found = run_all(lambda number, _say: bytes([number]) * 3_000_000, 3, 3, silent)
    assert [(len(each), each[0]) for each in found] == [(3_000_000, number) for number in range(3)]


def test_who_is_told_to_end_ends_the_children_which_unwind(tmp_path):
    def work(number, say):
        try:
            say(str(os.getpid()))
            time.sleep(60)
        except BaseException:
            (tmp_path / str(os.getpid())).touch()
            raise

    heard = []

    def hear(line):
        heard.append(int(line))
        if len(heard) == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Interrupted):
        run_all(work, 4, 2, hear)
    assert {int(path.name) for path in tmp_path.iterdir()} == set(heard)
    for pid in heard:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
