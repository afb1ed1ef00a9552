# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which part of the code may know which other part."""

from __future__ import annotations

import ast
import pathlib
import sys
import typing as t

import pytest
from ansible_collections.lifeboat.recovery.tests.unit.contracts import collection

# Each part may import itself and what stands below it; parts of one line do not know each other, but for the last line.
LAYERS = (
    ("host",),
    ("verify",),
    ("objects", "postgres"),
    ("minio",),
    ("repository",),
    ("stream",),
    ("s3",),
    ("errors", "clock", "child", "steps"),
)
RANK = {part: number for number, layer in enumerate(LAYERS) for part in layer}
LIBRARIES = frozenset(("psycopg2", "zstandard", "backports", "boto3", "botocore", "cryptography", "argon2"))
STANDARD = frozenset(sys.stdlib_module_names) if sys.version_info >= (3, 10) else frozenset()
CHILDREN = frozenset(("subprocess", "multiprocessing", "pty", "asyncio"))
CHILD_CALLS = ("os.system", "os.popen", "os.fork", "os.exec", "os.spawn", "os.posix_spawn", "os.forkpty")
# One becomes another user in a copy of this process, the others share work that Python does on one core only; they run
# no program. child.py is for programs.
FORKS = ("host/parallel_runs.py", "host/run_as.py", "objects/mirror_processes.py", "objects/worker_processes.py")
CLOCK_CALLS = ("datetime.now", "datetime.utcnow", "datetime.today", "date.today", "formatdate", "localtime")


class Import(t.NamedTuple):
    line: int
    level: int  # dots
    name: str  # `repository.store`, without the dots


def imports(tree: ast.AST) -> t.Iterator[Import]:
    """Yield what a source imports; of `from a import b` both `a` and `a.b`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(node.lineno, 0, alias.name)
        elif isinstance(node, ast.ImportFrom):
            base = [node.module] if node.module else []
            for alias in node.names:
                yield Import(node.lineno, node.level, ".".join([*base, alias.name]))


def engine_problems(path: str, source: str) -> list[str]:
    """Return what is wrong with the imports of an engine file; `path` is relative to the engine."""
    place = pathlib.PurePosixPath(path).with_suffix("").parts
    problems = []
    for found in imports(collection.tree(source)):
        where = f"{path}:{found.line}"
        first = found.name.partition(".")[0]
        if found.level == 0:
            if first in ("ansible", "ansible_collections"):
                problems.append(f"{where} imports {found.name}: the engine knows no Ansible, and itself relatively")
            elif first not in STANDARD | LIBRARIES:
                problems.append(f"{where} imports {found.name}: neither of Python's library nor one of {LIBRARIES}")
            continue
        if found.level > len(place):
            problems.append(f"{where} leaves the engine")
            continue
        target = [*place[: len(place) - found.level], *found.name.split(".")]
        problems += layer_problems(where, place[0], target[0])
    return problems


def layer_problems(where: str, part: str, target: str) -> list[str]:
    unknown = [f"{where}: {name} is in no layer" for name in (part, target) if name not in RANK]
    if unknown or part == target:
        return unknown
    is_lowest = RANK[part] == RANK[target] == len(LAYERS) - 1
    return [] if RANK[part] < RANK[target] or is_lowest else [f"{where}: {part} may not know {target}"]


def only_place_problems(path: str, source: str) -> list[str]:
    """Return where a source uses children or a clock though it is not the place for that."""
    tree = collection.tree(source)
    banned: dict[str, frozenset[str]] = {}
    calls: dict[str, tuple[str, ...]] = {}
    if path != "child.py":
        banned["children belong to child.py"] = CHILDREN
        calls["children belong to child.py"] = CHILD_CALLS
    if path != "clock.py":
        banned["time belongs to clock.py"] = frozenset(("time", "sched"))
        calls["time belongs to clock.py"] = CLOCK_CALLS
    problems = []
    for why, names in banned.items():
        found = [each for each in imports(tree) if each.level == 0 and each.name.partition(".")[0] in names]
        problems += [f"{path}:{each.line} imports {each.name}: {why}" for each in found]
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if path in FORKS and called == "os.fork":
                continue
            for why, endings in calls.items():
                if any(_is_call_of(called, ending) for ending in endings):
                    problems.append(f"{path}:{node.lineno} calls {called}: {why}")
    return problems


def _is_call_of(called: str, name: str) -> bool:
    if name.startswith("os."):
        return called.startswith(name)
    return called == name or called.endswith(f".{name}")


def every(check: t.Callable[[str, str], list[str]]) -> list[str]:
    """Return what a check says about all files of the engine."""
    found = collection.python_files(collection.ENGINE)
    assert len(found) > 50, "the engine was not found"
    sources = ((path.relative_to(collection.ENGINE).as_posix(), path.read_text(encoding="utf-8")) for path in found)
    return [problem for path, source in sources if source for problem in check(path, source)]


def test_the_engine_imports_no_ansible_and_only_what_its_layer_allows():
    assert every(engine_problems) == []


def test_only_one_file_starts_children_and_only_one_asks_for_the_time():
    assert every(only_place_problems) == []


def test_modules_know_the_bridge_and_nothing_of_ansible_but_its_module_utils():
    allowed = ("ansible.module_utils.", f"ansible_collections.{collection.NAMESPACE}plugins.module_utils.")
    for path in collection.python_files(collection.MODULES):
        for found in imports(collection.parsed(path)):
            first = found.name.partition(".")[0]
            is_ours = found.level == 0 and (first in STANDARD or found.name.startswith(allowed))
            assert is_ours, f"{collection.relative(path)}:{found.line} imports {found.name}"


def test_the_bridge_knows_the_engine_and_not_the_other_way_round():
    bridge = collection.PLUGINS / "module_utils" / "_bridge"
    for path in collection.python_files(bridge):
        for found in imports(collection.parsed(path)):
            text = f"{collection.relative(path)}:{found.line} imports {found.name}"
            if found.level == 0:
                assert found.name.partition(".")[0] in STANDARD or found.name.startswith("ansible.module_utils."), text
            else:
                assert found.level == 1 or found.name.partition(".")[0] == "_engine", text


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("s3/client.py", "from ansible.module_utils.basic import AnsibleModule"),
        ("s3/client.py", "import ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors"),
        ("s3/client.py", "def late():\n    import requests"),
        ("s3/client.py", "from ..repository import store"),
        ("s3/client.py", "from .. import repository"),
        ("s3/client.py", "from ..repository.store import Store"),
        ("stream/pipeline.py", "from ..repository import layout"),
        ("repository/publish.py", "from ..postgres.dump import Dump"),
        ("postgres/dump.py", "from ..objects import index"),
        ("postgres/dump.py", "from ..verify import content"),
        ("verify/content.py", "from ..host import place"),
        ("errors.py", "from .s3 import client"),
        ("errors.py", "from .._bridge import run"),
        ("repository/store.py", "from ..helpers import words"),
    ],
)
def test_an_import_against_the_rules_is_found(path, source):
    assert engine_problems(path, source)


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("host/backup_run.py", "from ..repository import catalog\nfrom .place import Place\nimport typing as t"),
        ("minio/bucket.py", "from ..repository.store import Store"),
        ("s3/client.py", "from .. import clock\nfrom ..errors import LifeboatError\nimport http.client"),
        ("child.py", "from .errors import LifeboatError\nfrom .steps import reached"),
    ],
)
def test_an_import_by_the_rules_is_let_pass(path, source):
    assert engine_problems(path, source) == []


@pytest.mark.parametrize(
    "source",
    [
        "import subprocess",
        "from subprocess import Popen",
        "def late():\n    import multiprocessing.pool",
        "import os\nos.system('true')",
        "import os\nos.execv('/bin/true', [])",
        "import time",
        "from time import sleep",
        "import datetime as dt\ndt.datetime.now()",
        "import datetime\ndatetime.datetime.utcnow()",
        "from datetime import date\ndate.today()",
        "import email.utils\nemail.utils.formatdate()",
    ],
)
def test_a_second_place_for_children_or_time_is_found(source):
    assert only_place_problems("s3/client.py", source)
    assert only_place_problems("stream/clock.py", source), "only the files beside errors.py are those places"


@pytest.mark.parametrize("path", FORKS)
def test_only_the_files_that_become_another_user_or_share_work_may_fork(path):
    assert only_place_problems(path, "import os\nos.fork()") == []
    assert only_place_problems(path, "import os\nos.execv('/bin/true', [])")
    assert only_place_problems("host/cli.py", "import os\nos.fork()")


def test_asking_the_store_for_its_clock_is_let_pass():
    assert only_place_problems("repository/publish.py", "moment = self.store.now()\nclock.now()") == []
