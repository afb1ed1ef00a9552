# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import re
import shutil
import tempfile
from pathlib import Path

_MEMORY = Path("/dev/shm")
_MEMINFO = Path("/proc/meminfo")
_ROOM = 4 * 1024**3  # bytes


def quick_folder(prefix: str) -> Path:
    """Make a folder for servers under test, in memory where there is room: what is tested is not the disk, and much of
    the time would go to files that come and go.

    Not pytest's own: they are closed to the user that PostgreSQL runs as, and their paths are too long for a socket.
    """
    is_there = _MEMORY.is_dir() and os.access(_MEMORY, os.W_OK) and _room() > _ROOM
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=_MEMORY if is_there else "/tmp"))
    folder.chmod(0o755)
    return folder


def _room() -> int:
    """Return how many bytes the folder takes that memory has too.

    It may be allowed to hold more than there is, and then some process would be killed that needs memory.
    """
    available = re.search(r"^MemAvailable: +([0-9]+) kB$", _MEMINFO.read_text(encoding="ascii"), re.MULTILINE)
    return min(shutil.disk_usage(_MEMORY).free, int(available[1]) * 1024 if available else 0)
