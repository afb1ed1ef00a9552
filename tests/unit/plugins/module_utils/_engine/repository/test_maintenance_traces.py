# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Copies and removals that are frozen, late or killed while others go on (docs/protocol.md, rules 6 to 10)."""

from __future__ import annotations

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import LifeboatError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository import layout
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.store import ExpiredError
from ansible_collections.lifeboat.recovery.tests.unit.plugins.module_utils._engine.repository import actors
from ansible_collections.lifeboat.recovery.tests.unit.plugins.module_utils._engine.repository.actors import JOB
from ansible_collections.lifeboat.recovery.tests.unit.plugins.module_utils._engine.repository.memory_store import Place
from ansible_collections.lifeboat.recovery.tests.unit.plugins.module_utils._engine.repository.setting import (
    DAY,
    HOUR,
    MINUTE,
    Setting,
    data_keys,
)
from ansible_collections.lifeboat.recovery.tests.unit.plugins.module_utils._engine.repository.simulation import (
    Process,
    Request,
)

MANIFESTS = layout.manifests(JOB)
LEASE = layout.lease(JOB)


def planned_backup(setting: Setting, place: Place) -> str:
    """Make a backup whose files an old plan of `place` lists; return its id. The other repository has it still."""
    made = setting.back_up()
    setting.remove(place, made.id)
    setting.prune(place)
    setting.world.advance(25 * HOUR)
    return made.id


def pruner_before_a_delete(setting: Setting, backup_id: str) -> Process:
    """Return a prune of B that is about to delete the dump of a backup, and holds the lease."""
    prune = setting.start_prune(setting.b)
    setting.world.run_until(prune, "delete", data_keys(f"{backup_id}/dump"))
    return prune


def test_a_frozen_prune_deletes_nothing_that_a_copy_brought_meanwhile(in_buckets: Setting) -> None:
    backup_id = planned_backup(in_buckets, in_buckets.b)
    prune = pruner_before_a_delete(in_buckets, backup_id)
    in_buckets.world.advance(2 * HOUR)
    in_buckets.copy(in_buckets.a, in_buckets.b, backup_id)
    in_buckets.world.finish(prune)
    assert isinstance(prune.error, ExpiredError)
    assert in_buckets.good_ids(in_buckets.b) == [backup_id]
    assert in_buckets.restore(in_buckets.b, backup_id)


def test_a_delete_on_its_way_arrives_before_anybody_can_take_the_lease_over(in_buckets: Setting) -> None:
    backup_id = planned_backup(in_buckets, in_buckets.b)
    prune = in_buckets.start_prune(in_buckets.b)
    in_buckets.world.run_until(prune, "delete", layout.verified(JOB, backup_id))
    in_buckets.world.advance(9 * MINUTE)  # less than what makes it renew
    in_buckets.world.run_until(prune, "delete", data_keys(f"{backup_id}/dump"))
    in_buckets.world.delay(prune, 14 * MINUTE)
    in_buckets.world.crash(prune)
    in_buckets.copy(in_buckets.a, in_buckets.b, backup_id)
    assert not in_buckets.world.flights
    assert in_buckets.good_ids(in_buckets.b) == [backup_id]


def test_a_prune_without_answer_to_a_delete_keeps_the_lease(in_buckets: Setting) -> None:
    backup_id = planned_backup(in_buckets, in_buckets.b)
    prune = pruner_before_a_delete(in_buckets, backup_id)
    in_buckets.world.delay(prune, 14 * MINUTE)
    in_buckets.world.finish(prune)
    assert prune.error is not None
    in_buckets.copy(in_buckets.a, in_buckets.b, backup_id)  # waits until the lease is over
    in_buckets.world.advance(HOUR)
    assert in_buckets.good_ids(in_buckets.b) == [backup_id]
    assert in_buckets.restore(in_buckets.b, backup_id)


def test_two_removals_leave_two_proved_backups(anywhere: Setting) -> None:
    ids = [anywhere.back_up(anywhere.a, shares=False).id for _number in range(3)]
    frozen = anywhere.start_removal(anywhere.a, ids[0], is_forced=False, name="frozen")
    anywhere.world.run_until(frozen, "delete", MANIFESTS)
    other = anywhere.start_removal(anywhere.a, ids[1], is_forced=False, name="other")
    if anywhere.a.has_locks:
        for _step in range(20):
            anywhere.world.step(other)
        anywhere.world.finish(frozen)
        anywhere.world.finish(other)
    else:
        anywhere.world.advance(2 * HOUR)
        anywhere.world.finish(other)
        anywhere.world.finish(frozen)
    assert len(anywhere.good_ids(anywhere.a)) == 2


def test_a_copy_of_more_than_a_day_keeps_its_lease(anywhere: Setting) -> None:
    made = anywhere.back_up(anywhere.a, packs=55)
    copy = anywhere.start_copy(anywhere.a, anywhere.b, made.id)
    begun = anywhere.world.now
    anywhere.world.run_until(copy, "upload", data_keys(), place="B")
    for number in range(52):
        anywhere.world.run_until(copy, "read", data_keys(), place="A")
        anywhere.world.advance(28 * MINUTE)
        anywhere.world.step(copy)
        if number == 30:
            prune = anywhere.start_prune(anywhere.b)
            end = anywhere.world.now + 25 * MINUTE
            while not prune.is_done and prune.ready_at < end:
                anywhere.world.step(prune)
            assert not prune.is_done  # it waits
    anywhere.world.finish(copy)
    assert copy.error is None
    assert anywhere.world.now - begun > DAY
    assert anywhere.good_ids(anywhere.b) == [made.id]


def test_a_copy_that_stood_still_before_its_manifest_does_not_publish_over_a_prune(in_buckets: Setting) -> None:
    made = in_buckets.back_up(in_buckets.a)
    copy = in_buckets.start_copy(in_buckets.a, in_buckets.b, made.id)
    in_buckets.world.run_until(copy, "put_new", MANIFESTS, place="B")
    in_buckets.world.advance(2 * HOUR)
    in_buckets.prune(in_buckets.b)
    in_buckets.world.advance(25 * HOUR)
    prune = pruner_before_a_delete(in_buckets, made.id)
    in_buckets.world.finish(copy)
    in_buckets.world.finish(prune)
    assert isinstance(copy.error, ExpiredError)
    assert not in_buckets.ids(in_buckets.b)
    in_buckets.copy(in_buckets.a, in_buckets.b, made.id)
    assert in_buckets.good_ids(in_buckets.b) == [made.id]


def test_a_copy_after_a_crashed_one_and_a_prune_succeeds(anywhere: Setting) -> None:
    made = anywhere.back_up(anywhere.a)
    copy = anywhere.start_copy(anywhere.a, anywhere.b, made.id)
    anywhere.world.run_until(copy, "put_new", MANIFESTS, place="B")
    anywhere.world.crash(copy)
    for _day in range(3):
        anywhere.world.advance(8 * DAY)
        anywhere.prune(anywhere.b)
    assert not anywhere.keys(anywhere.b, data_keys())
    anywhere.copy(anywhere.a, anywhere.b, made.id)
    assert anywhere.good_ids(anywhere.b) == [made.id]


def test_a_copy_takes_planned_files_out_of_the_plan(anywhere: Setting) -> None:
    backup_id = planned_backup(anywhere, anywhere.b)
    anywhere.copy(anywhere.a, anywhere.b, backup_id)
    anywhere.prune(anywhere.b)
    assert anywhere.good_ids(anywhere.b) == [backup_id]
    assert anywhere.restore(anywhere.b, backup_id)


def test_a_manifest_of_a_copy_that_arrives_late_finds_its_files(in_buckets: Setting) -> None:
    backup_id = planned_backup(in_buckets, in_buckets.b)
    copy = in_buckets.start_copy(in_buckets.a, in_buckets.b, backup_id)
    in_buckets.world.run_until(copy, "put_new", MANIFESTS, place="B")
    in_buckets.world.delay(copy, 10 * MINUTE)
    in_buckets.world.finish(copy)  # it fails, and gives the lease back
    in_buckets.prune(in_buckets.b)  # the plan that listed the files is more than a day old
    in_buckets.world.advance(HOUR)
    assert in_buckets.ids(in_buckets.b) == [backup_id]
    assert in_buckets.restore(in_buckets.b, backup_id)


def test_a_restore_has_a_whole_day_though_its_files_were_planned_before(anywhere: Setting) -> None:
    backup_id = planned_backup(anywhere, anywhere.b)
    anywhere.copy(anywhere.a, anywhere.b, backup_id)
    restore = anywhere.start_restore(anywhere.b, backup_id, pause=3 * HOUR)
    anywhere.world.run_until(restore, "read", data_keys(backup_id), nth=2)
    anywhere.remove(anywhere.b, backup_id)
    anywhere.prune(anywhere.b)  # the old plan is more than a day old
    anywhere.world.finish(restore)
    assert restore.error is None
    assert restore.result > 3


def test_a_restore_of_twenty_hours_survives_removal_and_prune(anywhere: Setting) -> None:
    first = anywhere.back_up(anywhere.a)
    made = anywhere.back_up(anywhere.a)
    restore = anywhere.start_restore(anywhere.a, made.id, pause=100 * MINUTE)
    anywhere.world.run_until(restore, "read", data_keys(), nth=3)
    for backup_id in (made.id, first.id):
        anywhere.remove(anywhere.a, backup_id)
    begun = anywhere.world.now
    while not restore.is_done:
        anywhere.prune(anywhere.a)
        anywhere.world.step(restore)
    assert restore.error is None
    assert anywhere.world.now - begun > 10 * HOUR
    anywhere.collect_garbage()


def test_strikes_do_not_make_a_plan_younger(anywhere: Setting) -> None:
    ids = [anywhere.back_up().id for _number in range(2)]
    for backup_id in ids:
        anywhere.remove(anywhere.b, backup_id)
    junk = data_keys("20261101T000000Z-000000/junk")
    anywhere.b.store().put(junk, b"left by a killed run")
    anywhere.prune(anywhere.b)
    for day in range(4):  # every copy strikes
        anywhere.world.advance(20 * HOUR)
        backup_id = ids[day % 2]
        anywhere.copy(anywhere.a, anywhere.b, backup_id)
        anywhere.remove(anywhere.b, backup_id)
        anywhere.prune(anywhere.b)
    assert not anywhere.keys(anywhere.b, junk)


def test_after_the_crash_of_a_lease_holder_the_next_run_copies_too(anywhere: Setting) -> None:
    crashed = anywhere.start_run()
    anywhere.world.run_until(crashed, "upload", data_keys(), place="B")
    anywhere.world.crash(crashed)
    run = anywhere.start_run(name="next")
    anywhere.world.finish(run)
    assert run.error is None
    assert not run.result.problems
    assert run.result.id in anywhere.good_ids(anywhere.b)


def test_a_crash_between_a_proof_and_its_file_leaves_no_proof_of_a_file_that_is_written_later(
    anywhere: Setting,
) -> None:
    backup_id = planned_backup(anywhere, anywhere.b)
    prune = pruner_before_a_delete(anywhere, backup_id)
    anywhere.world.crash(prune)  # the proof of the dump has gone, the dump has not
    copy = anywhere.start_copy(anywhere.a, anywhere.b, backup_id)
    anywhere.world.run_until(copy, "put_new", MANIFESTS, place="B")
    anywhere.world.step(copy)
    anywhere.world.crash(copy)
    assert anywhere.ids(anywhere.b) == [backup_id]
    assert not anywhere.good_ids(anywhere.b)
    anywhere.world.advance(2 * HOUR)
    anywhere.copy(anywhere.a, anywhere.b, backup_id)
    assert anywhere.good_ids(anywhere.b) == [backup_id]


def test_a_file_that_is_written_again_loses_its_old_proof(anywhere: Setting) -> None:
    made = anywhere.back_up()
    key = data_keys(f"{made.id}/dump")
    anywhere.lose(anywhere.b, key)  # after it was proved
    copy = anywhere.start_copy(anywhere.a, anywhere.b, made.id)
    while not copy.is_done and anywhere.b.store().stat(key) is None:
        anywhere.world.step(copy)
    anywhere.world.crash(copy)
    assert not anywhere.good_ids(anywhere.b)
    anywhere.world.advance(2 * HOUR)
    anywhere.copy(anywhere.a, anywhere.b, made.id)


def test_a_damaged_copy_stays_when_the_source_is_damaged_too(anywhere: Setting) -> None:
    made = anywhere.back_up()
    key = data_keys(f"{made.id}/dump")
    anywhere.damage(anywhere.a, key)
    anywhere.damage(anywhere.b, key)
    before = b"".join(anywhere.b.store().read(key))
    verified = anywhere.world.start("copy", lambda process: _prove(process, anywhere, made.id))
    anywhere.world.finish(verified)
    with pytest.raises(LifeboatError):
        anywhere.copy(anywhere.a, anywhere.b, made.id)
    assert b"".join(anywhere.b.store().read(key)) == before


def test_a_damaged_copy_is_replaced_and_good_again(anywhere: Setting) -> None:
    made = anywhere.back_up()
    key = data_keys(f"{made.id}/dump")
    anywhere.damage(anywhere.b, key)
    anywhere.world.finish(anywhere.world.start("verify", lambda process: _prove(process, anywhere, made.id)))
    assert not anywhere.good_ids(anywhere.b)
    anywhere.copy(anywhere.a, anywhere.b, made.id)
    assert anywhere.good_ids(anywhere.b) == [made.id]
    assert anywhere.restore(anywhere.b, made.id)


def _prove(process: Process, setting: Setting, backup_id: str) -> None:
    store = setting.b.store(process)
    actors.prove(store, actors.manifest_of(store, backup_id))


def test_a_late_upload_of_a_copy_changes_nothing(in_buckets: Setting) -> None:
    made = in_buckets.back_up(in_buckets.a)
    copy = in_buckets.start_copy(in_buckets.a, in_buckets.b, made.id)
    in_buckets.world.run_until(copy, "upload", data_keys(), place="B")
    in_buckets.world.delay(copy, 14 * MINUTE, is_repeated=True)
    in_buckets.world.finish(copy)
    in_buckets.world.advance(HOUR)
    assert in_buckets.good_ids(in_buckets.b) == [made.id]
    assert in_buckets.restore(in_buckets.b, made.id)


def test_a_replaced_file_is_not_removed_by_a_late_request(in_buckets: Setting) -> None:
    made = in_buckets.back_up()
    in_buckets.damage(in_buckets.b, data_keys(f"{made.id}/dump"))
    in_buckets.world.finish(in_buckets.world.start("verify", lambda process: _prove(process, in_buckets, made.id)))
    in_buckets.watch.damaged.clear()
    copy = in_buckets.start_copy(in_buckets.a, in_buckets.b, made.id)
    while not copy.is_done:
        found = copy.pending
        if isinstance(found, Request) and found.is_repeatable and found.key.startswith("data/") and found.place == "B":
            in_buckets.world.delay(copy, 10 * MINUTE, is_repeated=True)
        else:
            in_buckets.world.step(copy)
    in_buckets.world.advance(HOUR)
    assert in_buckets.good_ids(in_buckets.b) == [made.id]
    assert in_buckets.restore(in_buckets.b, made.id)


def test_two_prunes_at_once_leave_what_one_leaves(anywhere: Setting) -> None:
    ids = [anywhere.back_up(anywhere.a).id for _number in range(5)]
    frozen = anywhere.start_prune(anywhere.a, "frozen", keep=2)
    anywhere.world.run_until(frozen, "delete", MANIFESTS)
    other = anywhere.start_prune(anywhere.a, "other", keep=3)
    if anywhere.a.has_locks:
        for _step in range(20):
            anywhere.world.step(other)
        anywhere.world.finish(frozen)
        anywhere.world.finish(other)
    else:
        anywhere.world.advance(2 * HOUR)
        anywhere.world.finish(other)
        anywhere.world.finish(frozen)
        assert isinstance(frozen.error, ExpiredError)
    assert anywhere.good_ids(anywhere.a) == ids[3:] if anywhere.a.has_locks else ids[2:]
    for backup_id in anywhere.ids(anywhere.a):
        assert anywhere.restore(anywhere.a, backup_id)
    anywhere.collect_garbage()


def test_a_base_that_is_removed_just_when_its_run_publishes_costs_the_new_backup_nothing(in_buckets: Setting) -> None:
    ids = [in_buckets.back_up(in_buckets.a).id for _number in range(3)]
    removal = in_buckets.start_removal(in_buckets.a, ids[2])
    in_buckets.world.run_until(removal, "delete", MANIFESTS)  # it saw no intent
    run = in_buckets.start_run(in_buckets.a)
    in_buckets.world.run_until(run, "put_new", MANIFESTS)  # it saw its base
    in_buckets.watch.is_verified_min_kept = False
    in_buckets.world.finish(removal)
    in_buckets.prune(in_buckets.a)  # lists what only the base had
    in_buckets.world.finish(run)
    assert run.error is None
    for _day in range(3):
        in_buckets.world.advance(25 * HOUR)
        in_buckets.prune(in_buckets.a)
    assert in_buckets.ids(in_buckets.a) == [*ids[:2], run.result.id]
    assert in_buckets.restore(in_buckets.a, run.result.id)


def test_a_run_that_publishes_while_a_prune_reads_loses_no_file(anywhere: Setting) -> None:
    for _number in range(2):
        anywhere.back_up(anywhere.a)
    run = anywhere.start_run(anywhere.a)
    anywhere.world.run_until(run, "put_new", MANIFESTS)
    prune = anywhere.start_prune(anywhere.a)
    if not anywhere.a.has_locks:
        anywhere.world.run_until(prune, "versions", layout.intents(JOB), nth=2)  # it has listed the files
    anywhere.world.finish(run)
    anywhere.world.finish(prune)
    assert run.error is None and prune.error is None
    assert not anywhere.keys(anywhere.a, layout.plans(JOB))
    assert anywhere.restore(anywhere.a, run.result.id)
