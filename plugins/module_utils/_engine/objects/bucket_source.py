# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import dataclasses
import fnmatch
import functools
import itertools
import typing as t

from .. import clock
from ..errors import GuardRefusal, LifeboatError
from ..minio.bucket_api import BucketApi
from ..s3 import failure, flight, object_properties
from ..s3.client import S3Client
from ..s3.detailed_listing import DetailedPage, Shown
from ..s3.download import Stored
from ..s3.failure import S3Error
from ..s3.object_properties import NO_LOCK, ObjectProperties
from . import bucket_documents
from .listed_items import items_of
from .object_errors import of_object
from .remarks import SKIPPED
from .rows import Item, Properties, order
from .source import ChangedError, Described, Order, Outcome, Take, VanishedError

Report = t.Callable[[str, str, str, str], None]  # collection, key (empty: all), what, why

_PATTERN = frozenset("*?[")
_KEPT = 1024  # sets of properties: most objects of a bucket have the same few
_OPEN = Shown(ObjectProperties(), "?")  # of an object that will be read, and shows then what it has
_GROWN = 1024 * 1024  # bytes that a small object may have grown by since it was listed, beside 4 times its size


class BucketSource:
    """Buckets of an S3 server, read only.

    A job is bound to the server's URL, the prefix and, where there is one bucket of a plain name, to that. On MinIO the
    listing shows metadata, tags and locks, so that a change of these is noticed; other servers show only ETag, size and
    time. MinIO lists no `p/c` while there is an object `p`: what a server does not list is not backed up.
    """

    kind = "bucket"

    def __init__(
        self,
        client: S3Client,
        buckets: t.Sequence[str] = ("*",),
        exclude: t.Sequence[str] = (),
        prefix: str = "",
        report: Report | None = None,
    ) -> None:
        self._client = client
        self._report = report
        self._seen_locks: dict[str, bool] = {}  # of buckets in which an object without a lock was met
        self._buckets = tuple(buckets)
        self._exclude = tuple(exclude)
        self._prefix = prefix

    def identity(self) -> dict[str, str]:
        """Return what a job is bound to."""
        only = self._buckets[0] if len(self._buckets) == 1 and not _is_pattern(self._buckets[0]) else ""
        return {"endpoint": self._client.endpoint.url, "bucket": only, "prefix": self._prefix}

    def collections(self) -> list[str]:
        """Return the buckets that are there. Raises GuardRefusal (`source`) where one that is named is not."""
        named = {name for name in self._buckets if not _is_pattern(name)}
        missing = sorted(name for name in named if not self._client.bucket_exists(name))
        if missing:
            raise GuardRefusal(
                "source",
                f"Cannot read bucket {missing[0]} at {self._client.endpoint.url}",
                "there is no such bucket",
                "check the name and the server; if it was deleted on purpose, take it out of the job",
            )
        found = set(named)
        patterns = [name for name in self._buckets if _is_pattern(name)]
        if patterns:
            found |= {name for name in self._client.list_buckets() if _matches(name, patterns)}
        return sorted((name for name in found if not _matches(name, self._exclude)), key=order)

    def items(self, collection: str) -> t.Iterator[Item]:
        """List the objects, with a digest of what else the listing shows of them."""
        return itertools.chain.from_iterable(self._pages(collection, self._client.list_detailed))

    def new_items(self, collection: str) -> t.Iterator[Item]:
        """List the objects of a bucket of which no backup knows any: digests are found out when they are read."""
        return itertools.chain.from_iterable(self._pages(collection, self._listed_once))

    def _listed_once(self, collection: str, prefix: str) -> t.Iterator[DetailedPage]:
        """List the first page with what is shown; the others without, where it is: that costs MinIO half as much."""
        for page in self._client.list_detailed(collection, prefix):
            yield page
            if page.is_truncated and page.keys and None not in page.shown:
                for other in self._client.list_plain(collection, prefix, page.keys[-1]):
                    yield other._replace(shown=[_OPEN] * len(other.keys))
                return

    def _pages(
        self, collection: str, listed: t.Callable[[str, str], t.Iterator[DetailedPage]]
    ) -> t.Iterator[t.Iterable[Item]]:
        last, is_hidden = "", False
        try:
            for page in listed(collection, self._prefix):
                if not is_hidden and None in page.shown:
                    is_hidden = True
                    self._tell_hidden(collection)
                last = page.keys[-1] if page.keys else last
                yield items_of(page)
        except S3Error as error:
            # Names of metadata that are no XML can spoil a page; the plain listing checks all else again.
            if error.code != failure.BAD_ANSWER:
                raise
            self._tell(collection, SKIPPED, f"changes of metadata and tags are not noticed: {error.message}")
            yield from map(items_of, self._client.list_plain(collection, self._prefix, last))

    def describe(self, collection: str, item: Item) -> Described:
        """Look at an object again."""
        return flight.alone(self._look_task(collection, item))

    def read_whole(self, collection: str, item: Item) -> tuple[Described, bytes]:
        """Read a small object with one request."""
        return flight.alone(self._read_task(collection, item))

    def read_through(self, take: Take, at_once: int) -> t.Iterator[tuple[t.Any, Outcome]]:
        """Read or describe objects as they are taken, with several requests on their way at once."""

        def task_of(order: Order) -> flight.Task[tuple[t.Any, Outcome]]:
            try:
                if order.only_properties:
                    found = yield from self._look_task(order.collection, order.item)
                    return order.token, (found, b"")
                outcome = yield from self._read_task(order.collection, order.item)
                return order.token, outcome
            except LifeboatError as error:
                return order.token, error

        return flight.through(take, task_of, at_once)

    def _look_task(self, collection: str, item: Item) -> flight.Task[Described]:
        with for_one_object():
            found = yield from self._client.head_task(collection, item.key)
            if found is None:
                raise VanishedError(f"Cannot read {item.key!a} of {collection}", "it is not there any more")
            described = yield from self._described_task(collection, item, found)
            return described

    def _read_task(self, collection: str, item: Item) -> flight.Task[tuple[Described, bytes]]:
        try:
            data, found = yield from self._client.get_task(collection, item.key, 4 * item.size + _GROWN)
            described = yield from self._described_task(collection, item, found)
        except S3Error as error:
            raise _of_one_object(error) from error
        return described, data

    def read_range(self, collection: str, item: Item, offset: int, length: int) -> t.Iterator[bytes]:
        """Yield bytes of exactly this state of an object."""
        with for_one_object():
            yield from self._client.get_object(collection, item.key, offset=offset, length=length, etag=item.etag)

    def read_into(self, collection: str, item: Item, offset: int, room: memoryview) -> t.Iterator[int]:
        """Fill `room` with bytes of exactly this state of an object."""
        with for_one_object():
            found = self._client.get_object(collection, item.key, offset=offset, length=len(room), etag=item.etag)
            yield from found.into(room)

    def documents(self) -> dict[str, t.Any]:
        """Return the settings of the buckets as the server's own documents."""
        return {name: bucket_documents.read(self._client, name) for name in self.collections()}

    def _described_task(self, collection: str, item: Item, found: Stored) -> flight.Task[Described]:
        tags: dict[str, str] = {}
        if object_properties.tagging_count(found.fields):
            tags = yield from self._client.tags_task(collection, item.key, version_id=found.version_id)
        told = _told(object_properties.telling(found.fields), tuple(tags.items()))
        if not told.has_lock and collection not in self._seen_locks:
            self._look_at_locks(collection, item.key, found.version_id)
        members = told.members
        layout = self._client.part_layout(collection, item.key, found.etag, version_id=found.version_id)
        if layout is not None:
            members = {**members, "part_size": layout.part_size, "parts": layout.parts}
        attributes = told.digest if item.attributes else ""
        now = Item(item.key, found.size, found.etag, _modified(item, found), attributes)
        return Described(now, found.version_id, members)

    def _tell(self, collection: str, what: str, why: str) -> None:
        if self._report is not None:
            self._report(collection, "", what, why)

    def _tell_hidden(self, collection: str) -> None:
        """Say that MinIO shows no metadata in its listing, as it does where a right is missing; others never do."""
        if self._report is not None and BucketApi(self._client).presence(collection).is_minio:
            self._tell(
                collection,
                SKIPPED,
                "changes of metadata and tags are not noticed: the listing shows none (s3:GetObject)",
            )

    def _look_at_locks(self, collection: str, key: str, version_id: str) -> None:
        """Ask for the lock of one object of a bucket: headers leave locks out, without a word, where the right to read
        them is missing.
        """
        self._seen_locks[collection] = True
        if not bucket_documents.has_object_lock(self._client, collection):
            return
        try:
            self._client.lock(collection, key, version_id=version_id)
        except S3Error as error:
            if error.code not in bucket_documents.DENIED:
                return
            why = "locks are not backed up: the rights s3:GetObjectRetention and s3:GetObjectLegalHold are missing"
            self._tell(collection, "unseen", why)


class _Told(t.NamedTuple):
    """What the headers of an object say of its properties."""

    members: Properties  # of a row
    digest: str
    has_lock: bool


@functools.lru_cache(maxsize=_KEPT)
def _told(fields: tuple[tuple[str, str], ...], tags: tuple[tuple[str, str], ...]) -> _Told:
    properties = object_properties.from_fields(dict(fields), dict(tags))
    return _Told(members_of(properties), properties.digest(), properties.lock != NO_LOCK)


def members_of(properties: ObjectProperties) -> dict[str, t.Any]:
    """Return the properties as members of a row (docs/format.md, "Properties"); what has no value is left out."""
    lock: dict[str, t.Any] = {}
    if properties.lock != NO_LOCK:
        lock = {name: value for name, value in dataclasses.asdict(properties.lock).items() if value}
    found = {
        "headers": dict(properties.headers),
        "metadata": dict(properties.metadata),
        "tags": dict(properties.tags),
        "lock": lock,
    }
    return {name: value for name, value in found.items() if value}


def properties_of(members: Properties) -> ObjectProperties:
    """Return what a row says of an object's properties, in the form that requests are made of."""
    lock = members.get("lock", {})
    return ObjectProperties(
        members.get("headers", {}),
        members.get("metadata", {}),
        members.get("tags", {}),
        object_properties.Lock(lock.get("mode", ""), lock.get("until", ""), bool(lock.get("hold", False))),
    )


def _modified(item: Item, found: Stored) -> str:
    """Return the listing's time while the object is the one that was listed: headers have whole seconds only."""
    seen = _text(found.modified)
    is_same = (found.size, found.etag, seen[:19]) == (item.size, item.etag, item.modified[:19])
    return item.modified if is_same else seen


_text = functools.lru_cache(maxsize=_KEPT)(clock.to_text)  # many objects were written in the same second


def _is_pattern(name: str) -> bool:
    return not _PATTERN.isdisjoint(name)


def _matches(name: str, patterns: t.Iterable[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


@contextlib.contextmanager
def for_one_object() -> t.Iterator[None]:
    """Let errors of requests for one object out as errors of that object, unless they concern all of them."""
    try:
        yield
    except S3Error as error:
        raise _of_one_object(error) from error


def _of_one_object(error: S3Error) -> LifeboatError:
    if error.code in ("TooLarge", "InvalidRange"):
        return ChangedError(error.problem, "it has another size than it was listed with")
    return of_object(error)
