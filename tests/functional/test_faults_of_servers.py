# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""PostgreSQL and S3 servers that die, stall or answer strangely while they are used."""

from __future__ import annotations

import dataclasses
import typing as t

import pytest
from ansible_collections.lifeboat.recovery.tests.functional.fault_fixtures import (
    PART_BYTES,
    Driver,
    Ended,
    Lab,
    Order,
    Site,
    driver,
    lab,
)
from ansible_collections.lifeboat.recovery.tests.functional.fault_proxy import Fault, FaultProxy, endpoint_through

__all__ = ["driver", "lab"]

_TINY = {"database": "tiny"}
_LONG = {"database": "long", "compression": "none"}


def order_of(lab: Lab, job: str, *sites: Site, **changes: t.Any) -> Order:
    places = [site.facts for site in sites]
    given = Order("back_up", job, places, lab.server, _TINY, part_bytes=PART_BYTES)
    return dataclasses.replace(given, **changes)


def through(proxy: FaultProxy, site: Site) -> Site:
    facts = {**site.facts, "endpoint": endpoint_through(proxy, site.facts["endpoint"])}
    return dataclasses.replace(site, facts=facts)


def assert_new_backup(ended: Ended, job: str, *sites: Site) -> None:
    """A run succeeded, its backup is good in all repositories, and the run left nothing else there."""
    assert ended.is_good, ended.error
    for site in sites:
        assert ended.one["id"] in site.good_ids(job)
        assert site.faults(job) == []
        assert site.documents(f"intents/{job}/") == {}
        assert site.temporary_files() == []


@pytest.mark.parametrize("layout", ["directory", "bucket"])
def test_a_dump_whose_server_process_is_ended_is_no_backup(lab: Lab, driver: Driver, layout: str) -> None:
    site, job = lab.bucket() if layout == "bucket" else lab.directory(), lab.job()
    lab.postgres.sql("CREATE DATABASE wide")
    # Rows that come one after the other, so that the dump stands still in the middle of them.
    lab.postgres.sql("CREATE TABLE slow AS SELECT i FROM generate_series(1, 300000) i", "wide")
    try:
        first = driver.run(order_of(lab, job, site, options={"database": "wide"}))
        lab.postgres.sql("CREATE SEQUENCE gate", "wide")
        driver.begin(
            order_of(lab, job, site, options={"database": "wide"}, step="backing/child.started#1", fault="hold")
        )
        driver.wait_until_held()
        # pg_dump is blocked by the pipe that nobody reads, and its server process by pg_dump.
        while not lab.postgres.sql(_DUMPING).endswith("t"):
            pass
        driver.go_on()
        failed = driver.ended()
        assert failed.exit_code == 1, failed
        assert "terminat" in failed.error
        assert site.ids(job) == [first.one["id"]]
        assert site.documents(f"intents/{job}/") == {}
        assert lab.unfinished_uploads() == []
        assert_new_backup(driver.run(order_of(lab, job, site, options={"database": "wide"})), job, site)
    finally:
        lab.postgres.sql("DROP DATABASE wide WITH (FORCE)")


_DUMPING = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'wide' AND query LIKE 'COPY %'
   AND state = 'active' AND wait_event = 'ClientWrite'"""


def test_an_s3_server_that_dies_during_an_upload_costs_that_run_only(lab: Lab, driver: Driver) -> None:
    site, job = lab.bucket(), lab.job()
    first = driver.run(order_of(lab, job, site, options=_LONG))
    assert_new_backup(first, job, site)
    driver.begin(order_of(lab, job, site, options=_LONG, step="backing/s3.part.sent#1", fault="hold"))
    driver.wait_until_held()
    lab.minio.kill()
    try:
        driver.go_on()
        failed = driver.ended()
    finally:
        lab.minio.start()
    assert failed.exit_code == 1, failed
    assert site.good_ids(job) == site.ids(job) == [first.one["id"]]
    assert_new_backup(driver.run(order_of(lab, job, site, options=_LONG)), job, site)
    assert lab.unfinished_uploads() == []


def test_an_s3_server_that_restarts_between_data_and_manifest_costs_nothing(lab: Lab, driver: Driver) -> None:
    site, job = lab.bucket(), lab.job()
    assert_new_backup(driver.run(order_of(lab, job, site)), job, site)
    driver.begin(order_of(lab, job, site, step=before_manifest(driver, lab, site), fault="hold"))
    driver.wait_until_held()
    lab.minio.kill()
    driver.go_on()
    lab.minio.start()
    assert_new_backup(driver.ended(), job, site)
    assert len(site.ids(job)) == 2


def before_manifest(driver: Driver, lab: Lab, site: Site) -> str:
    """Return the step after which a run into this kind of repository has nothing to send but its manifest."""
    job = lab.job()
    assert driver.run(order_of(lab, job, site)).is_good
    steps = driver.run(order_of(lab, job, site)).steps
    ends = [step for step in steps if step.startswith(("backing/s3.put.answered", "backing/directory.put.dir_synced"))]
    return ends[-2]


def test_an_s3_server_that_is_away_makes_a_run_use_the_next_repository(lab: Lab, driver: Driver) -> None:
    site, local, job = lab.bucket(), lab.directory(), lab.job()
    order = order_of(lab, job, site, local, options={**_TINY, "wait_s": 0})
    lab.minio.stop()
    try:
        ended = driver.run(order)
    finally:
        lab.minio.start()
    assert ended.exit_code == 5, ended
    assert local.good_ids(job) == [ended.one["id"]]
    assert site.ids(job) == []
    assert_new_backup(driver.run(order), job, site, local)


LOST = {
    "intent": r"^PUT \S*/intents/",
    "binding": r"^PUT \S*/jobs/",
    "upload": r"^POST \S*\?uploads",
    "part": r"^PUT \S*partNumber=1",
    "parts": r"^POST \S*uploadId=",
    "file": r"^PUT \S*/globals",
    "sums": r"^PUT \S*/SHA256SUMS",
    "manifest": r"^PUT \S*/manifests/",
    "proof": r"^PUT \S*/verified/",
    "lease": r"^PUT \S*/maintenance/",
    "end of the intent": r"^DELETE \S*/intents/",
}


def lost(*names: str) -> list[Fault]:
    return [Fault(LOST[name], "lose_answer") for name in names or LOST]


def test_lost_answers_to_requests_that_succeeded_cost_nothing(lab: Lab, driver: Driver) -> None:
    site, job = lab.bucket(), lab.job()
    with FaultProxy(lab.minio.port) as proxy:
        proxy.faults += lost(*(name for name in LOST if name != "lease"))
        ended = driver.run(order_of(lab, job, through(proxy, site), options=_LONG))
    assert_new_backup(ended, job, site)
    assert all(fault.hits for fault in proxy.faults), "a request was never made"
    assert len(site.ids(job)) == 1


def test_lost_answers_during_a_copy_cost_nothing(lab: Lab, driver: Driver) -> None:
    local, site, job = lab.directory(), lab.bucket(), lab.job()
    with FaultProxy(lab.minio.port) as proxy:
        proxy.faults += lost(*(name for name in LOST if "intent" not in name))
        ended = driver.run(order_of(lab, job, local, through(proxy, site), options={**_LONG, "wait_s": 0}))
    assert_new_backup(ended, job, local, site)
    assert all(fault.hits for fault in proxy.faults), "a request was never made"


@pytest.mark.parametrize("kind", ["slow", "unavailable", "reset"])
def test_a_run_outlasts_a_server_that_is_overloaded(lab: Lab, driver: Driver, kind: str) -> None:
    site, job = lab.bucket(), lab.job()
    with FaultProxy(lab.minio.port, slow_s=0.05) as proxy:
        pattern = "" if kind == "slow" else r"^(GET|HEAD|DELETE|PUT \S*(data|manifests|partNumber))"
        fault = Fault(pattern, kind, times=1 if kind == "reset" else 2)
        proxy.faults.append(fault)
        ended = driver.run(order_of(lab, job, through(proxy, site), options=_LONG))
    assert len(fault.hits) > 10
    assert_new_backup(ended, job, site)


def test_a_second_run_of_a_job_on_the_same_host_is_busy(lab: Lab, driver: Driver) -> None:
    site, job, another = lab.directory(), lab.job(), lab.driver()
    driver.begin(order_of(lab, job, site, step="backing/child.started#1", fault="hold"))
    driver.wait_until_held()
    second = another.run(order_of(lab, job, site))
    assert (second.exit_code, second.kind) == (4, "BusyError"), second
    driver.go_on()
    assert_new_backup(driver.ended(), job, site)
    assert len(site.ids(job)) == 1


@pytest.mark.parametrize("layout", ["directory", "bucket"])
def test_runs_of_one_job_on_two_hosts_at_once_make_two_backups(lab: Lab, driver: Driver, layout: str) -> None:
    site, job, another = lab.bucket() if layout == "bucket" else lab.directory(), lab.job(), lab.driver()
    locks = lab.folder / f"locks-of-{job}"
    locks.mkdir()
    driver.begin(order_of(lab, job, site, options=_LONG, step="backing/child.exited#1", fault="hold"))
    driver.wait_until_held()
    second = another.run(order_of(lab, job, site, options=_LONG, host="other", lock_folder=str(locks)))
    assert second.is_good, second.error
    driver.go_on()
    first = driver.ended()
    assert_new_backup(first, job, site)
    assert site.good_ids(job) == sorted([first.one["id"], second.one["id"]])


@pytest.mark.parametrize("layout", ["directory", "bucket"])
def test_a_manifest_of_somebody_else_under_the_same_id_is_neither_replaced_nor_taken_for_ours(
    lab: Lab, driver: Driver, layout: str
) -> None:
    site, job = lab.bucket() if layout == "bucket" else lab.directory(), lab.job()
    first = driver.run(order_of(lab, job, site))
    driver.begin(order_of(lab, job, site, step=before_manifest(lab.driver(), lab, site), fault="hold"))
    driver.wait_until_held()
    (intent,) = site.documents(f"intents/{job}/")
    key = intent.replace("intents/", "manifests/")
    site.store.put_new(key, b"{}")
    driver.go_on()
    failed = driver.ended()
    assert failed.exit_code == 1, failed
    assert "another manifest" in failed.error
    assert site.documents(key) == {key: b"{}"}
    assert site.good_ids(job) == [first.one["id"]]
    again = driver.run(order_of(lab, job, site))
    assert again.is_good, again.error
    assert site.good_ids(job) == [first.one["id"], again.one["id"]]
    site.store.delete(key)
    assert_new_backup(again, job, site)
