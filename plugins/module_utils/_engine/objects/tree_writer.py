# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import dataclasses
import errno
import fcntl
import os
import secrets
import stat
import typing as t

from ..repository.tree import sync_directory
from ..steps import reached
from . import file_properties as fp
from .rows import order
from .source import ObjectError
from .tree_names import directory_beside, file_beside, is_temporary
from .tree_walk import LISTING, descend, open_root

Settle = t.Callable[[int], t.Tuple[str, ...]]  # gives an open file its properties and returns remarks  # noqa: UP006
BeforeChange = t.Callable[[t.Sequence[str], int], None]  # names of a directory that gets another entry, and it, open

_PASS = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_EXACTLY = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_ATTEMPTS = 100  # to create something in a directory that others remove when they find it empty
_ZEROS = bytes(1024 * 1024)


def _nothing(_names: t.Sequence[str], _at: int) -> None:
    """Do nothing before a change."""


@dataclasses.dataclass
class Place:
    """Where something lies or is going to lie."""

    at: int  # the directory, open for passing through
    names: list[str]  # from the root on; the last one is its own

    @property
    def name(self) -> bytes:
        return order(self.names[-1])

    def there(self) -> os.stat_result:
        """Return what `stat` says of it. Raises FileNotFoundError."""
        return os.stat(self.name, dir_fd=self.at, follow_symlinks=False)


class TreeWriter:
    """Writes below a directory, and nowhere else, whatever keys and links say.

    The root is opened once. Every path is walked name by name with directory descriptors (openat, O_NOFOLLOW): a link
    is never followed, neither one that was there nor one that was restored or put in place meanwhile. Names come from
    `tree_names`. What has bytes or properties is made under a temporary name, `.lifeboat-<16 hex>`, and renamed when it
    is whole. All methods raise OSError.

    A file or link that stands where a directory is needed stays, and so does a directory where a file is to be: what is
    written then lies beside it (`directory_beside`, `file_beside`), as the names that are returned say.
    """

    def __init__(self, path: str, directory_mode: int = 0o700, before_change: BeforeChange = _nothing) -> None:
        self.root = open_root(path)
        self._directory_mode = directory_mode
        self._before_change = before_change

    def close(self) -> None:
        os.close(self.root)

    @contextlib.contextmanager
    def found(self, names: t.Sequence[str]) -> t.Iterator[Place]:
        """Yield the place of what should be there. Raises FileNotFoundError, NotADirectoryError, IsADirectoryError."""
        if not names:
            raise IsADirectoryError(errno.EISDIR, "it is the root itself")
        at = descend(self.root, [order(name) for name in names[:-1]])
        try:
            yield Place(at, list(names))
        finally:
            os.close(at)

    @contextlib.contextmanager
    def _made(self, names: t.Sequence[str], create: t.Callable[[Place], None]) -> t.Iterator[Place]:
        """Make the directories above something that `create` makes, and yield its place.

        Somebody may remove an empty directory between the two; then both are done again.
        """
        for attempt in range(_ATTEMPTS):
            place = self._reached(names)
            try:
                self._before_change(place.names[:-1], place.at)
                create(place)
            except FileNotFoundError:
                os.close(place.at)
                if attempt == _ATTEMPTS - 1:
                    raise
                continue
            except BaseException:
                os.close(place.at)
                raise
            break
        try:
            yield place
        finally:
            os.close(place.at)

    def _reached(self, names: t.Sequence[str]) -> Place:
        at = os.dup(self.root)
        actual: list[str] = []
        try:
            for name in names[:-1]:
                below, name = self._step(at, actual, name)
                actual.append(name)
                os.close(at)
                at = below
        except BaseException:
            os.close(at)
            raise
        return Place(at, [*actual, names[-1]])

    def _step(self, at: int, above: t.Sequence[str], name: str) -> tuple[int, str]:
        try:
            return self._enter(at, above, name), name
        except NotADirectoryError:  # a file, or what O_DIRECTORY says of a link
            name = directory_beside(name)
            return self._enter(at, above, name), name

    def _enter(self, at: int, above: t.Sequence[str], name: str) -> int:
        with contextlib.suppress(FileNotFoundError):
            return os.open(order(name), _PASS, dir_fd=at)
        self._before_change(above, at)
        with contextlib.suppress(FileExistsError):
            os.mkdir(order(name), self._directory_mode, dir_fd=at)
        return os.open(order(name), _PASS, dir_fd=at)

    def write_file(
        self,
        names: t.Sequence[str],
        size: int,
        chunks: t.Iterator[bytes],
        holes: t.Sequence[t.Sequence[int]],
        settle: Settle,
    ) -> tuple[list[str], tuple[str, ...]]:
        """Write a file of exactly `size` bytes, and return the names under which it lies, with remarks.

        Zeros within `holes` are not written. Raises ObjectError where there are more or fewer bytes.
        """
        temporary = _temporary()
        opened: list[int] = []

        def create(place: Place) -> None:
            opened.append(os.open(temporary, _NEW, 0o600, dir_fd=place.at))

        with self._made(names, create) as place, _removing(place.at, temporary):
            try:
                fcntl.flock(opened[0], fcntl.LOCK_EX)  # while it is open: the sign that somebody works on it
                _fill(opened[0], size, chunks, holes)
                remarks = settle(opened[0])
                os.fsync(opened[0])
                reached("tree.file.synced")
            finally:
                os.close(opened[0])
            return _renamed(place, temporary), remarks

    def write_special(
        self, names: t.Sequence[str], make: t.Callable[[bytes, int], None], kind: str, settle: Settle
    ) -> tuple[list[str], tuple[str, ...]]:
        """Make a link, FIFO or device with `make` (a name, and the directory where), and return names and remarks."""
        temporary = _temporary()
        with self._made(names, lambda place: make(temporary, place.at)) as place, _removing(place.at, temporary):
            descriptor = os.open(temporary, _EXACTLY, dir_fd=place.at)
            try:
                if fp.type_of(os.fstat(descriptor)) != kind:
                    raise OSError(errno.EEXIST, "somebody else put something in its place")
                remarks = settle(descriptor)
            finally:
                os.close(descriptor)
            return _renamed(place, temporary), remarks

    def write_link(self, names: t.Sequence[str], first: t.Sequence[str]) -> list[str]:
        """Give the regular file `first` another name, and return the names under which that lies."""
        temporary = _temporary()
        with self.found(first) as origin:
            facts = origin.there()
            if not stat.S_ISREG(facts.st_mode):
                raise OSError(errno.EINVAL, "its first name is no regular file")
            with contextlib.suppress(OSError), self.found(names) as already:
                if os.path.samestat(already.there(), facts):
                    return already.names

            def link(place: Place) -> None:
                os.link(origin.name, temporary, src_dir_fd=origin.at, dst_dir_fd=place.at, follow_symlinks=False)

            with self._made(names, link) as place, _removing(place.at, temporary):
                if not os.path.samestat(os.stat(temporary, dir_fd=place.at, follow_symlinks=False), facts):
                    raise OSError(errno.EBUSY, "its first name was replaced meanwhile")
                there = _renamed(place, temporary)
                with contextlib.suppress(FileNotFoundError):  # a rename onto the same file leaves both (rename(2))
                    os.unlink(temporary, dir_fd=place.at)
                return there

    def make_directory(self, names: t.Sequence[str]) -> list[str]:
        """Make sure that a directory is there, in the place of whatever else is, and return its names."""

        def make(place: Place) -> None:
            with contextlib.suppress(FileExistsError):
                os.mkdir(place.name, 0o700, dir_fd=place.at)  # its row may give it more, when all is in it
                return
            if not stat.S_ISDIR(place.there().st_mode):
                os.unlink(place.name, dir_fd=place.at)
                os.mkdir(place.name, 0o700, dir_fd=place.at)

        if not names:
            return []
        with self._made(names, make) as place:
            return place.names

    def settle(
        self, names: t.Sequence[str], settle: Settle, is_wanted: t.Callable[[os.stat_result], bool]
    ) -> tuple[str, ...]:
        """Give properties to what is there, and return remarks. Raises FileNotFoundError where something else is."""
        with contextlib.ExitStack() as opened:
            if names:
                place = opened.enter_context(self.found(names))
                descriptor = os.open(place.name, _EXACTLY, dir_fd=place.at)
            else:
                descriptor = os.dup(self.root)
            opened.callback(os.close, descriptor)
            if not is_wanted(os.fstat(descriptor)):
                raise FileNotFoundError(errno.ENOENT, "something else is there")
            return settle(descriptor)

    def remove(self, names: t.Sequence[str]) -> None:
        """Remove a file, link or empty directory, if it is there. Raises OSError (ENOTEMPTY …)."""
        with contextlib.suppress(FileNotFoundError, NotADirectoryError), self.found(names) as place:
            is_directory = stat.S_ISDIR(place.there().st_mode)
            self._before_change(place.names[:-1], place.at)
            (os.rmdir if is_directory else os.unlink)(place.name, dir_fd=place.at)

    def remove_directory(self, names: t.Sequence[str]) -> None:
        """Remove a directory if it is empty. Raises OSError."""
        with self.found(names) as place:
            self._before_change(place.names[:-1], place.at)
            os.rmdir(place.name, dir_fd=place.at)

    def move(self, names: t.Sequence[str], to: t.Sequence[str]) -> bool:
        """Give what was written beside something its own names, if they are free now; empty directories give way."""
        with self.found(names) as origin:
            place = self._reached(to)
            try:
                if place.names != list(to):
                    return False
                self._before_change(place.names[:-1], place.at)
                with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                    os.rmdir(place.name, dir_fd=place.at)
                try:
                    os.stat(place.name, dir_fd=place.at, follow_symlinks=False)
                    return False
                except FileNotFoundError:
                    os.rename(origin.name, place.name, src_dir_fd=origin.at, dst_dir_fd=place.at)
            except OSError as error:
                if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.EISDIR):
                    return False
                raise
            finally:
                os.close(place.at)
        return True

    def sync(self, names: t.Sequence[str]) -> None:
        """Make the names in a directory durable."""
        at = descend(self.root, [order(name) for name in names])
        try:
            descriptor = os.open(b".", LISTING, dir_fd=at)
        finally:
            os.close(at)
        try:
            sync_directory(descriptor)
        finally:
            os.close(descriptor)

    def remove_leftover(self, names: t.Sequence[str]) -> None:
        """Remove a temporary file on which nobody works any more."""
        if not is_temporary(names[-1]):
            raise ValueError("it is no temporary file of ours")
        with contextlib.suppress(OSError), self.found(names) as place:
            if stat.S_ISREG(place.there().st_mode):
                descriptor = os.open(place.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=place.at)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    self._before_change(place.names[:-1], place.at)
                    os.unlink(place.name, dir_fd=place.at)
                finally:
                    os.close(descriptor)
            else:
                self._before_change(place.names[:-1], place.at)
                os.unlink(place.name, dir_fd=place.at)


def _temporary() -> bytes:
    return f".lifeboat-{secrets.token_hex(8)}".encode()


@contextlib.contextmanager
def _removing(at: int, temporary: bytes) -> t.Iterator[None]:
    """Remove a temporary file after a failure."""
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary, dir_fd=at)
        raise


def _renamed(place: Place, temporary: bytes) -> list[str]:
    try:
        os.rename(temporary, place.name, src_dir_fd=place.at, dst_dir_fd=place.at)
    except IsADirectoryError:
        place.names[-1] = file_beside(place.names[-1])
        os.rename(temporary, place.name, src_dir_fd=place.at, dst_dir_fd=place.at)
    reached("tree.renamed")
    return place.names


def _fill(descriptor: int, size: int, chunks: t.Iterator[bytes], holes: t.Sequence[t.Sequence[int]]) -> None:
    at = 0
    for chunk in chunks:
        if at + len(chunk) > size:
            raise ObjectError("Cannot write a file", f"more than its {size} bytes came")
        for start, data in _outside(at, chunk, holes) if holes else ((at, memoryview(chunk)),):
            _write(descriptor, data, start)
        at += len(chunk)
    if at != size:
        raise ObjectError("Cannot write a file", f"{at} of {size} bytes came")
    if holes:
        os.ftruncate(descriptor, size)


def _write(descriptor: int, data: memoryview, at: int) -> None:
    while data:
        written = os.pwrite(descriptor, data, at)
        data, at = data[written:], at + written


def _outside(at: int, chunk: bytes, holes: t.Sequence[t.Sequence[int]]) -> t.Iterator[tuple[int, memoryview]]:
    """Yield what of a chunk that begins at `at` is to be written: what lies in holes, too, unless it is all zeros."""
    view, done = memoryview(chunk), 0
    for start, length in holes:
        first, last = max(start - at, done), min(start + length - at, len(chunk))
        if first < last and _is_zero(view[first:last]):
            yield at + done, view[done:first]
            done = last
    yield at + done, view[done:]


def _is_zero(data: memoryview) -> bool:
    return all(
        bytes(data[at : at + len(_ZEROS)]) == _ZEROS[: len(data) - at] for at in range(0, len(data), len(_ZEROS))
    )
