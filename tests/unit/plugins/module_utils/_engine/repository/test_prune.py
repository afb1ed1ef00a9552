# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Prunes of one repository, without faults: what goes, when, and what never does."""

from __future__ import annotations

import dataclasses
import datetime as dt
import pathlib
import typing as t
import unittest.mock

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine import clock
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import (
    DamagedError,
    GuardRefusal,
    LifeboatError,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository import (
    acknowledgement,
    delete,
    hold,
    layout,
    lease,
    prune,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.deletion_plan import (
    DeletionPlan,
    strike,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.keep import Keep
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.publish import Run
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.store import DeniedError, Store
from ansible_collections.lifeboat.recovery.tests.unit.plugins.module_utils._engine.repository import actors
from ansible_collections.lifeboat.recovery.tests.unit.plugins.module_utils._engine.repository.actors import JOB
from ansible_collections.lifeboat.recovery.tests.unit.plugins.module_utils._engine.repository.memory_store import (
    MemoryPlace,
    Place,
)
from ansible_collections.lifeboat.recovery.tests.unit.plugins.module_utils._engine.repository.setting import (
    DAY,
    HOUR,
    Setting,
    data_keys,
    made,
    manifest_key,
)
from ansible_collections.lifeboat.recovery.tests.unit.plugins.module_utils._engine.repository.simulation import World

KILLED = "20261101T000000Z-0000aa"
LAST_TWO = Keep(last=2)


def backups(setting: Setting, count: int, shares: bool = False) -> list[str]:
    """Make proved backups in A, one a day; return their ids."""
    ids = []
    for _day in range(count):
        ids.append(setting.back_up(setting.a, shares=shares).id)
        setting.world.advance(DAY)
    return ids


def pruned(setting: Setting, keep: Keep | None = LAST_TWO, **options: t.Any) -> prune.PruneResult:
    options.setdefault("force", True)
    return prune.prune(setting.a.store(), prune.PruneRequest(JOB, keep, **options), setting.a.window)


def planned(setting: Setting, keep: Keep | None = LAST_TWO, **options: t.Any) -> prune.PrunePlan:
    options.setdefault("force", True)
    return prune.plan(setting.a.store(), prune.PruneRequest(JOB, keep, **options), setting.a.window)


def flagged_backup(store: Store) -> str:
    return proved_backup(store, flags=("mass_delete: nearly all is gone",))


def proved_backup(store: Store, flags: tuple[str, ...] = ()) -> str:
    run = Run(store, JOB)
    run.store_file("dump", "dump", [b"doubtful"], "none")
    manifest = run.publish(dataclasses.replace(actors.CONTENTS, flags=flags))
    actors.prove(store, manifest)
    run.close()
    return manifest.id


def left_by_a_killed_run(setting: Setting, name: str = "dump") -> str:
    key = layout.data(JOB, KILLED, name)
    setting.a.store().put(key, b"half a dump")
    return key


def test_a_plan_that_cannot_be_read_keeps_no_backup_from_going(anywhere: Setting) -> None:
    ids = backups(anywhere, 4)
    key = left_by_a_killed_run(anywhere)
    store, damaged = anywhere.a.store(), f"{layout.plans(JOB)}000009.json"
    store.put(damaged, b"{")
    assert pruned(anywhere).removed == tuple(ids[:2])
    assert store.get(damaged) is None
    anywhere.world.advance(2 * DAY)
    pruned(anywhere)
    assert store.get(key) is None


def test_a_plan_that_cannot_be_read_is_something_to_do(anywhere: Setting) -> None:
    backups(anywhere, 2)
    pruned(anywhere)
    store, damaged = anywhere.a.store(), f"{layout.plans(JOB)}000009.json"
    assert planned(anywhere).is_empty
    store.put(damaged, b"{")
    assert not planned(anywhere).is_empty
    pruned(anywhere)
    assert store.get(damaged) is None


def test_a_strange_name_among_the_plans_is_no_obstacle(anywhere: Setting) -> None:
    key = left_by_a_killed_run(anywhere)
    anywhere.a.store().put(f"{layout.plans(JOB)}of-somebody-else.json", b"{}")
    assert pruned(anywhere).planned == 1
    anywhere.world.advance(2 * DAY)
    pruned(anywhere)
    assert anywhere.a.store().get(key) is None


def test_a_hold_that_a_delete_marker_hides_is_the_one_that_was_placed(tmp_path: pathlib.Path) -> None:
    with made("versioned bucket", tmp_path) as setting:
        ids = backups(setting, 4)
        store, key = setting.a.store(), layout.hold(JOB, ids[0])
        until = store.now() + 30 * DAY
        with lease.held(store, JOB, setting.a.window, 0) as permit:
            placed = hold.place(store, JOB, ids[0], "an audit", until, permit)
        store.delete(key)
        assert store.get(key) is None
        assert hold.read(store, JOB) == {ids[0]: placed}
        assert pruned(setting).removed == (ids[1],)
        setting.world.advance(31 * DAY)
        assert pruned(setting).removed == (ids[0],)


def test_expired_backups_go_at_once_and_their_files_a_day_later(anywhere: Setting) -> None:
    ids = backups(anywhere, 4)
    result = pruned(anywhere)
    assert result.removed == tuple(ids[:2])
    assert anywhere.good_ids(anywhere.a) == ids[2:]
    assert anywhere.keys(anywhere.a, data_keys(ids[0]))
    assert result.planned == len(anywhere.keys(anywhere.a, data_keys(ids[0]))) * 2
    anywhere.world.advance(23 * HOUR)
    assert pruned(anywhere).files == 0
    anywhere.world.advance(2 * HOUR)
    assert pruned(anywhere).files == result.planned
    left = {key.split("/")[2] for key in anywhere.keys(anywhere.a, data_keys())}
    assert left == set(ids[2:])
    assert not anywhere.keys(anywhere.a, layout.verified(JOB, ids[0]))
    assert not anywhere.keys(anywhere.a, layout.plans(JOB))
    for backup_id in ids[2:]:
        assert anywhere.restore(anywhere.a, backup_id)


def test_a_plan_says_what_a_prune_does_and_afterwards_nothing_is_left_to_do(anywhere: Setting) -> None:
    ids = backups(anywhere, 4, shares=True)
    left_by_a_killed_run(anywhere)
    before = planned(anywhere)
    assert not before.is_empty
    assert before.retention.removable == tuple(ids[:2])
    result = pruned(anywhere)
    assert (result.removed, result.planned) == (before.retention.removable, len(before.garbage))
    assert planned(anywhere).is_empty
    anywhere.world.advance(25 * HOUR)
    due = planned(anywhere)
    assert due.due == before.garbage
    assert due.due_bytes == before.garbage_bytes
    assert pruned(anywhere).files == len(due.due)
    assert planned(anywhere).is_empty


def test_files_that_a_later_backup_needs_outlive_the_backup_that_wrote_them(anywhere: Setting) -> None:
    ids = backups(anywhere, 5, shares=True)
    for _prune in range(3):
        pruned(anywhere)
        anywhere.world.advance(25 * HOUR)
    assert anywhere.good_ids(anywhere.a) == ids[3:]
    assert anywhere.keys(anywhere.a, data_keys(f"{ids[2]}/pack"))
    assert not anywhere.keys(anywhere.a, data_keys(f"{ids[2]}/dump"))
    for backup_id in ids[3:]:
        assert anywhere.restore(anywhere.a, backup_id)


@pytest.mark.parametrize("shares", [False, True])
@pytest.mark.parametrize("is_cut", [False, True])
def test_a_backup_of_which_a_stored_file_is_gone_or_cut_short_takes_the_place_of_no_other(
    anywhere: Setting, is_cut: bool, shares: bool
) -> None:
    ids = backups(anywhere, 5, shares)
    key = data_keys(f"{ids[3]}/{'pack-0' if shares else 'dump'}")
    whole = b"".join(anywhere.a.store().read(key))
    anywhere.lose(anywhere.a, key)
    if is_cut:
        anywhere.a.store().put(key, whole[:-1])
    good = ids[1:3] if shares else [ids[2], ids[4]]  # the newest one needs the pack
    assert planned(anywhere).lost == (tuple(ids[3:]) if shares else (ids[3],))
    assert pruned(anywhere).removed == tuple(ids[: ids.index(good[0])])
    for backup_id in good:
        assert anywhere.restore(anywhere.a, backup_id)


def test_a_backup_of_which_a_stored_file_is_hidden_by_a_delete_marker_takes_the_place_of_no_other() -> None:
    with World() as world:
        setting = Setting(world, *(MemoryPlace(world, name, is_versioned=True) for name in "AB"))
        ids = backups(setting, 5)
        for key in (data_keys(f"{backup_id}/dump") for backup_id in ids[3:]):
            setting.watch.damaged.add((setting.a.name, key))
            setting.a.store().delete(key)
        result = pruned(setting)
        assert (result.plan.lost, result.removed) == (tuple(ids[3:]), (ids[0],))
        assert all(setting.restore(setting.a, backup_id) for backup_id in ids[1:3])


def test_sums_that_are_gone_and_files_that_came_after_the_listing_make_no_backup_worse(
    anywhere: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = backups(anywhere, 4)
    anywhere.lose(anywhere.a, data_keys(f"{ids[3]}/{layout.SUMS}"))
    listing = prune.garbage.listing

    def early(store: Store, prefix: str) -> t.Mapping[str, t.Any]:
        return {key: versions for key, versions in listing(store, prefix).items() if ids[2] not in key}

    monkeypatch.setattr(prune.garbage, "listing", early)
    found = planned(anywhere)
    assert (found.retention.removable, found.lost) == (tuple(ids[:2]), ())


def test_without_retention_only_garbage_goes(anywhere: Setting) -> None:
    ids = backups(anywhere, 3)
    junk = left_by_a_killed_run(anywhere)
    pruned(anywhere, None)
    anywhere.world.advance(25 * HOUR)
    pruned(anywhere, None)
    assert anywhere.good_ids(anywhere.a) == ids
    assert not anywhere.keys(anywhere.a, junk)


def test_what_lies_under_the_id_of_a_run_stays_until_a_day_after_its_intent_was_buried(anywhere: Setting) -> None:
    junk = left_by_a_killed_run(anywhere)
    intent = layout.intent(JOB, KILLED)
    anywhere.a.store().put_new(intent, b"not even readable")
    touched(anywhere.a, intent, anywhere.world.now)
    for _prune in range(2):
        anywhere.world.advance(3 * DAY)
        pruned(anywhere)
    assert anywhere.keys(anywhere.a, intent)
    anywhere.world.advance(2 * DAY)
    assert planned(anywhere).dead_intents == (KILLED,)
    pruned(anywhere)
    assert not anywhere.keys(anywhere.a, intent)
    assert anywhere.keys(anywhere.a, junk)
    anywhere.world.advance(25 * HOUR)
    pruned(anywhere)
    assert not anywhere.keys(anywhere.a, junk)


def touched(place: Place, key: str, moment: dt.datetime) -> None:
    """Give a file of a real directory the time of the simulation."""
    modified = getattr(place, "modified", None)
    if modified is not None:
        modified[key] = moment


def test_the_base_of_a_run_that_is_under_way_stays(anywhere: Setting) -> None:
    ids = backups(anywhere, 3)
    run = Run(anywhere.a.store(), JOB, ids[0])
    touched(anywhere.a, layout.intent(JOB, run.id), anywhere.world.now)
    assert pruned(anywhere, Keep(last=1, verified_min=1)).removed == (ids[1],)
    with pytest.raises(GuardRefusal) as refused:
        delete.delete(anywhere.a.store(), JOB, ids[0], anywhere.a.window)
    assert refused.value.guard == "in_use"


def test_a_held_backup_stays_until_its_hold_is_over(anywhere: Setting) -> None:
    ids = backups(anywhere, 4)
    store = anywhere.a.store()
    with lease.held(store, JOB, anywhere.a.window) as permit:
        hold.place(store, JOB, ids[0], "an audit", None, permit)
        hold.place(store, JOB, ids[1], "a question", store.now() + 5 * DAY, permit)
    assert not pruned(anywhere).removed
    with pytest.raises(GuardRefusal) as refused:
        delete.delete(store, JOB, ids[0], anywhere.a.window)
    assert refused.value.guard == "held"
    anywhere.world.advance(6 * DAY)
    assert pruned(anywhere).removed == (ids[1],)
    assert set(hold.read(store, JOB)) == {ids[0]}
    with lease.held(store, JOB, anywhere.a.window) as permit:
        hold.release(store, JOB, ids[0], permit)
    assert pruned(anywhere).removed == (ids[0],)


def test_a_hold_that_cannot_be_read_or_is_hidden_still_holds(in_buckets: Setting) -> None:
    ids = backups(in_buckets, 4)
    store = in_buckets.a.store()
    store.put(layout.hold(JOB, ids[0]), b"gibberish")
    store.put(layout.hold(JOB, ids[1]), hold.Hold(JOB, ids[1], "an audit", store.now()).to_bytes())
    if getattr(in_buckets.a, "is_versioned", False):
        store.delete(layout.hold(JOB, ids[1]))
    assert not pruned(in_buckets).removed


def test_a_flagged_backup_freezes_the_job_until_somebody_acknowledges_it(anywhere: Setting) -> None:
    backups(anywhere, 4)
    anywhere.watch.is_verified_min_kept = False
    junk = left_by_a_killed_run(anywhere)
    pruned(anywhere, None)
    flagged = flagged_backup(anywhere.a.store())
    anywhere.world.advance(2 * DAY)
    assert planned(anywhere).is_empty
    with pytest.raises(GuardRefusal) as refused:
        pruned(anywhere)
    assert refused.value.guard == "flagged"
    assert len(anywhere.ids(anywhere.a)) == 5
    assert anywhere.keys(anywhere.a, junk)
    acknowledgement.acknowledge(anywhere.a.store(), JOB, flagged)
    assert len(pruned(anywhere).removed) == 3


def test_a_flag_in_another_repository_freezes_too_and_so_does_its_acknowledgement_count(anywhere: Setting) -> None:
    backups(anywhere, 4)
    with pytest.raises(GuardRefusal):
        pruned(anywhere, frozen_by=frozenset({"20261201T000000Z-0000aa"}))
    anywhere.watch.is_verified_min_kept = False
    flagged = flagged_backup(anywhere.a.store())
    with pytest.raises(GuardRefusal):
        pruned(anywhere)
    assert pruned(anywhere, acknowledged=flagged).removed


def test_more_than_half_goes_by_force_only(anywhere: Setting) -> None:
    ids = backups(anywhere, 5)
    with pytest.raises(GuardRefusal) as refused:
        pruned(anywhere, force=False)
    assert refused.value.guard == "mass_removal"
    assert anywhere.ids(anywhere.a) == ids
    assert pruned(anywhere, force=True).removed == tuple(ids[:3])


def test_files_of_whole_backups_without_any_manifest_go_by_force_only(anywhere: Setting) -> None:
    backups(anywhere, 3)
    store = anywhere.a.store()
    for version in list(store.versions(layout.manifests(JOB))):
        store.delete(version.entry.key, version.entry.version_id)
    there = anywhere.keys(anywhere.a, data_keys())
    with pytest.raises(GuardRefusal) as refused:
        pruned(anywhere, force=False)
    assert refused.value.guard == "mass_removal" and "no manifest" in refused.value.cause
    assert not anywhere.keys(anywhere.a, layout.plans(JOB))
    assert pruned(anywhere, force=True).planned == len(there)


def test_what_a_killed_first_run_left_needs_no_force(anywhere: Setting) -> None:
    left_by_a_killed_run(anywhere)
    assert pruned(anywhere, force=False).planned == 1


def test_a_manifest_that_cannot_be_read_stops_everything(anywhere: Setting) -> None:
    ids = backups(anywhere, 4)
    junk = left_by_a_killed_run(anywhere)
    pruned(anywhere, None)
    anywhere.world.advance(25 * HOUR)
    store = anywhere.a.store()
    for version in list(store.versions(manifest_key(ids[0]))):
        store.delete(manifest_key(ids[0]), version.entry.version_id)
    store.put(manifest_key(ids[0]), b"gibberish")
    with pytest.raises(DamagedError):
        pruned(anywhere)
    assert anywhere.keys(anywhere.a, junk)
    delete.delete(store, JOB, ids[0], anywhere.a.window)
    pruned(anywhere)
    assert anywhere.restore(anywhere.a, ids[3])


def test_a_list_that_cannot_be_read_stops_everything(anywhere: Setting) -> None:
    ids = backups(anywhere, 4, shares=True)
    anywhere.damage(anywhere.a, data_keys(f"{ids[3]}/needs.jsonl"))
    before = anywhere.keys(anywhere.a, "")
    with pytest.raises(DamagedError):
        pruned(anywhere)
    assert [key for key in anywhere.keys(anywhere.a, "") if "maintenance" not in key] == [
        key for key in before if "maintenance" not in key
    ]


def test_nothing_but_stored_files_of_the_job_is_ever_deleted(anywhere: Setting) -> None:
    ids = backups(anywhere, 2)
    store = anywhere.a.store()
    others = [
        "data/other/20261101T000000Z-0000aa/dump",
        f"data/{JOB}/notes.txt",
        f"data/{JOB}/{KILLED}/deeper/file",
        f"data/{JOB}2/{KILLED}/dump",
        "notes/readme.txt",
        f"manifests/{JOB}/readme.txt",
        f"verified/{JOB}/readme/note.json",
    ]
    for key in others:
        store.put(key, b"somebody's")
    forged = DeletionPlan(
        JOB, store.now() - 9 * DAY, (*others, manifest_key(ids[0]), layout.IDENTITY, "../x", ""), True
    )
    store.put(f"{layout.plans(JOB)}000001.json", forged.to_bytes())
    strange = dataclasses.replace(forged, job="other")
    store.put(f"{layout.plans(JOB)}000002.json", strange.to_bytes())
    for _day in range(3):
        pruned(anywhere)
        anywhere.world.advance(25 * HOUR)
    assert {key for key in others if store.stat(key) is not None} == set(others)
    assert anywhere.good_ids(anywhere.a) == ids
    assert not anywhere.keys(anywhere.a, layout.plans(JOB))


def test_a_plan_of_a_clock_that_was_behind_waits_its_whole_day_from_when_it_was_written(anywhere: Setting) -> None:
    junk = left_by_a_killed_run(anywhere)
    store = anywhere.a.store()
    store.put(f"{layout.plans(JOB)}000001.json", DeletionPlan(JOB, store.now() - 9 * DAY, (junk, "x")).to_bytes())
    assert pruned(anywhere).files == 0
    anywhere.world.advance(20 * HOUR)
    assert strike(store, JOB, ["x"], lambda: anywhere.world.now) == 1  # which is no reason to wait longer
    assert pruned(anywhere).files == 0
    anywhere.world.advance(5 * HOUR)
    assert pruned(anywhere).files == 1
    assert not anywhere.keys(anywhere.a, junk)


def test_a_forged_old_plan_deletes_nothing_that_is_alive(anywhere: Setting) -> None:
    ids = backups(anywhere, 3, shares=True)
    store = anywhere.a.store()
    keys = tuple(anywhere.keys(anywhere.a, "data/"))
    store.put(
        f"{layout.plans(JOB)}000007.json", DeletionPlan(JOB, store.now() - 9 * DAY, keys, is_struck=True).to_bytes()
    )
    assert pruned(anywhere, None).files == 0
    for backup_id in ids:
        assert anywhere.restore(anywhere.a, backup_id)


@pytest.mark.parametrize("data", [b"gibberish", b""], ids=["damaged", "of the future"])
def test_a_plan_that_nobody_can_use_is_dropped_and_made_anew(anywhere: Setting, data: bytes) -> None:
    junk = left_by_a_killed_run(anywhere)
    store = anywhere.a.store()
    future = DeletionPlan(JOB, store.now() + 400 * DAY, (junk,)).to_bytes()
    store.put(f"{layout.plans(JOB)}000001.json", data or future)
    pruned(anywhere)
    anywhere.world.advance(25 * HOUR)
    assert pruned(anywhere).files == 1
    assert not anywhere.keys(anywhere.a, junk)


def test_a_host_whose_clock_is_wrong_prunes_nothing(anywhere: Setting) -> None:
    ids = backups(anywhere, 4)
    wrong = anywhere.world.now + dt.timedelta(minutes=6)
    with unittest.mock.patch.object(clock, "now", lambda: wrong), pytest.raises(GuardRefusal) as refused:
        pruned(anywhere)
    assert refused.value.guard == "clock"
    assert anywhere.ids(anywhere.a) == ids


def test_a_backup_that_is_made_while_a_prune_reads_keeps_its_proof(in_buckets: Setting) -> None:
    setting = in_buckets
    backups(setting, 2)
    read, made = prune.catalog.backups, []

    def read_before_a_run(store: Store, job: str) -> list[prune.Backup]:
        found = read(store, job)
        made.append(proved_backup(setting.a.store()))
        return found

    with unittest.mock.patch.object(prune.catalog, "backups", read_before_a_run):
        pruned(setting)
    proved = {backup.id for backup in read(setting.a.store(), JOB) if backup.is_good}
    assert set(made) <= proved


def test_proofs_of_backups_of_which_nothing_is_left_go_too(anywhere: Setting) -> None:
    store = anywhere.a.store()
    orphan = f"{layout.verified(JOB, KILLED)}20261101T000000Z-0000-content.json"
    store.put(orphan, b"gibberish")
    ids = backups(anywhere, 1)
    assert not planned(anywhere).is_empty
    pruned(anywhere)
    assert anywhere.keys(anywhere.a, layout.VERIFIED) == anywhere.keys(anywhere.a, layout.verified(JOB, ids[0]))
    assert planned(anywhere).is_empty


class Locked:
    """A store that refuses to delete what begins with one of some prefixes, as object lock does."""

    def __init__(self, store: Store, *prefixes: str) -> None:
        self._store = store
        self._prefixes = prefixes

    def __getattr__(self, name: str) -> t.Any:
        return getattr(self._store, name)

    def delete(self, key: str, version_id: str = "", signed_at: dt.datetime | None = None) -> None:
        if key.startswith(self._prefixes):
            raise DeniedError(f"Cannot delete {key}", "it is WORM protected")
        self._store.delete(key, version_id, signed_at)


def locked_prune(setting: Setting, *prefixes: str) -> prune.PruneResult:
    store = t.cast(Store, Locked(setting.a.store(), *prefixes))
    return prune.prune(store, prune.PruneRequest(JOB, LAST_TWO, force=True), setting.a.window)


def test_a_denied_delete_is_told_and_the_rest_is_done(anywhere: Setting) -> None:
    ids = backups(anywhere, 4)
    result = locked_prune(anywhere, manifest_key(ids[0]))
    assert result.removed == (ids[1],)
    assert [each for each in result.denied if ids[0] in each]
    assert anywhere.restore(anywhere.a, ids[0])
    anywhere.world.advance(25 * HOUR)
    result = locked_prune(anywhere, manifest_key(ids[0]), data_keys(f"{ids[1]}/dump"))
    assert result.files == 4
    assert anywhere.keys(anywhere.a, data_keys(ids[1])) == [data_keys(f"{ids[1]}/dump")]
    for _day in range(2):
        anywhere.world.advance(25 * HOUR)
        pruned(anywhere)
    assert not anywhere.keys(anywhere.a, data_keys(ids[1]))


def test_a_file_whose_proof_cannot_be_deleted_stays(anywhere: Setting) -> None:
    ids = backups(anywhere, 3)
    pruned(anywhere)
    anywhere.world.advance(25 * HOUR)
    result = locked_prune(anywhere, layout.verified(JOB, ids[0]))
    assert (result.files, len(result.denied)) == (0, 1)
    assert anywhere.keys(anywhere.a, data_keys(f"{ids[0]}/dump"))


def test_a_backup_that_is_locked_in_its_bucket_is_kept_and_says_so(in_buckets: Setting) -> None:
    ids = backups(in_buckets, 4)
    store = in_buckets.a.store()
    end = store.now() + DAY
    locks = {manifest_key(ids[1]): end}
    with unittest.mock.patch.object(Store, "locked_until", lambda _store, key: locks.get(key)):
        found = planned(in_buckets)
    assert found.retention.removable == (ids[0],)
    assert [each.until for each in found.retention.kept if each.id == ids[1]] == [end]


def test_the_last_proved_backups_cannot_be_deleted(anywhere: Setting) -> None:
    ids = backups(anywhere, 2)
    with pytest.raises(GuardRefusal) as refused:
        delete.delete(anywhere.a.store(), JOB, ids[0], anywhere.a.window)
    assert refused.value.guard == "last_proved"
    anywhere.watch.is_verified_min_kept = False
    delete.delete(anywhere.a.store(), JOB, ids[0], anywhere.a.window, verified_min=1)
    with pytest.raises(GuardRefusal):
        delete.delete(anywhere.a.store(), JOB, ids[1], anywhere.a.window, verified_min=1)
    with pytest.raises(LifeboatError, match="not there"):
        delete.delete(anywhere.a.store(), JOB, ids[0], anywhere.a.window)
    assert anywhere.ids(anywhere.a) == [ids[1]]


def test_a_backup_of_which_a_stored_file_is_gone_is_none_of_the_last_proved_ones(anywhere: Setting) -> None:
    ids = backups(anywhere, 3)
    store, window = anywhere.a.store(), anywhere.a.window
    assert delete.find(store, JOB, ids[0]).id == ids[0]
    anywhere.lose(anywhere.a, data_keys(f"{ids[2]}/pack-0"))
    with pytest.raises(GuardRefusal, match="1 proved backups would be left") as error:
        delete.delete(store, JOB, ids[0], window)
    assert error.value.guard == "last_proved" and anywhere.ids(anywhere.a) == ids


def test_files_of_a_removed_backup_have_a_whole_day_though_an_old_plan_listed_them(anywhere: Setting) -> None:
    ids = backups(anywhere, 4)
    store = anywhere.a.store()
    keys = tuple(anywhere.keys(anywhere.a, "data/"))
    store.put(
        f"{layout.plans(JOB)}000007.json", DeletionPlan(JOB, store.now() - 9 * DAY, keys, is_struck=True).to_bytes()
    )
    delete.delete(store, JOB, ids[0], anywhere.a.window)
    assert pruned(anywhere).files == 0
    anywhere.world.advance(23 * HOUR)
    assert pruned(anywhere).files == 0
    assert set(anywhere.keys(anywhere.a, "data/")) == set(keys)


def test_a_dead_intent_that_cannot_be_deleted_still_covers_its_files(anywhere: Setting) -> None:
    junk = left_by_a_killed_run(anywhere)
    intent = layout.intent(JOB, KILLED)
    anywhere.a.store().put_new(intent, b"{}")
    touched(anywhere.a, intent, anywhere.world.now)
    for _prune in range(3):
        anywhere.world.advance(8 * DAY)
        assert [each for each in locked_prune(anywhere, intent).denied if each.startswith(intent)]
    assert anywhere.keys(anywhere.a, junk)


class Dying:
    """A store whose process ends after it has deleted a manifest's first version."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def __getattr__(self, name: str) -> t.Any:
        return getattr(self._store, name)

    def delete(self, key: str, version_id: str = "", signed_at: dt.datetime | None = None) -> None:
        self._store.delete(key, version_id, signed_at)
        if key.startswith(layout.MANIFESTS):
            raise KeyboardInterrupt


def test_a_removal_that_is_killed_does_not_leave_a_forged_manifest_as_the_only_one(in_buckets: Setting) -> None:
    ids = backups(in_buckets, 3)
    store = in_buckets.a.store()
    real = store.get(manifest_key(ids[0]))
    store.put(manifest_key(ids[0]), b"forged")
    with pytest.raises(KeyboardInterrupt):
        delete.delete(t.cast(Store, Dying(store)), JOB, ids[0], in_buckets.a.window)
    left = store.get(manifest_key(ids[0]))
    if getattr(in_buckets.a, "is_versioned", False):
        assert left is not None and real is not None and left.data == real.data
    else:
        assert left is None
