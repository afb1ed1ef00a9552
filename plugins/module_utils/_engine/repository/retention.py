# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which backups stay and which go: pure functions from what is there to what is kept, and why."""

from __future__ import annotations

import dataclasses
import datetime as dt
import functools
import statistics
import typing as t

from .. import clock
from .keep import TIERS, Keep, within_text

_PACE_OF = 11  # the newest backups tell how often there is one
_LONG_AGO = dt.datetime(1970, 1, 1, tzinfo=clock.UTC)
_Moment = t.Optional[dt.datetime]


@dataclasses.dataclass(frozen=True)
class Candidate:
    """One backup, as far as retention must know it."""

    id: str
    is_proved: bool  # all its stored files were read back, and nobody has touched it
    has_failed: bool = False  # a stored file did not read back
    is_flagged: bool = False  # a guard doubts what it holds, and nobody has acknowledged it
    alarm: str = ""  # why nobody can tell what it is: its manifest was tampered with, or cannot be read
    hold: str = ""  # why somebody holds it
    held_until: dt.datetime | None = None  # None: until somebody releases it
    locked_until: dt.datetime | None = None  # object lock of the repository's bucket
    is_base: bool = False  # a run that is under way builds on it
    is_vouched: bool = False  # proved, if nothing without a signature had ever been said
    is_claimed: bool = False  # proved, if nobody asked for signatures

    @functools.cached_property
    def time(self) -> dt.datetime | None:
        """Return when it began by the repository's clock, None when its id tells no time that there is."""
        try:
            return clock.from_backup_id(self.id)
        except ValueError:
            return None


@dataclasses.dataclass(frozen=True)
class Kept:
    """A backup that stays."""

    id: str
    reasons: tuple[str, ...]  # such as `daily 2026-11-20`
    until: dt.datetime | None  # when it will go, if backups go on as they did; None: cannot be foreseen


@dataclasses.dataclass(frozen=True)
class Refusal:
    """Why nothing may be dropped."""

    guard: str  # flagged | tampered | mass_removal
    cause: str
    remedy: str


@dataclasses.dataclass(frozen=True)
class RetentionPlan:
    """What would stay and what would go."""

    kept: tuple[Kept, ...]  # the oldest first
    expired: tuple[str, ...]  # ids, the oldest first
    refusals: tuple[Refusal, ...] = ()

    @property
    def removable(self) -> tuple[str, ...]:
        """Return the ids of the backups that may go now."""
        return () if self.refusals else self.expired

    @property
    def next_removal(self) -> dt.datetime | None:
        """Return when the next of those that stay will go, if that can be foreseen."""
        return min((each.until for each in self.kept if each.until is not None), default=None)


def plan(
    found: t.Collection[Candidate],
    keep: Keep | None,
    now: dt.datetime,
    zone: dt.tzinfo = clock.UTC,
    force: bool = False,
    frozen_by: t.Collection[str] = (),
) -> RetentionPlan:
    """Say which backups of a job stay in a repository (docs/retention.md); without `keep` all of them do.

    `now` is the repository's clock; hours, days and so on are those of `zone`. With `force` more than half may go.
    `frozen_by` are flagged backups of the job that other repositories have.

    The rules are applied three times: to proved backups, to those that did not fail, and to all. So a backup that
    nobody has proved, or that cannot be restored, never takes the place of a better one. Where signatures are asked
    for, they are applied to what would be proved otherwise as well: so asking for them, and what somebody writes who
    has no keys, only keeps more. Rules only add to what is kept. What seems to be of the future is kept and does not
    count, and time is measured from the newest proved backup, not from now: clocks that jump, and jobs that no longer
    run, cost no backup.
    """
    ordered = sorted(found, key=lambda each: each.id, reverse=True)
    reasons = {each.id: _own_reasons(each, now) for each in ordered}
    if keep is None:
        reasons = {backup_id: {**own, "no retention is set": None} for backup_id, own in reasons.items()}
    else:
        counted = [each for each in ordered if each.time is not None and each.time <= now + clock.AHEAD]
        rules = _Rules(counted, keep, zone)
        proved = [each for each in counted if each.is_proved]
        vouched = [each for each in counted if each.is_proved or each.is_vouched]
        claimed = [each for each in counted if each.is_proved or each.is_claimed]
        sound = [each for each in counted if each.is_proved or each.is_claimed or not (each.has_failed or each.alarm)]
        among = _distinct(proved, vouched, claimed)
        for some in among:
            rules.apply(reasons, some)
        if len(sound) > len(claimed):
            rules.apply(reasons, sound)
        if len(counted) > len(sound):
            rules.apply(reasons, counted)
        for some in among:
            rules.keep_proved(reasons, some)
        rules.keep_unproved(reasons, counted)
    kept = [Kept(each.id, tuple(reasons[each.id]), _end(reasons[each.id])) for each in ordered if reasons[each.id]]
    expired = [each.id for each in ordered if not reasons[each.id]]
    refusals = _refusals(ordered, expired, force, frozen_by)
    return RetentionPlan(tuple(reversed(kept)), tuple(reversed(expired)), refusals)


def _distinct(*lists: list[Candidate]) -> list[list[Candidate]]:
    return [each for number, each in enumerate(lists) if each not in lists[:number]]


def not_worth_bringing(
    there: t.Collection[Candidate], brought: t.Collection[str], keep: Keep | None, now: dt.datetime, zone: dt.tzinfo
) -> frozenset[str]:
    """Return which of the backups `brought` (ids) would be dropped at once where `there` are (rule 10)."""
    known = {each.id for each in there}
    joined = [*there, *(Candidate(each, is_proved=True) for each in brought if each not in known)]
    return frozenset(plan(joined, keep, now, zone).expired) - known


def representatives(
    found: t.Iterable[Candidate], there: t.Iterable[Candidate], tier: str, zone: dt.tzinfo
) -> frozenset[str]:
    """Return one backup of each hour, day, week, month or year of `zone` (`tier`, one of TIERS): that which `there` has
    of the period, else the newest proved one of `found`, else the newest that did not fail.

    So whoever copies them again and again brings one of each period, and not the newest one of the running period each
    time.
    """
    ranked = [(2, each) for each in there] + [(int(each.is_proved), each) for each in found]
    best: dict[tuple[t.Any, ...], tuple[int, str]] = {}
    for rank, each in ranked:
        if each.time is not None and (each.is_proved or not (each.has_failed or each.alarm)):
            period = _period(tier, each.time.astimezone(zone))
            best[period] = max(best.get(period, (0, "")), (rank, each.id))
    return frozenset(backup_id for _rank, backup_id in best.values())


def _own_reasons(each: Candidate, now: dt.datetime) -> dict[str, _Moment]:
    """Return why a backup stays whatever the rules say, and until when."""
    found: dict[str, _Moment] = {}
    if each.hold and (each.held_until is None or each.held_until > now):
        found[f"held: {each.hold}"] = each.held_until
    if each.locked_until is not None and each.locked_until > now:
        found["locked by its bucket"] = each.locked_until
    if each.is_base:
        found["a run builds on it"] = None
    if each.alarm:
        found["not to be trusted"] = None
    if each.time is None:
        found["its id tells no time"] = None
    elif each.time > now + clock.AHEAD:
        found["seems to be of the future"] = None
    return found


class _Rules:
    """The rules of one `Keep`, applied to backups that are ordered from the newest to the oldest."""

    def __init__(self, counted: t.Sequence[Candidate], keep: Keep, zone: dt.tzinfo) -> None:
        self._keep = keep
        self._local = {each.id: _time(each).astimezone(zone) for each in counted}
        self._zone = zone
        times = [_time(each) for each in counted]
        self._newest = times[0] if times else _LONG_AGO
        proved = [_time(each) for each in counted if each.is_proved]
        self._newest_proved = proved[0] if proved else None
        gaps = [(later - earlier).total_seconds() for later, earlier in zip(times[:_PACE_OF], times[1:_PACE_OF])]
        self._pace = dt.timedelta(seconds=statistics.median(gaps)) if gaps else None

    def apply(self, reasons: dict[str, dict[str, _Moment]], ordered: t.Sequence[Candidate]) -> None:
        keep = self._keep
        for rank, each in enumerate(ordered[: keep.last]):
            _add(reasons[each.id], f"last {keep.last}", self._after(keep.last - rank))
        for each in ordered:
            if keep.within and self._newest_proved is not None and self._newest_proved - _time(each) <= keep.within:
                _add(reasons[each.id], f"within {within_text(keep.within)}", _plus(_time(each), keep.within))
        for tier in TIERS:
            self._apply_tier(reasons, ordered, tier, getattr(keep, tier))

    def _apply_tier(
        self, reasons: dict[str, dict[str, _Moment]], ordered: t.Sequence[Candidate], tier: str, most: int
    ) -> None:
        seen: set[tuple[t.Any, ...]] = set()
        for each in ordered:
            if len(seen) >= most:
                break
            local = self._local[each.id]
            period = _period(tier, local)
            if period not in seen:
                seen.add(period)
                words = f"{tier} {_period_name(tier, local)}"
                _add(reasons[each.id], words, self._tier_end(tier, each, most - len(seen) + 1))

    def keep_proved(self, reasons: dict[str, dict[str, _Moment]], proved: t.Sequence[Candidate]) -> None:
        least = self._keep.verified_min
        words = "the last proved one" if least == 1 else f"one of the last {least} proved"
        for rank, each in enumerate(proved[:least]):
            _add(reasons[each.id], words, self._after(least - rank))

    def keep_unproved(self, reasons: dict[str, dict[str, _Moment]], counted: t.Sequence[Candidate]) -> None:
        """Keep what came after the newest proved backup: nobody knows yet whether there is a good one among it."""
        for each in counted:
            if each.is_proved:
                return
            _add(reasons[each.id], "newer than every proved one", None)

    def _after(self, backups: int) -> _Moment:
        """Return when so many more backups are there."""
        return None if self._pace is None else _plus(self._newest, backups * self._pace)

    def _tier_end(self, tier: str, each: Candidate, periods: int) -> _Moment:
        """Return when so many newer periods have a backup, or when its own period has a newer one."""
        if self._pace is None:
            return None
        following = _plus(self._newest, self._pace)
        if following is not None and _time(each) == self._newest:
            own, later = (_period(tier, moment.astimezone(self._zone)) for moment in (self._newest, following))
            if own == later:
                return following
        end = _later_period(tier, self._newest.astimezone(self._zone), periods)
        after = self._after(periods)
        return None if end is None or after is None else max(end, after if self._pace > _LONGEST[tier] else end)


_LONGEST = dict(zip(TIERS, (dt.timedelta(hours=1), *(dt.timedelta(days=days) for days in (1, 7, 31, 366)))))


def _add(reasons: dict[str, _Moment], words: str, until: _Moment) -> None:
    """Add a reason; of the same reason the later end counts."""
    known = reasons.setdefault(words, until)
    if known is not None and (until is None or until > known):
        reasons[words] = until


def _end(reasons: t.Mapping[str, _Moment]) -> _Moment:
    """Return when the last reason is gone."""
    ends = list(reasons.values())
    known = [end for end in ends if end is not None]
    return max(known) if len(known) == len(ends) else None


def _time(each: Candidate) -> dt.datetime:
    return each.time or _LONG_AGO


def _plus(moment: dt.datetime, span: dt.timedelta) -> _Moment:
    try:
        return moment + span
    except OverflowError:
        return None


def _period(tier: str, local: dt.datetime) -> tuple[t.Any, ...]:
    """Return what tells the hour, day, week, month or year of a local time from all others."""
    if tier == "weekly":
        return tuple(local.isocalendar()[:2])
    if tier == "hourly":  # an hour that clocks are put back to comes twice
        return (local.year, local.month, local.day, local.hour, local.utcoffset())
    return (local.year, local.month, local.day)[: {"daily": 3, "monthly": 2, "yearly": 1}[tier]]


def _period_name(tier: str, local: dt.datetime) -> str:
    if tier == "weekly":
        year, week = local.isocalendar()[:2]
        return f"{year}-W{week:02d}"
    form = {"hourly": "%Y-%m-%d %Hh", "daily": "%Y-%m-%d", "monthly": "%Y-%m", "yearly": "%Y"}[tier]
    return f"{local:{form}}"


def _later_period(tier: str, local: dt.datetime, periods: int) -> _Moment:
    """Return when the period begins that comes so many after that of a local time."""
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0)
    try:
        if tier == "hourly":
            # In UTC: an hour that clocks are put back to comes twice. Some zones' hours begin at half past of it.
            passed = dt.timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond)
            return local.astimezone(clock.UTC) - passed + dt.timedelta(hours=periods)
        if tier == "monthly":
            year, month = divmod(midnight.year * 12 + midnight.month - 1 + periods, 12)
            start = midnight.replace(year=year, month=month + 1, day=1)
        elif tier == "yearly":
            start = midnight.replace(year=midnight.year + periods, month=1, day=1)
        else:
            days = periods if tier == "daily" else 7 * periods - midnight.weekday()
            start = midnight + dt.timedelta(days=days)
        return start.astimezone(clock.UTC)
    except (OverflowError, ValueError):
        return None


def _refusals(
    found: t.Sequence[Candidate], expired: t.Sequence[str], force: bool, frozen_by: t.Collection[str]
) -> tuple[Refusal, ...]:
    refusals = []
    flagged = sorted({*(each.id for each in found if each.is_flagged), *frozen_by})
    if flagged:
        cause = f"{_some(flagged)} flagged, and nobody has acknowledged that: nothing is dropped until then"
        refusals.append(Refusal("flagged", cause, "look at what it holds; acknowledge it when it is as it should be"))
    tampered = [f"{each.id}: {each.alarm}" for each in reversed(found) if each.alarm]
    if tampered:
        remedy = "find out who did that; then copy the backup from elsewhere, or delete it by its id"
        refusals.append(Refusal("tampered", "; ".join(tampered[:3]), remedy))
    if 2 * len(expired) > len(found) and not force:
        cause = f"{len(expired)} of {len(found)} backups would go, which is more than half"
        refusals.append(Refusal("mass_removal", cause, "look at what would go; if it is right, do it by force"))
    return tuple(refusals)


def _some(ids: t.Sequence[str]) -> str:
    """Return one id, and how many more there are."""
    return f"{ids[0]} is" if len(ids) == 1 else f"{ids[0]} and {len(ids) - 1} more are"
