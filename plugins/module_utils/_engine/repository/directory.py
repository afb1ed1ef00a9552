# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import datetime as dt
import errno
import hashlib
import os
import stat
import typing as t

from .. import clock
from ..child import CHUNK
from ..errors import BusyError, DamagedError, UsageError
from ..steps import reached
from .store import (
    ChangedError,
    DeniedError,
    Document,
    Entry,
    ExistsError,
    Store,
    StoreError,
    UnavailableError,
    Upload,
    Version,
)
from .tree import TemporaryFile, Tree, explained, is_foreign, is_temporary, lock, store_error, sync_directory

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.timezone.utc)
# Directories with files of all jobs (docs/format.md, "Layout").
_SHARED = ((), ("jobs",), ("maintenance",), ("keys",), ("RESCUE",))
# Directories with one for each job.
_PER_JOB = ("acknowledged", "data", "holds", "intents", "manifests", "plans", "recoveries", "verified")
_WRITTEN = ("data", "intents", "manifests", "verified")  # of those, what every run of a job writes to
_REPLACE_LOCK = ".replace"
_REPLACE_WAIT_S = 60.0  # the lock is held for the milliseconds of one small write
_LOCK_WAIT_S = 70 * 60.0  # docs/protocol.md, rule 6: who finds maintenance under way waits up to 70 minutes


class DirectoryStore(Store):
    """A repository in a directory: local disk, or NFS.

    The root must be there: an unmounted file system must not be written to underneath. A file appears under its name at
    once, whole and durable: it is written under a temporary name, synced, and linked (new files) or renamed. The file
    system needs hard links and flock. There are no versions, and no signatures that could expire: `signed_at` is
    ignored, as maintenance and publishing exclude each other by locks here. ETags of `get`, `put`, `put_new` and
    `replace` are the SHA-256 of the bytes; those of listings, `stat` and uploads only tell files apart and are not for
    `replace`.
    """

    def __init__(
        self, root: str, *, file_mode: int = 0o640, directory_mode: int = 0o750, lock_wait_s: float = _LOCK_WAIT_S
    ) -> None:
        if not os.path.isabs(root):
            raise UsageError(f"Cannot use the directory {root!r} as a repository", "it is not an absolute path")
        self.name = root
        self._tree = Tree(root, file_mode, directory_mode)
        self._lock_wait_s = lock_wait_s

    @property
    def has_locks(self) -> bool:
        return True

    def now(self) -> dt.datetime:
        """Return the clock of the file system, read from a file that is touched for it.

        Ages are computed from file times, and an NFS server sets those by its own clock. Where nothing may be written,
        nothing is aged or ordered by us either: the host's clock then serves to show how old things are.
        """
        try:
            with self._tree.temporary(()) as file:
                os.utime(file.descriptor)  # "now" is filled in by the server
                return _moment(os.fstat(file.descriptor).st_mtime_ns)
        except OSError as error:
            if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
                return clock.now()
            raise store_error(f"Cannot read the clock of {self.name}", error) from error

    def get(self, key: str, version_id: str = "") -> Document | None:
        problem = self._problem("read", key)
        with explained(problem):
            descriptor = self._tree.open_file(_parts(key, version_id))
            if descriptor is None:
                return None
            with open(descriptor, "rb", buffering=0) as file:
                found = os.fstat(descriptor)
                if found.st_size > self.max_document_bytes:
                    raise StoreError(problem, f"{found.st_size} bytes are too many for a document")
                data = b"".join(iter(lambda: file.read(CHUNK), b""))
        return Document(data, _sha256(data), _moment(found.st_mtime_ns))

    def stat(self, key: str) -> Entry | None:
        with explained(self._problem("look at", key)):
            parts = _parts(key)
            try:
                with self._tree.directory(parts[:-1]) as at:
                    found = os.stat(parts[-1], dir_fd=at, follow_symlinks=False)
            except (FileNotFoundError, NotADirectoryError):
                return None
            if stat.S_ISLNK(found.st_mode):
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
            return _entry(key, found) if stat.S_ISREG(found.st_mode) else None

    def entries(self, prefix: str) -> t.Iterator[Entry]:
        folder, slash, start = prefix.rpartition("/")
        parts = _parts(folder) if slash else ()
        with explained(f"Cannot list {self.name}"):
            for key, found in self._tree.files(parts, start, lambda above, name: not _is_reserved(f"{above}{name}")):
                yield _entry(key, found)

    def versions(self, prefix: str) -> t.Iterator[Version]:
        for entry in self.entries(prefix):
            yield Version(entry, is_latest=True, is_delete_marker=False)

    def put(self, key: str, data: bytes) -> str:
        parts = _parts(key)
        with explained(self._problem("write", key)), self._tree.temporary(parts[:-1]) as file:
            file.write(data)
            file.sync("directory.put")
            with self._changing():
                file.rename(parts[-1], "directory.put")
        return _sha256(data)

    def put_new(self, key: str, data: bytes, signed_at: dt.datetime | None = None) -> str:
        parts = _parts(key)
        problem = self._problem("write", key)
        with explained(problem), self._tree.temporary(parts[:-1]) as file:
            file.write(data)
            file.sync("directory.put")
            _link(file, parts[-1], "directory.put", problem)
        return _sha256(data)

    def refuses_second(self, key: str) -> bool:
        return True  # link(2) never replaces

    def replace(self, key: str, data: bytes, etag: str, signed_at: dt.datetime | None = None) -> str:
        parts = _parts(key)
        problem = self._problem("replace", key)
        with explained(problem), self._changing():
            found = self.get(key)
            if found is None or found.etag != etag:
                raise ChangedError(problem, "it is gone" if found is None else "somebody else has changed it")
            with self._tree.temporary(parts[:-1]) as file:
                file.write(data)
                file.sync("directory.put")
                file.rename(parts[-1], "directory.put")
        return _sha256(data)

    def delete(self, key: str, version_id: str = "", signed_at: dt.datetime | None = None) -> None:
        parts = _parts(key, version_id)
        with explained(self._problem("delete", key)), self._changing():
            self._remove(parts)

    def _remove(self, parts: t.Sequence[str]) -> None:
        try:
            with self._tree.directory(parts[:-1]) as at:
                os.unlink(parts[-1], dir_fd=at)
                reached("directory.delete.unlinked")
                sync_directory(at)
                reached("directory.delete.dir_synced")
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return
        self._tree.remove_empty(parts[:-1])

    def upload(self, key: str, estimate_bytes: int, signed_at: t.Callable[[], dt.datetime] | None = None) -> Upload:
        parts = _parts(key)
        problem = self._problem("write", key)
        with explained(problem):
            return _DirectoryUpload(self._tree.temporary(parts[:-1]), key, problem)

    def discard_unfinished(self, key: str) -> None:
        folder = _parts(key)[:-1]
        with explained(f"Cannot list {self.name}"):
            found = [path for path, _facts in self._tree.files(folder, "", lambda _above, name: is_temporary(name))]
        for path in found:
            self.remove_temporary(path)

    def discard_abandoned(self, job: str) -> list[str]:
        """Drop the temporary files of a job, and those above its folders, that no process holds the lock of."""
        name = _lock_name(job)
        with explained(f"Cannot list {self.name}"):
            found = ["/".join((*above, each)) for above in _SHARED for each in self._tree.temporaries(above)]
            for top in _PER_JOB:
                below = self._tree.files((top, name), "", lambda _above, each: is_temporary(each))
                found += [path for path, _facts in below]
        return [path for path in found if self._removed_if_abandoned(path)]

    def _removed_if_abandoned(self, path: str) -> bool:
        """Remove a temporary file unless somebody works on it, and say whether it was removed."""
        parts = path.split("/")
        with contextlib.suppress(OSError):  # that of another user is not ours to remove
            descriptor = self._tree.open_file(parts)
            if descriptor is not None:
                try:
                    if lock(descriptor, False, 0):  # shared: NFS locks exclusively only what is open for writing
                        self._remove(parts)
                        return True
                finally:
                    os.close(descriptor)
        return False

    def require_writable(self, job: str) -> None:
        name = _lock_name(job)
        for parts in (*((top, name) for top in _WRITTEN), ("maintenance", f"{name}.lock")):
            path = os.path.join(self.name, *parts)
            while not os.path.lexists(path) and len(path) > len(self.name):
                path = os.path.dirname(path)
            if not os.access(path, os.W_OK, effective_ids=True):
                cause = f"this user cannot write to {path}"
                raise DeniedError(self._problem("back up", job), cause, "look at its owner, mode and mount")

    def read(self, key: str, offset: int = 0, length: int | None = None, version_id: str = "") -> t.Iterator[bytes]:
        problem = self._problem("read", key)
        with explained(problem):
            descriptor = self._tree.open_file(_parts(key, version_id))
            if descriptor is None:
                raise DamagedError(problem, "there is no such file", "use another copy of the backup")
            with open(descriptor, "rb", buffering=0) as file:
                left = os.fstat(descriptor).st_size - offset if length is None else length
                file.seek(offset)
                while left > 0:
                    chunk = file.read(min(CHUNK, left))
                    if not chunk:
                        raise StoreError(problem, f"it ends {left} bytes early", "use another copy of the backup")
                    yield chunk
                    left -= len(chunk)

    @contextlib.contextmanager
    def shared_lock(self, name: str) -> t.Iterator[None]:
        """Keep maintenance of the job `name` out. Raises BusyError when it is under way for longer than 70 minutes."""
        problem = f"Cannot publish for {name} in {self.name}"
        with self._locked(_lock_name(name), False, self._lock_wait_s, BusyError(problem, "maintenance is under way")):
            yield

    @contextlib.contextmanager
    def exclusive_lock(self, name: str, wait_s: float) -> t.Iterator[None]:
        problem = f"Cannot begin maintenance of {name} in {self.name}"
        busy = BusyError(problem, "another maintenance, or a run that publishes, is under way", "try again later")
        with self._locked(_lock_name(name), True, wait_s, busy):
            yield

    @contextlib.contextmanager
    def _changing(self) -> t.Iterator[None]:
        """Exclude everybody else who changes documents here, so that `replace` can compare and write in one go."""
        busy = UnavailableError(f"Cannot change {self.name}", "another process holds it for too long", "look for it")
        with self._locked(_REPLACE_LOCK, True, _REPLACE_WAIT_S, busy):
            yield

    @contextlib.contextmanager
    def _locked(self, name: str, is_exclusive: bool, wait_s: float, busy: Exception) -> t.Iterator[None]:
        problem = f"Cannot lock {name} in {self.name}"
        with explained(problem):
            at, descriptor = self._tree.create(("maintenance",), f"{name}.lock", os.O_RDWR | os.O_CREAT)
            os.close(at)
        try:
            with explained(problem):
                has_it = lock(descriptor, is_exclusive, wait_s)
            if not has_it:
                raise busy
            yield
        finally:
            os.close(descriptor)

    def stale_temporaries(self, older_than_s: float) -> list[str]:
        """Return the paths, below the root, of temporary files that were last written longer ago than that.

        They are what killed runs leave; no listing shows them.
        """
        limit = self.now() - dt.timedelta(seconds=older_than_s)
        with explained(f"Cannot list {self.name}"):
            found = self._tree.files((), "", lambda _above, name: is_temporary(name))
            return [path for path, facts in found if _moment(facts.st_mtime_ns) < limit]

    def remove_temporary(self, path: str) -> None:
        """Remove one of `stale_temporaries`, and the directories that are empty then. Raises StoreError for others."""
        parts = path.split("/")
        if not is_temporary(parts[-1]) or any(part in ("", ".", "..") for part in parts):
            raise StoreError(self._problem("remove", path), "it is no temporary file of ours")
        with explained(self._problem("remove", path)):
            self._remove(parts)

    def _problem(self, verb: str, key: str) -> str:
        return f"Cannot {verb} {key} in {self.name}"


class _DirectoryUpload:
    """A stored file that is being written to a directory."""

    def __init__(self, file: TemporaryFile, key: str, problem: str) -> None:
        self._file = file
        self._key = key
        self._problem = problem
        self._size = 0

    def write(self, chunk: bytes) -> None:
        with self._discarding():
            self._file.write(chunk)
        self._size += len(chunk)

    def finish(self) -> Entry:
        with self._discarding():
            self._file.sync("directory.upload")
            found = os.fstat(self._file.descriptor)
            if found.st_size != self._size:
                raise StoreError(self._problem, f"{found.st_size} of {self._size} bytes are there")
            _link(self._file, self._key.rpartition("/")[2], "directory.upload", self._problem)
        self._file.discard()
        return _entry(self._key, found)

    def abort(self) -> None:
        self._file.discard()

    @contextlib.contextmanager
    def _discarding(self) -> t.Iterator[None]:
        """Give the space back at once after a failure: a full disk hurts others too."""
        try:
            with explained(self._problem):
                yield
        except BaseException:
            self._file.discard()
            raise


def _link(file: TemporaryFile, name: str, step: str, problem: str) -> None:
    try:
        file.link(name, step)
    except FileExistsError as error:
        raise ExistsError(problem, "there is one already") from error
    except FileNotFoundError as error:
        raise StoreError(problem, "its temporary file was removed by a clean-up", "run again") from error


def _lock_name(job: str) -> str:
    if len(_parts(job)) != 1 or job.startswith("."):
        raise StoreError(f"Cannot lock {job!r}", "the name of a job has no slash, and does not begin with a dot")
    return job


def _parts(key: str, version_id: str = "") -> tuple[str, ...]:
    """Split a key into names of directories and a file. Raises StoreError for whatever could mean another place."""
    parts = tuple(key.split("/"))
    if version_id:
        raise StoreError(f"Cannot find version {version_id} of {key}", "a directory has no versions")
    if any(part in ("", ".", "..") or "\0" in part for part in parts):
        raise StoreError(f"Cannot use the key {key!r}", "it has empty parts, dots as parts, or a NUL")
    if _is_reserved(key):
        raise StoreError(f"Cannot use the key {key!r}", "this name is for locks and temporary files")
    return parts


def _is_reserved(key: str) -> bool:
    folder, _slash, name = key.rpartition("/")
    if folder == "maintenance" and name.endswith(".lock"):
        return True
    return any(part.startswith(".tmp-") for part in key.split("/")) or is_foreign(folder, name)


def _entry(key: str, found: os.stat_result) -> Entry:
    etag = f"{found.st_size:x}-{found.st_mtime_ns:x}-{found.st_ino:x}"
    return Entry(key, found.st_size, etag, _moment(found.st_mtime_ns))


def _moment(nanoseconds: int) -> dt.datetime:
    return _EPOCH + dt.timedelta(microseconds=nanoseconds // 1000)


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
