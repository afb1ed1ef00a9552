# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
import threading
import typing as t

from ..minio.bucket_api import BucketApi
from ..s3 import flight
from ..s3.calls import Part, PartLayout, Put, composite_etag
from ..s3.client import S3Client
from ..s3.failure import S3Error
from ..s3.integrity import etag_is_no_md5
from ..s3.multipart import MultipartUpload, part_sizes
from ..s3.object_properties import NO_LOCK, ObjectProperties
from . import bucket_documents, file_properties, mangling
from .archived_puts import ArchivedPuts, Member, has_simple
from .bucket_source import BucketSource, for_one_object, properties_of
from .object_forms import as_object, first_form, lost_of_file, other_form, own_key, without_past
from .rows import Item, Row
from .source import ObjectError
from .target import OTHER, SAME, UNKNOWN, UNLIKELY, Bring, Outcome, Take, Written

_WHOLE = 16 * 1024 * 1024  # bytes: what is larger, or had parts, goes in parts
_MOST_COPIED = 5 * 1024**3  # bytes that one CopyObject takes (Amazon S3 API, CopyObject)
_MOST_PART = 128 * 1024 * 1024  # bytes: a part is held in memory, so that larger ones are not written again
_T = t.TypeVar("_T")


class BucketTarget:
    """Buckets of an S3 server that objects are restored to. Several threads may use it.

    An object gets its headers, metadata, tags and lock, and the parts that it had, so that its ETag is the same. A key
    that the server refuses, or under which it would hide another one, is written under a name of our own, which is
    told. Rows of files become objects with their properties in the metadata. `origin` is the URL of the server that
    has listed the objects: there they keep their keys, unless it is a MinIO now, whose rules are known.
    """

    def __init__(self, client: S3Client, origin: str = "") -> None:
        self.name = client.endpoint.url
        self._client = client
        self._source = BucketSource(client, ())
        self._origin = origin
        self._on_aws = client.endpoint.is_aws
        self._takes_all = False  # the server has listed all keys of the backup
        self._shadows = mangling.Shadows()
        self._has_lock: dict[str, bool] = {}
        self._may_unpack: dict[str, bool] = {}
        self._guard = threading.Lock()

    def prepare(self, collection: str) -> None:
        """Make the bucket if it is not there."""
        if not self._client.bucket_exists(collection):
            try:
                self._client.create_bucket(collection)
            except S3Error as error:
                if error.code != "BucketAlreadyOwnedByYou":
                    raise
        self._locks(collection)
        self._shadows.begin()

    def items(self, collection: str, prefix: str = "") -> t.Iterator[Item]:
        """List what is there; nothing where there is no such bucket."""
        presence = BucketApi(self._client).presence(collection)
        self._takes_all = self._origin == self._client.endpoint.url and not presence.is_minio
        if presence.exists:
            yield from BucketSource(self._client, (), (), prefix).items(collection)

    def key_for(self, row: Row) -> str:
        """Return the key under which a row is written; rows of a bucket come in their order, so that a key is found
        that another one would hide.
        """
        if not (self._on_aws or self._takes_all):
            self._shadows.see(own_key(row))
        return self.place(row)

    def key_beside(self, collection: str, row: Row) -> str:
        """Return nothing: only names that are seen before (`key_for`) stand in each other's way."""
        return ""

    def is_same(self, row: Row, item: Item) -> bool:
        """Compare by size and ETag, and by what MinIO's listing shows of the properties."""
        if file_properties.is_file_row(row.properties):
            return row.size == item.size and item.attributes in self._digests(row)
        if (row.size, row.etag) != (item.size, item.etag):
            return False
        return not item.attributes or item.attributes in self._digests(row)

    def is_unsure(self, row: Row, item: Item) -> bool:
        """Say whether a closer look may help: at files where a listing shows no metadata, else where only ETags differ,
        which servers that encrypt with KMS keys give anew to each object.
        """
        if row.size != item.size:
            return False
        if file_properties.is_file_row(row.properties):
            return not item.attributes
        is_like = not item.attributes or item.attributes in self._digests(row)
        return is_like and row.etag != item.etag and "-" not in row.etag and "-" not in item.etag

    def look(self, collection: str, row: Row, item: Item) -> str:
        """Ask for the properties of an object that `is_unsure`."""
        try:
            if file_properties.is_file_row(row.properties):
                there = properties_of(self._source.describe(collection, item).properties)
                return SAME if self._is_file(row, there) else OTHER
            with for_one_object():
                found = self._client.head(collection, item.key)
        except ObjectError:
            return OTHER
        if found is None or (found.size, found.etag) != (item.size, item.etag):
            return OTHER
        return UNKNOWN if etag_is_no_md5(found.fields) else UNLIKELY

    def write(self, collection: str, row: Row, chunks: t.Iterator[bytes]) -> Written:
        """Write an object; one request up to 16 MiB, unless its ETag shows that it had parts."""
        properties, notes = self._possible(collection, row)
        with for_one_object():
            if row.size > _WHOLE or row.properties.get("parts"):
                sizes, more = _sizes(row)
                begin = functools.partial(self._begun, collection, sizes)
                sending, written = self._accepted(row, properties, begin)
                _send(sending, chunks)
                return written._replace(remarks=(*written.remarks, *notes, *more))
            data = b"".join(chunks)
            put, written = self._accepted(row, properties, functools.partial(self._put, collection, data))
        return written._replace(remarks=(*written.remarks, *notes), etag=put.etag)

    def place(self, row: Row) -> str:
        """Return the key of a row, or the mangled one where the server refuses that or would hide it."""
        key = own_key(row)
        if self._takes_all:
            return key
        is_other = mangling.is_refused(key, self._on_aws) or self._shadows.hides(key)
        return mangling.mangled(key) if is_other else key

    def another(self) -> BucketTarget:
        """Return the same target with connections of its own; it knows no other keys than those of its orders."""
        return BucketTarget(self._client.another(), self._origin)

    def write_through(self, take: Take, at_once: int) -> t.Iterator[tuple[Bring, Outcome]]:
        """Write objects that had no parts, with several requests on their way at once; MinIO takes many with each."""
        return ArchivedPuts(self._client, self._member, self._put_task).through(take, at_once)

    def write_properties(self, collection: str, row: Row) -> Written:
        """Copy an object onto itself with the properties of the row: servers change them in no other way."""
        properties, notes = self._possible(collection, row)
        with for_one_object():
            _done, written = self._accepted(row, properties, functools.partial(self._copied, collection, row))
        return written._replace(remarks=(*written.remarks, *notes))

    def remove(self, collection: str, key: str) -> None:
        """Delete an object; where there are versions that puts a delete marker."""
        with for_one_object():
            self._client.delete(collection, key)

    def finish(self, collection: str) -> t.Sequence[str]:
        """Return nothing: objects need no last touch."""
        return ()

    def _locks(self, collection: str) -> bool:
        """Say whether versions in the bucket can be locked."""
        with self._guard:
            known = self._has_lock.get(collection)
        if known is None:
            known = bucket_documents.has_object_lock(self._client, collection)
            with self._guard:
                self._has_lock[collection] = known
        return known

    def _accepted(
        self, row: Row, properties: ObjectProperties, attempt: t.Callable[[str, ObjectProperties], _T]
    ) -> tuple[_T, Written]:
        """Do something that names an object and gives it properties; once more without what the server refuses."""
        form = first_form(row, self.place(row), properties)
        while True:
            try:
                return attempt(form.key, form.properties), form.written
            except S3Error as error:
                form = other_form(row, form, error)

    def _put_task(self, order: Bring) -> flight.Task[tuple[Bring, Outcome]]:
        try:
            with for_one_object():
                properties, notes = self._possible(order.collection, order.row)
                form = first_form(order.row, order.key, properties)
                while True:
                    fields = self._client.property_fields(form.properties)
                    try:
                        put = yield from self._client.put_task(order.collection, form.key, order.data, fields)
                        break
                    except S3Error as error:
                        form = other_form(order.row, form, error)
        except ObjectError as error:
            return order, error
        return order, Written(form.key, (*form.remarks, *notes), put.etag)

    def _member(self, order: Bring) -> Member | None:
        """Return an object as it can travel with others, None where it must go alone."""
        if not self._unpacks(order.collection):
            return None
        properties, notes = self._possible(order.collection, order.row)
        fields = self._client.property_fields(properties)
        if not has_simple(fields):
            return None
        form = first_form(order.row, order.key, properties)
        return Member(order, fields, Written(form.key, (*form.remarks, *notes)))

    def _unpacks(self, collection: str) -> bool:
        """Say whether the server may unpack archives into a bucket; not where each version is to be locked."""
        known = self._may_unpack.get(collection)
        if known is None:
            known = False
            with contextlib.suppress(S3Error):  # the objects themselves tell better what is wrong
                known = BucketApi(self._client).presence(collection).is_minio and not self._locks(collection)
            self._may_unpack[collection] = known
        return known

    def _possible(self, collection: str, row: Row) -> tuple[ObjectProperties, tuple[str, ...]]:
        """Return the properties that the bucket can take, and what it cannot."""
        properties, lost = properties_of(as_object(row)), lost_of_file(row)
        if properties.lock != NO_LOCK and not self._locks(collection):
            lost = (*lost, "without its lock: the bucket has no object lock")
            return dataclasses.replace(properties, lock=NO_LOCK), lost
        return without_past(properties), lost

    def _digests(self, row: Row) -> tuple[str, ...]:
        """Return what MinIO's listing may show of a row that was restored: with its lock where that is possible."""
        properties = without_past(properties_of(as_object(row)))
        with self._guard:
            keeps_no_locks = not all(self._has_lock.values())
        if properties.lock == NO_LOCK or not keeps_no_locks:
            return (properties.digest(),)
        return (properties.digest(), dataclasses.replace(properties, lock=NO_LOCK).digest())

    def _is_file(self, row: Row, there: ObjectProperties) -> bool:
        """Say whether an object has what is kept of a file; for folders servers may have a type of their own."""
        if file_properties.file_type(row.properties) == file_properties.DIRECTORY:
            return there.metadata == properties_of(as_object(row)).metadata
        return there.digest() in self._digests(row)

    def _put(self, collection: str, data: bytes, key: str, properties: ObjectProperties) -> Put:
        return self._client.put_object(collection, key, data, self._client.property_fields(properties))

    def _begun(self, collection: str, sizes: _Sizes, key: str, properties: ObjectProperties) -> MultipartUpload:
        sending = MultipartUpload(
            self._client,
            collection,
            key,
            sizes.estimate,
            headers=self._client.property_fields(properties),
            sizes=itertools.repeat(sizes.part) if sizes.part else None,
        )
        sending.begin()
        return sending

    def _copied(self, collection: str, row: Row, key: str, properties: ObjectProperties) -> None:
        if row.properties.get("parts") or row.size > _MOST_COPIED:
            self._copy_parts((collection, key), row, properties)
        else:
            self._client.copy_object((collection, key), collection, key, properties, source_etag=row.etag)

    def _copy_parts(self, source: tuple[str, str], row: Row, properties: ObjectProperties) -> None:
        collection, key = source
        fields = self._client.property_fields(properties)
        upload_id = self._client.create_upload(collection, key, fields, of_copies=True)
        size = _copied_part_size(row)
        try:
            parts = [
                self._client.copy_part(
                    collection,
                    key,
                    upload_id,
                    number,
                    source,
                    offset,
                    min(size, row.size - offset),
                    source_etag=row.etag,
                )
                for number, offset in enumerate(range(0, row.size, size), 1)
            ]
            self._complete(collection, key, upload_id, parts, row)
        except BaseException:
            with contextlib.suppress(Exception):
                self._client.abort_upload(collection, key, upload_id)
            raise

    def _complete(self, collection: str, key: str, upload_id: str, parts: t.Sequence[Part], row: Row) -> None:
        try:
            self._client.complete_upload(collection, key, upload_id, parts)
        except S3Error as error:
            # The first answer may have been lost: a repetition then finds no upload, but the object.
            if error.code != "NoSuchUpload" and not error.is_transient:
                raise
            found = self._client.head(collection, key)
            if found is None or found.size != row.size or found.etag != composite_etag(parts):
                raise


@dataclasses.dataclass(frozen=True)
class _Sizes:
    """How an object is cut when it is written."""

    part: int  # bytes; 0: as suits its size
    estimate: int  # bytes of the object


def _layout(row: Row) -> PartLayout | None:
    """Return the parts that the source had, where they can be made again."""
    given, count = row.properties.get("part_size", 0), row.properties.get("parts", 0)
    layout = PartLayout(int(given), int(count))
    is_known = layout.parts and (layout.fits(row.size) or (row.size == 0 and layout.parts == 1))
    return layout if is_known else None


def _sizes(row: Row) -> tuple[_Sizes, tuple[str, ...]]:
    layout = _layout(row)
    if layout is not None and layout.part_size <= _MOST_PART:
        return _Sizes(max(layout.part_size, 1), row.size), ()
    had_parts = bool(row.properties.get("parts"))
    return _Sizes(0, row.size), ("in other parts than it had: its ETag is another",) if had_parts else ()


def _copied_part_size(row: Row) -> int:
    """Return the size of the parts that the server copies: nothing of them is in memory here."""
    layout = _layout(row)
    return layout.part_size if layout else max(_WHOLE, next(part_sizes(row.size)))


def _send(sending: MultipartUpload, chunks: t.Iterator[bytes]) -> None:
    try:
        for chunk in chunks:
            sending.write(chunk)
        sending.finish()
    except BaseException:
        sending.abort()
        raise
