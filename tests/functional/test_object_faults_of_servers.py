# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Servers that die, answer strangely, or let nobody in any more while buckets are backed up and restored."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import re
import threading
import typing as t

import pytest
from ansible_collections.lifeboat.recovery.tests.functional.fault_fixtures import BUCKET, Driver, Ended, Site
from ansible_collections.lifeboat.recovery.tests.functional.fault_proxy import Fault, FaultProxy, endpoint_through
from ansible_collections.lifeboat.recovery.tests.functional.job_fixtures import own_locks
from ansible_collections.lifeboat.recovery.tests.functional.object_fixtures import (
    ObjectLab,
    Order,
    assert_good,
    body,
    contents,
    object_driver,
    object_lab,
)
from ansible_collections.lifeboat.recovery.tests.functional.s3_fixtures import VERSIONED

__all__ = ["object_driver", "object_lab", "own_locks"]

OBJECTS = contents(120, 3000)
SUSPENDED = VERSIONED.replace(b"Enabled", b"Suspended")


def from_proxy(lab: ObjectLab, proxy: FaultProxy, order: Order) -> Order:
    """Let a run reach the server of its buckets through a proxy."""
    return dataclasses.replace(
        order, source={**order.source, "endpoint": endpoint_through(proxy, lab.origin_endpoint())}
    )


def through(proxy: FaultProxy, site: Site) -> Site:
    return dataclasses.replace(site, facts={**site.facts, "endpoint": endpoint_through(proxy, site.facts["endpoint"])})


def a_step(driver: Driver, order: Order, pattern: str) -> str:
    """Return a step in the middle of what a run has of a kind."""
    ended = driver.run(order)
    assert ended.is_good, ended.error
    found = [step for step in ended.steps if re.search(pattern, step)]
    return found[len(found) // 2]


@contextlib.contextmanager
def held(driver: Driver, order: Order, step: str) -> t.Iterator[list[Ended]]:
    """Hold a run up at a step while the block is carried out, then let it go on to its end."""
    driver.begin(dataclasses.replace(order, step=step, fault="hold"))
    driver.wait_until_held()
    ended: list[Ended] = []
    yield ended
    driver.go_on()
    ended.append(driver.ended())


WRITING = r"^reading/(s3\.put\.|s3\.part\.|directory\.)"


def at_request(proxy: FaultProxy, number: int, pattern: str, act: t.Callable[[], object]) -> None:
    """Do something just before the n-th request of a kind goes on, while others may be on their way."""
    count, lock = itertools.count(1), threading.Lock()

    def before(line: str) -> None:
        if re.search(pattern, line):
            with lock:
                if next(count) == number:
                    act()

    proxy.before = before


def test_one_request_in_a_hundred_that_fails_costs_nothing(object_lab: ObjectLab, object_driver: Driver) -> None:
    site, job = object_lab.bucket(), object_lab.job()
    now = contents(500, 1500)
    bucket = object_lab.bucket_with(now)
    to = object_lab.bucket_with({})
    with FaultProxy(object_lab.origin.port) as near, FaultProxy(object_lab.minio.port) as far:
        for proxy, every in ((near, 150), (far, 12)):
            # A body that is cut or too long is only possible where there is one.
            proxy.faults += [Fault("", "unavailable", every=every)]
            # A request with a condition is not repeated when nobody knows what became of it: that costs the run.
            proxy.faults += [Fault(r"^(GET|HEAD|PUT \S*/data/)", "reset", every=every)]
            proxy.faults += [Fault("^GET", kind, every=every + 3) for kind in ("short", "longer")]
        order = object_lab.backup(job, bucket, through(far, site))
        ended = object_driver.run(from_proxy(object_lab, near, order))
        assert_good(ended, job, site)
        restore = object_lab.restore(job, bucket, to, through(far, site))
        back = object_driver.run(from_proxy(object_lab, near, restore))
        hits = [sum(fault.hits.values()) for proxy in (near, far) for fault in proxy.faults]
    assert all(hits), hits
    assert back.is_good, back.error
    assert object_lab.contents(to) == now


def test_a_server_that_dies_while_it_is_read_costs_that_run_only(object_lab: ObjectLab, object_driver: Driver) -> None:
    site, job = object_lab.bucket(), object_lab.job()
    bucket = object_lab.bucket_with(OBJECTS)
    with FaultProxy(object_lab.origin.port) as proxy:
        order = from_proxy(object_lab, proxy, object_lab.backup(job, bucket, site, options={"mode": "full"}))
        first = assert_good(object_driver.run(order), job, site)
        at_request(proxy, 60, f"^GET /{bucket}/folder", object_lab.origin.kill)
        try:
            ended = object_driver.run(order)
        finally:
            object_lab.origin.start()
        assert ended.exit_code == 1, ended
        assert site.good_ids(job) == site.ids(job) == [first]
        proxy.before = lambda _line: None
        assert_good(object_driver.run(order), job, site)
    assert object_lab.unfinished_uploads() == []
    assert object_lab.restored(object_driver, job, bucket, site) == OBJECTS


def test_single_objects_that_a_server_cannot_give_keep_the_state_of_the_base_and_are_reported(
    object_lab: ObjectLab, object_driver: Driver
) -> None:
    site, job = object_lab.bucket(), object_lab.job()
    big = {"folder-8/big": body("big", 20 * 1024 * 1024)}  # is read in ranges
    bucket = object_lab.bucket_with({**OBJECTS, **big})
    changed = {key: body(f"changed {key}", 3000) for key in sorted(OBJECTS)[:40]}
    new = {f"folder-9/new-{number}": body(f"new {number}", 10) for number in range(3)}
    ill = {"folder-9/new-1": "unreadable", sorted(changed)[7]: "outdated", sorted(changed)[8]: "outdated"}
    with FaultProxy(object_lab.origin.port) as proxy:
        order = from_proxy(object_lab, proxy, object_lab.backup(job, bucket, site))
        assert_good(object_driver.run(order), job, site)
        object_lab.write(bucket, {**changed, **new, "folder-8/big": big["folder-8/big"][::-1]})
        pattern = "^GET .*(" + "|".join([*ill, "folder-8/big"]) + ")"
        proxy.faults = [Fault(pattern, "unavailable", times=1 << 30)]
        ended = object_driver.run(order)
        assert ended.exit_code == 5, ended
        assert "1 unreadable" in ended.error and "3 outdated" in ended.error
        found = object_lab.restored(object_driver, job, bucket, site)
        kept = {key: OBJECTS[key] for key, what in ill.items() if what == "outdated"}
        del new["folder-9/new-1"]
        assert found == {**OBJECTS, **changed, **big, **new, **kept}
        proxy.faults.clear()
        assert_good(object_driver.run(order), job, site)
    assert object_lab.restored(object_driver, job, bucket, site) == object_lab.contents(bucket)


def test_a_server_that_can_give_no_object_at_all_ends_the_run(object_lab: ObjectLab, object_driver: Driver) -> None:
    site, job = object_lab.bucket(), object_lab.job()
    bucket = object_lab.bucket_with(OBJECTS)
    with FaultProxy(object_lab.origin.port) as proxy:
        order = from_proxy(object_lab, proxy, object_lab.backup(job, bucket, site, options={"mode": "full"}))
        first = assert_good(object_driver.run(order), job, site)
        failing = Fault(f"^GET /{bucket}/folder", "unavailable", times=1 << 30)
        at_request(proxy, 30, f"^GET /{bucket}/folder", lambda: proxy.faults.append(failing))
        ended = object_driver.run(order)
    assert ended.exit_code == 1 and "503" in ended.error, ended
    assert site.ids(job) == [first]


def test_a_repository_that_dies_while_it_is_written_costs_that_run_only(
    object_lab: ObjectLab, object_driver: Driver
) -> None:
    site, job = object_lab.bucket(), object_lab.job()
    bucket = object_lab.bucket_with(OBJECTS)
    order = object_lab.backup(job, bucket, site, options={"mode": "full"})
    step = a_step(object_driver, order, WRITING)
    known = site.good_ids(job)
    try:
        with held(object_driver, order, step) as ended:
            object_lab.minio.kill()
    finally:
        object_lab.minio.start()
    assert ended[0].exit_code == 1, ended
    assert site.good_ids(job) == site.ids(job) == known
    assert object_lab.restored(object_driver, job, bucket, site) == OBJECTS
    assert_good(object_driver.run(order), job, site)
    assert object_lab.unfinished_uploads() == []


@pytest.mark.parametrize("which", ["source", "repository"])
def test_credentials_that_expire_midway_cost_that_run_only(
    object_lab: ObjectLab, object_driver: Driver, which: str
) -> None:
    site, job = object_lab.bucket(), object_lab.job()
    bucket = object_lab.bucket_with(OBJECTS)
    is_source = which == "source"
    with FaultProxy(object_lab.origin.port if is_source else object_lab.minio.port) as proxy:
        order = object_lab.backup(job, bucket, site if is_source else through(proxy, site), options={"mode": "full"})
        order = from_proxy(object_lab, proxy, order) if is_source else order
        assert_good(object_driver.run(order), job, site)
        known, expired = site.good_ids(job), Fault("", "expired", times=1 << 30)
        pattern = f"^GET /{bucket}/folder" if is_source else r"^PUT \S*/data/"
        at_request(proxy, 60 if is_source else 2, pattern, lambda: proxy.faults.append(expired))
        ended = object_driver.run(order)
        assert ended.exit_code == 1, ended
        assert "xpired" in ended.error or "403" in ended.error
        assert site.good_ids(job) == known
        proxy.faults.clear()
        proxy.before = lambda _line: None
        assert_good(object_driver.run(order), job, site)


def pages_of(proxy: FaultProxy, change: t.Callable[[int, list[bytes], bytes], bytes]) -> None:
    """Change the pages of listings: by their number, all pages so far, and the page itself."""
    seen: list[bytes] = []

    def rewrite(line: str, page: bytes) -> bytes:
        if "list-type=2" not in line or b"<Contents>" not in page:
            return page
        if "continuation-token" not in line:
            seen.clear()
        seen.append(page)
        return change(len(seen), seen, page)

    proxy.rewrite = rewrite


@pytest.mark.parametrize("kind", ["repeated", "dropped"])
def test_a_listing_that_repeats_or_drops_a_page_makes_no_backup_with_less_that_counts_as_good(
    object_lab: ObjectLab, object_driver: Driver, kind: str
) -> None:
    site, job = object_lab.bucket(), object_lab.job()
    now = {f"key-{number:05d}": b"%d" % number for number in range(1300)}
    bucket = object_lab.bucket_with(now)
    with FaultProxy(object_lab.origin.port) as proxy:
        order = from_proxy(object_lab, proxy, object_lab.backup(job, bucket, site))
        first = assert_good(object_driver.run(order), job, site)
        if kind == "repeated":
            pages_of(proxy, lambda number, seen, page: seen[0] if number == 2 else page)
        else:
            entries = re.compile(b"<Contents>.*</Contents>")
            pages_of(proxy, lambda number, _seen, page: entries.sub(b"", page) if number == 2 else page)
        ended = object_driver.run(order)
    if kind == "dropped":
        assert (ended.exit_code, ended.guard) == (3, "mass_delete"), ended
    else:
        # A page of MinIO's listing with metadata that makes no sense is asked for again, without metadata.
        assert ended.exit_code == 1 or assert_good(ended, job, site) > first, ended
    back = object_driver.run(object_lab.restore(job, bucket, to := object_lab.bucket_with({}), site))
    assert back.is_good, back.error
    assert (back.one["id"] == first) == (ended.exit_code != 0)
    assert object_lab.contents(to) == now


def test_keys_that_are_written_all_the_time_are_backed_up_as_they_were_at_one_moment_or_reported(
    object_lab: ObjectLab, object_driver: Driver
) -> None:
    site, job = object_lab.bucket(), object_lab.job()
    hot = [f"folder-3/hot-{number}" for number in range(4)]
    bucket = object_lab.bucket_with({**OBJECTS, **dict.fromkeys(hot, body("start", 5000))})
    written = {body("start", 5000)}
    stop = threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            data = body(f"hot {number}", 5000 + number % 3)
            written.add(data)
            object_lab.client.put_object(bucket, hot[number % len(hot)], data)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        ended = [object_driver.run(object_lab.backup(job, bucket, site)) for _run in range(3)]
    finally:
        stop.set()
        writer.join()
    assert all(each.exit_code in (0, 5) for each in ended), ended
    found = object_lab.restored(object_driver, job, bucket, site)
    assert {key: data for key, data in found.items() if key not in hot} == OBJECTS
    assert all(found[key] in written for key in hot if key in found)
    missing = [key for key in hot if key not in found]
    assert not missing or ended[-1].exit_code == 5


def test_a_bucket_that_is_removed_midway_leaves_the_backups_before_it(
    object_lab: ObjectLab, object_driver: Driver
) -> None:
    site, job = object_lab.bucket(), object_lab.job()
    bucket = object_lab.bucket_with(OBJECTS)

    def remove() -> None:
        object_lab.remove(bucket, OBJECTS)
        object_lab.client.delete_bucket(bucket)

    with FaultProxy(object_lab.origin.port) as proxy:
        order = from_proxy(object_lab, proxy, object_lab.backup(job, bucket, site, options={"mode": "full"}))
        first = assert_good(object_driver.run(order), job, site)
        at_request(proxy, 60, f"^GET /{bucket}/folder", remove)
        ended = object_driver.run(order)
        assert ended.exit_code in (1, 3, 5), ended
        again = object_driver.run(order)
        assert (again.exit_code, again.guard) == (3, "source"), again
    to = object_lab.bucket_with({})
    back = object_driver.run(object_lab.restore(job, bucket, to, site, options={"backup": first}))
    assert back.is_good, back.error
    assert object_lab.contents(to) == OBJECTS
    if set(site.good_ids(job)) != {first}:  # then it kept what it could not read, and said so
        assert object_lab.restored(object_driver, job, bucket, site).items() <= OBJECTS.items()


def test_a_repository_whose_versions_are_suspended_midway_still_gets_a_whole_backup(
    object_lab: ObjectLab, object_driver: Driver
) -> None:
    site, job = object_lab.bucket(), object_lab.job()
    bucket = object_lab.bucket_with(OBJECTS)
    order = object_lab.backup(job, bucket, site, options={"mode": "full"})
    step = a_step(object_driver, order, WRITING)
    with open_client(object_lab) as client:
        try:
            with held(object_driver, order, step) as ended:
                client.document("PUT", BUCKET, "versioning", SUSPENDED)
        finally:
            client.document("PUT", BUCKET, "versioning", VERSIONED)
    assert_good(ended[0], job, site)
    assert object_lab.restored(object_driver, job, bucket, site) == OBJECTS


def test_a_source_whose_versions_are_suspended_midway_is_backed_up_as_it_is(
    object_lab: ObjectLab, object_driver: Driver
) -> None:
    site, job = object_lab.bucket(), object_lab.job()
    bucket = object_lab.bucket_with(OBJECTS, versioned=True)
    keys = sorted(OBJECTS)
    gone, twice, new = (
        keys[1::10],
        keys[2::10],
        {f"folder-9/new-{number}": body(f"new {number}", 40) for number in (1, 2)},
    )
    changes = {key: body(f"null {key}", len(OBJECTS[key])) for key in keys[::5]}
    after = {key: data for key, data in {**OBJECTS, **changes, **new}.items() if key not in gone}

    def suspend() -> None:
        object_lab.client.document("PUT", bucket, "versioning", SUSPENDED)
        object_lab.write(bucket, {**changes, **new})
        object_lab.remove(bucket, gone)

    with FaultProxy(object_lab.origin.port) as proxy:
        order = from_proxy(object_lab, proxy, object_lab.backup(job, bucket, site))
        at_request(proxy, 60, f"^GET /{bucket}/folder", suspend)
        assert_good(object_driver.run(order), job, site)
        midway = object_lab.restored(object_driver, job, bucket, site)
        assert set(after) - set(new) <= set(midway) <= set(OBJECTS)
        assert all(data in (OBJECTS[key], changes.get(key)) for key, data in midway.items())

        proxy.before = lambda _line: None
        assert_good(object_driver.run(order), job, site)
        assert object_lab.restored(object_driver, job, bucket, site) == after
        # The version of these keys is called null before and after: their ETags and times alone tell of a new state.
        for number in range(2):
            after.update({key: body(f"{number} {key}", len(OBJECTS[key])) for key in twice})
            object_lab.write(bucket, {key: after[key] for key in twice})
            ended = object_driver.run(order)
            assert_good(ended, job, site)
            assert object_lab.restored(object_driver, job, bucket, site) == after


@contextlib.contextmanager
def open_client(lab: ObjectLab) -> t.Iterator[t.Any]:
    from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3.client import S3Client
    from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3.endpoint import Endpoint

    client = S3Client(Endpoint(**lab.endpoint()))
    yield client
    client.close()
