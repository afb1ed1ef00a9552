# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The maintenance lease, and striking keys from plans under it (docs/protocol.md, rule 6)."""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import datetime as dt
import threading
import typing as t
import unittest.mock

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine import clock
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import (
    BusyError,
    DamagedError,
    GuardRefusal,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository import (
    deletion_plan,
    layout,
    lease,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.deletion_plan import DeletionPlan
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.store import (
    DeniedError,
    UnavailableError,
)
from ansible_collections.lifeboat.recovery.tests.unit.plugins.module_utils._engine.repository.memory_store import (
    MemoryPlace,
    MemoryStore,
)
from ansible_collections.lifeboat.recovery.tests.unit.plugins.module_utils._engine.repository.simulation import (
    Process,
    World,
)

JOB = "lab"
KEY = layout.lease(JOB)
MINUTE = dt.timedelta(minutes=1)
YEAR = dt.timedelta(days=365)


@pytest.fixture
def world() -> t.Iterator[World]:
    with World() as world:
        yield world


@pytest.fixture
def place(world: World) -> MemoryPlace:
    return MemoryPlace(world, "A")


def hold(process: Process, place: MemoryPlace, uses: int = 1, pause: dt.timedelta = MINUTE, **options: t.Any) -> int:
    """Take the lease, put a file `uses` times with a pause before each, and return the minutes it took to get it."""
    store = place.store(process)
    begun = process.world.now
    with lease.held(store, JOB, place.window, **options) as permit:
        got_it = process.world.now
        for number in range(uses):
            process.world.sleep(pause.total_seconds())
            store.put_new(f"data/{process.name}-{number}", b"", signed_at=permit())
    return round((got_it - begun) / MINUTE)


def start(place: MemoryPlace, name: str, **options: t.Any) -> Process:
    return place.world.start(name, lambda process: hold(process, place, **options))


def test_a_lease_that_was_given_back_is_taken_at_once(place: MemoryPlace) -> None:
    for name in ("first", "second"):
        assert place.world.do(name, lambda process: hold(process, place)) == 0


def test_a_lease_is_given_back_when_a_signal_ends_the_work_before_its_answer_is_heard(place: MemoryPlace) -> None:
    def interrupted(process: Process) -> None:
        store = place.store(process)
        put_new = store.put_new

        def put_and_end(key: str, data: bytes, signed_at: dt.datetime | None = None) -> str:
            put_new(key, data, signed_at)
            raise KeyboardInterrupt

        with (
            unittest.mock.patch.object(store, "put_new", put_and_end),
            contextlib.suppress(KeyboardInterrupt),
            lease.held(store, JOB, place.window),
        ):
            raise AssertionError("nobody heard that the lease was taken")

    place.world.do("first", interrupted)
    assert place.world.do("second", lambda process: hold(process, place)) == 0


def test_who_finds_the_lease_taken_waits_visibly_until_it_is_given_back(place: MemoryPlace) -> None:
    said: list[str] = []
    first = start(place, "first", uses=20)
    place.world.run_until(first, "put_new", "data/")
    second = start(place, "second", on_wait=said.append)
    while not first.is_done:
        place.world.step(min([first, second], key=lambda process: process.ready_at))
    place.world.finish(second)
    assert 18 <= second.result <= 22
    assert said[0] == "waiting for the maintenance lease of lab in A"
    assert len(said) > 20


def test_who_waits_too_long_is_told_busy(place: MemoryPlace) -> None:
    first = start(place, "first", uses=100)
    place.world.run_until(first, "put_new", "data/")
    second = start(place, "second", wait_s=600.0)
    place.world.finish(second)
    assert isinstance(second.error, BusyError)
    assert place.world.now < first.ready_at + 12 * MINUTE


def test_the_lease_of_a_crashed_holder_is_taken_over_after_the_window_and_45_minutes(place: MemoryPlace) -> None:
    first = start(place, "first")
    place.world.run_until(first, "put_new", "data/")
    place.world.crash(first)
    assert 58 <= place.world.do("second", lambda process: hold(process, place)) <= 61


def test_the_lease_of_a_holder_that_crashed_while_the_clock_was_ahead_is_taken_over_by_who_waits(
    place: MemoryPlace,
) -> None:
    first = start(place, "first")
    place.world.run_until(first, "put_new", "data/")
    place.world.crash(first)
    place._keys[KEY] = [dataclasses.replace(each, modified=place.now() + YEAR) for each in place._keys[KEY]]
    assert 60 <= place.world.do("second", lambda process: hold(process, place)) <= 62


def test_a_holder_whose_clock_was_put_back_renews_at_once(place: MemoryPlace) -> None:
    store = place.store()
    held = lease._Lease(store, JOB, place.window)
    with unittest.mock.patch.object(store, "now", lambda: place.now() + YEAR):
        held.take(0.0, lambda _text: None)
        held.permit()
    before = place.readable(KEY, "")
    assert held.permit() == place.now()
    assert place.readable(KEY, "") != before
    place.world.advance(31 * MINUTE)
    before = place.readable(KEY, "")
    assert held.permit() and place.readable(KEY, "") != before


def test_a_holder_renews_while_it_works(place: MemoryPlace) -> None:
    first = start(place, "first", uses=30, pause=9 * MINUTE)
    renewals = 0
    while not first.is_done:
        pending = first.pending
        renewals += getattr(pending, "kind", "") == "replace"
        place.world.step(first)
    assert first.error is None
    assert 14 <= renewals <= 31


def test_a_holder_that_stood_still_goes_on_when_nobody_took_the_lease_over(place: MemoryPlace) -> None:
    place.world.do("first", lambda process: hold(process, place, uses=2, pause=dt.timedelta(hours=5)))


def test_a_holder_whose_lease_was_taken_over_changes_nothing_more(place: MemoryPlace) -> None:
    first = start(place, "first", uses=3)
    place.world.run_until(first, "put_new", "data/first-1")
    place.world.step(first)
    place.world.advance(2 * MINUTE * 60)
    second = start(place, "second", uses=3)
    place.world.run_until(second, "put_new", "data/second-0")
    place.world.finish(first)
    place.world.finish(second)
    assert isinstance(first.error, lease.LeaseLostError)
    assert second.error is None
    assert place.store().stat("data/first-2") is None


def test_a_holder_that_stood_still_right_after_its_renewal_changes_nothing_more(place: MemoryPlace) -> None:
    first = start(place, "first", uses=30)
    place.world.run_until(first, "replace", KEY)
    place.world.step(first)  # renewed; it goes on to read the clock, an hour later
    place.world.advance(62 * MINUTE)
    second = start(place, "second")
    place.world.run_until(second, "put_new", "data/")
    written = len(list(place.store().entries("data/first")))
    place.world.finish(first)
    place.world.finish(second)
    assert len(list(place.store().entries("data/first"))) == written
    assert isinstance(first.error, lease.LeaseLostError)
    assert second.error is None


@pytest.mark.parametrize("fault", ["lose_request", "lose_answer"])
@pytest.mark.parametrize("kind", ["put_new", "replace"])
def test_a_taking_without_answer_is_decided_by_reading(place: MemoryPlace, fault: str, kind: str) -> None:
    if kind == "replace":
        place.world.do("before", lambda process: hold(process, place))
    first = start(place, "first")
    place.world.run_until(first, kind, KEY)
    getattr(place.world, fault)(first)
    place.world.finish(first)
    assert first.error is None
    assert first.result <= 1


def test_a_renewal_without_answer_is_decided_by_reading(place: MemoryPlace) -> None:
    first = start(place, "first", uses=30)
    place.world.run_until(first, "replace", KEY)
    place.world.lose_answer(first)
    place.world.finish(first)
    assert first.error is None


def test_a_renewal_that_arrives_after_a_take_over_has_no_effect(place: MemoryPlace) -> None:
    first = start(place, "first", uses=30)
    place.world.run_until(first, "replace", KEY)
    place.world.advance(61 * MINUTE)
    second = start(place, "second", uses=30)
    place.world.run_until(second, "put_new", "data/")
    place.world.finish(first)
    place.world.finish(second)
    assert isinstance(first.error, lease.LeaseLostError)
    assert second.error is None


def test_of_two_that_take_a_free_lease_at_once_one_waits(place: MemoryPlace) -> None:
    both = [start(place, name) for name in ("first", "second")]
    for process in both:
        place.world.run_until(process, "put_new", KEY)
    while not all(process.is_done for process in both):
        ready = [process for process in both if not process.is_done]
        place.world.step(min(ready, key=lambda process: process.ready_at))
    assert [process.error for process in both] == [None, None]
    assert sorted(process.result for process in both)[0] == 0 < max(process.result for process in both)


def test_a_damaged_lease_is_free_when_its_time_is_over(place: MemoryPlace) -> None:
    place.store().put(KEY, b"rubbish")
    assert 58 <= place.world.do("first", lambda process: hold(process, place)) <= 61


def test_a_wrong_clock_is_refused(place: MemoryPlace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "now", lambda: place.world.now + 6 * MINUTE)
    with pytest.raises(GuardRefusal, match="differ by 360 s") as refused, lease.held(place.store(), JOB, place.window):
        pass
    assert refused.value.guard == "clock"


def test_several_threads_of_a_holder_renew_once(world: World, place: MemoryPlace) -> None:
    store = place.store()
    meeting = threading.Barrier(2, timeout=0.5)
    replaced: list[str] = []
    real = store.replace

    def replace(key: str, data: bytes, etag: str, signed_at: dt.datetime | None = None) -> str:
        replaced.append(etag)
        with contextlib.suppress(threading.BrokenBarrierError):
            meeting.wait()  # for another thread that renews too; there must be none
        return real(key, data, etag, signed_at)

    with lease.held(store, JOB, place.window) as permit, concurrent.futures.ThreadPoolExecutor(4) as pool:
        world.advance(11 * MINUTE)
        with unittest.mock.patch.object(store, "replace", replace):
            moments = list(pool.map(lambda _number: permit(), range(4)))
    assert len(set(moments)) == len(replaced) == 1


@pytest.mark.parametrize(("is_removing", "is_released"), [(True, False), (False, True)])
def test_only_a_holder_that_removes_keeps_the_lease_after_an_unanswered_request(
    place: MemoryPlace, is_removing: bool, is_released: bool
) -> None:
    holding = lease.held(place.store(), JOB, place.window, is_removing=is_removing)
    with pytest.raises(UnavailableError), holding:
        raise UnavailableError("no answer")
    document = place.store().get(KEY)
    assert document is not None
    assert (b'"released": true' in document.data) == is_released


@pytest.mark.parametrize(
    ("is_removing", "has_asked", "is_released"), [(True, True, False), (True, False, True), (False, True, True)]
)
def test_a_holder_that_removes_keeps_the_lease_when_a_signal_ends_it_before_an_answer(
    place: MemoryPlace, is_removing: bool, has_asked: bool, is_released: bool
) -> None:
    """A signal leaves a request unanswered as a broken line does; before the first one nothing can be on its way."""
    holding = lease.held(place.store(), JOB, place.window, is_removing=is_removing)
    with pytest.raises(KeyboardInterrupt), holding as permit:
        if has_asked:
            permit()
        raise KeyboardInterrupt
    document = place.store().get(KEY)
    assert document is not None
    assert (b'"released": true' in document.data) == is_released


def test_in_a_directory_the_lock_is_waited_for_visibly(world: World) -> None:
    place = MemoryPlace(world, "A", has_locks=True)
    said: list[str] = []
    first = start(place, "first", uses=3)
    world.run_until(first, "put_new", "data/")
    second = start(place, "second", on_wait=said.append)
    while not first.is_done:
        world.step(min([first, second], key=lambda process: process.ready_at))
    world.finish(second)
    assert second.error is None
    assert said == ["waiting for the maintenance lock of lab in A"]
    assert place.store().stat(KEY) is None


def plan(place: MemoryPlace, *keys: str) -> str:
    key = f"{layout.plans(JOB)}000001.json"
    place.store().put(key, DeletionPlan(JOB, place.world.now, keys).to_bytes())
    return key


def test_struck_keys_leave_the_plan_and_its_age_stays(place: MemoryPlace) -> None:
    key = plan(place, "data/a", "data/b", "data/c")
    made = place.world.now
    place.world.advance(30 * MINUTE)
    assert deletion_plan.strike(place.store(), JOB, {"data/a", "data/c", "data/x"}, lambda: place.world.now) == 2
    document = place.store().get(key)
    assert document is not None
    assert DeletionPlan.from_bytes(document.data, key) == DeletionPlan(JOB, made, ("data/b",), is_struck=True)


def test_a_strike_that_changes_nothing_writes_nothing(place: MemoryPlace) -> None:
    key = plan(place, "data/a")
    before = place.store().stat(key)
    place.world.advance(MINUTE)
    assert deletion_plan.strike(place.store(), JOB, {"data/x"}, lambda: place.world.now) == 0
    assert place.store().stat(key) == before


def test_a_damaged_plan_is_removed_where_something_is_struck(place: MemoryPlace) -> None:
    key = plan(place, "data/a")
    place.store().put(key, b"{}")
    assert deletion_plan.strike(place.store(), JOB, {"data/a"}, lambda: place.world.now) == 0
    assert place.store().get(key) is None


def test_nothing_is_struck_where_a_damaged_plan_must_stay(place: MemoryPlace, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: object, **__: object) -> None:
        raise DeniedError("Cannot delete it", "it is locked")

    place.store().put(plan(place, "data/a"), b"{}")
    monkeypatch.setattr(MemoryStore, "delete", denied)
    with pytest.raises(DamagedError):
        deletion_plan.strike(place.store(), JOB, {"data/a"}, lambda: place.world.now)
