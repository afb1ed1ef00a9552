# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Backups of buckets, their copies and restores are killed at the first and the last occurrence of each of their steps.

Repositories in buckets are encrypted, and those that lie in directories are not. A next run follows on each state that
crashes leave (`crash_states.py`). All occurrences are killed by the endless tests.
"""

from __future__ import annotations

import dataclasses

import pytest
from ansible_collections.lifeboat.recovery.tests.functional.crash_driver import Order
from ansible_collections.lifeboat.recovery.tests.functional.crash_states import Recovered, state_of
from ansible_collections.lifeboat.recovery.tests.functional.fault_fixtures import Driver, Ended, Site
from ansible_collections.lifeboat.recovery.tests.functional.job_fixtures import own_locks
from ansible_collections.lifeboat.recovery.tests.functional.object_fixtures import (
    ObjectLab,
    assert_good,
    contents,
    faults,
    object_driver,
    object_lab,
)
from ansible_collections.lifeboat.recovery.tests.functional.test_crash_at_every_step import ends_of_steps, of_share

__all__ = ["object_driver", "object_lab", "own_locks"]

KILLED = -9
OBJECTS = contents(45, 65_000)  # three packs
_STEPS_PER_LOOK = 10
_STATES_PER_LOOK = 6


def site_of(lab: ObjectLab, layout: str) -> Site:
    if layout == "directory":
        return lab.directory()
    (site,) = lab.encrypted(lab.bucket())
    return site


@pytest.mark.parametrize("share", range(2))
@pytest.mark.parametrize("layout", ["directory", "bucket"])
def test_a_backup_of_three_packs_killed_at_any_step_costs_nothing_but_itself(
    object_lab: ObjectLab, object_driver: Driver, layout: str, share: int
) -> None:
    site, job = site_of(object_lab, layout), object_lab.job()
    bucket = object_lab.bucket_with(OBJECTS)
    order = object_lab.backup(job, bucket, site, options={"mode": "full"})
    first = assert_good(object_driver.run(order), job, site)
    assert len([key for key in site.documents(f"data/{job}/{first}/") if "/pack-" in key]) == 3
    steps = object_driver.run(order).steps
    good = set(site.good_ids(job))
    for number, step in enumerate(of_share(ends_of_steps(steps), share, 2)):
        ended = object_driver.run(dataclasses.replace(order, step=step, fault="kill"))
        assert ended.status == KILLED, f"{step}: {ended}"
        assert good <= set(site.good_ids(job)), step
        if number % _STEPS_PER_LOOK == 0:
            assert faults(site, job) == [], step
            assert site.good_without_proof(job) == [], step
            good.add(assert_good(object_driver.run(order), job, site))
            assert object_lab.unfinished_uploads() == [], step
    assert_good(object_driver.run(order), job, site)
    assert object_lab.unfinished_uploads() == []
    assert object_lab.restored(object_driver, job, bucket, site) == OBJECTS
    assert site.is_readable_by_all is (layout == "directory")


@pytest.mark.parametrize("layout", ["directory", "bucket"])
def test_a_changing_bucket_is_backed_up_after_each_crash(
    object_lab: ObjectLab, object_driver: Driver, layout: str
) -> None:
    """Each run has something to write that the killed one had, too, and takes the rest over from its base."""
    site, job = site_of(object_lab, layout), object_lab.job()
    now = dict(contents(300, 500))
    bucket = object_lab.bucket_with(now)
    order = object_lab.backup(job, bucket, site, options={})
    assert_good(object_driver.run(order), job, site)
    object_lab.write(bucket, {"folder-0/changed": b"0"})
    steps = object_driver.run(order).steps
    for number, step in enumerate(ends_of_steps(steps)[::6]):
        changes = {"folder-0/changed": str(number).encode(), f"folder-3/new-{number}": b"new"}
        now.update(changes)
        object_lab.write(bucket, changes)
        ended = object_driver.run(dataclasses.replace(order, step=step, fault="kill"))
        assert ended.status == KILLED, f"{step}: {ended}"
        assert object_driver.run(order).is_good, step
    assert object_lab.restored(object_driver, job, bucket, site) == now
    assert faults(site, job) == []


def test_a_restore_killed_at_any_step_is_finished_by_the_next(object_lab: ObjectLab, object_driver: Driver) -> None:
    site, job, recovered = site_of(object_lab, "bucket"), object_lab.job(), Recovered()
    bucket = object_lab.bucket_with(OBJECTS)
    assert_good(object_driver.run(object_lab.backup(job, bucket, site)), job, site)
    whole = object_driver.run(object_lab.restore(job, bucket, object_lab.bucket_with({}), site))
    assert whole.is_good, whole.error
    missed = []
    for step in ends_of_steps(whole.steps):
        to = object_lab.bucket_with({})
        order = object_lab.restore(job, bucket, to, site)
        ended = object_driver.run(dataclasses.replace(order, step=step, fault="kill"))
        found = object_lab.contents(to)
        if ended.is_good and "/s3.put." in step:  # how many archives there are depends on how fast their objects come
            assert found == OBJECTS, step
            missed.append(step)
            continue
        assert ended.status == KILLED, f"{step}: {ended}"
        assert found.items() <= OBJECTS.items(), f"{step}: something else is there"
        if recovered.is_new(frozenset(found)):
            again = object_driver.run(order)
            assert again.is_good, f"{step}: {again.error}"
            assert object_lab.contents(to) == OBJECTS, step
    assert not [step for step in missed if step.endswith("#1")]


@pytest.mark.parametrize("layout", ["directory", "bucket"])
def test_a_copy_killed_at_any_step_is_made_good_by_the_next(
    object_lab: ObjectLab, object_driver: Driver, layout: str
) -> None:
    """A backup and one that needs files of it are brought into an empty repository, and their keyring with them."""
    site, job = site_of(object_lab, "bucket" if layout == "directory" else "directory"), object_lab.job()
    now, recovered = dict(OBJECTS), Recovered()
    bucket = object_lab.bucket_with(now)
    for number in range(2):
        now["folder-0/changed"] = f"change {number}".encode() * 50
        object_lab.write(bucket, {"folder-0/changed": now["folder-0/changed"]})
        assert_good(object_driver.run(object_lab.backup(job, bucket, site, options={})), job, site)

    def new_target() -> Site:
        return (object_lab.directory() if layout == "directory" else object_lab.bucket()).opened_like(site)

    def copied(target: Site, step: str = "") -> Ended:
        options = {"backup": "all", "wait_s": 0}
        order = Order("copy", job, [site.facts, target.facts], options=options, is_hour_later=not step)
        return object_driver.run(dataclasses.replace(order, step=step, fault="kill" if step else ""))

    whole = copied(new_target())
    assert whole.is_good, whole.error
    looks, chosen = 0, ends_of_steps(whole.steps)
    assert {"copying/copy.published#1", "copying/copy.published#2"} <= {*chosen}  # there, and not proved yet
    for step in chosen:
        target = new_target()
        ended = copied(target, step)
        assert ended.status == KILLED, f"{step}: {ended}"
        assert faults(target, job) == [], step
        assert target.good_without_proof(job) == [], step
        if not recovered.is_new(state_of(job, target)):
            continue
        again = copied(target)
        assert again.is_good, f"{step}: {again.error}"
        assert target.good_ids(job) == site.good_ids(job), step
        assert target.temporary_files() == [], step
        assert faults(target, job) == [], step
        assert target.is_readable_by_all is (layout == "bucket"), step
        if looks % _STATES_PER_LOOK == 0:
            assert object_lab.restored(object_driver, job, bucket, target) == now, step
        looks += 1
