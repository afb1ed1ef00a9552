# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""README and docs: what they name is there, and what is there they name."""

from __future__ import annotations

import ast
import pathlib
import re

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine import errors
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host import metrics
from ansible_collections.lifeboat.recovery.tests.unit.contracts import collection
from ansible_collections.lifeboat.recovery.tests.unit.contracts.page_commands import known_targets
from ansible_collections.lifeboat.recovery.tests.unit.contracts.pages import (
    FENCE,
    PAGES,
    PAGES_OF_ROLES,
    README,
    bodies,
    text_of,
)
from ansible_collections.lifeboat.recovery.tests.unit.contracts.task_options import task_problems

INDEX = collection.ROOT / "docs" / "index.md"
LINK = re.compile(r"\[[^\]\n]*\]\(([^)\s]+)\)")
EXIT_CODES = {
    "done": errors.DONE,
    "failed": errors.FAILED,
    "wrong": errors.WRONG_USAGE,
    "refused": errors.REFUSED,
    "busy": errors.BUSY,
    "incomplete": errors.INCOMPLETE,
}


def make_targets(text: str) -> set[str]:
    """Return the targets that a page tells to make, in shell blocks and in running text."""
    commands = [line.strip() for block in bodies(text, "shell", "bash", "console") for line in block.splitlines()]
    commands += re.findall(r"`([^`\n]+)`", FENCE.sub("", text))
    found = set()
    for command in commands:
        match = re.match(r"(?:[A-Z_]+=\S+ )*make(?: ([a-z][a-z-]*))?\b", command)
        if match and match.group(1):
            found.add(match.group(1))
    return found


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


def linked_from(page: pathlib.Path) -> set[pathlib.Path]:
    """Return the files that a page links."""
    return {(page.parent / target.partition("#")[0]).resolve() for target in LINK.findall(text_of(page))}


def exit_codes(text: str) -> dict[int, str]:
    """Return the first word behind each code in the table of exit codes."""
    section = text.partition("## Exit codes")[2].partition("\n## ")[0]
    return {int(code): word.lower() for code, word in re.findall(r"^\| (\d) \| (\w+)", section, re.MULTILINE)}


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


def test_the_readme_shows_yaml():
    assert len(bodies(text_of(README), "yaml")) >= 2


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
    for path in (path for path in collection.files() if path.suffix == ".yml" and path.is_relative_to(folder)):
        assert task_problems(collection.load_yaml(text_of(path))) == [], collection.relative(path)


@pytest.mark.parametrize("page", PAGES, ids=collection.relative)
def test_variables_on_a_page_are_those_of_the_playbooks_or_tests(page):
    folders = [collection.ROOT / name for name in ("playbooks", "roles", "inventories", "tests/environment")]
    sources = [path for path in collection.files() if any(path.is_relative_to(folder) for folder in folders)]
    known = {name for path in sources if path.suffix in (".yml", ".py") for name in variables(text_of(path))}
    assert variables(text_of(page)) - known - {*metrics.FAMILIES, metrics.JOB, metrics.MIRROR} == set()


def test_the_architecture_has_every_guard_and_no_other():
    page = text_of(collection.ROOT / "docs" / "architecture.md")
    table = page.partition("| guard | refuses |")[2].partition("\n\n")[0]
    assert set(re.findall(r"^\| `([a-z0-9_]+)` \|", table, re.MULTILINE)) == guards(collection.PLUGINS)


@pytest.mark.parametrize("page", [*PAGES, *PAGES_OF_ROLES], ids=collection.relative)
def test_links_of_a_page_lead_somewhere(page):
    assert link_problems(page, text_of(page)) == []


def test_every_page_can_be_reached_from_the_readme_or_the_index_which_it_links():
    linked = linked_from(README)
    assert INDEX in linked
    linked |= linked_from(INDEX) | {README}
    assert [collection.relative(page) for page in PAGES if page not in linked] == []


def test_the_readme_says_what_the_exit_codes_mean():
    assert exit_codes(text_of(README)) == {code: word for word, code in EXIT_CODES.items()}


def test_a_target_that_cannot_be_made_is_found():
    assert make_targets("```shell\nmake fly   # up\nKEEP=1 make demo\n```\nor `make sing`, a make of car\n") == {
        "fly",
        "demo",
        "sing",
    }
    assert "fly" not in known_targets()
    assert {"demo", "lint", "unit"} <= known_targets()


def test_a_link_that_leads_nowhere_is_found():
    assert link_problems(README, "[x](docs/nothing.md)")
    assert link_problems(README, "[x](docs/format.md#nothing)")
    assert link_problems(README, "[x](docs/format.md#write-once) [y](https://example.com/)") == []
