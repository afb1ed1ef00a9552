# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import hashlib
import typing as t

from .changes import Wanted
from .rows import Item, Location, Row
from .source import ChangedError, Described, ObjectError, Source, VanishedError

TRIES = 3  # of an object that changes while it is read
LARGEST_WHOLE = 16 * 1024 * 1024  # bytes; bigger objects are read in ranges, into packs of their own


class Read(t.NamedTuple):
    """An object as it is now."""

    found: Described
    data: bytes  # empty where it has no content of its own
    sha256: str  # empty where it has no content of its own

    def row(self, place: Location | None) -> Row:
        """Return the object's row."""
        return row_of(self.found, self.sha256, place)


class Same(t.NamedTuple):
    """An object whose bytes are those of the base."""

    found: Described
    base: Row

    def row(self) -> Row:
        """Return the row of the base with the properties of now."""
        found = self.found
        return self.base._replace(attributes=found.item.attributes, version=found.version, properties=found.properties)


class Large(t.NamedTuple):
    """An object that is too big to be read at once."""

    item: Item


class Missed(t.NamedTuple):
    """An object that could not be read."""

    why: str


class Vanished(t.NamedTuple):
    """An object that is not there any more."""


Fetched = t.Union[Read, Same, Large, Missed, Vanished]


def fetch(source: Source, collection: str, wanted: Wanted) -> Fetched:
    """Read or describe one object as it is now, unless it is large. Raises what concerns the whole source."""
    item, why = wanted.item, ""
    try:
        if wanted.only_properties and wanted.base is not None:
            found = source.describe(collection, item)
            if found.item[:4] == wanted.base[:4]:
                return Same(found, wanted.base)
            item = found.item
        for _attempt in range(TRIES):
            if item.size > LARGEST_WHOLE:
                return Large(item)
            try:
                return _whole(source, collection, item)
            except ChangedError as error:
                why = words(error)
                item = source.describe(collection, item).item
    except VanishedError:
        return Vanished()
    except ObjectError as error:
        return Missed(words(error))
    return Missed(f"it changed whenever it was read: {why}")


def _whole(source: Source, collection: str, item: Item) -> Read:
    found, data = source.read_whole(collection, item)
    if not found.has_bytes:
        return Read(found, b"", "")
    if len(data) != found.item.size:
        raise changed(item, f"{len(data)} of {found.item.size} bytes came")
    return Read(found, data, hashlib.sha256(data).hexdigest())


def row_of(found: Described, sha256: str, place: Location | None) -> Row:
    """Return the row of an object that was read."""
    return Row(*found.item, found.version, sha256, place, found.properties)


def changed(item: Item, cause: str) -> ChangedError:
    """Return the error of an object that is not what it was."""
    return ChangedError(f"Cannot read {item.key!a}", cause, "run the job again")


def words(error: ObjectError) -> str:
    """Return why an object could not be read, in the other side's words."""
    return error.cause or error.problem
