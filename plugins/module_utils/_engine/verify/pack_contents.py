# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import collections
import hashlib
import itertools
import typing as t

from ..errors import DamagedError
from ..stream.frame_reader import framed_chunks
from ..stream.pipeline import StreamFacts
from ..stream.stage import Stage
from .row_spill import Member

_EMPTY = hashlib.sha256(b"").digest()

Read = t.Callable[[], t.Iterable[bytes]]  # begins to read a stored file, each time from its beginning


def broken_promises(
    read: Read, facts: StreamFacts, members: t.Sequence[Member], stages: t.Sequence[Stage] = ()
) -> collections.Counter[int]:
    """Read a pack once, and count by index the rows whose member is not there with its SHA-256.

    `members` are in the order of their places. Members that no row names are read like all others: their frames must
    decompress, and every stored byte counts. `stages` decrypt it. Raises DamagedError when the pack is not what was
    written.
    """
    broken: collections.Counter[int] = collections.Counter()
    groups = _frames(members, facts, broken)
    try:
        _compare(framed_chunks(read(), facts, sorted(_borders(groups, facts)), stages), groups, broken)
    except DamagedError:
        if not groups:
            raise
        for _chunk in framed_chunks(read(), facts, (), stages):  # is it the pack, or do rows name places that are none?
            pass
        return collections.Counter(member.told_by for member in members)
    return broken


def _frames(
    members: t.Sequence[Member], facts: StreamFacts, broken: collections.Counter[int]
) -> dict[int, list[Member]]:
    """Return the members by the offset of their frames; frames are the same or apart, rows that say otherwise lie."""
    groups: dict[int, list[Member]] = {}
    last, end = (-1, -1), 0
    for member in members:
        place = (member.offset, member.length)
        is_apart = place == last or member.offset >= end
        if not is_apart or not member.length or member.offset + member.length > facts.stored_size:
            broken[member.told_by] += 1
            continue
        last, end = place, member.offset + member.length
        groups.setdefault(member.offset, []).append(member)
    return groups


def _borders(groups: t.Mapping[int, t.Sequence[Member]], facts: StreamFacts) -> set[int]:
    ends = {group[0].offset + group[0].length for group in groups.values()}
    return {*groups, *ends} - {facts.stored_size}


def _compare(
    chunks: t.Iterator[tuple[int, bytes]],
    groups: t.Mapping[int, t.Sequence[Member]],
    broken: collections.Counter[int],
) -> None:
    met = set()
    for offset, pieces in itertools.groupby(chunks, key=lambda each: each[0]):
        check = _Frames(groups.get(offset, ()))
        for _offset, chunk in pieces:
            check.take(chunk)
        broken.update(check.broken())
        met.add(offset)
    for offset, group in groups.items():
        if offset not in met:
            broken.update(member.told_by for member in group)


class _Frames:
    """Compares the members of some frames while their plain bytes pass."""

    def __init__(self, members: t.Sequence[Member]) -> None:
        self._waiting = collections.deque(members)
        self._open: list[tuple[Member, t.Any]] = []  # members that have begun, and their digests
        self._broken: list[int] = []
        self._at = 0

    def take(self, chunk: bytes) -> None:
        begin, end = self._at, self._at + len(chunk)
        self._at = end
        while self._waiting and self._waiting[0].inside < end:
            self._open.append((self._waiting.popleft(), hashlib.sha256()))
        if not self._open:
            return
        view, still_open = memoryview(chunk), []
        for member, digest in self._open:
            last = member.inside + member.size
            digest.update(view[max(member.inside - begin, 0) : max(last - begin, 0)])
            if last > end:
                still_open.append((member, digest))
            elif digest.digest() != member.sha256:
                self._broken.append(member.told_by)
        self._open = still_open

    def broken(self) -> list[int]:
        """Return the index numbers of the members that did not pass, or did not come; to be asked at the end."""
        late = [member for member in self._waiting if not self._is_empty_at_end(member)]
        return [
            *self._broken,
            *(member.told_by for member, _digest in self._open),
            *(member.told_by for member in late),
        ]

    def _is_empty_at_end(self, member: Member) -> bool:
        return member.size == 0 and member.inside == self._at and member.sha256 == _EMPTY
