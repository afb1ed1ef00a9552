# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import sys
from pathlib import Path

import gate_runner
import pytest
from gate_runner import Gate, GateFailure, Runner, Workplace, startable, summary, with_steps, worth_showing


@pytest.fixture(autouse=True)
def _own_logs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(gate_runner, "LOGS", tmp_path)


def passes(place: Workplace) -> str:
    return place.run(sys.executable, "-c", "print('fine')").strip()


def fails(place: Workplace) -> str:
    return place.run(sys.executable, "-c", "print('reason'); raise SystemExit(3)")


def test_gates_are_counted_and_the_end_of_a_failed_log_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    results = Runner([Gate("good", "", passes), Gate("bad", "", fails)], cores=2).run()
    assert summary(results, []) == "1 passed, 1 failed"
    assert "| reason" in capsys.readouterr().out
    assert {result.gate.name: result.remark for result in results}["good"] == "fine"


def test_what_pytest_found_is_shown_however_far_from_the_end_it_lies() -> None:
    log = ["    def test():", "E   assert 1 == 2", *["frame"] * 200, "FAILED a.py::test - assert 1 == 2", "1 failed"]
    shown = worth_showing(log)
    assert shown[0] == "E   assert 1 == 2"
    assert shown[-2:] == log[-2:]
    assert len(shown) < 50


def test_a_gate_is_not_run_but_failed_when_its_step_failed() -> None:
    gates = [Gate("step", "", fails, is_step=True), Gate("check", "", lambda _: pytest.fail("run"), needs=("step",))]
    results = Runner(gates, cores=1).run()
    assert summary(results, []) == "0 passed, 2 failed"


def test_steps_are_not_counted_as_passed() -> None:
    results = Runner(
        [Gate("step", "", passes, is_step=True), Gate("check", "", passes, needs=("step",))], cores=1
    ).run()
    assert summary(results, ["molecule"]) == "1 passed, 0 failed, 1 left out (molecule)"


def test_a_chosen_gate_brings_the_steps_that_it_needs() -> None:
    known = [Gate("a", "", passes), Gate("b", "", passes, is_step=True), Gate("c", "", passes, needs=("b",))]
    assert [gate.name for gate in with_steps([known[2]], known)] == ["b", "c"]


@pytest.mark.parametrize(
    ("running", "ready", "started"),
    [
        ([], [1.0, 1.0, 0.5], 3),
        ([], [1.0, 1.0, 0.75], 2),
        ([1.0], [0.75, 0.75, 0.75], 2),
        ([1.0, 1.0], [1.0, 0.5], 0),
        ([1.0], [2.0, 0.5], 0),
        ([], [8.0, 0.5], 1),
    ],
)
def test_gates_start_in_their_order_as_long_as_two_cores_have_room(
    running: list[float], ready: list[float], started: int
) -> None:
    gates = [Gate(str(number), "", passes, cores=busy) for number, busy in enumerate(ready)]
    others = [Gate("other", "", passes, cores=busy) for busy in running]
    assert startable(gates, others, 2) == gates[:started]


def test_a_defect_of_a_gate_ends_the_others_and_is_not_hidden() -> None:
    def breaks(_place: Workplace) -> str:
        raise ZeroDivisionError

    def lasts(place: Workplace) -> str:
        return place.run("sleep", "600")

    with pytest.raises(ZeroDivisionError):
        Runner([Gate("lasts", "", lasts), Gate("breaks", "", breaks)], cores=2).run()


def test_a_workplace_that_has_ended_starts_nothing(tmp_path: Path) -> None:
    place = Workplace("late", tmp_path)
    place.log.touch()
    place.end()
    with pytest.raises(GateFailure, match="interrupted"):
        place.run("true")


def test_a_gate_that_begins_when_the_others_were_ended_starts_nothing() -> None:
    runner = Runner([], cores=1)
    runner.run()
    assert runner._work(Gate("late", "", passes)).remark == "interrupted"
