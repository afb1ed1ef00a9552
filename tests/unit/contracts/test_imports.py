# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a module brings along: Ansible sends all that it imports, directly or not, and hosts compile it each time."""

from __future__ import annotations

import ast
import pathlib
import typing as t

import pytest
from ansible_collections.lifeboat.recovery.tests.unit.contracts import collection

MODULE_UTILS = collection.PLUGINS / "module_utils"
FILTERS = collection.PLUGINS / "filter"
MOST_FILES_OF_THE_COMMAND = 150
MOST_FILES_OF_FILTERS = 20
PREFIX = ("ansible_collections", "lifeboat", "recovery", "plugins")
# Files of the bridge and the engine that a module may bring along. Before a number is raised: does the module use what
# came with the new import? A type that only annotations name, or a constant, can lie in a small file of its own.
MOST_FILES = {
    "backup_command": 342,  # it brings the host command, which is everything
    "backup_copy": 140,
    "backup_delete": 90,
    "backup_hold": 90,
    "backup_info": 90,
    "backup_keyring": 80,
    "backup_keyring_info": 100,
    "backup_lock": 100,
    "backup_notify": 30,
    "backup_prune": 100,
    "backup_recovery_key": 80,
    "backup_repository": 80,
    "backup_repository_info": 90,
    "backup_set": 345,
    "backup_set_restore": 345,
    "backup_verify": 180,
    "bucket_backup": 190,
    "bucket_restore": 150,
    "files_backup": 190,
    "files_restore": 150,
    "minio_access_key": 30,
    "minio_access_key_info": 30,
    "minio_backup": 210,
    "minio_bucket": 40,
    "minio_bucket_info": 40,
    "minio_group": 30,
    "minio_group_info": 30,
    "minio_policy": 30,
    "minio_policy_info": 30,
    "minio_restore": 210,
    "minio_user": 30,
    "minio_user_info": 30,
    "object_history": 90,
    "pg_backup": 160,
    "pg_backup_role": 20,
    "pg_login_role": 20,
    "pg_restore": 170,
    "recovery_record": 80,
    "recovery_record_info": 80,
    "s3_mirror": 120,
    "s3_presign": 60,
}

Graph = t.Mapping[str, t.AbstractSet[str]]


def imported(path: pathlib.Path, nodes: t.Iterable[ast.AST]) -> set[str]:
    """Return the files of module_utils that these statements of a file import, by their paths below the plugins."""
    package = path.relative_to(collection.PLUGINS).parent.parts
    found = set()
    for node in nodes:
        if not isinstance(node, ast.ImportFrom):
            continue
        words = (node.module or "").split(".") if node.module else []
        if node.level:
            place = collection.PLUGINS.joinpath(*package[: len(package) - node.level + 1], *words)
        elif tuple(words[: len(PREFIX)]) == PREFIX:
            place = collection.PLUGINS.joinpath(*words[len(PREFIX) :])
        else:
            continue
        files = [place.with_suffix(".py"), *(place / f"{alias.name}.py" for alias in node.names)]
        found |= {file.relative_to(collection.PLUGINS).as_posix() for file in files if file.is_file()}
    return found


def brought_along(graph: Graph, path: str) -> set[str]:
    """Return all that a file leads to, without the file itself."""
    found: set[str] = set()
    waiting = [path]
    while waiting:
        waiting += (new := graph[waiting.pop()] - found)
        found |= new
    return found


def in_circles(graph: Graph) -> list[str]:
    """Return the files that import themselves by way of others."""
    return sorted(path for path in graph if path in brought_along(graph, path))


@pytest.fixture(scope="module")
def sent():
    """What each file imports wherever in it: Ansible sends it, whether it is ever executed or not."""
    return {
        path.relative_to(collection.PLUGINS).as_posix(): imported(path, ast.walk(collection.parsed(path)))
        for folder in (collection.MODULES, MODULE_UTILS)
        for path in collection.python_files(folder)
    }


@pytest.mark.parametrize("name", collection.module_names())
def test_a_module_brings_along_little_that_it_does_not_use(name, sent):
    files = brought_along(sent, f"modules/{name}.py")
    assert len(files) <= MOST_FILES[name], sorted(files)


def test_every_limit_is_that_of_a_module():
    assert sorted(MOST_FILES) == collection.module_names()


def test_no_file_imports_itself_so_that_any_of_them_can_be_the_first():
    graph = {
        path.relative_to(collection.PLUGINS).as_posix(): imported(path, collection.parsed(path).body)
        for path in collection.python_files(MODULE_UTILS)
    }
    assert len(graph) > 50 and any(graph.values())
    assert in_circles(graph) == []


@pytest.mark.parametrize("name", sorted(path.stem for path in collection.python_files(FILTERS)))
def test_a_filter_loads_little_before_it_is_used(name):
    """Ansible loads all filters of a collection to find one, anew for each task that uses one, without bytecode."""
    graph = {
        path.relative_to(collection.PLUGINS).as_posix(): imported(path, collection.parsed(path).body)
        for folder in (FILTERS, MODULE_UTILS)
        for path in collection.python_files(folder)
    }
    files = brought_along(graph, f"filter/{name}.py")
    assert len(files) <= MOST_FILES_OF_FILTERS, sorted(files)


def test_the_host_command_loads_little_before_it_knows_what_is_to_be_done():
    """Lists and the status are looked at often, also by monitoring: what only runs need takes longer than they do."""
    graph = {
        path.relative_to(collection.PLUGINS).as_posix(): imported(path, collection.parsed(path).body)
        for path in collection.python_files(MODULE_UTILS)
    }
    files = brought_along(graph, "module_utils/_engine/host/cli.py")
    assert len(files) <= MOST_FILES_OF_THE_COMMAND, sorted(files)


def test_what_is_imported_in_any_way_is_brought_along():
    source = "from ..s3 import client\nif x:\n    from .store import Store\ndef f():\n    from ..._bridge import run\n"
    path = MODULE_UTILS / "_engine" / "repository" / "bucket.py"
    assert imported(path, ast.walk(ast.parse(source))) == {
        "module_utils/_engine/s3/client.py",
        "module_utils/_engine/repository/store.py",
        "module_utils/_bridge/run.py",
    }
    module = f"from {'.'.join(PREFIX)}.module_utils._bridge import run as bridge\nimport json\n"
    found = imported(collection.MODULES / "pg_backup.py", ast.walk(ast.parse(module)))
    assert found == {"module_utils/_bridge/run.py"}


def test_circles_are_found():
    graph = {"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a"}}
    assert in_circles(graph) == ["b", "c"]
    assert brought_along(graph, "d") == {"a", "b", "c"}
