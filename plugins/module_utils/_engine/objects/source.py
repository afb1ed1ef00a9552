# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import functools
import typing as t

from ..errors import LifeboatError
from .rows import Item, Properties


class ObjectError(LifeboatError):
    """One object could not be read or written; the others can."""


class VanishedError(ObjectError):
    """The object is not there any more."""


class ChangedError(ObjectError):
    """The object is not the one that was asked for any more: describe it again."""


class Described(t.NamedTuple):
    """An object as it is now, which may be newer than the listing."""

    item: Item
    version: str  # id of the version; empty where there are no versions
    properties: Properties
    has_bytes: bool = True  # False for what has no content of its own: directories, symbolic links, later hard links


# An object as it is now, and its bytes, none where only its properties were asked for; or why it cannot be had: an
# ObjectError, or what concerns the whole source.
Outcome = t.Union[t.Tuple[Described, bytes], LifeboatError]  # noqa: UP006 - evaluated at run time on Python 3.9 as well


class Order(t.NamedTuple):
    """An object that somebody wants to have."""

    token: t.Any  # comes back with the outcome
    collection: str
    item: Item
    only_properties: bool


# `take(True)` waits for the next order, and returns None in the end; `take(False)` returns None also where none is
# there yet.
Take = t.Callable[[bool], t.Optional[Order]]


class Source(t.Protocol):
    """What is backed up: buckets or directories, read only. Several threads may use it.

    All methods raise LifeboatError; those for one object raise ObjectError where only that object is concerned.
    """

    @property
    def kind(self) -> str:
        """Return the kind of the backups: `bucket` or `files`."""

    def identity(self) -> t.Mapping[str, str]:
        """Return what tells this source from all others (a job is bound to it)."""

    def collections(self) -> t.Sequence[str]:
        """Return the names of the buckets or roots, in the order of their bytes.

        Raises GuardRefusal (`source`) where one that was named is not there.
        """

    def items(self, collection: str) -> t.Iterator[Item]:
        """List a collection in the order of `rows.order`, complete or with an error."""

    def describe(self, collection: str, item: Item) -> Described:
        """Look at an object again without its bytes. Raises VanishedError."""

    def read_whole(self, collection: str, item: Item) -> tuple[Described, bytes]:
        """Read a small object at once, as it is now: description and bytes are of one state.

        Raises VanishedError; ChangedError where it changed while it was read, or has grown beyond 4 times
        `item.size` + 1 MiB.
        """

    def read_range(self, collection: str, item: Item, offset: int, length: int) -> t.Iterator[bytes]:
        """Yield the bytes of a range of exactly this item. Raises VanishedError, ChangedError."""

    def read_into(self, collection: str, item: Item, offset: int, room: memoryview) -> t.Iterator[int]:
        """Fill `room` with a range of exactly this item, and yield how many bytes came, again and again.

        Raises VanishedError, ChangedError; what is in `room` is nothing before the end.
        """

    def documents(self) -> t.Mapping[str, t.Any]:
        """Return the settings of the collections as the server keeps them: JSON values by collection."""


@t.runtime_checkable
class ReadsSeveral(Source, t.Protocol):
    """A source that one thread can ask for the next objects before the first has arrived."""

    def read_through(self, take: Take, at_once: int) -> t.Iterator[tuple[t.Any, Outcome]]:
        """Yield the token of each order with its outcome as these come, `at_once` of them on their way."""


@t.runtime_checkable
class ListsNew(t.Protocol):
    """A source that can list at less cost what will be read in any case."""

    def new_items(self, collection: str) -> t.Iterator[Item]:
        """List a collection of which no backup knows anything; what only reading shows of an item is left open."""


@t.runtime_checkable
class HasUnseen(t.Protocol):
    """A source of which a listing may not show everything, and that says what it did not look at."""

    def is_unseen(self, collection: str, key: str) -> bool:
        """Say whether the last listing, which is behind `key`, could not look there."""


def unseen_by(source: Source, collection: str) -> t.Callable[[str], bool]:
    """Return what says of a key whether the last listing of a collection could not look there."""
    if isinstance(source, HasUnseen):
        return functools.partial(source.is_unseen, collection)
    return lambda _key: False
