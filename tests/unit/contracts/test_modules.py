# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What every module has."""

from __future__ import annotations

import ast
import typing as t

import pytest
import yaml
from ansible.module_utils.basic import PASSWORD_MATCH
from ansible_collections.lifeboat.recovery.tests.unit.contracts import collection, task_options

RELEASES = yaml.safe_load((collection.ROOT / "changelogs" / "changelog.yaml").read_text(encoding="utf-8"))["releases"]
MODULES = collection.module_names()
MOST_LINES = 350
MOST_LINES_OF_CODE = 150
DOCUMENTS = ("DOCUMENTATION", "EXAMPLES", "RETURN")
READERS = ("object_history", "s3_presign")  # change nothing, without being the twin of a module that does


def attribute_problems(name: str, documentation: t.Mapping[str, t.Any]) -> list[str]:
    """Return which attributes a module does not support in full; a module that only reads has no diff."""
    attributes = documentation.get("attributes", {})
    problems = []
    for attribute in ("check_mode", "diff_mode"):
        support = attributes.get(attribute, {}).get("support")
        is_reader = (name.endswith("_info") or name in READERS) and attribute == "diff_mode" and support == "N/A"
        if support != "full" and not is_reader:
            problems.append(f"{name}: {attribute} is {support}")
    return problems


def return_problems(name: str, fields: t.Mapping[str, t.Any] | None) -> list[str]:
    """Return which return values have no sample, of themselves or of all that they contain."""
    if not fields:
        return [f"{name}: nothing"]
    problems = []
    for key, value in fields.items():
        if "description" not in value or "type" not in value:
            problems.append(f"{name}.{key}: no description or type")
        if "sample" not in value:
            problems += return_problems(f"{name}.{key}", value.get("contains"))
    return problems


def lines_of_code(source: str) -> int:
    """Return how many lines a module has without documentation, blank lines and comments."""
    lines = source.splitlines()
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and any(isinstance(x, ast.Name) and x.id in DOCUMENTS for x in node.targets):
            for number in range(node.lineno - 1, node.end_lineno or node.lineno):
                lines[number] = ""
    return sum(1 for line in lines if line.strip() and not line.lstrip().startswith("#"))


def size_problems(name: str, source: str) -> list[str]:
    length, code = len(source.splitlines()), lines_of_code(source)
    problems = [f"{name}: {length} lines"] if length > MOST_LINES else []
    return problems + ([f"{name}: {code} lines of code"] if code > MOST_LINES_OF_CODE else [])


def supports_check_mode(source: str) -> bool:
    """Say whether the one call of AnsibleModule asks for check mode."""
    calls = [
        node
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "AnsibleModule"
    ]
    keywords = {keyword.arg: keyword.value for call in calls for keyword in call.keywords}
    value = keywords.get("supports_check_mode")
    return len(calls) == 1 and isinstance(value, ast.Constant) and value.value is True


def source_of(name: str) -> str:
    return (collection.MODULES / f"{name}.py").read_text(encoding="utf-8")


def test_there_are_modules():
    assert "minio_bucket" in MODULES


@pytest.mark.parametrize("name", MODULES)
def test_a_module_is_documented_with_full_check_mode_and_diff(name):
    found = collection.documentation(name)
    assert found["module"] == name
    assert found["short_description"]
    assert found["version_added"] in RELEASES
    assert attribute_problems(name, found) == []
    assert supports_check_mode(source_of(name))


@pytest.mark.parametrize("name", MODULES)
def test_a_module_has_examples_that_use_it_and_return_values_with_samples(name):
    texts = collection.constants(collection.parsed(collection.MODULES / f"{name}.py"))
    tasks = collection.load_yaml(texts["EXAMPLES"])
    assert any(f"{collection.NAMESPACE}{name}" in task for task in tasks)
    assert return_problems(name, collection.load_yaml(texts["RETURN"])) == []


@pytest.mark.parametrize("name", MODULES)
def test_a_module_has_an_integration_target_that_runs_it(name):
    target = collection.ROOT / "tests" / "integration" / "targets" / name
    assert (target / "aliases").is_file()
    tasks = "".join(path.read_text(encoding="utf-8") for path in sorted((target / "tasks").glob("*.yml")))
    assert f"{collection.NAMESPACE}{name}:" in tasks


@pytest.mark.parametrize("name", MODULES)
def test_a_module_has_unit_tests(name):
    path = collection.ROOT / "tests" / "unit" / "plugins" / "modules" / f"test_{name}.py"
    found = [node.name for node in ast.walk(collection.parsed(path)) if isinstance(node, ast.FunctionDef)]
    assert any(each.startswith("test_") for each in found)


# Ansible warns in each run about options that sound like a secret and say nothing.
@pytest.mark.parametrize("name", MODULES)
def test_a_module_says_of_options_that_sound_like_a_secret_whether_they_are_one(name):
    options = task_options.specification(name).items()
    mute = [each for each, rules in options if PASSWORD_MATCH.search(each) and rules.get("no_log") is None]
    assert [each for each in mute if dict(options)[each].get("type") != "bool"] == []


def test_every_module_is_in_the_action_group_of_the_collection():
    groups = collection.runtime()["action_groups"]
    assert sorted(groups["lifeboat"]) == MODULES
    assert {name for names in groups.values() for name in names} == set(MODULES)


@pytest.mark.parametrize("name", MODULES)
def test_a_module_says_in_which_groups_it_is(name):
    attribute = collection.documentation(name)["attributes"].get("action_group", {})
    groups = collection.runtime()["action_groups"]
    named = {group[len(collection.NAMESPACE) :] for group in attribute.get("membership", [])}
    assert named | {"lifeboat"} == {group for group, members in groups.items() if name in members}


@pytest.mark.parametrize("name", MODULES)
def test_a_module_is_short(name):
    assert size_problems(name, source_of(name)) == []


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"check_mode": {"support": "full"}},
        {"check_mode": {"support": "full"}, "diff_mode": {"support": "none"}},
        {"check_mode": {"support": "partial"}, "diff_mode": {"support": "full"}},
        {"check_mode": {"support": "full"}, "diff_mode": {"support": "N/A"}},
    ],
)
def test_a_module_with_less_than_full_support_is_found(attributes):
    assert attribute_problems("pg_shred", {"attributes": attributes})


def test_a_return_value_without_sample_is_found():
    assert return_problems("pg_shred", None)
    assert return_problems("pg_shred", {"id": {"description": "Its id.", "type": "str"}})
    assert return_problems("pg_shred", {"id": {"sample": "x"}})
    inner = {"id": {"description": "Its id.", "type": "str", "sample": "x"}}
    assert return_problems("pg_shred", {"all": {"description": "All.", "type": "list", "contains": inner}}) == []


def test_a_long_module_is_found_and_its_documentation_counts_as_no_code():
    code = "x = 1\n" * (MOST_LINES_OF_CODE + 1)
    assert size_problems("pg_shred", code) == [f"pg_shred: {MOST_LINES_OF_CODE + 1} lines of code"]
    documented = 'DOCUMENTATION = """\n' + "text\n" * 200 + '"""\n\n# why\nx = 1\n'
    assert lines_of_code(documented) == 1
    assert size_problems("pg_shred", documented) == []
    assert size_problems("pg_shred", documented + "\n" * MOST_LINES)


def test_a_module_without_check_mode_is_found():
    assert not supports_check_mode("AnsibleModule(argument_spec={})")
    assert not supports_check_mode("AnsibleModule(argument_spec={}, supports_check_mode=False)")
    assert supports_check_mode("AnsibleModule(argument_spec={}, supports_check_mode=True)")
