# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import struct
import tempfile
import typing as t

from ..errors import DamagedError, LifeboatError
from .file_properties import DIRECTORY
from .rows import Item, Row, order
from .source import ObjectError
from .target import Target

WRITE = "write"  # nothing is there
OVERWRITE = "overwrite"  # something else is there
PROPERTIES = "properties"  # the bytes are there with other properties
KEEP = "keep"  # it is there
SKIP = "skip"  # something else is there and stays
RENAME = "rename"  # something else is there and stays; the restored one is written beside it
CONFLICT = "conflict"  # something else is there, and nothing may be restored
REFUSE = "refuse"  # the target cannot hold it
REMOVE = "remove"  # the backup does not have it
LEAVE = "leave"  # an exact restore leaves it alone: the backup was not to have it
ACTIONS = (WRITE, OVERWRITE, PROPERTIES, KEEP, SKIP, RENAME, CONFLICT, REFUSE, REMOVE, LEAVE)
CONFLICTS = ("overwrite_if_different", "skip", "rename", "refuse")
SAMPLE = 20  # steps that a result shows

_SPOOLED_BYTES = 4 * 1024 * 1024  # of removals that are kept in memory before they go to a temporary file
_LENGTH = struct.Struct(">I")


class Step(t.NamedTuple):
    """What happens to one key of a target."""

    action: str  # one of ACTIONS
    key: str  # at the target; that of the row unless the target refuses that one, or something else stays there
    row: Row | None  # None for what is removed
    item: Item | None  # what is there under `key` now
    why: str = ""


@dataclasses.dataclass(frozen=True)
class Policy:
    """What may become of what is there already."""

    conflicts: str = "overwrite_if_different"  # one of CONFLICTS
    exact: bool = False  # remove what the backup does not have
    suffix: str = ""  # of keys that are written beside others (`rename`)


class Selected(t.Protocol):
    """Says which keys take part."""

    def __call__(self, key: str, is_directory: bool = False, /) -> bool:
        """Say whether a key does, which may be that of a directory of a file system."""


Judge = t.Callable[[Row, Item], bool]  # says whether what differs in a listing is the same all the same
Stays = t.Callable[[Item], str]  # says why what the backup does not have is not removed; nothing: it is


def everything(_key: str, _is_directory: bool = False, /) -> bool:
    """Select all keys."""
    return True


def as_listed(_row: Row, _item: Item) -> bool:
    """Believe the listing."""
    return False


def nothing_stays(_item: Item) -> str:
    """Have all removed that the backup does not have."""
    return ""


def steps(
    rows: t.Iterable[Row],
    present: t.Iterable[Item],
    target: Target,
    collection: str,
    policy: Policy,
    selected: Selected = everything,
    judge: Judge = as_listed,
    stays: Stays = nothing_stays,
) -> t.Iterator[Step]:
    """Yield what brings a target to the state of the rows: a merge-join of both; removals come last, backwards.

    Rows and the listing of what is present are in the order of `rows.order`; keys that are not selected take part in
    neither, so that nothing but selected keys is ever removed, and no directory that holds others. `judge` is asked
    about what the target does not call the same, `stays` about what would be removed. Raises DamagedError for rows in
    another order.
    """
    taken: set[str] = set()  # keys other than a row's under which rows lie; few: odd names, and renamed ones
    needed: set[str] = set()  # directories that hold what is not selected, or stays
    with tempfile.SpooledTemporaryFile(_SPOOLED_BYTES) as extra:
        for row, item in _joined(_ordered(rows), _taking_part(present, selected, needed)):
            if row is None:
                if item is not None and policy.exact:
                    _put_off(extra, item, stays, needed)
                continue
            if not selected(row.key, is_directory(row)):
                continue
            step, beside = _step(row, item, target, collection, policy, judge)
            if beside is not None and policy.exact:
                _put_off(extra, beside, stays, needed)
            if step.key != row.key:
                taken.add(step.key)
            yield step
        for item, why in _backwards(extra):
            if item.key not in taken and not (item.key in needed and item.attributes == DIRECTORY and not why):
                yield Step(LEAVE if why else REMOVE, item.key, None, item, why)


def _taking_part(present: t.Iterable[Item], selected: Selected, needed: set[str]) -> t.Iterator[Item]:
    """Yield what is selected of a listing; the directories on the way to what is not go into `needed`."""
    for item in present:
        if selected(item.key, item.attributes == DIRECTORY):
            yield item
        else:
            _need(item, needed)


def _need(item: Item, needed: set[str]) -> None:
    """Keep the directories above something."""
    above = item.key.rpartition("/")[0]
    while above and above not in needed:
        needed.add(above)
        above = above.rpartition("/")[0]


def _step(
    row: Row, item: Item | None, target: Target, collection: str, policy: Policy, judge: Judge
) -> tuple[Step, Item | None]:
    """Return what becomes of a row, and what lies under its true key although it is to lie under another."""
    try:
        key = target.key_for(row)
    except ObjectError as error:
        return Step(REFUSE, row.key, row, None, error.cause or error.problem), item
    there, beside = (item, None) if key == row.key else (look_up(target, collection, key), item)
    if there is None and (other := target.key_beside(collection, row)):
        return _decided_beside(row, other, target, collection, policy, judge), beside
    return _decided(row, key, there, target, collection, policy, judge), beside


def _decided_beside(row: Row, key: str, target: Target, collection: str, policy: Policy, judge: Judge) -> Step:
    """Return what becomes of a row in whose place something else stands: all of it is written, or nothing."""
    step = _decided(row, key, look_up(target, collection, key), target, collection, policy, judge)
    return step._replace(action=OVERWRITE) if step.action == PROPERTIES else step


def _decided(
    row: Row, key: str, item: Item | None, target: Target, collection: str, policy: Policy, judge: Judge
) -> Step:
    if item is None:
        return Step(WRITE, key, row, None)
    if target.is_same(row, item) or judge(row, item):
        return Step(KEEP, key, row, item)
    return differing(row, key, item, target, collection, policy, has_bytes_of(row, item))


def differing(
    row: Row, key: str, item: Item, target: Target, collection: str, policy: Policy, has_bytes: bool = False
) -> Step:
    """Return what becomes of a row under whose key something else is; `has_bytes`: only its properties are others."""
    if policy.conflicts == "overwrite_if_different":
        return Step(PROPERTIES if has_bytes else OVERWRITE, key, row, item)
    if policy.conflicts == "skip" or (is_directory(row) and has_bytes):
        return Step(SKIP, key, row, item)
    if policy.conflicts == "refuse":
        return Step(CONFLICT, key, row, item)
    beside = key + policy.suffix
    there = look_up(target, collection, beside)
    if there is not None and target.is_same(row, there):
        return Step(KEEP, beside, row, there)
    return Step(RENAME, beside, row, there)


def has_bytes_of(row: Row, item: Item) -> bool:
    """Say whether what is there has the bytes of a row, as far as a listing tells.

    A bucket's ETag belongs to the bytes; a file's modification time was set when they were written. Directories have
    none; links are their properties.
    """
    if is_directory(row):
        return row.attributes == item.attributes
    if row.size != item.size or "type" in row.properties:
        return False
    return (item.etag != "" and item.etag == row.etag) or (item.modified != "" and item.modified == row.modified)


def is_directory(row: Row) -> bool:
    """Say whether a row is a directory of a file system."""
    return bool(row.properties.get("type") == DIRECTORY)


def destroys(step: Step) -> bool:
    """Say whether a step takes away what is there; other times or modes of a directory take nothing away."""
    if step.action == PROPERTIES:
        return step.row is not None and not is_directory(step.row)
    return step.action in (OVERWRITE, REMOVE) or (step.action == RENAME and step.item is not None)


def look_up(target: Target, collection: str, key: str) -> Item | None:
    """Return what lies under a key of a target: for the few that do not come in the order of the rows."""
    for item in target.items(collection, key):
        return item if item.key == key else None
    return None


def _ordered(rows: t.Iterable[Row]) -> t.Iterator[Row]:
    last: bytes | None = None
    for row in rows:
        here = order(row.key)
        if last is not None and here <= last:
            raise DamagedError("Cannot restore from this index", "its rows are not in order", "use another copy of it")
        last = here
        yield row


def _joined(rows: t.Iterator[Row], items: t.Iterator[Item]) -> t.Iterator[tuple[Row | None, Item | None]]:
    """Yield all rows and all items once, those of the same key together."""
    row, item = next(rows, None), next(items, None)
    while row is not None and item is not None:
        here, there = order(row.key), order(item.key)
        if here == there:
            yield row, item
            row, item = next(rows, None), _next(items, there)
        elif here < there:
            yield row, None
            row = next(rows, None)
        else:
            yield None, item
            item = _next(items, there)
    while row is not None:
        yield row, None
        row = next(rows, None)
    while item is not None:
        yield None, item
        item = _next(items, order(item.key))


def _next(items: t.Iterator[Item], last: bytes) -> Item | None:
    """Return the next line of a listing; one that goes back would make present objects look missing."""
    item = next(items, None)
    if item is not None and order(item.key) <= last:
        raise LifeboatError(
            "Cannot compare the target with the backup",
            f"its listing is not in order at {item.key!r}",
            "try again; if it stays so, the server lists wrongly",
        )
    return item


def _put_off(file: t.IO[bytes], item: Item, stays: Stays, needed: set[str]) -> None:
    """Note what the backup does not have, and why it stays, if it does: then the directories above it are needed."""
    why = stays(item)
    if why:
        _need(item, needed)
    line = json.dumps([item, why]).encode("ascii")
    file.write(line + _LENGTH.pack(len(line)))


def _backwards(file: t.IO[bytes]) -> t.Iterator[tuple[Item, str]]:
    """Yield what was put off, the last first: what lies in a directory goes before the directory."""
    at = file.seek(0, os.SEEK_END)
    while at:
        file.seek(at - _LENGTH.size)
        (length,) = _LENGTH.unpack(file.read(_LENGTH.size))
        at -= length + _LENGTH.size
        file.seek(at)
        item, why = json.loads(file.read(length))
        yield Item(*item), why


@dataclasses.dataclass(frozen=True)
class Tally:
    """A plan in numbers."""

    counts: t.Mapping[str, int]  # action → objects
    sizes: t.Mapping[str, int]  # action → bytes of the rows; of `remove`: of what is removed
    sample: tuple[t.Mapping[str, t.Any], ...]  # at most SAMPLE steps that are no `keep`
    destroyed: tuple[str, ...]  # collections of the target in which something that is there is overwritten or removed
    below: int = 0  # steps about something in a collection, and not about the folder itself, which patterns let pass

    @classmethod
    def empty(cls) -> Tally:
        """Return the plan of nothing."""
        return cls(dict.fromkeys(ACTIONS, 0), dict.fromkeys(ACTIONS, 0), (), ())

    @property
    def changes(self) -> int:
        """Return how many objects would be written, changed or removed."""
        return sum(self.counts[action] for action in (WRITE, OVERWRITE, PROPERTIES, RENAME, REMOVE))

    @property
    def bytes_written(self) -> int:
        return sum(self.sizes[action] for action in (WRITE, OVERWRITE, RENAME))


class Counter:
    """Counts steps, and writes each as a line of JSON where somebody wants to see them all."""

    def __init__(self, file: t.BinaryIO | None = None) -> None:
        self._file = file
        self._counts = dict.fromkeys(ACTIONS, 0)
        self._sizes = dict.fromkeys(ACTIONS, 0)
        self._sample: list[dict[str, t.Any]] = []
        self._destroyed: dict[str, None] = {}
        self._below = 0

    def add(self, collection: str, step: Step) -> None:
        """Take a step at a collection of the target into account."""
        self._counts[step.action] += 1
        self._below += step.key != ""
        self._sizes[step.action] += size_of(step)
        if destroys(step):
            self._destroyed[collection] = None
        if self._file is not None:
            self._file.write(json.dumps(shown(collection, step), sort_keys=True).encode("ascii") + b"\n")
        if step.action != KEEP and len(self._sample) < SAMPLE:
            self._sample.append(shown(collection, step))

    def tally(self) -> Tally:
        """Return the numbers so far."""
        return Tally(dict(self._counts), dict(self._sizes), tuple(self._sample), tuple(self._destroyed), self._below)


def size_of(step: Step) -> int:
    """Return the bytes that a step is about."""
    if step.row is not None:
        return step.row.size
    return step.item.size if step.item is not None else 0


def shown(collection: str, step: Step) -> dict[str, t.Any]:
    """Return a step as plans and results show it; bytes of a key that are no UTF-8 are shown as escapes."""
    fields: dict[str, t.Any] = {
        "action": step.action,
        "collection": printable(collection),
        "key": printable(step.row.key if step.row is not None else step.key),
        "size": size_of(step),
    }
    if step.row is not None and step.key != step.row.key:
        fields["written_as"] = printable(step.key)
    if step.why:
        fields["why"] = step.why
    return fields


def printable(text: str) -> str:
    """Return a key as valid Unicode: a byte that is no UTF-8 becomes an escape such as `\\xe4`."""
    with contextlib.suppress(UnicodeEncodeError):
        text.encode("utf-8")
        return text
    return order(text).decode("utf-8", "backslashreplace")
