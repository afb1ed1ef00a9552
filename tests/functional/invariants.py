# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is true of a repository after any fault, judged from outside.

1. Every published backup can be read: its stored files are what was written, and what is called proved was read back.
2. Nothing lies there in clear that should not: no secret of a login, no key; with a keyring, nothing of the source.
3. The newest proved backup can be restored, and is equal to its source.
4. Nothing is locked for ever: after the time of a lease, maintenance begins at once.
5. What killed runs left is found by prune, and prune removes nothing else.
6. The next plain run succeeds.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import re
import typing as t

from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository import catalog, layout
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.deletion_plan import DeletionPlan
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.stored_files import needed_files
from ansible_collections.lifeboat.recovery.tests.functional.crash_driver import Order
from ansible_collections.lifeboat.recovery.tests.functional.fault_fixtures import Driver, Ended, Site
from ansible_collections.lifeboat.recovery.tests.functional.object_fixtures import ObjectLab, assert_good, faults

FOREIGN = "somebody/else.txt"  # in each repository of these tests: no part of it, and none of our business


@dataclasses.dataclass
class Watched:
    """A job whose bucket is backed up into repositories, and what must come back of it."""

    lab: ObjectLab
    driver: Driver
    sites: t.Sequence[Site]
    job: str
    bucket: str
    now: dict[str, bytes]  # what the bucket holds
    proved: dict[str, dict[str, bytes]] = dataclasses.field(default_factory=dict)  # what it held, by id of the backup

    @classmethod
    def begun(cls, lab: ObjectLab, driver: Driver, sites: t.Sequence[Site], objects: t.Mapping[str, bytes]) -> Watched:
        """Return a new job that was backed up once."""
        watched = cls(lab, driver, sites, lab.job(), lab.bucket_with(objects), dict(objects))
        for site in sites:
            site.store.put(FOREIGN, b"not ours")
        watched.back_up()
        return watched

    def change(self, changes: t.Mapping[str, bytes]) -> None:
        self.now.update(changes)
        self.lab.write(self.bucket, changes)

    def order(self, **changes: t.Any) -> Order:
        return self.lab.backup(self.job, self.bucket, *self.sites, **{"is_hour_later": True, **changes})

    def back_up(self) -> str:
        made = assert_good(self.driver.run(self.order()), self.job, *self.sites)
        self.proved[made] = dict(self.now)
        return made

    def prune(self, site: Site, **changes: t.Any) -> Order:
        """Return the order of a prune, after the time of leases that were left behind."""
        options = {"keep": {"last": 2}, "force": True, "wait_s": 0}
        order = Order("prune", self.job, [site.facts], options=options, is_hour_later=True)
        return dataclasses.replace(order, **changes)

    def delete(self, site: Site, backup_id: str, **changes: t.Any) -> Order:
        options = {"backup_id": backup_id, "wait_s": 0}
        order = Order("delete", self.job, [site.facts], options=options, is_hour_later=True)
        return dataclasses.replace(order, **changes)

    def copy(self, source: Site, target: Site, **changes: t.Any) -> Order:
        places = [source.facts, target.facts]
        order = Order("copy", self.job, places, options={"backup": "all", "wait_s": 0}, is_hour_later=True)
        return dataclasses.replace(order, **changes)

    def restored(self, site: Site, backup_id: str = "latest_good") -> dict[str, bytes]:
        options = {"backup": backup_id}
        return self.lab.restored(self.driver, self.job, self.bucket, site, **options)

    def assert_sound(self) -> None:
        """All six invariants hold; the last one adds a backup."""
        for site in self.sites:
            self._assert_readable(site)
            self._assert_no_secrets(site)
            newest = max(site.good_ids(self.job))
            if newest in self.proved:
                assert self.restored(site) == self.proved[newest]
        for site in self.sites:
            self._assert_unlocked_and_swept(site)
        newest = self.back_up()
        for site in self.sites:
            assert self.restored(site, newest) == self.now

    def _assert_readable(self, site: Site) -> None:
        assert faults(site, self.job) == []
        assert site.good_without_proof(self.job) == []
        options = {"backup": "all", "level": "content"}
        ended = self.driver.run(Order("verify", self.job, [site.facts], options=options))
        assert ended.exit_code == 0 and all(each["is_good"] for each in ended.result), ended

    def _assert_no_secrets(self, site: Site) -> None:
        secrets = [self.lab.minio.secret_key.encode(), self.lab.origin.secret_key.encode(), b"PRIVATE KEY"]
        found = [key for key, data in site.documents("").items() if any(secret in data for secret in secrets)]
        assert not found, f"secrets are in {found}"
        assert site.leaks() == []
        assert site.is_readable_by_all is (site.store.keys is None), "nothing of the source is found even in clear"

    def _assert_unlocked_and_swept(self, site: Site) -> None:
        """A week later two days of prunes leave just what the backups need, and what is not ours."""
        for _day in range(2):
            ended = self.driver.run(self.prune(site, is_week_later=True))
            assert ended.is_good, ended.error
            age_plans(site, self.job)
        ended = self.driver.run(self.prune(site, is_week_later=True))
        assert ended.is_good, ended.error
        assert leftovers(site, self.job) == []
        assert site.store.stat(FOREIGN) is not None
        assert faults(site, self.job) == []


def age_plans(site: Site, job: str) -> None:
    """Let a day pass for what is planned."""
    for key, text in site.documents(layout.plans(job)).items():
        plan = DeletionPlan.from_bytes(text, key)
        older = dataclasses.replace(plan, created=plan.created - dt.timedelta(days=2), is_struck=True)
        site.store.put(key, older.to_bytes())


def leftovers(site: Site, job: str) -> list[str]:
    """Return what nothing needs: files that no backup names, intents, plans, proofs of nothing, temporary files."""
    named = needed(site, job)
    form = re.compile(rf"{layout.DATA}{re.escape(job)}/[0-9]{{8}}T[0-9]{{6}}Z-[0-9a-f]{{6}}/[^/]+")
    found = [key for key in site.documents(f"{layout.DATA}{job}/") if form.fullmatch(key) and key not in named]
    found += [*site.documents(layout.intents(job)), *site.documents(layout.plans(job)), *site.temporary_files()]
    owners = {key.split("/")[2] for key in named} | set(site.ids(job))
    found += [key for key in site.documents(f"{layout.VERIFIED}{job}/") if key.split("/")[2] not in owners]
    if hasattr(site.store, "place_of"):
        found += site.store.unfinished(f"{layout.DATA}{job}/")
    return found


def needed(site: Site, job: str) -> set[str]:
    """Return the keys of all stored files that backups of a job name, read independently of prune."""
    keys = set()
    for backup in catalog.backups(site.store, job, with_proof=False):
        if backup.manifest is not None:
            keys |= {each.key(job) for each in needed_files(site.store, backup.manifest)}
            keys.add(layout.data(job, backup.id, layout.SUMS))
    return keys


def refused(ended: Ended, words: str) -> None:
    """A run ended with an error that has these words, and did not break down."""
    assert ended.status == 0 and ended.exit_code != 0, ended
    assert words in ended.error, ended.error
