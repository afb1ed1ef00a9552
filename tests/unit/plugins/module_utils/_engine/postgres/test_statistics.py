# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import LifeboatError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.statistics import analyze


class Session:
    """A database in which a function that statistics need cannot be run."""

    def __init__(self):
        self.statements = []

    def names(self, _query):
        return []

    def run(self, statement):
        self.statements.append(statement)
        if statement == "ANALYZE":
            raise LifeboatError("Cannot work on database lab", "function helper(text) does not exist")


def test_a_restore_does_not_fail_for_want_of_statistics():
    session = Session()
    (note,) = analyze(session)
    assert session.statements[-1] == "ANALYZE"
    assert note.startswith("statistics were not gathered") and "function helper(text) does not exist" in note
