# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A repository of indexes in memory: what a run, and a reader of its backup, are for the index of objects."""

from __future__ import annotations

import dataclasses
import functools
import hashlib

from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects import segment_list, segments
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.changes import (
    Gone,
    Kept,
    Taken,
    Wanted,
    changes,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.index_writer import IndexWriter
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.rows import Item, Location, Row, order
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.manifest import StoredFile
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.stream.pipeline import StreamFacts

TIME = "2026-11-21T02:36:20.639906Z"


def backup_id(number: int) -> str:
    return f"20261121T{number // 3600:02d}{number // 60 % 60:02d}{number % 60:02d}Z-{number:06x}"


def item(key: str, content: int = 0, attributes: str = "") -> Item:
    return Item(key, content, f"e{content}", TIME, attributes)


def row(key: str, content: int = 0, attributes: str = "", owner: str = backup_id(0), pack: int = 0) -> Row:
    """Return the row of an item of the same arguments, in a pack of `owner`."""
    return row_of(item(key, content, attributes), Location(owner, pack, 0, 10, 0))


def row_of(found: Item, location: Location) -> Row:
    digest = hashlib.sha256(str(found.size).encode()).hexdigest()
    return Row(*found, "", digest, location, {"tags": {"a": found.attributes}} if found.attributes else {})


class File:
    """A stored file that is written frame by frame, uncompressed."""

    def __init__(self, name: str, role: str) -> None:
        self.name, self.role = name, role
        self.data = b""
        self.is_whole = self.is_dropped = False

    def add(self, plain: bytes) -> tuple[int, int]:
        self.data += plain
        return len(self.data) - len(plain), len(plain)

    def finish(self) -> StoredFile:
        self.is_whole = True
        digest = hashlib.sha256(self.data).hexdigest()
        return StoredFile(self.name, self.role, StreamFacts(len(self.data), digest, len(self.data), digest, "none"))

    def abort(self) -> None:
        self.is_dropped = not self.is_whole


class Run:
    """A run into memory; it has `packs` packs in front of its other files."""

    def __init__(self, number: int, packs: int = 1) -> None:
        self.id = backup_id(number)
        self.packs = packs
        self.files: dict[str, File] = {}
        self.decoded: dict[tuple[int, int], list[Row]] = {}  # by place: files never change, and tests read them often

    def open_file(self, name: str, role: str, compression: str) -> File:
        self.files[role] = File(name, role)
        return self.files[role]

    def store_file(self, name, role, chunks, compression, estimate=0) -> StoredFile:
        file = self.open_file(name, role, compression)
        for chunk in chunks:
            file.add(chunk)
        return file.finish()

    def number_of(self, file: StoredFile) -> int:
        return self.packs + list(self.files).index(file.role)


@dataclasses.dataclass
class Backup:
    """What a run left, and what it can be read by."""

    run: Run
    earlier: dict[str, Run]  # the runs whose files are still there, by id
    owners: dict[str, str]  # files_digests of this backup
    summary: object = None
    steps: list = dataclasses.field(default_factory=list)
    loads: int = 0  # segments that were read from it

    @functools.cached_property
    def listed(self):
        return list(segment_list.parse([self.run.files["segments"].data], "the list"))

    def segments(self, collection=""):
        return (each for each in self.listed if not collection or each.collection == collection)

    def rows_of(self, segment):
        self.loads += 1
        run = self.earlier[segment.owner]
        file = run.files["index"]
        assert (file.is_whole, segment.file) == (True, run.packs + list(run.files).index("index"))
        place = (segment.offset, segment.length)
        data = file.data[segment.offset : segment.offset + segment.length]
        assert hashlib.sha256(data).hexdigest() == segment.sha256
        if place not in run.decoded:
            run.decoded[place] = segments.decode(data, "a segment")
        return run.decoded[place]

    def files_digests(self):
        return self.owners

    def rows(self, collection):
        """Return all rows of a collection, read like a restore does."""
        return [row for segment in self.segments(collection) for row in self.rows_of(segment)]


def digest_of(owner: str) -> str:
    """Return what files.jsonl of a backup hashes to here."""
    return hashlib.sha256(owner.encode()).hexdigest()


def read(step, owner: str, pack: int, hidden=()):
    """Do what a step asks for, as `gather` does: return the finished row, the segment, or None."""
    if isinstance(step, Taken):
        return step
    if isinstance(step, Kept):
        return step.row
    if isinstance(step, Gone):
        return None
    if step.item.key in hidden:
        return step.base
    if step.only_properties:
        return row_of(step.item, step.base.location)
    return row_of(step.item, Location(owner, pack, 0, 10, 0))


def back_up(base: Backup | None, number: int, state: dict[str, dict[str, Item]], packs=1, hidden=(), **how) -> Backup:
    """Back up a state (items by key, by collection) on top of `base`; the pack of a row follows from its key.

    Objects whose keys are `hidden` are listed and cannot be read.
    """
    run = Run(number, packs)
    writer = IndexWriter(run, base)
    backup = Backup(run, {**(base.earlier if base else {}), run.id: run}, {})
    for collection in sorted(state, key=order):
        listing = iter(sorted(state[collection].values(), key=lambda each: order(each.key)))
        segments_before = base.segments(collection) if base else ()
        steps = noted(backup, changes(listing, segments_before, base.rows_of if base else None, **how))
        finished = (read(step, run.id, len(step_key(step)) % packs, hidden) for step in steps)
        writer.add(collection, (each for each in finished if each is not None))
    backup.summary = writer.finish()
    needed = {need.owner: need.files_sha256 for need in backup.summary.needs}
    backup.owners = {run.id: digest_of(run.id), **needed}
    return backup


def noted(backup: Backup, steps):
    for step in steps:
        backup.steps.append(step)
        yield step


def step_key(step) -> str:
    if isinstance(step, Taken):
        return step.segment.first
    return step.item.key if isinstance(step, Wanted) else step.row.key
