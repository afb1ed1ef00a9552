# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.child import ChildError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import LifeboatError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.output import (
    ToolOutput,
    is_of_host,
    judge_words,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.tools import Tool


@pytest.mark.parametrize(
    "words",
    [
        "pg_dump: warning: subscriptions not dumped because current user is not a superuser",
        "pg_dump: warning: something nobody has heard of",
        "NOTICE: fine\npg_restore: warning: errors ignored on restore: 1",
        "x" * 61 * 1024,
    ],
)
def test_a_warning_of_the_tool_itself_is_a_failure(words: str) -> None:
    with pytest.raises(LifeboatError, match="Cannot test"):
        judge_words(words, "Cannot test")


@pytest.mark.parametrize(
    "words",
    [
        'WARNING:  database "x" has a collation version mismatch\nDETAIL:  more\nHINT:  rebuild',
        "pg_dump: warning: there are circular foreign-key constraints on this table:\npg_dump: detail: t",
        "pg_restore: WARNING:  wal_level is insufficient to publish logical changes",
    ],
)
def test_what_does_no_harm_is_kept_as_a_warning(words: str) -> None:
    assert judge_words(words, "Cannot test") == tuple(line.strip() for line in words.splitlines())


def program(text: str) -> ToolOutput:
    return ToolOutput(Tool("python", sys.executable, 3, "3"), ["-c", text], {}, "Cannot test", "try again")


def test_all_bytes_come_and_are_counted() -> None:
    with program("import sys; sys.stdout.write('x' * 3000000)") as output:
        chunks = list(output)
    assert [len(chunk) for chunk in chunks] == [1048576, 1048576, 902848]
    assert output.size_bytes == 3000000


def test_a_failure_after_the_last_byte_is_noticed() -> None:
    with (
        pytest.raises(ChildError, match="exit code 3"),
        program("print('x', flush=True); raise SystemExit(3)") as output,
    ):
        list(output)


def test_nothing_at_all_is_a_failure() -> None:
    with pytest.raises(LifeboatError, match="wrote nothing"), program("pass") as output:
        list(output)


def test_a_reader_that_leaves_ends_the_program() -> None:
    with program("import time; print('x' * 2000000, flush=True); time.sleep(600)") as output:
        next(iter(output))
        pid = output._child.pid
    assert not Path(f"/proc/{pid}").exists()


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (
            1,
            'pg_restore: error: COPY failed for table "t": ERROR:  could not extend file "base/5/6": '
            "No space left on device\nHINT:  Check free disk space.\nCONTEXT:  COPY t, line 9",
        ),
        (1, "pg_restore: error: error returned by PQputCopyData: server closed the connection unexpectedly"),
        (1, "pg_restore: error: could not execute query: FATAL:  terminating connection due to administrator command"),
        (1, 'pg_restore: error: connection to server on socket "/x/.s.PGSQL.5432" failed: No such file or directory'),
        (-9, ""),
        (137, ""),
    ],
)
def test_what_the_host_lacks_is_told_from_what_is_wrong_with_an_archive(status: int, words: str) -> None:
    assert is_of_host(ChildError("Cannot restore", words, "", status, words))


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (1, "pg_restore: error: could not read from input file: end of file"),
        (
            1,
            'pg_restore: error: COPY failed for table "t": ERROR:  invalid input syntax for type integer: "x"\n'
            'CONTEXT:  COPY t, line 1, column a: "pg_restore: error: No space left on device"',
        ),
        (-11, ""),
        (1, ""),
    ],
)
def test_what_is_wrong_with_an_archive_is_not_taken_for_what_the_host_lacks(status: int, words: str) -> None:
    assert not is_of_host(ChildError("Cannot restore", words, "", status, words))
