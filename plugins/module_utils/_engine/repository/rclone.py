# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import datetime as dt
import fcntl
import hashlib
import os
import posixpath
import re
import secrets
import tempfile
import typing as t

from .. import clock
from ..child import CHUNK
from ..errors import BusyError, DamagedError
from ..steps import reached
from .rclone_program import Rclone
from .store import ChangedError, Document, Entry, ExistsError, Store, StoreError, Upload, Version
from .tree import is_temporary, lock, opened_lock

_TEMPORARY = ".tmp-"  # what unfinished files are called; as in directories, so that a copy of all of it is one
_LOCK_FOLDERS = ("/run/lock", tempfile.gettempdir())  # Filesystem Hierarchy Standard 3.0, section 5.9
_LOCK_WAIT_S = 70 * 60.0
_TIME = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]+))?(Z|[+-][0-9]{2}:[0-9]{2})")
_UNKNOWN = dt.datetime(1970, 1, 1, tzinfo=clock.UTC)


class RcloneStore(Store):
    """A repository for copies on any remote of an installed rclone (docs/copies.md, "rclone").

    Nothing is conditional there and the remote has no clock of ours: who writes is one host, whose processes exclude
    each other by an flock. Files are written whole under a name that no listing shows, and then renamed; the manifest
    is the last one. Only encrypted backups are brought: the place is somebody else's.
    """

    copies_only = True
    encrypted_only = True

    def __init__(self, rclone: Rclone) -> None:
        self._rclone = rclone.checked()
        self.name = f"rclone {rclone.remote}"

    @property
    def has_locks(self) -> bool:
        return True

    def now(self) -> dt.datetime:
        return clock.now()

    def get(self, key: str, version_id: str = "") -> Document | None:
        problem = self._problem("read", key)
        found = self.stat(key)
        if found is None:
            return None
        if found.size > self.max_document_bytes:
            raise StoreError(problem, f"{found.size} bytes are too many for a document")
        data = self._rclone.said(problem, "cat", self._rclone.path(key))
        if data is None:
            return None
        if len(data) != found.size:
            raise StoreError(problem, f"{len(data)} of {found.size} bytes came")
        return Document(data, hashlib.sha256(data).hexdigest(), found.modified)

    def stat(self, key: str) -> Entry | None:
        found = self._rclone.listed(self._problem("look at", key), "--stat", self._rclone.path(key))
        return None if not found or found.get("IsDir") else _entry(key, found)

    def entries(self, prefix: str) -> t.Iterator[Entry]:
        return (entry for entry in self._all(prefix) if not _is_hidden(entry.key))

    def _all(self, prefix: str) -> t.Iterator[Entry]:
        """List what begins with a prefix, unfinished files too."""
        folder = prefix.rpartition("/")[0]
        problem, path = f"Cannot list {self.name}", self._rclone.path(folder)
        rows = self._rclone.listed(problem, "--recursive", "--files-only", path)
        # That something is missing can also be said of a folder below, which went while this was read.
        if rows is None and self._rclone.listed(problem, "--stat", path):
            raise StoreError(problem, f"{folder or 'its root'} was changed while it was listed", "run it again")
        rows = rows or ()
        # Some remotes hold several files of one name; all of them were written by us, and the newest counts.
        found: dict[str, Entry] = {}
        for row in rows:
            entry = _entry(posixpath.join(folder, row["Path"]), row)
            if entry.key.startswith(prefix) and entry.modified >= found.get(entry.key, entry).modified:
                found[entry.key] = entry
        return iter(sorted(found.values(), key=lambda entry: entry.key.encode()))

    def versions(self, prefix: str) -> t.Iterator[Version]:
        for entry in self.entries(prefix):
            yield Version(entry, is_latest=True, is_delete_marker=False)

    def put(self, key: str, data: bytes) -> str:
        upload = self.upload(key, len(data))
        try:
            upload.write(data)
            upload.finish()
        except BaseException:
            upload.abort()
            raise
        return hashlib.sha256(data).hexdigest()

    def put_new(self, key: str, data: bytes, signed_at: dt.datetime | None = None) -> str:
        if self.stat(key) is not None:
            raise ExistsError(self._problem("create", key), "it is there already", "look at it")
        return self.put(key, data)

    def refuses_second(self, key: str) -> bool:
        return False

    def replace(self, key: str, data: bytes, etag: str, signed_at: dt.datetime | None = None) -> str:
        found = self.get(key)
        if found is None or found.etag != etag:
            raise ChangedError(self._problem("replace", key), "somebody else has changed it", "read it again")
        return self.put(key, data)

    def delete(self, key: str, version_id: str = "", signed_at: dt.datetime | None = None) -> None:
        self._rclone.said(self._problem("delete", key), "deletefile", self._rclone.path(key))
        reached("rclone.deleted")

    def upload(self, key: str, estimate_bytes: int, signed_at: t.Callable[[], dt.datetime] | None = None) -> Upload:
        return _RcloneUpload(self, self._rclone, key, estimate_bytes)

    def discard_unfinished(self, key: str) -> None:
        for entry in list(self._all(f"{key.rpartition('/')[0]}/")):
            if _is_hidden(entry.key):
                self.delete(entry.key)

    def discard_abandoned(self, job: str) -> list[str]:
        """Drop what killed copies of a job left under names that no listing shows; not while somebody copies."""
        try:
            with self.exclusive_lock(job, 0):
                found = [entry.key for entry in self._all(f"data/{job}/") if _is_hidden(entry.key)]
                for key in found:
                    self.delete(key)
                return found
        except BusyError:
            return []

    def read(self, key: str, offset: int = 0, length: int | None = None, version_id: str = "") -> t.Iterator[bytes]:
        problem = self._problem("read", key)
        found = self.stat(key)
        if found is None:
            raise DamagedError(problem, "there is no such file", "use another copy of the backup")
        left = found.size - offset if length is None else length
        if left <= 0:
            return
        with self._rclone.started("cat", f"--offset={offset}", f"--count={left}", self._rclone.path(key)) as child:
            while left > 0:
                chunk = child.stdout.read(min(CHUNK, left))
                if not chunk:
                    break
                left -= len(chunk)
                yield chunk
            is_there = self._rclone.ended(child, problem)
        if left > 0 or not is_there:
            raise StoreError(problem, f"it ends {left} bytes early", "use another copy of the backup")

    @contextlib.contextmanager
    def shared_lock(self, name: str) -> t.Iterator[None]:
        with self._locked(name, False, _LOCK_WAIT_S):
            yield

    @contextlib.contextmanager
    def exclusive_lock(self, name: str, wait_s: float) -> t.Iterator[None]:
        with self._locked(name, True, wait_s):
            yield

    @contextlib.contextmanager
    def _locked(self, name: str, is_exclusive: bool, wait_s: float) -> t.Iterator[None]:
        """Exclude other processes of this host that work on a job in this remote."""
        problem = f"Cannot lock {name} of {self.name}"
        digest = hashlib.sha256(f"{self._rclone.remote}\n{name}".encode()).hexdigest()[:16]
        folder = next((each for each in _LOCK_FOLDERS if os.access(each, os.W_OK)), _LOCK_FOLDERS[-1])
        try:
            descriptor = opened_lock(os.path.join(folder, f"lifeboat-rclone-{digest}.lock"))
        except OSError as error:
            raise StoreError(problem, error.strerror or str(error), "run it as the user who ran it before") from error
        try:
            if not lock(descriptor, is_exclusive, wait_s):
                raise BusyError(problem, "another process of this host works on it", "try again later")
            yield
        finally:
            fcntl.flock(descriptor, fcntl.LOCK_UN)
            os.close(descriptor)

    def _problem(self, verb: str, key: str) -> str:
        return f"Cannot {verb} {key} in {self.name}"


class _RcloneUpload:
    """A file that rclone reads from us, and that gets its name in the end."""

    def __init__(self, store: RcloneStore, rclone: Rclone, key: str, size: int) -> None:
        self._store = store
        self._rclone = rclone
        self._key = key
        self._written_to = posixpath.join(key.rpartition("/")[0], f"{_TEMPORARY}{secrets.token_hex(8)}")
        self._problem = f"Cannot write {key} in {store.name}"
        self._size = 0
        self._is_over = False
        # With a size rclone refuses what is shorter: a copier that was killed leaves no file that seems whole.
        words = ("rcat", *((f"--size={size}",) if size > 0 else ()), rclone.path(self._written_to))
        self._child = rclone.started(*words, is_fed=True, is_read=False)

    def write(self, chunk: bytes) -> None:
        try:
            self._child.stdin.write(chunk)
        except BrokenPipeError as error:
            self._rclone.ended(self._child, self._problem)
            raise StoreError(self._problem, "rclone ended before it had everything") from error
        self._size += len(chunk)

    def finish(self) -> Entry:
        with contextlib.suppress(BrokenPipeError):  # its exit code tells
            self._child.stdin.close()
        if not self._rclone.ended(self._child, self._problem):
            raise StoreError(self._problem, "the remote has no place for it")
        reached("rclone.written")
        words = ("moveto", self._rclone.path(self._written_to), self._rclone.path(self._key))
        if self._rclone.said(self._problem, *words) is None:
            raise StoreError(self._problem, "it vanished while it was written")
        reached("rclone.moved")
        self._is_over = True
        found = self._store.stat(self._key)
        if found is None or found.size != self._size:
            size = 0 if found is None else found.size
            raise StoreError(self._problem, f"{size} of {self._size} bytes are there")
        return found

    def abort(self) -> None:
        if self._is_over:
            return
        self._is_over = True
        self._child.stop()
        with contextlib.suppress(StoreError):
            self._store.delete(self._written_to)


def _is_hidden(key: str) -> bool:
    """Say whether a name is that of an unfinished file, ours or that of a directory that was copied here."""
    return any(part.startswith(_TEMPORARY) or is_temporary(part) for part in key.split("/"))


def _entry(key: str, row: t.Mapping[str, t.Any]) -> Entry:
    modified, size = str(row.get("ModTime", "")), int(row.get("Size", 0))
    return Entry(key, size, f"{size:x}-{modified}", _moment(modified))


def _moment(text: str) -> dt.datetime:
    """Read a time as rclone writes it, whose fraction may have any length and whose zone may be that of the host."""
    found = _TIME.fullmatch(text)
    if found is None:
        return _UNKNOWN
    whole, fraction, zone = found.groups()
    offset = "+00:00" if zone == "Z" else zone
    return dt.datetime.fromisoformat(f"{whole}.{(fraction or '')[:6].ljust(6, '0')}{offset}").astimezone(clock.UTC)
