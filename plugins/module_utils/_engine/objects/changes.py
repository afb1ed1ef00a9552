# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import collections
import dataclasses
import itertools
import typing as t

from ..errors import LifeboatError
from .rows import Item, Row, order
from .segments import Segment, listing_digest


class Kept(t.NamedTuple):
    """An unchanged object in a segment that had to be read, or one that the listing could not look at."""

    row: Row


@dataclasses.dataclass(frozen=True)
class Taken:
    """A whole unchanged segment."""

    segment: Segment


class Wanted(t.NamedTuple):
    """An object that is to be read, or looked at again."""

    item: Item
    base: Row | None  # what the base has under this key
    only_properties: bool  # its bytes are those of `base`; only metadata, tags or locks differ


@dataclasses.dataclass(frozen=True)
class Gone:
    """An object of the base that is not listed any more."""

    row: Row


Step = t.Union[Kept, Taken, Wanted, Gone]


def never(_row: Row) -> bool:
    """Say of no row that it is to be read again."""
    return False


def seen(_key: str) -> bool:
    """Say of no key that the listing could not look there."""
    return False


def changes(
    items: t.Iterator[Item],
    base: t.Iterable[Segment],
    load: t.Callable[[Segment], list[Row]],
    *,
    reread: t.Callable[[Row], bool] = never,
    has_rereads: t.Callable[[Segment], bool] | None = None,
    full: bool = False,
    is_unseen: t.Callable[[str], bool] = seen,
) -> t.Iterator[Step]:
    """Yield what is to be done for the listing of one collection, in the order of keys, each object once.

    `base` are the segments of that collection in the base, `load` reads the rows of one. A segment whose objects are
    listed as they were is taken over unread. `reread` marks unchanged rows whose bytes are to be read all the same;
    only segments for which `has_rereads` is true are asked (all, where it is not given). `full` wants every object
    read. `is_unseen` is asked for keys of the base that the listing has passed, and says whether it could not look
    there: what lies there is not known to be gone. Memory: the rows of one segment. Raises LifeboatError when the
    listing is not in order, and what `items` and `load` raise.
    """
    if full:
        reread, has_rereads = _always, None
    listing = _Listing(items)
    may_take = _takes(reread, has_rereads)
    for segment in base:
        for item in listing.before(order(segment.first)):
            yield Wanted(item, None, only_properties=False)
        if may_take(segment) and listing.skip(segment):
            yield Taken(segment)
        else:
            yield from _merged(listing.before(order(segment.last) + b"\0"), load(segment), reread, is_unseen)
    for item in listing.before(None):
        yield Wanted(item, None, only_properties=False)


def _always(_row: Row) -> bool:
    return True


def _takes(
    reread: t.Callable[[Row], bool], has_rereads: t.Callable[[Segment], bool] | None
) -> t.Callable[[Segment], bool]:
    if reread is never:
        return lambda _segment: True
    if has_rereads is None:
        return lambda _segment: False
    chosen = has_rereads
    return lambda segment: not chosen(segment)


class _Listing:
    """A listing that can be looked ahead in by the length of a segment, and that must be in order."""

    def __init__(self, items: t.Iterator[Item]) -> None:
        self._items = items
        self._ahead: collections.deque[Item] = collections.deque()
        self._passed: tuple[bytes, str] | None = None  # the last key that was passed

    def before(self, end: bytes | None) -> t.Iterator[Item]:
        """Pass the items whose keys are less than `end`; all, where it is None."""
        while self._has(1):
            item = self._ahead[0]
            place = order(item.key)
            if end is not None and place >= end:
                return
            self._pass(item.key, place)
            self._ahead.popleft()
            yield item

    def skip(self, segment: Segment) -> bool:
        """Pass the items of a segment if they are exactly those that it was made of."""
        if not self._has(1) or self._ahead[0].key != segment.first or not self._has(segment.rows):
            return False
        items = list(itertools.islice(self._ahead, segment.rows))
        if items[-1].key != segment.last or listing_digest(items) != segment.listing:
            return False
        self._pass(segment.first, order(segment.first))  # the rest is in order as it was in the base
        self._passed = order(segment.last), segment.last
        if len(self._ahead) == segment.rows:
            self._ahead.clear()
        else:
            for _item in items:
                self._ahead.popleft()
        return True

    def _has(self, count: int) -> bool:
        missing = count - len(self._ahead)
        if missing > 0:
            self._ahead.extend(itertools.islice(self._items, missing))
        return len(self._ahead) >= count

    def _pass(self, key: str, place: bytes) -> None:
        if self._passed is not None and place <= self._passed[0]:
            raise LifeboatError(
                "Cannot use the listing of the source",
                f"{key!r} comes after {self._passed[1]!r}: it is out of order, or shows a page twice",
                "run the job again; a server that lists like this cannot be backed up",
            )
        self._passed = place, key


def _merged(
    items: t.Iterator[Item],
    base: t.Sequence[Row],
    reread: t.Callable[[Row], bool],
    is_unseen: t.Callable[[str], bool],
) -> t.Iterator[Step]:
    def unlisted(row: Row) -> Step:
        return Kept(row) if is_unseen(row.key) else Gone(row)

    rest = iter(base)
    row = next(rest, None)
    for item in items:
        place = order(item.key)
        while row is not None and order(row.key) < place:
            yield unlisted(row)
            row = next(rest, None)
        if row is None or row.key != item.key:
            yield Wanted(item, None, only_properties=False)
        else:
            yield _compared(item, row, reread)
            row = next(rest, None)
    if row is not None:
        yield unlisted(row)
        yield from map(unlisted, rest)


def _compared(item: Item, row: Row, reread: t.Callable[[Row], bool]) -> Step:
    if row[:4] != item[:4] or reread(row):
        return Wanted(item, row, only_properties=False)
    if row.attributes != item.attributes:
        return Wanted(item, row, only_properties=True)
    return Kept(row)
