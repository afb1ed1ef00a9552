# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import datetime as dt
import typing as t

from .. import clock
from ..errors import DamagedError, LifeboatError, UsageError
from ..s3 import failure, flight
from ..s3.archive_calls import ARCHIVED
from ..s3.client import S3Client
from ..s3.download import Download, Stored
from ..s3.endpoint import Endpoint
from ..s3.failure import S3Error
from ..s3.listing import Listed
from ..s3.multipart import MultipartUpload, Rooms
from ..s3.object_properties import Lock
from .retrieval import Retrieval
from .store import (
    NOT_RETAINED,
    ArchivedError,
    ChangedError,
    DeniedError,
    Document,
    Entry,
    ExistsError,
    ExpiredError,
    Retention,
    Store,
    StoreError,
    UnavailableError,
    Upload,
    Version,
)

_DENIED_CODES = frozenset(
    ("AccessDenied", "AllAccessDisabled", "ExpiredToken", "InvalidAccessKeyId", "InvalidToken", "SignatureDoesNotMatch")
)
_NEVER_CONNECTED = frozenset((failure.NOT_CONNECTED, failure.UNTRUSTED, failure.NO_TLS))
_FOR_EVER = dt.datetime(9999, 1, 1, tzinfo=clock.UTC)
_IN_FLIGHT = 32  # requests for small documents at once
_TIME_PROBE = "lifeboat.json"  # asked for when only the server's clock matters; need not be there


class BucketStore(Store):
    """A repository in a bucket, below a prefix, on any S3 server that honours conditional writes."""

    def __init__(self, client: S3Client, bucket: str, prefix: str = "") -> None:
        """Use `bucket`; `prefix` is the root with or without `/` at its ends. Raises UsageError; nothing is sent."""
        client.endpoint.location(bucket)
        self._client = client
        self._bucket = bucket
        self._root = _root(prefix)
        self._rooms = Rooms()
        self.retrieval: Retrieval | None = None  # brings back what lies in an archive; None: that cannot be read
        self.name = f"s3://{bucket}/{self._root}".rstrip("/") + f" at {client.endpoint.url}"

    def place_of(self, key: str) -> tuple[str, str]:
        """Return the bucket and the whole key under which a key of this repository lies."""
        return self._bucket, self._root + key

    def now(self) -> dt.datetime:
        with _told():
            return self._client.server_time(self._bucket, self._root + _TIME_PROBE)

    def get(self, key: str, version_id: str = "") -> Document | None:
        with _told():
            try:
                data, found = self._client.get_bytes(
                    self._bucket, self._root + key, self.max_document_bytes, version_id=version_id
                )
            except S3Error as error:
                if _is_missing(error):
                    return None
                if error.code != ARCHIVED or self.retrieval is None:
                    raise
                self.retrieval.bring(self._client, self._bucket, self._root + key, version_id)
                data, found = self._client.get_bytes(
                    self._bucket, self._root + key, self.max_document_bytes, version_id=version_id
                )
            return Document(data, found.etag, found.modified)

    def documents(self, entries: t.Iterable[Entry]) -> t.Iterator[tuple[Entry, Document]]:
        waiting = iter(entries)
        for entry, document in flight.through(lambda _may_wait: next(waiting, None), self._document_task, _IN_FLIGHT):
            if document is not None:
                yield entry, document

    def _document_task(self, entry: Entry) -> flight.Task[tuple[Entry, Document | None]]:
        try:
            task = self._client.get_task(self._bucket, self._root + entry.key, self.max_document_bytes)
            data, found = yield from task
        except LifeboatError:
            return entry, None
        return entry, Document(data, found.etag, found.modified)

    def stat(self, key: str) -> Entry | None:
        with _told():
            found = self._client.head(self._bucket, self._root + key)
            return None if found is None else _entry(key, found)

    def entries(self, prefix: str) -> t.Iterator[Entry]:
        with _told():
            for row in self._client.list_objects(self._bucket, self._root + prefix):
                yield self._listed(row)

    def versions(self, prefix: str) -> t.Iterator[Version]:
        with _told():
            for row in self._client.list_versions(self._bucket, self._root + prefix):
                yield Version(self._listed(row), row.is_latest, row.is_delete_marker)

    def put(self, key: str, data: bytes) -> str:
        with _told():
            return self._client.put_object(self._bucket, self._root + key, data).etag

    def put_new(self, key: str, data: bytes, signed_at: dt.datetime | None = None) -> str:
        problem = f"Cannot create {key} in {self.name}"
        # The condition decides. But some servers ignore conditions: there this look is all that protects what is there.
        if self._found(key)[0] is not None:
            raise ExistsError(problem, "it is there already", "another run may have written it: look at it")
        with _told(signed_at is not None):
            try:
                return self._client.put_object(
                    self._bucket, self._root + key, data, only_if_new=True, signed_at=signed_at
                ).etag
            except S3Error as error:
                if error.status == 412:
                    raise ExistsError(problem, error.cause, "another run may have written it: look at it") from error
                etag = self._etag_of_own(key, data) if error.is_transient and not error.is_without_effect else ""
                if not etag:
                    raise
                return etag

    def refuses_second(self, key: str) -> bool:
        with _told():
            try:
                self._client.put_object(self._bucket, self._root + key, b"second\n", only_if_new=True)
            except S3Error as error:
                if error.status == 412:
                    return True
                raise
        return False

    def _etag_of_own(self, key: str, data: bytes) -> str:
        """Return the ETag of what is under `key` if it is `data`: a request whose answer was lost succeeded then."""
        with contextlib.suppress(StoreError):
            found = self.get(key)
            if found is not None and found.data == data:
                return found.etag
        return ""

    def replace(self, key: str, data: bytes, etag: str, signed_at: dt.datetime | None = None) -> str:
        problem = f"Cannot replace {key} in {self.name}"
        found, is_known = self._found(key)
        if is_known and found is None:
            raise ChangedError(problem, "it is gone", "read it again")
        if found is not None and found.etag != etag:
            raise ChangedError(problem, "somebody else has changed it", "read it again")
        with _told(signed_at is not None):
            try:
                return self._client.put_object(
                    self._bucket, self._root + key, data, only_if_etag=etag, signed_at=signed_at
                ).etag
            except S3Error as error:
                if error.status == 412 or _is_missing(error):
                    raise ChangedError(problem, error.cause, "read it again") from error
                raise

    def delete(self, key: str, version_id: str = "", signed_at: dt.datetime | None = None) -> None:
        with _told(signed_at is not None):
            try:
                self._client.delete(self._bucket, self._root + key, version_id=version_id, signed_at=signed_at)
            except S3Error as error:
                if not _is_missing(error):
                    raise

    def upload(self, key: str, estimate_bytes: int, signed_at: t.Callable[[], dt.datetime] | None = None) -> Upload:
        rooms = self._rooms
        sending = MultipartUpload(self._client, self._bucket, self._root + key, estimate_bytes, signed_at, rooms=rooms)
        return _BucketUpload(sending, key, signed_at is not None)

    def discard_unfinished(self, key: str) -> None:
        with _told():
            for found, upload_id in self._client.list_uploads(self._bucket, self._root + key):
                if found == self._root + key:
                    self._client.abort_upload(self._bucket, found, upload_id)

    def unfinished(self, prefix: str) -> list[str]:
        with _told():
            found = self._client.list_uploads(self._bucket, self._root + prefix)
        return sorted({key[len(self._root) :] for key, _upload_id in found if key.startswith(self._root + prefix)})

    def locked_until(self, key: str, version_id: str = "") -> dt.datetime | None:
        with _told():
            found = self._client.head(self._bucket, self._root + key, version_id=version_id)
        fields = {} if found is None else found.fields
        if fields.get("x-amz-object-lock-legal-hold") == "ON":
            return _FOR_EVER
        until = fields.get("x-amz-object-lock-retain-until-date", "")
        try:
            return clock.from_text(until) if until else None
        except ValueError:
            return _FOR_EVER  # it is locked, and nobody can tell for how long

    def ask_early(self, keys: t.Iterable[str]) -> int:
        if self.retrieval is None:
            return 0
        with _told():
            return self.retrieval.ask_early(self._client, self._bucket, (self._root + key for key in keys))

    def retentions(self, prefix: str) -> t.Mapping[str, Retention]:
        with _told():
            return {
                key[len(self._root) :]: _retention(shown.properties.lock)
                for page in self._client.list_detailed(self._bucket, self._root + prefix)
                for key, shown in zip(page.keys, page.shown)
                if shown is not None
            }

    def retention(self, key: str, version_id: str) -> Retention:
        with _told():
            return _retention(self._client.lock(self._bucket, self._root + key, version_id=version_id))

    def retain(self, key: str, version_id: str, wanted: Retention) -> None:
        if wanted.until is None:
            raise StoreError(f"Cannot lock {key} in {self.name}", "no time is given")
        with _told():
            lock = Lock(wanted.mode, clock.to_text(wanted.until))
            self._client.set_retention(self._bucket, self._root + key, lock, version_id=version_id)

    def read(self, key: str, offset: int = 0, length: int | None = None, version_id: str = "") -> t.Iterator[bytes]:
        if length == 0:
            return
        with _told():
            download = self._download(key, offset, length, version_id)
            if download is not None:
                yield from download

    def shared_lock(self, name: str) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    def exclusive_lock(self, name: str, wait_s: float) -> contextlib.AbstractContextManager[None]:
        raise StoreError(
            f"Cannot lock {name} in {self.name}",
            "buckets have no locks",
            "hold the maintenance lease (a document) instead",
        )

    @property
    def has_locks(self) -> bool:
        return False

    def _found(self, key: str) -> tuple[Stored | None, bool]:
        """Return what is under `key`, and whether that may be looked at: with a key that may only write it may not."""
        with _told():
            try:
                return self._client.head(self._bucket, self._root + key), True
            except S3Error as error:
                if error.status == 403 and error.code in ("", "AccessDenied"):
                    return None, False
                raise

    def _listed(self, row: Listed) -> Entry:
        return Entry(row.key[len(self._root) :], row.size, row.etag, row.modified, row.version_id)

    def _download(self, key: str, offset: int, length: int | None, version_id: str) -> Download | None:
        """Begin to read; a file hidden by a delete marker is read all the same: who may delete must not be able to
        lose a backup.
        """
        path = self._root + key
        try:
            return self._client.get_object(self._bucket, path, offset=offset, length=length, version_id=version_id)
        except S3Error as error:
            if error.status == 416 and self._ends_at(path, version_id, offset):
                return None
            if error.code == ARCHIVED and self.retrieval is not None:
                self.retrieval.bring(self._client, self._bucket, path, version_id)
                return self._client.get_object(self._bucket, path, offset=offset, length=length, version_id=version_id)
            if not _is_missing(error):
                raise
            oldest = "" if version_id else self._oldest_version(path)
            if not oldest:
                raise DamagedError(
                    f"Cannot read {key} from {self.name}",
                    "there is no such file",
                    "restore from another copy of this backup",
                ) from error
        return self._download(key, offset, length, oldest)

    def _ends_at(self, path: str, version_id: str, offset: int) -> bool:
        """Say whether a range was refused because it begins just where the file ends; MinIO's refusal does not tell."""
        found = self._client.head(self._bucket, path, version_id=version_id)
        return found is not None and found.size == offset

    def _oldest_version(self, path: str) -> str:
        oldest = ""
        try:
            for row in self._client.list_versions(self._bucket, path):
                if row.key != path:
                    break
                oldest = oldest if row.is_delete_marker else row.version_id
        except S3Error as error:
            if error.status not in (403, 501):
                raise
        return oldest


class _BucketUpload:
    """A stored file on its way, with the errors of a store."""

    def __init__(self, sending: MultipartUpload, key: str, is_dated: bool) -> None:
        self._sending = sending
        self._key = key
        self._is_dated = is_dated

    def write(self, chunk: bytes) -> None:
        with _told(self._is_dated):
            self._sending.write(chunk)

    def finish(self) -> Entry:
        with _told(self._is_dated):
            return _entry(self._key, self._sending.finish())

    def abort(self) -> None:
        self._sending.abort()


def open_bucket(endpoint: Endpoint, bucket: str, prefix: str = "") -> BucketStore:
    """Return the repository place `prefix` in `bucket` at `endpoint`. Raises UsageError; nothing is sent."""
    return BucketStore(S3Client(endpoint), bucket, prefix)


def _root(prefix: str) -> str:
    path = prefix.strip("/")
    if not path:
        return ""
    if any(part in ("", ".", "..") for part in path.split("/")) or not path.isprintable():
        raise UsageError(
            "Cannot use this prefix for a repository", f"it is {prefix!r}", "use names with single slashes between them"
        )
    return f"{path}/"


def _retention(lock: Lock) -> Retention:
    return Retention(lock.mode, clock.from_text(lock.until)) if lock.retains else NOT_RETAINED


def _entry(key: str, found: Stored) -> Entry:
    return Entry(key, found.size, found.etag, found.modified, found.version_id)


def _is_missing(error: S3Error) -> bool:
    return error.is_missing_key and error.code != "NoSuchBucket"


@contextlib.contextmanager
def _told(is_dated: bool = False) -> t.Iterator[None]:
    """Turn an S3Error into the kind of StoreError that it means; `is_dated`: the caller chose the time of the
    signature.
    """
    try:
        yield
    except S3Error as error:
        kind, remedy = _kind(error, is_dated), error.remedy
        if "WORM protected" in error.message:
            remedy = "wait until its retention ends: this version is locked"
        if kind is ArchivedError:
            remedy = "give the repository the section archive, so that it is brought back, or use another copy"
        if kind is ExpiredError:
            remedy = "run it again: it was held up for too long between its checks and this request"
        raise kind(error.problem, error.cause, remedy) from error


def _kind(error: S3Error, is_dated: bool) -> type[StoreError]:
    if error.code == "RequestTimeTooSkewed":
        return ExpiredError if is_dated else StoreError
    if error.code == ARCHIVED:
        return ArchivedError
    if error.code in _DENIED_CODES or error.status in (401, 403) or "WORM protected" in error.message:
        return DeniedError
    if error.code in _NEVER_CONNECTED or error.is_transient:
        return UnavailableError
    return StoreError
