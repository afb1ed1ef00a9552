# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Backups, restores and mirrors of buckets that are killed at random steps while the buckets change."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import pathlib
import random
import typing as t

from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.mirror_sides import QUARANTINE
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3.client import S3Client
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3.endpoint import Endpoint
from ansible_collections.lifeboat.recovery.tests.functional.crash_driver import Order
from ansible_collections.lifeboat.recovery.tests.functional.fault_fixtures import Driver, Ended, Site
from ansible_collections.lifeboat.recovery.tests.functional.job_fixtures import own_locks
from ansible_collections.lifeboat.recovery.tests.functional.object_fixtures import (
    ObjectLab,
    assert_good,
    body,
    contents,
    faults,
    object_driver,
    object_lab,
)
from ansible_collections.lifeboat.recovery.tests.functional.s3_fixtures import VERSIONED
from ansible_collections.lifeboat.recovery.tests.functional.test_crash_at_every_step import STATUS
from ansible_collections.lifeboat.recovery.tests.soak.random_runs import ENCRYPTED, FAULTS, MOST_CRASHES, repeated

__all__ = ["object_driver", "object_lab", "own_locks"]

_SIZES = (0, 30, 3000, 65_000, 6_000_000)  # bytes; the last ones take packs of their own, and parts
_numbers = itertools.count(1)


class Changing:
    """A bucket that changes, and what is in it."""

    def __init__(self, chance: random.Random, lab: ObjectLab) -> None:
        self._chance = chance
        self._lab = lab
        self.now = dict(contents(chance.randint(20, 80), chance.choice(_SIZES[1:4])))
        self.ever: dict[str, set[bytes]] = {key: {data} for key, data in self.now.items()}
        self.bucket = lab.bucket_with(self.now, versioned=chance.random() < 0.5)

    def change(self) -> None:
        """Write some objects anew, add some and remove some: too few for the guards to mind."""
        chance = self._chance
        some = chance.sample(sorted(self.now), 5)
        more = [f"folder-{chance.randrange(9)}/new-{next(_numbers)}" for _ignored in range(3)]
        written = {key: body(f"{key} {next(_numbers)}", chance.choice(_SIZES)) for key in [*some[2:], *more]}
        self._lab.write(self.bucket, written)
        self._lab.remove(self.bucket, some[:2])
        self.now = {key: data for key, data in {**self.now, **written}.items() if key not in some[:2]}
        for key, data in written.items():
            self.ever.setdefault(key, set()).add(data)


def crashed(chance: random.Random, driver: Driver, order: Order, steps: t.Sequence[str]) -> Ended:
    """Kill a run at one of the steps that another one had; it may have others, and then ends by itself."""
    fault = chance.choice(FAULTS)
    ended = driver.run(dataclasses.replace(order, step=chance.choice(steps), fault=fault))
    assert ended.status in (STATUS[fault], 0), ended
    assert ended.status or ended.is_good, ended.error
    return ended


def sites_of(chance: random.Random, lab: ObjectLab) -> list[Site]:
    sites = chance.choice([[lab.directory()], [lab.bucket()], [lab.bucket(), lab.directory()]])
    return list(lab.encrypted(*sites)) if chance.random() < ENCRYPTED else sites


def backups_that_crash(chance: random.Random, lab: ObjectLab, driver: Driver) -> int:
    """Kill runs of a new job while its bucket changes, and compare what comes back from those that end."""
    sites, job, source, killed = sites_of(chance, lab), lab.job(), Changing(chance, lab), 0
    order = lab.backup(job, source.bucket, *sites)
    steps = driver.run(order).steps
    good: set[str] = set()
    for _round in range(4):
        order = dataclasses.replace(order, options=chance.choice([{}, {}, {"mode": "full"}]))
        for _crash in range(chance.randint(1, MOST_CRASHES)):
            source.change()
            crashed(chance, driver, order, steps)
            killed += 1
            assert all(good <= set(site.good_ids(job)) for site in sites)
        ended = driver.run(order)
        good.add(assert_good(ended, job, *sites))
        steps = ended.steps
        assert [site.good_without_proof(job) for site in sites] == [[]] * len(sites)
        assert lab.unfinished_uploads() == []
        assert lab.restored(driver, job, source.bucket, chance.choice(sites)) == source.now
    assert [faults(site, job) for site in sites] == [[]] * len(sites)
    return killed


def restores_that_crash(chance: random.Random, lab: ObjectLab, driver: Driver) -> int:
    """Kill restores into a bucket or a folder in which things get lost meanwhile."""
    sites, job, source, killed = sites_of(chance, lab), lab.job(), Changing(chance, lab), 0
    assert_good(driver.run(lab.backup(job, source.bucket, *sites)), job, *sites)
    for _round in range(3):
        target = chance.choice([BucketOf, FolderOf])(lab, source.bucket)
        order = target.order(lab.restore(job, source.bucket, target.name, *sites))
        steps = driver.run(target.order(lab.restore(job, source.bucket, target.another(), *sites))).steps
        for _crash in range(chance.randint(1, MOST_CRASHES)):
            crashed(chance, driver, order, steps)
            killed += 1
            found = target.contents()
            assert found.items() <= source.now.items(), "something else is there"
            target.lose(chance.sample(sorted(found), len(found) // 3))
        again = driver.run(order)
        assert again.is_good, again.error
        assert target.contents() == source.now
        assert target.leftovers() == []
    return killed


class BucketOf:
    """A new bucket that is restored to."""

    def __init__(self, lab: ObjectLab, source: str) -> None:
        self._lab = lab
        self._source = source
        self.name = lab.bucket_with({})

    def another(self) -> str:
        return self._lab.bucket_with({})

    def order(self, order: Order) -> Order:
        return order

    def contents(self) -> dict[str, bytes]:
        return self._lab.contents(self.name)

    def lose(self, keys: t.Sequence[str]) -> None:
        self._lab.remove(self.name, keys)

    def leftovers(self) -> list[str]:
        """Return unfinished uploads: MinIO lists them by their full key only."""
        folder = self._lab.origin.folder / "drive1" / ".minio.sys" / "multipart"
        return [str(path.relative_to(folder)) for path in folder.glob("*/*") if path.is_dir()]


class FolderOf:
    """A new folder that is restored to."""

    def __init__(self, lab: ObjectLab, source: str) -> None:
        self._lab = lab
        self._source = source
        self.name = self.another()

    def another(self) -> str:
        return str(self._lab.folder / f"restored-{next(_numbers)}")

    def order(self, order: Order) -> Order:
        return dataclasses.replace(order, source={"folder": str(self._lab.folder), "map": order.source["map"]})

    def _files(self) -> dict[str, pathlib.Path]:
        root = pathlib.Path(self.name)
        return {str(path.relative_to(root)): path for path in root.rglob("*") if path.is_file()}

    def contents(self) -> dict[str, bytes]:
        return {key: path.read_bytes() for key, path in self._files().items() if "/.lifeboat-" not in f"/{key}"}

    def lose(self, keys: t.Sequence[str]) -> None:
        for key in keys:
            self._files()[key].unlink()

    def leftovers(self) -> list[str]:
        return [key for key in self._files() if "/.lifeboat-" in f"/{key}"]


def mirrors_that_crash(chance: random.Random, lab: ObjectLab, driver: Driver) -> int:
    """Kill mirrors of a changing bucket; those that end leave an equal target, and nothing of what it had is lost."""
    source, killed = Changing(chance, lab), 0
    target = chance.choice([MirrorBucket, MirrorFolder])(lab, chance.random() < 0.5)
    origin = {"bucket": source.bucket, "endpoint": lab.origin_endpoint()}
    order = Order("mirror", "mirror", [origin, target.facts], options={"threads": chance.choice([1, 4])})
    steps: t.Sequence[str] = []
    mirrored: dict[str, set[bytes]] = {}
    for _round in range(4):
        for _crash in range(chance.randint(1, MOST_CRASHES) if steps else 0):
            source.change()
            crashed(chance, driver, order, steps)
            killed += 1
            assert all(data in source.ever[key] for key, data in target.contents().items())
        source.change()
        ended = driver.run(order)
        assert ended.is_good, ended.error
        steps = ended.steps
        assert target.contents() == source.now
        assert target.leftovers() == []
        for key, data in source.now.items():
            mirrored.setdefault(key, set()).add(data)
        assert set().union(*mirrored.values()) <= target.everything()
    return killed


class MirrorBucket:
    """A new bucket of the other server that is mirrored to."""

    def __init__(self, lab: ObjectLab, versioned: bool) -> None:
        self._lab = lab
        self._client = S3Client(Endpoint(**lab.endpoint()))
        self._name = f"mirror-{next(_numbers)}"
        self._client.create_bucket(self._name)
        if versioned:
            self._client.document("PUT", self._name, "versioning", VERSIONED)
        self.facts = {"bucket": self._name, "endpoint": lab.endpoint()}

    def _get(self, key: str, version: str = "") -> bytes:
        return self._client.get_bytes(self._name, key, 1 << 28, version_id=version)[0]

    def contents(self) -> dict[str, bytes]:
        keys = [each.key for each in self._client.list_objects(self._name)]
        return {key: self._get(key) for key in keys if not key.startswith(QUARANTINE)}

    def leftovers(self) -> list[str]:
        return self._lab.unfinished_uploads()

    def everything(self) -> set[bytes]:
        versions = [each for each in self._client.list_versions(self._name) if not each.is_delete_marker]
        return {self._get(each.key, each.version_id) for each in versions}


class MirrorFolder:
    """A new directory that is mirrored to."""

    def __init__(self, lab: ObjectLab, _versioned: bool) -> None:
        self._root = lab.folder / f"mirror-{next(_numbers)}"
        self._root.mkdir()
        self.facts = {"directory": str(self._root)}

    def contents(self) -> dict[str, bytes]:
        return {
            str(path.relative_to(self._root)): path.read_bytes()
            for path in self._root.rglob("*")
            if path.is_file() and not any(name.startswith(".lifeboat-") for name in path.relative_to(self._root).parts)
        }

    def leftovers(self) -> list[str]:
        return [str(path) for path in self._root.rglob(".lifeboat-*") if path.is_file()]

    def everything(self) -> set[bytes]:
        return {path.read_bytes() for path in self._root.rglob("*") if path.is_file()}


def test_random_crashes_of_objects_cost_nothing_but_themselves(object_lab: ObjectLab, object_driver: Driver) -> None:
    works = [backups_that_crash, backups_that_crash, restores_that_crash, mirrors_that_crash]
    repeated([functools.partial(work, lab=object_lab, driver=object_driver) for work in works])
