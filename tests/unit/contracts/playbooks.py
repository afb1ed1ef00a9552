# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the playbooks of the collection say of themselves: their variables and tags."""

from __future__ import annotations

import functools
import pathlib
import re
import typing as t

from ansible_collections.lifeboat.recovery.tests.unit.contracts import collection

_NAME = r"(?<![\w.-])lifeboat_[a-z0-9_]+"
# They are of every playbook, or of the inventory and not of one playbook.
EVERYWHERE = frozenset(("lifeboat_hosts", "lifeboat_run_as"))


def path_of(name: str) -> pathlib.Path:
    """Return the file of a playbook such as `dr.database_corruption`."""
    return collection.ROOT.joinpath("playbooks", *name.split(".")).with_suffix(".yml")


@functools.cache
def documented_variables(name: str = "") -> frozenset[str]:
    """Return the variables that the head of a playbook explains; without a name, those of all."""
    if not name:
        return frozenset(each for known in collection.playbook_names() for each in documented_variables(known))
    head = re.match(r"---\n((?:#.*\n)*)", path_of(name).read_text(encoding="utf-8"))
    lines = re.findall(rf"^#\s+({_NAME}(?:, {_NAME})*)\s", head[1] if head else "", re.MULTILINE)
    return frozenset(name for line in lines for name in line.split(", "))


@functools.cache
def variables_of_the_inventory() -> frozenset[str]:
    """Return all variables `lifeboat_…` that playbooks and roles read."""
    folders = [collection.ROOT / name for name in ("playbooks", "roles")]
    sources = [path for path in collection.files() if path.suffix == ".yml" and set(folders) & set(path.parents)]
    return frozenset(name for path in sources for name in re.findall(_NAME, path.read_text(encoding="utf-8")))


@functools.cache
def tags() -> frozenset[str]:
    """Return the tags of all playbooks and roles."""
    folders = [collection.ROOT / name for name in ("playbooks", "roles")]
    sources = [path for path in collection.files() if path.suffix == ".yml" and set(folders) & set(path.parents)]
    documents = (
        collection.load_yaml(path.read_text(encoding="utf-8")) for path in sources if "templates" not in path.parts
    )
    return frozenset(tag for document in documents for tag in _tags(document))


def _tags(value: t.Any) -> t.Iterator[str]:
    if isinstance(value, dict):
        found = value.get("tags", [])
        yield from [found] if isinstance(found, str) else found if isinstance(found, list) else []
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else []:
        yield from _tags(each)
