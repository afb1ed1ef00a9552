# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
import itertools
import typing as t

from ..errors import GuardRefusal, UsageError
from ..objects import guards
from ..objects.reread import Share
from ..objects.source import Source
from ..repository.lease import WAIT_S
from ..repository.manifest import Manifest
from ..repository.store import Store
from ..stream.compression import block_compressor
from ..verify.drill_place import DrillPlace
from ..verify.outcome import Outcome
from .place import Place, require_places

MODES = ("incremental", "full", "metadata_only")
PROOFS = ("none", "content")
CONCURRENCY = 16  # requests at once

Remark = t.Callable[[str, str, str, str], None]  # collection, key, what (`skipped`, `kept`), why


@dataclasses.dataclass(frozen=True)
class ObjectsJob:
    """What to back up of buckets or folders, where to, and how strictly."""

    name: str
    kind: str  # bucket | files
    open_source: t.Callable[[Remark], Source]  # told what the source leaves out although nobody wants that
    places: tuple[Place, ...]  # the first that works is written to; the others get copies
    mode: str = "incremental"  # incremental | full: read every object | metadata_only: settings, no objects
    reread: Share | None = None  # how much of what seems unchanged is read all the same
    proof: str = "content"  # none | content: what is done at once after each write
    compression: str = "zstd"  # zstd | gzip | none
    policy: guards.Policy = dataclasses.field(default_factory=dict)  # guard → fail | warn | ignore
    allow_empty: bool = False  # True: a source without any object is no reason to refuse
    allow_partial: bool = False  # True: a missing copy or an object that could not be read is a warning
    rebind: bool = False  # True: the job's source was rebuilt on purpose
    wait_s: float = WAIT_S  # for maintenance of another repository
    concurrency: int = CONCURRENCY  # objects that are read at once

    @property
    def proving_place(self) -> DrillPlace:
        return DrillPlace()

    def try_out(self, store: Store, manifest: Manifest) -> Outcome:
        """Refuse: what is restored of objects and files is too much to be done after each backup."""
        raise UsageError(
            f"Cannot try out a restore of {manifest.id}",
            f"backups of kind {self.kind} are not restored at once",
            f"set proof to one of {', '.join(PROOFS)}, and verify at level restore on a schedule",
        )

    @property
    def reads_all(self) -> bool:
        """Say whether objects are read that the base has: times and ETags tell nothing about another source."""
        return self.mode == "full" or self.rebind


@dataclasses.dataclass(frozen=True)
class FoundSource:
    """Buckets or folders that were found fit to be backed up."""

    source: Source
    collections: tuple[str, ...]  # in the order of their bytes
    identity: t.Mapping[str, str]

    @property
    def description(self) -> dict[str, t.Any]:
        """Return what a manifest says about the source; not all names of thousands of buckets."""
        shown = list(self.collections[:20])
        return {**self.identity, "collections": shown, "collection_count": len(self.collections)}


def inspect(job: ObjectsJob, remark: Remark) -> FoundSource:
    """Look at the source and the libraries before anything is written.

    Raises GuardRefusal (`source`) where a bucket or folder is not there, or where there is nothing at all.
    """
    require_places(job.name, job.places)
    block_compressor(job.compression)
    source = job.open_source(remark)
    collections = tuple(source.collections())
    found = FoundSource(source, collections, dict(source.identity()))
    if job.mode != "metadata_only" and not job.allow_empty:
        _refuse_empty(job, found)
    return found


def is_empty(source: Source, collection: str) -> bool:
    """Say whether a bucket has no object, or a folder nothing in it."""
    items = source.items(collection)
    return not any(item.key for item in itertools.islice(items, 2))


class EmptySourceRefusal(GuardRefusal):
    """Nothing is in the source: it is a wrong one, or one that is not mounted, or nothing has come into it yet."""

    def __init__(self, collections: t.Sequence[str], problem: str, cause: str, remedy: str) -> None:
        super().__init__("source", problem, cause, remedy)
        self.collections = tuple(collections)  # names of the buckets or folders that are there, and empty


def _refuse_empty(job: ObjectsJob, found: FoundSource) -> None:
    if any(not is_empty(found.source, collection) for collection in found.collections):
        return
    what = "bucket" if job.kind == "bucket" else "folder"
    words = ", ".join(found.collections[:5]) or f"there is no {what} of these names"
    raise EmptySourceRefusal(
        found.collections,
        f"Cannot back up {job.name}: its source is empty",
        f"nothing is in {words}" if found.collections else words,
        f"make sure that this is the right {what}, and mounted; if it is to be empty, set allow_empty",
    )
