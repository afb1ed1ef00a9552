# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import collections
import contextlib
import dataclasses
import hashlib
import threading
import typing as t
import xml.etree.ElementTree as ET

from .. import clock
from ..errors import LifeboatError
from ..s3 import flight, listing
from ..s3.client import S3Client
from ..s3.failure import S3Error
from ..s3.object_properties import NO_LOCK, Lock, ObjectProperties
from .mirror_bucket import SOURCE_ETAG, BucketSide, BucketSource
from .mirror_bucket_upload import BucketUpload, drop_unfinished
from .mirror_copy import keeps_layout, parts_of
from .mirror_guards import Location
from .mirror_plan import Verdict
from .mirror_sides import QUARANTINE, MirrorSource, Subject, Upload
from .object_errors import for_one_object
from .rows import Item
from .source import ObjectError, VanishedError

_MOST_COPIED = 5 * 1024**3  # bytes that one CopyObject takes ("Copying objects", Amazon S3 user guide)
_KEPT, _UNLOCKED = "kept", "unlocked"
_LONGEST_KEY = 1024  # bytes ("Creating object key names", Amazon S3 user guide)


@dataclasses.dataclass(frozen=True)
class BucketFacts:
    """What a target's bucket does with what is written to it."""

    keeps_versions: bool  # of all keys
    has_lock: bool


class BucketTarget(BucketSide):
    """A bucket that becomes the mirror of another one."""

    is_tree = False
    tells_by_etag = True  # an object has the ETag that it has at the source, or a mark

    def __init__(
        self,
        client: S3Client,
        location: Location,
        left_out: t.Sequence[str] = (),
        *,
        own_source: BucketSource | None = None,
        compares_properties: bool = False,
    ) -> None:
        super().__init__(client, location, left_out)
        self._own_source = own_source  # on the same server, with the same credentials
        self._compares_properties = compares_properties
        self._facts: BucketFacts | None = None
        self._marks = False  # ETags of this server do not follow from bytes and parts
        self._odd: set[str] = set()  # keys of objects whose own ETags do not
        self._quarantine = QUARANTINE + clock.new_backup_id(clock.now()) + "/"
        self._usual: tuple[ObjectProperties | None, dict[str, str]] = (None, {})  # properties and how they are sent
        self._lock = threading.Lock()
        self.notes: collections.Counter[str] = collections.Counter()  # objects that were kept, or came without lock

    @property
    def copies(self) -> bool:
        """Say whether the server can copy by itself."""
        return self._own_source is not None

    @property
    def quarantine(self) -> str:
        """Return where what was kept lies, empty when nothing was."""
        return self.full(self._quarantine) if self.notes[_KEPT] else ""

    def prepare(self) -> None:
        """Ask whether the bucket keeps versions and locks. Raises LifeboatError where there is no such bucket."""
        self._facts = BucketFacts(self._asked("versioning", _keeps_versions), self._asked("object-lock", _has_lock))

    def _asked(self, document: str, read: t.Callable[[bytes], bool]) -> bool:
        """Return what a document of the bucket says; False where that is not to be had: it is the careful answer."""
        try:
            return read(self.client.document("GET", self.bucket, document))
        except S3Error as error:
            if error.is_transient or error.status == 0 or error.code == "NoSuchBucket":
                raise
            return False

    @property
    def facts(self) -> BucketFacts:
        """Return what `prepare` found out."""
        with self._lock:
            if self._facts is None:
                self.prepare()
            return t.cast(BucketFacts, self._facts)

    def wants(self, item: Item) -> bool:
        """Say that every object has a place here."""
        return True

    # Comparison

    def judge(self, item: Item, own: Item) -> Verdict:
        """Compare by size and ETag, and by what MinIO's listings show of metadata, tags and locks."""
        if item.size != own.size:
            return Verdict.OTHER
        if item.etag != own.etag or self._compares_properties:
            return Verdict.LOOK
        is_shown = bool(item.attributes and own.attributes)
        return Verdict.LOOK if is_shown and item.attributes != own.attributes else Verdict.SAME

    def look(self, source: MirrorSource, item: Item, own: Item) -> bool:
        """Compare ETag or mark, and all properties that can travel here."""
        with for_one_object():
            found = self.client.head(self.bucket, self.full(own.key))
        if found is None or found.size != item.size:
            return False
        if item.etag not in (found.etag, found.fields.get(f"x-amz-meta-{SOURCE_ETAG}")):
            return False
        try:
            theirs = source.describe(item).properties
        except VanishedError:
            return True
        return self._has(self.subject(own.key, found).properties, theirs)

    def _has(self, own: ObjectProperties, theirs: ObjectProperties) -> bool:
        wanted = self._possible(theirs)
        same = (own.headers, own.metadata, own.tags) == (wanted.headers, wanted.metadata, wanted.tags)
        return same and _is_as_strong(own.lock, wanted.lock)

    def _possible(self, properties: ObjectProperties) -> ObjectProperties:
        lock = properties.lock
        if lock.retains and lock.until <= clock.to_text(clock.now()):
            lock = Lock(hold=lock.hold)
        return dataclasses.replace(properties, lock=lock if self.facts.has_lock else NO_LOCK)

    # Saving what is there

    def keeps(self, own: Item) -> bool:
        """Say whether the bucket keeps what is overwritten or removed, as a version."""
        # MinIO deletes keys that end in a slash for good, on versioned buckets too.
        return self.facts.keeps_versions and not own.key.endswith("/")

    def keep(self, own: Item) -> None:
        """Copy an object into the quarantine, unless the bucket keeps its versions."""
        if self.keeps(own):
            return
        key = self.full(self._quarantine + own.key)
        if len(key.encode("utf-8", "surrogateescape")) > _LONGEST_KEY:
            raise ObjectError(
                f"Cannot keep the old state of {own.key}", "its name is too long for the quarantine", "rename it"
            )
        with for_one_object():
            found = self.client.head(self.bucket, self.full(own.key))
            if found is None:
                raise VanishedError(f"Cannot keep the old state of {own.key}", "it is not there any more")
            subject = self.subject(own.key, found)
            self._server_copy((self.bucket, self.full(own.key)), key, subject, subject.properties)
        with self._lock:
            self.notes[_KEPT] += 1

    def remove(self, own: Item) -> None:
        """Delete an object (where there are versions: put a delete marker)."""
        with for_one_object():
            self.client.delete(self.bucket, self.full(own.key))

    # Writing

    def put(self, subject: Subject, data: bytes) -> None:
        """Write an object with one request; with another one where only then it turns out that it needs a mark."""
        flight.alone(self.put_task(subject, data))

    def put_task(self, subject: Subject, data: bytes) -> flight.Task[None]:
        """Write an object, as `put` does."""
        key, is_marked = self.full(subject.item.key), self.needs_mark(subject)
        with for_one_object():
            put = yield from self.client.put_task(self.bucket, key, data, self.fields(subject, is_marked))
            if is_marked or put.etag == subject.item.etag or not self.tells_by_etag:
                return
            # Either this server makes other ETags than MD5, or the source's has another reason.
            self._marks = self._marks or hashlib.md5(data, usedforsecurity=False).hexdigest() == subject.item.etag
            yield from self.client.put_task(self.bucket, key, data, self.fields(subject, True))

    def begin(self, subject: Subject) -> Upload:
        """Begin an upload; what a former run left of one is dropped."""
        with for_one_object():
            return BucketUpload(self, subject)

    def copy(self, subject: Subject) -> bool:
        """Let the server copy the object, in its parts where it has some."""
        if self._own_source is None:
            return False
        source = (self._own_source.bucket, self._own_source.full(subject.item.key))
        key, is_marked = self.full(subject.item.key), self.needs_mark(subject)
        with for_one_object():
            etag = self._server_copy(source, key, subject, self.properties_for(subject, is_marked))
            if not is_marked and etag != subject.item.etag:
                self._server_copy(source, key, subject, self.properties_for(subject, True))
        return True

    def needs_mark(self, subject: Subject) -> bool:
        """Say whether an object must be told by a mark, as its ETag will not be that of the source."""
        if not self.tells_by_etag:
            return False
        return self._marks or subject.item.key in self._odd or not keeps_layout(subject)

    def mark_from_now_on(self, key: str) -> None:
        """Remember that the ETag of an object does not follow from its parts."""
        self._odd.add(key)

    def properties_for(self, subject: Subject, is_marked: bool) -> ObjectProperties:
        """Return what an object is written with here."""
        properties = self._possible(subject.properties)
        if subject.properties.lock != NO_LOCK and not self.facts.has_lock:
            with self._lock:
                self.notes[_UNLOCKED] += 1
        if not is_marked:
            return properties
        return dataclasses.replace(properties, metadata={**properties.metadata, SOURCE_ETAG: subject.item.etag})

    def fields(self, subject: Subject, is_marked: bool) -> dict[str, str]:
        """Return the headers that an object is written with."""
        properties = subject.properties
        if is_marked or properties.lock != NO_LOCK:
            return self.client.property_fields(self.properties_for(subject, is_marked))
        # Most objects of a bucket share what was read of their headers.
        known, fields = self._usual
        if known is not properties:
            fields = self.client.property_fields(properties)
            self._usual = (properties, fields)
        return fields

    def settle(self) -> None:
        """Do nothing: a server answers when an object is safe."""

    def remarks(self) -> t.Sequence[str]:
        """Say how many objects came without their lock."""
        unlocked = self.notes[_UNLOCKED]
        if not unlocked:
            return []
        return [f"{self.location.name}: {unlocked} objects came without their lock: the bucket has no object lock"]

    def _server_copy(self, source: tuple[str, str], key: str, subject: Subject, properties: ObjectProperties) -> str:
        """Let the server copy an object of its own, and return the ETag."""
        item, sizes = subject.item, subject.part_sizes
        if not sizes and item.size <= _MOST_COPIED:
            return self.client.copy_object(source, self.bucket, key, properties, source_etag=item.etag).etag
        drop_unfinished(self.client, self.bucket, key)
        fields = self.client.property_fields(properties)
        upload_id = self.client.create_upload(self.bucket, key, fields, of_copies=True)
        try:
            parts, offset = [], 0
            for number, size in enumerate(sizes or parts_of(subject), 1):
                parts.append(
                    self.client.copy_part(
                        self.bucket, key, upload_id, number, source, offset, size, source_etag=item.etag
                    )
                )
                offset += size
            return self.client.complete_upload(self.bucket, key, upload_id, parts).etag
        except BaseException:
            with contextlib.suppress(Exception):
                self.client.abort_upload(self.bucket, key, upload_id)
            raise


def _is_as_strong(own: Lock, wanted: Lock) -> bool:
    """Say whether a lock keeps as long as the source's does: one that keeps longer is left alone."""
    if wanted.hold and not own.hold:
        return False
    if not wanted.retains:
        return True
    return own.retains and own.until >= wanted.until and (own.mode == wanted.mode or own.mode == "COMPLIANCE")


def _keeps_versions(document: bytes) -> bool:
    root = _parsed(document, "VersioningConfiguration")
    # MinIO lets keys take no part in versioning.
    has_exceptions = root.find("ExcludedPrefixes") is not None or root.findtext("ExcludeFolders") == "true"
    return root.findtext("Status") == "Enabled" and not has_exceptions


def _has_lock(document: bytes) -> bool:
    return _parsed(document, "ObjectLockConfiguration").findtext("ObjectLockEnabled") == "Enabled"


def _parsed(document: bytes, name: str) -> ET.Element:
    try:
        return listing.parse_xml(document, name)
    except listing.MalformedPage as error:
        raise LifeboatError("Cannot read the settings of the target's bucket", str(error)) from error
