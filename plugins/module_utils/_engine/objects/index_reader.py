# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import hashlib
import itertools
import threading
import typing as t

from ..repository.manifest import Manifest, Need, StoredFile
from ..repository.store import Store
from ..repository.stored_files import NeededFile, files_of_need, needs_of, own_files, plain_chunks
from ..repository.stored_ranges import Ranged, StoredRanges
from ..stream.compression import decompressed
from . import segment_list, segments
from .rows import Row, order
from .segments import Segment, damaged

_AT_ONCE = 4 * 1024 * 1024  # compressed bytes of neighbouring segments that are read by one request
_LARGEST_SEGMENT = 256 * 1024 * 1024  # plain bytes; more is no segment but an attempt to fill the memory


class IndexReader:
    """The index of one backup in one store; several threads may use it.

    The segment list is read and checked as a whole before anything of it is used, and kept packed. All methods raise
    DamagedError and StoreError.
    """

    def __init__(self, store: Store, manifest: Manifest) -> None:
        self._store = store
        self._manifest = manifest
        self._ranges = StoredRanges(store, manifest.job)
        self._lock = threading.Lock()
        self._list: segment_list.SegmentList | None = None
        self._owners: dict[str, Need] | None = None
        self._files: dict[tuple[str, int], StoredFile] = {}

    @property
    def id(self) -> str:
        """Return the id of the backup."""
        return self._manifest.id

    def collections(self) -> list[str]:
        """Return the collections that have rows, in the order of their bytes."""
        return self._segments().collections()

    def segments(self, collection: str = "") -> t.Iterator[Segment]:
        """Yield the segments of a collection, or of all, in order."""
        return self._segments().of(collection) if collection else iter(self._segments())

    def rows_of(self, segment: Segment) -> list[Row]:
        """Read the rows of one segment, checked against the list."""
        return self._decoded(segment, b"".join(self._stored(segment, segment.length)))

    def rows(self, collection: str, prefix: str = "") -> t.Iterator[Row]:
        """Yield the rows of a collection whose keys begin with `prefix`, in order."""
        start = order(prefix)
        held = self._segments().of(collection, prefix)
        may_match = itertools.takewhile(lambda each: order(each.first)[: len(start)] <= start, held)
        for batch in _neighbours(may_match):
            for row in self._rows_of_batch(batch):
                if not start or order(row.key).startswith(start):
                    yield row

    def find(self, collection: str, key: str) -> Row | None:
        """Return the row of a key, or None."""
        segment = next(self._segments().of(collection, key), None)
        if segment is None or order(segment.first) > order(key):
            return None
        return next((row for row in self.rows_of(segment) if row.key == key), None)

    def files_digests(self) -> dict[str, str]:
        """Return the SHA-256 of `files.jsonl` of this backup and of each one that it needs, by id."""
        with self._lock:
            needs = self._needs()
        own = self._manifest.file("files").facts.plain_sha256
        return {self.id: own, **{need.owner: need.files_sha256 for need in needs.values()}}

    def _segments(self) -> segment_list.SegmentList:
        with self._lock:
            if self._list is None:
                chunks = plain_chunks(self._store, self._manifest.job, self.id, self._manifest.file("segments"))
                self._list = segment_list.SegmentList(segment_list.parse(chunks, self._what()))
            return self._list

    def _rows_of_batch(self, batch: t.Sequence[Segment]) -> t.Iterator[Row]:
        stored = _Slices(self._stored(batch[0], sum(each.length for each in batch)))
        for segment in batch:
            yield from self._decoded(segment, stored.take(segment.length))

    def _stored(self, segment: Segment, length: int) -> t.Iterator[bytes]:
        file = self._file(segment)
        ranged = Ranged(segment.owner, file.name, file.encryption, file.facts.stored_size)
        if segment.offset + length > self._ranges.size(ranged):
            raise damaged(self._what(), f"it names bytes behind the end of {file.name} of backup {segment.owner}")
        return self._ranges.read(ranged, segment.offset, length)

    def _decoded(self, segment: Segment, stored: bytes) -> list[Row]:
        what = f"the index of backup {segment.owner} of {self._manifest.job} from byte {segment.offset} on"
        if len(stored) != segment.length:
            raise damaged(what, f"{len(stored)} of {segment.length} bytes are there")
        data = _plain(stored, self._file(segment).facts.compression, what)
        if hashlib.sha256(data).hexdigest() != segment.sha256:
            raise damaged(what, "its SHA-256 is not that of the segment list")
        found = segments.decode(data, what)
        facts = (found[0].key, found[-1].key, len(found), sum(row.size for row in found))
        listing = segments.listing_digest(row.item for row in found)
        if (*facts, listing) != (segment.first, segment.last, segment.rows, segment.size, segment.listing):
            raise damaged(what, "the segment list tells of other rows")
        return found

    def _file(self, segment: Segment) -> StoredFile:
        """Return the index that holds a segment; its number counts the lines of its owner's files.jsonl."""
        with self._lock:
            place = (segment.owner, segment.file)
            if place not in self._files:
                self._files[place] = self._read_file(*place)
            return self._files[place]

    def _read_file(self, owner: str, number: int) -> StoredFile:
        for needed in self._files_of(owner):
            if needed.number == number and needed.file.role == "index":
                return self._whole(needed)
        cause = f"it names file {number} of backup {owner}, which is no index that this backup needs"
        raise damaged(self._what(), cause)

    def _whole(self, needed: NeededFile) -> StoredFile:
        """Return an index if all of it is there: a store cannot tell a file that was cut from a wrong range."""
        key = needed.key(self._manifest.job)
        entry = self._store.stat(key)
        if entry is None or entry.size != needed.file.facts.stored_size:
            size = "no" if entry is None else str(entry.size)
            raise damaged(key, f"{size} bytes of {needed.file.facts.stored_size} are there")
        return needed.file

    def _what(self) -> str:
        return f"the segment list of backup {self.id} of {self._manifest.job}"

    def _files_of(self, owner: str) -> t.Iterator[NeededFile]:
        if owner == self.id:
            yield from own_files(self._store, self._manifest)
        elif owner in self._needs():
            yield from files_of_need(self._store, self._manifest, self._needs()[owner])

    def _needs(self) -> dict[str, Need]:
        if self._owners is None:
            self._owners = {need.owner: need for need in needs_of(self._store, self._manifest)}
        return self._owners


class _Slices:
    """Cuts chunks of any length into pieces of given lengths."""

    def __init__(self, chunks: t.Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = b""

    def take(self, length: int) -> bytes:
        """Return the next bytes; fewer where there are no more."""
        parts, missing = [self._rest], length - len(self._rest)
        while missing > 0:
            chunk = next(self._chunks, b"")
            if not chunk:
                break
            parts.append(chunk)
            missing -= len(chunk)
        data = b"".join(parts)
        self._rest = data[length:]
        return data[:length]


def _neighbours(wanted: t.Iterator[Segment]) -> t.Iterator[list[Segment]]:
    """Join segments that lie one after the other in the same index, so that one request reads them."""
    batch: list[Segment] = []
    size = 0
    for segment in wanted:
        if batch and (not _follows(batch[-1], segment) or size + segment.length > _AT_ONCE):
            yield batch
            batch, size = [], 0
        batch.append(segment)
        size += segment.length
    if batch:
        yield batch


def _follows(before: Segment, after: Segment) -> bool:
    return (before.owner, before.file, before.offset + before.length) == (after.owner, after.file, after.offset)


def _plain(stored: bytes, compression: str, what: str) -> bytes:
    parts, size = [], 0
    for chunk in decompressed([stored], compression):
        size += len(chunk)
        if size > _LARGEST_SEGMENT:
            raise damaged(what, f"more than {_LARGEST_SEGMENT} bytes come out")
        parts.append(chunk)
    return b"".join(parts)
