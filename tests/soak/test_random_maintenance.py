# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Backups, copies, prunes and removals of one job, and changes of a keyring, that are killed at random steps, one after
the other in any order.

After some of them all invariants must hold (`tests/functional/invariants.py`).
"""

from __future__ import annotations

import dataclasses
import functools
import random
import typing as t

from ansible_collections.lifeboat.recovery.tests.functional.crash_driver import Order
from ansible_collections.lifeboat.recovery.tests.functional.crash_states import copy_of
from ansible_collections.lifeboat.recovery.tests.functional.fault_fixtures import Driver, Ended
from ansible_collections.lifeboat.recovery.tests.functional.invariants import FOREIGN, Watched, age_plans
from ansible_collections.lifeboat.recovery.tests.functional.job_fixtures import own_locks
from ansible_collections.lifeboat.recovery.tests.functional.object_fixtures import (
    ObjectLab,
    body,
    contents,
    object_driver,
    object_lab,
)
from ansible_collections.lifeboat.recovery.tests.functional.test_crash_at_every_step import STATUS
from ansible_collections.lifeboat.recovery.tests.functional.test_keyring_crashes import Holder
from ansible_collections.lifeboat.recovery.tests.soak.random_runs import ENCRYPTED, FAULTS, MOST_CRASHES, repeated
from ansible_collections.lifeboat.recovery.tests.unit.plugins.module_utils._engine.repository import keyrings

__all__ = ["object_driver", "object_lab", "own_locks"]


class Chances:
    """What may be done to a job next, and the steps that such work had when nothing happened to it."""

    def __init__(self, chance: random.Random, watched: Watched) -> None:
        self._chance = chance
        self._watched = watched
        self._steps: dict[str, t.Sequence[str]] = {}
        self.kills = 0

    def order(self) -> Order:
        """Return work that may be killed; the repositories and backups that it is about are chosen anew each time."""
        watched, chance = self._watched, self._chance
        here, there = chance.sample(list(watched.sites), 2)
        kind = chance.choice(["backup", "backup", "prune", "prune", "copy", "delete"])
        if kind == "backup":
            changes = {f"folder-{chance.randrange(7)}/new-{chance.randrange(40)}": body(str(chance.random()), 3000)}
            watched.change(changes)
            return watched.order()
        if kind == "prune":
            if chance.random() < 0.5:
                age_plans(here, watched.job)
            return watched.prune(here)
        if kind == "copy":
            return watched.copy(here, there)
        return watched.delete(here, chance.choice(here.ids(watched.job)))

    def crash(self) -> None:
        """Kill or end a run at a step that such a run had before; one that has other steps ends by itself."""
        order = self.order()
        known = self._steps.get(order.use_case)
        if not known:
            self._steps[order.use_case] = self._ended(order).steps
            return
        fault = self._chance.choice(FAULTS)
        ended = self._ended(dataclasses.replace(order, step=self._chance.choice(known), fault=fault))
        self.kills += ended.status == STATUS[fault]
        assert ended.status in (STATUS[fault], 0), ended

    def _ended(self, order: Order) -> Ended:
        """Run something. A removal may be refused, as of one of the last two proved backups."""
        ended = self._watched.driver.run(order)
        is_refused = order.use_case == "delete" and ended.exit_code in (1, 3)
        assert ended.status or ended.is_good or is_refused, ended.error
        return ended


def maintenance_that_crashes(chance: random.Random, lab: ObjectLab, driver: Driver) -> int:
    """Kill work on a new job in two repositories again and again, and return how many runs were killed."""
    sites = chance.choice([[lab.bucket(), lab.directory()], [lab.directory(), lab.bucket()]])
    if chance.random() < ENCRYPTED:
        sites = list(lab.encrypted(*sites))
    # What compresses is not found in clear either: one object at least does not.
    objects = {**contents(chance.randint(20, 60), chance.choice([30, 3000])), "folder-0/known": body("0", 3000)}
    watched = Watched.begun(lab, driver, sites, objects)
    for _backup in range(2):
        watched.change({"folder-1/more": body(str(chance.random()), 3000)})
        watched.back_up()
    chances = Chances(chance, watched)
    for _round in range(3):
        while not chances.kills or chance.random() < 1 - 1 / (2 * MOST_CRASHES):
            chances.crash()
        assert all(site.store.stat(FOREIGN) is not None for site in sites)
        watched.assert_sound()
    return chances.kills


def keyrings_that_crash(chance: random.Random, lab: ObjectLab, driver: Driver) -> int:
    """Kill changes of a keyring again and again; it opens all the time, and all backups can be restored in the end."""
    holder, killed, epochs = Holder(lab, driver), 0, 1
    sites = holder.first
    for _round in range(4):
        options = chance.choice([{"epochs": epochs + 1}, {"secret": keyrings.fresh_secret().to_text()}])
        steps = holder.change(tuple(copy_of(lab, site) for site in sites), options).steps
        for _crash in range(chance.randint(1, MOST_CRASHES)):
            fault = chance.choice(FAULTS)
            assert holder.change(sites, options, chance.choice(steps), fault).status in (STATUS[fault], 0)
            killed += 1
            for site in sites:
                holder.look_at(site, str(options))
        ended = holder.change(sites, options)
        assert ended.is_good, ended.error
        sites, epochs = holder.changed(sites), options.get("epochs", epochs)
        holder.old = holder.new
        holder.back_up(sites)
        assert [len(site.store.keys.epochs) for site in sites] == [epochs, epochs]
    holder.assert_restorable(sites)
    return killed


def test_random_crashes_of_maintenance_cost_nothing_but_themselves(
    object_lab: ObjectLab, object_driver: Driver
) -> None:
    works = [maintenance_that_crashes, maintenance_that_crashes, keyrings_that_crash]
    repeated([functools.partial(work, lab=object_lab, driver=object_driver) for work in works])
