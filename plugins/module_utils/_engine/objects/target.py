# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

from .rows import Item, Row
from .scope import Boundary
from .source import ObjectError


class Written(t.NamedTuple):
    """What became of an object at its target."""

    key: str  # under which it lies: another than the row's where the target refuses that one
    remarks: tuple[str, ...] = ()  # what the target could not take over: a header, an owner, a lock …
    etag: str = ""  # that the target's listing will show, where it is known


Outcome = t.Union[Written, ObjectError]  # how an object was written, or why it alone could not be


class Bring(t.NamedTuple):
    """A small object that is to be written."""

    collection: str
    row: Row
    key: str  # under which it is written: what `WritesSeveral.place` has returned
    data: bytes  # its content
    token: t.Any = None  # whatever helps its owner to know it again


Take = t.Callable[[bool], t.Optional[Bring]]  # as in `source`


class Target(t.Protocol):
    """Where objects are restored to: buckets or directories. Several threads may use it.

    All methods raise LifeboatError; those for one object raise ObjectError (see `source`) where only that object is
    concerned.
    """

    name: str  # how people know this place

    def prepare(self, collection: str) -> None:
        """Make sure that the bucket or directory is there, and can be written to."""

    def items(self, collection: str, prefix: str = "") -> t.Iterator[Item]:
        """List what is there in the order of `rows.order`; nothing where the collection is missing."""

    def key_for(self, row: Row) -> str:
        """Return the key under which a row is written: the mangled one where the target refuses the true one."""

    def key_beside(self, collection: str, row: Row) -> str:
        """Return the key under which a row is written because something else stands where it should lie; else nothing.

        Only for a row under whose own key (`key_for`) nothing is listed.
        """

    def is_same(self, row: Row, item: Item) -> bool:
        """Say whether what is there has the content and the properties of the row, as far as a listing tells."""

    def write(self, collection: str, row: Row, chunks: t.Iterator[bytes]) -> Written:
        """Write an object with its properties; nothing can be seen under its key before all bytes came.

        `chunks` yields exactly `row.size` bytes; what it raises comes out as it is, and nothing was written.
        """

    def write_properties(self, collection: str, row: Row) -> Written:
        """Give an object that is there the properties of the row."""

    def remove(self, collection: str, key: str) -> None:
        """Remove an object (where there are versions: by a delete marker)."""

    def finish(self, collection: str) -> t.Sequence[str]:
        """Do what must come last (times of directories), and return remarks."""


@t.runtime_checkable
class HasBoundary(t.Protocol):
    """A target below which there may be places that are none of its own."""

    def items_within(self, collection: str, prefix: str, boundary: Boundary) -> t.Iterator[Item]:
        """List what is there as `Target.items`, without what lies below directories that `boundary` does not enter."""


SAME, OTHER, UNKNOWN, UNLIKELY = "same", "other", "unknown", "unlikely"


@t.runtime_checkable
class LooksCloser(t.Protocol):
    """A target whose listing does not always tell whether an object is the same. Several threads may look."""

    def is_unsure(self, row: Row, item: Item) -> bool:
        """Say whether what is listed, and is not the same by that (`Target.is_same`), may be it all the same."""

    def look(self, collection: str, row: Row, item: Item) -> str:
        """Look at such an object: SAME, OTHER, UNKNOWN where only its bytes can tell, or UNLIKELY where it is another
        unless this server's ETags do not depend on the content.
        """


@t.runtime_checkable
class WritesSeveral(t.Protocol):
    """A target to which one thread can send the next objects before the first has been taken."""

    def place(self, row: Row) -> str:
        """Return the key under which a row is to be written (`Target.key_for` has been asked for it before)."""

    def another(self) -> WritesSeveral:
        """Return the same target with connections of its own, for another process."""

    def write_through(self, take: Take, at_once: int) -> t.Iterator[tuple[Bring, Outcome]]:
        """Yield each object with what became of it, `at_once` of them on their way.

        Raises what concerns the whole target.
        """
