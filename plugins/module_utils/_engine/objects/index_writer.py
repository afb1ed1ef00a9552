# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import typing as t

from ..repository.manifest import Need, StoredFile
from .changes import Taken
from .needed_files import NeededFiles
from .rows import Row
from .segment_list import SegmentList, to_lines
from .segmenting import Line, segmented
from .segments import Segment, listing_digest, needs_of

INDEX, SEGMENTS = "index", "segments"  # roles of the two stored files


class IndexFile(t.Protocol):
    """The stored file into which segments are written."""

    def add(self, plain: bytes) -> tuple[int, int]:
        """Write one frame; return its offset and length in compressed bytes."""

    def finish(self) -> StoredFile:
        """Make the file durable and part of the backup."""

    def abort(self) -> None:
        """Drop what was written; never raises, and does nothing after `finish`."""


class IndexRun(t.Protocol):
    """What an index needs of the run that writes the backup (`repository.publish.Run`)."""

    @property
    def id(self) -> str:
        """Return the id of the backup."""

    def open_file(self, name: str, role: str, compression: str) -> IndexFile:
        """Begin a stored file that is written frame by frame."""

    def store_file(
        self, name: str, role: str, chunks: t.Iterable[bytes], compression: str, estimate: int = 0
    ) -> StoredFile:
        """Write a stored file from plain chunks."""

    def number_of(self, file: StoredFile) -> int:
        """Return the number that a finished file has in files.jsonl; no pack may be written after that."""


class Base(t.Protocol):
    """The index that a new one builds on (`index_reader.IndexReader`)."""

    def segments(self, collection: str = "") -> t.Iterator[Segment]:
        """Yield the segments of a collection in order."""

    def rows_of(self, segment: Segment) -> list[Row]:
        """Read the rows of a segment."""

    def files_digests(self) -> t.Mapping[str, str]:
        """Return the SHA-256 of files.jsonl of the backup and of each one that it needs, by id."""


@dataclasses.dataclass(frozen=True)
class Totals:
    """How much there is of something."""

    rows: int = 0
    size: int = 0  # bytes of the objects


@dataclasses.dataclass(frozen=True)
class IndexSummary:
    """What the index of a new backup holds."""

    rows: int
    bytes: int  # of all objects
    collections: t.Mapping[str, Totals]  # in order; also those without rows
    needs: tuple[Need, ...]  # what the backup needs of earlier ones
    taken_segments: int  # those of earlier backups
    written_segments: int


class IndexWriter:
    """Writes the index of a backup: new segments as frames of one stored file, and the list of all segments."""

    def __init__(self, run: IndexRun, base: Base | None = None, compression: str = "zstd") -> None:
        self._run = run
        self._base = base
        self._compression = compression
        self._file: IndexFile | None = None
        self._list = SegmentList()
        self._needed = NeededFiles()
        self._totals: dict[str, Totals] = {}
        self._written = 0

    def add(self, collection: str, steps: t.Iterable[Row | Taken]) -> Totals:
        """Write the rows of a collection, which come in the order of keys, with segments of the base among them.

        Collections come in the order of their bytes. A failure drops the file that was begun.
        """
        base = iter(()) if self._base is None else self._base.segments(collection)
        rows = size = 0
        with self._dropped_on_failure():
            for part in segmented(steps, base, self._load):
                segment = part if isinstance(part, Segment) else self._write(collection, part)
                self._list.append(segment)
                rows, size = rows + segment.rows, size + segment.size
        self._totals[collection] = Totals(rows, size)
        return self._totals[collection]

    def finish(self) -> IndexSummary:
        """End the index and write the segment list. All packs must be finished before: the index comes after them."""
        number = 0
        with self._dropped_on_failure():
            if self._file is not None:
                number = self._run.number_of(self._file.finish())
            self._run.store_file(SEGMENTS + ".jsonl", SEGMENTS, self._lines(number), self._compression)
        needs = self._needed.needs(self._run.id, self._digests)
        return IndexSummary(
            rows=sum(each.rows for each in self._totals.values()),
            bytes=sum(each.size for each in self._totals.values()),
            collections=dict(self._totals),
            needs=needs,
            taken_segments=len(self._list) - self._written,
            written_segments=self._written,
        )

    def abort(self) -> None:
        """Drop the index that was begun; never raises."""
        if self._file is not None:
            self._file.abort()

    def _write(self, collection: str, lines: t.Sequence[Line]) -> Segment:
        if self._file is None:
            self._file = self._run.open_file(INDEX + ".jsonl", INDEX, self._compression)
        data = b"".join([line.data for line in lines])
        rows = [line.row for line in lines]
        offset, length = self._file.add(data)
        self._written += 1
        return Segment(
            collection=collection,
            first=rows[0].key,
            last=rows[-1].key,
            rows=len(rows),
            size=sum(row.size for row in rows),
            sha256=hashlib.sha256(data).hexdigest(),
            listing=listing_digest(row.item for row in rows),
            owner=self._run.id,
            file=0,  # it is known when all packs are: `_lines`
            offset=offset,
            length=length,
            needs=needs_of(rows),
        )

    def _lines(self, number: int) -> t.Iterator[bytes]:
        """Yield the lines of the segment list, and note what they need."""
        for segment in self._list:
            if segment.owner == self._run.id:
                segment = dataclasses.replace(segment, file=number)
            self._needed.add(segment)
            yield from to_lines((segment,))

    def _load(self, segment: Segment) -> list[Row]:
        if self._base is None:
            raise ValueError("a segment of no base was taken over")
        return self._base.rows_of(segment)

    def _digests(self) -> t.Mapping[str, str]:
        return {} if self._base is None else self._base.files_digests()

    @contextlib.contextmanager
    def _dropped_on_failure(self) -> t.Iterator[None]:
        try:
            yield
        except BaseException:
            self.abort()
            raise
