# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which plugins one has to import so that all of them have been imported.

ansible-test's import test begins anew for every file, so it compiles the whole engine once per file of the engine. No
file imports itself by way of others (tests/unit/contracts/test_imports.py), so each of them can be the first one;
whether it can be imported at all shows where somebody imports it.
"""

from __future__ import annotations

import ast
import typing as t
from pathlib import Path

import collection_root

_COLLECTION = (*collection_root.PLACE.parts, "plugins")


def import_roots(plugins: Path) -> list[str]:
    """Return the fewest Python files below the folder that import, directly or not, all others, as relative paths."""
    files = sorted(plugins.rglob("*.py"), key=lambda path: (path.name == "__init__.py", path))
    imported = {path: _imported(path, plugins) for path in files}
    by_others = {each for path, found in imported.items() for each in found if each != path}
    roots: list[Path] = []
    reached: set[Path] = set()
    # Files that nobody imports come first; what is left then, if anything, imports itself in a circle.
    for path in [*(path for path in imported if path not in by_others), *imported]:
        if path not in reached:
            roots.append(path)
            _reach(path, imported, reached)
    return [path.relative_to(plugins).as_posix() for path in sorted(roots)]


def _reach(path: Path, imported: t.Mapping[Path, set[Path]], reached: set[Path]) -> None:
    waiting = [path]
    while waiting:
        each = waiting.pop()
        if each not in reached:
            reached.add(each)
            waiting.extend(imported[each])


def _imported(path: Path, plugins: Path) -> set[Path]:
    """Return the files that importing a file imports for certain: those that its outermost statements name."""
    package = [*_COLLECTION, *path.relative_to(plugins).parent.parts]
    found = set()
    for statement in ast.parse(path.read_bytes()).body:
        if isinstance(statement, ast.Import):
            names = [alias.name.split(".") for alias in statement.names]
        elif isinstance(statement, ast.ImportFrom):
            base = package[: len(package) - statement.level + 1] if statement.level else []
            base = [*base, *(statement.module or "").split(".")] if statement.module else base
            names = [[*base, alias.name] for alias in statement.names]
        else:
            continue
        found |= {file for name in names for file in _files(name, plugins)}
    return found


def _files(name: t.Sequence[str], plugins: Path) -> t.Iterator[Path]:
    """Yield the files of a dotted name: the module, or the one that has it as an attribute, and the packages above."""
    inside = tuple(name[: len(_COLLECTION)]) == _COLLECTION
    place = plugins
    for word in name[len(_COLLECTION) :] if inside else ():
        place = place / word
        for file in (place.with_suffix(".py"), place / "__init__.py"):
            if file.is_file():
                yield file
