# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Modules under test fail where they return something else than they document.

A value must be documented, and be of the type that its documentation names; V(null) is a value only where it says so.
Top-level values that are returned always, or on success, must be there, and in a dictionary all that has no condition.
"""

from __future__ import annotations

import ast
import functools
import typing as t
from pathlib import Path

import yaml

Fields = t.Mapping[str, t.Mapping[str, t.Any]]

# What every task may return: Ansible's own values, and what failures of the collection have.
_COMMON = {"changed", "diff", "failed", "msg", "warnings", "deprecations", "exception", "invocation", "skipped"}
_FAILURE = {"problem", "cause", "remedy", "exit_code", "guard"}
_TYPES: t.Mapping[str, tuple[type, ...]] = {
    "bool": (bool,),
    "dict": (dict,),
    "float": (int, float),
    "int": (int,),
    "list": (list, tuple),
    "str": (str,),
}
# What has more than is documented of it: the documentation says there where the rest is explained.
_OPEN = {"backup_set_restore": "members[]", "recovery_record": "record"}
_MODULES = Path(__file__).resolve().parents[2] / "plugins" / "modules"


@functools.cache
def fields_of(path: Path) -> Fields:
    """Return what a module documents of its result."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "RETURN":
            loader: t.Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
            return t.cast(Fields, yaml.load(ast.literal_eval(node.value), loader))
    return {}


def problems(
    fields: Fields, answer: t.Mapping[str, t.Any], is_failure: bool = False, open_at: str | None = None
) -> list[str]:
    """Say where the result of a module is not as documented; at `open_at` there may be more."""
    common = _COMMON | (_FAILURE if is_failure else set())
    known = {name: value for name, value in answer.items() if name not in common or name in fields}
    lacking = [] if is_failure else [name for name in fields if name not in answer and _is_always(fields[name])]
    found = [*_of_fields(fields, known, ""), *(f"{name} is not there" for name in lacking)]
    return [each for each in found if not each.endswith(" is not documented") or each.rpartition(".")[0] != open_at]


def _is_always(field: t.Mapping[str, t.Any]) -> bool:
    """Say whether a value is returned whenever a task succeeds: what is said of failures comes on top."""
    first, _comma, rest = str(field.get("returned", "success")).partition(", and when ")
    return first in ("always", "success") and (not rest or " fail" in rest)


def _of_fields(fields: Fields, values: t.Mapping[str, t.Any], where: str) -> t.Iterator[str]:
    for name, value in values.items():
        if name not in fields:
            yield f"{where}{name} is not documented"
        else:
            yield from _of_value(fields[name], value, where + name)


def _of_value(field: t.Mapping[str, t.Any], value: t.Any, where: str) -> t.Iterator[str]:
    kind, contains = field.get("type", "raw"), field.get("contains")
    if value is None:
        if "V(null)" not in str(field.get("description")) and kind != "raw":
            yield f"{where} is null"
    elif kind in _TYPES and (not isinstance(value, _TYPES[kind]) or (isinstance(value, bool) and kind != "bool")):
        yield f"{where} is no {kind} but {type(value).__name__}"
    elif kind == "list":
        element = {"type": field.get("elements", "raw"), "contains": contains, "description": ""}
        for each in value:
            yield from _of_value(element, each, f"{where}[]")
    elif contains and isinstance(value, dict):
        yield from _of_fields(contains, value, f"{where}.")
        for name, each in contains.items():
            if name not in value and _is_always(each):
                yield f"{where}.{name} is not there"


def complaint(path: Path, answer: t.Mapping[str, t.Any], is_failure: bool = False) -> str:
    """Say where the result of the module in this file is not as it documents, or return an empty text."""
    found = problems(fields_of(path), answer, is_failure, _OPEN.get(path.stem))
    return f"{path.stem} returns what it does not document: {'; '.join(sorted(set(found)))}" if found else ""


def watch() -> None:
    """Let modules of the collection that run in this process and its forks fail where that is so."""
    from ansible.module_utils.basic import AnsibleModule

    exit_json, fail_json = AnsibleModule.exit_json, AnsibleModule.fail_json

    def complaint_about(module: t.Any, answer: t.Mapping[str, t.Any], is_failure: bool) -> str:
        path = _MODULES / f"{str(module._name).rpartition('.')[2]}.py"
        return complaint(path, answer, is_failure) if path.is_file() else ""

    def ended(module: t.Any, **answer: t.Any) -> None:
        whole = dict(answer)
        module.add_path_info(whole)  # as Ansible does it with whatever has a path
        words = complaint_about(module, whole, is_failure=False)
        if words:
            fail_json(module, words)
        exit_json(module, **answer)

    def failed(module: t.Any, msg: str, **answer: t.Any) -> None:
        fail_json(module, complaint_about(module, answer, is_failure=True) or msg, **answer)

    kind: t.Any = AnsibleModule
    kind.exit_json, kind.fail_json = ended, failed
