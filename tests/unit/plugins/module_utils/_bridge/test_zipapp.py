# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import ast
import io
import pathlib
import random
import signal
import subprocess
import sys
import zipfile

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils import _engine
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge import zipapp
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import LifeboatError

ENGINE = pathlib.Path(_engine.__path__[0])
COLLECTION = ENGINE.parents[2]


@pytest.fixture(scope="module")
def data():
    return zipapp.build(sys.executable)


@pytest.fixture
def command(tmp_path, data):
    path = tmp_path / "lifeboat"
    path.write_bytes(data)
    path.chmod(0o755)
    return path


def members(data):
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {member.filename: archive.read(member) for member in archive.infolist()}


def test_the_file_runs_and_says_what_it_is(command, data):
    said = subprocess.run([command, "--version"], capture_output=True, text=True, check=True).stdout
    assert said == f"lifeboat {zipapp.current_version()} (sha256 {zipapp.digest(data)})\n"


@pytest.mark.parametrize("other", [b"", b"#!/bin/sh\n" + bytes(1_000_000)])
def test_a_run_goes_on_with_its_own_file_when_another_takes_its_place(data, tmp_path, other):
    """An upgrade comes between what the command imports at its start and what it imports later."""
    entry = "import os, sys\ndef main():\n os.replace(*sys.argv[1::-1])\n from . import late\n return late.CODE\n"
    path = tmp_path / "lifeboat"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("__main__.py", members(data)["__main__.py"])
        archive.writestr("lifeboat/__init__.py", b"")
        archive.writestr("lifeboat/host/__init__.py", b"")
        archive.writestr("lifeboat/host/cli.py", entry)
        archive.writestr("lifeboat/host/late.py", b"CODE = 23")
    (tmp_path / "new").write_bytes(other)
    argv = [sys.executable, path, tmp_path / "new"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (23, "")
    assert path.read_bytes() == other


def test_the_version_is_that_of_the_collection(data):
    galaxy = (COLLECTION / "galaxy.yml").read_text()
    assert f"\nversion: {zipapp.version_in(data)}\n" in galaxy


def test_the_file_needs_nothing_but_itself(command, tmp_path):
    """Every module in it can be imported by an interpreter that knows no other folder than the standard library's."""
    code = (
        "import sys, zipfile, importlib\n"
        "path = sys.argv[1]\n"
        "found = [name for name in zipfile.ZipFile(path).namelist() if name.endswith('.py') and name[0] != '_']\n"
        "names = [name[:-3].replace('/', '.') for name in found]\n"
        "sys.path.insert(0, path)\n"
        "for name in names: importlib.import_module(name.removesuffix('.__init__'))\n"
        "print(len(names))\n"
    )
    argv = [sys.executable, "-I", "-S", "-c", code, str(command)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.stderr == ""
    assert int(done.stdout) > 50


def test_members_are_the_sources_byte_by_byte(data):
    for name, content in members(data).items():
        if name != "__main__.py" and name.endswith(".py"):
            assert content == (ENGINE / name.split("/", 1)[1]).read_bytes(), name


def test_every_source_has_its_bytecode_and_that_is_what_runs(data, tmp_path):
    """A file whose sources fail runs all the same, as long as the interpreter is the one that it was made for."""
    found = members(data)
    names = [name for name in found if name.endswith(".py") and name != "__main__.py"]
    assert {f"{name}c" for name in names} == {name for name in found if name.endswith(".pyc")}
    path = tmp_path / "lifeboat"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in found.items():
            archive.writestr(name, b"raise ZeroDivisionError" if name in names else content)
    done = subprocess.run([sys.executable, path, "--version"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_bytecode_of_another_python_is_left_alone(data, tmp_path):
    path = tmp_path / "lifeboat"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members(data).items():
            archive.writestr(name, b"\0\0\r\n" + content[4:] if name.endswith(".pyc") else content)
    done = subprocess.run([sys.executable, path, "--version"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_an_interpreter_that_is_not_there_costs_the_bytecode_alone(data, tmp_path):
    found = members(zipapp.build(str(tmp_path / "python3")))
    assert found == {name: content for name, content in members(data).items() if not name.endswith(".pyc")}


def test_the_same_sources_are_the_same_bytes_in_whatever_order_they_are_found(data, monkeypatch):
    imports = zipapp._imports

    def shuffled(module, source):
        found = list(imports(module, source))
        random.Random(7).shuffle(found)  # noqa: S311
        return iter(found)

    monkeypatch.setattr(zipapp, "_imports", shuffled)
    assert zipapp.build(sys.executable) == data


def test_nothing_in_the_file_depends_on_time_or_host(data):
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        found = archive.infolist()
    assert {member.date_time for member in found} == {(1980, 1, 1, 0, 0, 0)}
    assert {member.compress_type for member in found} == {zipfile.ZIP_STORED}
    assert {member.create_system for member in found} == {3}
    assert [member.filename for member in found] == sorted(member.filename for member in found)


def test_the_first_line_names_the_interpreter(data):
    assert data.startswith(f"#!{sys.executable}\n".encode())
    assert zipapp.build("/usr/bin/env python3").startswith(b"#!/usr/bin/env python3\n")


def test_the_end_of_main_is_the_exit_code():
    last = ast.parse(zipapp._MAIN).body[-1]
    assert ast.unparse(last) == "raise SystemExit(main())"


def test_who_ends_it_while_it_is_loaded_gets_no_traceback(data, tmp_path):
    (tmp_path / "lifeboat").write_bytes(data)
    script = """
import os, runpy, signal, sys

class Ending:
    def find_spec(self, name, *_more):
        if name == "lifeboat.host.cli":
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Ending())
runpy.run_path(sys.argv[1], run_name="__main__")
"""
    words = [sys.executable, "-c", script, str(tmp_path / "lifeboat")]
    ended = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stderr) == (-signal.SIGINT, "")


def test_an_old_python_is_told_so_and_not_shown_a_traceback():
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.version_info = (3, 8, 18)\n{zipapp._MAIN}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("lifeboat needs Python 3.9 or later")
    assert "Remedy: " in done.stderr


def test_imports_inside_of_functions_and_of_whole_parts_are_followed():
    source = b"from . import identity\nfrom .. import clock as c\ndef f():\n    from ..s3.client import S3Client\n"
    found = set(zipapp._imports("repository.bucket", source))
    assert found == {"repository.identity", "clock", "s3.client"}


def test_a_source_that_is_missing_is_a_failure(monkeypatch):
    monkeypatch.setattr(zipapp, "_imports", lambda _module, _source: iter(["host.gone"]))
    with pytest.raises(LifeboatError, match="the source of host.gone cannot be read"):
        zipapp.build(sys.executable)


@pytest.mark.parametrize("other", [b"", b"#!/bin/sh\necho lifeboat\n", b"PK\x03\x04" + b"\0" * 100])
def test_other_files_have_no_version(other):
    assert zipapp.version_in(other) == ""


def test_a_cut_file_has_no_version(data):
    assert zipapp.version_in(data[: len(data) // 2]) == ""
