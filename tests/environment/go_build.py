# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Builds programs with Go, without what only debuggers read: the linker would leave it out, and to write it takes a
fifth of the compiler's time.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from cache import SetupError

_FLAGS = ("-gcflags=all=-dwarf=false", "-ldflags")
_STRIPPED = "-s -w"


def install(go: str, package: str, target: Path, linked: str = "") -> None:
    """Build a main package, named with its version, as `target`; `linked` goes to the linker. Raises SetupError."""
    folder = target.parent / "bin"
    _run([go, "install", *_FLAGS, f"{_STRIPPED} {linked}".strip(), package], {"GOBIN": str(folder)})
    name = package.partition("@")[0].rpartition("/")[2]
    (folder / name).rename(target)


def build(go: str, module: str, version: str, packages: tuple[str, ...], target: Path) -> None:
    """Build the program whose entry is `Main` of the first package, with the others in it. Raises SetupError.

    All are paths in a module. What a program of many parts would bring along beside them is not built.
    """
    folder = target.parent / "sources"
    folder.mkdir()
    entry, *parts = (f"{module}/{package}" for package in packages)
    imports = "".join(f'\t_ "{part}"\n' for part in parts)
    (folder / "main.go").write_text(
        f'package main\n\nimport (\n\tentry "{entry}"\n{imports})\n\nfunc main() {{\n\tentry.Main()\n}}\n',
        encoding="ascii",
    )
    (folder / "go.mod").write_text(f"module lifeboat\n\ngo 1.21\n\nrequire {module} {version}\n", encoding="ascii")
    _run([go, "build", "-mod=mod", *_FLAGS, _STRIPPED, "-o", str(target), "."], {}, folder)


def _run(command: list[str], variables: dict[str, str], cwd: Path | None = None) -> None:
    done = subprocess.run(
        command,
        env={**os.environ, **variables, "GOFLAGS": "", "CGO_ENABLED": "0"},
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        said = " / ".join(done.stdout.strip().splitlines()[-3:])
        raise SetupError(f"go {command[1]} {command[-1]} ended with {done.returncode}: {said}")
