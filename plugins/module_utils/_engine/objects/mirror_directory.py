# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import errno
import os
import stat
import typing as t

from ..errors import GuardRefusal, LifeboatError
from ..s3.object_properties import ObjectProperties
from . import file_properties as fp
from .mirror_guards import Location
from .mirror_sides import QUARANTINE, Subject
from .rows import Item
from .source import ChangedError, ObjectError, VanishedError
from .tree_names import is_temporary, parts_of, shown
from .tree_walk import directory_of, open_root, walk

_CHUNK = 1024 * 1024  # bytes read at once
_OPENING = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_GONE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
# Where the next file would fail as well.
_BROKEN = (
    errno.EDQUOT,
    errno.EIO,
    errno.EMFILE,
    errno.ENFILE,
    errno.ENOMEM,
    errno.ENOSPC,
    errno.ENOTCONN,
    errno.EROFS,
    errno.ESTALE,
)


@contextlib.contextmanager
def explained(problem: str) -> t.Iterator[None]:
    """Turn errors of the operating system into those of one object, unless they concern all."""
    try:
        yield
    except OSError as error:
        words = error.strerror or str(error)
        if error.errno in _BROKEN:
            raise LifeboatError(problem, words, "look at its file system, and run again") from error
        raise (VanishedError if error.errno in _GONE else ObjectError)(problem, words) from error


class DirectorySide:
    """The regular files of a directory, as any side of a mirror. Links are never followed, but for the path itself.

    `Item.etag` is `<inode>-<change time in ns>`, and `Item.modified` the time of the last change of the bytes in ns.
    """

    def __init__(self, location: Location, left_out: t.Sequence[str] = ()) -> None:
        self.location = location
        self._root = -1
        self._apart = tuple(f"{prefix.rstrip('/')}/" for prefix in (QUARANTINE, *left_out))
        self._others = 0  # links, devices … that the last listing came upon

    @property
    def root(self) -> int:
        """Return the directory, open from the first look at it to the last. Raises LifeboatError."""
        if self._root < 0:
            try:
                self._root = open_root(self.location.path)
            except OSError as error:
                raise self._refusal(error) from error
        return self._root

    def _refusal(self, error: OSError) -> LifeboatError:
        remedy = "mount it if it is a mount point, or correct the path"
        return LifeboatError(f"Cannot use {shown(self.location.path)}", error.strerror or str(error), remedy)

    def close(self) -> None:
        """Give the directory back."""
        if self._root >= 0:
            os.close(self._root)
            self._root = -1

    def items(self, *, is_compared: bool = True) -> t.Iterator[Item]:
        """List the files in the order of their keys; the quarantine and what is left out take no part."""
        problem = f"Cannot list {shown(self.location.path)}"
        self._others = 0
        try:
            for found in walk(self.root, self):
                if not found.is_listable:
                    raise LifeboatError(
                        problem, f"{shown(found.key)} cannot be read", "run this as a user who may read all of it"
                    )
                if stat.S_ISREG(found.facts.st_mode):
                    yield self.item(found.key, found.facts)
                elif not stat.S_ISDIR(found.facts.st_mode):
                    self._others += 1
        except OSError as error:
            raise LifeboatError(problem, error.strerror or str(error), "look at its file system") from error

    def takes(self, key: str, facts: os.stat_result) -> bool:
        """Say whether something takes part."""
        return f"{key}/" not in self._apart and not is_temporary(key.rpartition("/")[2])

    def enters(self, key: str, facts: os.stat_result) -> bool:
        """Say whether a directory is entered."""
        return True

    @staticmethod
    def item(key: str, facts: os.stat_result) -> Item:
        return Item(key, facts.st_size, f"{facts.st_ino}-{facts.st_ctime_ns}", str(facts.st_mtime_ns))

    @contextlib.contextmanager
    def opened(self, key: str) -> t.Iterator[tuple[int, os.stat_result]]:
        """Open a regular file, and yield the descriptor with what `fstat` says of it, when a later change must show.

        Raises VanishedError.
        """
        problem = f"Cannot read {shown(key)}"
        with explained(problem), directory_of(self.root, parts_of(key)) as (at, name):
            descriptor = os.open(name, _OPENING, dir_fd=at)
        try:
            facts = os.fstat(descriptor)
            if not stat.S_ISREG(facts.st_mode):
                raise VanishedError(problem, "it is no regular file any more")
            fp.let_settle(facts)
            with explained(problem):
                yield descriptor, facts
        finally:
            os.close(descriptor)

    def chunks(self, item: Item) -> t.Iterator[bytes]:
        """Yield the bytes of exactly this file."""
        with self.opened(item.key) as (descriptor, facts):
            self._confirm(item, facts)
            left = item.size
            while left:
                chunk = os.pread(descriptor, min(_CHUNK, left), item.size - left)
                if not chunk:
                    break
                left -= len(chunk)
                yield chunk
            self._confirm(item, os.fstat(descriptor))

    def _confirm(self, item: Item, facts: os.stat_result) -> None:
        if self.item(item.key, facts) != item:
            raise ChangedError(f"Cannot read {shown(item.key)}", "it is not the one that was listed any more")


class DirectorySource(DirectorySide):
    """A directory that is mirrored."""

    def _refusal(self, error: OSError) -> LifeboatError:
        plain = super()._refusal(error)
        return GuardRefusal("source", plain.problem, plain.cause, plain.remedy)

    def has(self, key: str) -> bool:
        """Say whether there is such a file now."""
        try:
            with directory_of(self.root, parts_of(key)) as (at, name):
                return stat.S_ISREG(os.stat(name, dir_fd=at, follow_symlinks=False).st_mode)
        except ValueError:  # it is no path
            return False
        except OSError as error:
            if error.errno in _GONE or error.errno == errno.ENAMETOOLONG:
                return False
            raise LifeboatError(f"Cannot look at {shown(key)}", error.strerror or str(error)) from error

    def describe(self, item: Item) -> Subject:
        """Look at a file and its properties."""
        with self.opened(item.key) as (descriptor, facts):
            return self._subject(item.key, descriptor, facts)

    def read_whole(self, item: Item) -> tuple[Subject, bytes]:
        """Read a small file at once, of one state. Raises ChangedError."""
        with self.opened(item.key) as (descriptor, facts):
            subject = self._subject(item.key, descriptor, facts)
            data = b"".join(self._pieces(descriptor, 0, min(facts.st_size, item.size + _CHUNK)))
            if len(data) != facts.st_size:
                raise ChangedError(f"Cannot read {shown(item.key)}", "it was written to meanwhile")
            self._confirm(subject.item, os.fstat(descriptor))
            return subject, data

    def read_range(self, subject: Subject, offset: int, length: int) -> bytes:
        """Return bytes of exactly this state of a file."""
        with self.opened(subject.item.key) as (descriptor, facts):
            self._confirm(subject.item, facts)
            data = b"".join(self._pieces(descriptor, offset, length))
            self._confirm(subject.item, os.fstat(descriptor))
            return data

    @staticmethod
    def _pieces(descriptor: int, offset: int, length: int) -> t.Iterator[bytes]:
        end = offset + length
        while offset < end:
            piece = os.pread(descriptor, min(_CHUNK, end - offset), offset)
            if not piece:
                return
            offset += len(piece)
            yield piece

    def _subject(self, key: str, descriptor: int, facts: os.stat_result) -> Subject:
        own = fp.properties_of(facts, fp.FILE)
        own.update(fp.attribute_properties(fp.extended_attributes(fp.handle(descriptor))))
        text, _left_out = fp.as_metadata(own)
        metadata = {**own.get("metadata", {}), fp.METADATA_NAME: text}
        properties = ObjectProperties(own.get("headers", {}), metadata, own.get("tags", {}))
        return Subject(self.item(key, facts), properties, comparable=False)

    def remarks(self) -> t.Sequence[str]:
        """Say how many things a bucket has no place for."""
        if not self._others:
            return []
        return [f"{self.location.name}: {self._others} links, devices, sockets or pipes were left out"]


def is_path(key: str) -> bool:
    """Say whether a key can be the path of a file below a directory, under its own name."""
    try:
        return bool(key) and all(len(part) <= 255 for part in parts_of(key)) and not _is_ours(key)
    except ValueError:
        return False


def _is_ours(key: str) -> bool:
    return any(is_temporary(part) for part in key.split("/"))
