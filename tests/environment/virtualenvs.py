# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import typing as t
from pathlib import Path

import interpreters
from cache import STATE, SetupError, cache_folder, lock

REQUIREMENTS = Path(__file__).resolve().parent / "requirements"
DEVELOPMENT = "development"
IMPORTER = "importer"
OLDEST_CORE = "oldest-core"
_COMPLETE = ".complete"  # written last: an environment without it was interrupted


def path_of(name: str, python: Path) -> Path:
    """Return where the environment `name` lies: another pin, or another Python, is another environment."""
    pins = (REQUIREMENTS / f"{name}.txt").read_bytes()
    version = subprocess.run([python, "-VV"], capture_output=True, check=True).stdout
    key = hashlib.sha256(b"\0".join([pins, version, os.fsencode(python)])).hexdigest()[:16]
    return cache_folder() / "environments" / f"{name}-{key}"


def ensure(name: str, output: t.IO[str] | None = None) -> Path:
    """Return the environment `name` (a file of requirements/), made if need be; pip speaks to `output`.

    The files pin every package, so that pip need not resolve anything. An environment cannot be renamed (its scripts
    hold its path): a marker that is written last tells a complete one. Raises SetupError.
    """
    python = interpreters.controller()
    folder = path_of(name, python)
    with lock(folder):
        if not (folder / _COMPLETE).exists():
            shutil.rmtree(folder, ignore_errors=True)
            _run([python, "-m", "venv", folder], output)
            pip = [folder / "bin" / "python", "-m", "pip", "--disable-pip-version-check"]
            install = ["install", "--quiet", "--no-deps", "--no-compile", "-r", REQUIREMENTS / f"{name}.txt"]
            _run([*pip, *install], output)
            _run([*pip, "check"], output)
            (folder / _COMPLETE).touch()
    return folder


def _run(argv: list[t.Any], output: t.IO[str] | None) -> None:
    command = [str(word) for word in argv]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, check=False)
    if done.returncode != 0:
        raise SetupError(f"{' '.join(command)} ended with {done.returncode}: see its output.")


def link(folder: Path) -> None:
    """Point .lifeboat/venv of the checkout to the environment, for people and editors."""
    STATE.mkdir(exist_ok=True)
    aside = STATE / f"venv.{os.getpid()}"
    aside.symlink_to(folder)
    aside.replace(STATE / "venv")


def variables(folder: Path) -> dict[str, str]:
    """Return this process's variables with the environment in front, as `activate` would set them."""
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONHOME", "PYTHONPATH")}
    return {**kept, "VIRTUAL_ENV": str(folder), "PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"}


def main(names: list[str]) -> None:
    """Make the named environments, by default the one for development, and print where they are."""
    for name in names or [DEVELOPMENT]:
        folder = ensure(name, sys.stderr)
        if name == DEVELOPMENT:
            link(folder)
        print(folder)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except SetupError as error:
        raise SystemExit(f"Cannot make the virtual environment: {error}") from None
