# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs gates: independent checks with a name, a log file and a result, as many at once as the machine has room for."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
import typing as t
from pathlib import Path

import memory
from cache import CHECKOUT, STATE, SetupError
from processes import GuardedProcess

LOGS = STATE / "logs"
# Of a failed gate's log, on the terminal: its last lines, and before them what pytest and ansible-test call errors,
# which may lie far from the end.
_TAIL_LINES = 40
_ERROR_LINES = 20
_ERROR = re.compile(r"E  |FAILED |ERROR[ :]")
_SILENCE_S = 60.0  # after so long without a result, say what is running
_COMMAND_TIMEOUT_S = 75 * 60.0  # a hanging test shall not outlive the patience of a build machine
# Every gate waits now and then, for a disk, a server, or a clock: somebody else can use its core.
_CROWDING = 1.25


class GateFailure(Exception):
    """A gate found something; the text says what in one line, its log has the rest."""


@dataclasses.dataclass(frozen=True)
class Gate:
    """A check, or a step that sets up what checks need."""

    name: str
    about: str  # one line for the list
    work: t.Callable[[Workplace], str]  # returns a remark for the result line; raises GateFailure or SetupError
    group: str = ""  # the target of make that it belongs to
    needs: tuple[str, ...] = ()  # names of steps that must have ended well
    cores: float = 1.0  # how many it keeps busy; fewer than one where it waits for others most of the time
    is_step: bool = False  # sets something up: reported, but not counted as a check
    is_long: bool = False  # runs only where it is named: what it adds to shorter gates is worth its time now and then


@dataclasses.dataclass(frozen=True)
class Result:
    """How a gate ended."""

    gate: Gate
    remark: str
    is_passed: bool
    seconds: float


class Workplace:
    """What a gate works with: its log, an empty folder, and commands that end with the run."""

    def __init__(self, name: str, scratch: Path) -> None:
        self.log = LOGS / f"{name}.log"
        self.scratch = scratch  # every user can walk into it; removed after the gate
        self._processes: list[GuardedProcess] = []
        self._lock = threading.Lock()
        self._is_over = False

    def note(self, text: str) -> None:
        """Add a line to the log."""
        with self.log.open("a", encoding="utf-8") as handle:
            handle.write(text.rstrip("\n") + "\n")

    def run(self, *argv: object, cwd: Path = CHECKOUT, env: t.Mapping[str, str] | None = None) -> str:
        """Run a command and return what it said, which is in the log too. Raises GateFailure unless it ends with 0."""
        command = [str(word) for word in argv]
        self.note(f"\n$ {' '.join(command)}")
        begin = self.log.stat().st_size
        with self._lock:
            if self._is_over:
                raise GateFailure("interrupted")
            process = GuardedProcess(command, log=self.log, environment=env, cwd=cwd)
            self._processes.append(process)
        with process:
            try:
                status = process.wait(_COMMAND_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                raise GateFailure(f"{_shown(command)} did not end within {_COMMAND_TIMEOUT_S / 60:.0f} min") from None
        if status != 0:
            raise GateFailure(f"{_shown(command)} ended with {status}")
        return self.log.read_bytes()[begin:].decode("utf-8", "replace")

    def end(self) -> None:
        """End what runs here, and start nothing any more."""
        with self._lock:
            self._is_over = True
            processes = list(self._processes)
        for process in processes:
            process.stop()


def _shown(command: list[str]) -> str:
    words = [os.path.basename(command[0]), *command[1:]]
    return " ".join(words[:4]) + (" …" if len(words) > 4 else "")


class Runner:
    """Runs gates and their steps in the order of the list, in parallel as long as the cores have room for them."""

    def __init__(self, gates: t.Sequence[Gate], cores: int) -> None:
        self._waiting = list(gates)
        self._cores = cores
        self._results: dict[str, Result] = {}
        self._workplaces: list[Workplace] = []
        self._is_over = False
        self._is_terminal = sys.stdout.isatty()

    def run(self) -> list[Result]:
        """Run all and return the results; whatever ends this early ends every process that the gates started."""
        running: dict[concurrent.futures.Future[Result], Gate] = {}
        with concurrent.futures.ThreadPoolExecutor(max_workers=max(1, len(self._waiting))) as pool:
            try:
                while self._waiting or running:
                    self._fail_what_lacks_a_step()
                    for gate in self._startable(running.values()):
                        self._waiting.remove(gate)
                        running[pool.submit(self._work, gate)] = gate
                    for future in self._ended(running):
                        del running[future]
                        self._report(future.result())
            finally:
                self._is_over = True
                for workplace in self._workplaces:
                    workplace.end()
        return list(self._results.values())

    def _startable(self, running: t.Iterable[Gate]) -> list[Gate]:
        ready = [gate for gate in self._waiting if all(self._is_passed(need) for need in gate.needs)]
        return startable(ready, running, self._cores)

    def _is_passed(self, name: str) -> bool:
        return name in self._results and self._results[name].is_passed

    def _fail_what_lacks_a_step(self) -> None:
        for gate in list(self._waiting):
            lacking = [need for need in gate.needs if need in self._results and not self._results[need].is_passed]
            if lacking:
                self._waiting.remove(gate)
                self._report(Result(gate, f"not run: {', '.join(lacking)} failed", False, 0.0))

    def _ended(self, running: t.Mapping[concurrent.futures.Future[Result], Gate]) -> set[t.Any]:
        ended: set[t.Any] = set()
        while running and not ended:
            ended, _running = concurrent.futures.wait(running, _SILENCE_S, concurrent.futures.FIRST_COMPLETED)
            if not ended:
                print(f"...   running: {', '.join(gate.name for gate in running.values())}", flush=True)
        return ended

    def _work(self, gate: Gate) -> Result:
        begun = time.monotonic()
        prefix, parent = f"lifeboat-{gate.name}-", memory.quick_parent()
        with tempfile.TemporaryDirectory(prefix=prefix, dir=parent, ignore_cleanup_errors=True) as scratch:
            os.chmod(scratch, 0o755)
            workplace = Workplace(gate.name, Path(scratch))
            workplace.log.write_bytes(b"")
            self._workplaces.append(workplace)
            if self._is_over:
                workplace.end()  # it came too late to be ended with the others
            try:
                remark, is_passed = gate.work(workplace), True
            except (GateFailure, SetupError, OSError) as error:
                remark, is_passed = str(error).splitlines()[0], False
                workplace.note(f"\n{error}")
        return Result(gate, remark, is_passed, time.monotonic() - begun)

    def _report(self, result: Result) -> None:
        gate = result.gate
        self._results[gate.name] = result
        word = "FAIL" if not result.is_passed else "ready" if gate.is_step else "ok"
        print(f"{word:5} {gate.name:20} {result.seconds:7.1f} s  {result.remark}".rstrip(), flush=True)
        if not result.is_passed and result.seconds:
            log = LOGS / f"{gate.name}.log"
            lines = worth_showing(log.read_text(encoding="utf-8", errors="replace").splitlines())
            print("".join(f"      | {line}\n" for line in lines) + f"      whole log: {log}", flush=True)


def startable(ready: t.Iterable[Gate], running: t.Iterable[Gate], cores: int) -> list[Gate]:
    """Return the gates to start now: the first of those that are ready, as many as find room, but one in any case."""
    busy = [gate.cores for gate in running]
    found = []
    for gate in ready:
        if busy and sum(busy) + gate.cores > cores * _CROWDING:
            break  # nobody overtakes: else a gate that wants several cores would come last
        busy.append(gate.cores)
        found.append(gate)
    return found


def worth_showing(lines: t.Sequence[str]) -> list[str]:
    """Return the lines of a failed gate's log that tell most in few: what pytest found, then the end."""
    errors = [line for line in lines[:-_TAIL_LINES] if _ERROR.match(line)]
    return errors[-_ERROR_LINES:] + list(lines[-_TAIL_LINES:])


def with_steps(chosen: t.Sequence[Gate], known: t.Sequence[Gate]) -> list[Gate]:
    """Return the chosen gates and the steps that they need, in the order of the list."""
    names = {gate.name for gate in chosen} | {need for gate in chosen for need in gate.needs}
    while True:
        more = {need for gate in known if gate.name in names for need in gate.needs} - names
        if not more:
            return [gate for gate in known if gate.name in names]
        names |= more


def usable_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def summary(results: t.Sequence[Result], left_out: t.Sequence[str]) -> str:
    """Return the last line of a run: how many gates passed and failed, and which failed or were left out."""
    failed = [result.gate.name for result in results if not result.is_passed]
    passed = [result for result in results if result.is_passed and not result.gate.is_step]
    line = f"{len(passed)} passed, {len(failed)} failed"
    if left_out:
        line += f", {len(left_out)} left out ({', '.join(left_out)})"
    return line
