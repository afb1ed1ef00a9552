# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import subprocess
import typing as t
import zipfile
from pathlib import Path

import collection_root
import pytest
import sent_modules
import virtualenvs
from gate_checks import development

_NAME = "ansible_collections.lifeboat.recovery.plugins.module_utils._engine.clock"
_PROGRAM = """
import sys
sys.path.insert(0, {archive!r})
print("ssl" in sys.modules, [name for name in sys.modules if name.startswith("ansible_collections")])
import {name} as found
print(found.__file__)
sys.exit(7)
"""


@pytest.fixture(scope="module")
def interpreter() -> t.Iterator[Path]:
    collection = collection_root.linked() / collection_root.PLACE
    with sent_modules.interpreter(collection, virtualenvs.variables(development())) as found:
        yield found


def ran(interpreter: Path, folder: Path, archive: str) -> subprocess.CompletedProcess[str]:
    program = folder / "program.py"
    program.write_text(_PROGRAM.format(archive=archive, name=_NAME))
    return subprocess.run([interpreter, program], capture_output=True, text=True, check=False)


def test_a_module_has_what_was_sent_and_what_others_wrote(interpreter: Path, tmp_path: Path) -> None:
    archive = tmp_path / "sent.zip"
    source = collection_root.CHECKOUT / "plugins" / "module_utils" / "_engine" / "clock.py"
    folder = Path(*_NAME.split(".")[:-1])
    with zipfile.ZipFile(archive, "w") as written:
        for place in (folder, *list(folder.parents)[:-1]):
            written.writestr(str(place / "__init__.py"), "")
        written.writestr(str(folder / "clock.py"), source.read_bytes())
    ended = ran(interpreter, tmp_path, str(archive))
    assert ended.stdout.splitlines() == ["True []", str(archive / folder / "clock.py")], ended.stderr
    assert ended.returncode == 7


def test_a_module_does_not_find_what_was_not_sent(interpreter: Path, tmp_path: Path) -> None:
    ended = ran(interpreter, tmp_path, str(tmp_path / "nothing.zip"))
    assert ended.returncode == 1
    assert "ModuleNotFoundError: No module named 'ansible_collections" in ended.stderr


def test_what_no_module_is_has_a_whole_interpreter(interpreter: Path, tmp_path: Path) -> None:
    command = tmp_path / "command"
    with zipfile.ZipFile(command, "w") as written:
        written.writestr("__main__.py", "import sys; print('fork_server' in sys.modules, sys.argv[1:])")
    for words in ([str(command), "-x"], ["-c", "import sys; print('fork_server' in sys.modules, sys.argv[1:])", "-x"]):
        ended = subprocess.run([interpreter, *words], capture_output=True, text=True, check=False)
        assert (ended.returncode, ended.stdout) == (0, "False ['-x']\n"), ended.stderr
