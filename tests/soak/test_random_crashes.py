# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Backups and restores of databases that are killed at random steps, several times in a row, as long as one wants."""

from __future__ import annotations

import dataclasses
import functools
import random
import typing as t

from ansible_collections.lifeboat.recovery.tests.functional.crash_driver import Order
from ansible_collections.lifeboat.recovery.tests.functional.fault_fixtures import Driver, Lab, driver, lab
from ansible_collections.lifeboat.recovery.tests.functional.test_crash_at_every_step import (
    LAYOUTS,
    STATUS,
    Backups,
    Restores,
)
from ansible_collections.lifeboat.recovery.tests.soak.random_runs import ENCRYPTED, FAULTS, MOST_CRASHES, repeated

__all__ = ["driver", "lab"]


def backups_that_crash(chance: random.Random, lab: Lab, driver: Driver) -> int:
    """Kill the runs of a new job again and again, and return how many were killed."""
    backups, job, killed = Backups(lab, driver, chance.choice(LAYOUTS), chance.random() < ENCRYPTED), lab.job(), 0
    everything = backups.all_steps()
    options, _step = chance.choice(everything)
    steps = [step for having, step in everything if having is options]
    backups.sites, backups.good = backups.empty, []
    backups.recover(job, options, "the first run")
    for _round in range(5):
        for _crash in range(chance.randint(1, MOST_CRASHES)):
            step = chance.choice(steps)
            backups.crash(job, options, step, chance.choice(FAULTS), may_miss=True)
            killed += 1
        backups.recover(job, options, f"after {step}")
    return killed


def restores_that_crash(chance: random.Random, lab: Lab, driver: Driver) -> int:
    """Kill the restores of a new database again and again, and return how many were killed."""
    restores, killed = Restores(lab, driver, chance.random() < ENCRYPTED), 0
    steps = restores.run().steps
    for _round in range(3):
        restores.renew()
        for _crash in range(chance.randint(1, MOST_CRASHES)):
            fault = chance.choice(FAULTS)
            assert restores.run(chance.choice(steps), fault).status in (STATUS[fault], 0)
            restores.wait_for_orphans()
            killed += 1
        again = restores.run()
        assert again.is_good, again.error
        assert restores.age(restores.name) == "new100"
        assert restores.databases("lifeboat%") == []
    return killed


def maintenance_that_crashes(chance: random.Random, lab: Lab, driver: Driver) -> int:
    """Kill prunes and removals of backups of a database; the newest ones stay good, and the next prune ends well."""
    site, job, killed = chance.choice([lab.bucket, lab.directory])(), lab.job(), 0
    if chance.random() < ENCRYPTED:
        (site,) = lab.encrypted(site)
    order = Order("back_up", job, [site.facts], lab.server, {"database": "tiny", "wait_s": 0}, is_hour_later=True)
    steps: dict[str, t.Sequence[str]] = {}
    for _round in range(3):
        for _backup in range(3):
            ended = driver.run(order)
            assert ended.is_good, ended.error
        newest = site.good_ids(job)[-2:]
        options = {
            "prune": {"keep": {"last": 2}, "force": True, "wait_s": 0},
            "delete": {"backup_id": site.ids(job)[0], "wait_s": 0},
        }
        for use_case in ("delete", "prune"):
            work = dataclasses.replace(order, use_case=use_case, options=options[use_case])
            if steps.get(use_case) and (use_case == "prune" or len(site.ids(job)) > 2):
                fault = chance.choice(FAULTS)
                ended = driver.run(dataclasses.replace(work, step=chance.choice(steps[use_case]), fault=fault))
                assert ended.status in (STATUS[fault], 0), ended
                killed += 1
            if use_case == "prune" or options["delete"]["backup_id"] in site.ids(job):
                whole = driver.run(work)
                assert whole.is_good, whole.error
                steps[use_case] = whole.steps
        assert site.good_ids(job) == newest
        assert site.faults(job) == [] and site.good_without_proof(job) == []
        assert site.temporary_files() == []
    return killed


def test_random_crashes_cost_nothing_but_themselves(lab: Lab, driver: Driver) -> None:
    works = [backups_that_crash, backups_that_crash, restores_that_crash, maintenance_that_crashes]
    repeated([functools.partial(work, lab=lab, driver=driver) for work in works])
