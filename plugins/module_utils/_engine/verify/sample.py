# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
import re
import zlib

from ..errors import UsageError

_MOST = 10_000


@dataclasses.dataclass(frozen=True)
class Sample:
    """Which packs one of several verifications reads; together they read all.

    Pack k of a backup is read by verification n of t where k plus the CRC-32 of the backup's id is n modulo t: which
    one that is never changes, and backups of a single pack are spread over all of them.
    """

    number: int  # 1 to `total`
    total: int

    def takes(self, owner: str, pack: int) -> bool:
        """Say whether this verification reads a pack."""
        return (zlib.crc32(owner.encode()) + pack - self.number) % self.total == 0

    def __str__(self) -> str:
        return f"{self.number}/{self.total}"


EVERYTHING = Sample(1, 1)


def parse_sample(text: str) -> Sample:
    """Read `n/t`; an empty text means everything. Raises UsageError."""
    if not text:
        return EVERYTHING
    found = re.fullmatch(r"([0-9]{1,5})/([0-9]{1,5})", text)
    if found is None or not 1 <= int(found[1]) <= int(found[2]) <= _MOST:
        raise UsageError(
            f"Cannot use {text!r} as a sample", "it is not one of several parts", f"write 1/7 to 7/7; up to {_MOST}"
        )
    return Sample(int(found[1]), int(found[2]))
