# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the catalog makes of backups that need files of hundreds of earlier ones, and what it asks for."""

from __future__ import annotations

import collections
import hashlib
import typing as t

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository import catalog, layout, proof
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.manifest import (
    Manifest,
    Need,
    StoredFile,
    file_list,
    need_list,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.proof import (
    FileVerdict,
    ProofRecord,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.store import Document, Entry
from ansible_collections.lifeboat.recovery.tests.unit.plugins.module_utils._engine.repository.examples import (
    JOB,
    MOMENT,
    manifest,
    stored_file,
)
from ansible_collections.lifeboat.recovery.tests.unit.plugins.module_utils._engine.repository.memory_store import (
    MemoryPlace,
    MemoryStore,
)
from ansible_collections.lifeboat.recovery.tests.unit.plugins.module_utils._engine.repository.simulation import World

BACKUPS = 60


class CountingStore(MemoryStore):
    """Counts requests by kind."""

    def __init__(self, place: MemoryPlace) -> None:
        super().__init__(place, None)
        self.asked: collections.Counter[str] = collections.Counter()

    def get(self, key: str, version_id: str = "") -> Document | None:
        self.asked["get"] += 1
        return super().get(key, version_id)

    def entries(self, prefix: str) -> t.Iterator[Entry]:
        self.asked["entries"] += 1
        return super().entries(prefix)

    def read(self, key: str, offset: int = 0, length: int | None = None, version_id: str = "") -> t.Iterator[bytes]:
        self.asked["read"] += 1
        return super().read(key, offset, length, version_id)


@pytest.fixture
def place() -> t.Iterator[MemoryPlace]:
    with World() as world:
        yield MemoryPlace(world, "A")


def backup_id(number: int) -> str:
    return f"20261120T{number // 60:02d}{number % 60:02d}00Z-0a1b2c"


def written(place: MemoryPlace, number: int, needs: t.Sequence[Need]) -> tuple[Need, Manifest]:
    """Write a backup of one pack and one index that needs others; return what later ones need of it."""
    store, owner = place.store(), backup_id(number)
    pack = stored_file("pack-0000.tar.zst", "pack", f"pack {number}".encode())
    index = stored_file("index.jsonl.zst", "index", f"index {number}".encode())
    lists = {"files": file_list([pack, index]), "needs": need_list(needs)}
    files: list[StoredFile] = [index]
    for name, data in lists.items():
        store.put(layout.data(JOB, owner, f"{name}.jsonl"), data)
        files.append(stored_file(f"{name}.jsonl", name, data))
    found = manifest(owner, files, kind="bucket")
    store.put_new(layout.manifest(JOB, owner), found.to_bytes())
    record(place, number, [pack, *files])
    return Need(owner, hashlib.sha256(lists["files"]).hexdigest(), ((0, 1),)), found


def record(place: MemoryPlace, number: int, files: t.Sequence[StoredFile], problem: str = "") -> None:
    verdicts = tuple(FileVerdict(each.name, each.facts.stored_sha256, not problem, problem) for each in files)
    proof.write(place.store(), ProofRecord(JOB, backup_id(number), "content", MOMENT, "db1", verdicts))


def chain(place: MemoryPlace) -> list[Need]:
    needs: list[Need] = []
    for number in range(BACKUPS):
        need, _manifest = written(place, number, needs)
        needs.append(need)
    return needs


def test_a_catalog_of_backups_that_need_all_earlier_ones_asks_for_everything_once(place: MemoryPlace) -> None:
    chain(place)
    store = CountingStore(place)
    found = catalog.backups(store, JOB)
    assert [backup.is_good for backup in found] == [True] * BACKUPS
    # Of each backup its manifest and its one record; one listing of all records; its two lists, and its list of files
    # once more for those who need it.
    assert store.asked["entries"] == 1
    assert store.asked["get"] == 2 * BACKUPS
    assert store.asked["read"] <= 3 * BACKUPS


def test_one_backup_that_needs_many_is_judged_by_one_listing(place: MemoryPlace) -> None:
    chain(place)
    store = CountingStore(place)
    found = catalog.find(store, JOB, backup_id(BACKUPS - 1))
    assert found is not None and found.is_good
    assert store.asked["entries"] == 1
    assert store.asked["read"] == BACKUPS + 1


def test_a_damaged_pack_costs_all_backups_that_need_it_and_no_other(place: MemoryPlace) -> None:
    needs = chain(place)
    alone, _manifest = written(place, BACKUPS, [needs[0]])
    pack = stored_file("pack-0000.tar.zst", "pack", b"pack 7")
    record(place, 7, [pack], "its bytes are others")
    found = {backup.id: backup for backup in catalog.backups(place.store(), JOB)}
    good = [each for each, backup in found.items() if backup.is_good]
    assert good == [*(backup_id(number) for number in range(7)), alone.owner]
    assert found[backup_id(7)].standing.problems == ("pack-0000.tar.zst: its bytes are others",)
    assert found[backup_id(9)].standing.problems == (f"{backup_id(7)}/pack-0000.tar.zst: its bytes are others",)


def test_a_list_of_files_that_is_not_what_it_was_costs_the_backups_that_need_it(place: MemoryPlace) -> None:
    chain(place)
    place.store().put(layout.data(JOB, backup_id(3), "files.jsonl"), b"")
    found = catalog.backups(place.store(), JOB)
    assert [backup.is_good for backup in found] == [True] * 3 + [False] * (BACKUPS - 3)
    assert "files.jsonl (0 bytes) is not what it was" in found[-1].standing.problems[-1]


def test_a_pack_without_record_leaves_those_who_need_it_unproved(place: MemoryPlace) -> None:
    chain(place)
    for entry in list(place.store().entries(layout.verified(JOB, backup_id(5)))):
        place.store().delete(entry.key)
    found = catalog.backups(place.store(), JOB)
    assert [backup.is_good for backup in found] == [True] * 5 + [False] * (BACKUPS - 5)
    assert not any(backup.has_failed for backup in found)
