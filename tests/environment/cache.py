# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
import typing as t
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
STATE = CHECKOUT / ".lifeboat"  # git-ignored: logs of the gates, links to the environments


class SetupError(Exception):
    """A part of the environment cannot be had; the text says what was tried and what to do."""


def cache_folder() -> Path:
    """Return the folder that keeps what is slow to make: environments, binaries, caches of the gates."""
    chosen = os.environ.get("LIFEBOAT_CACHE")
    home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(chosen) if chosen else Path(home) / "lifeboat"


def shared_cache_folder() -> Path:
    """Return a cache folder that other users can read: PostgreSQL, which refuses root, must find its programs there."""
    folder = cache_folder()
    if os.geteuid() != 0 or is_open_to_all(folder):
        return folder
    return Path("/var/cache/lifeboat")


def is_open_to_all(folder: Path) -> bool:
    """Say whether every user can walk into `folder`; parts that do not exist yet count as open."""
    present = [part for part in (folder, *folder.parents) if part.exists()]
    return all(part.stat().st_mode & 0o001 for part in present)


@contextlib.contextmanager
def lock(path: Path) -> t.Iterator[None]:
    """Hold an exclusive lock beside `path`: two runs on one machine share the cache. Ends with the process."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(path.name + ".lock").open("w", encoding="utf-8") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def build_once(target: Path, build: t.Callable[[Path], None]) -> Path:
    """Return the file or folder `target`, made by `build` if it is not there.

    `build` gets another path in the same folder and fills it; only a complete result is renamed to `target`, so an
    interrupted run leaves nothing that is taken for good.
    """
    with lock(target):
        if not target.exists():
            for leftover in target.parent.glob(f"{target.name}.part-*"):
                shutil.rmtree(leftover, ignore_errors=True)
            with tempfile.TemporaryDirectory(prefix=f"{target.name}.part-", dir=target.parent) as part:
                os.chmod(part, 0o755)
                made = Path(part) / target.name
                build(made)
                made.rename(target)
    return target
