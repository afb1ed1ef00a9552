# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Backups and restores of databases that are killed at random steps, several times in a row, as long as one wants."""

from __future__ import annotations

import functools
import random

from ansible_collections.lifeboat.recovery.tests.functional.fault_fixtures import Driver, Lab, driver, lab
from ansible_collections.lifeboat.recovery.tests.functional.test_crash_at_every_step import (
    LAYOUTS,
    STATUS,
    Backups,
    Restores,
)
from ansible_collections.lifeboat.recovery.tests.soak.random_runs import FAULTS, MOST_CRASHES, repeated

__all__ = ["driver", "lab"]


def backups_that_crash(chance: random.Random, lab: Lab, driver: Driver) -> int:
    """Kill the runs of a new job again and again, and return how many were killed."""
    backups, job, killed = Backups(lab, driver, chance.choice(LAYOUTS)), lab.job(), 0
    everything = backups.all_steps()
    options, _step = chance.choice(everything)
    steps = [step for having, step in everything if having is options]
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
    restores, killed = Restores(lab, driver), 0
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


def test_random_crashes_cost_nothing_but_themselves(lab: Lab, driver: Driver) -> None:
    works = [backups_that_crash, backups_that_crash, restores_that_crash]
    repeated([functools.partial(work, lab=lab, driver=driver) for work in works])
