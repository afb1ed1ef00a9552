# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
import datetime as dt
import re
import typing as t

from ..errors import UsageError

TIERS = ("hourly", "daily", "weekly", "monthly", "yearly")  # the finest first
VERIFIED_MIN = 2
_MOST = 100_000
_WITHIN = re.compile(r"([0-9]{1,6})([hdw])")
_UNITS = {"h": dt.timedelta(hours=1), "d": dt.timedelta(days=1), "w": dt.timedelta(weeks=1)}
_PLAIN_WORDS = {"max_backups": "last", "retention_days": "within"}  # the same in words that need no explanation
KEYS = ("last", "within", *TIERS, "verified_min", *_PLAIN_WORDS)


@dataclasses.dataclass(frozen=True)
class Keep:
    """Which backups of a job stay in a repository: those that any of the rules keeps."""

    last: int = 0  # the newest ones
    within: dt.timedelta = dt.timedelta(0)  # those made in this time before the newest proved one
    hourly: int = 0  # of each of so many hours that have backups, the newest one
    daily: int = 0
    weekly: int = 0  # weeks begin on Monday (ISO 8601)
    monthly: int = 0
    yearly: int = 0
    verified_min: int = VERIFIED_MIN  # proved ones that stay, whatever the other rules say

    @property
    def words(self) -> str:
        """Return the rules in one line."""
        found = [f"last {self.last}"] if self.last else []
        found += [f"within {within_text(self.within)}"] if self.within else []
        found += [f"{tier} {getattr(self, tier)}" for tier in TIERS if getattr(self, tier)]
        return ", ".join([*found, f"verified_min {self.verified_min}"])


def keep_from(values: t.Mapping[str, t.Any], where: str = "keep") -> Keep | None:
    """Return the rules that an operator wrote, None for none at all: then every backup stays.

    `where` is what messages call them. Numbers may be texts. Raises UsageError.
    """
    given = {key: value for key, value in values.items() if value is not None and value != ""}
    unknown = sorted(key for key in given if key not in KEYS)
    if unknown:
        raise _refusal(where, f"it has {unknown[0]}", f"known are {', '.join(KEYS)}")
    if not given:
        return None
    for plain, name in _PLAIN_WORDS.items():
        if plain in given and name in given:
            raise _refusal(where, f"{plain} and {name} mean the same", f"leave {plain} out")
    within = span_from(given.get("within", "0d"), "within", where)
    if "retention_days" in given:
        within = dt.timedelta(days=_whole(given, "retention_days", 1, where))
    last = _whole(given, "max_backups", 1, where) if "max_backups" in given else _whole(given, "last", 0, where)
    tiers = {tier: _whole(given, tier, 0, where) for tier in TIERS}
    if not (last or within or any(tiers.values())):
        raise _refusal(where, "it keeps nothing", "set last, within, or a tier such as daily; or leave it out")
    verified_min = _whole(given, "verified_min", 1, where) if "verified_min" in given else VERIFIED_MIN
    return Keep(last, within, verified_min=verified_min, **tiers)


def within_text(span: dt.timedelta) -> str:
    """Return a time span as the option `within` has it."""
    hours = int(span.total_seconds() // 3600)
    return f"{hours}h" if hours % 24 else f"{hours // 24}d"


def span_from(value: t.Any, name: str, where: str) -> dt.timedelta:
    """Return a time span that an operator wrote as 36h, 14d or 8w; `name` is that of the option. Raises UsageError."""
    found = _WITHIN.fullmatch(str(value).strip())
    if found is None:
        raise _refusal(where, f"{name} is {str(value)!r}", "write it as 36h, 14d or 8w")
    return int(found.group(1)) * _UNITS[found.group(2)]


def _whole(given: t.Mapping[str, t.Any], key: str, least: int, where: str) -> int:
    value = given.get(key, 0)
    is_number = isinstance(value, int) and not isinstance(value, bool)
    text = str(value).strip() if is_number or isinstance(value, str) else ""
    if not (text.isascii() and text.isdigit()) or not least <= int(text) <= _MOST:
        raise _refusal(where, f"{key} is {value!r}", f"use a whole number from {least} to {_MOST}")
    return int(text)


def _refusal(where: str, cause: str, remedy: str) -> UsageError:
    return UsageError(f"Cannot use {where}", cause, remedy)
