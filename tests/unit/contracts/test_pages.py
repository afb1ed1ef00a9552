# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""README and docs: what they name is there, and what is there they name."""

from __future__ import annotations

import ast
import json
import pathlib
import re
import shlex
import typing as t

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine import errors
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host import cli, metrics
from ansible_collections.lifeboat.recovery.tests.unit.contracts import collection

README = collection.ROOT / "README.md"
PAGES = (README, collection.ROOT / "CONTRIBUTING.md", *sorted((collection.ROOT / "docs").rglob("*.md")))
FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]\n]*\]\(([^)\s]+)\)")
EXIT_CODES = {
    "done": errors.DONE,
    "failed": errors.FAILED,
    "wrong": errors.WRONG_USAGE,
    "refused": errors.REFUSED,
    "busy": errors.BUSY,
    "incomplete": errors.INCOMPLETE,
}


def text_of(path: pathlib.Path) -> str:
    return path.read_text(encoding="utf-8")


def blocks(text: str, *languages: str) -> list[str]:
    """Return the code blocks of a page in these languages."""
    found = []
    for indentation, language, body in FENCE.findall(text):
        if language in languages:
            found.append("\n".join(line[len(indentation) :] for line in body.splitlines()) + "\n")
    return found


def make_targets(text: str) -> set[str]:
    """Return the targets that a page tells to make, in shell blocks and in running text."""
    commands = [line.strip() for block in blocks(text, "shell", "bash", "console") for line in block.splitlines()]
    commands += re.findall(r"`([^`\n]+)`", FENCE.sub("", text))
    found = set()
    for command in commands:
        match = re.match(r"(?:[A-Z_]+=\S+ )*make(?: ([a-z][a-z-]*))?\b", command)
        if match and match.group(1):
            found.add(match.group(1))
    return found


def known_targets() -> set[str]:
    makefile = text_of(collection.ROOT / "Makefile")
    return {word for line in re.findall(r"^([a-z][a-z -]*):(?!=)", makefile, re.MULTILINE) for word in line.split()}


def option_problems(where: str, given: t.Any, options: t.Mapping[str, t.Any]) -> list[str]:
    """Return which options a task gives that its module does not have, at every level."""
    if not isinstance(given, dict):
        return [] if isinstance(given, str) else [f"{where} is no dictionary"]  # a text is a template
    names = {alias: option for option in options.values() for alias in option.get("aliases", [])}
    names.update(options)
    problems = []
    for name, value in given.items():
        option = names.get(name)
        if option is None:
            problems.append(f"{where}: there is no option {name}")
            continue
        suboptions = option.get("suboptions")
        if suboptions:
            for each in value if isinstance(value, list) else [value]:
                problems += option_problems(f"{where}.{name}", each, suboptions)
        is_plain = isinstance(value, (str, int)) and "{{" not in str(value)
        if is_plain and option.get("choices") and value not in option["choices"]:
            problems.append(f"{where}: {name} cannot be {value!r}")
    return problems


def task_problems(value: t.Any) -> list[str]:
    """Return what is wrong with the tasks of this collection in a YAML structure."""
    if isinstance(value, list):
        return [problem for each in value for problem in task_problems(each)]
    if not isinstance(value, dict):
        return []
    problems = []
    for key, inner in value.items():
        if isinstance(key, str) and key.startswith(f"group/{collection.NAMESPACE}"):
            problems += _group_problems(key, inner)
        elif isinstance(key, str) and key.startswith(collection.NAMESPACE):
            name = key[len(collection.NAMESPACE) :]
            if name not in collection.module_names():
                problems.append(f"there is no module {key}")
                continue
            problems += option_problems(name, inner or {}, collection.documentation(name)["options"])
        problems += task_problems(inner)
    return problems


def _group_problems(key: str, given: t.Any) -> list[str]:
    members = collection.runtime()["action_groups"].get(key[len(f"group/{collection.NAMESPACE}") :])
    if members is None:
        return [f"there is no {key}"]
    known = [collection.documentation(name)["options"] for name in members]
    return [f"{key}: no module has {name}" for name in given if all(name not in options for options in known)]


def anchors(text: str) -> set[str]:
    """Return the names by which a link reaches the headings of a page, as code hosts make them."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", text), re.MULTILINE)
    plain = (heading.replace("&lt;", "<").replace("&gt;", ">") for heading in headings)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in plain}


def link_problems(page: pathlib.Path, text: str) -> list[str]:
    problems = []
    for target in LINK.findall(FENCE.sub("", text)):
        if "://" in target or target.startswith("mailto:"):
            continue
        path, _hash, anchor = target.partition("#")
        place = (page.parent / path).resolve() if path else page
        if not place.exists():
            problems.append(f"{page.name}: {target} leads nowhere")
        elif anchor and anchor not in anchors(text_of(place)):
            problems.append(f"{page.name}: there is no heading {target}")
    return problems


def exit_codes(text: str) -> dict[int, str]:
    """Return the first word behind each code in the table of exit codes."""
    section = text.partition("## Exit codes")[2].partition("\n## ")[0]
    return {int(code): word.lower() for code, word in re.findall(r"^\| (\d) \| (\w+)", section, re.MULTILINE)}


def command_problems(text: str) -> list[str]:
    """Return the commands `lifeboat …` in shell blocks that the host command would not understand."""
    problems = []
    for line in (line for block in blocks(text, "shell") for line in block.splitlines()):
        match = re.match(r"(?:\S*# |\$ )?(?:sudo (?:-u \S+ )?)?(?:/usr/local/bin/)?lifeboat (.*)", line)
        if match is None:
            continue
        words = shlex.split(match.group(1), comments=True)
        if "--help" in words or "--version" in words:
            continue
        try:
            cli._parser().parse_args(words)
        except SystemExit:
            problems.append(line)
    return problems


def guards(folder: pathlib.Path) -> set[str]:
    """Return the names of the safety rules that a source can refuse by."""
    found = set()
    for path in collection.python_files(folder):
        for node in ast.walk(collection.parsed(path)):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("GuardRefusal"):
                first = node.args[0]
                assert isinstance(first, ast.Constant), f"{collection.relative(path)}:{node.lineno} has no plain name"
                found.add(first.value)
    return found


def variables(text: str) -> set[str]:
    return set(re.findall(r"(?<![\w.-])lifeboat_[a-z0-9_]+", text))


def roles() -> list[str]:
    return sorted(path.parent.parent.name for path in (collection.ROOT / "roles").glob("*/tasks/main.yml"))


def names_in(text: str) -> set[str]:
    """Return all that a page calls `lifeboat.recovery.<name>`."""
    found = re.findall(rf"\b{re.escape(collection.NAMESPACE)}([a-z0-9_]+(?:\.[a-z0-9_]+)*)", text)
    return set(found)


@pytest.mark.parametrize("name", collection.module_names())
def test_the_readme_has_every_module_in_a_table(name):
    assert re.search(rf"^\| `{name}` \|", text_of(README), re.MULTILINE)


@pytest.mark.parametrize("name", collection.playbook_names())
def test_the_readme_has_every_playbook_in_a_table(name):
    assert re.search(rf"^\| `{re.escape(collection.NAMESPACE + name)}` \|", text_of(README), re.MULTILINE)


def test_the_readme_has_every_role():
    assert [name for name in roles() if f"`{name}`" not in text_of(README)] == []


@pytest.mark.parametrize("page", PAGES, ids=collection.relative)
def test_what_a_page_calls_by_the_name_of_the_collection_is_there(page):
    groups = {f"group.{name}" for name in collection.runtime()["action_groups"]}
    known = {*collection.module_names(), *collection.playbook_names(), *roles(), *collection.runtime()["action_groups"]}
    assert names_in(text_of(page)) - known - groups == set()


def test_the_readme_has_no_module_that_is_not_there():
    section = text_of(README).partition("## Modules")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| `([a-z0-9_]+)` \|", section, re.MULTILINE)) == set(collection.module_names())


@pytest.mark.parametrize("page", PAGES, ids=collection.relative)
def test_what_a_page_tells_to_make_can_be_made(page):
    assert make_targets(text_of(page)) - known_targets() == set()


def test_the_readme_begins_with_the_demo_and_the_tests():
    assert {"demo", "test"} <= make_targets(text_of(README))


@pytest.mark.parametrize("page", PAGES, ids=collection.relative)
def test_yaml_on_a_page_parses_and_gives_modules_options_that_they_have(page):
    for block in blocks(text_of(page), "yaml", "yml"):
        assert task_problems(collection.load_yaml(block)) == []


def test_the_readme_shows_yaml():
    assert len(blocks(text_of(README), "yaml")) >= 2


@pytest.mark.parametrize("name", collection.module_names())
def test_examples_give_modules_options_that_they_have(name):
    texts = collection.constants(collection.parsed(collection.MODULES / f"{name}.py"))
    assert task_problems(collection.load_yaml(texts["EXAMPLES"])) == []


@pytest.mark.parametrize("name", collection.playbook_names())
def test_playbooks_give_modules_options_that_they_have(name):
    path = collection.ROOT.joinpath("playbooks", *name.split(".")).with_suffix(".yml")
    plays = [play for play in collection.load_yaml(text_of(path)) if "ansible.builtin.import_playbook" not in play]
    assert task_problems(plays) == []


@pytest.mark.parametrize("name", ["tests/environment", "extensions/molecule"])
def test_plays_of_the_tests_give_modules_options_that_they_have(name):
    folder = collection.ROOT / name
    for path in (path for path in collection.files() if folder in path.parents and path.suffix == ".yml"):
        assert task_problems(collection.load_yaml(text_of(path))) == [], collection.relative(path)


@pytest.mark.parametrize("page", PAGES, ids=collection.relative)
def test_the_host_command_understands_what_a_page_tells_it(page):
    assert command_problems(text_of(page)) == []


@pytest.mark.parametrize("page", PAGES, ids=collection.relative)
def test_json_on_a_page_parses(page):
    for block in blocks(text_of(page), "json"):
        json.loads(block)


@pytest.mark.parametrize("page", PAGES, ids=collection.relative)
def test_variables_on_a_page_are_those_of_the_playbooks_or_tests(page):
    folders = [collection.ROOT / name for name in ("playbooks", "roles", "inventories", "tests/environment")]
    sources = [path for path in collection.files() if any(folder in path.parents for folder in folders)]
    known = {name for path in sources if path.suffix in (".yml", ".py") for name in variables(text_of(path))}
    assert variables(text_of(page)) - known - {*metrics.FAMILIES, metrics.JOB, metrics.MIRROR} == set()


def test_the_architecture_has_every_guard_and_no_other():
    page = text_of(collection.ROOT / "docs" / "architecture.md")
    table = page.partition("| guard | refuses |")[2].partition("\n\n")[0]
    assert set(re.findall(r"^\| `([a-z0-9_]+)` \|", table, re.MULTILINE)) == guards(collection.PLUGINS)


@pytest.mark.parametrize("page", PAGES, ids=collection.relative)
def test_links_of_a_page_lead_somewhere(page):
    assert link_problems(page, text_of(page)) == []


def test_every_page_can_be_reached_from_the_readme():
    linked = {(README.parent / target.partition("#")[0]).resolve() for target in LINK.findall(text_of(README))}
    assert [collection.relative(page) for page in PAGES if page != README and page not in linked] == []


def test_the_readme_says_what_the_exit_codes_mean():
    assert exit_codes(text_of(README)) == {code: word for word, code in EXIT_CODES.items()}


@pytest.mark.parametrize("page", PAGES, ids=collection.relative)
def test_files_that_a_page_runs_are_there(page):
    commands = [line for block in blocks(text_of(page), "shell") for line in block.splitlines()]
    paths = [path for line in commands for path in re.findall(r"\bpython3? ((?:tests|plugins)/\S+\.py)", line)]
    assert [path for path in paths if not (collection.ROOT / path).is_file()] == []


def test_a_target_that_cannot_be_made_is_found():
    assert make_targets("```shell\nmake fly   # up\nKEEP=1 make demo\n```\nor `make sing`, a make of car\n") == {
        "fly",
        "demo",
        "sing",
    }
    assert "fly" not in known_targets()
    assert {"demo", "lint", "unit"} <= known_targets()


@pytest.mark.parametrize(
    "task",
    [
        {"lifeboat.recovery.minio_bucket": {"name": "x", "colour": "red"}},
        {"lifeboat.recovery.minio_bucket": {"name": "x", "state": "gone"}},
        {"lifeboat.recovery.minio_bucket": {"name": "x", "lifecycle": [{"id": "a", "days": 3}]}},
        {"lifeboat.recovery.minio_bukcet": {"name": "x"}},
        {"lifeboat.recovery.minio_bucket": ["x"]},
        {"block": [{"lifeboat.recovery.minio_bucket": {"nmae": "x"}}]},
        {"module_defaults": {"group/lifeboat.recovery.s3": {"endpoint": "x"}}},
        {"module_defaults": {"group/lifeboat.recovery.s4": {"endpoint_url": "x"}}},
    ],
)
def test_an_option_that_a_module_does_not_have_is_found(task):
    assert task_problems([{"hosts": "all", "tasks": [task]}])


def test_options_that_a_module_has_are_let_pass():
    task = {"lifeboat.recovery.minio_bucket": {"bucket": "x", "lifecycle": [{"noncurrent_days": 90}], "tags": {"a": 1}}}
    defaults = {"group/lifeboat.recovery.s3": {"endpoint_url": "https://minio.example.com"}}
    assert task_problems([{"hosts": "all", "module_defaults": defaults, "tasks": [task]}]) == []


def test_a_command_that_the_host_command_does_not_know_is_found():
    assert command_problems("```shell\nlifeboat check  # all\nsudo -u postgres lifeboat run db1-shop\n```\n") == []
    for command in ("lifeboat fly", "lifeboat run", "lifeboat restore db1 --force", "/usr/local/bin/lifeboat runs x"):
        assert command_problems(f"```shell\n{command}\n```\n") == [command]


def test_a_link_that_leads_nowhere_is_found():
    assert link_problems(README, "[x](docs/nothing.md)")
    assert link_problems(README, "[x](docs/format.md#nothing)")
    assert link_problems(README, "[x](docs/format.md#write-once) [y](https://example.com/)") == []


def test_blocks_are_found_with_their_indentation():
    assert blocks("- a\n\n  ```yaml\n  b: 1\n    # c\n  ```\n", "yaml") == ["b: 1\n  # c\n"]
