# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Repositories in which somebody has changed documents, exchanged everything, or left a trap."""

from __future__ import annotations

import dataclasses
import json
import typing as t

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository import identity, layout
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.stream import zstd
from ansible_collections.lifeboat.recovery.tests.functional.crash_driver import Order
from ansible_collections.lifeboat.recovery.tests.functional.fault_fixtures import Driver, Ended, Site
from ansible_collections.lifeboat.recovery.tests.functional.invariants import Watched, refused
from ansible_collections.lifeboat.recovery.tests.functional.job_fixtures import own_locks
from ansible_collections.lifeboat.recovery.tests.functional.object_fixtures import (
    ObjectLab,
    contents,
    object_driver,
    object_lab,
)
from ansible_collections.lifeboat.recovery.tests.functional.test_faults_of_storage import overwrite

__all__ = ["object_driver", "object_lab", "own_locks"]

LAYOUTS = ("directory", "bucket")
OBJECTS = contents(30, 3000)
_MOST_KIB = 160 * 1024  # far less than what the bomb is


def site_of(lab: ObjectLab, layout: str) -> Site:
    return lab.directory() if layout == "directory" else lab.bucket()


@pytest.fixture(params=LAYOUTS)
def watched(request: pytest.FixtureRequest, object_lab: ObjectLab, object_driver: Driver) -> Watched:
    """Return a job with three backups in one repository."""
    watched = Watched.begun(object_lab, object_driver, [site_of(object_lab, request.param)], OBJECTS)
    for number in range(2):
        watched.change({f"folder-{number}/more": f"more {number}".encode() * 500})
        watched.back_up()
    return watched


def verify(watched: Watched, site: Site, backup_id: str = "latest") -> Ended:
    options = {"backup": backup_id, "level": "content"}
    return watched.driver.run(Order("verify", watched.job, [site.facts], options=options))


def older(_text: bytes, before: bytes) -> bytes:
    return before


def edited(text: bytes, _before: bytes) -> bytes:
    """Say that another host made it, and leave its digest as it was."""
    return text.replace(b'"host": "', b'"host": "not ')


def with_own_digest(text: bytes, before: bytes) -> bytes:
    """Leave the files of the backup before in it, under a digest that matches: it names what another id has."""
    from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository import json_document

    fields, other = json.loads(text), json.loads(before)
    fields["files"] = other["files"]
    return json_document.encoded({name: value for name, value in fields.items() if name not in ("digest", "format")})


@pytest.mark.parametrize("change", [older, edited, with_own_digest])
def test_a_manifest_that_was_changed_or_replaced_by_an_older_one_is_not_restored(
    watched: Watched, change: t.Callable[[bytes, bytes], bytes]
) -> None:
    (site,) = watched.sites
    *_first, middle, newest = site.ids(watched.job)
    keys = [layout.manifest(watched.job, each) for each in (newest, middle)]
    text, before = (site.documents(key)[key] for key in keys)
    site.store.put(keys[0], change(text, before))  # where there are versions the oldest counts, and that is an alarm
    assert newest not in site.good_ids(watched.job)
    assert watched.restored(site) == watched.proved[middle]
    pruned = watched.driver.run(watched.prune(site, options={"keep": {"last": 1}, "force": True, "wait_s": 0}))
    assert set(site.ids(watched.job)) >= {middle, newest}, pruned
    overwrite(site, keys[0], text)
    for version in [each.entry for each in site.store.versions(keys[0])][1:]:
        site.store.delete(version.key, version.version_id)
    watched.assert_sound()


def test_a_repository_that_was_exchanged_for_another_one_is_refused_by_everybody(watched: Watched) -> None:
    (site,) = watched.sites
    wanted = identity.require(site.store).repository
    other = site_of(watched.lab, "directory" if "directory" in site.facts else "bucket")
    assert watched.driver.run(watched.copy(site, other)).is_good
    swapped = dataclasses.replace(other, facts={**other.facts, "repository": wanted})
    before = other.documents("")
    orders = [
        watched.lab.backup(watched.job, watched.bucket, swapped),
        watched.prune(swapped),
        watched.copy(site, swapped),
        watched.copy(swapped, site),
        watched.lab.restore(watched.job, watched.bucket, watched.lab.bucket_with({}), swapped),
    ]
    for order in orders:
        refused(watched.driver.run(order), "")
    assert other.documents("") == before
    watched.assert_sound()


def test_a_stored_file_that_grows_without_end_is_given_up_at_once(watched: Watched) -> None:
    """Two gigabytes of zeros in the place of a pack, in 64 KiB: nobody unpacks more than was promised."""
    (site,) = watched.sites
    newest = site.ids(watched.job)[-1]
    packs = [key for key in site.documents(f"data/{watched.job}/{newest}/") if "pack" in key]
    bomb = zstd.provider().compress(bytes(64 * 1024 * 1024)) * 32
    kept = site.documents(packs[0])[packs[0]]
    overwrite(site, packs[0], bomb)
    ended = verify(watched, site)
    assert [each["is_good"] for each in ended.result] == [False], ended
    assert ended.peak_kib < _MOST_KIB, ended.peak_kib
    restore = watched.lab.restore(watched.job, watched.bucket, watched.lab.bucket_with({}), site)
    bombed = watched.driver.run(dataclasses.replace(restore, options={"backup": newest}))
    assert not bombed.is_good and bombed.peak_kib < _MOST_KIB, bombed
    overwrite(site, packs[0], kept)
    assert [each["is_good"] for each in verify(watched, site).result] == [True]
    watched.assert_sound()


def test_a_document_without_end_is_not_read(watched: Watched) -> None:
    (site,) = watched.sites
    key = f"{layout.VERIFIED}{watched.job}/{site.ids(watched.job)[-1]}/20261120T020000Z-0a1b-content.json"
    upload = site.store.upload(key, 0)
    for _mebibyte in range(65):
        upload.write(bytes(1024 * 1024))
    upload.finish()
    ended = watched.driver.run(watched.order())
    assert ended.status == 0 and ended.peak_kib < _MOST_KIB, ended
    site.store.delete(key)
    for version in [each.entry for each in site.store.versions(key)]:
        site.store.delete(version.key, version.version_id)
    watched.assert_sound()
