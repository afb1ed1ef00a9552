# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A source of objects that is held in memory, in which tests let objects change and vanish."""

from __future__ import annotations

import hashlib
import threading
import typing as t

from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.batch_reading import Readers
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.changes import Step, Taken, Wanted
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.gather import gather
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.object_fetch import outcome_of
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.pack_writer import PackWriter
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.rows import Item, Row, order
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.source import (
    ChangedError,
    Described,
    Order,
    Outcome,
    Take,
    VanishedError,
)

MOMENT = "2026-11-21T02:36:20.639906Z"
COLLECTION = "uploads"


def item_of(key: str, data: bytes, attributes: str = "") -> Item:
    return Item(key, len(data), hashlib.md5(data).hexdigest(), MOMENT, attributes)


class MemorySource:
    """Objects in memory; `hook` is called with the name of each call and the key before it is done."""

    kind = "bucket"

    def __init__(self, objects: t.Mapping[str, bytes]) -> None:
        self.objects = dict(objects)
        self.without_bytes: set[str] = set()
        self.hook: t.Callable[[str, str], None] = lambda _call, _key: None
        self.lock = threading.Lock()
        self.calls: list[tuple[str, str]] = []

    def identity(self) -> t.Mapping[str, str]:
        return {}

    def collections(self) -> t.Sequence[str]:
        return [COLLECTION]

    def documents(self) -> t.Mapping[str, t.Any]:
        return {}

    def items(self, collection: str) -> t.Iterator[Item]:
        for key in sorted(self.objects, key=order):
            yield item_of(key, self.objects[key])

    def describe(self, collection: str, item: Item) -> Described:
        return self._described(item.key, self._look("describe", item.key))

    def read_whole(self, collection: str, item: Item) -> tuple[Described, bytes]:
        data = self._look("read_whole", item.key)
        if len(data) > 4 * item.size + 1024 * 1024:
            raise ChangedError(f"Cannot read {item.key}", "it has grown")
        return self._described(item.key, data), b"" if item.key in self.without_bytes else data

    def read_range(self, collection: str, item: Item, offset: int, length: int) -> t.Iterator[bytes]:
        data = self._look("read_range", item.key)
        if item_of(item.key, data)[:4] != item[:4]:
            raise ChangedError(f"Cannot read {item.key}", "it has another ETag")
        for start in range(offset, offset + length, 1024 * 1024):
            yield data[start : min(start + 1024 * 1024, offset + length)]

    def read_into(self, collection: str, item: Item, offset: int, room: memoryview) -> t.Iterator[int]:
        filled = 0
        for chunk in self.read_range(collection, item, offset, len(room)):
            room[filled : filled + len(chunk)] = chunk
            filled += len(chunk)
            yield len(chunk)

    def _described(self, key: str, data: bytes) -> Described:
        properties = {"metadata": {"key": key}}
        return Described(item_of(key, data), "", properties, key not in self.without_bytes)

    def _look(self, call: str, key: str) -> bytes:
        with self.lock:
            self.calls.append((call, key))
            self.hook(call, key)
            if key not in self.objects:
                raise VanishedError(f"Cannot read {key}", "it is gone")
            return self.objects[key]


class FlyingSource(MemorySource):
    """The same, for those who ask for the next objects before the first have arrived."""

    report: t.Callable[[str, str, str, str], None]

    def read_through(self, take: Take, at_once: int) -> t.Iterator[tuple[t.Any, Outcome]]:
        taken: list[Order] = []
        while True:
            order = take(not taken) if len(taken) < at_once else None
            if order is not None:
                taken.append(order)
            elif taken:
                first = taken.pop()  # they come in any order
                yield first.token, outcome_of(self, first)
            else:
                return


def wanted(source: MemorySource) -> t.Iterator[Step]:
    for item in source.items(COLLECTION):
        yield Wanted(item, None, only_properties=False)


def rows_of(
    source: MemorySource,
    packs: PackWriter,
    steps: t.Iterable[Step] | None = None,
    threads: int = 4,
    readers: Readers | None = None,
) -> tuple[list[Row], list[tuple[str, str, str, str]]]:
    """Gather steps (default: everything), finish the packs, and return rows and remarks."""
    remarks: list[tuple[str, str, str, str]] = []
    found = gather(
        source,
        COLLECTION,
        iter(steps if steps is not None else wanted(source)),
        packs,
        lambda *r: remarks.append(r),
        threads,
        readers,
    )
    rows = [row for row in found if not isinstance(row, Taken)]
    packs.finish()
    return rows, remarks
