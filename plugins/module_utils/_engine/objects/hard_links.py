# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import hashlib
import os
import stat

from .rows import order


class HardLinks:
    """The files with several names that a listing came upon."""

    def __init__(self) -> None:
        self._first: dict[tuple[int, int], str] = {}  # by device and inode
        self._promised: dict[str, str] = {}  # first name: a later one that was described as a link to it

    def clear(self) -> None:
        """Forget all: a new listing begins."""
        self._first.clear()
        self._promised.clear()

    def first_of(self, key: str, facts: os.stat_result, is_listing: bool = True) -> str | None:
        """Return the first name, or None for a file that has one only, or whose first name is `key`."""
        if facts.st_nlink < 2 or not stat.S_ISREG(facts.st_mode):
            return None
        identity = (facts.st_dev, facts.st_ino)
        first = self._first.setdefault(identity, key) if is_listing else self._first.get(identity, key)
        return None if first == key else first

    def promise(self, first: str, later: str) -> None:
        """Remember that `later` was described as a link to `first`, which must be there then."""
        self._promised[first] = later

    def promised(self, first: str) -> str | None:
        """Return a later name that was described as a link to `first`."""
        return self._promised.get(first)


def link_mark(first: str, facts: os.stat_result) -> str:
    """Return what the etag of a later name ends with: it tells the first name and the size of the file."""
    return ">" + hashlib.sha256(f"{facts.st_size}/".encode() + order(first)).hexdigest()[:16]
