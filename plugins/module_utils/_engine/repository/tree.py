# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import secrets
import stat
import typing as t

from .. import clock
from ..steps import reached
from .store import DeniedError, StoreError, UnavailableError

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_TEMPORARY = re.compile(r"\.tmp-[0-9a-f]{16}")
_NFS_DELETED = re.compile(r"\.nfs[0-9a-f]+")  # an NFS client's name for a file that was deleted while open
_WRITE_BACK = 8 * 1024 * 1024  # bytes after which the system is told to begin writing to the disk
_ATTEMPTS = 100  # to create something in a directory that others remove when they find it empty
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)
_NO_DIRECTORY_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.EBADF)  # file systems that keep their directories safe unasked
_AWAY = (errno.EIO, errno.ESTALE, errno.ENOTCONN, errno.ETIMEDOUT, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENODEV)
_CAUSES = {
    errno.ENOSPC: ("no space is left on its file system", "make room there, or choose another repository"),
    errno.EDQUOT: ("the quota of its file system is used up", "make room there, or have the quota raised"),
    errno.EFBIG: (
        "the file is larger than its file system or the limit of this process allows",
        "look at ulimit -f, or choose another file system",
    ),
    errno.ENOLCK: ("its file system gives no locks", "start the lock service of NFS, or use another file system"),
    errno.ENOTDIR: ("a file is where a directory belongs", "remove the file, or put the directory back"),
    errno.ELOOP: ("a symbolic link stands in the way", "remove the link: a repository holds none"),
}


def store_error(problem: str, error: OSError) -> StoreError:
    """Return the kind of StoreError that an operating system error means."""
    number, words = error.errno or 0, error.strerror or str(error)
    if number in _CAUSES:
        return StoreError(problem, *_CAUSES[number])
    if number in (errno.EACCES, errno.EPERM, errno.EROFS):
        return DeniedError(problem, words, "check the owner and mode of its directory, and how it is mounted")
    if number in _AWAY:
        return UnavailableError(problem, words, "check the disk, or the mount and its server")
    return StoreError(problem, words)


@contextlib.contextmanager
def explained(problem: str) -> t.Iterator[None]:
    """Turn operating system errors of the block into StoreError, with `problem` saying what could not be done."""
    try:
        yield
    except OSError as error:
        raise store_error(problem, error) from error


def opened_lock(path: str) -> int:
    """Open a file of a host that processes of all its users lock, and make it if it is not there. Raises OSError."""
    # Not O_CREAT on a file that is there: in a sticky folder the kernel refuses that for files of other users
    # (proc_sys_fs(5), protected_regular), and reading is enough to lock.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.open(path, flags)
    except FileNotFoundError:
        return os.open(path, flags | os.O_CREAT, 0o644)


class Tree:
    """File operations below a root directory that nobody can lead out of it by a symbolic link.

    Every path is walked part by part with directory descriptors (openat, O_NOFOLLOW), so that a link that is put in
    place meanwhile is not followed either. The root itself may be reached by a link: that is the operator's choice. It
    is opened anew for each operation: no mount is pinned, and one that is lost is noticed.
    """

    def __init__(self, root: str, file_mode: int, directory_mode: int) -> None:
        self.root = root
        self._file_mode = file_mode
        self._directory_mode = directory_mode

    def _open_root(self) -> int:
        try:
            return os.open(self.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise UnavailableError(
                f"Cannot use the repository {self.root}",
                "there is no such directory",
                "mount it if it is a mount point, or correct the path; a backup never makes it",
            ) from error

    @contextlib.contextmanager
    def directory(self, parts: t.Sequence[str]) -> t.Iterator[int]:
        """Open a directory and yield its descriptor. Raises FileNotFoundError, NotADirectoryError."""
        at = self._descend(parts, make=False)
        try:
            yield at
        finally:
            os.close(at)

    def _descend(self, parts: t.Sequence[str], make: bool) -> int:
        at = self._open_root()
        try:
            for part in parts:
                below = self._step(at, part, make)
                os.close(at)
                at = below
        except BaseException:
            os.close(at)
            raise
        return at

    def _step(self, at: int, part: str, make: bool) -> int:
        try:
            return os.open(part, _DIRECTORY, dir_fd=at)
        except NotADirectoryError as error:  # what O_DIRECTORY says of a link, too
            if stat.S_ISLNK(os.stat(part, dir_fd=at, follow_symlinks=False).st_mode):
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP)) from error
            raise
        except FileNotFoundError:
            if not make:
                raise
        is_ours = True
        try:
            os.mkdir(part, self._directory_mode, dir_fd=at)
        except FileExistsError:
            is_ours = False
        below = os.open(part, _DIRECTORY, dir_fd=at)
        if is_ours:
            with contextlib.suppress(PermissionError):  # file systems without modes
                os.fchmod(below, self._directory_mode)
            sync_directory(at)
            reached("directory.mkdir.dir_synced")
        return below

    def create(self, parts: t.Sequence[str], name: str, flags: int) -> tuple[int, int]:
        """Make directories as needed, open a file in the last one, and return both descriptors.

        Who removes empty directories may take one away between the two; then both are done again.
        """
        for _attempt in range(_ATTEMPTS):
            with contextlib.suppress(FileNotFoundError):
                at = self._descend(parts, make=True)
                try:
                    return at, os.open(name, flags | os.O_NOFOLLOW | os.O_CLOEXEC, self._file_mode, dir_fd=at)
                except BaseException:
                    os.close(at)
                    raise
        raise UnavailableError(
            f"Cannot create a file in {'/'.join((self.root, *parts))}", "its directory vanishes again and again"
        )

    def temporary(self, parts: t.Sequence[str]) -> TemporaryFile:
        """Begin a file in a directory under a name that no listing shows."""
        while True:
            name = f".tmp-{secrets.token_hex(8)}"
            at, descriptor = self.create(parts, name, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)  # until it is closed: the sign that somebody works on it
                if os.fstat(descriptor).st_nlink:
                    break
            except BaseException:
                os.close(descriptor)
                os.unlink(name, dir_fd=at)
                os.close(at)
                raise
            for each in (descriptor, at):  # a clean-up took it for abandoned before it was locked
                os.close(each)
        with contextlib.suppress(PermissionError):  # file systems without modes
            os.fchmod(descriptor, self._file_mode)  # whatever the umask: the group reads backups
        return TemporaryFile(at, descriptor, name)

    def temporaries(self, parts: t.Sequence[str]) -> list[str]:
        """Return the names of the temporary files in a directory itself, not below it."""
        with contextlib.suppress(FileNotFoundError, NotADirectoryError), self.directory(parts) as at:
            return [name for name in os.listdir(at) if is_temporary(name)]
        return []

    def open_file(self, parts: t.Sequence[str]) -> int | None:
        """Open a regular file for reading, or return None when there is none."""
        try:
            with self.directory(parts[:-1]) as at:
                # A fifo must not block us.
                descriptor = os.open(parts[-1], os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=at)
        except (FileNotFoundError, NotADirectoryError):
            return None
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            return descriptor
        os.close(descriptor)
        return None

    def remove_empty(self, parts: t.Sequence[str]) -> None:
        """Remove a directory and those above it, up to the root, as long as they are empty."""
        for depth in range(len(parts), 0, -1):
            try:
                with self.directory(parts[: depth - 1]) as at:
                    os.rmdir(parts[depth - 1], dir_fd=at)
                    sync_directory(at)
                    reached("directory.rmdir.dir_synced")
            except OSError:  # it is not empty, or somebody else was faster
                return

    def files(self, folder: t.Sequence[str], start: str, is_wanted: t.Callable[[str, str], bool]) -> t.Iterator[Found]:
        """Walk the regular files below `folder` whose path there begins with `start`, in the order of their bytes.

        `is_wanted` is asked with the path of the directory (with a slash, or empty) and the file's name. Raises
        NotADirectoryError where something else is in its place: nobody can tell what would be there.
        """
        try:
            at = self._descend(folder, make=False)
        except FileNotFoundError:
            return
        try:
            yield from self._walk(at, "".join(f"{part}/" for part in folder), start, is_wanted)
        finally:
            os.close(at)

    def _walk(self, at: int, above: str, start: str, is_wanted: t.Callable[[str, str], bool]) -> t.Iterator[Found]:
        for name, is_directory in _sorted_names(at, above, start):
            try:
                if is_directory:
                    below = os.open(name, _DIRECTORY, dir_fd=at)
                elif is_wanted(above, name):
                    found = os.stat(name, dir_fd=at, follow_symlinks=False)
                else:
                    continue
            except (FileNotFoundError, NotADirectoryError):  # gone, or replaced, since the names were read
                continue
            if not is_directory:
                yield f"{above}{name}", found
                continue
            try:
                yield from self._walk(below, f"{above}{name}/", "", is_wanted)
            finally:
                os.close(below)


Found = t.Tuple[str, os.stat_result]  # noqa: UP006 - evaluated on Python 3.9


def _sorted_names(at: int, above: str, start: str) -> list[tuple[str, bool]]:
    """Return directories and regular files in the order of the keys they make: `a.b` comes before `a/b`."""
    keys = []
    with os.scandir(at) as found:
        for entry in found:
            is_directory = entry.is_dir(follow_symlinks=False)
            is_ours = entry.name.startswith(start) and not is_foreign(above, entry.name)
            if is_ours and (is_directory or entry.is_file(follow_symlinks=False)):
                with contextlib.suppress(UnicodeEncodeError):  # no key of ours
                    keys.append((f"{entry.name}/" if is_directory else entry.name).encode())
    return [(key.decode().rstrip("/"), key.endswith(b"/")) for key in sorted(keys)]


def is_temporary(name: str) -> bool:
    """Say whether `name` is one that `temporary` gives."""
    return _TEMPORARY.fullmatch(name) is not None


def is_foreign(above: str, name: str) -> bool:
    """Say whether a name belongs to the file system and not to us."""
    return _NFS_DELETED.fullmatch(name) is not None or (not above and name == "lost+found")


def sync_directory(at: int) -> None:
    """Make the names in a directory durable."""
    try:
        os.fsync(at)
    except OSError as error:
        if error.errno not in _NO_DIRECTORY_SYNC:
            raise


class TemporaryFile:
    """A file that gets its name when it is whole and durable, and vanishes otherwise."""

    def __init__(self, at: int, descriptor: int, name: str) -> None:
        self._at = at
        self.descriptor = descriptor
        self._name = name
        self._is_open = True
        self._size = 0
        self._handed_over = 0  # bytes of which the system was told to write them

    def write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            written = os.write(self.descriptor, rest)
            self._size += written
            rest = rest[written:]
        if self._size - self._handed_over >= _WRITE_BACK:
            self._hand_over()

    def _hand_over(self) -> None:
        """Begin to write to the disk now, so that `sync` finds little to do, and free the memory of what is written.

        A backup must not push the database out of the page cache, and what is read back should come from the disk.
        """
        start = max(0, self._handed_over - 4 * _WRITE_BACK)  # pages are freed by a call after they were written
        if hasattr(os, "posix_fadvise"):
            with contextlib.suppress(OSError):  # it is only advice
                os.posix_fadvise(self.descriptor, start, self._size - start, os.POSIX_FADV_DONTNEED)
        self._handed_over = self._size

    def sync(self, step: str) -> None:
        """Make the bytes durable."""
        os.fsync(self.descriptor)
        reached(f"{step}.synced")

    def link(self, name: str, step: str) -> None:
        """Give the file its name if nothing has it. Raises FileExistsError."""
        try:
            os.link(self._name, name, src_dir_fd=self._at, dst_dir_fd=self._at, follow_symlinks=False)
        except FileExistsError:
            # NFS asks again when an answer is lost, and is told that the link it just made exists.
            if os.fstat(self.descriptor).st_nlink != 2:
                raise
        except OSError as error:
            if error.errno in _NO_LINKS:
                raise StoreError(
                    f"Cannot write {name} so that nobody else's is overwritten",
                    f"its file system has no hard links ({error.strerror})",
                    "use a local or NFS file system, or a bucket",
                ) from error
            raise
        reached(f"{step}.linked")
        os.unlink(self._name, dir_fd=self._at)
        self._sync_names(step)

    def rename(self, name: str, step: str) -> None:
        """Give the file its name, whatever has it."""
        os.rename(self._name, name, src_dir_fd=self._at, dst_dir_fd=self._at)
        reached(f"{step}.renamed")
        self._sync_names(step)

    def _sync_names(self, step: str) -> None:
        sync_directory(self._at)
        reached(f"{step}.dir_synced")

    def discard(self) -> None:
        """Close the file, and remove it if it has not got its name; never raises."""
        if not self._is_open:
            return
        self._is_open = False
        with contextlib.suppress(OSError):  # it is gone once it has its name
            os.unlink(self._name, dir_fd=self._at)
        for descriptor in (self.descriptor, self._at):
            with contextlib.suppress(OSError):
                os.close(descriptor)

    def __enter__(self) -> TemporaryFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.discard()


def lock(descriptor: int, is_exclusive: bool, wait_s: float) -> bool:
    """Take an flock, and return False if others still hold it after `wait_s` seconds; closing the file lets it go."""
    kind = fcntl.LOCK_EX if is_exclusive else fcntl.LOCK_SH
    deadline, pause = clock.monotonic() + wait_s, 0.001
    while True:
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            left = deadline - clock.monotonic()
            if left <= 0:
                return False
            clock.sleep(min(pause, left))
            pause = min(pause * 2, 0.5)
