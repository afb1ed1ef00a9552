# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import os
import stat
import threading
import typing as t

from . import file_properties as fp
from .directory_notes import DirectoryNotes
from .target import Written
from .tree_names import shown
from .tree_writer import TreeWriter

_MOST_REMARKS = 1_000


class LastRemarks:
    """Remarks of the end of a collection: the first 1,000, and how many more there are."""

    def __init__(self) -> None:
        self._first: list[str] = []
        self._more = 0

    def add(self, words: str) -> None:
        if len(self._first) < _MOST_REMARKS:
            self._first.append(words)
        else:
            self._more += 1

    def list(self) -> t.Sequence[str]:
        return [*self._first, *([f"and {self._more} more"] if self._more else [])]


class RestoredTree:
    """What a target knows of one directory while it writes there."""

    def __init__(self, path: str, directory_mode: int) -> None:
        self.path = path
        self.notes = DirectoryNotes()
        self.leftovers: list[str] = []
        self._beside: dict[str, str] = {}  # where it lies: where it should
        self._lock = threading.Lock()
        self.writer = TreeWriter(path, directory_mode, self._touch)

    def close(self) -> None:
        """Give the directory back, and forget what was noted."""
        self.notes.close()
        self.writer.close()

    def _touch(self, names: t.Sequence[str], at: int) -> None:
        self.notes.touch(names, lambda: os.fstat(at).st_mtime_ns)

    def placed(self, wanted: t.Sequence[str], there: t.Sequence[str], remarks: tuple[str, ...]) -> Written:
        """Return where something lies, and remember it where that is not its place."""
        key = "/".join(there)
        with self._lock:
            if list(there) != list(wanted):
                self._beside[key] = "/".join(wanted)
            else:
                self._beside.pop(key, None)
        return written_as(wanted, there, remarks)

    def is_beside(self, key: str) -> bool:
        """Say whether what lies there, or below, was written by us beside its place."""
        with self._lock:
            return any(each == key or each.startswith(f"{key}/") for each in self._beside)

    def move_home(self, remarks: LastRemarks) -> None:
        """Give what lies under another name its own, now that what stood in the way may be gone."""
        for key, wanted in self._beside.items():
            names = key.split("/")
            with contextlib.suppress(OSError):
                if self.writer.move(names, wanted.split("/")):
                    remarks.add(f"{shown(wanted)}: it lies under its own name after all, no more as {shown(key)}")
                    for depth in range(len(names) - 1, 0, -1):
                        self.writer.remove_directory(names[:depth])
        self._beside.clear()

    def give_times_back(self) -> None:
        """Make the changes of names durable, and undo what they did to the times of directories."""
        for names, changed_ns in self.notes.times():
            with contextlib.suppress(FileNotFoundError, NotADirectoryError, PermissionError):
                self.writer.sync(names)

                def settle(descriptor: int, moment: int = changed_ns) -> tuple[str, ...]:
                    os.utime(fp.handle(descriptor), ns=(moment, moment))
                    return ()

                self.writer.settle(names, settle, lambda facts: stat.S_ISDIR(facts.st_mode))


def written_as(wanted: t.Sequence[str], there: t.Sequence[str], remarks: tuple[str, ...] = ()) -> Written:
    """Return where something lies that was to lie under the names `wanted`."""
    if list(there) != list(wanted):
        remarks = (*remarks, "something else stands where it should lie")
    return Written("/".join(there), remarks)
