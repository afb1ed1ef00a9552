# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import abc
import concurrent.futures
import contextlib
import dataclasses
import datetime as dt
import typing as t

from ..errors import LifeboatError
from .keys import Keys

_READERS = 8  # threads that wait for a slow file system


class StoreError(LifeboatError):
    """A request to a repository failed."""


class UnavailableError(StoreError):
    """The repository could not be reached, or did not answer in time; the request may or may not have had an effect."""


class DeniedError(StoreError):
    """The repository refused the credentials or the right to do this."""


class ExistsError(StoreError):
    """`put_new` found something under the key."""


class ChangedError(StoreError):
    """`replace` found other bytes than those of the given ETag, or nothing."""


class ExpiredError(StoreError):
    """The repository refused a request because it was signed too long ago (docs/protocol.md, rules 4 and 6).

    It had no effect.
    """


class ArchivedError(StoreError):
    """A stored file lies in an archive of its server, and cannot be read before it was brought back."""


@dataclasses.dataclass(frozen=True)
class Entry:
    """One stored key as a listing shows it."""

    key: str  # relative to the repository's root
    size: int  # bytes
    etag: str  # without quotes; opaque
    modified: dt.datetime  # the server's clock
    version_id: str = ""  # empty where there are no versions


@dataclasses.dataclass(frozen=True)
class Version:
    """One version of a key, as a listing of versions shows it."""

    entry: Entry
    is_latest: bool
    is_delete_marker: bool


@dataclasses.dataclass(frozen=True)
class Retention:
    """Until when object lock keeps a version, and how."""

    mode: str = ""  # GOVERNANCE | COMPLIANCE; empty: it is not locked
    until: dt.datetime | None = None


NOT_RETAINED = Retention()


@dataclasses.dataclass(frozen=True)
class Document:
    """A small stored object, whole."""

    data: bytes
    etag: str  # without quotes; opaque
    modified: dt.datetime  # the server's clock


class Upload(t.Protocol):
    """A stored file that is being written; nothing is visible under its key before `finish`."""

    def write(self, chunk: bytes) -> None:
        """Take the next bytes, of any length; may block while earlier ones are on their way."""

    def finish(self) -> Entry:
        """Make everything durable and visible; the size was compared with what the server says."""

    def abort(self) -> None:
        """Drop what was written; never raises, and does nothing after `finish`."""


class Store(abc.ABC):
    """A place that holds a repository: flat keys below a root, as bytes that are written once.

    Keys are relative, with `/` between their parts. All times are the server's. Every method raises `StoreError` or
    one of its kinds. An object of this class may be used by several threads.
    """

    name: str  # how people know this place: a path, or `s3://bucket/prefix at endpoint`
    copies_only = False  # no run writes here first
    encrypted_only = False  # backups that are not encrypted are not brought here
    keys: Keys | None = None  # of whoever opened it: what is written is encrypted, what is read is authenticated
    allow_unsigned: bool = False  # with keys: a backup without a signature can be restored by its id all the same
    max_document_bytes = 64 * 1024 * 1024  # `get` refuses bigger ones: a manifest or record that large is not ours

    @abc.abstractmethod
    def now(self) -> dt.datetime:
        """Return the server's clock, read now."""

    @abc.abstractmethod
    def get(self, key: str, version_id: str = "") -> Document | None:
        """Return a small object (at most `max_document_bytes`), or None when there is none."""

    def documents(self, entries: t.Iterable[Entry]) -> t.Iterator[tuple[Entry, Document]]:
        """Read the newest versions of many small objects that a listing has just shown; yield them in any order.

        What cannot be read is left out: `get` says why.
        """
        with concurrent.futures.ThreadPoolExecutor(_READERS, "documents") as pool:
            for entry, document in pool.map(self._document, entries):
                if document is not None:
                    yield entry, document

    def _document(self, entry: Entry) -> tuple[Entry, Document | None]:
        try:
            return entry, self.get(entry.key)
        except LifeboatError:
            return entry, None

    @abc.abstractmethod
    def stat(self, key: str) -> Entry | None:
        """Return size, ETag and time of an object, or None when there is none."""

    @abc.abstractmethod
    def entries(self, prefix: str) -> t.Iterator[Entry]:
        """List the keys that begin with `prefix`, in the order of their UTF-8 bytes."""

    @abc.abstractmethod
    def versions(self, prefix: str) -> t.Iterator[Version]:
        """List all versions and delete markers below `prefix`: keys in order, of each key the newest first."""

    @abc.abstractmethod
    def put(self, key: str, data: bytes) -> str:
        """Write a small object whatever is there, and return its ETag."""

    @abc.abstractmethod
    def put_new(self, key: str, data: bytes, signed_at: dt.datetime | None = None) -> str:
        """Write a small object if there is none, and return its ETag.

        `signed_at` is the reading of `now()` that the request carries; a server refuses it when it arrives later
        than the signature window after that. Raises ExistsError, ExpiredError. After an UnavailableError the
        outcome is unknown.
        """

    @abc.abstractmethod
    def refuses_second(self, key: str) -> bool:
        """Say whether the server itself refuses to create what is there already: try it, on a key made for that.

        `put_new` looks before it writes, and so cannot tell.
        """

    @abc.abstractmethod
    def replace(self, key: str, data: bytes, etag: str, signed_at: dt.datetime | None = None) -> str:
        """Write a small object if what is there has `etag`, and return the new ETag.

        Raises ChangedError, ExpiredError.
        """

    @abc.abstractmethod
    def delete(self, key: str, version_id: str = "", signed_at: dt.datetime | None = None) -> None:
        """Remove an object, or one version of it; a key that is not there is no error. Raises ExpiredError."""

    @abc.abstractmethod
    def upload(self, key: str, estimate_bytes: int, signed_at: t.Callable[[], dt.datetime] | None = None) -> Upload:
        """Begin a stored file of about `estimate_bytes` (0 = unknown).

        `signed_at`, where given, is asked for the time of each request's signature just before it is sent
        (docs/protocol.md, rule 6).
        """

    @abc.abstractmethod
    def discard_unfinished(self, key: str) -> None:
        """Drop what a killed run left of its upload to `key` (parts, temporary files).

        Only for keys of a run that is known to be over.
        """

    def discard_abandoned(self, job: str) -> list[str]:
        """Drop the temporary files that killed runs of a job left, on whatever host, and return their paths.

        Those of living runs stay. A bucket has none; for parts of uploads see `discard_unfinished`.
        """
        return []

    def unfinished(self, prefix: str) -> list[str]:
        """Return keys that begin with `prefix` and have parts of an upload that was not finished, as far as they can
        be listed. A directory has none, and some servers list them by their whole key only.
        """
        return []

    def require_writable(self, job: str) -> None:
        """Raise DeniedError where it shows without a try that this user cannot write what a run of a job writes."""
        return

    def locked_until(self, key: str, version_id: str = "") -> dt.datetime | None:
        """Return until when a bucket's object lock keeps an object from being deleted; None where nothing does."""
        return None

    def ask_early(self, keys: t.Iterable[str]) -> int:
        """Ask for those of the files that lie in an archive of the server, where that is allowed; return how many."""
        return 0

    def retentions(self, prefix: str) -> t.Mapping[str, Retention]:
        """Return the retention of the newest versions below a prefix by their keys, as far as a listing shows it."""
        return {}

    def retention(self, key: str, version_id: str) -> Retention:
        """Return the retention of a version."""
        return NOT_RETAINED

    def retain(self, key: str, version_id: str, wanted: Retention) -> None:
        """Lock a version of an object. Raises DeniedError, also where that would shorten a lock."""
        raise StoreError(f"Cannot lock {key} in {self.name}", "only buckets have object lock")

    @abc.abstractmethod
    def read(self, key: str, offset: int = 0, length: int | None = None, version_id: str = "") -> t.Iterator[bytes]:
        """Yield the bytes of a stored file in chunks of at most 1 MiB.

        An answer that ends early is asked for again from there; other bytes than the listing promised are a
        StoreError. Raises DamagedError when there is no such file.
        """

    @abc.abstractmethod
    def shared_lock(self, name: str) -> contextlib.AbstractContextManager[None]:
        """Keep maintenance of the job `name` out for a moment (directories.

        Shared `flock`; buckets have no locks: nothing).
        """

    @abc.abstractmethod
    def exclusive_lock(self, name: str, wait_s: float) -> contextlib.AbstractContextManager[None]:
        """Hold the maintenance lock of the job `name` (directories only). Raises BusyError after `wait_s` seconds."""

    @property
    @abc.abstractmethod
    def has_locks(self) -> bool:
        """Say whether the locks exclude (a directory) or the lease document must (a bucket)."""
