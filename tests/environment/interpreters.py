# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import glob
import os
import shutil
import subprocess
import sys
import typing as t
from pathlib import Path

from cache import SetupError

CONTROLLER_MINORS = (11, 12, 13)  # Python 3.x on which the pinned ansible-core runs
_SYSTEM = "/usr/bin"
_PROBE = "import sys, venv, ensurepip; print(sys.version_info[1], sys.base_prefix == sys.prefix)"


def candidates(minor: int) -> t.Iterator[str]:
    """Yield the paths where a Python 3.`minor` may lie: the system's own, on PATH, among the versions of pyenv and uv.

    Distributions build theirs with profiles, which makes it a quarter faster than what pyenv builds by default.
    """
    name = f"python3.{minor}"
    for folder in (_SYSTEM, *os.environ.get("PATH", os.defpath).split(os.pathsep)):
        yield os.path.join(folder, name)
    roots = [os.environ.get("PYENV_ROOT", ""), os.path.expanduser("~/.pyenv"), "/opt/pyenv", "/usr/local/pyenv"]
    patterns = [f"{root}/versions/3.{minor}.*/bin/{name}" for root in roots if root]
    patterns.append(os.path.expanduser(f"~/.local/share/uv/python/cpython-3.{minor}.*/bin/{name}"))
    for pattern in patterns:
        yield from sorted(glob.glob(pattern))


def find(minor: int) -> Path | None:
    """Return a real, complete Python 3.`minor`, or None. Shims that stand on PATH and only fail are passed over."""
    for path in candidates(minor):
        if not os.access(path, os.X_OK):
            continue
        probe = subprocess.run([path, "-c", _PROBE], capture_output=True, text=True, check=False)
        if probe.returncode == 0 and probe.stdout.split() == [str(minor), "True"]:
            return _without_shim(path)
    return None


def _without_shim(path: str) -> Path:
    """Return the binary itself: a shim picks another version when the working folder changes."""
    code = "import sys; print(sys.executable)"
    said = subprocess.run([path, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    return Path(os.path.realpath(said))


def controller() -> Path:
    """Return the Python that the environments are made with. Raises SetupError.

    It is LIFEBOAT_PYTHON, else the first that the pinned ansible-core supports.
    """
    chosen = os.environ.get("LIFEBOAT_PYTHON")
    if chosen:
        found = shutil.which(chosen)
        if found is None:
            raise SetupError(f"LIFEBOAT_PYTHON names {chosen}, which cannot be run.")
        return _without_shim(found)
    for minor in CONTROLLER_MINORS:
        path = find(minor)
        if path is not None:
            return path
    wanted = ", ".join(f"3.{minor}" for minor in CONTROLLER_MINORS)
    raise SetupError(
        f"No Python of {wanted} with the modules venv and ensurepip was found (this is {sys.version.split()[0]}).\n"
        "Remedy: install one (Debian: apt-get install python3 python3-venv), or name it in LIFEBOAT_PYTHON."
    )
