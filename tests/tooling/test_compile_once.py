# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import builtins

import compile_once
import pytest

builtins.compile = compile_once._compile  # this process goes on with its own


@pytest.fixture(autouse=True)
def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Count what is really compiled."""
    compiled: list[str] = []
    original = compile_once._compile

    def count(*words, **named):
        compiled.append(named.get("filename") or words[1])
        return original(*words, **named)

    monkeypatch.setattr(compile_once, "_compile", count)
    monkeypatch.setattr(compile_once, "_known", {})
    return compiled


def compiled_as_by_the_loader(source: str, filename: str = "a.py"):
    return compile_once.compile_once(source=source, filename=filename, mode="exec", flags=0, dont_inherit=True)


def test_a_source_is_compiled_once_and_executed_each_time(counted):
    for _time in range(2):
        found: dict = {}
        exec(compiled_as_by_the_loader("here = []"), found)
        found["here"].append(1)
        assert found["here"] == [1]
    assert counted == ["a.py"]


def test_another_source_or_name_is_compiled_for_itself(counted):
    codes = [compiled_as_by_the_loader(*each) for each in (("a = 1",), ("a = 2",), ("a = 1", "b.py"))]
    assert len({(code.co_filename, code.co_consts) for code in codes}) == 3
    assert counted == ["a.py", "a.py", "b.py"]


def test_a_mistake_is_found_each_time():
    for _time in range(2):
        with pytest.raises(SyntaxError, match="invalid syntax"):
            compiled_as_by_the_loader("a = = 1")


def test_what_depends_on_its_caller_is_not_remembered(counted):
    for _time in range(2):
        compile_once.compile_once("a = 1", "a.py", "exec")
    assert counted == ["a.py", "a.py"]
