# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import errno
import functools
import hashlib
import os
import stat
import threading
import typing as t

from ..errors import LifeboatError, UsageError
from . import file_properties as fp
from .hard_links import link_mark
from .property_writer import PropertyWriter, modified_ns
from .restored_tree import LastRemarks, RestoredTree, written_as
from .rows import Item, Properties, Row, order
from .scope import SOCKET, Boundary
from .source import ObjectError
from .target import Written
from .tree_names import is_temporary, parts_of, shown, tree_names
from .tree_walk import Found, directory_of, open_root, place_now, walk

_MOST_LEFTOVERS = 10_000
# Where the next object would fail as well.
_BROKEN = (
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EROFS,
    errno.EIO,
    errno.ESTALE,
    errno.ENOTCONN,
    errno.EMFILE,
    errno.ENFILE,
    errno.ENOMEM,
)


def places_below(folder: str, collections: t.Iterable[str]) -> dict[str, str]:
    """Return a directory below `folder` for each root or bucket: `/srv/data` goes to `<folder>/srv/data`."""
    return {name: "/".join((folder.rstrip("/"), *tree_names(name.strip("/"), True))) or "/" for name in collections}


class DirectoryTarget:
    """Directories to restore to (`target.Target`).

    `places` gives the absolute path for each collection. Keys become paths as `tree_names` says; rows of files are
    written with all their properties, as far as our rights go, objects of buckets with their time, and with headers,
    metadata and tags in the extended attribute `user.lifeboat.properties`. Of the items, `attributes` is the type and
    `etag` tells what a listing shows of the properties. A hard link needs its first name to be there.
    """

    def __init__(
        self,
        places: t.Mapping[str, str],
        name: str = "",
        devices: bool = False,
        numeric_owners: bool = False,
        objects_only: bool = False,
        trust_metadata: bool = False,
        object_mode: int = 0o600,
        directory_mode: int = 0o700,
    ) -> None:
        self.name = name or ", ".join(sorted(set(places.values()), key=order))
        self._places = {collection: _place(path) for collection, path in places.items()}
        self._devices = devices
        self._objects_only = objects_only  # list no directories, and remove those that become empty: as buckets do
        # Whoever may write to a bucket can say in metadata that an object is a link or a program of root's.
        self._trust_metadata = trust_metadata
        self._directory_mode = directory_mode  # of directories that no row describes
        self._properties = PropertyWriter(numeric_owners, object_mode)
        self._trees: dict[str, RestoredTree] = {}
        self._lock = threading.Lock()

    def _path(self, collection: str) -> str:
        try:
            return self._places[collection]
        except KeyError:
            raise LifeboatError(f"Cannot restore {shown(collection)}", "no directory is named for it") from None

    def prepare(self, collection: str) -> None:
        """Make the directory if it is missing. Raises LifeboatError where it cannot be written to."""
        path = self._path(collection)
        with _explained(path, "", "write to"):
            os.makedirs(order(path), self._directory_mode, exist_ok=True)
            if not os.access(order(path), os.W_OK | os.X_OK, effective_ids=True):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        self._tree(collection)

    def _tree(self, collection: str) -> RestoredTree:
        path = self._path(collection)
        with self._lock, _explained(path, "", "write to"):
            if collection not in self._trees:
                self._trees[collection] = RestoredTree(path, self._directory_mode)
            return self._trees[collection]

    def items(self, collection: str, prefix: str = "") -> t.Iterator[Item]:
        """List a directory; what an ended restore left under temporary names is noted and not listed."""
        return self._items(collection, prefix, None)

    def items_within(self, collection: str, prefix: str, boundary: Boundary) -> t.Iterator[Item]:
        """List a directory as far as a boundary, which is told of file systems that are mounted in it."""
        for key in self._places_in(self._path(collection)):
            boundary.add_apart(key)
        return self._items(collection, prefix, boundary)

    def _places_in(self, path: str) -> t.Iterator[str]:
        """Yield the keys of the directories below one that other collections go to."""
        above = os.path.realpath(path).rstrip("/") + "/"
        for other in self._places.values():
            place = os.path.realpath(other)
            if place.startswith(above) and place != above:
                yield place[len(above) :]

    def _items(self, collection: str, prefix: str, boundary: Boundary | None) -> t.Iterator[Item]:
        path = self._path(collection)
        with _explained(path, "", "list"):
            try:
                root = open_root(path)
            except FileNotFoundError:
                return
            try:
                chooser = _Chooser(prefix, self._leftovers(collection), os.fstat(root).st_dev, boundary)
                links: dict[tuple[int, int], str] = {}
                for found in walk(root, chooser):
                    if found.key.startswith(prefix) and not (self._objects_only and stat.S_ISDIR(found.facts.st_mode)):
                        yield self._item(root, found, links)
            finally:
                os.close(root)

    def _leftovers(self, collection: str) -> list[str]:
        with self._lock:
            tree = self._trees.get(collection)
            return tree.leftovers if tree is not None else []

    def _item(self, root: int, found: Found, links: dict[tuple[int, int], str]) -> Item:
        key, facts = found.key, found.facts
        kind, mark, size = fp.type_of(facts), "", 0
        if kind == fp.FILE:
            size = facts.st_size
            first = links.setdefault((facts.st_dev, facts.st_ino), key) if facts.st_nlink > 1 else key
            if first != key and not self._objects_only:
                kind, mark, size = fp.HARDLINK, link_mark(first, facts), 0
        elif kind == fp.SYMLINK:
            mark = _text_mark(_link_text(root, key))
        elif kind in (fp.CHARACTER, fp.BLOCK):
            mark = f"{os.major(facts.st_rdev)}.{os.minor(facts.st_rdev)}"
        etag = f"{self._properties.facts(kind, facts)} {mark}"
        return Item(key, size, etag, str(facts.st_mtime_ns), "" if kind == fp.FILE else kind or SOCKET)

    def key_for(self, row: Row) -> str:
        """Return the path of a row, with other names where the true ones are none for files. Raises ObjectError."""
        return "/".join(self._names(row))

    def _names(self, row: Row) -> list[str]:
        try:
            return tree_names(row.key, fp.is_file_row(row.properties))
        except ValueError as error:
            raise ObjectError(f"Cannot restore {shown(row.key)}", "it is no key") from error

    def key_beside(self, collection: str, row: Row) -> str:
        """Return the path beside its own under which a row lies, or would lie now; nothing where its own is free."""
        names = self._names(row)
        if not names or fp.file_type(self._trusted(row).properties) == fp.DIRECTORY:
            return ""
        with contextlib.suppress(OSError):  # there is no directory yet, or it says why not when it is written
            root = open_root(self._path(collection))
            try:
                there = place_now(root, names)
            finally:
                os.close(root)
            return "/".join(there) if there != names else ""
        return ""

    def is_same(self, row: Row, item: Item) -> bool:
        """Compare type, size, time, and of files owner, mode and where links lead to."""
        row = self._trusted(row)
        try:
            return self._is_same(row, item)
        except (KeyError, TypeError, ValueError):  # a damaged row; writing it says what is wrong
            return False

    def _is_same(self, row: Row, item: Item) -> bool:
        kind, moment = fp.file_type(row.properties), modified_ns(row)
        if (item.attributes or fp.FILE) != kind or moment is None or item.modified != str(moment):
            return False
        if item.size != (row.size if kind == fp.FILE else 0):
            return False
        if not fp.is_file_row(row.properties):
            return True
        mark = {fp.SYMLINK: _target_mark, fp.HARDLINK: _row_mark, fp.CHARACTER: _device_mark, fp.BLOCK: _device_mark}
        wanted = mark[kind](row) if kind in mark else ""
        return item.etag == f"{self._properties.facts_of(row.properties)} {wanted}"

    def _trusted(self, row: Row) -> Row:
        """Return a row with the properties of the file that its metadata speak of, where they are trusted."""
        metadata = row.properties.get("metadata", {})
        if not self._trust_metadata or fp.METADATA_NAME not in metadata:
            return row
        try:
            kept: Properties = fp.from_metadata(metadata[fp.METADATA_NAME])
        except ValueError:
            return row
        others = {name: text for name, text in metadata.items() if name != fp.METADATA_NAME}
        if fp.file_type(kept) == fp.FILE or not row.size:
            return row._replace(properties={**row.properties, **kept, "metadata": others})
        return row

    def write(self, collection: str, row: Row, chunks: t.Iterator[bytes]) -> Written:
        """Write a row of whatever type under a temporary name, and rename it."""
        tree, row = self._tree(collection), self._trusted(row)
        names = self._names(row)
        with _explained(tree.path, row.key, "write"):
            kind = _checked(row, self._devices)
            if kind == fp.DIRECTORY:
                there = tree.writer.make_directory(names)
                tree.notes.add_row(row, there)
                return written_as(names, there)
            settle = functools.partial(self._properties.give, row=row)
            if kind == fp.FILE:
                holes = row.properties.get("holes", ())
                there, remarks = tree.writer.write_file(names, row.size, chunks, holes, settle)
            elif kind == fp.HARDLINK:
                first = row._replace(key=row.properties["target"])
                there, remarks = tree.writer.write_link(names, self._names(first)), ()
            else:
                there, remarks = tree.writer.write_special(names, _maker(kind, row.properties), kind, settle)
            return tree.placed(names, there, remarks)

    def write_properties(self, collection: str, row: Row) -> Written:
        """Give what is there the properties of a row; directories get theirs at the end."""
        tree, row = self._tree(collection), self._trusted(row)
        names = self._names(row)
        with _explained(tree.path, row.key, "change"):
            kind = _checked(row, self._devices)
            if kind == fp.DIRECTORY:
                tree.notes.add_row(row, names)
                return Written("/".join(names))
            wanted = fp.FILE if kind == fp.HARDLINK else kind
            remarks = tree.writer.settle(
                names, functools.partial(self._properties.give, row=row), lambda facts: fp.type_of(facts) == wanted
            )
            return Written("/".join(names), remarks)

    def remove(self, collection: str, key: str) -> None:
        """Remove a file, link or empty directory. What this target wrote under another name than its own stays."""
        tree = self._tree(collection)
        with _explained(tree.path, key, "remove"):
            parts_of(key)
            names = key.split("/")
            if not key or tree.is_beside(key):
                return
            tree.writer.remove(names)
            while self._objects_only and len(names) > 1:
                names = names[:-1]
                try:
                    tree.writer.remove_directory(names)
                except OSError:  # it is not empty
                    break

    def finish(self, collection: str) -> t.Sequence[str]:
        """Give directories their properties and times, and return remarks (at most 1,000)."""
        tree = self._tree(collection)
        remarks = LastRemarks()
        with _explained(tree.path, "", "finish"):
            tree.move_home(remarks)
            for leftover in tree.leftovers:
                tree.writer.remove_leftover(leftover.split("/"))
            tree.give_times_back()
            for row, names in tree.notes.rows():
                settle = functools.partial(self._properties.give, row=row)
                try:
                    told = tree.writer.settle(names, settle, lambda facts: stat.S_ISDIR(facts.st_mode))
                except OSError as error:
                    told = (f"its properties could not be set: {error.strerror}",)
                for words in told:
                    remarks.add(f"{shown(row.key) or '.'}: {words}")
        with self._lock:
            self._trees.pop(collection).close()
        return remarks.list()


class _Chooser:
    """What a listing of a target goes through: the prefix, and no temporary files."""

    def __init__(self, prefix: str, leftovers: list[str], device: int, boundary: Boundary | None) -> None:
        self._prefix = prefix
        self._leftovers = leftovers
        self._device = device
        self._boundary = boundary

    def takes(self, key: str, facts: os.stat_result) -> bool:
        if self._boundary is not None and facts.st_dev != self._device:
            self._boundary.add_mount(key)
        if is_temporary(key.rpartition("/")[2]) and not stat.S_ISDIR(facts.st_mode):
            if len(self._leftovers) < _MOST_LEFTOVERS:
                self._leftovers.append(key)
            return False
        return key.startswith(self._prefix) or (stat.S_ISDIR(facts.st_mode) and self._prefix.startswith(f"{key}/"))

    def enters(self, key: str, _facts: os.stat_result) -> bool:
        below = f"{key}/" if key else ""
        if not (below.startswith(self._prefix) or self._prefix.startswith(below)):
            return False
        return self._boundary is None or self._boundary.is_entered(Item(key, 0, "", "", fp.DIRECTORY))


def _place(path: str) -> str:
    if not path.startswith("/") or "\0" in path:
        raise UsageError(f"Cannot restore to {path!r}", "it is no absolute path", "name the directory from / on")
    return "/" + os.path.normpath(path).lstrip("/")


def _checked(row: Row, devices: bool) -> str:
    """Return the type of a row. Raises ValueError where it is not to be written."""
    if fp.is_file_row(row.properties):
        fp.check(row.properties)
    kind = fp.file_type(row.properties)
    if kind != fp.FILE and not fp.is_file_row(row.properties):
        raise ValueError("its properties are incomplete")
    if kind in (fp.CHARACTER, fp.BLOCK) and not devices:
        raise ValueError("it is a device, and devices were not asked for")
    if kind != fp.DIRECTORY and not row.key:
        raise ValueError("the root can only be a directory")
    return kind


def _maker(kind: str, properties: Properties) -> t.Callable[[bytes, int], None]:
    """Return what makes a link, FIFO or device under a name in a directory."""

    def make(name: bytes, at: int) -> None:
        if kind == fp.SYMLINK:
            os.symlink(order(properties["target"]), name, dir_fd=at)
        elif kind == fp.FIFO:
            os.mkfifo(name, 0o600, dir_fd=at)
        else:
            form = stat.S_IFCHR if kind == fp.CHARACTER else stat.S_IFBLK
            os.mknod(name, form | 0o600, os.makedev(*properties["device"]), dir_fd=at)

    return make


def _link_text(root: int, key: str) -> bytes:
    with contextlib.suppress(OSError), directory_of(root, parts_of(key)) as (at, name):
        return os.readlink(name, dir_fd=at)
    return b""


def _text_mark(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()[:16]


def _target_mark(row: Row) -> str:
    return _text_mark(order(row.properties["target"]))


def _row_mark(row: Row) -> str:
    return ">" + row.etag.partition(">")[2]


def _device_mark(row: Row) -> str:
    return "{}.{}".format(*row.properties["device"])


@contextlib.contextmanager
def _explained(path: str, key: str, verb: str) -> t.Iterator[None]:
    """Turn operating system errors into ours: of one object, or of the whole target."""
    problem = f"Cannot {verb} {shown('/'.join((path.rstrip('/'), key)) if key else path)}"
    try:
        yield
    except OSError as error:
        words = error.strerror or str(error)
        if error.errno in _BROKEN or not key:
            raise LifeboatError(problem, words, "look at its file system and rights, then restore again") from error
        raise ObjectError(problem, words, "look at what is there, and at the rights of who restores") from error
    except ValueError as error:
        raise ObjectError(problem, str(error)) from error
