# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Renders CHANGELOG.md for the version in galaxy.yml: its fragments, and the modules and roles that came with it."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import collection_root
import virtualenvs
from cache import CHECKOUT, SetupError
from run import variables


def main() -> None:
    """Render in a copy, where the tool finds the modules, and bring the result back. Raises SetupError."""
    environment = virtualenvs.ensure(virtualenvs.DEVELOPMENT, sys.stderr)
    with tempfile.TemporaryDirectory(prefix="lifeboat-changelog-") as folder:
        root = Path(folder)
        copy = collection_root.copied(root)
        values = variables(environment, root)
        argv = [str(environment / "bin" / "antsibull-changelog"), "release", "--update-existing", "--reload-plugins"]
        done = subprocess.run(argv, cwd=copy, env=values, check=False)
        if done.returncode != 0:
            raise SetupError(f"antsibull-changelog ended with {done.returncode}")
        for name in ("CHANGELOG.md", "changelogs/changelog.yaml"):
            shutil.copyfile(copy / name, CHECKOUT / name)
        for fragment in (CHECKOUT / "changelogs" / "fragments").glob("*.y*ml"):
            if not (copy / fragment.relative_to(CHECKOUT)).exists():
                fragment.unlink()  # the changelog has it now


if __name__ == "__main__":
    try:
        main()
    except SetupError as failure:
        raise SystemExit(f"Cannot render the changelog: {failure}") from None
