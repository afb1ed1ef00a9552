# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a trial restore of a database makes of the verdicts on its files."""

from __future__ import annotations

import contextlib
import typing as t

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.child import ChildError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import DamagedError, MissingPartError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.drill import DrillReport
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.fingerprint import Fingerprint
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.directory import DirectoryStore
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.proof import FileVerdict
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.verify import restore
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.verify.drill_place import DrillPlace
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.verify.outcome import Outcome
from ansible_collections.lifeboat.recovery.tests.unit.plugins.module_utils._engine.repository.examples import (
    ID,
    manifest,
)


def outcome(monkeypatch: pytest.MonkeyPatch, drill: t.Any, bad: str = "") -> Outcome:
    """Return what `check_restore` makes of what a drill returns or raises; the content of `bad` is not good."""

    def tried(*_arguments: t.Any, **_options: t.Any) -> t.Any:
        if isinstance(drill, Exception):
            raise drill
        return drill

    found = tuple(FileVerdict(file.name, "", file.name != bad, bad and "cut") for file in manifest().files)
    monkeypatch.setattr(restore, "check_content", lambda *_: Outcome("content", {ID: found}, {"archives": 1}))
    monkeypatch.setattr(restore, "spooled", lambda *_: contextlib.nullcontext("archive"))
    monkeypatch.setattr(restore, "restore_and_compare", tried)
    return restore.check_restore(DirectoryStore("/nowhere"), manifest(), DrillPlace())


def report(*differences: str) -> DrillReport:
    return DrillReport("15.18", Fingerprint({}, {}, {}), differences, (), 1.0, 2.0)


def test_what_came_back_as_it_was_is_good_at_the_level_restore(monkeypatch: pytest.MonkeyPatch) -> None:
    found = outcome(monkeypatch, report())
    assert (found.level, found.is_good, found.report["server_version"]) == ("restore", True, "15.18")
    assert found.report["archives"] == 1


@pytest.mark.parametrize(
    ("drill", "words"),
    [
        (report("rows of a", "rows of b"), "rows of a; rows of b"),
        (DamagedError("Cannot restore", "it is cut"), "it is cut"),
        (ChildError("Cannot restore", "", "", 1, ""), "Cannot restore"),
    ],
    ids=["other rows", "damage", "a failed program"],
)
def test_a_dump_that_does_not_come_back_is_not_good_and_the_other_files_are(
    monkeypatch: pytest.MonkeyPatch, drill: t.Any, words: str
) -> None:
    found = outcome(monkeypatch, drill)
    assert (found.level, found.problems) == ("restore", (f"{ID}/dump: {words}",))


def test_what_is_damaged_is_not_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    found = outcome(monkeypatch, AssertionError("it was restored"), bad="dump")
    assert (found.level, found.problems) == ("restore", (f"{ID}/dump: cut",))


def test_a_machine_without_servers_says_nothing_of_the_backup(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MissingPartError):
        outcome(monkeypatch, MissingPartError("Cannot restore", "initdb was not found", "install it"))
