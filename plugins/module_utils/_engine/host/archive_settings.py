# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

from ..errors import UsageError
from ..repository.keep import span_from
from ..repository.retrieval import RetrievalPolicy
from ..s3.archive_calls import TIERS

_MOST_DAYS = 365


def retrieval_from(values: t.Mapping[str, t.Any], where: str = "archive") -> RetrievalPolicy:
    """Return how an operator wants archived files to be brought back. Raises UsageError."""
    usual = RetrievalPolicy()
    tier = str(values.get("tier") or usual.tier)
    if tier not in TIERS:
        raise UsageError(f"Cannot use {where}", f"tier is {tier!r}", f"use one of {', '.join(TIERS)}")
    days = str(values.get("days") or usual.days)
    if not (days.isascii() and days.isdigit()) or not 1 <= int(days) <= _MOST_DAYS:
        raise UsageError(f"Cannot use {where}", f"days is {days}", f"use 1 to {_MOST_DAYS}")
    wait = span_from(values["wait"], "wait", where) if values.get("wait") else usual.wait
    return RetrievalPolicy(tier, int(days), wait)
