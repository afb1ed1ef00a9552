# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Damaged stored files, full disks, and somebody who destroys what is in the bucket that is backed up."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.lifeboat.recovery.tests.functional.crash_driver import Order
from ansible_collections.lifeboat.recovery.tests.functional.fault_fixtures import Driver, Ended, Site
from ansible_collections.lifeboat.recovery.tests.functional.job_fixtures import own_locks
from ansible_collections.lifeboat.recovery.tests.functional.object_fixtures import (
    ObjectLab,
    assert_good,
    body,
    contents,
    object_driver,
    object_lab,
)
from ansible_collections.lifeboat.recovery.tests.functional.test_faults_of_storage import (
    cut,
    emptied,
    flipped,
    overwrite,
)

__all__ = ["object_driver", "object_lab", "own_locks"]

OLD = contents(50, 50_000)  # three packs
NEW = contents(50, 50_000, "new")


def verified(driver: Driver, job: str, *sites: Site, **options: t.Any) -> Ended:
    given = {"backup": "latest", "level": "content", **options}
    return driver.run(Order("verify", job, [site.facts for site in sites], options=given))


def two_backups(lab: ObjectLab, driver: Driver, job: str, *sites: Site) -> tuple[str, str, str]:
    """Back a bucket up twice, with other objects each time; return its name and both ids."""
    bucket = lab.bucket_with(OLD)
    order = lab.backup(job, bucket, *sites, options={"policy": {"mass_rewrite": "ignore"}})
    older = assert_good(driver.run(order), job, *sites)
    lab.write(bucket, NEW)
    newer = assert_good(driver.run(order), job, *sites)
    return bucket, older, newer


FILES = ["/pack-0001", "/index", "/segments", "/files.jsonl"]


@pytest.mark.parametrize(
    ("name", "change"), [("/pack-0001", flipped), ("/pack-0001", cut), ("/index", flipped), ("/segments", cut)]
)
def test_a_damaged_stored_file_is_noticed_and_an_older_proved_backup_is_used(
    object_lab: ObjectLab, object_driver: Driver, name: str, change: t.Callable[[bytes], bytes]
) -> None:
    site, job = object_lab.directory(), object_lab.job()
    bucket, older, newer = two_backups(object_lab, object_driver, job, site)
    damage(site, job, newer, name, change)

    # Nobody knows of the damage yet: a pack is found to lack objects, for an index the older backup is used at once.
    back = object_driver.run(object_lab.restore(job, bucket, object_lab.bucket_with({}), site))
    if "pack" in name:
        assert back.exit_code in (1, 5), back
    else:
        assert back.is_good and back.one["id"] == older, back
        assert f"the copy of {newer} in {site.name} cannot be used" in str(back.one["notes"]), back.one["notes"]

    (verdict,) = verified(object_driver, job, site).result
    assert verdict["is_good"] is False
    assert all(newer in problem and name[1:] in problem for problem in verdict["problems"]), verdict
    assert site.good_ids(job) == [older]
    to = object_lab.bucket_with({})
    back = object_driver.run(object_lab.restore(job, bucket, to, site))
    assert back.is_good, back.error
    assert back.one["id"] == older
    assert object_lab.contents(to) == OLD

    order = object_lab.backup(job, bucket, site, options={"policy": {"mass_rewrite": "ignore"}})
    again = object_driver.run(order)
    assert again.is_good, again.error
    assert site.good_ids(job) == [older, again.one["id"]]
    assert object_lab.restored(object_driver, job, bucket, site) == NEW


@pytest.mark.parametrize("name", [*FILES, "manifest"])
def test_a_copy_that_is_damaged_is_passed_over_for_another_one_and_that_is_said(
    object_lab: ObjectLab, object_driver: Driver, name: str
) -> None:
    site, other, job = object_lab.directory(), object_lab.bucket(), object_lab.job()
    bucket, _older, newer = two_backups(object_lab, object_driver, job, site, other)
    if name == "manifest":
        key = f"manifests/{job}/{newer}.json"
        overwrite(site, key, cut(site.documents(key)[key]))
    else:
        damage(site, job, newer, name, emptied)
    to = object_lab.bucket_with({})
    back = object_driver.run(object_lab.restore(job, bucket, to, site, other))
    assert back.is_good, back.error
    assert (back.one["id"], back.one["repository"]) == (newer, other.name)
    assert object_lab.contents(to) == NEW
    if name in FILES[:3]:
        assert f"the copy of {newer} in {site.name} cannot be used" in str(back.one["notes"]), back.one["notes"]


def damage(site: Site, job: str, backup_id: str, name: str, change: t.Callable[[bytes], bytes]) -> None:
    (key,) = (key for key in site.documents(f"data/{job}/{backup_id}/") if name in key)
    overwrite(site, key, change(site.documents(key)[key]))


def test_a_damaged_pack_of_an_earlier_backup_costs_all_that_need_it_and_is_written_again(
    object_lab: ObjectLab, object_driver: Driver
) -> None:
    site, job = object_lab.directory(), object_lab.job()
    bucket = object_lab.bucket_with(OLD)
    order = object_lab.backup(job, bucket, site)
    first = assert_good(object_driver.run(order), job, site)
    object_lab.write(bucket, {"one more": b"1"})
    second = assert_good(object_driver.run(order), job, site)
    damage(site, job, first, "/pack-0001", flipped)
    ended = verified(object_driver, job, site, backup=second)
    assert ended.one["is_good"] is False
    assert first in str(ended.one["problems"])
    assert site.good_ids(job) == []
    third = object_driver.run(order)
    assert third.is_good, third.error
    assert third.one["id"] in site.good_ids(job)
    assert object_lab.restored(object_driver, job, bucket, site) == {**OLD, "one more": b"1"}


@pytest.mark.parametrize("limit", [3_000, 500_000])
def test_a_disk_that_is_full_costs_that_run_only(object_lab: ObjectLab, object_driver: Driver, limit: int) -> None:
    site, job = object_lab.directory(), object_lab.job()
    bucket = object_lab.bucket_with(OLD)
    order = object_lab.backup(job, bucket, site, options={"mode": "full"})
    first = assert_good(object_driver.run(order), job, site)
    ended = object_driver.run(object_lab.backup(job, bucket, site, options=order.options, file_limit_bytes=limit))
    assert ended.exit_code == 1, ended
    assert "large" in ended.error, ended.error
    assert site.ids(job) == [first]
    assert site.temporary_files() == []
    assert_good(object_driver.run(order), job, site)


def test_what_an_attacker_destroys_is_flagged_and_comes_back_whole(
    object_lab: ObjectLab, object_driver: Driver
) -> None:
    """Everything that the writer's key of a bucket may do is done: overwrite, delete, delete versions for good."""
    site, job = object_lab.bucket(), object_lab.job()
    before = contents(330, 1200)
    bucket = object_lab.bucket_with(before, versioned=True)
    order = object_lab.backup(job, bucket, site)
    first = assert_good(object_driver.run(order), job, site)
    keys = sorted(before)
    object_lab.write(bucket, {key: body(f"encrypted {key}", 1200) for key in keys[:110]})
    object_lab.remove(bucket, keys[110:220])
    for version in list(object_lab.client.list_versions(bucket)):
        if version.key in keys[220:]:
            object_lab.client.delete(bucket, version.key, version_id=version.version_id)

    for guard in ("mass_delete", "unacknowledged"):
        ended = object_driver.run(order)
        assert (ended.exit_code, ended.guard) == (3, guard), ended
        assert ended.one["id"] in site.good_ids(job), "it is written and proved all the same"
    to = object_lab.bucket_with({})
    back = object_driver.run(object_lab.restore(job, bucket, to, site))
    assert back.is_good, back.error
    assert back.one["id"] == first
    assert object_lab.contents(to) == before

    options = {"exact": True, "confirm": [bucket]}
    in_place = object_driver.run(object_lab.restore(job, bucket, bucket, site, options=options))
    assert in_place.is_good, in_place.error
    assert object_lab.contents(bucket) == before
