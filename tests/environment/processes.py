# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import types
import typing as t
from pathlib import Path

GUARD = Path(__file__).resolve().parent / "guard.py"
Identity = tuple[int, int]  # uid, gid


class GuardedProcess:
    """A program with a guard beside it, which ends it when this process ends in whatever way, even by SIGKILL.

    It has no terminal, so Ctrl-C reaches only us; its output is added to the file `log`. `stop_signal` asks it to end,
    SIGKILL follows after `grace_s`. As `identity` (root only) it runs as another user. Raises OSError when the program
    cannot be started.
    """

    def __init__(
        self,
        argv: t.Sequence[t.Any],
        *,
        log: Path,
        environment: t.Mapping[str, str] | None = None,
        cwd: Path | None = None,
        identity: Identity | None = None,
        stop_signal: int = signal.SIGTERM,
        grace_s: float = 10.0,
    ) -> None:
        self._grace_s = grace_s
        reader, writer = os.pipe()
        options = ["--report", writer, "--stop-signal", int(stop_signal), "--grace", grace_s]
        if identity:
            options += ["--user", f"{identity[0]}:{identity[1]}"]
        command = [sys.executable, "-I", "-S", GUARD, *options, "--", *argv]
        with log.open("ab") as output:
            self._guard = subprocess.Popen(
                [str(word) for word in command],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                env=None if environment is None else dict(environment),
                cwd=cwd,
                pass_fds=[writer],
                start_new_session=True,
            )
        os.close(writer)
        with open(reader, encoding="utf-8") as report:
            said = report.read()
        if not said.isdigit():
            self.stop()
            raise OSError(said or f"no process: see {log}")
        self.pid = int(said)  # of the program itself

    @property
    def guard_pid(self) -> int:
        return self._guard.pid

    def poll(self) -> int | None:
        """Return the exit code (128 + n for signal n), or None while the program runs."""
        return self._guard.poll()

    def wait(self, timeout_s: float | None = None) -> int:
        """Wait for the end and return the exit code. Raises subprocess.TimeoutExpired."""
        return self._guard.wait(timeout_s)

    def kill(self) -> None:
        """End the program without warning, as a crash would."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        self.stop()

    def stop(self) -> None:
        """End the program and wait for it; does nothing when it has ended."""
        if self._guard.stdin is not None:
            with contextlib.suppress(OSError):
                self._guard.stdin.close()
        try:
            self._guard.wait(2 * self._grace_s + 5)
        except subprocess.TimeoutExpired:
            self._guard.kill()
            self._guard.wait()

    def leave_running(self) -> None:
        """Let the program outlive this process; SIGTERM to `guard_pid` ends it later."""
        if self._guard.stdin is not None:
            self._guard.stdin.write(b"k")
            self._guard.stdin.flush()

    def __enter__(self) -> GuardedProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def unwind_on_sigterm() -> None:
    """Make SIGTERM and SIGHUP end the main thread like Ctrl-C does: context managers clean up on the way out.

    Ctrl-C itself is taken up again where a shell that put us into the background had it ignored, for tests send it to
    what they start.
    """

    def leave(number: int, _frame: types.FrameType | None) -> t.NoReturn:
        raise SystemExit(128 + number)

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, leave)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
