# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
import functools
import tempfile
import threading
import typing as t

from ..steps import reached
from .file_properties import HARDLINK
from .restore_lanes import Lanes
from .restore_plan import Step, destroys
from .restore_work import Copy, Work
from .rows import Item, Row, to_line
from .source import Described, Source, VanishedError
from .target import Target

LISTING = "listing.jsonl"  # name of the list of what was saved, beside it
_CHUNK = 1024 * 1024  # bytes
_HELD = 4 * 1024 * 1024  # bytes of an object that is read at once

ServerCopy = t.Callable[[str, Described, str], bool]  # collection, object, key in quarantine: was it copied?


@dataclasses.dataclass(frozen=True)
class Shelf:
    """Where the present state of what a restore destroys is saved."""

    target: Target
    collection: str
    prefix: str  # what all keys in it begin with
    copy: ServerCopy | None = None  # lets a server copy by itself, where source and shelf are on the same one

    def key_of(self, name: str, key: str) -> str:
        """Return where an object of the collection `name` is saved."""
        return f"{self.prefix}{name.strip('/')}/{key}"


@dataclasses.dataclass
class Saved:
    """What was saved."""

    objects: int = 0
    bytes: int = 0


def save(work: Work, copy: Copy, reader: Source, shelf: Shelf) -> Saved:
    """Copy all that the steps of a restore will overwrite or remove, with a list of it, to a shelf that is prepared.

    The list has a row for each object, with the key that it had. Raises LifeboatError when anything could not be saved:
    then nothing may be destroyed.
    """
    with tempfile.TemporaryFile() as listing:
        saving = _Saving(reader, shelf, listing)
        with Lanes(work.threads) as lanes:
            for collection, name in work.names.items():
                for step in work.steps(copy, collection):
                    if destroys(step):
                        lanes.submit(functools.partial(saving.save, name, step))
            lanes.settle()
        if saving.saved.objects:
            size = listing.tell()
            listing.seek(0)
            chunks = iter(functools.partial(listing.read, _CHUNK), b"")
            shelf.target.write(shelf.collection, _plain_row(f"{shelf.prefix}{LISTING}", size), chunks)
    reached("quarantine:saved")
    return saving.saved


def save_document(shelf: Shelf, name: str, data: bytes) -> None:
    """Write a document beside what was saved."""
    shelf.target.write(shelf.collection, _plain_row(f"{shelf.prefix}{name}", len(data)), iter((data,)))


class _Saving:
    def __init__(self, reader: Source, shelf: Shelf, listing: t.IO[bytes]) -> None:
        self._reader = reader
        self._shelf = shelf
        self._listing = listing
        self._lock = threading.Lock()
        self.saved = Saved()

    def save(self, name: str, step: Step) -> None:
        """Save what is there now; what vanished meanwhile cannot be lost any more."""
        if step.item is None:
            return
        try:
            row = self._copied(name, step.item)
        except VanishedError:
            return
        with self._lock:
            self._listing.write(to_line(row))
            self.saved.objects += 1
            self.saved.bytes += row.size

    def _copied(self, name: str, item: Item) -> Row:
        key = self._shelf.key_of(name, item.key)
        if self._shelf.copy is None and item.size <= _HELD:
            found, data = self._reader.read_whole(name, item)
            self._write(key, found, (data,))
            return _row(found)
        found = self._reader.describe(name, item)
        if self._shelf.copy is None or not self._shelf.copy(name, found, key):
            self._write(key, found, self._reader.read_range(name, found.item, 0, found.item.size))
        return _row(found)

    def _write(self, key: str, found: Described, chunks: t.Iterable[bytes]) -> None:
        # A lock would keep the copy for as long, in a bucket that may have none; a link leads to another object.
        left_out = ("lock", "type", "target") if found.properties.get("type") == HARDLINK else ("lock",)
        properties = {name: value for name, value in found.properties.items() if name not in left_out}
        row = _row(found)._replace(key=key, properties=properties)
        self._shelf.target.write(self._shelf.collection, row, iter(chunks if found.has_bytes else ()))


def _row(found: Described) -> Row:
    return Row(*found.item, found.version, "", None, found.properties)


def _plain_row(key: str, size: int) -> Row:
    return Row(key, size, "", "", "", "", "", None, {})
