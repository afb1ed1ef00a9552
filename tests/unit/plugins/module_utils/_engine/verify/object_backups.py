# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Backups of objects in a repository in memory, written by hand so that they can lie."""

from __future__ import annotations

import dataclasses
import hashlib
import typing as t

from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects import segment_list, segments
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.rows import Location, Row, order
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.segments import Segment
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository import layout
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.manifest import (
    Manifest,
    Need,
    StoredFile,
    TakenFile,
    file_list,
    need_list,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.store import Store
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.stream.compression import block_compressor
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.stream.pipeline import StreamFacts
from ansible_collections.lifeboat.recovery.tests.unit.plugins.module_utils._engine.repository.examples import (
    JOB,
    manifest,
)

COLLECTION = "photos"
_HEADER = b"h" * 512  # stands for the header of a member: nobody looks at it


def backup_id(number: int) -> str:
    return f"20261120T{number // 60:02d}{number % 60:02d}00Z-0a1b2c"


def digest(data: bytes | bytearray) -> str:
    return hashlib.sha256(data).hexdigest()


@dataclasses.dataclass
class File:
    """A stored file in the making: frames, and what lists say of it."""

    name: str
    role: str
    compression: str = "zstd"
    stored: bytearray = dataclasses.field(default_factory=bytearray)
    plain: bytearray = dataclasses.field(default_factory=bytearray)

    def frame(self, plain: bytes) -> tuple[int, int]:
        """Add a frame and return where it lies."""
        data = block_compressor(self.compression)(plain)
        offset = len(self.stored)
        self.stored += data
        self.plain += plain
        return offset, len(data)

    @property
    def listed(self) -> StoredFile:
        plain_sha256 = "" if self.role == "pack" else digest(self.plain)
        facts = StreamFacts(len(self.plain), plain_sha256, len(self.stored), digest(self.stored), self.compression)
        return StoredFile(self.name, self.role, facts)


class Writer:
    """One backup in the making."""

    def __init__(self, store: Store, number: int, compression: str = "zstd") -> None:
        self.store = store
        self.id = backup_id(number)
        self.compression = compression
        self.packs: list[File] = []
        self.others: list[File] = []
        self.rows: list[Row] = []
        self.taken: list[Segment] = []  # segments of earlier backups

    def pack(self, *frames: t.Mapping[str, bytes]) -> None:
        """Write a pack of frames, each of some objects (keys → content), and rows for all of them."""
        pack = File(f"pack-{len(self.packs):04d}.tar.zst", "pack", self.compression)
        for members in frames:
            inside, plain, places = 0, b"", []
            for key, data in members.items():
                plain += _HEADER + data
                places.append((key, data, inside + len(_HEADER)))
                inside = len(plain)
            offset, length = pack.frame(plain)
            for key, data, begin in places:
                where = Location(self.id, len(self.packs), offset, length, begin)
                self.rows.append(Row(key, len(data), "e", "m", "", "", digest(data), where, {}))
        pack.frame(bytes(1024))
        self.packs.append(pack)

    def document(self, name: str, role: str, data: bytes) -> None:
        file = File(name, role)
        file.frame(data)
        self.others.append(file)

    def finish(
        self,
        needs: t.Sequence[Need] = (),
        segment_rows: int = 2,
        lie: t.Callable[[Segment], Segment] | None = None,
        taken_over: tuple[TakenFile, ...] = (),
    ) -> Manifest:
        """Write everything and return the manifest; `lie` may change what the segment list says."""
        written = self._index(segment_rows)
        found = sorted([*written, *self.taken], key=lambda each: order(each.first))
        if lie is not None:
            found = [lie(each) for each in found]
        self.document("segments.jsonl.zst", "segments", b"".join(segment_list.to_lines(found)))
        files = [*self.packs, *self.others]
        for file in files:
            self.store.put(layout.data(JOB, self.id, file.name), bytes(file.stored))
        listed = [file.listed for file in files]
        lists = [self._list("files", file_list(listed)), self._list("needs", need_list(needs))]
        in_manifest = [file for file in [*listed, *lists] if file.role != "pack"]
        made = manifest(self.id, in_manifest, kind="bucket", taken_over=taken_over)
        self.store.put_new(layout.manifest(JOB, self.id), made.to_bytes())
        return made

    def _index(self, segment_rows: int) -> list[Segment]:
        if not self.rows:
            return []
        index = File("index.jsonl.zst", "index", self.compression)
        number = len(self.packs) + len(self.others)
        self.rows.sort(key=lambda row: order(row.key))
        written = []
        for start in range(0, len(self.rows), segment_rows):
            rows = self.rows[start : start + segment_rows]
            data = segments.encode(rows)
            listing = segments.listing_digest(row.item for row in rows)
            facts = (len(rows), sum(row.size for row in rows), digest(data), listing, self.id, number)
            ends = (COLLECTION, rows[0].key, rows[-1].key)
            written.append(Segment(*ends, *facts, *index.frame(data), segments.needs_of(rows)))
        self.others.append(index)
        return written

    def _list(self, role: str, data: bytes) -> StoredFile:
        name = f"{role}.jsonl"
        self.store.put(layout.data(JOB, self.id, name), data)
        return StoredFile(name, role, StreamFacts(len(data), digest(data), len(data), digest(data), "none"))


def need_of(made: Manifest, *ranges: tuple[int, int]) -> Need:
    """Return what a later backup needs of one."""
    return Need(made.id, made.file("files").facts.stored_sha256, ranges)
