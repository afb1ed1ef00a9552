# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import os
import secrets
import typing as t

from ..child import Child
from ..errors import LifeboatError, MissingPartError
from .container import Container, client_environment

_MARK = "LIFEBOAT_CHILD"  # a variable in the environment of the program inside, by which the guard knows it
_NOT_RUN = 125  # the engines end with this, 126 or 127 when they could not run the program (docker-exec(1))
_LOCALE = "C.UTF-8"  # the words of the programs are judged

# Neither engine hands signals on to what it runs inside, nor ends it when its own program dies: a dump would go on,
# read by nobody, and hold its locks. So a second program inside ends it. Its input ends when this process does, however
# that happened. The program may begin a little later than the guard is told to look for it, hence the rounds.
#
# What is killed must be a child of the engine and have no child of its own (pg_dumpall asks pg_dump for its version):
# orphans go to the first process of the container, which is the PostgreSQL server in most images, and that takes the
# death of one by a signal for the crash of a backend and restarts.
_GUARD = """
echo ready || exit 0
rounds=25 word=
read -r word
[ "$word" = done ] && rounds=1
while [ "$rounds" -gt 0 ]; do
  found=" " signal=TERM
  [ "$word" != done ] && [ "$rounds" -lt 10 ] && signal=KILL
  for process in /proc/[0-9]*; do
    grep -qs "$1" "$process/environ" || continue
    parent=
    while read -r key value; do
      [ "$key" = PPid: ] && parent=$value && break
    done < "$process/status"
    found="$found${process#/proc/}:$parent "
  done
  for each in $found; do
    case "$found" in *" ${each#*:}:"*|*":${each%:*} "*) continue ;; esac
    kill -s "$signal" "${each%:*}"
  done
  rounds=$((rounds - 1))
  if [ "$found" = " " ]; then echo clear || exit 0; fi
  [ "$rounds" -gt 0 ] && { sleep 0.2 || sleep 1; }
done 2>/dev/null
exit 0
"""


class ContainerChild(Child):
    """A program of PostgreSQL that runs inside a container, with its streams at hand as if it ran on the host.

    The values of `environment` go through the environment of the engine's program, never through arguments. When this
    process stops it, or dies in whatever way, the program inside is ended as well.
    """

    def __init__(
        self,
        container: Container,
        tool: str,
        argv: t.Sequence[str],
        *,
        environment: t.Mapping[str, str] | None = None,
        stdin: int | None = None,
        pipe_stdout: bool = False,
    ) -> None:
        self._container = container
        self._tool = tool
        mark = secrets.token_hex(8)
        client = client_environment()
        variables = {**(environment or {}), "LC_ALL": _LOCALE, _MARK: mark}
        self._guard = _begun_guard(container, tool, f"{_MARK}={mark}", client)
        self._is_guarded = True
        try:
            super().__init__(
                container.command(argv, variables, with_input=stdin is not None),
                environment={**client, **variables},
                stdin=stdin,
                pipe_stdout=pipe_stdout,
            )
        except BaseException:
            self._guard.stop()
            raise

    @property
    def name(self) -> str:
        return f"{self._tool} in {self._container}"

    def wait(self) -> int:
        status = super().wait()
        # A negative status is the death of the engine's program: what runs inside may not have noticed.
        self._end_inside("done" if status >= 0 else "")
        return status

    def check(self, problem: str, remedy: str = "") -> None:
        """Wait for the end. Raises ChildError when the program failed; LifeboatError when it was the engine that did,
        which says nothing about data."""
        status = self.wait()
        if status > 0:
            words = self.stderr() or "it said nothing"
            if status in (126, 127):
                raise MissingPartError(
                    problem,
                    f"{self.name} cannot be run: {words}",
                    "say with bin_dir in which folder of the container the programs lie",
                )
            # A program of PostgreSQL that fails says why, in its own name.
            is_its_own = any(line.startswith(f"{self._tool}: ") for line in words.splitlines())
            if status >= _NOT_RUN or not is_its_own:
                engine = os.path.basename(self.argv[0])
                raise LifeboatError(
                    problem,
                    f"{self.name} was ended or not run: {words} ({engine} exec ended with {status})",
                    f"see that the container runs: {engine} logs {self._container.name}",
                )
        super().check(problem, remedy)

    def stop(self) -> None:
        """End the program inside, then the engine's."""
        self._end_inside("")
        super().stop()

    def _end_inside(self, word: str) -> None:
        """Have the guard end what is left inside; `done`: there is nothing to wait for."""
        if not self._is_guarded:
            return
        self._is_guarded = False
        with contextlib.suppress(OSError):
            self._guard.stdin.write(f"{word}\n".encode() if word else b"")
            self._guard.stdin.close()
        self._guard.stdout.readline()  # it is clear, or the container is gone
        self._guard.stop()


def _begun_guard(container: Container, tool: str, mark: str, client: t.Mapping[str, str]) -> Child:
    argv = container.command(["sh", "-c", _GUARD, "sh", mark], with_input=True)
    guard = Child(argv, environment=client, pipe_stdin=True, pipe_stdout=True)
    try:
        if guard.stdout.readline() != b"ready\n":
            guard.wait()
            raise LifeboatError(
                f"Cannot run {tool} in {container}",
                guard.stderr() or "it has no shell",
                "see that the container runs, and that its image has sh, grep and sleep",
            )
    except BaseException:
        guard.stop()
        raise
    return guard
