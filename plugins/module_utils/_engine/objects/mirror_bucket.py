# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
import functools
import itertools
import typing as t

from .. import clock
from ..errors import GuardRefusal
from ..s3 import flight, object_properties
from ..s3.client import S3Client
from ..s3.download import Stored
from ..s3.failure import S3Error
from ..s3.object_properties import CONTENT_HEADERS, METADATA, ObjectProperties
from .listed_items import items_of
from .mirror_guards import Location
from .mirror_sides import QUARANTINE, Subject
from .object_errors import for_one_object, of_object
from .rows import Item
from .source import ChangedError, VanishedError

# Metadata of an object whose ETag cannot be that of its source: it says which one it is a copy of.
SOURCE_ETAG = "lifeboat-source-etag"
_STORAGE_CLASS = "x-amz-storage-class"
_LAST = "\U0010ffff"  # the last sign in the order of keys
_KEPT = 4096  # sets of headers: most objects of a bucket have the same few
# The headers that say something about an object and are not told by the listing; with those of METADATA.
_TOLD = frozenset(
    (
        *CONTENT_HEADERS,
        "x-amz-object-lock-legal-hold",
        "x-amz-object-lock-mode",
        "x-amz-object-lock-retain-until-date",
        "x-amz-server-side-encryption",
        "x-amz-server-side-encryption-customer-algorithm",
        "x-amz-tagging-count",
    )
)
_GROWN = 1024 * 1024  # bytes that a small object may have grown by since it was listed


class BucketSide:
    """A bucket, or what lies below a prefix of it, as any side of a mirror."""

    def __init__(self, client: S3Client, location: Location, left_out: t.Sequence[str] = ()) -> None:
        self.client = client
        self.location = location
        self.bucket = location.bucket
        self._left_out = tuple(left_out)  # prefixes below ours

    def full(self, key: str) -> str:
        """Return the key in the bucket."""
        return self.location.path + key

    def items(self, *, is_compared: bool = True) -> t.Iterator[Item]:
        """List all objects by their keys below the prefix; the quarantine and what is left out take no part."""
        start, apart = len(self.location.path), (QUARANTINE, *self._left_out)
        after = ""
        while True:
            for item in self._listed(after, is_compared):
                key = item.key[start:]
                skipped = next((prefix for prefix in apart if key.startswith(prefix)), "")
                if skipped and after != self.full(skipped) + _LAST:
                    after = self.full(skipped) + _LAST
                    break
                # A key that is the prefix itself has no name below it.
                if key and not skipped:
                    yield item._replace(key=key) if start else item
            else:
                return

    def _listed(self, after: str, is_compared: bool) -> t.Iterator[Item]:
        listed = self.client.list_detailed if is_compared else self.client.list_plain
        return itertools.chain.from_iterable(map(items_of, listed(self.bucket, self.location.path, after)))

    def subject(self, key: str, found: Stored) -> Subject:
        """Return an object by the headers of a HEAD or GET; tags take one more request where there are any."""
        item = Item(key, found.size, found.etag, clock.to_text(found.modified))
        return self.described(item, found.fields)

    def described(self, item: Item, fields: t.Mapping[str, str]) -> Subject:
        """Return an object with the properties that the headers of a HEAD or GET say."""
        return flight.alone(self.described_task(item, fields))

    def described_task(self, item: Item, fields: t.Mapping[str, str]) -> flight.Task[Subject]:
        """Find out the properties of an object, as `described` does."""
        seen = _seen(tuple([(name, value) for name, value in fields.items() if name in _TOLD or name[:11] == METADATA]))
        if not seen.has_tags:
            return Subject(item, seen.properties, comparable=seen.comparable)
        version_id = fields.get("x-amz-version-id", "")
        with for_one_object():
            tags = yield from self.client.tags_task(self.bucket, self.full(item.key), version_id=version_id)
        return Subject(item, dataclasses.replace(seen.properties, tags=tags), comparable=seen.comparable)

    def chunks(self, item: Item) -> t.Iterator[bytes]:
        """Yield the bytes of exactly this object."""
        with for_one_object():
            if item.size:
                yield from self.client.get_object(self.bucket, self.full(item.key), etag=item.etag)
            elif self.client.head(self.bucket, self.full(item.key)) is None:
                raise VanishedError(f"Cannot read {item.key}", "it is not there any more")


class BucketSource(BucketSide):
    """A bucket that is mirrored."""

    def items(self, *, is_compared: bool = True) -> t.Iterator[Item]:
        """List all objects. Raises GuardRefusal (`source`) where the bucket is missing or does not answer."""
        try:
            yield from super().items(is_compared=is_compared)
        except S3Error as error:
            if error.code == "NoSuchBucket" or error.status == 0 or error.is_transient:
                raise GuardRefusal("source", error.problem, error.cause, error.remedy) from error
            raise

    def has(self, key: str) -> bool:
        """Say whether there is such an object now."""
        return self.client.head(self.bucket, self.full(key)) is not None

    def describe(self, item: Item) -> Subject:
        """Look at an object, and at its parts."""
        with for_one_object():
            found = self.client.head(self.bucket, self.full(item.key))
            if found is None:
                raise VanishedError(f"Cannot read {item.key}", "it is not there any more")
            subject = _at_the_listed_time(self.subject(item.key, found), item)
            return dataclasses.replace(subject, part_sizes=self._part_sizes(subject.item))

    def read_whole(self, item: Item) -> tuple[Subject, bytes]:
        """Read an object that has no parts with one request. Raises ChangedError where it has, or is larger now."""
        return flight.alone(self.read_task(item))

    def read_task(self, item: Item) -> flight.Task[tuple[Subject, bytes]]:
        """Read an object, as `read_whole` does."""
        try:
            data, found = yield from self.client.get_task(self.bucket, self.full(item.key), item.size + _GROWN)
        except S3Error as error:
            if error.code == "TooLarge":
                raise ChangedError(error.problem, error.cause) from error
            raise of_object(error) from error
        if (found.size, found.etag) == (item.size, item.etag):
            subject = yield from self.described_task(item, found.fields)
            return subject, data
        if "-" in found.etag:
            raise ChangedError(f"Cannot read {item.key}", "it was written anew, in parts")
        now = Item(item.key, found.size, found.etag, clock.to_text(found.modified))
        subject = yield from self.described_task(now, found.fields)
        return subject, data

    def read_range(self, subject: Subject, offset: int, length: int) -> bytes:
        """Return bytes of exactly this state of an object."""
        item = subject.item
        with for_one_object():
            download = self.client.get_object(
                self.bucket, self.full(item.key), offset=offset, length=length, etag=item.etag
            )
            return b"".join(download)

    def remarks(self) -> t.Sequence[str]:
        """Return nothing: all objects take part."""
        return ()

    def _part_sizes(self, item: Item) -> tuple[int, ...]:
        """Return how an object is cut; empty where nobody knows."""
        layout = self.client.part_layout(self.bucket, self.full(item.key), item.etag)
        if layout is None:
            return ()
        if layout.fits(item.size):
            last = item.size - layout.part_size * (layout.parts - 1)
            return (layout.part_size,) * (layout.parts - 1) + (last,)
        return ()


def _at_the_listed_time(subject: Subject, item: Item) -> Subject:
    """Return what is still as it was listed with the listing's time: headers have whole seconds only."""
    if (subject.item.size, subject.item.etag) != (item.size, item.etag):
        return subject
    return dataclasses.replace(subject, item=subject.item._replace(modified=item.modified))


class _Seen(t.NamedTuple):
    """What headers say of an object."""

    properties: ObjectProperties  # that travel, without tags
    comparable: bool
    has_tags: bool


@functools.lru_cache(maxsize=_KEPT)
def _seen(fields: tuple[tuple[str, str], ...]) -> _Seen:
    found = dict(fields)
    properties = travelling(object_properties.from_fields(found))
    return _Seen(properties, not _is_encrypted(found), object_properties.tagging_count(found) > 0)


def travelling(properties: ObjectProperties) -> ObjectProperties:
    """Return what a mirror takes along: not the storage class, which is a matter of each place, nor our own mark."""
    headers = {name: value for name, value in properties.headers.items() if name != _STORAGE_CLASS}
    metadata = {name: value for name, value in properties.metadata.items() if name != SOURCE_ETAG}
    return dataclasses.replace(properties, headers=headers, metadata=metadata)


def _is_encrypted(fields: t.Mapping[str, str]) -> bool:
    """Say whether the ETag is no MD5: with KMS keys, and keys of the client."""
    return "kms" in fields.get("x-amz-server-side-encryption", "") or (
        "x-amz-server-side-encryption-customer-algorithm" in fields
    )
