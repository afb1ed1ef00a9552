# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Repositories that are full, away, read-only, or no longer hold what was written to them."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import subprocess
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

__all__ = ["driver", "lab"]

_TINY = {"database": "tiny", "wait_s": 0}
_LONG = {"database": "long", "compression": "none", "wait_s": 0}


def order_of(lab: Lab, job: str, *sites: Site, **changes: t.Any) -> Order:
    places = [site.facts for site in sites]
    given = Order("back_up", job, places, lab.server, _TINY, part_bytes=PART_BYTES)
    return dataclasses.replace(given, **changes)


def verified(lab: Lab, driver: Driver, job: str, level: str, *sites: Site) -> list[t.Mapping[str, t.Any]]:
    options = {"backup": "latest", "level": level}
    ended = driver.run(order_of(lab, job, *sites, use_case="verify", options=options))
    assert ended.exit_code == 0, ended
    return list(ended.result)


def restored(lab: Lab, driver: Driver, job: str, *sites: Site, backup: str = "latest_good") -> Ended:
    options = {"backup": backup, "database": f"back_{job.replace('-', '_')}"}
    ended = driver.run(order_of(lab, job, *sites, use_case="restore", options=options))
    lab.postgres.sql(f"DROP DATABASE IF EXISTS {options['database']} WITH (FORCE)")
    return ended


def assert_only(site: Site, job: str, *ids: str) -> None:
    """These backups are there and whole, and nothing else but garbage."""
    assert site.good_ids(job) == site.ids(job) == list(ids)
    assert site.faults(job) == []
    assert site.documents(f"intents/{job}/") == {}
    assert site.temporary_files() == []


def test_a_file_that_cannot_grow_fails_the_run_and_leaves_the_backups_before(lab: Lab, driver: Driver) -> None:
    site, job = lab.directory(), lab.job()
    first = driver.run(order_of(lab, job, site, options=_LONG))
    full = driver.run(order_of(lab, job, site, options=_LONG, file_limit_bytes=3 * 1024 * 1024))
    assert full.exit_code == 1, full
    assert "ulimit" in full.error
    assert_only(site, job, first.one["id"])
    again = driver.run(order_of(lab, job, site, options=_LONG))
    assert again.is_good, again.error
    assert_only(site, job, first.one["id"], again.one["id"])


@contextlib.contextmanager
def small_file_system(lab: Lab, *options: str) -> t.Iterator[pathlib.Path]:
    """Mount a file system of 8 MiB in memory."""
    folder = lab.folder / f"mount-{lab.job()}"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "none", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


needs_mounts = pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount file systems")


@needs_mounts
def test_a_full_disk_fails_the_run_and_gives_the_space_back(lab: Lab, driver: Driver) -> None:
    with small_file_system(lab) as folder:
        site, job = lab.directory(str(folder)), lab.job()
        first = driver.run(order_of(lab, job, site, options=_LONG))
        free = os.statvfs(folder).f_bavail
        full = driver.run(order_of(lab, job, site, options=_LONG))
        assert full.exit_code == 1, full
        assert "no space is left" in full.error
        assert os.statvfs(folder).f_bavail == free
        assert_only(site, job, first.one["id"])
        again = driver.run(order_of(lab, job, site, options={**_LONG, "compression": "zstd", "on_shrink": "ignore"}))
        assert again.is_good, again.error
        assert_only(site, job, first.one["id"], again.one["id"])


@needs_mounts
def test_a_full_disk_makes_the_run_use_the_next_repository(lab: Lab, driver: Driver) -> None:
    with small_file_system(lab) as folder:
        local, site, job = lab.directory(str(folder)), lab.bucket(), lab.job()
        driver.run(order_of(lab, job, local, options=_LONG))
        full = driver.run(order_of(lab, job, local, site, options=_LONG))
        assert full.exit_code == 5, full
        assert "no space is left" in full.error
        assert_only(site, job, full.one["id"])


@needs_mounts
def test_a_repository_that_is_not_mounted_is_never_written_underneath(lab: Lab, driver: Driver) -> None:
    with small_file_system(lab) as folder:
        local, site, job = lab.directory(str(folder)), lab.bucket(), lab.job()
        first = driver.run(order_of(lab, job, local, site))
        assert first.is_good, first.error
        subprocess.run(["umount", str(folder)], check=True)
        try:
            alone = driver.run(order_of(lab, job, local))
            assert alone.exit_code in (1, 3), alone
            second = driver.run(order_of(lab, job, local, site))
            assert second.exit_code == 5, second
            assert second.one["id"] in site.good_ids(job)
            assert restored(lab, driver, job, local, site).one["repository"] == "site"
            assert list(folder.iterdir()) == []
        finally:
            subprocess.run(["mount", "-t", "tmpfs", "none", str(folder)], check=True)


@needs_mounts
def test_a_read_only_repository_can_be_restored_from_and_not_be_written_to(lab: Lab, driver: Driver) -> None:
    with small_file_system(lab) as folder:
        local, site, job = lab.directory(str(folder)), lab.bucket(), lab.job()
        first = driver.run(order_of(lab, job, local, site))
        subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
        assert driver.run(order_of(lab, job, local)).exit_code == 1
        second = driver.run(order_of(lab, job, local, site))
        assert second.exit_code == 5, second
        assert second.one["id"] in site.good_ids(job)
        back = restored(lab, driver, job, local, backup=first.one["id"])
        assert back.is_good, back.error
        assert_only(local, job, first.one["id"])
        assert [each["is_good"] for each in verified(lab, driver, job, "presence", local)] == [True]


def cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def flipped(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 0x10]) + data[middle + 1 :]


def emptied(_data: bytes) -> bytes:
    return b""


def overwrite(site: Site, key: str, data: bytes) -> None:
    site.store.delete(key)
    upload = site.store.upload(key, len(data))
    upload.write(data)
    upload.finish()


def damage(site: Site, job: str, backup_id: str, change: t.Callable[[bytes], bytes]) -> None:
    """Change the stored dump of a backup."""
    (key,) = (key for key in site.documents(f"data/{job}/{backup_id}/") if "/database.dump" in key)
    overwrite(site, key, change(site.documents(key)[key]))


def swap_files(site: Site, job: str, backup_id: str) -> None:
    """Give the dump and the globals of a backup each other's bytes."""
    found = {key: data for key, data in site.documents(f"data/{job}/{backup_id}/").items() if key.endswith(".zst")}
    (one, first), (other, second) = found.items()
    overwrite(site, one, second)
    overwrite(site, other, first)


@pytest.mark.parametrize("layout", ["directory", "bucket"])
@pytest.mark.parametrize("kind", ["cut", "flipped", "emptied", "swapped"])
def test_stored_files_that_were_changed_are_noticed_and_passed_over(
    lab: Lab, driver: Driver, layout: str, kind: str
) -> None:
    damaged, other = (lab.directory(), lab.bucket()) if layout == "directory" else (lab.bucket(), lab.directory())
    job = lab.job()
    older, newer = (driver.run(order_of(lab, job, damaged, other)).one["id"] for _run in range(2))
    if kind == "swapped":
        swap_files(damaged, job, newer)
    else:
        damage(damaged, job, newer, {"cut": cut, "flipped": flipped, "emptied": emptied}[kind])

    back = restored(lab, driver, job, damaged, other)  # nobody knows of the damage yet
    assert back.is_good, back.error
    assert (back.one["id"], back.one["repository"]) == (newer, other.name)
    assert f"the copy of {newer} in {damaged.name} cannot be used" in str(back.one["notes"])

    for level in ("content", "checksum"):
        bad, good = verified(lab, driver, job, level, damaged, other)
        assert (bad["is_good"], good["is_good"]) == (False, True), (bad, good)
    assert damaged.good_ids(job) == [older], "what is recorded as damaged is not called good any more"
    assert other.good_ids(job) == [older, newer]

    again = driver.run(order_of(lab, job, damaged, other))
    assert again.is_good, again.error
    assert again.one["id"] in damaged.good_ids(job)


def test_latest_good_goes_back_to_an_older_backup_once_the_newest_is_known_to_be_damaged(
    lab: Lab, driver: Driver
) -> None:
    site, job = lab.directory(), lab.job()
    older, newer = (driver.run(order_of(lab, job, site)).one["id"] for _run in range(2))
    damage(site, job, newer, flipped)
    assert verified(lab, driver, job, "content", site)[0]["is_good"] is False
    back = restored(lab, driver, job, site)
    assert back.is_good, back.error
    assert back.one["id"] == older
    latest = restored(lab, driver, job, site, backup="latest")
    assert latest.exit_code == 1, latest


@pytest.mark.parametrize("layout", ["directory", "bucket"])
@pytest.mark.parametrize("change", [cut, flipped, emptied])
def test_a_damaged_manifest_costs_its_copy_and_nothing_else(
    lab: Lab, driver: Driver, layout: str, change: t.Callable[[bytes], bytes]
) -> None:
    damaged, other = (lab.directory(), lab.bucket()) if layout == "directory" else (lab.bucket(), lab.directory())
    job = lab.job()
    older, newer = (driver.run(order_of(lab, job, damaged, other)).one["id"] for _run in range(2))
    key = f"manifests/{job}/{newer}.json"
    overwrite(damaged, key, change(damaged.documents(key)[key]))
    assert damaged.good_ids(job) == [older]
    back = restored(lab, driver, job, damaged, other)
    assert back.is_good, back.error
    assert (back.one["id"], back.one["repository"]) == (newer, other.name)
    options = {"backup": "latest", "level": "content"}
    verdict = driver.run(order_of(lab, job, damaged, other, use_case="verify", options=options))
    assert [(each["repository"], each["is_good"]) for each in verdict.result] == [(other.name, True)]
    again = driver.run(order_of(lab, job, damaged, other))
    assert again.is_good, again.error
    assert damaged.good_ids(job) == [older, again.one["id"]]
