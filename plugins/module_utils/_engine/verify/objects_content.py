# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import concurrent.futures
import contextlib
import hashlib
import itertools
import json
import typing as t

from ..errors import DamagedError
from ..objects import segment_list, segments
from ..objects.rows import Row
from ..objects.segment_list import SegmentList
from ..objects.segments import Segment
from ..repository.manifest import Manifest, Need
from ..repository.proof import FileVerdict
from ..repository.store import Store
from ..repository.stored_files import (
    NeededFile,
    damage_told_from_keys,
    decrypting,
    files_of_need,
    needs_of,
    own_files,
    plain_chunks,
)
from ..stream.frame_reader import framed_chunks
from .outcome import Outcome
from .pack_contents import broken_promises
from .presence import damaged_lists
from .row_spill import Member, RowSpill
from .sample import EVERYTHING, Sample

_READERS = 4  # packs at once: each has threads of its own, and memory for about 6 MiB
_LARGEST_SEGMENT = 256 * 1024 * 1024  # plain bytes; more is no segment but an attempt to fill the memory
_EMPTY = hashlib.sha256(b"").hexdigest()
PACK, INDEX, SEGMENTS = "pack", "index", "segments"  # roles of stored files


def check_objects(
    store: Store, manifest: Manifest, *, own_only: bool = False, sample: Sample = EVERYTHING, folder: str = ""
) -> Outcome:
    """Verify a backup of objects or files at level `content`: every stored byte is read once, in order.

    The segment list is in order and its needs are met; every segment of every index has its SHA-256 and its rows; each
    pack has its stored SHA-256, all of its frames decompress, and each member that a row names has the row's SHA-256.
    `own_only` reads what this backup wrote itself: the rest was proved by those that wrote it. `sample` chooses packs.
    `folder` is for a temporary file of about 70 bytes per object. Memory does not depend on the number of objects.
    """
    try:
        own = list(own_files(store, manifest))
        needs = needs_of(store, manifest)
        others = [] if own_only else [each for need in needs for each in files_of_need(store, manifest, need)]
    except DamagedError as error:
        return damaged_lists(manifest, "content", error)
    with contextlib.closing(RowSpill(folder)) as spill:
        return _Check(store, manifest, [*own, *others], needs, own_only, sample, spill).outcome()


class _Check:
    """One verification."""

    def __init__(
        self,
        store: Store,
        manifest: Manifest,
        files: t.Sequence[NeededFile],
        needs: t.Sequence[Need],
        own_only: bool,
        sample: Sample,
        spill: RowSpill,
    ) -> None:
        self._store = store
        self._manifest = manifest
        self._files = {(each.owner, each.file.name): each for each in files}
        self._numbered = {(each.owner, each.number): each for each in files if each.number >= 0}
        self._needs = {need.owner: need.ranges for need in needs}
        self._own_only = own_only
        self._sample = sample
        self._spill = spill
        self._problems: dict[tuple[str, str], str] = {}  # of files that were read, empty for good ones
        self._indexes: list[tuple[str, str]] = []  # owners and names, as members count them
        self._figures = {"objects": 0, "plain_bytes": 0, "packs": 0, "packs_read": 0}

    def outcome(self) -> Outcome:
        self._read_small_files()
        self._check_taken_over()
        for place, found in self._segments_by_index().items():
            self._read_index(place, found)
        self._read_packs()
        verdicts: dict[str, list[FileVerdict]] = {}
        for key, each in self._files.items():
            if key in self._problems:
                problem = self._problems[key]
                verdict = FileVerdict(each.file.name, each.file.facts.stored_sha256, not problem, problem)
                verdicts.setdefault(each.owner, []).append(verdict)
        report: dict[str, t.Any] = dict(self._figures)
        if self._sample != EVERYTHING:
            report["sample"] = str(self._sample)
        return Outcome("content", {owner: tuple(found) for owner, found in verdicts.items()}, report)

    def _blame(self, owner: str, name: str, problem: str) -> None:
        """Record what is wrong with a file; the first problem tells most."""
        self._problems[owner, name] = self._problems.get((owner, name)) or problem

    @contextlib.contextmanager
    def _judging(self, each: NeededFile) -> t.Iterator[None]:
        problem = ""
        try:
            with damage_told_from_keys(self._store, self._manifest.job, each.owner, each.file):
                yield
        except DamagedError as error:
            problem = error.cause or error.problem
        self._blame(each.owner, each.file.name, problem)

    def _read_small_files(self) -> None:
        """Read what is neither index, segment list nor pack; the lists were read already."""
        for each in self._files.values():
            if each.file.role in (PACK, INDEX, SEGMENTS):
                continue
            with self._judging(each):
                if each.file.role not in ("files", "needs"):
                    self._read_document(each)

    def _check_taken_over(self) -> None:
        """Blame needs.jsonl unless it names what the manifest has of earlier backups: prune goes by it."""
        for taken in self._manifest.taken_over:
            with self._judging(NeededFile(self._manifest.id, self._manifest.file("needs"))):
                self._require_named(taken.owner, taken.number, taken.number)
                listed = self._numbered.get((taken.owner, taken.number))
                if listed is not None and listed.file != taken.file:
                    cause = f"file {taken.number} of {taken.owner} is not the {taken.file.name} that it has taken over"
                    raise DamagedError(f"Cannot use backup {self._manifest.id} of {self._manifest.job}", cause)

    def _read_document(self, each: NeededFile) -> None:
        """Read settings, a scope (JSON documents) or remarks (a JSON line each), and whatever else there may be."""
        chunks = plain_chunks(self._store, self._manifest.job, each.owner, each.file)
        try:
            if each.file.role in ("settings", "scope"):
                json.loads(b"".join(chunks))
            elif each.file.role == "remarks":
                for line in _lines(chunks):
                    json.loads(line)
            else:
                for _chunk in chunks:
                    pass
        except ValueError as error:
            raise DamagedError(f"Cannot read {each.file.name}", f"it is no JSON: {error}") from error

    def _segments_by_index(self) -> dict[tuple[str, int], SegmentList]:
        """Read the segment list, and return the segments to be read by index."""
        found: dict[tuple[str, int], SegmentList] = {}
        for each in self._files.values():
            if each.file.role != SEGMENTS or each.owner != self._manifest.id:
                continue
            with self._judging(each):
                chunks = plain_chunks(self._store, self._manifest.job, each.owner, each.file)
                for segment in segment_list.parse(chunks, each.file.name):
                    self._require_needs(segment)
                    if segment.owner == self._manifest.id or not self._own_only:
                        found.setdefault((segment.owner, segment.file), SegmentList()).append(segment)
        return found

    def _require_needs(self, segment: Segment) -> None:
        """Raise DamagedError unless the lists name what a segment needs: prune keeps only what they name."""
        named = [(segment.owner, segment.file, segment.file)]
        named += [(owner, first, last) for owner, pairs in segment.needs for first, last in pairs]
        for owner, first, last in named:
            self._require_named(owner, first, last)

    def _require_named(self, owner: str, first: int, last: int) -> None:
        if not self._names(owner, first, last):
            cause = f"it needs files {first} to {last} of {owner}, which needs.jsonl does not name"
            raise DamagedError(f"Cannot use backup {self._manifest.id} of {self._manifest.job}", cause)

    def _names(self, owner: str, first: int, last: int) -> bool:
        if owner == self._manifest.id:
            return (owner, first) in self._numbered and (owner, last) in self._numbered
        return any(low <= first and last <= high for low, high in self._needs.get(owner, ()))

    def _read_index(self, place: tuple[str, int], found: SegmentList) -> None:
        each = self._numbered[place]
        number = len(self._indexes)
        self._indexes.append((each.owner, each.file.name))
        with self._judging(each):
            if each.file.role != INDEX:
                raise DamagedError(f"Cannot use {each.file.name}", f"it is no index, but {each.file.role}")
            borders = {border for one in found for border in (one.offset, one.offset + one.length)}
            stored = self._store.read(each.key(self._manifest.job))
            facts = each.file.facts
            stages = decrypting(self._store, self._manifest.job, each.owner, each.file)
            chunks = framed_chunks(stored, facts, sorted(borders - {facts.stored_size}), stages)
            wanted = iter(found)  # their order is that of the frames, as both follow the keys
            segment = next(wanted, None)
            for offset, pieces in itertools.groupby(chunks, key=lambda chunk: chunk[0]):
                if segment is not None and segment.offset == offset:
                    self._read_segment(segment, _joined(data for _offset, data in pieces), number)
                    segment = next(wanted, None)
            if segment is not None:
                raise segments.damaged(each.file.name, f"no segment is found at byte {segment.offset}")

    def _read_segment(self, segment: Segment, data: bytes, number: int) -> None:
        what = f"the segment at byte {segment.offset}"
        if hashlib.sha256(data).hexdigest() != segment.sha256:
            raise segments.damaged(what, "its SHA-256 is not that of the segment list")
        found = segments.decode(data, what)
        facts = (found[0].key, found[-1].key, len(found), sum(row.size for row in found))
        if facts != (segment.first, segment.last, segment.rows, segment.size):
            raise segments.damaged(what, "the segment list tells of other rows")
        if segments.listing_digest(row.item for row in found) != segment.listing:
            raise segments.damaged(what, "the segment list has another digest of its listing")
        if segments.needs_of(found) != segment.needs:
            raise segments.damaged(what, "the segment list tells of other packs")
        for row in found:
            self._take(row, number, what)
        self._figures["objects"] += len(found)
        self._figures["plain_bytes"] += segment.size

    def _take(self, row: Row, number: int, what: str) -> None:
        """Keep what a row promises until its pack is read."""
        place = row.location
        if place is None:
            if row.sha256 not in ("", _EMPTY) or (row.sha256 and row.size):
                raise segments.damaged(what, "a row has content, and does not say where")
            return
        if self._own_only and place.owner != self._manifest.id:
            return
        pack = self._numbered.get((place.owner, place.pack))
        if pack is None or pack.file.role != PACK:
            raise segments.damaged(what, f"a row lies in file {place.pack} of {place.owner}, which is no pack")
        try:
            digest = bytes.fromhex(row.sha256)
            if len(digest) != len(bytes.fromhex(_EMPTY)):
                raise ValueError("a row with content has no SHA-256")
            member = Member(place.offset, place.length, place.inside, row.size, digest, number)
            self._spill.add((place.owner, place.pack), member)
        except ValueError as error:
            raise segments.damaged(what, str(error)) from error

    def _read_packs(self) -> None:
        packs = [each for each in self._files.values() if each.file.role == PACK]
        chosen = [each for each in packs if self._sample.takes(each.owner, each.number)]
        self._figures.update(packs=len(packs), packs_read=len(chosen))
        with concurrent.futures.ThreadPoolExecutor(_READERS, "verify-packs") as pool:
            for _done in pool.map(self._read_pack, chosen):
                pass

    def _read_pack(self, each: NeededFile) -> None:
        with self._judging(each):
            members = self._spill.members((each.owner, each.number))
            key = each.key(self._manifest.job)
            stages = decrypting(self._store, self._manifest.job, each.owner, each.file)
            broken = broken_promises(lambda: self._store.read(key), each.file.facts, members, stages)
            for number, count in broken.items():
                # The pack is what was written, so it is the rows that do not fit.
                self._blame(*self._indexes[number], f"{count} of its rows are not borne out by {each.file.name}")


def _joined(chunks: t.Iterable[bytes]) -> bytes:
    parts, size = [], 0
    for chunk in chunks:
        size += len(chunk)
        if size > _LARGEST_SEGMENT:
            raise DamagedError("Cannot read an index", f"a segment has more than {_LARGEST_SEGMENT} plain bytes")
        parts.append(chunk)
    return b"".join(parts)


def _lines(chunks: t.Iterable[bytes]) -> t.Iterator[bytes]:
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        yield from whole
    if rest:
        raise ValueError("its last line has no end")
