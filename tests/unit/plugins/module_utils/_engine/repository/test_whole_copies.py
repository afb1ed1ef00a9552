# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Copies that are told to be whole by listings are those of which a plan for each would find nothing missing."""

from __future__ import annotations

import collections
import dataclasses
import pathlib
import typing as t

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import LifeboatError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository import (
    catalog,
    copy,
    layout,
    proof,
    whole_copies,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.catalog import Backup
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.manifest import Manifest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.store import Document, Entry
from ansible_collections.lifeboat.recovery.tests.unit.plugins.module_utils._engine.repository import actors
from ansible_collections.lifeboat.recovery.tests.unit.plugins.module_utils._engine.repository.actors import JOB
from ansible_collections.lifeboat.recovery.tests.unit.plugins.module_utils._engine.repository.examples import (
    manifest,
    record,
)
from ansible_collections.lifeboat.recovery.tests.unit.plugins.module_utils._engine.repository.memory_store import (
    MemoryPlace,
    MemoryStore,
)
from ansible_collections.lifeboat.recovery.tests.unit.plugins.module_utils._engine.repository.setting import (
    Setting,
    data_keys,
    made,
    manifest_key,
)
from ansible_collections.lifeboat.recovery.tests.unit.plugins.module_utils._engine.repository.simulation import World

LAB = "lab"


@pytest.fixture(autouse=True)
def none_is_too_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whole_copies, "FEW", 0)


@pytest.fixture
def setting(tmp_path: pathlib.Path) -> t.Iterator[Setting]:
    """Two repositories in buckets."""
    with made("bucket", tmp_path) as found:
        yield found


def pairs(here: t.Sequence[Backup], there: t.Sequence[Backup]) -> list[tuple[Backup, Backup]]:
    by_id = {each.id: each for each in there}
    return [(each, by_id[each.id]) for each in here if each.id in by_id]


def told(setting: Setting) -> set[str]:
    """Return the copies that are told to be whole; no other may be than those of which nothing is missing."""
    source, target = setting.a.store(), setting.b.store()
    both = pairs(catalog.backups(source, JOB), catalog.backups(target, JOB))
    found = set(whole_copies.whole_copies(source, target, JOB, both))
    assert found <= {mine.id for mine, _theirs in both if is_whole(setting, mine.manifest)}
    return found


def is_whole(setting: Setting, manifest: Manifest | None) -> bool:
    try:
        return manifest is not None and copy.plan(setting.a.store(), setting.b.store(), manifest).is_empty
    except LifeboatError:
        return False


def test_all_copies_are_whole_where_nothing_is_missing(anywhere: Setting) -> None:
    ids = {anywhere.back_up(anywhere.a, anywhere.b).id for _run in range(3)}
    assert told(anywhere) == ids


@pytest.mark.parametrize("name", ["dump", "pack-0", "files.jsonl", "needs.jsonl"])
def test_a_copy_whose_stored_file_is_gone_is_not_whole_nor_one_that_needs_it(setting: Setting, name: str) -> None:
    ids = [setting.back_up(setting.a, setting.b).id for _run in range(3)]
    lost = [data_keys(f"{each}/{name}") for each in ids]
    setting.lose(setting.b, lost[2])
    assert told(setting) == set(ids[:2])
    setting.lose(setting.a, lost[2])  # nobody has it now
    assert told(setting) == set(ids[:2])
    setting.lose(setting.b, lost[0])
    assert told(setting) == (set() if name in ("pack-0", "files.jsonl") else {ids[1]})


def test_a_copy_is_not_whole_when_a_pack_of_a_removed_backup_is_gone_from_both_repositories(setting: Setting) -> None:
    ids = [setting.back_up(setting.a, setting.b).id for _run in range(2)]
    for place in setting.both:
        setting.remove(place, ids[0])
    assert told(setting) == {ids[1]}
    for place in setting.both:
        setting.lose(place, data_keys(f"{ids[0]}/pack-0"))
    assert told(setting) == set()


@pytest.mark.parametrize("name", ["dump", "pack-0"])
def test_a_copy_with_a_file_of_another_size_is_not_whole(setting: Setting, name: str) -> None:
    ids = [setting.back_up(setting.a, setting.b).id for _run in range(2)]
    key = data_keys(f"{ids[1]}/{name}")
    setting.lose(setting.b, key)
    upload = setting.b.store().upload(key, 1)
    upload.write(b"?")
    upload.finish()
    assert told(setting) == {ids[0]}


def test_a_copy_that_did_not_read_back_is_not_whole(setting: Setting) -> None:
    ids = [setting.back_up(setting.a, setting.b).id for _run in range(2)]
    store = setting.b.store()
    file = actors.manifest_of(store, ids[1]).files[0]
    verdict = proof.FileVerdict(file.name, file.facts.stored_sha256, False, "a bit")
    proof.write(store, proof.ProofRecord(JOB, ids[1], "checksum", store.now(), "db1", (verdict,)))
    assert told(setting) == {ids[0]}


def test_a_copy_with_another_or_no_manifest_is_not_whole(setting: Setting) -> None:
    ids = [setting.back_up(setting.a, setting.b).id for _run in range(4)]
    store = setting.b.store()
    other = dataclasses.replace(actors.manifest_of(store, ids[1]), host="elsewhere")
    store.put(manifest_key(ids[1]), other.to_bytes())
    store.put(manifest_key(ids[2]), b"{}")
    store.delete(manifest_key(ids[3]))
    assert told(setting) == {ids[0]}


def test_what_the_source_has_more_keeps_no_copy_from_being_whole(setting: Setting) -> None:
    older = setting.back_up(setting.a).id
    ids = {setting.back_up(setting.b, setting.a).id for _run in range(2)}  # they build on nothing that is older
    newer = setting.back_up(setting.a).id
    assert told(setting) == ids
    assert {older, newer} < {each.id for each in catalog.backups(setting.a.store(), JOB)}


def test_of_a_few_backups_each_is_asked_for_by_itself(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    setting.back_up(setting.a, setting.b)
    monkeypatch.setattr(whole_copies, "FEW", 1)
    source, target = setting.a.store(), setting.b.store()
    both = pairs(catalog.backups(source, JOB), catalog.backups(target, JOB))
    assert whole_copies.whole_copies(source, target, JOB, both) == frozenset()


# What it costs


class CountingStore(MemoryStore):
    """Counts its requests by what they are."""

    def __init__(self, place: MemoryPlace) -> None:
        super().__init__(place, None)
        self.asked: collections.Counter[str] = collections.Counter()

    def entries(self, prefix: str) -> t.Iterator[Entry]:
        self.asked["listing"] += 1
        return super().entries(prefix)

    def get(self, key: str, version_id: str = "") -> Document | None:
        self.asked["document"] += 1
        return super().get(key, version_id)


def test_that_all_databases_are_copied_is_told_by_one_listing_of_the_target() -> None:
    with World() as world:
        stores = [CountingStore(MemoryPlace(world, name)) for name in ("A", "B")]
        for store in stores:
            for number in range(20):
                fill(store, f"20261120T02{number:02d}00Z-0a1b2c")
        fill(stores[0], "20261120T030000Z-0a1b2c")  # on its way
        both = pairs(*(catalog.backups(store, LAB) for store in stores))
        for store in stores:
            store.asked.clear()
        assert len(whole_copies.whole_copies(stores[0], stores[1], LAB, both)) == 20
        assert [store.asked for store in stores] == [{}, {"listing": 1}]


def fill(store: MemoryStore, backup_id: str) -> None:
    whole = manifest(backup_id)
    for file in whole.files:
        upload = store.upload(layout.data(LAB, backup_id, file.name), file.facts.stored_size)
        upload.write(b"x" * file.facts.stored_size)
        upload.finish()
    proof.write(store, record(backup_id=backup_id))
    store.put_new(layout.manifest(LAB, backup_id), whole.to_bytes())
