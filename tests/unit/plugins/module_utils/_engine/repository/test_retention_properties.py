# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What retention must never do, over random histories: LIFEBOAT_SOAK_EXAMPLES=100000 for a long search."""

from __future__ import annotations

import dataclasses
import datetime as dt
import os
import typing as t

from ansible_collections.lifeboat.recovery.plugins.module_utils._engine import clock
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository import retention
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.keep import TIERS, Keep
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.retention import (
    Candidate,
    RetentionPlan,
)
from ansible_collections.lifeboat.recovery.tests.unit.plugins.module_utils._engine.repository.histories import (
    History,
    histories,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

EXAMPLES = int(os.environ.get("LIFEBOAT_SOAK_EXAMPLES", "0"))
_SETTINGS = settings(
    max_examples=EXAMPLES or 300,
    deadline=None,
    derandomize=not EXAMPLES,
    database=None,
    suppress_health_check=list(HealthCheck),
)


def planned(history: History, keep: Keep | None = None, force: bool = True) -> RetentionPlan:
    """Plan by force, so that what would go is what may go unless the job is frozen."""
    return retention.plan(history.backups, keep or history.keep, history.now, history.zone, force)


def is_of_the_future(each: Candidate, history: History) -> bool:
    return each.time is not None and each.time > history.now + clock.AHEAD


@_SETTINGS
@given(histories())
def test_no_history_loses_what_must_stay(history: History) -> None:
    found = planned(history)
    expired, kept = set(found.expired), {each.id for each in found.kept}
    assert expired | kept == {each.id for each in history.backups}
    assert not expired & kept
    assert all(each.reasons for each in found.kept)
    proved = sorted(each.id for each in history.backups if each.is_proved)
    assert len(kept.intersection(proved)) >= min(len(proved), history.keep.verified_min)
    for each in history.backups:
        if each.id in expired:
            assert not (each.hold and (each.held_until is None or each.held_until > history.now))
            assert not (each.locked_until and each.locked_until > history.now)
            assert not each.is_base
            assert not each.alarm
            assert not is_of_the_future(each, history)
            assert any(other > each.id for other in kept.intersection(proved))  # a newer proved one stays


@_SETTINGS
@given(histories(), st.booleans())
def test_no_frozen_job_and_no_more_than_half_is_dropped(history: History, force: bool) -> None:
    found = planned(history, force=force)
    if any(each.is_flagged or each.alarm for each in history.backups):
        assert not found.removable
    elif 2 * len(found.expired) > len(history.backups) and not force:
        assert not found.removable
        assert [each.guard for each in found.refusals] == ["mass_removal"]
    else:
        assert found.removable == found.expired


@_SETTINGS
@given(histories(), st.lists(st.integers(0, 4), min_size=8, max_size=8))
def test_keeping_more_never_drops_more(history: History, more: list[int]) -> None:
    before = history.keep
    after = Keep(
        before.last + more[0],
        before.within + dt.timedelta(days=more[1]),
        verified_min=before.verified_min + more[2],
        **{tier: getattr(before, tier) + extra for tier, extra in zip(TIERS, more[3:])},
    )
    assert set(planned(history, after).expired) <= set(planned(history).expired)


@_SETTINGS
@given(histories())
def test_what_goes_is_what_a_plain_reading_of_the_rules_says(history: History) -> None:
    assert set(planned(history).expired) == {each.id for each in history.backups if not _stays(each, history)}


@_SETTINGS
@given(histories())
def test_clocks_that_jump_cost_no_backup(history: History) -> None:
    plain = history.without("hold", "locked_until")
    now = max([plain.now, *(each.time for each in plain.backups if each.time)])
    later = dataclasses.replace(plain, now=now + dt.timedelta(days=4000))
    assert planned(later).expired == planned(dataclasses.replace(plain, now=now)).expired
    counted = tuple(each for each in plain.backups if not is_of_the_future(each, plain))
    assert planned(plain).expired == planned(dataclasses.replace(plain, backups=counted)).expired


@_SETTINGS
@given(histories())
def test_what_stays_still_stays_when_the_rest_is_gone(history: History) -> None:
    kept = {each.id for each in planned(history).kept}
    left = tuple(each for each in history.backups if each.id in kept)
    assert not planned(dataclasses.replace(history, backups=left)).expired


@_SETTINGS
@given(histories(), histories())
def test_a_backup_that_another_repository_would_drop_at_once_is_not_brought(source: History, target: History) -> None:
    """Two repositories with different rules: what is brought stays."""
    there = {each.id: each for each in target.backups}
    ids = {each.id for each in source.backups}
    unwanted = retention.not_worth_bringing(target.backups, ids, target.keep, target.now, target.zone)
    brought = [Candidate(each, is_proved=True) for each in sorted(ids - unwanted - there.keys())]
    after = dataclasses.replace(target, backups=(*target.backups, *brought))
    assert not set(planned(after).expired) & {each.id for each in brought}
    assert not unwanted & there.keys()


# The rules once more, as plainly as possible.


def _stays(each: Candidate, history: History) -> bool:
    now = history.now
    held = bool(each.hold) and (each.held_until is None or each.held_until > now)
    locked = each.locked_until is not None and each.locked_until > now
    if held or locked or each.is_base or each.alarm or each.time is None or is_of_the_future(each, history):
        return True
    counted = [other for other in history.backups if other.time and not is_of_the_future(other, history)]
    proved = [other for other in counted if other.is_proved]
    sound = [other for other in counted if other.is_proved or not (other.has_failed or other.alarm)]
    if each.id > max((other.id for other in proved), default=""):
        return True
    if each.is_proved and len([other for other in proved if other.id > each.id]) < history.keep.verified_min:
        return True
    return any(_stays_among(each, group, history, proved) for group in (proved, sound, counted) if each in group)


def _stays_among(
    each: Candidate, group: t.Sequence[Candidate], history: History, proved: t.Sequence[Candidate]
) -> bool:
    keep, newer = history.keep, [other for other in group if other.id > each.id]
    if len(newer) < keep.last:
        return True
    newest_proved = max(_moment(other) for other in proved)  # there is one, else it would be newer than all
    if keep.within and newest_proved - _moment(each) <= keep.within:
        return True
    for tier in TIERS:
        own = _period(each, tier, history.zone)
        periods = {_period(other, tier, history.zone) for other in newer}
        if own not in periods and len(periods) < getattr(keep, tier):
            return True
    return False


def _moment(each: Candidate) -> dt.datetime:
    return t.cast(dt.datetime, each.time)


def _period(each: Candidate, tier: str, zone: dt.tzinfo) -> tuple[t.Any, ...]:
    local = _moment(each).astimezone(zone)
    return {
        "hourly": (local.year, local.month, local.day, local.hour, local.utcoffset()),
        "daily": (local.year, local.month, local.day),
        "weekly": tuple(local.isocalendar())[:2],
        "monthly": (local.year, local.month),
        "yearly": (local.year,),
    }[tier]


@_SETTINGS
@given(histories(), st.lists(st.tuples(st.booleans(), st.booleans()), min_size=40, max_size=40))
def test_asking_for_signatures_never_drops_more(history: History, chances: list[tuple[bool, bool]]) -> None:
    asked = tuple(
        dataclasses.replace(
            each,
            is_proved=each.is_proved and is_signed,
            is_vouched=(each.is_proved and is_signed) or is_vouched,
            is_claimed=each.is_proved,
        )
        for each, (is_signed, is_vouched) in zip(history.backups, chances)
    )
    with_keys = dataclasses.replace(history, backups=asked)
    assert set(planned(with_keys).expired) <= set(planned(history).expired)


@_SETTINGS
@given(histories(), st.lists(st.booleans(), min_size=40, max_size=40))
def test_what_is_said_without_a_signature_drops_nothing(history: History, chances: list[bool]) -> None:
    """Somebody condemns proved backups, and writes ones that nobody signed between them."""
    condemned = tuple(
        dataclasses.replace(each, is_proved=False, has_failed=True, is_vouched=True) if is_hit else each
        for each, is_hit in zip(
            history.backups, (each.is_proved and hit for each, hit in zip(history.backups, chances))
        )
    )
    junk = tuple(
        Candidate(f"{each.id[:-6]}ffff{number:02x}", is_proved=False, is_claimed=True)
        for number, (each, hit) in enumerate(zip(history.backups, chances))
        if hit and each.time is not None
    )
    attacked = dataclasses.replace(history, backups=(*condemned, *junk))
    before = {each.id for each in history.backups if each.is_proved} & set(planned(history).expired)
    after = {each.id for each in history.backups if each.is_proved} & set(planned(attacked).expired)
    assert after <= before
