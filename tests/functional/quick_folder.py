# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import tempfile
from pathlib import Path

import memory


def quick_folder(prefix: str) -> Path:
    """Make a folder for servers under test, in memory where there is room: what is tested is not the disk, and much of
    the time would go to files that come and go.

    Not pytest's own: they are closed to the user that PostgreSQL runs as, and their paths are too long for a socket.
    """
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=memory.FOLDER if memory.has_room() else "/tmp"))
    folder.chmod(0o755)
    return folder
