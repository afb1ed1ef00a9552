# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Random schedules of runs, copies, removals, proofs and restores, with faults at every request.

LIFEBOAT_SOAK_EXAMPLES=5000 makes this a long search. Random search alone finds few of the losses that the protocol
prevents: the traces by hand are the other half.
"""

from __future__ import annotations

import os
import pathlib
import typing as t

import pytest
from ansible_collections.lifeboat.recovery.tests.unit.plugins.module_utils._engine.repository import (
    actors,
    simple_streams,
)
from ansible_collections.lifeboat.recovery.tests.unit.plugins.module_utils._engine.repository.memory_store import (
    MemoryPlace,
    Place,
)
from ansible_collections.lifeboat.recovery.tests.unit.plugins.module_utils._engine.repository.setting import (
    DAY,
    HOUR,
    MINUTE,
    Setting,
    made,
)
from ansible_collections.lifeboat.recovery.tests.unit.plugins.module_utils._engine.repository.simulation import (
    Process,
    Request,
    Sleep,
    World,
)
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

EXAMPLES = int(os.environ.get("LIFEBOAT_SOAK_EXAMPLES", "0"))
_MOST_AT_ONCE = 4
_MOST_BACKUPS = 8
_TIMES = [MINUTE, 14 * MINUTE, 20 * MINUTE, 31 * MINUTE, HOUR, 2 * HOUR, 20 * HOUR, 25 * HOUR, 50 * HOUR, 8 * DAY]
pytestmark = pytest.mark.usefixtures("_streams")
_STEPS = st.sampled_from([1, 1, 2, 5, 10, 30, 200])


@pytest.fixture
def _streams() -> t.Iterator[None]:
    with simple_streams.in_place():
        yield


class Schedules(RuleBasedStateMachine):
    """Two repositories of any kinds, a few processes at a time, and a fault wherever Hypothesis likes one."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.world.__enter__()
        self.setting: Setting
        self.number = 0

    @initialize(
        kinds=st.tuples(*[st.sampled_from(["bucket", "versioned", "md5", "directory"])] * 2),
        seed=st.integers(0, 1000),
        runs=st.integers(0, 2),
    )
    def begin(self, kinds: tuple[str, str], seed: int, runs: int) -> None:
        self.world.random.seed(seed)
        places = [
            MemoryPlace(
                self.world,
                name,
                is_versioned=kind == "versioned",
                has_content_etags=kind == "md5",
                has_locks=kind == "directory",
            )
            for name, kind in zip("AB", kinds)
        ]
        self.setting = Setting(self.world, places[0], places[1])
        for _run in range(runs):
            self.setting.back_up()

    # What begins

    def _begin(self, name: str, work: t.Callable[[Process], t.Any]) -> None:
        self.number += 1
        self.world.start(f"{name} {self.number}", work)

    @property
    def _alive(self) -> list[Process]:
        return [process for process in self.world.processes if not process.is_done]

    def _has_room(self) -> bool:
        return len(self._alive) < _MOST_AT_ONCE

    def _place(self, is_first: bool) -> Place:
        return self.setting.a if is_first else self.setting.b

    @precondition(_has_room)
    @rule(is_first=st.booleans(), pause=st.sampled_from([MINUTE, HOUR, 30 * HOUR]), shares=st.booleans())
    def run(self, is_first: bool, pause: t.Any, shares: bool) -> None:
        if len(self.setting.ids(self._place(is_first))) < _MOST_BACKUPS:
            places = self.setting.both if is_first else self.setting.both[::-1]
            self._begin("run", lambda process: actors.back_up(process, places, [pause], shares))

    @precondition(_has_room)
    @rule(is_first=st.booleans(), keep=st.sampled_from([2, 2, 3, 100]))
    def prune(self, is_first: bool, keep: int) -> None:
        self.number += 1
        self.setting.start_prune(self._place(is_first), f"prune {self.number}", keep)

    @precondition(_has_room)
    @rule(is_first=st.booleans(), choice=st.integers(0, _MOST_BACKUPS))
    def remove(self, is_first: bool, choice: int) -> None:
        ids = self.setting.ids(self._place(is_first))
        if ids:
            self.number += 1
            wanted = ids[choice % len(ids)]
            self.setting.start_removal(self._place(is_first), wanted, False, f"removal {self.number}")

    @precondition(_has_room)
    @rule(is_first=st.booleans(), choice=st.integers(0, _MOST_BACKUPS))
    def copy(self, is_first: bool, choice: int) -> None:
        source, target = self._place(is_first), self._place(not is_first)
        ids = self.setting.ids(source)
        if ids:
            wanted = ids[choice % len(ids)]
            self._begin("copy", lambda process: actors.copy_in(process, source, target, wanted))

    @precondition(_has_room)
    @rule(is_first=st.booleans())
    def verify(self, is_first: bool) -> None:
        self._begin("verification", lambda process: actors.verify(process, self._place(is_first)))

    @precondition(_has_room)
    @rule(is_first=st.booleans(), pause=st.sampled_from([MINUTE, HOUR, 2 * HOUR]))
    def restore(self, is_first: bool, pause: t.Any) -> None:
        self._begin("restore", lambda process: actors.restore(process, self._place(is_first), pause=pause))

    # What happens to it

    def _chosen(self, choice: int) -> Process | None:
        alive = self._alive
        return alive[choice % len(alive)] if alive else None

    def _at_request(self, choice: int) -> Process | None:
        """Return a process that waits for a bucket to change something: there alone requests are lost or late."""
        process = self._chosen(choice)
        found = process.pending if process else None
        return process if isinstance(found, Request) and found.is_change and found.window is not None else None

    @rule(choice=st.integers(0, _MOST_AT_ONCE), steps=_STEPS)
    def go_on(self, choice: int, steps: int) -> None:
        process = self._chosen(choice)
        for _step in range(steps):
            if process is None or process.is_done:
                break
            self.world.step(process)

    @rule(choice=st.integers(0, _MOST_AT_ONCE), changes=st.sampled_from([1, 2, 3, 5, 9]))
    def come_to_a_change(self, choice: int, changes: int) -> None:
        process = self._chosen(choice)
        while process is not None and not process.is_done:
            if isinstance(process.pending, Request) and process.pending.is_change:
                changes -= 1
                if changes == 0:
                    break
            if isinstance(process.pending, Sleep) and process.ready_at > self.world.now + HOUR:
                break
            self.world.step(process)

    @rule(time=st.sampled_from(_TIMES))
    def let_time_pass(self, time: t.Any) -> None:
        self.world.advance(time)

    @rule(choice=st.integers(0, _MOST_AT_ONCE), time=st.sampled_from(_TIMES))
    def freeze(self, choice: int, time: t.Any) -> None:
        process = self._chosen(choice)
        if process is not None:
            process.frozen_until = self.world.now + time

    @rule(choice=st.integers(0, _MOST_AT_ONCE))
    def lose_a_request(self, choice: int) -> None:
        process = self._at_request(choice)
        if process is not None:
            self.world.lose_request(process)

    @rule(choice=st.integers(0, _MOST_AT_ONCE))
    def lose_an_answer(self, choice: int) -> None:
        process = self._at_request(choice)
        if process is not None:
            self.world.lose_answer(process)

    @rule(choice=st.integers(0, _MOST_AT_ONCE), time=st.sampled_from(_TIMES[:3]), is_repeated=st.booleans())
    def delay_a_request(self, choice: int, time: t.Any, is_repeated: bool) -> None:
        process = self._at_request(choice)
        if process is not None and isinstance(process.pending, Request):
            process.frozen_until = self.world.now
            self.world.delay(process, time, is_repeated and process.pending.is_repeatable)

    @rule(choice=st.integers(0, _MOST_AT_ONCE))
    def crash(self, choice: int) -> None:
        process = self._chosen(choice)
        if process is not None:
            self.world.crash(process)

    @rule(name=st.sampled_from("AB"))
    def go_away(self, name: str) -> None:
        self.world.is_down.add(name)

    @rule()
    def come_back(self) -> None:
        self.world.is_down.clear()

    # What must be true in the end

    def teardown(self) -> None:
        try:
            if hasattr(self, "setting"):
                self._check_the_end()
        finally:
            self.world.__exit__()

    def _check_the_end(self) -> None:
        self.world.is_down.clear()
        for process in self._alive:
            self.world.crash(process)
        _settle(self.setting)


def test_no_schedule_of_processes_and_faults_breaks_a_promise() -> None:
    run_state_machine_as_test(
        Schedules,
        settings=settings(
            max_examples=EXAMPLES or 25,
            stateful_step_count=40,
            deadline=None,
            derandomize=not EXAMPLES,
            database=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate, Phase.shrink] if EXAMPLES else [Phase.generate],
        ),
    )


@pytest.mark.parametrize("kind", ["bucket", "versioned bucket", "directory"])
def test_random_interleavings_of_everything_keep_every_good_backup(kind: str, tmp_path: pathlib.Path) -> None:
    for seed in range(EXAMPLES or 10):
        (tmp_path / str(seed)).mkdir()
        with made(kind, tmp_path / str(seed)) as setting:
            setting.world.random.seed(seed)
            setting.watch.is_verified_min_kept = False  # some removals are forced
            _prepare(setting)
            _interleave(setting)
            _settle(setting)


def _prepare(setting: Setting) -> None:
    """Make some backups, and some garbage with a plan that is nearly or just old enough."""
    random = setting.world.random
    for _run in range(random.choice([1, 2, 3])):
        setting.back_up(shares=random.random() < 0.8)
    for _removal in range(random.choice([0, 1, 2])):
        place = random.choice(setting.both)
        if setting.ids(place):
            setting.remove(place, random.choice(setting.ids(place)))
    if random.random() < 0.6:
        setting.prune(random.choice(setting.both))
        setting.world.advance(random.choice([0, 20, 23.5, 25, 26]) * HOUR)


def _interleave(setting: Setting) -> None:
    """Freeze one or two processes at any request, let others do all their work meanwhile, and let the frozen go on.

    Most known losses have this form.
    """
    world, random = setting.world, setting.world.random
    frozen: list[Process] = []
    for number in range(random.choice([1, 2])):
        process = _any_process(setting, f"frozen {number}")
        _come_somewhere(setting, process)
        _any_fault(setting, process)
        frozen.append(process)
        for other in range(random.choice([1, 2, 3, 4])):
            world.advance(random.choice([0, 0, 0.2, 0.9, 1.1, 25, 25, 50, 192]) * HOUR)
            world.finish(_any_process(setting, f"other {number}.{other}"))
    random.shuffle(frozen)
    for process in frozen:
        world.finish(process)
        world.advance(random.choice([0, 0, 0, 1.1, 25]) * HOUR)


def _come_somewhere(setting: Setting, process: Process) -> None:
    """Let a process go on to any of its requests; those that change something are likelier."""
    random = setting.world.random
    left = random.randrange(1, 16)
    is_counting_changes = random.random() < 0.7
    while left and not process.is_done:
        is_change = isinstance(process.pending, Request) and process.pending.is_change
        left -= is_change or not is_counting_changes
        if left:
            setting.world.step(process)


def _any_fault(setting: Setting, process: Process) -> None:
    world, chance = setting.world, setting.world.random.random()
    found = process.pending
    if chance < 0.05:
        world.crash(process)
    elif isinstance(found, Request) and found.is_change and found.window is not None:
        if chance < 0.1:
            world.lose_request(process)
        elif chance < 0.2:
            world.lose_answer(process)
        elif chance < 0.5:
            world.delay(process, world.random.choice(_TIMES[:3]), found.is_repeatable and chance < 0.3)


def _settle(setting: Setting) -> None:
    """Make sure that nothing is lost, that the next run succeeds, and that garbage goes."""
    setting.world.advance(20 * MINUTE)
    setting.watch.check_good_backups()
    result = setting.back_up()
    assert not result.problems, result.problems
    for place in setting.both:
        assert setting.restore(place, result.id)
        setting.prune(place, keep=3)
    setting.collect_garbage()
    setting.watch.check_good_backups()


def _any_process(setting: Setting, name: str) -> Process:
    random = setting.world.random
    place, other = setting.both if random.random() < 0.8 else setting.both[::-1]
    wanted = random.choice(setting.ids(place) or ["20261101T000000Z-000000"])
    brought = random.choice(setting.ids(other) or [wanted])
    keep = random.choice([2, 3, 100, 100])
    starts: list[tuple[int, t.Callable[[], Process]]] = [
        (3, lambda: setting.start_run(place, name=f"run, {name}", pauses=[HOUR])),
        (1, lambda: setting.start_run(place, other, name=f"run, {name}", pauses=[HOUR, 20 * HOUR])),
        (5, lambda: setting.start_prune(place, f"prune, {name}", keep)),
        (2, lambda: setting.start_removal(place, wanted, random.random() < 0.3, f"removal, {name}")),
        (3, lambda: setting.start_copy(other, place, brought)),
        (1, lambda: setting.world.start(f"verify, {name}", lambda process: actors.verify(process, place))),
        (
            1,
            lambda: setting.world.start(f"restore, {name}", lambda process: actors.restore(process, place, pause=HOUR)),
        ),
    ]
    return random.choices([start for _weight, start in starts], [weight for weight, _start in starts])[0]()
