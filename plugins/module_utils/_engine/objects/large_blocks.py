# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # malloc.h of glibc
_LARGE = 3 * 1024 * 1024  # bytes; frames of 2 MiB, which come and go by the thousand, are less
_UNUSED = 16 * 1024 * 1024  # bytes at the end of the heap that are kept for what comes next: a few frames


def give_back_large_blocks() -> None:
    """Let the C library give blocks of 3 MiB and more back to the system as soon as they are free, and use the memory
    of smaller ones again, whichever thread had them.

    By default glibc raises the first limit to the size of what was freed, and keeps an arena per thread (mallopt(3)):
    twenty threads that pass chunks of megabytes on to each other then hold twice what is in use. With a lower limit
    every frame would lie in pages of its own, and the system spends as much time on fresh pages as zstd on compressing.
    Other C libraries are left as they are.
    """
    with contextlib.suppress(AttributeError, OSError):
        library = ctypes.CDLL(None)
        library.mallopt(_M_ARENA_MAX, 1)
        library.mallopt(_M_MMAP_THRESHOLD, _LARGE)
        library.mallopt(_M_TRIM_THRESHOLD, _UNUSED)
