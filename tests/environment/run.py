# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs a command as the gates do: in the development environment, with the collection and the servers importable.

python3 tests/environment/run.py pytest tests/unit -k manifest
python3 tests/environment/run.py ansible-playbook …
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import collection_root
import virtualenvs
from cache import CHECKOUT, SetupError, cache_folder


def variables(environment: Path, root: Path) -> dict[str, str]:
    """Return the variables for commands that use the virtual environment and the collection below `root`."""
    kept = virtualenvs.variables(environment)
    if root.is_relative_to(cache_folder()):  # another one is a copy, which nobody comes back to
        kept.pop("PYTHONDONTWRITEBYTECODE", None)  # each of many processes would compile what it imports
        kept["PYTHONPYCACHEPREFIX"] = str(cache_folder() / "bytecode")  # the checkout stays clean
    return {
        **kept,
        "ANSIBLE_COLLECTIONS_PATH": str(root),
        "ANSIBLE_HOME": str(cache_folder() / "ansible"),
        "ANSIBLE_NOCOLOR": "1",
        "NO_COLOR": "1",
        "PYTHONPATH": os.pathsep.join([str(root), str(CHECKOUT / "tests" / "environment")]),
    }


def main(command: list[str]) -> None:
    """Become the command. Raises SetupError."""
    environment = virtualenvs.ensure(virtualenvs.DEVELOPMENT, sys.stderr)
    values = variables(environment, collection_root.linked())
    os.environ["PATH"] = values["PATH"]
    try:
        os.execvpe(command[0], command, values)
    except OSError as error:
        raise SetupError(f"{command[0]}: {error.strerror}") from error


if __name__ == "__main__":
    if len(sys.argv) < 2:
        raise SystemExit("usage: run.py COMMAND [ARGUMENT…]")
    try:
        main(sys.argv[1:])
    except SetupError as failure:
        raise SystemExit(f"Cannot run {sys.argv[1]}: {failure}") from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
