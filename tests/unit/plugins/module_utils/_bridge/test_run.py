# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge import run as bridge
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import (
    BusyError,
    GuardRefusal,
    LifeboatError,
)


class Ended(Exception):
    """What ends a module: exit_json or fail_json."""

    def __init__(self, failed, answer):
        super().__init__(answer)
        self.failed = failed
        self.answer = answer


class Module:
    """Stands for AnsibleModule."""

    def __init__(self, check_mode=False, diff=False):
        self.params = {"name": "docs"}
        self.check_mode = check_mode
        self._diff = diff
        self.warned = []

    def warn(self, text):
        self.warned.append(text)

    def exit_json(self, **answer):
        raise Ended(False, answer)

    def fail_json(self, **answer):
        raise Ended(True, answer)


@dataclasses.dataclass(frozen=True)
class Plan:
    changed: bool

    def diff(self):
        return {"size": 1}, {"size": 2}

    def result(self):
        return {"size": 2, "warnings": ["it grows"]}


def ended(work, *args):
    with pytest.raises(Ended) as end:
        work(*args)
    return end.value


def raising(error):
    def work(_given):
        raise error

    return work


def test_a_plan_with_changes_is_applied_and_its_result_completed():
    end = ended(bridge.run, Module(), lambda params: Plan(True), lambda plan: {"size": 3, "id": "x"})
    assert not end.failed
    assert end.answer == {"changed": True, "size": 3, "id": "x"}


@pytest.mark.parametrize("changed, check_mode", [(False, False), (True, True), (False, True)])
def test_nothing_is_applied_in_check_mode_or_without_changes(changed, check_mode):
    never = raising(AssertionError("applied"))
    end = ended(bridge.run, Module(check_mode), lambda params: Plan(changed), never)
    assert end.answer == {"changed": changed, "size": 2}


def test_the_diff_is_returned_only_when_asked_for():
    end = ended(bridge.run, Module(diff=True), lambda params: Plan(True), lambda plan: {})
    assert end.answer["diff"] == {"before": {"size": 1}, "after": {"size": 2}}


def test_warnings_are_given_to_ansible():
    module = Module()
    ended(bridge.run, module, lambda params: Plan(False), lambda plan: {})
    assert module.warned == ["it grows"]


@pytest.mark.parametrize("stage", ["plan", "apply"])
def test_an_error_of_the_engine_becomes_a_failure_with_its_three_parts(stage):
    wrong = raising(BusyError("Cannot prune", "somebody does", "wait"))
    work = (wrong, None) if stage == "plan" else (lambda params: Plan(True), wrong)
    end = ended(bridge.run, Module(), *work)
    assert end.failed
    assert end.answer == {
        "msg": "Cannot prune: somebody does.\nRemedy: wait",
        "problem": "Cannot prune",
        "cause": "somebody does",
        "remedy": "wait",
        "exit_code": 4,
    }


def test_a_refusal_of_a_guard_names_the_guard():
    end = ended(bridge.run, Module(), raising(GuardRefusal("wrong_source", "Cannot back up")), None)
    assert (end.answer["guard"], end.answer["exit_code"]) == ("wrong_source", 3)


def test_a_bug_stays_a_traceback():
    with pytest.raises(ZeroDivisionError):
        bridge.run(Module(), raising(ZeroDivisionError()), None)


def test_a_failure_carries_what_was_done_before():
    end = ended(bridge.fail, Module(), LifeboatError("Cannot copy"), {"id": "x"})
    assert (end.answer["id"], end.answer["msg"]) == ("x", "Cannot copy.")


def test_a_report_never_changes_anything():
    end = ended(bridge.report, Module(), lambda params: {"found": params["name"]})
    assert end.answer == {"changed": False, "found": "docs"}
    assert ended(bridge.report, Module(), raising(LifeboatError("Cannot read"))).failed


def test_a_missing_library_is_named_as_people_install_it(monkeypatch):
    monkeypatch.setitem(bridge.OPTIONAL_LIBRARIES, "no_such_library", "no-such-library")
    end = ended(bridge.require, Module(), "no_such_library")
    assert end.failed and "no-such-library" in end.answer["msg"]


def test_a_library_that_is_there_is_no_failure(monkeypatch):
    monkeypatch.setitem(bridge.OPTIONAL_LIBRARIES, "json", "json")
    bridge.require(Module(), "json")
