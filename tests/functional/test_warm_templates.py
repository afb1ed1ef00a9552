# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Templates of playbooks under test are compiled once, and say what they would say without that."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest
from ansible_collections.lifeboat.recovery.tests.functional import warm_templates

# The same texts with other settings, as template and as expression, and with a filter of the collection.
_SCRIPT = """
import importlib, json, sys
from pathlib import Path
from ansible.parsing.dataloader import DataLoader
from ansible.plugins import loader
from ansible.template import Templar, trust_as_template

given = json.loads(sys.argv[1])
loader.init_plugin_loader()
bits = importlib.import_module("ansible._internal._templating._jinja_bits")
calls = []
compiled = bits.AnsibleEnvironment._compile
bits.AnsibleEnvironment._compile = lambda self, *words: calls.append(words) or compiled(self, *words)
if given["folder"]:
    name = "ansible_collections.lifeboat.recovery.tests.functional.warm_templates"
    module = importlib.import_module(name)
    module.share_compiled(Path(given["folder"]))
    module.load_filters("lifeboat.recovery", ["utc_time"])
templar = Templar(DataLoader(), {"a": "b", "many": [3, 1, 2]})
said = []
for text, options in given["templates"]:
    said.append(templar.template(trust_as_template(text), **options))
for text in given["conditions"]:
    said.append(bool(templar.evaluate_conditional(trust_as_template(text))))
for text in given["wrong"]:
    try:
        said.append(templar.template(trust_as_template(text)))
    except Exception as error:
        said.append(type(error).__name__)
print(json.dumps({"said": said, "compiled": len(calls)}, default=str))
"""
_TEMPLATES: t.Sequence[tuple[str, dict[str, t.Any]]] = (
    ("{{ a }}", {}),
    ("a == 'b'", {}),
    ("{{ 'x\\ty' }}", {}),
    ("{{ 'x\\ty' }}", {"escape_backslashes": False}),
    ("[[ a ]] {{ a }}", {"overrides": {"variable_start_string": "[[", "variable_end_string": "]]"}}),
    ("[[ a ]] {{ a }}", {}),
    ("{{ many | sort }}", {}),
    ("{{ many | length is gt 2 }}", {}),
    ("{{ '2026-01-01T01:00:00+01:00' | lifeboat.recovery.utc_time }}", {}),
)
_CONDITIONS = ("a == 'b'", "a == 'c'", "'x\\ty' | length == 3", "many is defined")
_WRONG = ("{{ a | no_such_filter }}", "{{ a", "{{ nothing }}")


def said(folder: str) -> dict[str, t.Any]:
    """Let a fresh process say all of them, with what is in a folder, or on its own."""
    given = {"folder": folder, "templates": _TEMPLATES, "conditions": _CONDITIONS, "wrong": _WRONG}
    argv = [sys.executable, "-c", _SCRIPT, json.dumps(given)]
    done = subprocess.run(argv, check=False, capture_output=True, text=True, env=dict(os.environ))
    assert done.returncode == 0, done.stderr
    found: dict[str, t.Any] = json.loads(done.stdout)
    return found


def test_templates_say_the_same_and_are_compiled_by_the_first_process_only(tmp_path: Path) -> None:
    alone, first, second = (said(folder) for folder in ("", str(tmp_path / "shared"), str(tmp_path / "shared")))
    assert alone["said"] == first["said"] == second["said"]
    assert alone["said"][2:4] == ["x\\ty", "x\ty"] and alone["said"][4] == "b {{ a }}"
    assert first["compiled"] >= len({*_CONDITIONS}) + len(_TEMPLATES) - 1
    assert second["compiled"] == 0


def test_what_was_compiled_is_found_by_all_that_it_was_made_of(tmp_path: Path) -> None:
    code = compile("1 + 1", "here", "eval")
    warm_templates.Compiled(tmp_path).keep(code, "template", "a", True)
    other = warm_templates.Compiled(tmp_path)
    assert other.find("template", "a", True) == code
    assert [other.find(*words) for words in (("template", "a", False), ("expression", "a", True))] == [None, None]


@pytest.mark.parametrize("text", ["{{ a }}", "\ud800"])
def test_any_text_can_be_looked_for(tmp_path: Path, text: str) -> None:
    assert warm_templates.Compiled(tmp_path).find(text) is None
