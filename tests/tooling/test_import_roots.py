# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import collection_root
import pytest
from cache import CHECKOUT
from import_roots import import_roots

_ENGINE = "ansible_collections.lifeboat.recovery.plugins.module_utils"


@pytest.fixture
def plugins(tmp_path: Path) -> Path:
    for package in ("module_utils", "module_utils/part"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").touch()
    (tmp_path / "modules").mkdir()
    return tmp_path


def write(plugins: Path, name: str, *lines: str) -> None:
    (plugins / name).write_text("".join(f"{line}\n" for line in lines))


@pytest.mark.parametrize(
    "line",
    [
        f"from {_ENGINE}.part import tool",
        f"from {_ENGINE}.part.tool import work",
        f"import {_ENGINE}.part.tool",
        "from ..module_utils.part import tool",
        "from ..module_utils.part.tool import work",
    ],
)
def test_what_another_file_imports_is_no_root(plugins: Path, line: str) -> None:
    write(plugins, "module_utils/part/tool.py", "from . import other", "from .second import *")
    write(plugins, "module_utils/part/other.py", "import json")
    write(plugins, "module_utils/part/second.py")
    write(plugins, "modules/make.py", line)
    assert import_roots(plugins) == ["modules/make.py"]


@pytest.mark.parametrize("guard", ["if t.TYPE_CHECKING:", "def later():", "try:"])
def test_what_may_not_be_imported_is_a_root(plugins: Path, guard: str) -> None:
    end = ["except ImportError:", "    pass"] if guard == "try:" else []
    write(plugins, "module_utils/part/tool.py", guard, "    from . import other", *end)
    write(plugins, "module_utils/part/other.py")
    assert "module_utils/part/other.py" in import_roots(plugins)


def test_of_a_circle_one_is_a_root(plugins: Path) -> None:
    write(plugins, "module_utils/part/a.py", "from . import b")
    write(plugins, "module_utils/part/b.py", "from . import a")
    assert import_roots(plugins) == ["module_utils/part/a.py"]


def test_importing_the_roots_of_the_collection_imports_every_plugin() -> None:
    plugins = CHECKOUT / "plugins"
    prefix = ".".join((*collection_root.PLACE.parts, "plugins"))
    dotted = [f"{prefix}.{name[:-3].replace('/', '.')}" for name in import_roots(plugins)]
    code = "import importlib, json, sys\nfor name in json.load(sys.stdin): importlib.import_module(name)\n"
    code += f"print(json.dumps([m.__file__ for n, m in sys.modules.items() if n.startswith({prefix!r})]))"
    environment = {"PYTHONPATH": str(collection_root.linked())}
    said = subprocess.run(
        [sys.executable, "-c", code],
        input=json.dumps(dotted),
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    known = {str(Path(file).resolve()) for file in json.loads(said) if file}
    assert {str(path.resolve()) for path in plugins.rglob("*.py")} - known == set()
