# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Manifests and proofs that a host has read before, so that a listing need not read ten thousands of them again."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import secrets
import stat
import typing as t

from .. import clock
from ..errors import DamagedError
from . import json_document
from .judged import Judged, Read
from .store import Document, Entry

_MAGIC = b"lifeboat recall 2\n"
_SUFFIX = ".recall"
_MOST_FILE = 128 * 1024 * 1024  # bytes of one file
_MOST_FOLDER = 512 * 1024 * 1024  # bytes of all files; the ones that were written longest ago go
_MOST_DOCUMENT = 256 * 1024  # bytes; what is bigger is read each time
_LIFE_S = 90 * 86400.0  # files that nobody has used for so long go
_TOUCH_S = 86400.0  # how exactly that is known


class _Kept(t.NamedTuple):
    """A document; or, of a manifest, what was judged by it and proofs."""

    marks: str  # a line of what a listing shows of it, then, where something was judged, one for each of the proofs
    data: bytes  # empty once something was judged: that says all that listings need
    judged: list[t.Any] | None = None  # see Judged


class Recall:
    """The documents of one job in one repository, in a file that only this user may read.

    A document counts only while a listing shows what it showed when the document was read: key, version, ETag, size and
    time; and what was judged by several documents only while that is so of all of them. A file that is damaged, of
    somebody else, or writable by others is as good as none, and nothing here ever fails: what cannot be remembered is
    read again. Several processes may use one file: it is replaced as a whole, and the last one wins.
    """

    def __init__(self, folder: str, *subject: str) -> None:
        """Use a file below `folder`; `subject` says what this is of: the repository, the job, the keys that one has."""
        digest = hashlib.sha256("\0".join(subject).encode("utf-8", "surrogateescape")).hexdigest()
        self._folder = folder
        self._file = f"{digest[:40]}{_SUFFIX}"
        self._used: dict[str, _Kept] = {}
        self._unread: set[str] = set()  # keys of what was kept, and nobody has found to be whole yet

    def load(self) -> int:
        """Read the file now rather than for the first question, and return how much it knows."""
        return len(self._known)

    def document(self, entry: Entry) -> Document | None:
        """Return what was read before from what a listing shows now, or None."""
        known = self._known.get(entry.key)
        if known is None or known.judged is not None or known.marks != _mark(entry):
            return None
        self._used[entry.key] = known
        return Document(json_document.Checked(known.data), entry.etag, entry.modified)

    def remember(self, entry: Entry, document: Document) -> None:
        """Keep what was read from what a listing shows; not if it was changed in between, or is damaged."""
        fits = len(document.data) == entry.size <= _MOST_DOCUMENT and document.etag == entry.etag
        if fits and document.modified.replace(microsecond=0) == entry.modified.replace(microsecond=0):
            self._used[entry.key] = _Kept(_mark(entry), document.data)
            self._unread.add(entry.key)

    def judged(self, manifest: Entry, proofs: t.Sequence[Entry], job: str, backup_id: str, read: Read) -> Judged | None:
        """Return what a backup was found to be by its manifest and these proofs, or None.

        `read` reads the manifest again, for who wants more of it than was kept.
        """
        known = self._known.get(manifest.key)
        if known is None or known.judged is None or known.marks != _marks(manifest, proofs):
            return None
        try:
            found = Judged.from_kept(known.judged, job, backup_id, read)
        except (ValueError, TypeError):
            return None
        self._used[manifest.key] = known
        return found

    def judge(self, manifest: Entry, proofs: t.Sequence[Entry], found: Judged) -> None:
        """Keep what a backup was found to be by its manifest and proofs instead of these, if the manifest is kept."""
        kept = self._used.get(manifest.key)
        if kept is not None and kept.marks == _mark(manifest):
            self._unread.discard(manifest.key)  # nothing could be judged by what is not whole
            judged = found.kept(kept.data)
            if judged is not None:
                self._used[manifest.key] = _Kept(_marks(manifest, proofs), b"", judged)
            for proof in proofs if judged is not None else ():
                self._used.pop(proof.key, None)

    def save(self) -> None:
        """Keep what was used and is whole, and forget everything else."""
        for key in self._unread & self._used.keys():
            try:
                json_document.decoded(self._used[key].data, key)
            except DamagedError:
                del self._used[key]
        self._unread.clear()
        with contextlib.suppress(OSError), _own_folder(self._folder) as at:
            if self._used == self._known:
                _touch(at, self._file)
            else:
                self._write(at)
                _tidy(at, self._file)

    @functools.cached_property
    def _known(self) -> dict[str, _Kept]:
        with contextlib.suppress(OSError, ValueError, TypeError, RecursionError):
            with _own_folder(self._folder, is_made=False) as at:
                data = _read(at, self._file)
            return _parsed(data)
        return {}

    def _write(self, at: int) -> None:
        data = _written(self._used)
        if len(data) > _MOST_FILE:
            return
        name = f".{self._file}.{secrets.token_hex(4)}"
        descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=at)
        try:
            with open(descriptor, "wb") as file:
                file.write(data)
            os.rename(name, self._file, src_dir_fd=at, dst_dir_fd=at)
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(name, dir_fd=at)
            raise


def _mark(entry: Entry) -> str:
    return f"{entry.version_id} {entry.etag} {entry.size} {entry.modified.timestamp()}"


def _marks(manifest: Entry, proofs: t.Sequence[Entry]) -> str:
    """Return the marks of a manifest and its proofs; the keys of proofs are never used twice, and count."""
    return "\n".join([_mark(manifest), *(f"{each.key} {_mark(each)}" for each in proofs)])


def _written(used: t.Mapping[str, _Kept]) -> bytes:
    """Return a file: its SHA-256 in hexadecimal, the length of the index, the index, and the documents."""
    rows = [[key, len(kept.data), kept.marks, kept.judged] for key, kept in used.items()]
    index = json.dumps(rows, separators=(",", ":")).encode("ascii")
    body = b"".join([b"%d\n" % len(index), index, *(kept.data for kept in used.values())])
    return _MAGIC + hashlib.sha256(body).hexdigest().encode("ascii") + b"\n" + body


def _parsed(data: bytes) -> dict[str, _Kept]:
    """Return what `_written` wrote. Raises ValueError and TypeError for everything else."""
    head, digest, body = data[: len(_MAGIC)], data[len(_MAGIC) : len(_MAGIC) + 64], data[len(_MAGIC) + 65 :]
    if head != _MAGIC or hashlib.sha256(body).hexdigest().encode("ascii") != digest:
        raise ValueError("damaged, or of another version")
    length, _newline, rest = body.partition(b"\n")
    offset = int(length)
    known: dict[str, _Kept] = {}
    for key, count, marks, judged in json.loads(rest[:offset]):
        known[key] = _Kept(marks, rest[offset : offset + count], judged)
        offset += count
    return known


@contextlib.contextmanager
def _own_folder(path: str, is_made: bool = True) -> t.Iterator[int]:
    """Open a folder that belongs to this user and nobody else may write to. Raises OSError for others."""
    if is_made:
        os.makedirs(path, mode=0o700, exist_ok=True)
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        _require_own(os.fstat(descriptor))
        yield descriptor
    finally:
        os.close(descriptor)


def _require_own(found: os.stat_result) -> None:
    if found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise PermissionError("it belongs to somebody else, or others may write to it")


def _read(at: int, name: str) -> bytes:
    descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=at)
    with open(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        _require_own(found)
        if not stat.S_ISREG(found.st_mode) or found.st_size > _MOST_FILE:
            raise ValueError("not a file of ours")
        return file.read(_MOST_FILE)


def _touch(at: int, name: str) -> None:
    if clock.now().timestamp() - os.stat(name, dir_fd=at, follow_symlinks=False).st_mtime > _TOUCH_S:
        os.utime(name, dir_fd=at, follow_symlinks=False)


def _tidy(at: int, own: str) -> None:
    """Remove files that nobody uses any more, those that killed processes left, and the oldest of too many."""
    found = []
    for name in os.listdir(at):
        if _SUFFIX in name:
            with contextlib.suppress(FileNotFoundError):
                facts = os.stat(name, dir_fd=at, follow_symlinks=False)
                found.append((facts.st_mtime, facts.st_size, name))
    room, now = _MOST_FOLDER, clock.now().timestamp()
    for modified, size, name in sorted(found, reverse=True):
        room -= size
        is_left = name.startswith(".") and now - modified > _TOUCH_S
        if name != own and (is_left or room < 0 or now - modified > _LIFE_S):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name, dir_fd=at)
