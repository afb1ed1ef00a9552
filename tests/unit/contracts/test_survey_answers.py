# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A survey sends an empty text for a question that nobody answered: such a variable is as good as not there."""

from __future__ import annotations

import re

import pytest
from ansible_collections.lifeboat.recovery.tests.unit.contracts import collection

_TESTED = re.compile(r"\b(lifeboat_[a-z0-9_]+)\s+is\s+(?:not\s+)?(?:un)?defined\b")
_DEFAULT = re.compile(r"\b(lifeboat_[a-z0-9_]+)\s*\|\s*default\(")
_FLAG = re.compile(r"\s*\|\s*string\s*\|\s*default\('true', true\)\s*\|\s*bool\b")
_NOTHING = ("''", '""')  # is the same as what an empty text becomes
# An empty text says something: no schedule.
_MAY_BE_EMPTY = frozenset(("lifeboat_metrics_schedule",))


def problems(text: str) -> list[str]:
    """Return where a file treats a variable of the operator that is empty otherwise than one that is not there."""
    found = [f"{name} counts as defined when it is empty" for name in _TESTED.findall(text)]
    for match in _DEFAULT.finditer(text):
        name, arguments = match[1], _arguments(text[match.end() :])
        if name in _MAY_BE_EMPTY:
            continue
        is_whole = len(arguments) == 2 and arguments[1] == "true"
        if is_whole and arguments[0] == "true":
            found.append(f"{name} is true even when it is false: default(true, true)")
        elif not is_whole and arguments[0] not in _NOTHING:
            found.append(f"{name} | default({arguments[0]}) stays empty when it is empty: add true")
        elif arguments[0] in _NOTHING and _is_a_flag(text[match.end() :]):
            found.append(f"{name} is a flag without a value when it is empty")
    return found


def _arguments(rest: str) -> list[str]:
    """Return the arguments of a call whose opening bracket comes before `rest`."""
    depth, begin, found = 1, 0, []
    for number, each in enumerate(rest):
        depth += (each in "([{") - (each in ")]}")
        if depth == 0 or (depth == 1 and each == ","):
            found.append(" ".join(rest[begin:number].split()))
            begin = number + 1
        if depth == 0:
            break
    return found


def _is_a_flag(rest: str) -> bool:
    """Say whether the value goes to the filter `bool` without the detour that makes an empty one true."""
    behind = rest[rest.index(")") + 1 :]
    return re.match(r"\s*\|\s*(?:string\s*\|\s*)?bool\b", behind) is not None and not _FLAG.match(behind)


def test_an_answer_that_was_left_empty_is_as_if_it_were_not_there():
    found = []
    for path, text in collection.text_files():
        if path.suffix in (".yml", ".j2") and path.relative_to(collection.ROOT).parts[0] in ("playbooks", "roles"):
            found += [f"{collection.relative(path)}: {problem}" for problem in problems(text)]
    assert found == []


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("{{ lifeboat_run_as is defined }}", 1),
        ("lifeboat_code_file is not defined", 1),
        ("{{ lifeboat_run_as | default('', true) | length > 0 }}", 0),
        ("{{ lifeboat_run_as | default('root') }}", 1),
        ("{{ lifeboat_run_as | default('root', true) }}", 0),
        ("{{ lifeboat_run_as | default('') }}", 0),
        ("{{ lifeboat_run_as\n | default('lifeboat' if f(1, [2]) else '') }}", 1),
        ("{{ lifeboat_run_as\n | default('lifeboat' if f(1, [2]) else '', true) }}", 0),
        ("{{ lifeboat_jobs | default([]) }}", 1),
        ("{{ lifeboat_agent | default(true) | bool }}", 1),
        ("{{ lifeboat_agent | default(true, true) | bool }}", 1),
        ("{{ lifeboat_agent | default('') | bool }}", 1),
        ("{{ lifeboat_agent | default('') | string | default('true', true) | bool }}", 0),
        ("{{ lifeboat_again | default(false, true) | bool }}", 0),
        ("{{ lifeboat_hosts | default(groups['a'] | default([]), true) }}", 0),
        ("{{ lifeboat_hosts | default(groups['a'] | default([], true)) }}", 1),
        ("{{ __lifeboat_run_as is defined }}", 0),
    ],
)
def test_an_expression_that_an_empty_answer_changes_is_found(text, number):
    assert len(problems(text)) == number
