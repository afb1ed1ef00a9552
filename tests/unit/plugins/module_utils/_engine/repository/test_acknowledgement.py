# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Flagged backups: what they are good for before and after somebody has looked at them."""

from __future__ import annotations

import datetime as dt
import typing as t

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine import clock
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import LifeboatError, UsageError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository import (
    acknowledgement,
    catalog,
    copy,
    identity,
    layout,
    proof,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.directory import DirectoryStore
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.manifest import Manifest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.publish import Contents, Run
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.verify.checksum import check_sums

JOB = "lab"
FLAG = "mass_delete: 1,200 of 4,000 objects are gone"


@pytest.fixture
def store(tmp_path) -> DirectoryStore:
    return repository(tmp_path, "one")


@pytest.fixture(autouse=True)
def ids(monkeypatch: pytest.MonkeyPatch) -> None:
    made = (f"20261120T0200{second:02}Z-0a1b2c" for second in range(60))
    monkeypatch.setattr(clock, "new_backup_id", lambda _moment: next(made))


def repository(folder, name: str) -> DirectoryStore:
    path = folder / name
    path.mkdir()
    store = DirectoryStore(str(path))
    identity.initialise(store)
    return store


def back_up(store: DirectoryStore, *flags: str) -> Manifest:
    """Write a backup that is proved."""
    run = Run(store, JOB)
    run.store_file("dump", "dump", [b"x"], "none")
    manifest = run.publish(Contents("bucket", {}, {}, {}, (), flags))
    run.close()
    files = check_sums(store, manifest).verdicts[manifest.id]
    proof.write(store, proof.ProofRecord(JOB, manifest.id, "content", store.now(), "db1", files))
    return manifest


def newest_good(store: DirectoryStore) -> str:
    return catalog.choose(catalog.backups(store, JOB), "latest_good", JOB, "one").id


def test_flags_are_in_the_manifest_and_only_where_there_are_any(store):
    plain, flagged = back_up(store), back_up(store, FLAG)
    assert b'"flags"' not in plain.to_bytes()
    for each in (plain, flagged):
        assert Manifest.from_bytes(each.to_bytes(), JOB, each.id) == each


def test_the_latest_good_backup_is_the_one_before_the_flagged_ones(store):
    good = back_up(store)
    flagged = back_up(store, FLAG)
    back_up(store, f"follows {flagged.id}")
    assert newest_good(store) == good.id
    found = catalog.backups(store, JOB)
    assert [(each.is_good, each.is_flagged, each.is_trusted) for each in found] == [
        (True, False, True),
        (True, True, False),
        (True, True, False),
    ]


def test_an_acknowledgement_covers_its_backup_and_earlier_ones_but_no_later_one(store):
    flagged, follower = back_up(store, FLAG), back_up(store, "follows")
    later = back_up(store, FLAG)
    assert acknowledgement.acknowledge(store, JOB, follower.id)
    assert newest_good(store) == follower.id
    flags = {each.id: each.is_flagged for each in catalog.backups(store, JOB)}
    assert flags == {flagged.id: False, follower.id: False, later.id: True}
    assert catalog.find(store, JOB, later.id).is_flagged
    assert not catalog.find(store, JOB, flagged.id).is_flagged


def test_what_is_acknowledged_already_is_no_news(store):
    first, second = back_up(store, FLAG), back_up(store, FLAG)
    assert acknowledgement.acknowledge(store, JOB, second.id)
    assert not acknowledgement.acknowledge(store, JOB, second.id)
    assert not acknowledgement.acknowledge(store, JOB, first.id)
    assert len(list(store.entries(layout.acknowledgements(JOB)))) == 1


@pytest.mark.parametrize("data", [b"", b"{}", b"\xff", b'{"job": "lab"}'])
def test_a_damaged_acknowledgement_acknowledges_nothing(store, data):
    flagged = back_up(store, FLAG)
    store.put_new(layout.acknowledgement(JOB, flagged.id), data)
    assert acknowledgement.newest(store, JOB) == ""
    assert catalog.find(store, JOB, flagged.id).is_flagged


def test_an_acknowledgement_of_another_backup_under_this_name_acknowledges_nothing(store):
    first, second = back_up(store, FLAG), back_up(store, FLAG)
    acknowledgement.acknowledge(store, JOB, first.id)
    document = store.get(layout.acknowledgement(JOB, first.id))
    store.put_new(layout.acknowledgement(JOB, second.id), document.data)
    assert acknowledgement.newest(store, JOB) == first.id


@pytest.mark.parametrize(("job", "backup_id"), [("../x", "20261120T020000Z-0a1b2c"), (JOB, "latest"), (JOB, "../x")])
def test_only_jobs_and_ids_can_be_acknowledged(store, job, backup_id):
    with pytest.raises(UsageError):
        acknowledgement.acknowledge(store, job, backup_id)


def test_without_a_good_backup_the_error_says_how_many_are_flagged(store):
    back_up(store, FLAG)
    with pytest.raises(LifeboatError, match="1 of them proved, 1 flagged"):
        newest_good(store)


def test_a_copy_brings_the_newest_acknowledgement_along(store, tmp_path):
    other = repository(tmp_path, "two")
    flagged = back_up(store, FLAG)
    acknowledgement.acknowledge(store, JOB, flagged.id)
    copy.copy(store, other, flagged, identity.require(other))
    assert acknowledgement.newest(other, JOB) == flagged.id
    later = "20261121T020000Z-0a1b2c"
    acknowledgement.acknowledge(other, JOB, later)
    permit: t.Callable[[], dt.datetime] = other.now
    acknowledgement.bring(store, other, JOB, permit)
    assert acknowledgement.newest(other, JOB) == later


def test_a_backup_is_flagged_until_it_is_acknowledged_in_one_repository(store, tmp_path):
    other = repository(tmp_path, "two")
    flagged = back_up(store, FLAG)
    copy.copy(store, other, flagged, identity.require(other))

    def merged() -> catalog.MergedBackup:
        return catalog.merged({"one": catalog.backups(store, JOB), "two": catalog.backups(other, JOB)})[0]

    assert merged().is_flagged and merged().is_proved and not merged().is_trusted
    acknowledgement.acknowledge(store, JOB, flagged.id)
    assert not merged().is_flagged and merged().is_trusted
