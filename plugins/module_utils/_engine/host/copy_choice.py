# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which backups a repository is to get: by tier, by age, and by what it keeps (docs/copies.md)."""

from __future__ import annotations

import dataclasses
import datetime as dt
import typing as t

from .. import clock
from ..errors import UsageError
from ..repository import prune, retention
from ..repository.alive import Intents
from ..repository.catalog import Backup
from ..repository.keep import TIERS, Keep, span_from
from ..repository.retention import Candidate

NAMED = ("all", "latest", "latest_good")  # what is no id
_NO_INTENTS = Intents(frozenset(), (), frozenset(), ())
_WHERE = "this choice of backups"


@dataclasses.dataclass(frozen=True)
class Narrowing:
    """What leaves backups out; by default nothing."""

    tier: str = ""  # one of TIERS: one backup of each such period
    min_age: dt.timedelta | None = None  # how old they are at least
    max_age: dt.timedelta | None = None
    zone: dt.tzinfo = clock.UTC  # whose hours, days, weeks, months and years count

    @property
    def is_open(self) -> bool:
        """Say whether nothing is left out."""
        return not self.tier and self.min_age is None and self.max_age is None

    def chosen(self, found: t.Sequence[Candidate], there: t.Sequence[Candidate], now: dt.datetime) -> frozenset[str]:
        """Return the ids that are left of `found`, for a repository that has those of `there`."""
        if self.is_open:
            return frozenset(each.id for each in found)
        old_enough = [each for each in found if self._is_of_age(each, now)]
        if not self.tier:
            return frozenset(each.id for each in old_enough)
        return retention.representatives(old_enough, there, self.tier, self.zone)

    def _is_of_age(self, each: Candidate, now: dt.datetime) -> bool:
        if each.time is None:
            return False
        age = now - each.time
        return (self.min_age is None or age >= self.min_age) and (self.max_age is None or age <= self.max_age)


def narrowing_from(
    backup: str, tier: str | None, min_age: str | None, max_age: str | None, zone: dt.tzinfo
) -> Narrowing:
    """Return what an operator wrote. Raises UsageError, also when it stands beside the id of one backup."""
    if tier and tier not in TIERS:
        raise UsageError(f"Cannot use {_WHERE}", f"tier is {tier!r}", f"use one of {', '.join(TIERS)}")
    least, most = (
        span_from(text, name, _WHERE) if text else None for name, text in (("min_age", min_age), ("max_age", max_age))
    )
    if least is not None and most is not None and least > most:
        raise UsageError(f"Cannot use {_WHERE}", "min_age is more than max_age", "exchange them, or leave one out")
    found = Narrowing(tier or "", least, most, zone)
    if backup not in NAMED and not found.is_open:
        raise UsageError(f"Cannot use {_WHERE}", f"backup is {backup}, which is one", "leave out tier and ages")
    return found


def dropped_at_once(
    there: t.Sequence[Backup], ids: t.Collection[str], keep: Keep | None, now: dt.datetime, zone: dt.tzinfo
) -> frozenset[str]:
    """Return those of the backups `ids` that the next prune of a repository with the backups `there` would remove
    again (docs/protocol.md, rule 10).
    """
    return frozenset() if keep is None else retention.not_worth_bringing(as_candidates(there), ids, keep, now, zone)


def as_candidates(found: t.Sequence[Backup]) -> list[Candidate]:
    """Return backups as retention knows them."""
    return prune.candidates(found, _NO_INTENTS, {})
