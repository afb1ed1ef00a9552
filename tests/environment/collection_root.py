# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Puts the collection where ansible looks for one: below `<root>/ansible_collections/lifeboat/recovery`."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from cache import CHECKOUT, SetupError, cache_folder

PLACE = Path("ansible_collections", "lifeboat", "recovery")


def linked() -> Path:
    """Return a root whose collection is a link to this checkout: what is edited is what runs.

    It lies outside of the checkout, so that no tool walks in circles.
    """
    key = hashlib.sha256(os.fsencode(CHECKOUT)).hexdigest()[:16]
    root = cache_folder() / "roots" / key
    place = root / PLACE
    place.parent.mkdir(parents=True, exist_ok=True)
    aside = place.with_name(f"{place.name}.{os.getpid()}")
    aside.symlink_to(CHECKOUT, target_is_directory=True)
    aside.replace(place)
    return root


def copied(root: Path) -> Path:
    """Copy the collection below `root` and return its folder, a git work tree of its own.

    ansible-test and the build see exactly what a commit would hold: what git tracks and what it would not ignore.
    """
    place = root / PLACE
    place.mkdir(parents=True)
    for name in _files():
        source = CHECKOUT / name
        if not source.is_symlink() and not source.is_file():
            continue  # deleted, and not committed yet
        target = place / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, target, follow_symlinks=False)
    _git(place, "init", "--quiet")
    _git(place, "add", "--all")
    return place


def _files() -> list[str]:
    listed = _git(CHECKOUT, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    return [name for name in listed.split("\0") if name]


def _git(folder: Path, *words: str) -> str:
    command = ["git", "-c", f"safe.directory={folder}", "-C", str(folder), *words]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise SetupError("git is not on PATH.\nRemedy: install it.") from None
    if done.returncode != 0:
        raise SetupError(f"git {words[0]} in {folder} ended with {done.returncode}: {done.stderr.strip()}")
    return done.stdout


if __name__ == "__main__":
    if len(sys.argv) > 2:
        raise SystemExit("usage: collection_root.py [FOLDER]: print a linked root, or the place of a copy below FOLDER")
    print(copied(Path(sys.argv[1]).resolve()) if len(sys.argv) == 2 else linked())
