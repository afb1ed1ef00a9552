# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import errno
import json
import os
import platform
import stat
import threading
import typing as t

from ..errors import GuardRefusal, LifeboatError, UsageError
from . import file_properties as fp
from .hard_links import HardLinks, link_mark
from .patterns import Patterns
from .remarks import SKIPPED
from .rows import Item, order
from .scope import Scope
from .source import ChangedError, Described, ObjectError, VanishedError
from .tree_names import is_temporary, parts_of, shown
from .tree_walk import LISTING, directory_of, open_root, walk

Report = t.Callable[[str, str, str, str], None]  # collection, key, what (`skipped`), why

_CHUNK = 1024 * 1024  # bytes
_OPENING = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY  # a FIFO put in the way must not hold us up
_GONE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO)
_AWAY = (errno.ESTALE, errno.ENOTCONN, errno.ETIMEDOUT, errno.EHOSTDOWN, errno.EMFILE, errno.ENFILE, errno.ENOMEM)


def _nobody(_collection: str, _key: str, _what: str, _why: str) -> None:
    """Take a remark that nobody wants."""


class DirectorySource:
    """Directories and what is in them, read only (`source.Source`).

    Each root is a collection, named by its absolute path. A key is a path below the root, with slashes between names
    and none at its end; the root itself has the empty key. Directories, links, FIFOs and (with `devices`) devices are
    rows as well; sockets are skipped. Links are never followed, but for the path of the root itself.

    `Item.etag` is `<inode>-<change time in ns>`: nobody can set a file's change time back. The later names of a file
    with several are rows of type `hardlink` without bytes, whose etag ends in `>` and 16 hex digits that stand for the
    first name. `Item.attributes` is the type, empty for regular files. What is left out although no pattern says so is
    told to `report`.
    """

    kind = "files"

    def __init__(
        self,
        roots: t.Sequence[str],
        patterns: Patterns | None = None,
        one_file_system: bool = False,
        devices: bool = False,
        host: str = "",
        report: Report = _nobody,
    ) -> None:
        self._roots = sorted({_root(path) for path in roots}, key=order)
        self._patterns = patterns or Patterns()
        self._one_file_system = one_file_system
        self._devices = devices
        self._host = host or platform.node()
        self._report = report
        self._mounts: dict[str, list[str]] = {}  # keys where the listing of a root met another file system
        self._closed: dict[str, set[str]] = {}  # keys of directories that the listing of a root could not read
        self._trees: dict[str, _Tree] = {}
        self._lock = threading.Lock()
        if not self._roots:
            raise UsageError("Cannot back up files", "no directory is named", "name at least one in roots")

    def identity(self) -> t.Mapping[str, str]:
        """Return the host and the roots."""
        return {"host": self._host, "roots": json.dumps(self._roots)}

    def collections(self) -> t.Sequence[str]:
        """Return the roots. Raises GuardRefusal (`source`) where one is not there."""
        for path in self._roots:
            os.close(self._tree(path).open())
        return list(self._roots)

    def documents(self) -> t.Mapping[str, t.Any]:
        """Return nothing: directories have no settings."""
        return {}

    def scope(self) -> Scope:
        """Return what is backed up of the roots, with what their last listings came upon and did not enter."""
        patterns = self._patterns
        mounts = tuple((root, key) for root in self._roots for key in self._mounts.get(root, ()))
        return Scope("", patterns.exclude, patterns.include, self._one_file_system, self._devices, mounts)

    def _tree(self, collection: str) -> _Tree:
        with self._lock:
            if collection not in self._trees:
                if collection not in self._roots:
                    raise LifeboatError(f"Cannot read {shown(collection)}", "it is none of the roots of this source")
                self._trees[collection] = _Tree(collection)
            return self._trees[collection]

    def items(self, collection: str) -> t.Iterator[Item]:
        """List a root; the file that comes first of several names of one is remembered until the next listing."""
        tree = self._tree(collection)
        tree.links.clear()
        mounts = self._mounts[collection] = []
        closed = self._closed[collection] = set()
        with _explained(collection, ""):
            root = tree.open()
            try:
                chooser = _Chooser(self, collection, os.fstat(root).st_dev, mounts)
                for found in walk(root, chooser):
                    if not found.is_listable:
                        closed.add(found.key)
                    yield tree.item(found.key, found.facts, found.is_listable)
            finally:
                os.close(root)

    def is_unseen(self, collection: str, key: str) -> bool:
        """Say whether a key lies in a directory that the last listing could not read."""
        closed = self._closed.get(collection)
        while closed and key:
            key = key.rpartition("/")[0]
            if key in closed:
                return True
        return False

    def describe(self, collection: str, item: Item) -> Described:
        """Look at a file again. Raises VanishedError, ObjectError."""
        tree = self._tree(collection)
        with _explained(collection, item.key), tree.opened(item.key) as (descriptor, facts):
            return tree.described(item.key, descriptor, facts)

    def read_whole(self, collection: str, item: Item) -> tuple[Described, bytes]:
        """Read a file at once, of whatever type. Raises VanishedError, ChangedError, ObjectError."""
        tree = self._tree(collection)
        with _explained(collection, item.key), tree.opened(item.key) as (descriptor, facts):
            found = tree.described(item.key, descriptor, facts)
            if not found.has_bytes:
                return found, b""
            if facts.st_size > 4 * item.size + _CHUNK:
                raise _changed(collection, item.key, "it has grown")
            data = b"".join(_chunks(descriptor, 0, facts.st_size + 1))
            if len(data) != facts.st_size or not _is_state(os.fstat(descriptor), facts):
                raise _changed(collection, item.key)
            return found, data

    def read_range(self, collection: str, item: Item, offset: int, length: int) -> t.Iterator[bytes]:
        """Yield a range of a regular file. Raises VanishedError, ChangedError, ObjectError."""
        with contextlib.ExitStack() as stack:
            descriptor = stack.enter_context(self._steady(collection, item))
            for chunk in _chunks(descriptor, offset, length):
                length -= len(chunk)
                yield chunk
            if length:
                raise _changed(collection, item.key)

    def read_into(self, collection: str, item: Item, offset: int, room: memoryview) -> t.Iterator[int]:
        """Fill `room` with a range of a regular file. Raises VanishedError, ChangedError, ObjectError."""
        with contextlib.ExitStack() as stack:
            descriptor = stack.enter_context(self._steady(collection, item))
            while room and (count := os.preadv(descriptor, [room[:_CHUNK]], offset)):
                offset, room = offset + count, room[count:]
                yield count
            if room:
                raise _changed(collection, item.key)

    @contextlib.contextmanager
    def _steady(self, collection: str, item: Item) -> t.Iterator[int]:
        """Open a regular file that is exactly `item`, and still is when it has been read."""
        with _explained(collection, item.key), self._tree(collection).opened(item.key) as (descriptor, facts):
            if not stat.S_ISREG(facts.st_mode) or _state(item) != _state(_Tree.plain_item(item.key, facts)):
                raise _changed(collection, item.key, "it is not the one that was listed")
            yield descriptor
            if not _is_state(os.fstat(descriptor), facts):
                raise _changed(collection, item.key)


class _Chooser:
    """What of a tree a source takes."""

    def __init__(self, source: DirectorySource, collection: str, device: int, mounts: list[str]) -> None:
        self._patterns = source._patterns
        self._devices = source._devices
        self._device = device if source._one_file_system else None
        self._report = source._report
        self._mounts = mounts
        self._collection = collection

    def takes(self, key: str, facts: os.stat_result) -> bool:
        is_directory = stat.S_ISDIR(facts.st_mode)
        if not self._patterns.is_wanted(key, is_directory):
            return False
        why = self._objection(key, facts, is_directory)
        if why:
            self._report(self._collection, key, SKIPPED, why)
        return not why

    def _objection(self, key: str, facts: os.stat_result, is_directory: bool) -> str:
        kind = fp.type_of(facts)
        if not kind:
            return "it is a socket"
        if kind in (fp.CHARACTER, fp.BLOCK) and not self._devices:
            return "it is a device, and devices were not asked for"
        if not is_directory and self._device not in (None, facts.st_dev):
            return "it lies on another file system"
        if is_temporary(key.rpartition("/")[2]):
            return "a restore was writing it"
        return ""

    def enters(self, key: str, facts: os.stat_result) -> bool:
        if self._device in (None, facts.st_dev):
            return True
        self._mounts.append(key)
        return False


class _Tree:
    """One root: the same directory from the first look at it to the last."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.links = HardLinks()
        self._identity: tuple[int, int] | None = None

    def open(self) -> int:
        try:
            root = open_root(self.path)
        except OSError as error:
            raise _refusal(self.path, error) from error
        facts = os.fstat(root)
        found = (facts.st_dev, facts.st_ino)
        if self._identity not in (None, found):
            os.close(root)
            raise LifeboatError(
                f"Cannot go on reading {shown(self.path)}",
                "another directory is there now",
                "look whether its file system was mounted or unmounted meanwhile, and run again",
            )
        self._identity = found
        return root

    def item(self, key: str, facts: os.stat_result, is_listable: bool = True) -> Item:
        """Return the line of the listing."""
        plain = self.plain_item(key, facts)
        if not is_listable:  # no backup has such a line, so that it is looked at again, and reported
            return plain._replace(etag=f"{plain.etag}-unlisted")
        first = self.links.first_of(key, facts)
        if first is None:
            return plain
        return plain._replace(size=0, etag=plain.etag + link_mark(first, facts), attributes=fp.HARDLINK)

    @staticmethod
    def plain_item(key: str, facts: os.stat_result) -> Item:
        is_file = stat.S_ISREG(facts.st_mode)
        etag = f"{facts.st_ino}-{facts.st_ctime_ns}"
        kind = "" if is_file else fp.type_of(facts)
        return Item(key, facts.st_size if is_file else 0, etag, str(facts.st_mtime_ns), kind)

    def described(self, key: str, descriptor: int, facts: os.stat_result) -> Described:
        first = self._living_first(key, facts)
        kind = fp.HARDLINK if first is not None else fp.type_of(facts)
        properties = fp.properties_of(facts, kind)
        if first is not None:
            self.links.promise(first, key)
            item = self.item(key, facts)
            return Described(item, "", {**properties, "target": first}, has_bytes=False)
        if kind == fp.SYMLINK:
            properties["target"] = os.readlink(b"", dir_fd=descriptor).decode("utf-8", "surrogateescape")
        if kind == fp.FILE:
            holes = fp.holes_of(descriptor, facts)
            properties.update({"holes": holes} if holes else {})
        properties.update(fp.attribute_properties(fp.extended_attributes(fp.handle(descriptor))))
        return Described(self.plain_item(key, facts), "", properties, has_bytes=kind == fp.FILE)

    def _living_first(self, key: str, facts: os.stat_result) -> str | None:
        """Return the first name of the same file, if it has one before `key` and that is still there."""
        first = self.links.first_of(key, facts, is_listing=False)
        if first is None:
            return None
        with contextlib.suppress(OSError), self._parent(first) as (at, name):
            there = os.stat(name, dir_fd=at, follow_symlinks=False)
            if (there.st_dev, there.st_ino) == (facts.st_dev, facts.st_ino):
                return first
        return None

    @contextlib.contextmanager
    def _parent(self, key: str) -> t.Iterator[tuple[int, bytes]]:
        root = self.open()
        try:
            with directory_of(root, parts_of(key)) as (at, name):
                yield at, name
        finally:
            os.close(root)

    @contextlib.contextmanager
    def opened(self, key: str) -> t.Iterator[tuple[int, os.stat_result]]:
        """Open a file for what its type allows, and yield the descriptor with what `fstat` says of it."""
        descriptor = self._open(key)
        try:
            facts = os.fstat(descriptor)
            if stat.S_ISREG(facts.st_mode):
                fp.let_settle(facts)
            yield descriptor, facts
        finally:
            os.close(descriptor)

    def _open(self, key: str) -> int:
        try:
            with self._parent(key) as (at, name):
                return _open_file(at, name)
        except OSError as error:
            other = self.links.promised(key)
            if error.errno not in _GONE or other is None:
                raise
        with self._parent(other) as (at, name):  # rows that were described already need the bytes of this one
            return _open_file(at, name)


def _root(path: str) -> str:
    if not path.startswith("/") or "\0" in path:
        raise UsageError(f"Cannot back up {path!r}", "it is no absolute path", "name the directory from / on")
    return "/" + os.path.normpath(path).lstrip("/")


def _open_file(at: int, name: bytes) -> int:
    facts = os.stat(name, dir_fd=at, follow_symlinks=False)
    if stat.S_ISDIR(facts.st_mode):
        return os.open(name, LISTING, dir_fd=at)
    if not stat.S_ISREG(facts.st_mode):  # opening a device would do something
        return os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=at)
    with contextlib.suppress(PermissionError):  # only the owner may read without a trace
        return os.open(name, os.O_RDONLY | os.O_NOATIME | _OPENING, dir_fd=at)
    return os.open(name, os.O_RDONLY | _OPENING, dir_fd=at)


def _chunks(descriptor: int, offset: int, length: int) -> t.Iterator[bytes]:
    """Yield a range of a file, less where it ends before."""
    while length:
        chunk = os.pread(descriptor, min(_CHUNK, length), offset)
        if not chunk:
            return
        offset += len(chunk)
        length -= len(chunk)
        yield chunk


def _state(item: Item) -> tuple[int, str, str]:
    return item.size, item.etag, item.modified


def _is_state(one: os.stat_result, other: os.stat_result) -> bool:
    return _state(_Tree.plain_item("", one)) == _state(_Tree.plain_item("", other))


def _changed(collection: str, key: str, why: str = "it was written to meanwhile") -> ChangedError:
    return ChangedError(_problem(collection, key), why, "back up again when it is at rest, or from a snapshot")


def _problem(collection: str, key: str) -> str:
    return f"Cannot read {shown('/'.join((collection.rstrip('/'), key))).rstrip('/') or '/'}"


def _refusal(path: str, error: OSError) -> LifeboatError:
    problem = f"Cannot back up {shown(path)}"
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        remedy = "mount it if it is a mount point, or correct the path"
        return GuardRefusal("source", problem, "there is no such directory", remedy)
    return LifeboatError(problem, error.strerror or str(error), "run this as a user who may read it")


@contextlib.contextmanager
def _explained(collection: str, key: str) -> t.Iterator[None]:
    """Turn operating system errors into those of `source`."""
    try:
        yield
    except OSError as error:
        problem, words = _problem(collection, key), error.strerror or str(error)
        if not key or error.errno in _AWAY:
            raise LifeboatError(problem, words, "look at its file system, and run again") from error
        if error.errno in _GONE:
            raise VanishedError(problem, "it is not there any more") from error
        raise ObjectError(problem, words, "run this as a user who may read it, or exclude it") from error
    except ValueError as error:
        raise ObjectError(_problem(collection, key), str(error)) from error
