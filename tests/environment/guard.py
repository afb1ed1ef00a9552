# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs one program and ends it when whoever started it is gone, however that ended. Run by processes.py.

Standard input is a pipe whose other end the starter holds and never writes to, but for one byte: `k` says that the
program shall outlive the starter. End of file, SIGTERM and SIGINT end the program: its stop signal first, SIGKILL after
the grace. What it leaves, in whatever session or group, is killed too. The exit code is the program's.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

# prctl(2): the signal that a process gets when its parent dies; orphans among the descendants become ours
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_FAREWELL_S = 2.0  # what a program leaves gets this long to end by itself


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument(
        "--report", type=int, required=True, help="descriptor that gets the process id, or why there is none"
    )
    parser.add_argument("--stop-signal", type=int, required=True)
    parser.add_argument("--grace", type=float, required=True)
    parser.add_argument("--user", help="uid:gid to run as")
    parser.add_argument("argv", nargs="+")
    return parser.parse_args(argv)


def _start(options: argparse.Namespace) -> subprocess.Popen[bytes]:
    uid, _colon, gid = (options.user or "").partition(":")

    def die_with_guard() -> None:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, options.stop_signal)

    return subprocess.Popen(
        options.argv,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=die_with_guard if sys.platform == "linux" else None,
        user=int(uid) if uid else None,
        group=int(gid) if gid else None,
        extra_groups=[] if uid else None,
    )


def _adopt_orphans() -> None:
    """Become the parent of what the program leaves behind, so that none of it gets out of sight."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)


def _bury_adopted(child: subprocess.Popen[bytes]) -> None:
    """Collect orphans that have ended; the exit code of the program itself is left for `child`."""
    with contextlib.suppress(ChildProcessError):
        while True:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if ended is None or (ended.si_pid == child.pid and child.poll() is None):
                return
            if ended.si_pid != child.pid:
                os.waitpid(ended.si_pid, 0)


def _wait(child: subprocess.Popen[bytes], wakeup: int) -> None:
    """Return when the child has ended, when the starter is gone, or on a signal."""
    watched = [sys.stdin.fileno(), wakeup]
    while child.poll() is None:
        _bury_adopted(child)
        ready, _writable, _broken = select.select(watched, [], [])
        if wakeup in ready:
            if any(number != signal.SIGCHLD for number in os.read(wakeup, 64)):
                return
        elif os.read(watched[0], 1) == b"k":
            watched = [wakeup]
        else:
            return


def _stop(child: subprocess.Popen[bytes], stop_signal: int, grace: float) -> None:
    for number, patience in ((stop_signal, grace), (signal.SIGKILL, None)):
        if child.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(patience)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    # Guards among them end their own programs in good order.
    _end_descendants(child, signal.SIGTERM, min(grace, _FAREWELL_S))
    _end_descendants(child, signal.SIGKILL, grace)


def _end_descendants(child: subprocess.Popen[bytes], number: int, patience: float) -> None:
    deadline = time.monotonic() + patience
    told: set[int] = set()
    while time.monotonic() < deadline:
        _bury_adopted(child)
        left = set(_descendants())
        if not left:
            return
        for pid in left - told:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, number)
        told |= left
        time.sleep(0.02)


def _descendants() -> list[int]:
    """Return the processes below this one that have not been collected yet (proc(5)); none where there is no /proc."""
    children: dict[int, list[int]] = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # The name before the state is in parentheses and may hold anything.
            parent = int(status.read_text(errors="replace").rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(status.parent.name))
    found = [os.getpid()]
    for pid in found:
        found += children.get(pid, [])
    return found[1:]


def main(argv: list[str]) -> int:
    """Run the program that the options name and return its exit code, 128 + n when signal n ended it."""
    options = _parse(argv)
    _adopt_orphans()
    wakeup, write_end = os.pipe()
    os.set_blocking(write_end, False)
    signal.set_wakeup_fd(write_end)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    with open(options.report, "w", encoding="utf-8") as report:
        try:
            child = _start(options)
        except OSError as error:
            report.write(f"{options.argv[0]}: {error.strerror}")
            return 127
        report.write(str(child.pid))
    _wait(child, wakeup)
    _stop(child, options.stop_signal, options.grace)
    status = child.wait()
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
