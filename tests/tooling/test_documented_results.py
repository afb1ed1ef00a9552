# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

import pytest
from documented_results import problems

FIELDS: t.Mapping[str, t.Any] = {
    "job": {"description": "Its name.", "returned": "success", "type": "str"},
    "time": {"description": "When, V(null) if nobody knows.", "returned": "when one was found", "type": "str"},
    "size": {"description": "Its size.", "returned": "success, and when that makes the task fail", "type": "int"},
    "copies": {
        "description": "Where it is.",
        "returned": "success, and when O(copies=true)",
        "type": "list",
        "elements": "dict",
        "contains": {
            "good": {"description": "Whether it is.", "type": "bool"},
            "seconds": {"description": "How long.", "returned": "when it was read", "type": "float"},
        },
    },
}
GOOD = {"job": "shop", "size": 3, "changed": False}


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"time": None, "copies": []},
        {"copies": [{"good": True}, {"good": False, "seconds": 1}]},
        {"msg": "words", "warnings": [], "diff": {}},
    ],
)
def test_what_is_documented_is_no_problem(more: t.Mapping[str, t.Any]) -> None:
    assert problems(FIELDS, {**GOOD, **more}) == []


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ({"job": "shop"}, "size is not there"),
        ({**GOOD, "else": 1}, "else is not documented"),
        ({**GOOD, "problem": "none"}, "problem is not documented"),
        ({**GOOD, "job": None}, "job is null"),
        ({**GOOD, "size": True}, "size is no int but bool"),
        ({**GOOD, "copies": {}}, "copies is no list but dict"),
        ({**GOOD, "copies": [{}]}, "copies[].good is not there"),
        ({**GOOD, "copies": [{"good": None}]}, "copies[].good is null"),
        ({**GOOD, "copies": [{"good": True, "more": 1}]}, "copies[].more is not documented"),
    ],
)
def test_what_is_not_documented_is_told(answer: t.Mapping[str, t.Any], words: str) -> None:
    assert problems(FIELDS, answer) == [words]


def test_a_failure_need_not_have_everything_but_has_nothing_else() -> None:
    assert problems(FIELDS, {"problem": "Cannot", "size": 3}, is_failure=True) == []
    assert problems(FIELDS, {"else": 3}, is_failure=True) == ["else is not documented"]


def test_where_a_result_is_open_there_may_be_more() -> None:
    answer = {**GOOD, "copies": [{"good": True, "more": 1}]}
    assert problems(FIELDS, answer, open_at="copies[]") == []
