# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where the tests of this process lock their jobs: not where real jobs of this machine do, and other tests."""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import tempfile


@functools.cache
def lock_folder() -> str:
    """Return a folder that every user may write to, like the one for real locks; it goes with this process."""
    folder = tempfile.mkdtemp(prefix="lbt-locks-", dir="/tmp")
    os.chmod(folder, 0o1777)
    atexit.register(_remove, folder, os.getpid())
    return folder


def _remove(folder: str, owner: int) -> None:
    if os.getpid() == owner:  # a fork that ends like a program would take it away from the others
        shutil.rmtree(folder)
