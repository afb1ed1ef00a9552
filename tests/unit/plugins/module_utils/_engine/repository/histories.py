# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Histories of backups, made of bytes: Hypothesis makes many of them quickly, and shrinks them well."""

from __future__ import annotations

import dataclasses
import datetime as dt
import zoneinfo

from ansible_collections.lifeboat.recovery.plugins.module_utils._engine import clock
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.keep import Keep
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.retention import Candidate
from hypothesis import strategies as st

START = dt.datetime(2026, 3, 20, 22, 17, tzinfo=dt.timezone.utc)  # clocks are put forward within days
ZONES = [dt.timezone.utc, *map(zoneinfo.ZoneInfo, ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe"))]
_HEADER = 10
_ROW = 3
_COUNTS = (0, 0, 1, 2, 3, 7)
_MINUTE = dt.timedelta(minutes=1)
_GAPS = tuple(
    dt.timedelta(hours=hours) for hours in (0, 0.25, 1, 1, 5, 20, 23, 24, 24, 24, 25, 48, 24 * 7, 24 * 30, 24 * 200)
)
_JUMPS = {253: dt.timedelta(days=-40), 254: dt.timedelta(days=400), 255: dt.timedelta(hours=-30)}


@dataclasses.dataclass(frozen=True)
class History:
    """What a repository has of one job, and how long it is to be kept."""

    backups: tuple[Candidate, ...]
    keep: Keep
    now: dt.datetime
    zone: dt.tzinfo

    def without(self, *fields: str) -> History:
        """Return the history without holds, locks or flags."""
        values = {"hold": "", "locked_until": None, "is_flagged": False, "alarm": "", "is_base": False}
        gone = {field: values[field] for field in fields}
        return dataclasses.replace(self, backups=tuple(dataclasses.replace(each, **gone) for each in self.backups))


def decoded(data: bytes) -> History:
    """Read a history from bytes; any bytes are one."""
    head = data[:_HEADER].ljust(_HEADER, b"\2")
    last, hourly, daily, weekly, monthly, yearly = (_COUNTS[byte % len(_COUNTS)] for byte in head[:6])
    within = dt.timedelta(days=(0, 0, 1, 30)[head[6] % 4])
    keep = Keep(last, within, hourly, daily, weekly, monthly, yearly, 1 + head[7] % 4)
    moment, backups = START, []
    for number, offset in enumerate(range(_HEADER, len(data) - _ROW + 1, _ROW)):
        gap, state, chance = data[offset : offset + _ROW]
        moment += _JUMPS.get(gap, _GAPS[gap % len(_GAPS)])
        backups.append(_candidate(f"{clock.compact(moment)}-{number:06x}", moment, state, chance))
    latest = max([START, *(each.time or START for each in backups)])
    now = latest + (_MINUTE, dt.timedelta(days=90), dt.timedelta(days=-3), _MINUTE)[head[8] % 4]
    return History(tuple(backups), keep, now, ZONES[head[9] % len(ZONES)])


def _candidate(backup_id: str, moment: dt.datetime, state: int, chance: int) -> Candidate:
    is_proved = state % 8 < 5
    rare = chance % 24
    return Candidate(
        backup_id,
        is_proved=is_proved,
        has_failed=not is_proved and state % 8 == 5,
        is_flagged=rare == 1,
        alarm="written twice" if rare == 2 and not is_proved else "",
        hold="an audit" if rare in (3, 4) else "",
        held_until=moment + dt.timedelta(days=50) if rare == 4 else None,
        locked_until=moment + dt.timedelta(days=chance % 40) if rare in (5, 6) else None,
        is_base=rare == 7,
    )


def histories() -> st.SearchStrategy[History]:
    """Return histories of up to about 40 backups."""
    return st.binary(min_size=_HEADER, max_size=_HEADER + 40 * _ROW).map(decoded)
