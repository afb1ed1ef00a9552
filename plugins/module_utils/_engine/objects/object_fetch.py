# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import hashlib
import typing as t

from ..errors import LifeboatError
from .changes import Wanted
from .rows import Item, Location, Row
from .source import ChangedError, Described, ObjectError, Order, Outcome, Source, VanishedError

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


def order_of(collection: str, wanted: Wanted, token: t.Any) -> Order:
    """Return how the source is first asked for what is wanted."""
    return Order(token, collection, wanted.item, wanted.only_properties and wanted.base is not None)


def outcome_of(source: Source, order: Order) -> Outcome:
    """Do as ordered, alone. Raises what concerns the whole source."""
    try:
        if order.only_properties:
            return source.describe(order.collection, order.item), b""
        return source.read_whole(order.collection, order.item)
    except ObjectError as error:
        return error


def fetched(source: Source, collection: str, wanted: Wanted, outcome: Outcome) -> Fetched:
    """Make of the first outcome what is to be told of an object, and ask again where it changes meanwhile.

    Raises what concerns the whole source.
    """
    try:
        return _fetched(source, collection, wanted, outcome)
    except VanishedError:
        return Vanished()
    except ObjectError as error:
        return Missed(words(error))


def _fetched(source: Source, collection: str, wanted: Wanted, outcome: Outcome) -> Fetched:
    item, tries, why = wanted.item, TRIES, ""
    try:
        if isinstance(outcome, LifeboatError):
            raise outcome
        found, data = outcome
        if wanted.base is None or not wanted.only_properties:
            return _whole(item, found, data)
        if found.item[:4] == wanted.base[:4]:
            return Same(found, wanted.base)
        item = found.item
    except ChangedError as error:
        tries, why = tries - 1, words(error)
        item = source.describe(collection, item).item
    for _attempt in range(tries):
        if item.size > LARGEST_WHOLE:
            return Large(item)
        try:
            return _whole(item, *source.read_whole(collection, item))
        except ChangedError as error:
            why = words(error)
            item = source.describe(collection, item).item
    return Missed(f"it changed whenever it was read: {why}")


def _whole(item: Item, found: Described, data: bytes) -> Read:
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
