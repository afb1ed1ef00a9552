# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
import json
import re
import typing as t

from ..child import CHUNK, Child, ChildError
from ..errors import UsageError
from .store import StoreError, UnavailableError

# Exit codes of rclone (its documentation, "Exit Code"): 3 directory not found, 4 file not found; 5 may be tried again.
MISSING = (3, 4)
_TRANSIENT = 5
_NOTHING = (b"", b"[", b"[]", b"[\n]")  # what it lists of a folder that is not there
_REMOTE = re.compile(r"[A-Za-z0-9_.][A-Za-z0-9_.+@ -]*:[^\0\n]*")


@dataclasses.dataclass(frozen=True)
class Rclone:
    """How the program rclone is run for one remote; its secrets are in its own configuration file."""

    remote: str  # `name:path`, as rclone's configuration names it
    config: str = ""  # path of that file; empty: the one of the user
    program: str = "rclone"  # name on PATH, or path

    def checked(self) -> Rclone:
        """Return it. Raises UsageError for what is no remote of a configuration file: arguments may hold no secrets."""
        name = self.remote.partition(":")[0]
        if _REMOTE.fullmatch(self.remote) is None or "," in name:
            raise UsageError(
                f"Cannot use {name or 'this'} as an rclone remote",
                "it is not of the form name:path",
                "make the remote with `rclone config`, and name it here",
            )
        return self

    def path(self, key: str) -> str:
        """Return the name of a key, or of the root, for rclone."""
        root = self.remote.rstrip("/")
        return root if not key else f"{root}{key}" if root.endswith(":") else f"{root}/{key}"

    def started(self, *words: str, is_fed: bool = False, is_read: bool = True) -> Child:
        """Start a command of it. Raises MissingPartError."""
        config = (f"--config={self.config}",) if self.config else ()
        # Its own repetitions of whole commands would read standard input twice; requests are repeated all the same.
        usual = ("--retries=1", "--use-json-log=false", "--stats=0", *config)
        return Child([self.program, words[0], *usual, *words[1:]], pipe_stdin=is_fed, pipe_stdout=is_read)

    def said(self, problem: str, *words: str) -> bytes | None:
        """Run a command and return what it writes, None where there is no such file or folder. Raises StoreError."""
        with self.started(*words) as child:
            data = b"".join(iter(lambda: child.stdout.read(CHUNK), b""))
            return data if self.ended(child, problem) else None

    def ended(self, child: Child, problem: str) -> bool:
        """Wait for the end and return False where there was no such file or folder. Raises StoreError."""
        try:
            child.check(problem, "look at the remote with `rclone lsd`, and at its configuration")
        except ChildError as error:
            if error.status in MISSING:
                return False
            kind = UnavailableError if error.status == _TRANSIENT else StoreError
            raise kind(problem, _last_line(error.stderr), error.remedy) from error
        return True

    def listed(self, problem: str, *words: str) -> t.Any:
        """Run `lsjson` and return what it lists, None where there is no such file or folder. Raises StoreError."""
        with self.started("lsjson", "--no-mimetype", *words) as child:
            data = b"".join(iter(lambda: child.stdout.read(CHUNK), b""))
            is_there = self.ended(child, problem)
        if not is_there and data.strip() not in _NOTHING:
            raise StoreError(problem, "something went missing while it was listed", "run it again")
        try:
            return json.loads(data) if is_there else None
        except ValueError as error:
            raise StoreError(problem, f"rclone does not answer as it should: {error}") from error


def _last_line(text: str) -> str:
    """Return the last thing that rclone said, without its time stamp."""
    lines = [line for line in text.splitlines() if line.strip()] or ["it said nothing"]
    return re.sub(r"^[0-9/]{10} [0-9:]{8} ", "", lines[-1])[:500]
