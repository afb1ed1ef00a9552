# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Roles say their defaults twice and mean the same; every disaster playbook has a runbook."""

from __future__ import annotations

import pathlib
import re
import typing as t

import pytest
import yaml
from ansible_collections.lifeboat.recovery.tests.unit.contracts import collection

PARTS_OF_A_ROLE = ("README.md", "meta/main.yml", "meta/argument_specs.yml", "defaults/main.yml", "tasks/main.yml")


def role_problems(role: pathlib.Path) -> list[str]:
    """Return where a role lacks a part, or its defaults and its argument specification differ."""
    missing = [f"{role.name} has no {part}" for part in PARTS_OF_A_ROLE if not (role / part).is_file()]
    if missing:
        return missing
    defaults = _yaml(role / "defaults" / "main.yml") or {}
    specs = _yaml(role / "meta" / "argument_specs.yml")["argument_specs"]
    documented: dict[str, t.Any] = {}
    for entry in specs.values():
        documented.update(entry.get("options", {}))
    problems = []
    for name in sorted({*defaults, *documented}):
        option = documented.get(name)
        if option is None:
            problems.append(f"{role.name}: {name} has a default and no specification")
        elif option.get("required"):
            problems += [f"{role.name}: {name} is required and has a default"] if name in defaults else []
        elif ("default" in option) != (name in defaults):
            problems.append(f"{role.name}: {name} has a default in one place only")
        elif name in defaults and repr(option["default"]) != repr(defaults[name]):  # 1 is not true
            problems.append(
                f"{role.name}: {name} is {defaults[name]!r}, and {option['default']!r} in its specification"
            )
    prefix = f"{role.name}_"
    foreign = [name for name in defaults if not name.startswith(prefix)]
    problems += [f"{role.name}: {name} does not begin with {prefix}" for name in foreign]
    return problems + _page_problems(role, documented)


def _page_problems(role: pathlib.Path, options: t.Iterable[str]) -> list[str]:
    """Return what the page of a role does not say."""
    text = (role / "README.md").read_text(encoding="utf-8")
    problems = [f"{role.name}: its README does not name {name}" for name in sorted(options) if f"`{name}`" not in text]
    if "\n## Idempotence\n" not in text:
        problems.append(f"{role.name}: its README has no section Idempotence")
    return problems


# What a schedule runs is made by the agent: one scenario sets both up, and waits for cron and timers.
TOGETHER = {"backup_schedule": "backup_agent"}


def scenario_problems(root: pathlib.Path, role: str) -> list[str]:
    """Return what a role's scenario lacks: it has the role's name, converges and verifies."""
    folder = root / "extensions" / "molecule" / TOGETHER.get(role, role)
    parts = ("molecule.yml", "converge.yml", "verify.yml")
    return [f"{role} has no scenario with a {part}" for part in parts if not (folder / part).is_file()]


def phase_problems(role: pathlib.Path) -> list[str]:
    """Return the phases of a role that cannot be run alone: each has a tag, and the preflight has those of all."""
    tasks = _yaml(role / "tasks" / "main.yml") or []
    tags = [task.get("tags", []) for task in tasks]
    every = sorted({tag for each in tags for tag in each})
    problems = [f"{role.name}: {task['name']} has no tag" for task, each in zip(tasks, tags) if not each]
    problems += [f"{role.name}: {tag} does not begin with its name" for tag in every if not tag.startswith(role.name)]
    if tasks and sorted(tags[0]) != every:
        problems.append(f"{role.name}: the first phase has not the tags of all")
    return problems


# What Ansible evaluates without braces.
CONDITIONS = ("when", "that", "until", "failed_when", "changed_when")
BRACES = re.compile(r"\{\{(.*?)\}\}|\{%(.*?)%\}", re.DOTALL)


def flag_problems(role: pathlib.Path) -> list[str]:
    """Return where a role tests a flag as it is given: `-e flag=false`, and a survey, give a text, which is true."""
    specs = _yaml(role / "meta" / "argument_specs.yml")["argument_specs"]
    options = {name: each for entry in specs.values() for name, each in entry.get("options", {}).items()}
    flags = [name for name, option in options.items() if option.get("type") == "bool"]
    problems = []
    for path in sorted(path for part in ("tasks", "vars", "templates") for path in (role / part).glob("*")):
        text = path.read_text(encoding="utf-8")
        values = _expressions(collection.load_yaml(text), False) if path.suffix == ".yml" else _in_braces(text)
        for value in values:
            tested = [
                name for name in flags if value.strip() != name and re.search(rf"\b{name}\b(?!\s*\|\s*bool\b)", value)
            ]
            problems += [f"{role.name}: {path.name} tests {name} without the filter bool" for name in tested]
    return problems


def _expressions(value: t.Any, is_condition: bool) -> t.Iterator[str]:
    """Yield what is evaluated in tasks or variables; a condition that is nothing but a name is tested, too."""
    if isinstance(value, str):
        yield from [f"({value})"] if is_condition else _in_braces(value)
    for key, each in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from _expressions(each, key in CONDITIONS or (is_condition and isinstance(value, list)))


def _in_braces(text: str) -> t.Iterator[str]:
    return (found[1] or found[2] for found in BRACES.finditer(text))


def _yaml(path: pathlib.Path) -> t.Any:
    return collection.load_yaml(path.read_text(encoding="utf-8"))


def runbook_problems(root: pathlib.Path) -> list[str]:
    """Return the disaster playbooks without a runbook, and the runbooks without a playbook."""
    playbooks = {path.stem for path in (root / "playbooks" / "dr").glob("*.yml")}
    runbooks = {path.stem[len("runbook_") :] for path in (root / "docs").glob("runbook_*.md")}
    problems = [f"playbooks/dr/{name}.yml has no docs/runbook_{name}.md" for name in sorted(playbooks - runbooks)]
    return problems + [f"docs/runbook_{name}.md has no playbook" for name in sorted(runbooks - playbooks)]


def test_every_role_documents_the_defaults_that_it_has():
    folder = collection.ROOT / "roles"
    roles = sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    assert [problem for role in roles for problem in role_problems(role)] == []


def test_every_role_has_a_scenario_and_phases_that_can_be_run_alone():
    folder = collection.ROOT / "roles"
    roles = sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    problems = [problem for role in roles for problem in scenario_problems(collection.ROOT, role.name)]
    assert problems + [problem for role in roles for problem in phase_problems(role)] == []


def test_every_flag_of_a_role_may_come_as_a_text():
    roles = sorted(path.parent.parent for path in (collection.ROOT / "roles").glob("*/meta/argument_specs.yml"))
    assert [problem for role in roles for problem in flag_problems(role)] == []


def test_every_disaster_playbook_has_a_runbook():
    assert runbook_problems(collection.ROOT) == []


def test_every_runbook_names_its_playbook():
    for path in sorted((collection.ROOT / "docs").glob("runbook_*.md")):
        name = path.stem[len("runbook_") :]
        assert f"{collection.NAMESPACE}dr.{name}" in path.read_text(encoding="utf-8")


DEFAULTS = "---\nminio_server_port: 9000\nminio_server_tls: false\n"
SPECIFICATION = """---
argument_specs:
  main:
    options:
      minio_server_port:
        type: int
        default: 9000
      minio_server_tls:
        type: bool
        default: false
      minio_server_user:
        type: str
        required: true
      minio_server_title:
        type: str
"""
PAGE = "`minio_server_port` `minio_server_tls` `minio_server_user` `minio_server_title`\n\n## Idempotence\n\nYes.\n"


@pytest.fixture
def role(tmp_path):
    folder = tmp_path / "minio_server"
    for part in PARTS_OF_A_ROLE:
        (folder / part).parent.mkdir(parents=True, exist_ok=True)
        (folder / part).write_text("---\n")
    (folder / "defaults" / "main.yml").write_text(DEFAULTS)
    (folder / "meta" / "argument_specs.yml").write_text(SPECIFICATION)
    (folder / "README.md").write_text(PAGE)
    return folder


def test_a_role_whose_defaults_are_its_specification_is_let_pass(role):
    assert role_problems(role) == []


@pytest.mark.parametrize(
    ("defaults", "words"),
    [
        (DEFAULTS.replace("9000", "9001"), "9001"),
        (DEFAULTS.replace("false", "no_word"), "no_word"),
        (DEFAULTS.replace("false", "0"), "is 0"),
        (DEFAULTS.replace("minio_server_tls: false\n", ""), "one place only"),
        (DEFAULTS + "minio_server_title: x\n", "one place only"),
        (DEFAULTS + "minio_server_user: x\n", "is required"),
        (DEFAULTS + "minio_server_other: x\n", "no specification"),
        (DEFAULTS + "other: x\n", "does not begin"),
    ],
)
def test_a_default_that_differs_from_the_specification_is_found(role, defaults, words):
    (role / "defaults" / "main.yml").write_text(defaults)
    assert words in "; ".join(role_problems(role))


@pytest.mark.parametrize("part", PARTS_OF_A_ROLE)
def test_a_role_that_lacks_a_part_is_found(role, part):
    (role / part).unlink()
    assert role_problems(role) == [f"minio_server has no {part}"]


@pytest.mark.parametrize("words", ["`minio_server_tls`", "## Idempotence\n"])
def test_a_page_of_a_role_that_does_not_say_everything_is_found(role, words):
    (role / "README.md").write_text(PAGE.replace(words, ""))
    assert len(role_problems(role)) == 1


def test_a_role_without_scenario_is_found(tmp_path):
    assert len(scenario_problems(tmp_path, "minio_server")) == 3


@pytest.mark.parametrize(
    "tasks",
    [
        [{"name": "Check", "tags": ["minio_server_check"]}, {"name": "Start"}],
        [{"name": "Check", "tags": ["minio_server_check"]}, {"name": "Start", "tags": ["minio_server_start"]}],
        [{"name": "Check", "tags": ["check"]}],
    ],
)
def test_a_phase_that_cannot_be_run_alone_is_found(role, tasks):
    (role / "tasks" / "main.yml").write_text(yaml.safe_dump(tasks))
    assert phase_problems(role)


@pytest.mark.parametrize(
    ("tasks", "number"),
    [
        ([{"name": "Start", "when": "minio_server_tls"}], 1),
        ([{"name": "Start", "when": ["a", "not minio_server_tls"]}], 1),
        ([{"name": "Start", "vars": {"port": "{{ 443 if minio_server_tls else 80 }}"}}], 1),
        ([{"name": "Start", "when": "minio_server_tls | bool"}], 0),
        ([{"name": "Start", "uri": {"validate_certs": "{{ minio_server_tls }}"}}], 0),
        ([{"name": "Start", "fail": {"msg": "minio_server_tls is off"}}], 0),
    ],
)
def test_a_flag_that_is_tested_as_it_is_given_is_found(role, tasks, number):
    (role / "tasks" / "main.yml").write_text(yaml.safe_dump(tasks))
    assert len(flag_problems(role)) == number


def test_a_playbook_without_runbook_and_a_runbook_without_playbook_are_found(tmp_path):
    for folder in ("playbooks/dr", "docs"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "playbooks" / "dr" / "flood.yml").touch()
    assert runbook_problems(tmp_path) == ["playbooks/dr/flood.yml has no docs/runbook_flood.md"]
    (tmp_path / "docs" / "runbook_flood.md").touch()
    assert runbook_problems(tmp_path) == []
    (tmp_path / "docs" / "runbook_fire.md").touch()
    assert runbook_problems(tmp_path) == ["docs/runbook_fire.md has no playbook"]
