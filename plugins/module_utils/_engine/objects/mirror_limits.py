# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import threading

from .. import clock

_BURST_S = 0.25  # how much of a second's bytes may go out at once


class Bandwidth:
    """A token bucket that all threads share: on average no more than so many bytes per second; 0 is no limit."""

    def __init__(self, bytes_per_s: int) -> None:
        self._rate = bytes_per_s
        self._lock = threading.Lock()
        self._free_at = 0.0  # when what was taken so far has been paid for

    def take(self, size: int) -> None:
        """Wait until `size` more bytes may be moved."""
        if not self._rate:
            return
        with self._lock:
            now = clock.monotonic()
            begin = max(self._free_at, now - _BURST_S)
            self._free_at = begin + size / self._rate
            pause = self._free_at - now
        if pause > 0:
            clock.sleep(pause)


class Memory:
    """A number of bytes that all threads together may hold; a single piece may be bigger than all of it."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._taken = 0
        self._changed = threading.Condition()

    def take(self, size: int) -> None:
        """Wait until `size` more bytes may be held."""
        with self._changed:
            self._changed.wait_for(lambda: self._taken == 0 or self._taken + size <= self._most_bytes)
            self._taken += size

    def give_back(self, size: int) -> None:
        """Hold `size` bytes less."""
        with self._changed:
            self._taken -= size
            self._changed.notify_all()
