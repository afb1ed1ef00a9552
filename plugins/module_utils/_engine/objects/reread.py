# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
import re
import typing as t
import zlib

from ..errors import UsageError
from .rows import Row, order
from .segments import Segment

_FORM = re.compile(r"([0-9]{1,6})/([0-9]{1,6})")


@dataclasses.dataclass(frozen=True)
class Share:
    """How much of the unchanged objects each run reads again: `parts` of `of`; the runs go round."""

    parts: int
    of: int

    @classmethod
    def parse(cls, text: str) -> Share | None:
        """Read `1/7`; None for an empty text. Raises UsageError."""
        if not text:
            return None
        found = _FORM.fullmatch(text)
        parts, of = (int(found[1]), int(found[2])) if found else (0, 0)
        if not 1 <= parts <= of:
            raise UsageError(f"Cannot read {text!r} again", "it is no share", "write it as 1/7")
        return cls(parts, of)

    def after(self, last: t.Any) -> Round:
        """Return the next round; `last` is what `Round.statistics` of the run before was, or anything else."""
        begin = 0
        if isinstance(last, dict) and last.get("of") == self.of and isinstance(last.get("next"), int):
            begin = last["next"] % self.of
        return Round(begin, self)


class Round:
    """The segments of the base whose objects one run reads again, although their listing is as it was.

    A segment is chosen by the checksum of its first key. Where keys come and go at its border it can be passed over in
    one round; what lies in it has its turn in the next one.
    """

    def __init__(self, begin: int, share: Share) -> None:
        self._share = share
        self._begin = begin
        self._is_chosen = False

    def has_segment(self, segment: Segment) -> bool:
        """Say whether a segment has its turn; from then on `has_row` speaks of it."""
        number = zlib.crc32(order(segment.first)) % self._share.of
        self._is_chosen = (number - self._begin) % self._share.of < self._share.parts
        return self._is_chosen

    def has_row(self, _row: Row) -> bool:
        return self._is_chosen

    @property
    def statistics(self) -> dict[str, int]:
        """Return what the next run needs to go on."""
        return {"next": (self._begin + self._share.parts) % self._share.of, "of": self._share.of}
