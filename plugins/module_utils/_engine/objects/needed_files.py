# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

from ..repository.manifest import Need
from .segments import Ranges, Segment, damaged, ranges


class NeededFiles:
    """The stored files of earlier backups that a backup needs: a bit for each file."""

    def __init__(self) -> None:
        self._bits: dict[str, bytearray] = {}  # by id of the owner; bit n: file n of its files.jsonl

    def add(self, segment: Segment) -> None:
        """Add the index that holds a segment, and the packs of its rows (whose numbers are those of their files)."""
        self._mark(segment.owner, segment.file, segment.file)
        for owner, packs in segment.needs:
            for first, last in packs:
                self._mark(owner, first, last)

    def _mark(self, owner: str, first: int, last: int) -> None:
        bits = self._bits.setdefault(owner, bytearray())
        if last // 8 >= len(bits):
            bits.extend(bytes(last // 8 + 1 - len(bits)))
        for number in range(first, last + 1):
            bits[number // 8] |= 1 << number % 8

    def needs(self, own: str, digests: t.Callable[[], t.Mapping[str, str]]) -> tuple[Need, ...]:
        """Return the lines of needs.jsonl of the backup `own`: a line per earlier backup, ordered by id.

        `digests` is asked for the SHA-256 of the files.jsonl of the others, by id, if there are any.
        """
        owners = sorted(set(self._bits) - {own})
        known = digests() if owners else {}
        for owner in owners:
            if owner not in known:
                raise damaged(f"the index that backup {own} builds on", f"nothing says what files backup {owner} has")
        return tuple(Need(owner, known[owner], _ranges(self._bits[owner])) for owner in owners)


def also(needs: t.Sequence[Need], owner: str, files_sha256: str, number: int) -> tuple[Need, ...]:
    """Return the lines of needs.jsonl with one more file of an earlier backup, ordered by id."""
    found = {need.owner: need for need in needs}
    had = found[owner].ranges if owner in found else ()
    numbers = {number, *(each for first, last in had for each in range(first, last + 1))}
    found[owner] = Need(owner, files_sha256, ranges(sorted(numbers)))
    return tuple(found[each] for each in sorted(found))


def _ranges(bits: bytearray) -> Ranges:
    return ranges(number for number in range(len(bits) * 8) if bits[number // 8] >> number % 8 & 1)
