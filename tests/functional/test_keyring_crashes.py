# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A keyring in a directory and in a bucket is made, gets an epoch, and another secret; whoever does it is killed.

At every step each key opens with the old secret or the new one, what was backed up before can be restored, and the same
work once more comes to its end.
"""

from __future__ import annotations

import dataclasses
import typing as t

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository import keyring, organisation_secret
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.keyring import (
    Access,
    WrongSecretError,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.keys import Keys
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.stream.encryption import EpochKey
from ansible_collections.lifeboat.recovery.tests.functional.crash_driver import Order
from ansible_collections.lifeboat.recovery.tests.functional.crash_states import Recovered, copy_of, state_of
from ansible_collections.lifeboat.recovery.tests.functional.fault_fixtures import Driver, Ended, Site
from ansible_collections.lifeboat.recovery.tests.functional.job_fixtures import own_locks
from ansible_collections.lifeboat.recovery.tests.functional.object_fixtures import (
    ObjectLab,
    assert_good,
    contents,
    faults,
    object_driver,
    object_lab,
)
from ansible_collections.lifeboat.recovery.tests.unit.plugins.module_utils._engine.repository import keyrings

__all__ = ["object_driver", "object_lab", "own_locks"]

KILLED = -9
OBJECTS = contents(5, 3000)


class Holder:
    """Repositories of one keyring with a backup, and who changes it."""

    def __init__(self, lab: ObjectLab, driver: Driver, is_made: bool = True) -> None:
        self.lab = lab
        self.driver = driver
        self.job = lab.job()
        self.bucket = lab.bucket_with(OBJECTS)
        self.first: tuple[Site, ...] = (lab.directory(), lab.bucket())
        self.made: list[str] = []  # ids of the backups
        self.old = self.new = keyrings.fresh_secret().to_text()
        if is_made:
            self.first = lab.encrypted(*self.first)
            self.old = self.new = str(self.first[0].facts["secret"])
            self.back_up(self.first)

    def back_up(self, sites: tuple[Site, ...]) -> None:
        ended = self.driver.run(self.lab.backup(self.job, self.bucket, *sites))
        self.made.append(assert_good(ended, self.job, *sites))

    def change(
        self, sites: tuple[Site, ...], options: t.Mapping[str, t.Any], step: str = "", fault: str = "kill"
    ) -> Ended:
        places = [{**site.facts, "secret": self.old} for site in sites]
        self.new = str(options.get("secret", self.old))
        return self.driver.run(Order("keyring", "", places, options=options, step=step, fault=fault if step else ""))

    def changed(self, sites: tuple[Site, ...]) -> tuple[Site, ...]:
        """Return repositories as somebody opens them who has the new secret. Raises WrongSecretError."""
        for site in sites:
            site.store.keys = keyring.read(site.store, Access(organisation_secret.from_text(self.new, "a test")))
        return tuple(dataclasses.replace(site, facts={**site.facts, "secret": self.new}) for site in sites)

    def copies(self) -> tuple[Site, ...]:
        return tuple(copy_of(self.lab, site) for site in self.first)

    def opened(self, site: Site) -> Keys | None:
        """Return all keys, each of which the old secret or the new one must open; None where there is none."""
        secrets = [organisation_secret.from_text(text, "a test") for text in (self.old, self.new)]
        keys = []
        for each in keyring.epochs(site.store):
            opened = each.opened(secrets[0]) or each.opened(secrets[1])
            assert opened, f"epoch {each.epoch} opens with neither secret"
            keys.append(EpochKey(each.keyring, each.epoch, opened.secret))
        return Keys(keys[0].keyring, tuple(keys)) if keys else None

    def look_at(self, site: Site, step: str) -> None:
        site.documents("")
        assert site.leaks() == [], step
        site.store.keys = self.opened(site)
        assert faults(site, self.job) == [], step
        assert site.good_ids(self.job) == self.made, step

    def assert_restorable(self, sites: tuple[Site, ...]) -> None:
        for site, made in ((site, made) for site in sites for made in self.made):
            assert self.lab.restored(self.driver, self.job, self.bucket, site, backup=made) == OBJECTS


CHANGES: t.Mapping[str, tuple[bool, t.Mapping[str, t.Any]]] = {
    "make": (False, {"epochs": 1}),
    "add an epoch": (True, {"epochs": 2}),
    "rewrap": (True, {"secret": keyrings.fresh_secret().to_text()}),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_keyring_whose_change_is_killed_at_any_step_opens_and_is_changed_by_the_next_run(
    object_lab: ObjectLab, object_driver: Driver, change: str
) -> None:
    is_made, options = CHANGES[change]
    holder, recovered = Holder(object_lab, object_driver, is_made), Recovered()
    whole = holder.change(holder.copies(), options)
    assert whole.is_good, whole.error
    assert any("s3.put" in step for step in whole.steps) and any("directory.put" in step for step in whole.steps)
    for step in whole.steps:
        sites = holder.copies()
        killed = holder.change(sites, options, step)
        assert killed.status == KILLED, f"{step}: {killed}"
        for site in sites:
            holder.look_at(site, step)
        if not recovered.is_new(state_of(holder.job, *sites)):
            continue
        again = holder.change(sites, options)
        assert again.is_good, f"{step}: {again.error}"
        sites = holder.changed(sites)
        for site in sites:
            assert len(site.store.keys.epochs) == options.get("epochs", 1), step
            site.store.discard_abandoned(holder.job)  # as every run does
            assert site.temporary_files() == [], step
        last = sites
    holder.back_up(last)
    holder.assert_restorable(last)
    if holder.new != holder.old:
        with pytest.raises(WrongSecretError):
            keyring.read(last[0].store, Access(organisation_secret.from_text(holder.old, "a test")))
