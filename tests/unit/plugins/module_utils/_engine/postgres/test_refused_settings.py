# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import sys

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.child import Child, ChildError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import LifeboatError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.refused_settings import (
    check_but_refused,
)

REFUSED = """pg_restore: error: could not execute query: ERROR:  \
unrecognized configuration parameter "transaction_timeout"
Command was: SET transaction_timeout = 0;
"""
GERMAN = """pg_restore: error: could not execute query: FEHLER:  \
unbekannter Konfigurationsparameter »transaction_timeout«
Command was: SET transaction_timeout = 0;
"""
MIXED = """pg_restore: pg_restore: error: error: could not execute query: ERROR:  unrecognized configuration parameter \
"transaction_timeout"could not execute query: ERROR:  unrecognized configuration parameter "transaction_timeout"

Command was: SET transaction_timeout = 0;Command was: SET transaction_timeout = 0;

"""
END = "pg_restore: warning: errors ignored on restore: 2\n"
OTHER = """pg_restore: error: could not execute query: ERROR:  relation "t" does not exist
Command was: ALTER TABLE t SET (fillfactor = 50);
"""


def said(words: str, status: int = 1) -> tuple[str, ...]:
    program = f"import sys; sys.stderr.write({words!r}); sys.exit({status})"
    with Child([sys.executable, "-c", program]) as child:
        return check_but_refused(child, "Cannot restore", "")


@pytest.mark.parametrize("words", [REFUSED, GERMAN, MIXED, REFUSED * 5])
def test_the_refused_setting_alone_is_no_failure(words: str) -> None:
    assert said(words + END) == ()


def test_what_else_was_said_is_kept() -> None:
    words = "pg_restore: warning: no privileges were granted for t"
    assert said(f"{REFUSED}{words}\n{END}") == (words,)


@pytest.mark.parametrize("words", [REFUSED + OTHER, OTHER, MIXED + OTHER])
def test_any_other_error_is_a_failure_and_told_without_the_refused_setting(words: str) -> None:
    with pytest.raises(ChildError, match='relation "t" does not exist') as caught:
        said(words + END)
    assert "transaction_timeout" not in str(caught.value)


def test_a_program_that_left_something_out_or_was_killed_has_failed() -> None:
    with pytest.raises(LifeboatError, match="left out"):
        said(f"{REFUSED}pg_restore: warning: something was left out\n{END}")
    for status in (2, 137):
        with pytest.raises(ChildError, match=f"exit code {status}"):
            said(REFUSED, status)
