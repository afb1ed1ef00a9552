# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import datetime as dt
import typing as t

from ..errors import UsageError
from ..repository.keep import span_from
from ..repository.lock_policy import MODES, LockPolicy

_LONGEST = dt.timedelta(days=36_500)


def policy_from(values: t.Mapping[str, t.Any], where: str = "lock") -> LockPolicy:
    """Return how an operator wants a repository to lock what it keeps. Raises UsageError."""
    usual = LockPolicy()
    mode = str(values.get("mode") or usual.mode)
    if mode not in MODES:
        raise UsageError(f"Cannot use {where}", f"mode is {mode!r}", f"use one of {', '.join(MODES)}")
    rolling = _span(values, "rolling", where) or usual.rolling
    most = _span(values, "most", where)
    if most is not None and rolling > most:
        raise UsageError(f"Cannot use {where}", "rolling is more than most", "lower it, or raise most")
    return LockPolicy(mode, rolling, most)


def _span(values: t.Mapping[str, t.Any], name: str, where: str) -> dt.timedelta | None:
    if not values.get(name):
        return None
    found = span_from(values[name], name, where)
    if not dt.timedelta(days=1) <= found <= _LONGEST:
        raise UsageError(f"Cannot use {where}", f"{name} is {values[name]}", "use 1d to 36500d")
    return found
