# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What lies in the collection, for tests that read its sources instead of running them."""

from __future__ import annotations

import ast
import fnmatch
import functools
import importlib
import os
import pathlib
import typing as t

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[3]
PLUGINS = ROOT / "plugins"
MODULES = PLUGINS / "modules"
ENGINE = PLUGINS / "module_utils" / "_engine"
NAMESPACE = "lifeboat.recovery."


# libyaml reads the same language in a tenth of the time.
_SafeLoader: t.Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Loader(_SafeLoader):
    """Reads YAML as Ansible writes it: its own tags (`!vault`, `!unsafe`) are values like others."""


Loader.add_multi_constructor("!", lambda loader, _suffix, node: loader.construct_scalar(node))


def load_yaml(text: str) -> t.Any:
    """Return the only document of a YAML text."""
    return yaml.load(text, Loader)  # noqa: S506 - a safe loader


def relative(path: pathlib.Path) -> str:
    return path.relative_to(ROOT).as_posix()


@functools.cache
def files() -> tuple[pathlib.Path, ...]:
    """Return all files of the checkout but those that git would ignore."""
    lines = (ROOT / ".gitignore").read_text(encoding="utf-8").split()
    found = []
    for folder, folders, names in os.walk(ROOT):
        place = pathlib.Path(folder)
        folders[:] = sorted(name for name in folders if name != ".git" and not _is_ignored(place / name, lines))
        found += [place / name for name in sorted(names) if name != ".git" and not _is_ignored(place / name, lines)]
    return tuple(found)


def _is_ignored(path: pathlib.Path, lines: t.Sequence[str]) -> bool:
    """Say whether one of the simple patterns in .gitignore (no `!`, no `**`) is that of `path`."""
    for line in lines:
        pattern = line.strip("/")
        whole = relative(path) if "/" in pattern else path.name
        if fnmatch.fnmatchcase(whole, pattern) and (path.is_dir() or not line.endswith("/")):
            return True
    return False


@functools.cache
def python_files(folder: pathlib.Path = ROOT) -> tuple[pathlib.Path, ...]:
    return tuple(path for path in files() if path.suffix == ".py" and path.is_relative_to(folder))


def text_files() -> t.Iterator[tuple[pathlib.Path, str]]:
    """Yield every file that is text, with the text."""
    for path in files():
        try:
            yield path, path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue


def module_names() -> list[str]:
    return sorted(path.stem for path in MODULES.glob("*.py") if path.stem != "__init__")


def constants(tree: ast.AST) -> dict[str, str]:
    """Return the texts that are assigned to names in a source, such as its documentation."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            found.update({target.id: node.value.value for target in node.targets if isinstance(target, ast.Name)})
    return found


@functools.cache
def tree(source: str) -> ast.Module:
    """Return a source as Python reads it; nobody may change what is returned."""
    return ast.parse(source)


def parsed(path: pathlib.Path) -> ast.Module:
    return tree(path.read_text(encoding="utf-8"))


@functools.cache
def documentation(module: str) -> dict[str, t.Any]:
    """Return the documentation of a module with that of its fragments merged in, as ansible-doc does it."""
    found: dict[str, t.Any] = load_yaml(constants(parsed(MODULES / f"{module}.py"))["DOCUMENTATION"])
    names = found.get("extends_documentation_fragment", [])
    for name in [names] if isinstance(names, str) else names:
        merge(found, _fragment(name))
    return found


def _fragment(name: str) -> dict[str, t.Any]:
    """Return a documentation fragment of this collection or of ansible-core, by the name that modules give."""
    is_ours = name.startswith(NAMESPACE)
    file_name, _dot, section = name[len(NAMESPACE if is_ours else "ansible.builtin.") :].partition(".")
    package = f"ansible_collections.{NAMESPACE}plugins.doc_fragments" if is_ours else "ansible.plugins.doc_fragments"
    fragment = importlib.import_module(f"{package}.{file_name}").ModuleDocFragment
    fields: dict[str, t.Any] = load_yaml(getattr(fragment, (section or "documentation").upper()))
    return fields


def merge(into: dict[str, t.Any], fields: t.Mapping[str, t.Any]) -> None:
    """Add what is not there yet, at every level."""
    for name, value in fields.items():
        if name not in into:
            into[name] = value
        elif isinstance(into[name], dict) and isinstance(value, dict):
            merge(into[name], value)


def runtime() -> dict[str, t.Any]:
    fields: dict[str, t.Any] = load_yaml((ROOT / "meta" / "runtime.yml").read_text(encoding="utf-8"))
    return fields


@functools.cache
def playbook_names() -> tuple[str, ...]:
    """Return the playbooks as `lifeboat.recovery` names them: `site`, `dr.database_corruption`."""
    folder = ROOT / "playbooks"
    paths = [path for path in files() if path.suffix in (".yml", ".yaml") and path.is_relative_to(folder)]
    playbooks = [path for path in paths if isinstance(load_yaml(path.read_text(encoding="utf-8")), list)]
    names = (path.relative_to(folder).with_suffix("").parts for path in playbooks)
    return tuple(sorted(".".join(parts) for parts in names if "tasks" not in parts[:-1]))
