# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs that are held up, unanswered or overtaken at the worst moment (docs/protocol.md, rules 1 to 5)."""

from __future__ import annotations

import pathlib

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import LifeboatError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository import catalog, layout
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.intent import IntentLostError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.publish import PublishError
from ansible_collections.lifeboat.recovery.tests.unit.plugins.module_utils._engine.repository import simple_streams
from ansible_collections.lifeboat.recovery.tests.unit.plugins.module_utils._engine.repository.actors import JOB
from ansible_collections.lifeboat.recovery.tests.unit.plugins.module_utils._engine.repository.setting import (
    DAY,
    HOUR,
    MINUTE,
    Setting,
    data_keys,
    made,
    manifest_key,
)
from ansible_collections.lifeboat.recovery.tests.unit.plugins.module_utils._engine.repository.simulation import (
    Process,
    Request,
    Sleep,
)

INTENTS = layout.intents(JOB)
MANIFESTS = layout.manifests(JOB)


def test_a_run_brings_a_proved_backup_into_every_repository(anywhere: Setting) -> None:
    first, second = anywhere.back_up(), anywhere.back_up()
    assert not first.problems + second.problems
    for place in anywhere.both:
        assert anywhere.good_ids(place) == [first.id, second.id]
        assert not anywhere.keys(place, "intents/")
        assert anywhere.restore(place, second.id) > 5


def test_a_base_that_fails_its_reading_is_not_built_on(anywhere: Setting) -> None:
    sound, rotten = anywhere.back_up(anywhere.a), anywhere.back_up(anywhere.a)
    anywhere.damage(anywhere.a, data_keys(f"{rotten.id}/pack-0"))
    with pytest.raises(Exception, match="other bytes"):
        anywhere.back_up(anywhere.a)  # nobody knows of the damage yet: this run builds on it, and is never called good
    later = anywhere.back_up(anywhere.a)
    assert anywhere.good_ids(anywhere.a) == [sound.id, later.id]


def test_a_run_whose_base_goes_before_its_intent_is_there_starts_over(anywhere: Setting) -> None:
    base = anywhere.back_up(anywhere.a)
    run = anywhere.start_run(anywhere.a)
    anywhere.world.run_until(run, "put_new", INTENTS)
    anywhere.remove(anywhere.a, base.id)
    anywhere.world.finish(run)
    assert run.error is None
    assert anywhere.good_ids(anywhere.a) == [run.result.id]
    assert not anywhere.keys(anywhere.a, INTENTS)
    assert {key.split("/")[2] for key in anywhere.keys(anywhere.a, "data/")} == {base.id, run.result.id}


def test_a_run_whose_base_goes_while_it_works_starts_over_under_a_new_id(in_buckets: Setting) -> None:
    base = in_buckets.back_up(in_buckets.a)
    removal = in_buckets.start_removal(in_buckets.a, base.id)
    in_buckets.watch.is_verified_min_kept = False
    in_buckets.world.run_until(removal, "delete", MANIFESTS)  # it has looked for intents, and found none
    run = in_buckets.start_run(in_buckets.a)
    first_id = layout.id_of(in_buckets.world.run_until(run, "put_new", INTENTS).key)
    in_buckets.world.run_until(run, "upload", data_keys())
    in_buckets.world.finish(removal)
    in_buckets.world.finish(run)
    assert in_buckets.ids(in_buckets.a) == [run.result.id] != [first_id]
    in_buckets.collect_garbage()


def test_files_of_a_base_that_goes_between_check_and_publication_stay(in_buckets: Setting) -> None:
    base = in_buckets.back_up(in_buckets.a)
    removal = in_buckets.start_removal(in_buckets.a, base.id)
    in_buckets.watch.is_verified_min_kept = False
    in_buckets.world.run_until(removal, "delete", MANIFESTS)
    run = in_buckets.start_run(in_buckets.a)
    in_buckets.world.run_until(run, "put_new", MANIFESTS)  # its checks are behind it
    in_buckets.world.finish(removal)
    in_buckets.world.finish(run)
    in_buckets.collect_garbage()
    assert in_buckets.ids(in_buckets.a) == [run.result.id]
    assert in_buckets.restore(in_buckets.a, run.result.id)


def test_a_prune_that_looked_before_the_publication_deletes_nothing_of_it(in_buckets: Setting) -> None:
    base = in_buckets.back_up(in_buckets.a)
    removal = in_buckets.start_removal(in_buckets.a, base.id)
    in_buckets.watch.is_verified_min_kept = False
    in_buckets.world.run_until(removal, "delete", MANIFESTS)
    run = in_buckets.start_run(in_buckets.a)
    in_buckets.world.run_until(run, "put_new", MANIFESTS)  # it needs files of the base
    in_buckets.world.finish(removal)
    in_buckets.prune(in_buckets.a)  # lists the base's files
    in_buckets.world.advance(25 * HOUR)
    prune = in_buckets.start_prune(in_buckets.a)
    in_buckets.world.run_until(prune, "delete", data_keys(base.id))  # it has read the manifests
    in_buckets.world.finish(run)  # the signature of its manifest is too old, and its base has gone
    in_buckets.world.finish(prune)
    assert in_buckets.ids(in_buckets.a) == in_buckets.good_ids(in_buckets.a) == [run.result.id]


def test_a_manifest_held_up_for_longer_than_the_window_is_published_after_new_checks(in_buckets: Setting) -> None:
    run = in_buckets.start_run(in_buckets.a)
    in_buckets.world.run_until(run, "put_new", MANIFESTS)
    in_buckets.world.advance(16 * MINUTE)
    in_buckets.world.step(run)  # refused
    assert not in_buckets.ids(in_buckets.a)
    in_buckets.world.run_until(run, "get", INTENTS)
    in_buckets.world.finish(run)
    assert in_buckets.good_ids(in_buckets.a) == [run.result.id]


def test_a_run_frozen_at_its_manifest_for_days_does_not_publish_what_is_being_deleted(in_buckets: Setting) -> None:
    run = in_buckets.start_run(in_buckets.a)
    in_buckets.world.run_until(run, "put_new", MANIFESTS)
    in_buckets.world.advance(8 * DAY)
    in_buckets.prune(in_buckets.a)
    in_buckets.world.advance(25 * HOUR)
    prune = in_buckets.start_prune(in_buckets.a)
    in_buckets.world.run_until(prune, "delete", data_keys())
    in_buckets.world.finish(run)
    in_buckets.world.finish(prune)
    assert isinstance(run.error, IntentLostError)
    assert not in_buckets.ids(in_buckets.a)


def test_a_run_frozen_before_its_last_check_does_not_publish_what_is_planned(anywhere: Setting) -> None:
    run = anywhere.start_run(anywhere.a)
    anywhere.world.run_until(run, "put", data_keys())  # the sums: all files are there
    anywhere.world.advance(8 * DAY)
    anywhere.prune(anywhere.a)
    anywhere.world.advance(25 * HOUR)
    anywhere.world.finish(run)
    anywhere.prune(anywhere.a)
    assert isinstance(run.error, IntentLostError)
    assert not anywhere.ids(anywhere.a)


def test_a_writer_frozen_for_more_than_a_week_does_not_recreate_its_intent(anywhere: Setting) -> None:
    run = anywhere.start_run(anywhere.a, pauses=[HOUR, HOUR])
    while not isinstance(run.pending, Sleep):
        anywhere.world.step(run)
    anywhere.world.advance(8 * DAY)
    anywhere.prune(anywhere.a)
    anywhere.world.finish(run)
    assert isinstance(run.error, IntentLostError)
    assert not anywhere.keys(anywhere.a, INTENTS)
    anywhere.collect_garbage()


def test_a_run_of_many_days_keeps_its_files(anywhere: Setting) -> None:
    run = anywhere.start_run(anywhere.a, pauses=[4 * DAY] * 5)
    while not run.is_done:
        if isinstance(run.pending, Sleep):
            anywhere.world.advance(3 * DAY)
            anywhere.prune(anywhere.a)
        anywhere.world.step(run)
    assert run.error is None
    assert anywhere.restore(anywhere.a, run.result.id)


def test_a_renewal_without_answer_does_not_end_the_run(in_buckets: Setting) -> None:
    run = in_buckets.start_run(in_buckets.a, pauses=[2 * DAY] * 4)
    for lose in (in_buckets.world.lose_request, in_buckets.world.lose_answer):
        in_buckets.world.run_until(run, "replace", INTENTS)
        lose(run)
    in_buckets.world.run_until(run, "replace", INTENTS)  # where every write has an ETag of its own: it has changed
    in_buckets.world.finish(run)
    assert in_buckets.good_ids(in_buckets.a) == [run.result.id]


def test_a_renewal_that_failed_is_tried_again_on_the_same_day(in_buckets: Setting) -> None:
    run = in_buckets.start_run(in_buckets.a, pauses=[25 * HOUR, 2 * HOUR, 2 * HOUR])
    in_buckets.world.run_until(run, "replace", INTENTS)
    in_buckets.world.lose_request(run)
    in_buckets.world.run_until(run, "replace", INTENTS)
    in_buckets.world.finish(run)
    assert in_buckets.good_ids(in_buckets.a) == [run.result.id]


def test_a_renewal_that_arrives_after_the_intent_was_removed_has_no_effect(in_buckets: Setting) -> None:
    run = in_buckets.start_run(in_buckets.a, pauses=[2 * DAY, HOUR])
    in_buckets.world.run_until(run, "replace", INTENTS)
    in_buckets.world.delay(run, 14 * MINUTE)
    in_buckets.world.crash(run)
    intent = in_buckets.keys(in_buckets.a, INTENTS)[0]
    in_buckets.a.store().delete(intent)
    in_buckets.world.advance(DAY)
    assert not in_buckets.keys(in_buckets.a, INTENTS)


def test_a_manifest_whose_answer_is_lost_is_published_once(in_buckets: Setting) -> None:
    run = in_buckets.start_run(in_buckets.a)
    in_buckets.world.run_until(run, "put_new", MANIFESTS)
    in_buckets.world.lose_answer(run)
    in_buckets.world.finish(run)
    assert in_buckets.good_ids(in_buckets.a) == [run.result.id]
    assert len(list(in_buckets.a.store().versions(MANIFESTS))) == 1


def test_a_manifest_whose_answer_is_lost_does_not_come_back_after_its_backup_was_collected(in_buckets: Setting) -> None:
    run = in_buckets.start_run(in_buckets.a)
    backup_id = layout.id_of(in_buckets.world.run_until(run, "put_new", MANIFESTS).key)
    in_buckets.world.lose_answer(run)
    in_buckets.remove(in_buckets.a, backup_id)
    for _day in range(10):  # the intent covers the files for a week
        in_buckets.prune(in_buckets.a)
        in_buckets.world.advance(25 * HOUR)
    prune = in_buckets.start_prune(in_buckets.a)
    in_buckets.world.finish(run)
    in_buckets.world.finish(prune)
    assert isinstance(run.error, IntentLostError)
    assert not in_buckets.ids(in_buckets.a)


def test_a_failed_run_removes_nothing_while_its_manifest_may_be_on_its_way(in_buckets: Setting) -> None:
    run = in_buckets.start_run(in_buckets.a)
    backup_id = layout.id_of(in_buckets.world.run_until(run, "put_new", MANIFESTS).key)
    in_buckets.world.delay(run, 10 * MINUTE)
    while not run.is_done:
        if isinstance(run.pending, Request) and run.pending.key.startswith(MANIFESTS):
            in_buckets.world.lose_request(run)
        else:
            in_buckets.world.step(run)
    assert isinstance(run.error, LifeboatError)
    assert in_buckets.keys(in_buckets.a, INTENTS)
    in_buckets.prune(in_buckets.a)
    in_buckets.world.advance(HOUR)
    assert in_buckets.ids(in_buckets.a) == [backup_id]  # the watch has looked at its files


def test_another_manifest_under_its_id_fails_the_run(anywhere: Setting) -> None:
    run = anywhere.start_run(anywhere.a)
    found = anywhere.world.run_until(run, "put_new", MANIFESTS)
    anywhere.a.store().put_new(found.key, b"{}")
    anywhere.world.finish(run)
    assert isinstance(run.error, PublishError) or "another manifest" in str(run.error)


def test_a_run_moves_to_the_next_repository_under_a_new_id(in_buckets: Setting) -> None:
    earlier = in_buckets.back_up()
    run = in_buckets.start_run()
    left_id = layout.id_of(in_buckets.world.run_until(run, "put_new", MANIFESTS, place="A").key)
    in_buckets.world.lose_answer(run)
    in_buckets.world.is_down.add("A")
    in_buckets.world.finish(run)
    in_buckets.world.is_down.clear()
    assert run.result.place == "B"
    assert len(run.result.problems) == 2  # A could neither be written nor copied to
    assert in_buckets.ids(in_buckets.a) == [earlier.id, left_id]
    assert in_buckets.ids(in_buckets.b) == [earlier.id, run.result.id]
    later = in_buckets.back_up()
    in_buckets.copy(in_buckets.b, in_buckets.a, run.result.id)
    in_buckets.copy(in_buckets.a, in_buckets.b, left_id)
    assert not later.problems
    assert in_buckets.ids(in_buckets.a) == in_buckets.ids(in_buckets.b)


def test_two_hosts_of_one_job_do_not_disturb_each_other(anywhere: Setting) -> None:
    anywhere.back_up()
    runs = [anywhere.start_run(name=f"host {number}") for number in range(2)]
    while not all(run.is_done for run in runs):
        for run in runs:
            if not run.is_done:
                anywhere.world.step(run)
    assert [run.error for run in runs] == [None, None]
    assert not runs[0].result.problems + runs[1].result.problems
    for place in anywhere.both:
        assert len(anywhere.good_ids(place)) == 3


def test_a_server_that_restarts_at_the_publication_does_not_cost_the_backup(in_buckets: Setting) -> None:
    run = in_buckets.start_run(in_buckets.a)
    in_buckets.world.run_until(run, "put_new", MANIFESTS)
    in_buckets.world.is_down.add("A")
    back_at = in_buckets.world.now + MINUTE / 3
    while max(run.ready_at, in_buckets.world.now) < back_at:
        in_buckets.world.step(run)
    in_buckets.world.is_down.clear()
    in_buckets.world.finish(run)
    assert in_buckets.good_ids(in_buckets.a) == [run.result.id]


def test_in_directories_maintenance_waits_for_a_frozen_publication(in_directories: Setting) -> None:
    setting = in_directories
    run = setting.start_run(setting.a)
    backup_id = layout.id_of(setting.world.run_until(run, "put_new", MANIFESTS).key)
    prune = setting.start_prune(setting.a)
    for _step in range(30):
        setting.world.step(prune)
    assert not setting.keys(setting.a, "plans/")  # it waits for the lock
    setting.world.finish(run)
    setting.world.finish(prune)
    assert setting.good_ids(setting.a) == [backup_id]


def test_in_directories_a_publication_waits_for_maintenance(in_directories: Setting) -> None:
    setting = in_directories
    base = setting.back_up(setting.a)
    removal = setting.start_removal(setting.a, base.id)
    setting.watch.is_verified_min_kept = False
    setting.world.run_until(removal, "delete", MANIFESTS)
    run = setting.start_run(setting.a)
    setting.world.run_until(run, "shared_lock")
    for _step in range(30):
        setting.world.step(run)
    assert setting.ids(setting.a) == [base.id]
    setting.world.finish(removal)
    setting.world.finish(run)
    assert setting.good_ids(setting.a) == [run.result.id]  # it found its base gone, and started over


@pytest.mark.parametrize("fault", ["crash", "lose_request", "lose_answer"])
def test_after_a_fault_at_any_change_of_a_run_the_next_one_succeeds(tmp_path: pathlib.Path, fault: str) -> None:
    with made("bucket", tmp_path) as setting, simple_streams.in_place():
        hit = 0
        while True:
            run = setting.start_run(name=f"run {hit}", shares=False)
            if not _come_to_change(setting, run, hit):
                break
            getattr(setting.world, fault)(run)
            setting.world.finish(run)
            hit += 1
            setting.world.advance(2 * HOUR)
        assert hit > 15
        assert not run.result.problems
        setting.watch.check_good_backups()
        setting.collect_garbage()


def _come_to_change(setting: Setting, run: Process, number: int) -> bool:
    """Run a process until it is about to change something for the time after `number` times; False: it has ended."""
    while not run.is_done:
        if isinstance(run.pending, Request) and run.pending.is_change:
            if number == 0:
                return True
            number -= 1
        setting.world.step(run)
    return False


def test_a_crash_leaves_nothing_that_looks_like_a_backup(anywhere: Setting) -> None:
    run = anywhere.start_run(anywhere.a)
    anywhere.world.run_until(run, "put_new", MANIFESTS)
    anywhere.world.crash(run)
    assert not catalog.backups(anywhere.a.store(), JOB)
    assert anywhere.a.store().stat(manifest_key(layout.id_of(anywhere.keys(anywhere.a, INTENTS)[0]))) is None
    anywhere.collect_garbage()
