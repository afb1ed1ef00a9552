# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import types

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import DamagedError, LifeboatError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host import copy_jobs
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.candidates import Holdings
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.copy_choice import Narrowing
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.place import Place
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.proving import prove
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository import binding, catalog, identity
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.catalog import Backup
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.directory import DirectoryStore
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.keep import Keep
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.proof import Standing
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.publish import Contents, Run
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.verify.drill_place import DrillPlace

FIRST, SECOND = "20261119T020000Z-0a1b2c", "20261120T020000Z-0a1b2c"
GOOD, UNPROVED, BAD = Standing(True, (), None), Standing(False, (), None), Standing(False, ("cut",), None)
Planned = collections.namedtuple("Planned", "request is_empty bytes")


def backup(backup_id, standing=GOOD):
    return Backup("lab", backup_id, types.SimpleNamespace(id=backup_id, flags=()), standing)


def place(name):
    return Place(name, types.SimpleNamespace(name=name))


@pytest.fixture
def world(monkeypatch):
    """Stand for repositories: what they hold, and a copier that notes what it is asked for."""
    state = types.SimpleNamespace(found={}, unreachable={}, copied=[], broken=set())

    def plan(request):
        if request.source.name in state.broken:
            raise DamagedError("Cannot read it", "it is cut")
        return Planned(request, False, 10)

    def run(planned, _say):
        request = planned.request
        state.copied.append((request.backup, request.source.name, request.target.name))
        return (types.SimpleNamespace(bytes=10),)

    monkeypatch.setattr(copy_jobs, "holdings", lambda job, _places: Holdings(job, state.found, state.unreachable))
    monkeypatch.setattr(copy_jobs.copy_run, "plan", plan)
    monkeypatch.setattr(copy_jobs.copy_run, "run", run)
    monkeypatch.setattr(copy_jobs.copy_run, "require_readable", lambda planned: None)
    monkeypatch.setattr(
        copy_jobs, "complete", lambda _source, _target, _job, manifests: frozenset(each.id for each in manifests)
    )
    return state


def request(backup_id="all", sources=("local", "site", "far"), targets=("local", "site", "far"), **more):
    places = tuple(map(place, ("local", "site", "far")))
    by_name = {each.name: each for each in places}
    chosen = [tuple(by_name[name] for name in names) for names in (sources, targets)]
    return copy_jobs.Request("lab", backup_id, places, chosen[0], chosen[1], **more)


def test_every_repository_gets_what_it_lacks_and_nothing_else(world):
    world.found = {"local": [backup(FIRST), backup(SECOND)], "site": [backup(FIRST)], "far": [backup(SECOND)]}
    result = copy_jobs.bring(request())
    assert world.copied == [(SECOND, "local", "site"), (FIRST, "local", "far")]
    assert result.problems == ()
    assert [(each.id, each.target, each.bytes) for each in result.copied] == [(SECOND, "site", 10), (FIRST, "far", 10)]


def test_a_backup_that_only_a_far_repository_has_comes_back_to_the_near_ones(world):
    world.found = {"local": [], "site": [], "far": [backup(FIRST)]}
    copy_jobs.bring(request())
    assert world.copied == [(FIRST, "far", "local"), (FIRST, "far", "site")]


def test_proved_copies_are_copied_from_first(world):
    world.found = {"local": [backup(FIRST, UNPROVED)], "site": [backup(FIRST)], "far": []}
    copy_jobs.bring(request(targets=("far",)))
    assert world.copied == [(FIRST, "site", "far")]


def test_a_source_that_cannot_be_read_is_passed_over(world):
    world.found, world.broken = {"local": [backup(FIRST)], "site": [backup(FIRST)], "far": []}, {"local"}
    result = copy_jobs.bring(request())
    assert world.copied == [(FIRST, "site", "far")]
    assert result.problems == ()


def test_a_backup_that_no_source_can_give_is_a_problem_and_the_others_are_copied(world):
    world.found = {"local": [backup(FIRST)], "site": [backup(SECOND)], "far": []}
    world.broken = {"local"}
    result = copy_jobs.bring(request(targets=("far",)))
    assert world.copied == [(SECOND, "site", "far")]
    assert result.problems == (f"{FIRST} is not in far: Cannot read it: it is cut",)


@pytest.mark.parametrize("proof", ["content", "none"])
def test_a_damaged_copy_is_replaced(world, proof):
    world.found = {"local": [backup(FIRST, BAD)], "site": [backup(FIRST)], "far": [backup(FIRST)]}
    copy_jobs.bring(request(proof=proof))
    assert world.copied == [(FIRST, "site", "local")]


def test_a_damaged_copy_that_nobody_else_has_is_a_problem(world):
    world.found = {"local": [backup(FIRST, BAD)], "site": [], "far": []}
    result = copy_jobs.bring(request(targets=("local",)))
    assert world.copied == []
    assert "no other repository has a copy that can be read" in result.problems[0]


def test_a_repository_that_does_not_answer_is_a_problem_and_the_others_are_served(world):
    world.found, world.unreachable = {"local": [backup(FIRST)], "far": []}, {"site": "it is away"}
    result = copy_jobs.bring(request())
    assert world.copied == [(FIRST, "local", "far")]
    assert result.problems == ("site cannot be used: it is away",)


def test_a_repository_that_was_not_asked_for_may_be_away(world):
    world.found, world.unreachable = {"local": [backup(FIRST)], "far": []}, {"site": "it is away"}
    assert copy_jobs.bring(request(sources=("local",), targets=("far",))).problems == ()


@pytest.mark.parametrize(("proof", "copies"), [("content", 1), ("none", 0)])
def test_an_unproved_copy_is_proved_only_where_proof_is_wanted(world, proof, copies):
    world.found = {"local": [backup(FIRST)], "site": [backup(FIRST, UNPROVED)], "far": [backup(FIRST)]}
    copy_jobs.bring(request(proof=proof))
    assert len(world.copied) == copies


def test_only_the_wanted_backup_is_copied(world):
    world.found = {"local": [backup(FIRST), backup(SECOND)], "site": [], "far": []}
    copy_jobs.bring(request("latest", targets=("site",)))
    copy_jobs.bring(request(FIRST, targets=("site",)))
    assert world.copied == [(SECOND, "local", "site"), (FIRST, "local", "site")]


def test_a_dry_run_copies_nothing_and_says_what_it_would(world):
    world.found = {"local": [backup(FIRST)], "site": [], "far": [backup(FIRST)]}
    result = copy_jobs.bring(request(), dry_run=True)
    assert world.copied == []
    assert [(each.id, each.source, each.target, each.bytes) for each in result.copied] == [(FIRST, "local", "site", 10)]


def test_nothing_to_copy_from_is_a_failure(world):
    world.found = {"local": [], "site": []}
    with pytest.raises(LifeboatError, match="no repository has a readable one"):
        copy_jobs.bring(request())


def test_what_a_repository_would_drop_at_once_is_not_brought(world):
    days = [f"202611{day:02d}T020000Z-0a1b2c" for day in range(1, 8)]
    moment = dt.datetime(2026, 11, 8, tzinfo=dt.timezone.utc)
    world.found = {"local": [backup(each) for each in days], "site": [], "far": []}
    asked = request(targets=("site", "far"), keep={"site": Keep(last=2)})
    places = [
        dataclasses.replace(each, store=types.SimpleNamespace(name=each.name, now=lambda: moment))
        for each in asked.targets
    ]
    copy_jobs.bring(dataclasses.replace(asked, targets=tuple(places)))
    assert [copied for copied in world.copied if copied[2] == "site"] == [(each, "local", "site") for each in days[5:]]
    assert len([copied for copied in world.copied if copied[2] == "far"]) == 7
    world.copied.clear()
    world.found["site"] = [backup(each) for each in days[5:]]
    result = copy_jobs.bring(dataclasses.replace(asked, targets=tuple(places[:1]), backup=days[0]))
    assert not world.copied and "does not keep it" in result.problems[0]


def test_tiers_and_ages_are_those_of_each_target(world):
    days = [f"202611{day:02d}T020000Z-0a1b2c" for day in range(1, 8)]
    moment = dt.datetime(2026, 11, 8, tzinfo=dt.timezone.utc)
    world.found = {"local": [backup(each) for each in days], "site": [backup(days[2])], "far": []}
    asked = request(targets=("site", "far"), narrowing=Narrowing("monthly", min_age=dt.timedelta(days=3)))
    places = [
        dataclasses.replace(each, store=types.SimpleNamespace(name=each.name, now=lambda: moment))
        for each in asked.targets
    ]
    copy_jobs.bring(dataclasses.replace(asked, targets=tuple(places)))
    assert world.copied == [(days[3], "local", "far")]


def test_a_copy_with_another_manifest_is_looked_at_and_never_taken_for_the_same(world):
    other = backup(FIRST)
    other.manifest.flags = ("somebody else wrote it",)
    world.found = {"local": [backup(FIRST)], "site": [other], "far": []}
    copy_jobs.bring(request(targets=("site",)))
    assert world.copied == [(FIRST, "local", "site")]  # where the copier refuses


@pytest.fixture
def real(tmp_path):
    """Make repositories `near` and `far` in directories, and a job that has them."""
    places = []
    for name in ("near", "far"):
        (tmp_path / name).mkdir()
        store = DirectoryStore(str(tmp_path / name))
        identity.initialise(store)
        places.append(Place(name, store))
    return copy_jobs.Request("lab", "all", tuple(places), tuple(places), tuple(places))


def back_up(store):
    binding.bind(store, "lab", "minio", {"server": "lab"})
    run = Run(store, "lab")
    run.store_file("iam.zip", "iam", [b"all of it"], "none")
    manifest = run.publish(Contents("minio", {}, {}, {}))
    run.close()
    prove(store, manifest, "content", DrillPlace())
    return manifest


def test_a_stored_file_that_is_gone_from_a_proved_copy_is_brought_again(real):
    near, far = (each.store for each in real.places)
    first, second = back_up(near), back_up(near)
    assert len(copy_jobs.bring(real).copied) == 2
    assert copy_jobs.bring(real) == copy_jobs.Result((), ())
    lost = f"data/lab/{first.id}/iam.zip"
    far.delete(lost)
    brought = copy_jobs.bring(real)
    assert [(each.id, each.target, each.bytes) for each in brought.copied] == [(first.id, "far", 9)]
    assert brought.problems == () and b"".join(far.read(lost)) == b"all of it"
    assert [each.is_good for each in catalog.backups(far, "lab")] == [True, True]
    for store in (near, far):
        store.delete(f"data/lab/{second.id}/iam.zip")
    problems = [words.partition(":")[0] for words in copy_jobs.bring(real).problems]
    assert problems == [f"{second.id} is not in {each}" for each in ("near", "far")]
