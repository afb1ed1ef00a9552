# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A prune and a removal are killed at the first and the last occurrence of each of their steps.

Afterwards every published backup is whole, the newest can be restored, and the next plain prune ends where one without
a crash does; one follows on each state that crashes leave (`crash_states.py`). What lies in directories is encrypted.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import typing as t

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository import layout
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.deletion_plan import DeletionPlan
from ansible_collections.lifeboat.recovery.tests.functional.crash_driver import Order
from ansible_collections.lifeboat.recovery.tests.functional.crash_states import Recovered, copy_of, state_of
from ansible_collections.lifeboat.recovery.tests.functional.fault_fixtures import Driver, Site
from ansible_collections.lifeboat.recovery.tests.functional.job_fixtures import own_locks
from ansible_collections.lifeboat.recovery.tests.functional.object_fixtures import (
    ObjectLab,
    assert_good,
    contents,
    faults,
    object_driver,
    object_lab,
)
from ansible_collections.lifeboat.recovery.tests.functional.test_crash_at_every_step import ends_of_steps

__all__ = ["object_driver", "object_lab", "own_locks"]

KILLED = -9
LAYOUTS = ("directory", "bucket")
OBJECTS = contents(40, 3000)
_DEAD = "20200101T000000Z-0000aa"
_LEFT = "20200102T000000Z-0000bb"
_STEPS_PER_LOOK = 8


class Yard:
    """A repository with expired backups, garbage whose time has come, and what a dead run left; and copies of it."""

    def __init__(self, lab: ObjectLab, driver: Driver, kind: str) -> None:
        self.lab = lab
        self.driver = driver
        self.kind = kind
        self.job = lab.job()
        self.recovered = Recovered()
        self.first = self._new_site()
        self.objects = dict(OBJECTS)
        self.bucket = lab.bucket_with(OBJECTS)
        self.ids = [self._backed_up(number) for number in range(4)]
        self._litter(self.first.store)
        assert self.first.is_readable_by_all is (kind == "bucket")

    def _new_site(self) -> Site:
        if self.kind == "bucket":
            return self.lab.bucket()
        (site,) = self.lab.encrypted(self.lab.directory())
        return site

    def _backed_up(self, number: int) -> str:
        """Back up after a change: later backups need packs and indexes of earlier ones."""
        changes = {f"folder-{number}/new": f"new {number}".encode() * 300}
        self.objects.update(changes)
        self.lab.write(self.bucket, changes)
        order = self.lab.backup(self.job, self.bucket, self.first, options={})
        return assert_good(self.driver.run(order), self.job, self.first)

    def _litter(self, store: t.Any) -> None:
        keys = [layout.data(self.job, _LEFT, name) for name in ("pack-0000.tar.zst", "files.jsonl")]
        for key in (*keys, layout.data(self.job, _DEAD, "pack-0000.tar.zst")):
            store.put(key, b"left by a killed run")
        store.put(layout.intent(self.job, _DEAD), b"{}")
        plan = DeletionPlan(self.job, store.now() - dt.timedelta(days=3), tuple(keys), is_struck=True)
        store.put(f"{layout.plans(self.job)}000001.json", plan.to_bytes())

    def copy(self) -> Site:
        """Return a repository with the same in it."""
        return copy_of(self.lab, self.first)

    def prune(self, site: Site, step: str = "", is_week_later: bool = True) -> t.Any:
        options = {"keep": {"last": 2}, "force": True, "wait_s": 0}
        order = Order("prune", self.job, [site.facts], options=options, step=step, fault="kill" if step else "")
        return self.driver.run(dataclasses.replace(order, is_hour_later=True, is_week_later=is_week_later))

    def delete(self, site: Site, step: str = "") -> t.Any:
        options = {"backup_id": self.ids[0], "wait_s": 0}
        order = Order("delete", self.job, [site.facts], options=options, step=step, fault="kill" if step else "")
        return self.driver.run(dataclasses.replace(order, is_hour_later=True))

    def keys(self, site: Site) -> set[str]:
        """Return what lies there, but for plans, whose numbers depend on the past, and the lease."""
        found = site.documents("").keys()
        return {key for key in found if not key.startswith(("plans/", "maintenance/", layout.VERIFIED))}

    def planned(self, site: Site) -> set[str]:
        texts = site.documents(layout.plans(self.job)).items()
        return {each for key, text in texts for each in DeletionPlan.from_bytes(text, key).keys}

    def look_at(self, site: Site, step: str, is_thorough: bool) -> None:
        assert faults(site, self.job) == [], step
        good = site.good_ids(self.job)
        assert set(self.ids[2:]) <= set(good), step
        assert site.good_without_proof(self.job) == [], step
        if is_thorough:
            assert self.lab.restored(self.driver, self.job, self.bucket, site) == self.objects, step


@pytest.mark.parametrize("kind", LAYOUTS)
def test_a_prune_killed_at_any_step_is_finished_by_the_next(
    object_lab: ObjectLab, object_driver: Driver, kind: str
) -> None:
    yard = Yard(object_lab, object_driver, kind)
    whole = yard.copy()
    ended = yard.prune(whole)
    assert ended.is_good, ended.error
    assert ended.one["files"] == 2 and list(ended.one["removed"]) == yard.ids[:2]
    assert layout.data(yard.job, _DEAD, "pack-0000.tar.zst") in yard.planned(whole)
    assert not whole.documents(layout.intents(yard.job))
    steps = [step for step in ends_of_steps(ended.steps) if "prune.done" not in step]
    for name in ("leased", "intent_removed", "struck", "manifest_removed", "file_removed", "plan_removed", "planned"):
        assert any(f"prune.{name}" in step for step in steps), name
    for number, step in enumerate(steps):
        site = yard.copy()
        killed = yard.prune(site, step)
        assert killed.status == KILLED, f"{step}: {killed}"
        yard.look_at(site, step, is_thorough=number % _STEPS_PER_LOOK == 0)
        if not yard.recovered.is_new(state_of(yard.job, site)):
            continue
        again = yard.prune(site)
        assert again.is_good, f"{step}: {again.error}"
        assert yard.keys(site) == yard.keys(whole), step
        assert yard.planned(site) == yard.planned(whole), step
        assert site.temporary_files() == [], step
        last = site
    order = object_lab.backup(yard.job, yard.bucket, last, options={})
    assert_good(object_driver.run(order), yard.job, last)
    assert object_lab.restored(object_driver, yard.job, yard.bucket, last) == yard.objects


@pytest.mark.parametrize("kind", LAYOUTS)
def test_a_removal_killed_at_any_step_is_finished_by_the_next(
    object_lab: ObjectLab, object_driver: Driver, kind: str
) -> None:
    yard = Yard(object_lab, object_driver, kind)
    whole = yard.copy()
    ended = yard.delete(whole)
    assert ended.is_good, ended.error
    assert whole.ids(yard.job) == yard.ids[1:]
    for step in ends_of_steps(ended.steps):
        site = yard.copy()
        killed = yard.delete(site, step)
        assert killed.status == KILLED, f"{step}: {killed}"
        yard.look_at(site, step, is_thorough=False)
        if not yard.recovered.is_new(state_of(yard.job, site)):
            continue
        if yard.ids[0] in site.ids(yard.job):
            assert yard.delete(site).is_good, step
        assert yard.keys(site) == yard.keys(whole), step


@pytest.mark.parametrize("kind", LAYOUTS)
def test_days_of_prunes_leave_just_what_the_kept_backups_need(
    object_lab: ObjectLab, object_driver: Driver, kind: str
) -> None:
    yard = Yard(object_lab, object_driver, kind)
    site = yard.copy()
    for _day in range(3):
        ended = yard.prune(site)
        assert ended.is_good, ended.error
        for key, text in site.documents(layout.plans(yard.job)).items():
            plan = DeletionPlan.from_bytes(text, key)
            older = dataclasses.replace(plan, created=plan.created - dt.timedelta(days=2), is_struck=True)
            site.store.put(key, older.to_bytes())
    assert site.good_ids(yard.job) == yard.ids[2:]
    assert not site.documents(layout.plans(yard.job))
    assert not yard.keys(site) & {layout.data(yard.job, name, "files.jsonl") for name in (_DEAD, _LEFT)}
    owners = {key.split("/")[2] for key in site.documents(f"data/{yard.job}/")}
    assert yard.ids[0] in owners  # its pack is needed still
    assert layout.data(yard.job, yard.ids[1], layout.SUMS) not in yard.keys(site)
    assert faults(site, yard.job) == []
    assert object_lab.restored(object_driver, yard.job, yard.bucket, site) == yard.objects
    assert object_lab.unfinished_uploads() == []
