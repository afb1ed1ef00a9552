# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who a repository is, what its server can do, and which source a job is bound to."""

from __future__ import annotations

import datetime as dt
import pathlib
import typing as t

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import DamagedError, GuardRefusal
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository import (
    binding,
    identity,
    json_document,
    layout,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.directory import DirectoryStore
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.store import UnavailableError
from ansible_collections.lifeboat.recovery.tests.unit.plugins.module_utils._engine.repository.memory_store import (
    MemoryPlace,
    Place,
)
from ansible_collections.lifeboat.recovery.tests.unit.plugins.module_utils._engine.repository.simulation import World

HOUR = dt.timedelta(hours=1)
SOURCE = {"system_identifier": "7431", "database": "lab"}


@pytest.fixture
def world() -> t.Iterator[World]:
    with World() as world:
        yield world


@pytest.fixture
def place(world: World) -> MemoryPlace:
    return MemoryPlace(world, "A")


def initialised(place: Place) -> identity.Identity:
    """Make a repository in a simulated process: only there do signatures become old."""
    world = t.cast(MemoryPlace, place).world
    return t.cast(
        identity.Identity, world.do("initialisation", lambda process: identity.initialise(place.store(process)))
    )


def keys(place: Place) -> list[str]:
    return [entry.key for entry in place.store().entries("")]


@pytest.mark.parametrize(
    ("accepted", "recorded"),
    [
        (dt.timedelta(minutes=5), dt.timedelta(minutes=15)),
        (dt.timedelta(minutes=15), dt.timedelta(minutes=15)),
        (24 * HOUR, 24 * HOUR),
        (7 * 24 * HOUR, 7 * 24 * HOUR),
        (365 * 24 * HOUR, 7 * 24 * HOUR),
    ],
)
def test_the_signature_window_of_a_server_is_found_out(
    world: World, accepted: dt.timedelta, recorded: dt.timedelta
) -> None:
    place = MemoryPlace(world, "A", window=accepted)
    assert initialised(place).signature_window == recorded
    assert keys(place) == [layout.IDENTITY]


def test_a_directory_has_no_window(world: World) -> None:
    assert initialised(MemoryPlace(world, "A", has_locks=True)).signature_window == dt.timedelta(0)


@pytest.mark.parametrize("has_conditions", [True, False])
def test_it_is_found_out_whether_a_server_honours_conditions(world: World, has_conditions: bool) -> None:
    place = MemoryPlace(world, "A", has_conditions=has_conditions)
    assert initialised(place).has_conditional_writes == has_conditions


def test_probes_leave_no_version_behind(world: World) -> None:
    place = MemoryPlace(world, "A", is_versioned=True)
    initialised(place)
    assert [version.entry.key for version in place.store().versions("")] == [layout.IDENTITY]


def test_a_repository_is_made_once(place: MemoryPlace) -> None:
    made = initialised(place)
    assert initialised(place) == made == identity.require(place.store(), made.repository)


def test_two_that_make_a_repository_at_once_get_the_same(place: MemoryPlace) -> None:
    both = [place.world.start(name, lambda p: identity.initialise(place.store(p))) for name in ("first", "second")]
    while not all(process.is_done for process in both):
        for process in both:
            if not process.is_done:
                place.world.step(process)
    assert [process.error for process in both] == [None, None]
    assert both[0].result == both[1].result == identity.find(place.store())
    assert keys(place) == [layout.IDENTITY]


@pytest.mark.parametrize("fault", ["crash", "lose_request", "lose_answer"])
def test_after_a_fault_at_any_request_a_repository_can_still_be_made(world: World, fault: str) -> None:
    for number in range(30):
        place = MemoryPlace(world, f"A{number}")
        process = world.start("first", lambda p, place=place: identity.initialise(place.store(p)))
        for _step in range(number):
            if not process.is_done:
                world.step(process)
        if process.is_done:
            break
        getattr(world, fault)(process)
        world.finish(process)
        assert initialised(place) == identity.require(place.store())
    assert number > 8


def test_a_place_with_something_else_in_it_is_refused(place: MemoryPlace) -> None:
    place.store().put("photos/cat.png", b"")
    with pytest.raises(GuardRefusal, match="something else is there: photos/cat.png") as refused:
        initialised(place)
    assert refused.value.guard == "repository"
    assert keys(place) == ["photos/cat.png"]


def test_a_place_without_repository_is_refused(place: MemoryPlace) -> None:
    with pytest.raises(GuardRefusal, match="there is no repository"):
        identity.require(place.store())


def test_another_repository_than_the_wanted_one_is_refused(place: MemoryPlace) -> None:
    initialised(place)
    with pytest.raises(GuardRefusal, match="not 0"):
        identity.require(place.store(), "0")


def test_an_unmounted_directory_is_not_taken_for_an_empty_place(tmp_path: pathlib.Path) -> None:
    store = DirectoryStore(str(tmp_path / "mnt"))
    with pytest.raises(UnavailableError):
        identity.initialise(store)
    with pytest.raises(UnavailableError):
        identity.require(store)
    (tmp_path / "mnt").mkdir()  # the mount point, without its file system
    with pytest.raises(GuardRefusal):
        identity.require(store)


def test_a_repository_can_be_made_in_a_directory(tmp_path: pathlib.Path) -> None:
    store = DirectoryStore(str(tmp_path))
    made = identity.initialise(store)
    assert made == identity.require(store)
    assert made.has_conditional_writes


@pytest.mark.parametrize(
    "change",
    [
        {"repository": "me"},
        {"created": 5},
        *({"signature_window_s": value} for value in (None, -1, 10**30)),  # it is part of the grace of garbage
    ],
)
def test_a_damaged_identity_is_refused(place: MemoryPlace, change: dict[str, t.Any]) -> None:
    initialised(place)
    document = place.store().get(layout.IDENTITY)
    assert document is not None
    fields = json_document.decoded(document.data, "it")
    place.store().put(layout.IDENTITY, json_document.encoded({**fields, **change}))
    with pytest.raises(DamagedError):
        identity.require(place.store())
    place.store().put(layout.IDENTITY, b"")
    with pytest.raises(DamagedError):
        identity.require(place.store())


# The source of a job


def test_a_job_is_bound_at_its_first_run_and_stays_bound(place: MemoryPlace) -> None:
    for _run in range(2):
        binding.bind(place.store(), "lab", "pg_database", SOURCE)
    binding.check(place.store(), "lab", "pg_database", SOURCE)
    binding.check(place.store(), "other", "pg_database", SOURCE)
    assert len(list(place.store().versions(layout.JOBS))) == 1


@pytest.mark.parametrize(
    ("kind", "source"), [("pg_database", {**SOURCE, "system_identifier": "1"}), ("pg_cluster", SOURCE)]
)
def test_another_source_for_a_job_is_refused(place: MemoryPlace, kind: str, source: dict[str, str]) -> None:
    binding.bind(place.store(), "lab", "pg_database", SOURCE)
    for refuse in (binding.bind, binding.check):
        with pytest.raises(GuardRefusal, match="bound to pg_database database=lab system_identifier=7431") as refused:
            refuse(place.store(), "lab", kind, source)
        assert refused.value.guard == "source"


def test_a_job_can_be_bound_anew_on_purpose(place: MemoryPlace) -> None:
    binding.bind(place.store(), "lab", "pg_database", SOURCE)
    other = {**SOURCE, "system_identifier": "1"}
    binding.bind(place.store(), "lab", "pg_database", other, rebind=True)
    binding.bind(place.store(), "lab", "pg_database", other)
    with pytest.raises(GuardRefusal):
        binding.bind(place.store(), "lab", "pg_database", SOURCE)


def test_two_first_runs_of_different_sources_bind_the_job_to_one(place: MemoryPlace) -> None:
    sources = [SOURCE, {**SOURCE, "system_identifier": "1"}]
    both = [
        place.world.start(
            f"run {number}",
            lambda process, source=source: binding.bind(place.store(process), "lab", "pg_database", source),
        )
        for number, source in enumerate(sources)
    ]
    for process in both:
        place.world.run_until(process, "put_new")
    for process in both:
        place.world.finish(process)
    assert both[0].error is None
    assert isinstance(both[1].error, GuardRefusal)
