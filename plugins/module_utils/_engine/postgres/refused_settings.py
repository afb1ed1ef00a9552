# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What newer programs set at the head of each session, and older servers do not know."""

from __future__ import annotations

import re

from ..child import Child, ChildError
from .output import judge_words
from .tools import Tool

_SINCE = 17  # major that has `transaction_timeout`, which its pg_restore sets without asking the server

# What pg_restore says of the refused setting, piece by piece, because connections that load at once may say it at once.
# The words of the server are in its own language.
_PIECES = re.compile(
    r"pg_restore: |error: |warning: errors ignored on restore: \d+|could not execute query: "
    r"|Command was: SET transaction_timeout = 0;|\w+:[^\n:]{1,100}\btransaction_timeout\b\W{0,3}"
)
_STATEMENT = re.compile(rb"SET\s+transaction_timeout\s*=\s*0\s*;")  # in scripts of pg_dump
_ERROR = re.compile(r"pg_restore: .*error: ")


def is_refused(pg_restore: Tool, server_version: int) -> bool:
    """Say whether a server of version `server_version` (such as 150018) refuses what `pg_restore` sets first."""
    return server_version // 10000 < _SINCE <= pg_restore.major


def refused_statements(server_version: int) -> tuple[re.Pattern[bytes], ...]:
    """Return what a server of version `server_version` refuses of the scripts of newer programs."""
    return (_STATEMENT,) if server_version // 10000 < _SINCE else ()


def check_but_refused(child: Child, problem: str, remedy: str) -> tuple[str, ...]:
    """Wait for a pg_restore that goes on after errors, and return what it said.

    Raises ChildError for any other error than the refused setting, as if it had ended there.
    """
    status = child.wait()
    lines = [line for line in child.stderr().splitlines() if _PIECES.sub("", line).strip()]
    if status not in (0, 1):
        child.check(problem, remedy)
    if any(_ERROR.match(line) for line in lines):
        words = "\n".join(lines)
        raise ChildError(problem, f"{child.name}: {words} (exit code {status})", remedy, status, words)
    return judge_words("\n".join(lines), problem)
