# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import re
import shutil
import tempfile
from pathlib import Path

FOLDER = Path("/dev/shm")
_MEMINFO = Path("/proc/meminfo")
_ROOM = 4 * 1024**3  # bytes


def quick_parent() -> str:
    """Return a folder for what comes and goes: in memory where there is room, else the usual one.

    What is tested writes through to the disk all the time: a core would wait for the disk three quarters of the time.
    """
    if "TMPDIR" in os.environ or not has_room():
        return tempfile.gettempdir()
    is_for_programs = not os.statvfs(FOLDER).f_flag & os.ST_NOEXEC
    return str(FOLDER) if is_for_programs else tempfile.gettempdir()


def has_room() -> bool:
    """Say whether the folder in memory is there and takes enough that memory has too.

    It may be allowed to hold more than there is, and then some process would be killed that needs memory.
    """
    if not os.access(FOLDER, os.W_OK | os.X_OK):
        return False
    available = re.search(r"^MemAvailable: +([0-9]+) kB$", _MEMINFO.read_text(encoding="ascii"), re.MULTILINE)
    return min(shutil.disk_usage(FOLDER).free, int(available[1]) * 1024 if available else 0) > _ROOM
