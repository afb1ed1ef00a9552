# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Checks what tasks, plays and variables give to modules and roles with the validator that Ansible itself uses."""

from __future__ import annotations

import functools
import importlib
import re
import typing as t
import unittest.mock

from ansible.module_utils.basic import FILE_COMMON_ARGUMENTS
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.lifeboat.recovery.tests.unit.contracts import collection

Options = t.Mapping[str, t.Any]
_RULES = ("mutually_exclusive", "required_together", "required_one_of", "required_if", "required_by")
_ROLE_TASKS = ("ansible.builtin.include_role", "ansible.builtin.import_role")
_TEMPLATE = re.compile(r"\{\{|\{%")
_OMITTED = re.compile(r"\bomit\b")  # in a template: the option may be left out
_STAND_INS: t.Mapping[str, t.Any] = {"int": 1, "float": 1.0, "bool": True, "dict": {}, "list": [], "raw": "text"}


class _Built(Exception):
    """Carries what a module would have built its AnsibleModule with."""

    def __init__(self, **arguments: t.Any) -> None:
        self.arguments = arguments
        super().__init__()


@functools.cache
def _arguments(name: str) -> t.Mapping[str, t.Any]:
    """Return what a module of this collection builds its AnsibleModule with: the specification and the rules."""
    module = importlib.import_module(f"ansible_collections.{collection.NAMESPACE}plugins.modules.{name}")

    def refuse(argument_spec: Options, add_file_common_args: bool = False, **rules: t.Any) -> t.NoReturn:
        of_files = FILE_COMMON_ARGUMENTS if add_file_common_args else {}
        raise _Built(argument_spec={**of_files, **argument_spec}, **rules)

    with unittest.mock.patch.object(module, "AnsibleModule", refuse):
        try:
            module.main()
        except _Built as built:
            return built.arguments
    raise AssertionError(f"{name} builds no AnsibleModule")


def specification(name: str) -> Options:
    """Return the options of a module."""
    found: Options = _arguments(name)["argument_spec"]
    return found


def module_problems(name: str, given: t.Any, is_complete: bool = True) -> list[str]:
    """Return what a module would not take: unknown options, missing ones, wrong types and combinations.

    What a template makes is not known: its value is taken for a right one. `is_complete` says whether all that the
    module needs is given.
    """
    if isinstance(given, str):
        return []  # a template makes the whole dictionary
    if not isinstance(given, dict):
        return [f"{name}: its options are no dictionary"]
    arguments = _arguments(name)
    rules = {rule: arguments[rule] for rule in _RULES if arguments.get(rule)}
    return option_problems(name, given, arguments["argument_spec"], rules, is_complete)


@functools.cache
def role_options(role: str) -> Options:
    """Return the options of a role."""
    path = collection.ROOT / "roles" / role / "meta" / "argument_specs.yml"
    entry = collection.load_yaml(path.read_text(encoding="utf-8"))["argument_specs"]["main"]
    options: Options = entry.get("options", {})
    return options


def roles() -> list[str]:
    return sorted(path.parent.parent.name for path in (collection.ROOT / "roles").glob("*/meta/argument_specs.yml"))


def role_problems(role: str, variables: Options, is_complete: bool) -> list[str]:
    """Return what a role would not take of the variables that begin with its name."""
    given = {name: value for name, value in variables.items() if name.startswith(f"{role}_")}
    # Defaults of roles are templates: they are no values that the validator could judge.
    options = {name: {**option, "default": None} for name, option in role_options(role).items()}
    return option_problems(role, given, options, {}, is_complete and bool(given))


def option_problems(where: str, given: Options, options: Options, rules: Options, is_complete: bool) -> list[str]:
    """Return what Ansible's own validator says to options."""
    specified = dict(options) if is_complete else {name: {**each, "required": False} for name, each in options.items()}
    validator = ArgumentSpecValidator(specified, **(dict(rules) if is_complete else {}))
    result = validator.validate(_without_templates(given, options))
    return [f"{where}: {message}" for message in result.error_messages]


def _without_templates(given: Options, options: Options) -> dict[str, t.Any]:
    """Return options with a right value in the place of each that a template makes, and without those it may omit."""
    named = {alias: option for option in options.values() for alias in option.get("aliases") or []}
    named.update(options)
    return {
        name: _without_template(value, named.get(name, {}))
        for name, value in given.items()
        if not (isinstance(value, str) and _OMITTED.search(value))
    }


def _without_template(value: t.Any, option: Options) -> t.Any:
    if isinstance(value, str) and _TEMPLATE.search(value):
        return _stand_in(option)
    suboptions = option.get("options")
    if suboptions and isinstance(value, dict):
        return _without_templates(value, suboptions)
    if isinstance(value, list):
        element = {**option, "type": option.get("elements", "raw")}
        return [_without_template(each, element) for each in value]
    return value


def _stand_in(option: Options) -> t.Any:
    kind = option.get("type", "str")
    if option.get("choices"):
        return [option["choices"][0]] if kind == "list" else option["choices"][0]
    if kind == "dict" and option.get("options"):
        needed = [name for name, each in option["options"].items() if each.get("required")]
        needed += [group[0] for group in option.get("required_one_of", ())]
        return {name: _stand_in(option["options"][name]) for name in needed}
    return _STAND_INS.get(kind, "/text")


def task_problems(value: t.Any) -> list[str]:
    """Return what is wrong with the tasks and roles of this collection in plays, blocks or tasks."""
    return _problems(value, {}, {})


def _problems(value: t.Any, defaults: Options, variables: Options) -> list[str]:
    if isinstance(value, list):
        return [problem for each in value for problem in _problems(each, defaults, variables)]
    if not isinstance(value, dict):
        return []
    problems: list[str] = []
    if isinstance(value.get("module_defaults"), dict):
        problems += _problems_of_defaults(value["module_defaults"])
        defaults = {**defaults, **value["module_defaults"]}
    if isinstance(value.get("vars"), dict):
        variables = {**variables, **value["vars"]}
    for key, inner in value.items():
        if key == "roles":
            problems += [problem for each in inner for problem in _problems_of_use(each, variables)]
        elif key in _ROLE_TASKS and isinstance(inner, dict):
            problems += _problems_of_use({"role": inner.get("name", "")}, variables)
        elif isinstance(key, str) and key.startswith(collection.NAMESPACE):
            problems += _problems_of_task(key[len(collection.NAMESPACE) :], inner, defaults)
        elif key not in ("vars", "module_defaults"):
            problems += _problems(inner, defaults, variables)
    return problems


def _problems_of_task(name: str, given: t.Any, defaults: Options) -> list[str]:
    if name not in collection.module_names():
        return [f"there is no module {collection.NAMESPACE}{name}"]
    if not isinstance(given or {}, dict):
        return module_problems(name, given)
    groups = collection.runtime()["action_groups"]
    merged: dict[str, t.Any] = {}
    for key, values in defaults.items():
        group = key[len(f"group/{collection.NAMESPACE}") :] if key.startswith("group/") else ""
        if key == f"{collection.NAMESPACE}{name}" or name in groups.get(group, ()):
            merged.update(values if isinstance(values, dict) else {})
    return module_problems(name, {**merged, **(given or {})})


def _problems_of_defaults(defaults: Options) -> list[str]:
    problems = []
    for key, given in defaults.items():
        if not key.startswith(f"group/{collection.NAMESPACE}"):
            continue
        members = collection.runtime()["action_groups"].get(key[len(f"group/{collection.NAMESPACE}") :])
        if members is None:
            problems.append(f"there is no {key}")
            continue
        known = [specification(name) for name in members]
        problems += [f"{key}: no module has {name}" for name in given if all(name not in each for each in known)]
    return problems


def _problems_of_use(entry: t.Any, variables: Options) -> list[str]:
    """Return what is wrong with an entry of `roles`, or with a task that includes a role."""
    name = entry if isinstance(entry, str) else str(entry.get("role") or entry.get("name"))
    if not name.startswith(collection.NAMESPACE) or _TEMPLATE.search(name):
        return []
    role = name[len(collection.NAMESPACE) :]
    if role not in roles():
        return [f"there is no role {name}"]
    given = {**variables, **(entry.get("vars", {}) if isinstance(entry, dict) else {})}
    return role_problems(role, given, is_complete=True)
