# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A target and a copy of a backup that are dictionaries."""

from __future__ import annotations

import dataclasses
import hashlib
import threading
import typing as t

from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import DamagedError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.restore_plan import (
    OVERWRITE,
    PROPERTIES,
    REMOVE,
    RENAME,
    WRITE,
    Step,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.rows import Item, Location, Row, order
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.source import Described, ObjectError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.target import Written

PLACE = Location("20261120T020000Z-0a1b2c", 0, 0, 100, 512)


def row(key: str, content: str = "content", properties: str = "", **more: t.Any) -> Row:
    """Return the row of an object whose ETag is its content."""
    digest = hashlib.sha256(content.encode()).hexdigest()
    return Row(key, len(content), content, "then", properties, "", digest, PLACE, more)


@dataclasses.dataclass
class Shelf:
    """A target that holds content and properties of each key, and reads itself as a source does."""

    held: dict[str, tuple[str, str]] = dataclasses.field(default_factory=dict)
    mangled: str = "!"  # keys with this letter are not taken; they are written with a tilde instead
    name: str = "shelf"
    refused: frozenset[str] = frozenset()  # keys that cannot be written
    forged: frozenset[str] = frozenset()  # keys whose listing lies: it tells of the content "content"
    full_after: int = -1  # objects that it takes before it fails as a whole
    done: list[tuple[str, str]] = dataclasses.field(default_factory=list)
    lock: t.Any = dataclasses.field(default_factory=threading.Lock)

    def prepare(self, collection: str) -> None:
        pass

    def items(self, collection: str, prefix: str = "") -> t.Iterator[Item]:
        for key in sorted(self.held, key=order):
            if key.startswith(prefix):
                yield self.item(key)

    def item(self, key: str) -> Item:
        content, properties = self.held[key]
        return Item(key, len(content), "content" if key in self.forged else content, "now", properties)

    def key_for(self, row: Row) -> str:
        if "\0" in row.key:
            raise ObjectError(f"Cannot write {row.key!r}", "no name holds it")
        return row.key.replace(self.mangled, "~")

    def key_beside(self, collection: str, row: Row) -> str:
        return ""

    def is_same(self, row: Row, item: Item) -> bool:
        return (row.size, row.etag, row.attributes) == (item.size, item.etag, item.attributes)

    def write(self, collection: str, row: Row, chunks: t.Iterator[bytes]) -> Written:
        data = b"".join(chunks)
        key = self.key_for(row)
        if row.key in self.refused:
            raise ObjectError(f"Cannot write {row.key}", "the name is refused")
        with self.lock:
            if self.full_after == 0:
                raise OSError("the shelf broke")
            self.full_after -= 1
            self.held[key] = (data.decode(), row.attributes)
            self.done.append(("write", key))
        return Written(key)

    def write_properties(self, collection: str, row: Row) -> Written:
        with self.lock:
            self.held[row.key] = (self.held[row.key][0], row.attributes)
            self.done.append(("properties", row.key))
        return Written(row.key, ("its owner is unknown here",))

    def remove(self, collection: str, key: str) -> None:
        with self.lock:
            del self.held[key]
            self.done.append(("remove", key))

    def finish(self, collection: str) -> t.Sequence[str]:
        return ()

    def read_whole(self, collection: str, item: Item) -> tuple[Described, bytes]:
        return Described(self.item(item.key), "", {}), self.held[item.key][0].encode()

    def apply(self, step: Step) -> None:
        """Do what a step says, without bytes."""
        if step.action == REMOVE:
            del self.held[step.key]
        elif step.action in (WRITE, OVERWRITE, PROPERTIES, RENAME) and step.row is not None:
            self.held[step.key] = (step.row.etag, step.row.attributes)


@dataclasses.dataclass
class Stored:
    """A copy of a backup: its rows, whose ETags are their content; some of it is damaged."""

    kept: t.Sequence[Row]
    damaged: frozenset[str] = frozenset()  # keys that do not read back
    read: list[str] = dataclasses.field(default_factory=list)

    def rows(self, collection: str, prefix: str = "") -> t.Iterator[Row]:
        return (each for each in sorted(self.kept, key=lambda each: order(each.key)) if each.key.startswith(prefix))

    def find(self, collection: str, key: str) -> Row | None:
        return next((each for each in self.kept if each.key == key), None)

    def members(self, collection: str, rows: t.Iterable[Row]) -> t.Iterator[tuple[Row, t.Iterator[bytes]]]:
        for each in rows:
            self.read.append(each.key)
            yield each, self._chunks(each)

    def _chunks(self, row: Row) -> t.Iterator[bytes]:
        yield [each.etag for each in self.kept if each.sha256 == row.sha256][0].encode()
        if row.key in self.damaged:
            raise DamagedError("Cannot read a pack", "its SHA-256 is another one")
