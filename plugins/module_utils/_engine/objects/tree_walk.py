# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import os
import stat
import typing as t

from .rows import order
from .tree_names import directory_beside, file_beside, parts_of

# Links are refused at every step; O_PATH needs the right to pass through a directory, not to list it.
_PASS = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
LISTING = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_OPEN_LEVELS = 64  # directories above the present one that stay open; others are opened anew when they go on


class Found(t.NamedTuple):
    """What a walk came upon."""

    key: str
    facts: os.stat_result
    is_listable: bool = True  # False for a directory that we may not read


class Chooser(t.Protocol):
    """Decides about a walk."""

    def takes(self, key: str, facts: os.stat_result) -> bool:
        """Say whether this is part of the listing; a directory that is none is not entered either."""

    def enters(self, key: str, facts: os.stat_result) -> bool:
        """Say whether a directory that was taken is entered."""


def open_root(path: str) -> int:
    """Open the directory where a tree begins; the only place where links are followed, as the operator named it."""
    return os.open(order(path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def descend(root: int, names: t.Sequence[bytes]) -> int:
    """Open a directory below `root`, for passing through only. Links are not followed.

    Raises FileNotFoundError, NotADirectoryError (for links, too) and other OSError.
    """
    at = os.dup(root)
    for name in names:
        try:
            below = os.open(name, _PASS, dir_fd=at)
        finally:
            os.close(at)
        at = below
    return at


@contextlib.contextmanager
def directory_of(root: int, names: t.Sequence[bytes]) -> t.Iterator[tuple[int, bytes]]:
    """Yield the open directory of a path below `root`, and the last name; `.` for the root itself."""
    at = descend(root, names[:-1])
    try:
        yield at, (names[-1] if names else b".")
    finally:
        os.close(at)


def place_now(root: int, names: t.Sequence[str]) -> list[str]:
    """Return the names under which a file that should have `names` would be written, by what is there (`TreeWriter`).

    Raises OSError.
    """
    at, actual = os.dup(root), list(names)
    try:
        for depth, name in enumerate(names[:-1]):
            if not stat.S_ISDIR(os.stat(order(name), dir_fd=at, follow_symlinks=False).st_mode):
                actual[depth] = directory_beside(name)
            below = os.open(order(actual[depth]), _PASS, dir_fd=at)
            os.close(at)
            at = below
        if stat.S_ISDIR(os.stat(order(names[-1]), dir_fd=at, follow_symlinks=False).st_mode):
            actual[-1] = file_beside(names[-1])
    except FileNotFoundError:  # from there on nothing stands in the way
        pass
    finally:
        os.close(at)
    return actual


def walk(root: int, chooser: Chooser) -> t.Iterator[Found]:
    """List a tree in the order of `rows.order`, beginning with the root itself, whose key is empty.

    A directory comes as itself, and what it holds later where the bytes say: `a`, `a.b`, `a/b`, `a0`. Names of one
    directory per level are held in memory. What vanishes meanwhile is left out. Raises OSError when a directory cannot
    be read, but for the lack of rights.
    """
    facts = os.fstat(root)
    yield Found("", facts)
    if not chooser.enters("", facts):
        return
    way = [_Level(b"", os.open(b".", LISTING, dir_fd=root))]
    try:
        while way:
            name = way[-1].next_name()
            if name is None:
                way.pop().close()
                if way and not way[-1].is_open:
                    way[-1].reopen(root)
            elif name.endswith(b"/"):
                below = way[-1].enter(name)
                if below is not None:
                    way.append(below)
                if len(way) > _OPEN_LEVELS:
                    way[-_OPEN_LEVELS - 1].close()
            else:
                found = way[-1].look_at(name, chooser)
                if found is not None:
                    yield found
    finally:
        for level in way:
            level.close()


class _Level:
    """A directory on the way from the root to where a walk is."""

    def __init__(self, above: bytes, at: int) -> None:
        self._above = above  # key of the directory with a slash; empty for the root
        self._at = at
        facts = os.fstat(at)
        self._identity = (facts.st_dev, facts.st_ino)
        try:
            self._names = _names_backwards(at)
        except BaseException:
            self.close()
            raise
        self._not_entered: set[bytes] = set()

    @property
    def is_open(self) -> bool:
        return self._at >= 0

    def close(self) -> None:
        if self._at >= 0:
            os.close(self._at)
        self._at = -1

    def next_name(self) -> bytes | None:
        return self._names.pop() if self._names else None

    def enter(self, name: bytes) -> _Level | None:
        if name in self._not_entered:
            return None
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            return _Level(self._above + name, os.open(name[:-1], LISTING, dir_fd=self._at))
        return None

    def look_at(self, name: bytes, chooser: Chooser) -> Found | None:
        key = (self._above + name).decode("utf-8", "surrogateescape")
        try:
            facts = os.stat(name, dir_fd=self._at, follow_symlinks=False)
        except FileNotFoundError:
            return None
        if not stat.S_ISDIR(facts.st_mode):
            return Found(key, facts) if chooser.takes(key, facts) else None
        is_taken = chooser.takes(key, facts)
        is_listable = not is_taken or self._is_listable(name)
        if not is_taken or not is_listable or not chooser.enters(key, facts):
            self._not_entered.add(name + b"/")
        return Found(key, facts, is_listable) if is_taken else None

    def _is_listable(self, name: bytes) -> bool:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            try:
                os.close(os.open(name, LISTING, dir_fd=self._at))
            except PermissionError:
                return False
        return True

    def reopen(self, root: int) -> None:
        """Go on where the walk was before it went deep; what was moved away meanwhile counts as vanished."""
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            above = descend(root, parts_of(self._above[:-1].decode("utf-8", "surrogateescape")))
            facts = os.fstat(above)
            if (facts.st_dev, facts.st_ino) == self._identity:
                self._at = above
                return
            os.close(above)
        self._names = []


def _names_backwards(at: int) -> list[bytes]:
    """Return the names in a directory, last one first, and those of directories with a slash as well."""
    names = []
    with os.scandir(at) as entries:
        for entry in entries:
            name = os.fsencode(entry.name)
            names.append(name)
            if entry.is_dir(follow_symlinks=False):
                names.append(name + b"/")
    names.sort(reverse=True)
    return names
