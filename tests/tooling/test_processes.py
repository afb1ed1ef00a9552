# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from processes import GuardedProcess

# A program that ignores the polite signal and has a child of its own.
STUBBORN = "trap '' TERM; sleep 600 & echo $!; wait; wait"
STARTER = """
import sys, pathlib
sys.path.insert(0, {tooling!r})
from processes import GuardedProcess
process = GuardedProcess(["sleep", "600"], log=pathlib.Path({log!r}))
if {keep!r}:
    process.leave_running()
print(process.pid, process.guard_pid, flush=True)
sys.stdin.read()
"""


def start(tmp_path: Path, is_kept: bool) -> tuple[subprocess.Popen[str], int, int]:
    tooling = str(Path(sys.modules["processes"].__file__ or "").parent)
    code = STARTER.format(tooling=tooling, log=str(tmp_path / "log"), keep=is_kept)
    starter = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert starter.stdout is not None
    program, guard = (int(word) for word in starter.stdout.readline().split())
    return starter, program, guard


def wait_for_end(pid: int) -> None:
    """Wait until a process that is not our child is gone."""
    with contextlib.suppress(ProcessLookupError):
        descriptor = os.pidfd_open(pid)
        try:
            assert select.select([descriptor], [], [], 30)[0], f"process {pid} is still there"
        finally:
            os.close(descriptor)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_program_ends_when_its_starter_does(tmp_path: Path, number: signal.Signals) -> None:
    starter, program, guard = start(tmp_path, is_kept=False)
    with starter:
        starter.send_signal(number)
    wait_for_end(program)
    wait_for_end(guard)


def test_a_program_that_is_left_running_outlives_its_starter_until_its_guard_is_told(tmp_path: Path) -> None:
    starter, program, guard = start(tmp_path, is_kept=True)
    with starter:
        starter.kill()
    os.kill(program, 0)
    os.kill(guard, signal.SIGTERM)
    wait_for_end(program)


def test_a_program_ends_when_its_guard_is_killed(tmp_path: Path) -> None:
    starter, program, guard = start(tmp_path, is_kept=False)
    with starter:
        os.kill(guard, signal.SIGKILL)
        wait_for_end(program)
        starter.kill()


def test_a_stubborn_program_and_its_children_are_killed_after_the_grace(tmp_path: Path) -> None:
    log = tmp_path / "log"
    process = GuardedProcess(["sh", "-c", STUBBORN], log=log, grace_s=0.2)
    while not log.read_text(encoding="utf-8").strip():
        pass
    child = int(log.read_text(encoding="utf-8"))
    process.stop()
    assert process.poll() == 128 + signal.SIGKILL
    wait_for_end(child)


def test_the_exit_code_is_the_programs(tmp_path: Path) -> None:
    with GuardedProcess(["sh", "-c", "exit 7"], log=tmp_path / "log") as process:
        assert process.wait(30) == 7


def test_a_program_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        GuardedProcess([tmp_path / "missing"], log=tmp_path / "log")


def test_what_a_program_leaves_in_a_session_of_its_own_ends_too(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with GuardedProcess(["sh", "-c", "setsid sh -c 'echo $$; sleep 600' & wait"], log=log, grace_s=0.2):
        while not log.read_text(encoding="utf-8").strip():
            pass
    with contextlib.suppress(ProcessLookupError):
        os.kill(int(log.read_text(encoding="utf-8").split()[0]), 0)  # "Terminated", says the shell, may follow
        pytest.fail("it is still there")
