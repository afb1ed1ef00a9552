# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import ctypes

_M_MMAP_THRESHOLD = -3  # malloc.h of glibc
_THRESHOLD = 512 * 1024  # bytes


def give_back_large_blocks() -> None:
    """Let the C library give blocks of 512 KiB and more back to the system as soon as they are free.

    By default glibc raises that limit to the size of what was freed (mallopt(3), M_MMAP_THRESHOLD), and keeps such
    blocks in an arena per thread. Twenty threads that pass chunks of megabytes on to each other then hold twice what
    is in use. Other C libraries are left as they are.
    """
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _THRESHOLD)
