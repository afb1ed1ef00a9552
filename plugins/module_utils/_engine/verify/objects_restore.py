# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import collections
import contextlib
import dataclasses
import typing as t

from .. import clock
from ..errors import GuardRefusal
from ..objects import restore_plan
from ..objects.remarks import Remarks
from ..objects.restore_plan import Policy
from ..objects.restore_run import Done, Restoration
from ..objects.restore_work import Copy, Work
from ..objects.rows import Item, Row, order
from ..objects.source import Source
from ..repository.manifest import Manifest
from ..repository.proof import FileVerdict
from .objects_content import SEGMENTS
from .outcome import Outcome
from .scratch import Scratch

# What is still to be done at the scratch place after the restore, and means that it did not bring everything.
_LOSSES = (restore_plan.WRITE, restore_plan.OVERWRITE, restore_plan.RENAME, restore_plan.CONFLICT, restore_plan.REMOVE)


Opener = t.Callable[[t.Sequence[str]], Source]  # opens buckets or roots as they are now


class StoredObjects(Copy, t.Protocol):
    """One copy of a backup of objects or files, to be read."""

    def collections(self) -> list[str]:
        """Return the buckets or roots that the backup has. Raises DamagedError."""


def check_objects_restore(
    manifest: Manifest, copy: StoredObjects, scratch: Scratch, content: Outcome, source: Opener | None = None
) -> Outcome:
    """Restore a backup whose `content` was found good into a scratch place, and compare every object with its row.

    One bucket or root after the other, each read back byte by byte. Where `source` opens it, its present listing is
    compared, too: what differs there is no fault of the backup, and only counted. Nothing in the report names objects.
    Raises LifeboatError where the scratch place cannot be used, DamagedError where the index cannot be read.
    """
    begun = clock.monotonic()
    figures: collections.Counter[str] = collections.Counter()
    problems = []
    for collection in copy.collections():
        problems += _tried(manifest.kind, copy, collection, scratch, figures)
        if source is not None:
            figures.update(_since(copy, collection, source))
    load_s = figures.pop("load_ms", 0) / 1000
    report = {**content.report, **figures, "load_s": load_s, "total_s": round(clock.monotonic() - begun, 3)}
    verdicts = dict(content.verdicts)
    if problems:
        verdicts[manifest.id] = tuple(_blamed(manifest, verdicts.get(manifest.id, ()), "; ".join(problems)))
    return Outcome("restore", verdicts, report)


def _blamed(manifest: Manifest, found: t.Iterable[FileVerdict], problem: str) -> t.Iterator[FileVerdict]:
    """Yield the verdicts with the list of the index as the bad one: every byte was read, and it did not lead there."""
    name = manifest.file(SEGMENTS).name
    for verdict in found:
        is_it = verdict.name == name
        yield dataclasses.replace(verdict, is_good=False, problem=problem) if is_it else verdict


def _tried(
    kind: str, copy: StoredObjects, collection: str, scratch: Scratch, figures: collections.Counter[str]
) -> list[str]:
    remarks = Remarks()
    plain_bytes = sum(row.size for row in copy.rows(collection))
    try:
        with scratch.opened(kind, plain_bytes) as place:
            work = Work(
                target=place.target,
                names={collection: place.collection},
                policy=Policy(exact=True),
                reader=place.reader,
                by_content=True,
            )
            begun = clock.monotonic()
            done = Restoration(work, copy, remarks, (place.collection,)).run()
            figures["load_ms"] += round(1000 * (clock.monotonic() - begun))
            left = work.tally(copy).counts
    finally:
        remarks.close()
    figures.update(
        restored=done.written,
        restored_bytes=done.written_bytes,
        refused=left[restore_plan.REFUSE],
        other_properties=left[restore_plan.PROPERTIES],
        remarks=sum(remarks.counts.values()),
    )
    return _problems(done, left)


def _problems(done: Done, left: t.Mapping[str, int]) -> list[str]:
    found = {f"to {action}": left[action] for action in _LOSSES}
    found["whose stored bytes are damaged"] = done.damaged
    return [f"after a restore on trial there are {count} objects {words}" for words, count in found.items() if count]


def _since(copy: Copy, collection: str, source: Opener) -> dict[str, int]:
    """Count how the source has changed since the backup, as far as its listing shows."""
    counts = {"source_same": 0, "source_changed": 0, "source_deleted": 0, "source_new": 0}
    opened = source((collection,))
    items: t.Iterator[Item] = iter(())
    with contextlib.suppress(GuardRefusal):  # it is not there any more
        opened.collections()
        items = opened.items(collection)
    for row, item in _joined(copy.rows(collection), items):
        if row is None:
            counts["source_new"] += 1
        elif item is None:
            counts["source_deleted"] += 1
        else:
            counts["source_same" if row.item == item else "source_changed"] += 1
    return counts


def _joined(rows: t.Iterator[Row], items: t.Iterator[Item]) -> t.Iterator[tuple[Row | None, Item | None]]:
    row, item = next(rows, None), next(items, None)
    while row is not None or item is not None:
        if item is None or (row is not None and order(row.key) < order(item.key)):
            yield row, None
            row = next(rows, None)
        elif row is None or order(item.key) < order(row.key):
            yield None, item
            item = next(items, None)
        else:
            yield row, item
            row, item = next(rows, None), next(items, None)
