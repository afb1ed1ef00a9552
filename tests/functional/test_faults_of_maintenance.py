# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Copies, prunes, removals and restores whose server is overloaded or whose answers are lost, and full disks."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import subprocess
import typing as t

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository import layout
from ansible_collections.lifeboat.recovery.tests.functional.crash_driver import Order
from ansible_collections.lifeboat.recovery.tests.functional.fault_fixtures import Driver, Ended, Site
from ansible_collections.lifeboat.recovery.tests.functional.fault_proxy import Fault, FaultProxy, endpoint_through
from ansible_collections.lifeboat.recovery.tests.functional.invariants import FOREIGN, Watched, age_plans
from ansible_collections.lifeboat.recovery.tests.functional.job_fixtures import own_locks
from ansible_collections.lifeboat.recovery.tests.functional.object_fixtures import (
    ObjectLab,
    contents,
    object_driver,
    object_lab,
)

__all__ = ["object_driver", "object_lab", "own_locks"]

OBJECTS = contents(30, 3000)
# One answer of each request that changes something is lost after it had its effect; or all are refused at first.
FAULTS: t.Mapping[str, t.Callable[[], list[Fault]]] = {
    "lost answers": lambda: [Fault(r"^(PUT|DELETE|POST) ", "lose_answer", times=1)],
    "bursts of 503": lambda: [Fault(r"^(PUT|DELETE|POST|GET \S*(data|manifests)/)", "unavailable", times=2)],
}


@pytest.fixture
def proxy(object_lab: ObjectLab) -> t.Iterator[FaultProxy]:
    with FaultProxy(object_lab.minio.port) as running:
        yield running


@pytest.fixture
def watched(object_lab: ObjectLab, object_driver: Driver) -> Watched:
    """Return a job with four backups in a bucket; the time of some garbage has come."""
    watched = Watched.begun(object_lab, object_driver, [object_lab.bucket()], OBJECTS)
    for number in range(3):
        if number == 2:
            assert object_driver.run(watched.prune(watched.sites[0])).is_good
            age_plans(watched.sites[0], watched.job)
        watched.change({f"folder-{number}/more": f"more {number}".encode() * 500})
        watched.back_up()
    return watched


def through(proxy: FaultProxy, site: Site) -> Site:
    facts = {**site.facts, "endpoint": endpoint_through(proxy, site.facts["endpoint"])}
    return dataclasses.replace(site, facts=facts)


def in_the_end(driver: Driver, proxy: FaultProxy, order: Order) -> Ended:
    """Return how a run ends while there are faults; where that is badly, it is one without that must end well.

    A request that promises when it was decided on is not repeated: a lost answer to it may end a prune.
    """
    ended = driver.run(order)
    assert ended.status == 0, ended
    assert sum(map(len, (fault.hits for fault in proxy.faults))) > 3, "hardly anything was hit"
    if not ended.is_good:
        assert "Remedy" in ended.error, ended.error
        proxy.faults.clear()
        ended = driver.run(order)
    assert ended.is_good, ended.error
    proxy.faults.clear()
    return ended


@pytest.mark.parametrize("faults", FAULTS)
@pytest.mark.parametrize("use_case", ["prune", "delete"])
def test_maintenance_outlasts(watched: Watched, proxy: FaultProxy, faults: str, use_case: str) -> None:
    (site,) = watched.sites
    first = site.ids(watched.job)[0]
    proxy.faults += FAULTS[faults]()
    order = watched.prune(through(proxy, site)) if use_case == "prune" else watched.delete(through(proxy, site), first)
    ended = watched.driver.run(order)
    assert ended.status == 0 and (ended.is_good or "Remedy" in ended.error), ended
    assert any(fault.hits for fault in proxy.faults)
    proxy.faults.clear()
    if not ended.is_good and first in site.ids(watched.job):
        assert watched.driver.run(order).is_good
    assert first not in site.ids(watched.job)
    watched.assert_sound()


@pytest.mark.parametrize("faults", FAULTS)
def test_a_copy_and_a_restore_outlast(watched: Watched, proxy: FaultProxy, faults: str) -> None:
    (site,) = watched.sites
    target = watched.lab.bucket()
    target.store.put(FOREIGN, b"not ours")
    proxy.faults += FAULTS[faults]()
    in_the_end(watched.driver, proxy, watched.copy(through(proxy, site), through(proxy, target)))
    assert target.good_ids(watched.job) == site.good_ids(watched.job)
    proxy.faults.append(Fault(r"^GET \S*data/", "unavailable", times=1))
    assert watched.restored(through(proxy, target)) == watched.now
    proxy.faults.clear()
    watched.sites = [target]
    watched.assert_sound()


needs_mounts = pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount file systems")


@contextlib.contextmanager
def small_site(lab: ObjectLab, size: str) -> t.Iterator[Site]:
    """Mount a file system in memory that has only so much room, and make a repository in it."""
    folder = lab.folder / f"mount-{lab.job()}"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(folder)], check=True)
    try:
        yield lab.directory(str(folder))
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@contextlib.contextmanager
def filled(site: Site) -> t.Iterator[None]:
    """Leave no room for a single byte."""
    path = os.path.join(str(site.facts["directory"]), "ballast")
    with open(path, "wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    try:
        yield
    finally:
        os.unlink(path)


@needs_mounts
def test_a_copy_into_a_full_disk_publishes_nothing_there_and_goes_on_when_there_is_room(watched: Watched) -> None:
    (site,) = watched.sites
    with small_site(watched.lab, "16m") as target:
        target.store.put(FOREIGN, b"not ours")
        with filled(target):
            ended = watched.driver.run(watched.copy(site, target))
            assert ended.exit_code in (1, 5) and "no space is left" in ended.error, ended
            assert target.ids(watched.job) == [] and target.temporary_files() == []
        assert watched.driver.run(watched.copy(site, target)).is_good
        assert target.good_ids(watched.job) == site.good_ids(watched.job)
        watched.sites = [target]
        watched.assert_sound()


@needs_mounts
@pytest.mark.parametrize("use_case", ["prune", "delete", "backup"])
def test_a_full_disk_costs_nothing_that_is_there(object_lab: ObjectLab, object_driver: Driver, use_case: str) -> None:
    with small_site(object_lab, "16m") as site:
        watched = Watched.begun(object_lab, object_driver, [site], OBJECTS)
        for number in range(3):
            watched.change({f"folder-{number}/more": f"more {number}".encode() * 500})
            watched.back_up()
        first, *others = site.ids(watched.job)
        with filled(site):
            order = {"prune": watched.prune(site), "delete": watched.delete(site, first), "backup": watched.order()}
            ended = object_driver.run(order[use_case])
            assert ended.is_good or "no space is left" in ended.error, ended
            assert set(others[-2:]) <= set(site.good_ids(watched.job))
            assert site.temporary_files() == []
            assert watched.restored(site) == watched.now
        watched.assert_sound()


@needs_mounts
def test_a_restore_onto_a_full_disk_fails_and_is_finished_when_there_is_room(watched: Watched) -> None:
    (site,) = watched.sites
    with small_site(watched.lab, "4m") as place:
        root = str(place.facts["directory"])
        source = {"folder": root, "map": {watched.bucket: f"{root}/back"}}
        order = Order("restore_objects", watched.job, [site.facts], source=source)
        with filled(place):
            ended = watched.driver.run(order)
            assert ended.exit_code in (1, 5), ended
        again = watched.driver.run(order)
        assert again.is_good, again.error
        found = {
            os.path.relpath(os.path.join(above, name), f"{root}/back"): os.path.join(above, name)
            for above, _folders, names in os.walk(f"{root}/back")
            for name in names
        }
        assert {key: open(path, "rb").read() for key, path in found.items()} == watched.now  # noqa: SIM115


def test_what_a_sweep_finds_is_left_of_killed_runs_and_nothing_else(
    object_lab: ObjectLab, object_driver: Driver
) -> None:
    """A repository with every kind of leftover, in a directory and in a bucket, and things that look like some."""
    for site in (object_lab.directory(), object_lab.bucket()):
        watched = Watched.begun(object_lab, object_driver, [site], OBJECTS)
        watched.change({"folder-1/more": b"more" * 500})
        watched.back_up()
        steps = object_driver.run(watched.order()).steps
        for step in steps[:: max(1, len(steps) // 8)]:
            watched.change({"folder-2/more": step.encode() * 50})
            object_driver.run(watched.order(step=step, fault="kill"))
        killed = object_driver.run(watched.prune(site, step="pruning/prune.leased#1", fault="kill"))
        assert killed.status == -9, killed  # and leaves its lease
        litter, ours = scattered(site, watched.job)
        before_it = site.documents("")
        ended = object_driver.run(watched.prune(site))  # not yet: their time has not come
        assert ended.is_good, ended.error
        watched.proved.clear()  # the newest is that of a run that was killed after it
        watched.assert_sound()
        left = site.documents("").keys()
        assert not [key for key in litter if key in left]
        assert {key: before_it[key] for key in ours}.items() <= site.documents("").items()


def scattered(site: Site, job: str) -> tuple[list[str], list[str]]:
    """Write what runs can leave behind, and what they cannot; return the keys of both."""
    dead = "20200101T000000Z-0000aa"
    litter = {
        layout.data(job, dead, "pack-0000.tar.zst"): b"of a killed run",
        layout.data(job, dead, layout.FILES): b"[]\n",
        layout.intent(job, dead): b"{}",
        f"{layout.VERIFIED}{job}/{dead}/20200101T000001Z-0a1b-content.json": b"{}",
        f"{layout.plans(job)}000900.json": b"{",
    }
    ours = {
        layout.data(f"{job}-other", dead, "pack-0000.tar.zst"): b"of another job",
        f"{layout.DATA}{job}/not-an-id/pack-0000.tar.zst": b"of nobody",
        f"{layout.DATA}{job}/{dead}/deeper/file": b"not a stored file",
        f"{layout.MANIFESTS}{job}/notes.txt": b"somebody's",
        f"{job}/data/file": b"elsewhere",
    }
    for key, data in {**litter, **ours}.items():
        site.store.put(key, data)
    return list(litter), list(ours)
