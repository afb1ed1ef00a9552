# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Processes that stand still at the worst moment (SIGSTOP) and go on hours or days later, as if nothing had happened.

Requests that they had decided on before are then as old as they are: a real server judges their signatures.
"""

from __future__ import annotations

import dataclasses
import os
import signal
import typing as t

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository import layout
from ansible_collections.lifeboat.recovery.tests.functional.crash_driver import Order
from ansible_collections.lifeboat.recovery.tests.functional.fault_fixtures import Driver, Ended, Site
from ansible_collections.lifeboat.recovery.tests.functional.invariants import (
    FOREIGN,
    Watched,
    age_plans,
    needed,
    refused,
)
from ansible_collections.lifeboat.recovery.tests.functional.job_fixtures import own_locks
from ansible_collections.lifeboat.recovery.tests.functional.object_fixtures import (
    ObjectLab,
    contents,
    object_driver,
    object_lab,
)

__all__ = ["object_driver", "object_lab", "own_locks"]

LAYOUTS = ("directory", "bucket")
OBJECTS = contents(30, 3000)
HOURS, DAYS = 3600.0, 86400.0


def site_of(lab: ObjectLab, layout: str) -> Site:
    return lab.directory() if layout == "directory" else lab.bucket()


def before(steps: t.Sequence[str], name: str, number: int) -> str:
    """Return the step that comes before an occurrence of another one; negative numbers count from the last."""
    found = [place for place, step in enumerate(steps) if f"/{name}#" in step]
    return steps[found[number] - 1]


def stopped(driver: Driver, order: Order, step: str, away_s: float) -> int:
    """Begin a run that stands still at a step, and return the id of its process."""
    driver.begin(dataclasses.replace(order, step=step, fault="stop", away_s=away_s))
    return driver.wait_until_stopped()


def gone_on(driver: Driver, pid: int) -> Ended:
    os.kill(pid, signal.SIGCONT)
    return driver.ended()


@pytest.fixture(params=LAYOUTS)
def watched(request: pytest.FixtureRequest, object_lab: ObjectLab, object_driver: Driver) -> Watched:
    return Watched.begun(object_lab, object_driver, [site_of(object_lab, request.param)], OBJECTS)


def test_a_writer_that_stood_still_for_days_before_its_manifest_publishes_nothing(watched: Watched) -> None:
    """Its intent is dead after a week, and its files are gone a day later: its manifest would name nothing."""
    (site,), another = watched.sites, watched.lab.driver()
    watched.change({"folder-1/more": b"more" * 500})
    steps = watched.driver.run(watched.order()).steps
    watched.proved[site.good_ids(watched.job)[-1]] = dict(watched.now)
    is_bucket = "bucket" in site.facts
    name = "s3.put.sent" if is_bucket else "directory.put.linked"
    watched.change({"folder-2/more": b"yet more" * 500})
    # Of the puts of a run the last is that of the proof, and the one before it that of the manifest.
    pid = stopped(another, watched.order(), before(steps, name, -2) if is_bucket else _last_upload(steps), 9 * DAYS)
    (intent,) = site.documents(layout.intents(watched.job))
    written = {key for key in site.documents(f"data/{watched.job}/") if layout.id_of(intent) in key}
    assert written
    for _day in range(3):
        ended = watched.driver.run(watched.prune(site, is_week_later=True))
        assert ended.is_good, ended.error
        age_plans(site, watched.job)
    assert not written & site.documents(f"data/{watched.job}/").keys()
    ended = gone_on(another, pid)
    assert ended.status == 0 and ended.exit_code != 0, ended
    assert layout.id_of(intent) not in site.ids(watched.job)
    watched.assert_sound()


def _last_upload(steps: t.Sequence[str]) -> str:
    """Return the last step of a run before its lists and its manifest: in a directory these exclude maintenance."""
    return [step for step in steps if "directory.upload.dir_synced" in step][-1]


def test_a_writer_that_stood_still_for_an_hour_checks_again_and_publishes(watched: Watched) -> None:
    (site,) = watched.sites
    is_bucket = "bucket" in site.facts
    watched.change({"folder-1/more": b"more" * 500})
    steps = watched.driver.run(watched.order()).steps
    watched.change({"folder-2/more": b"yet more" * 500})
    step = before(steps, "s3.put.sent" if is_bucket else "directory.put.linked", -2)
    ended = gone_on(watched.driver, stopped(watched.driver, watched.order(), step, HOURS))
    assert ended.is_good, ended.error
    watched.proved[ended.one["id"]] = dict(watched.now)
    watched.assert_sound()


def test_a_pruner_that_stood_still_for_hours_removes_nothing_that_was_brought_meanwhile(
    object_lab: ObjectLab, object_driver: Driver
) -> None:
    """Each time it has just checked its lease, and decided to delete: the server refuses what is as old as that."""
    first, other = object_lab.bucket(), object_lab.directory()
    watched, another = with_garbage(object_lab, object_driver, first, other), object_lab.driver()
    steps = object_driver.run(watched.prune(cloned(object_lab, first), away_s=2 * HOURS)).steps
    removed = [place for place, step in enumerate(steps) if "/prune.file_removed#" in step]
    assert len(removed) > 3
    for place in (removed[0], removed[-1]):
        number = sum("/s3.delete.sent#" in step for step in steps[:place]) - 1
        site = cloned(object_lab, first)
        pid = stopped(another, watched.prune(site), before(steps, "s3.delete.sent", number), 2 * HOURS)
        copied = object_driver.run(watched.copy(other, site))
        assert copied.is_good, copied.error
        named = needed(site, watched.job)
        ended = gone_on(another, pid)
        assert ended.status == 0 and ended.exit_code != 0, ended
        assert named <= site.documents("data/").keys(), "a file that a copied backup needs is gone"
        assert site.good_ids(watched.job) == other.good_ids(watched.job)
    watched.sites = [site]
    watched.assert_sound()


def test_a_pruner_that_stands_still_in_a_directory_is_waited_for_and_ends_its_work(
    object_lab: ObjectLab, object_driver: Driver
) -> None:
    site, other = object_lab.directory(), object_lab.directory()
    watched, another = with_garbage(object_lab, object_driver, site, other), object_lab.driver()
    pid = stopped(another, watched.prune(site), "pruning/prune.manifest_removed#1", 2 * HOURS)
    refused(object_driver.run(watched.copy(other, site)), "is under way")
    ended = gone_on(another, pid)
    assert ended.is_good, ended.error
    assert object_driver.run(watched.copy(other, site)).is_good
    watched.sites = [site]
    watched.assert_sound()


def with_garbage(lab: ObjectLab, driver: Driver, site: Site, other: Site) -> Watched:
    """Return a job with backups that expire, and files whose time has come; `other` has copies of all of it."""
    watched = Watched.begun(lab, driver, [site], OBJECTS)
    for number in range(4):
        if number == 2:
            assert driver.run(watched.prune(site)).is_good
            age_plans(site, watched.job)
        watched.change({f"folder-{number}/more": f"more {number}".encode() * 500})
        watched.back_up()
        other.store.put(FOREIGN, b"not ours")
        assert driver.run(watched.copy(site, other)).is_good
    return watched


def cloned(lab: ObjectLab, site: Site) -> Site:
    """Return a bucket with the same in it."""
    clone = lab.bucket()
    for key, data in site.documents("").items():
        if key != layout.IDENTITY and not key.startswith("maintenance/"):
            clone.store.put(key, data)
    return clone


@pytest.mark.parametrize(("kind", "minutes"), [("directory", -10), ("bucket", 10)])
def test_who_has_a_wrong_clock_removes_nothing(
    object_lab: ObjectLab, object_driver: Driver, kind: str, minutes: int
) -> None:
    site = site_of(object_lab, kind)
    watched = Watched.begun(object_lab, object_driver, [site], OBJECTS)
    for number in range(3):
        watched.change({f"folder-{number}/more": f"more {number}".encode() * 500})
        watched.back_up()
    before_it = site.documents("")
    for order in (watched.prune(site), watched.delete(site, site.ids(watched.job)[0])):
        ended = object_driver.run(dataclasses.replace(order, clock_ahead_s=60.0 * minutes))
        assert (ended.exit_code, ended.guard) == (3, "clock"), ended
    assert site.documents("") == before_it
    assert object_driver.run(watched.prune(site)).is_good
