# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import typing as t

from .errors import LifeboatError, MissingPartError
from .steps import reached

CHUNK = 1024 * 1024  # bytes read from or written to a child at once
_KEPT_STDERR = 64 * 1024  # of a chatty child only the last bytes are kept
_GRACE_S = 10.0  # a child that was told to end gets this long


class ChildError(LifeboatError):
    """A child process ended with another exit code than 0; `status` is its code, negative for a signal."""

    def __init__(self, problem: str, cause: str, remedy: str, status: int, stderr: str) -> None:
        super().__init__(problem, cause, remedy)
        self.status = status
        self.stderr = stderr


class Child:
    """A running program: no shell, its own process group, its stderr in a buffer of its own.

    `environment` is added to a minimal one (PATH, HOME, locale C.UTF-8), so that settings of the caller never
    change what a tool does. `user` is a (uid, gid) pair to run as; only root can ask for it.
    """

    def __init__(
        self,
        argv: t.Sequence[str],
        *,
        environment: t.Mapping[str, str] | None = None,
        stdin: int | None = None,
        pipe_stdin: bool = False,
        pipe_stdout: bool = False,
        user: tuple[int, int] | None = None,
        cwd: str | None = None,
    ) -> None:
        self.argv = list(argv)
        self._stderr = bytearray()
        identity: dict[str, t.Any] = {"user": user[0], "group": user[1], "extra_groups": []} if user else {}
        try:
            self._process = subprocess.Popen(
                self.argv,
                stdin=subprocess.PIPE if pipe_stdin else (subprocess.DEVNULL if stdin is None else stdin),
                stdout=subprocess.PIPE if pipe_stdout else subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env=_environment(environment),
                cwd=cwd or "/",
                start_new_session=True,
                **identity,
            )
        except FileNotFoundError as error:
            raise MissingPartError(
                f"Cannot run {self.argv[0]}", "the program is not there", "install it, or say in which folder it lies"
            ) from error
        except (PermissionError, OSError) as error:
            raise LifeboatError(
                f"Cannot run {self.argv[0]}", error.strerror or str(error), "check its rights and the user"
            ) from error
        reached("child.started")
        self._drain = threading.Thread(target=self._collect_stderr, daemon=True)
        self._drain.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def name(self) -> str:
        """Return what messages call the program."""
        return os.path.basename(self.argv[0])

    @property
    def stdin(self) -> t.IO[bytes]:
        if self._process.stdin is None:
            raise ValueError("this child has no input pipe")
        return self._process.stdin

    @property
    def stdout(self) -> t.IO[bytes]:
        if self._process.stdout is None:
            raise ValueError("this child has no output pipe")
        return self._process.stdout

    def _collect_stderr(self) -> None:
        pipe = self._process.stderr
        if pipe is None:
            return
        with pipe:
            while True:
                chunk = os.read(pipe.fileno(), 65536)
                if not chunk:
                    return
                self._stderr += chunk
                if len(self._stderr) > _KEPT_STDERR:
                    del self._stderr[:-_KEPT_STDERR]

    def stderr(self) -> str:
        """Return what the child said (at most the last 64 KiB)."""
        return bytes(self._stderr).decode("utf-8", "replace").strip()

    def wait(self) -> int:
        """Wait for the end and return the exit code, negative for a signal; never raises for it."""
        status = self._process.wait()
        self._drain.join(_GRACE_S)
        reached("child.exited")
        return status

    def check(self, problem: str, remedy: str = "") -> None:
        """Wait for the end. Raises ChildError, with the child's own last words as the cause, unless it ended with 0."""
        status = self.wait()
        if status != 0:
            words = self.stderr() or "it said nothing"
            ended = f"ended by signal {-status}" if status < 0 else f"exit code {status}"
            raise ChildError(problem, f"{self.name}: {words} ({ended})", remedy, status, words)

    def stop(self) -> None:
        """End the child and its group, politely first; does nothing when it has ended."""
        if self._process.poll() is None:
            self._signal(signal.SIGTERM)
            try:
                self._process.wait(_GRACE_S)
            except subprocess.TimeoutExpired:
                self._signal(signal.SIGKILL)
                self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _environment(extra: t.Mapping[str, str] | None) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    return {"PATH": "/usr/local/bin:/usr/bin:/bin", **kept, "LC_ALL": "C.UTF-8", **(extra or {})}


def output_of(
    argv: t.Sequence[str],
    problem: str,
    remedy: str = "",
    *,
    environment: t.Mapping[str, str] | None = None,
    user: tuple[int, int] | None = None,
) -> str:
    """Run a program that says little and return its standard output as text. Raises ChildError."""
    with Child(argv, environment=environment, pipe_stdout=True, user=user) as child:
        text = child.stdout.read().decode("utf-8", "replace")
        child.check(problem, remedy)
    return text
