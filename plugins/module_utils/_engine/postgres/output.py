# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import fcntl
import re
import typing as t

from ..child import CHUNK, ChildError
from ..errors import LifeboatError
from .tools import Tool

_F_SETPIPE_SZ = 1031  # Linux, fcntl(2): a pipe of one chunk instead of 64 KiB saves most context switches
_STDERR_LIMIT = 60 * 1024  # beyond this the child's first words may have been dropped

# Warnings after which the dump is still whole. Every other warning of the tools themselves is a failure: they warn
# where they leave something out.
_HARMLESS = re.compile(
    r"collation version|there are circular foreign-key constraints|could not resolve dependency loop"
    r"|no privileges (were|could be) (granted|revoked)|wal_level is insufficient"
)
# What the host lacked, or what became of the server: nothing of what was read. Lines that quote rows do not begin so.
_OF_HOST = re.compile(
    r"^(?:pg_\w+: )+(?:error|detail): .*(?:No space left on device|Disk quota exceeded|File too large"
    r"|Input/output error|out of memory|out of shared memory|Cannot allocate memory|Too many open files"
    r"|terminating connection|server closed the connection unexpectedly|could not connect to|connection to server"
    r"|the database system is)",
    re.MULTILINE,
)
_ENDED = (1, 2, 9, 15)  # SIGHUP, SIGINT, SIGKILL (as for lack of memory), SIGTERM: no program does that to itself
_TOOL_WARNING = re.compile(r"^pg_(?:dump|dumpall|restore): (?:warning|error): ")


class ToolOutput:
    """What one of PostgreSQL's programs writes, as chunks of at most 1 MiB; reading to the end checks how it ended.

    The end raises ChildError when the program failed, LifeboatError when it warned that it left something out or when
    it wrote nothing. Afterwards `warnings` holds the lines that it said and that do no harm. Leaving the `with` block
    early ends the program.
    """

    def __init__(
        self,
        tool: Tool,
        arguments: t.Sequence[str],
        environment: t.Mapping[str, str],
        problem: str,
        remedy: str = "",
        *,
        archive: str = "",
        stdin: int | None = None,
    ) -> None:
        self._problem = problem
        self._remedy = remedy
        self._child = tool.start(arguments, archive=archive, environment=environment, stdin=stdin, pipe_stdout=True)
        self.size_bytes = 0  # bytes that came so far
        self.warnings: tuple[str, ...] = ()
        with contextlib.suppress(OSError):
            fcntl.fcntl(self._child.stdout.fileno(), _F_SETPIPE_SZ, CHUNK)

    def __iter__(self) -> t.Iterator[bytes]:
        while True:
            chunk = self._child.stdout.read(CHUNK)
            if not chunk:
                break
            self.size_bytes += len(chunk)
            yield chunk
        self.check()
        if self.size_bytes == 0:
            raise LifeboatError(self._problem, "the program ended well but wrote nothing", self._remedy)

    def check(self) -> None:
        """Wait for the program and judge its exit code and its words."""
        self._child.check(self._problem, self._remedy)
        self.warnings = judge_words(self._child.stderr(), self._problem)

    def hand_over(self) -> int:
        """Return the descriptor of the output, for another program to read instead of this process; see `release`."""
        return self._child.stdout.fileno()

    def drain(self) -> None:
        """Read what nobody wanted to its end, so that the program can end as it should."""
        while self._child.stdout.read(CHUNK):
            pass

    def release(self) -> None:
        """Close this process's end of the output, so that the program notices when its reader dies."""
        self._child.stdout.close()

    def stop(self) -> None:
        """End the program if it still runs."""
        self._child.stop()

    def __enter__(self) -> ToolOutput:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def is_of_host(error: ChildError) -> bool:
    """Say whether a program failed for lack of room or memory, or because it or its server was ended: that proves
    nothing against what it read."""
    was_ended = any(error.status in (-number, 128 + number) for number in _ENDED)
    return was_ended or bool(_OF_HOST.search(error.stderr))


def judge_words(stderr: str, problem: str) -> tuple[str, ...]:
    """Return what a program that ended well said on the way, as lines.

    Raises LifeboatError when the program warned by itself of anything that is not known to be harmless, or said so much
    that its first words are lost.
    """
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    if len(stderr) > _STDERR_LIMIT:
        raise LifeboatError(
            problem, f"too many warnings to keep; the last: {lines[-1][:400]}", "run it by hand and read them"
        )
    for line in lines:
        if _TOOL_WARNING.match(line) and not _HARMLESS.search(line):
            raise LifeboatError(
                problem, line[:400], "give the role the rights that this needs, or leave the object out by option"
            )
    return tuple(line[:400] for line in lines[:20])
