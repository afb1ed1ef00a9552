# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Backups come back in a bare place: a root with Python's standard library, libcrypto and libzstd, without network and
without Lifeboat, from the files of a repository and the code that was printed."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import typing as t
from pathlib import Path

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository import rescue_files
from ansible_collections.lifeboat.recovery.tests.functional.postgres_fixtures import MAJORS, PostgresServer, postgres
from ansible_collections.lifeboat.recovery.tests.unit.fixtures.golden_keyring.write import FILES

__all__ = ["postgres"]
GOLDEN = Path(__file__).resolve().parents[1] / "unit" / "fixtures" / "golden_keyring"
# Where Debian and its kin have the interpreter of the system and its library; packages lie elsewhere (dist-packages).
_PYTHON = Path("/usr/bin/python3").resolve()
_LIBRARY = Path("/usr/lib") / _PYTHON.name
_LEFT_OUT = (
    "test",
    "idlelib",
    "tkinter",
    "lib2to3",
    "ensurepip",
    "pydoc_data",
    "dist-packages",
    "site-packages",
    "config-*",
)
_LOADED = ("libcrypto.so.3", "libcrypto.so.1.1", "libzstd.so.1")


def _libraries() -> set[Path]:
    """Return the shared libraries of the interpreter, of its modules, and those that the decryptor loads."""
    asked = [_PYTHON, *sorted((_LIBRARY / "lib-dynload").glob("*.so"))]
    said = subprocess.run(["ldd", *map(str, asked)], capture_output=True, text=True, check=False).stdout
    found = {Path(name) for name in re.findall(r"(/\S+\.so\S*) \(", said)}
    known = subprocess.run(["/sbin/ldconfig", "-p"], capture_output=True, text=True, check=True).stdout
    for name in _LOADED:
        found |= {Path(path) for path in re.findall(rf"{re.escape(name)} .*=> (\S+)", known)[:1]}
    needed = subprocess.run(["ldd", *map(str, found)], capture_output=True, text=True, check=False).stdout
    return found | {Path(name) for name in re.findall(r"(/\S+\.so\S*) \(", needed)}


class Bare:
    """A root in which there is nothing but an interpreter."""

    def __init__(self, folder: Path) -> None:
        self.root = folder
        (folder / "usr" / "bin").mkdir(parents=True)
        shutil.copy(_PYTHON, folder / "usr" / "bin" / "python3")
        shutil.copytree(
            _LIBRARY, folder / str(_LIBRARY).lstrip("/"), ignore=shutil.ignore_patterns(*_LEFT_OUT, "__pycache__")
        )
        for library in _libraries():
            target = folder / str(library).lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(library.resolve(), target)
        for name in ("etc", "tmp", "root"):
            (folder / name).mkdir()

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run the interpreter in the root, in a network of its own in which there is nothing."""
        outside = ["unshare", "--net", *([] if os.geteuid() == 0 else ["--map-root-user"])]
        return subprocess.run(
            [*outside, "chroot", str(self.root), "/usr/bin/python3", *command],
            env={"PATH": "/usr/sbin:/usr/bin", "LC_ALL": "C.UTF-8", "HOME": "/root"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    def rescue(self, *arguments: str) -> str:
        done = self.run("/repository/RESCUE/rescue.py", "--code-file", "/root/code", *arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Bare:
    made = Bare(tmp_path_factory.mktemp("bare"))
    shutil.copytree(GOLDEN / "repository", made.root / "repository")
    for key, data in rescue_files.files().items():
        (made.root / "repository" / key).write_bytes(data)
    shutil.copy(GOLDEN / "code", made.root / "root" / "code")
    return made


def test_the_place_is_bare(bare: Bare) -> None:
    for module in ("ansible", "ansible_collections", "cryptography", "zstandard", "boto3", "psycopg2"):
        done = bare.run("-c", f"import {module}")
        assert done.returncode == 1 and "ModuleNotFoundError" in done.stderr
    network = "import socket; socket.create_connection(('127.0.0.1', 22), 2)"
    assert "Network is unreachable" in bare.run("-c", network).stderr
    assert sorted(os.listdir(bare.root / "usr" / "bin")) == ["python3"]


def test_files_are_back(bare: Bare) -> None:
    bare.rescue("restore", "db1-etc", "latest", "/root/etc")
    (root,) = (path for path in (bare.root / "root" / "etc").iterdir() if path.is_dir())
    found = {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}
    assert found == {name.replace("\n", "%0A").replace("\udce4", "%E4"): data for name, data in FILES.items()}


def test_a_database_is_back_and_can_be_loaded(bare: Bare, postgres: t.Callable[[int], PostgresServer]) -> None:
    bare.rescue("restore", "db1-shop", "latest", "/root/shop")
    folder = bare.root / "root" / "shop"
    (manifest,) = (GOLDEN / "repository" / "manifests" / "db1-shop").glob("*.json")
    wanted = {each["name"]: each["plain_sha256"] for each in json.loads(manifest.read_bytes())["files"]}
    assert hashlib.sha256((folder / "database.dump").read_bytes()).hexdigest() == wanted["database.dump.zst.enc"]
    server = postgres(MAJORS[0])
    login = {"PGHOST": str(server.socket_dir), "PGPORT": str(server.port), "PGUSER": server.user}
    try:
        server.sql("CREATE ROLE shop_owner NOLOGIN")
        subprocess.run(
            [server.bin_dir / "pg_restore", "--create", "--exit-on-error", "-d", "postgres", folder / "database.dump"],
            env={**os.environ, **login},
            check=True,
        )
        assert server.sql("SELECT count(*), min(id), max(id), min(note) FROM sales.orders", "shop") == (
            "40|1|40|order 1\twith a tab, a line\nbreak and an ä"
        )
    finally:
        server.sql("DROP DATABASE IF EXISTS shop")
        server.sql("DROP ROLE IF EXISTS shop_owner")


def test_without_libzstd_files_are_left_for_the_program(bare: Bare) -> None:
    hidden = list(bare.root.rglob("libzstd.so*"))
    kept = {path: path.read_bytes() for path in hidden}
    for path in hidden:
        path.unlink()
    try:
        assert "zstd -d" in bare.rescue("restore", "db1-shop", "latest", "/root/compressed")
    finally:
        for path, data in kept.items():
            path.write_bytes(data)
    names = sorted(path.name for path in (bare.root / "root" / "compressed").iterdir())
    assert names == ["database.dump.zst", "globals.sql.zst"]
