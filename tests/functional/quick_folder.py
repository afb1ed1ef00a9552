# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

_MEMORY = Path("/dev/shm")
_ROOM = 2 * 1024**3  # bytes


def quick_folder(prefix: str) -> Path:
    """Make a folder for servers under test, in memory where there is room: what is tested is not the disk, and much of
    the time would go to files that come and go.

    Not pytest's own: they are closed to the user that PostgreSQL runs as, and their paths are too long for a socket.
    """
    is_there = _MEMORY.is_dir() and os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free > _ROOM
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=_MEMORY if is_there else "/tmp"))
    folder.chmod(0o755)
    return folder
