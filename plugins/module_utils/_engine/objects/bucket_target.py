# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import threading
import typing as t

from .. import clock
from ..s3.calls import Part
from ..s3.client import S3Client
from ..s3.failure import S3Error
from ..s3.object_properties import NO_LOCK, Lock, ObjectProperties
from . import file_properties, mangling
from .bucket_source import BucketSource, for_one_object, properties_of
from .rows import Item, Properties, Row
from .target import Written

_WHOLE = 16 * 1024 * 1024  # bytes: what is larger, or had parts, goes in parts
_MOST_COPIED = 5 * 1024**3  # bytes that one CopyObject takes (Amazon S3 API, CopyObject)
_FILE_CONTENT = "application/octet-stream"
_PART = 16 * 1024 * 1024  # bytes of a part where the source had none
_MOST_PARTS = 10_000  # of an upload (Amazon S3, "Amazon S3 multipart upload limits")
_NAME_REFUSED = (
    "XMinioInvalidObjectName",
    "XMinioInvalidResourceName",
    "KeyTooLongError",
    "ObjectParentIsFile",
    "ExistingObjectIsDirectory",
    "DirectoryObjectContainsData",
)


class BucketTarget:
    """Buckets of an S3 server that objects are restored to. Several threads may use it.

    An object gets its headers, metadata, tags and lock, and the parts that it had, so that its ETag is the same. A key
    that the server refuses, or under which it would hide another one, is written under a name of our own, which is
    told. Rows of files become objects with their properties in the metadata.
    """

    def __init__(self, client: S3Client) -> None:
        self.name = client.endpoint.url
        self._client = client
        self._source = BucketSource(client, ())
        self._has_lock: dict[str, bool] = {}
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

    def items(self, collection: str, prefix: str = "") -> t.Iterator[Item]:
        """List what is there; nothing where there is no such bucket."""
        if self._client.bucket_exists(collection):
            yield from BucketSource(self._client, (), (), prefix).items(collection)

    def key_for(self, row: Row) -> str:
        """Return the key under which a row is written."""
        key = row.key
        if file_properties.is_file_row(row.properties) and file_properties.file_type(row.properties) == "directory":
            key += "/"  # an object `d` would hide `d/file`
        return mangling.mangled(key) if mangling.is_refused(key) else key

    def is_same(self, row: Row, item: Item) -> bool:
        """Compare by size and ETag, and by what MinIO's listing shows of the properties."""
        if file_properties.is_file_row(row.properties):
            return row.size == item.size and self._digest(row) == item.attributes
        if (row.size, row.etag) != (item.size, item.etag):
            return False
        return not item.attributes or not row.attributes or self._digest(row) == item.attributes

    def write(self, collection: str, row: Row, chunks: t.Iterator[bytes]) -> Written:
        """Write an object; one request up to 16 MiB, unless its ETag shows that it had parts."""
        key, remarks = self.key_for(row), []
        properties, notes = self._possible(collection, row)
        if key.startswith(mangling.PREFIX) and key != row.key:
            remarks.append("the server refuses its name")
        with for_one_object():
            if row.size > _WHOLE or row.properties.get("parts"):
                self._write_parts(collection, key, row, properties, chunks)
                return Written(key, (*remarks, *notes))
            data = b"".join(chunks)
            fields = self._client.property_fields(properties)
            try:
                self._client.put_object(collection, key, data, fields)
            except S3Error as error:
                if error.code not in _NAME_REFUSED or key != row.key:
                    raise
                key = mangling.mangled(row.key)
                remarks.append(f"the server refuses its name: {error.code}")
                self._client.put_object(collection, key, data, fields)
        return Written(key, (*remarks, *notes))

    def write_properties(self, collection: str, row: Row) -> Written:
        """Copy an object onto itself with the properties of the row: servers change them in no other way."""
        key = self.key_for(row)
        properties, notes = self._possible(collection, row)
        with for_one_object():
            source = (collection, key)
            if row.properties.get("parts") or row.size > _MOST_COPIED:
                self._copy_parts(source, row, properties)
            else:
                self._client.copy_object(source, collection, key, properties, source_etag=row.etag)
        return Written(key, notes)

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
            known = False
            with contextlib.suppress(S3Error):
                known = b"<ObjectLockEnabled>Enabled<" in self._client.document("GET", collection, "object-lock")
            with self._guard:
                self._has_lock[collection] = known
        return known

    def _possible(self, collection: str, row: Row) -> tuple[ObjectProperties, tuple[str, ...]]:
        """Return the properties that the bucket can take, and what it cannot."""
        properties = properties_of(_as_object(row))
        lock = properties.lock
        if lock == NO_LOCK:
            return properties, _lost_of_file(row)
        if not self._locks(collection):
            return dataclasses.replace(properties, lock=NO_LOCK), ("without its lock: the bucket has no object lock",)
        if lock.retains and lock.until <= clock.to_text(clock.now()):
            lock = Lock(hold=lock.hold)  # it is over; servers refuse times in the past
        return dataclasses.replace(properties, lock=lock), ()

    def _digest(self, row: Row) -> str:
        return properties_of(_as_object(row)).digest()

    def _write_parts(
        self, collection: str, key: str, row: Row, properties: ObjectProperties, chunks: t.Iterator[bytes]
    ) -> None:
        upload_id = self._client.create_upload(collection, key, self._client.property_fields(properties))
        try:
            parts: list[Part] = []
            for number, data in enumerate(_cut(chunks, _part_size(row)), 1):
                parts.append(self._client.put_part(collection, key, upload_id, number, (data,)))
            self._complete(collection, key, upload_id, parts, row)
        except BaseException:
            with contextlib.suppress(Exception):
                self._client.abort_upload(collection, key, upload_id)
            raise

    def _copy_parts(self, source: tuple[str, str], row: Row, properties: ObjectProperties) -> None:
        collection, key = source
        fields = self._client.property_fields(properties)
        upload_id = self._client.create_upload(collection, key, fields, of_copies=True)
        size = _part_size(row)
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
            if found is None or found.size != row.size or found.etag != object_etag(parts):
                raise


def object_etag(parts: t.Sequence[Part]) -> str:
    """Return the ETag of an object made of `parts`, empty where the server gives parts other ETags than MD5."""
    try:
        digests = b"".join(bytes.fromhex(part.etag) for part in parts)
    except ValueError:
        return ""
    return f"{hashlib.md5(digests, usedforsecurity=False).hexdigest()}-{len(parts)}"


def _as_object(row: Row) -> Properties:
    """Return the members that an object has; a file's own travel in its metadata, unless it once was an object."""
    members = row.properties
    if not file_properties.is_file_row(members) or any(name in members for name in file_properties.OBJECT_MEMBERS):
        return members
    text, _lost = file_properties.as_metadata(members)
    return {"headers": {"content-type": _FILE_CONTENT}, "metadata": {file_properties.METADATA_NAME: text}}


def _lost_of_file(row: Row) -> tuple[str, ...]:
    if not file_properties.is_file_row(row.properties):
        return ()
    return tuple(file_properties.as_metadata(row.properties)[1])


def _part_size(row: Row) -> int:
    """Return the part size that the source had, else one with which the object has at most 10,000 parts."""
    given, count = row.properties.get("part_size", 0), row.properties.get("parts", 0)
    if given and (count - 1) * given < row.size <= count * given:
        return int(given)
    size = _PART
    while size * _MOST_PARTS < row.size:
        size *= 2
    return size


def _cut(chunks: t.Iterator[bytes], size: int) -> t.Iterator[bytes]:
    """Cut chunks of any length to parts; no chunk is one empty part."""
    buffer, is_first = bytearray(), True
    for chunk in chunks:
        buffer += chunk
        while len(buffer) >= size:
            yield bytes(buffer[:size])
            del buffer[:size]
            is_first = False
    if buffer or is_first:
        yield bytes(buffer)
