# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a host remembers of documents: it saves reading, and never shows anything but what a listing stands for."""

from __future__ import annotations

import collections
import gc
import os
import pathlib
import threading
import typing as t

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository import catalog, layout, proof, recall
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.catalog import Backup
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.memory import no_search_for_cycles
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.recall import Recall
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.store import Document
from ansible_collections.lifeboat.recovery.tests.unit.plugins.module_utils._engine.repository.examples import (
    JOB,
    manifest,
    record,
)
from ansible_collections.lifeboat.recovery.tests.unit.plugins.module_utils._engine.repository.memory_store import (
    MemoryPlace,
    MemoryStore,
)
from ansible_collections.lifeboat.recovery.tests.unit.plugins.module_utils._engine.repository.simulation import World

COUNT = 5


class CountingStore(MemoryStore):
    """Counts the documents that are read, by what their keys begin with."""

    def __init__(self, place: MemoryPlace) -> None:
        super().__init__(place, None)
        self.read_of: collections.Counter[str] = collections.Counter()
        self._counting = threading.Lock()

    def get(self, key: str, version_id: str = "") -> Document | None:
        with self._counting:
            self.read_of[key.partition("/")[0]] += 1
        return super().get(key, version_id)


@pytest.fixture
def place() -> t.Iterator[MemoryPlace]:
    with World() as world:
        yield MemoryPlace(world, "A")


def backup_id(number: int) -> str:
    return f"20261120T02{number:02d}00Z-0a1b2c"


def fill(place: MemoryPlace, count: int = COUNT) -> MemoryPlace:
    for number in range(count):
        place.store().put_new(layout.manifest(JOB, backup_id(number)), manifest(backup_id(number)).to_bytes())
        prove(place, number)
    return place


def prove(place: MemoryPlace, number: int, problem: str = "", minute: int = 0) -> None:
    proof.write(place.store(), record(problem=problem, minute=minute, backup_id=backup_id(number)))


def looked(
    place: MemoryPlace, folder: pathlib.Path, subject: str = "A"
) -> tuple[list[Backup], collections.Counter[str]]:
    """Return the catalog as somebody with a memory sees it, and how much was read for that."""
    store, remembered = CountingStore(place), Recall(str(folder / "kept"), subject, JOB)
    found = catalog.backups(store, JOB, recall=remembered)
    remembered.save()
    assert found == catalog.backups(place.store(), JOB), "it differs from what there is"
    return found, store.read_of


def only_file(folder: pathlib.Path) -> pathlib.Path:
    (file,) = (folder / "kept").iterdir()
    return file


def test_a_second_look_reads_nothing_again(place: MemoryPlace, tmp_path: pathlib.Path) -> None:
    fill(place)
    first, read = looked(place, tmp_path)
    assert read == {"manifests": COUNT, "verified": COUNT}
    assert [backup.is_good for backup in first] == [True] * COUNT
    again, read = looked(place, tmp_path)
    assert again == first and not read


def test_what_came_and_went_since_is_read_and_forgotten(place: MemoryPlace, tmp_path: pathlib.Path) -> None:
    fill(place)
    looked(place, tmp_path)
    place.store().delete(layout.manifest(JOB, backup_id(0)))
    for entry in list(place.store().entries(layout.verified(JOB, backup_id(0)))):
        place.store().delete(entry.key)
    place.store().put_new(layout.manifest(JOB, backup_id(7)), manifest(backup_id(7)).to_bytes())
    found, read = looked(place, tmp_path)
    assert [backup.id for backup in found] == [backup_id(number) for number in (1, 2, 3, 4, 7)]
    assert read == {"manifests": 1}
    assert backup_id(0).encode() not in only_file(tmp_path).read_bytes()


def test_a_proof_that_failed_since_counts(place: MemoryPlace, tmp_path: pathlib.Path) -> None:
    fill(place)
    looked(place, tmp_path)
    prove(place, 2, problem="a bit has changed", minute=5)
    found, read = looked(place, tmp_path)
    assert [backup.is_good for backup in found] == [True, True, False, True, True]
    assert read == {"manifests": 1, "verified": 2}
    prove(place, 2, minute=9)
    found, read = looked(place, tmp_path)
    assert found[2].is_good


def test_a_proof_that_is_gone_proves_nothing_any_more(place: MemoryPlace, tmp_path: pathlib.Path) -> None:
    fill(place)
    looked(place, tmp_path)
    for entry in list(place.store().entries(layout.verified(JOB, backup_id(3)))):
        place.store().delete(entry.key)
    found, read = looked(place, tmp_path)
    assert [backup.is_good for backup in found] == [True, True, True, False, True] and read == {"manifests": 1}


@pytest.mark.parametrize("is_versioned", [False, True])
def test_a_manifest_that_was_written_again_is_read_again(tmp_path: pathlib.Path, is_versioned: bool) -> None:
    with World() as world:
        place = fill(MemoryPlace(world, "A", is_versioned=is_versioned))
        looked(place, tmp_path)
        place.store().put(layout.manifest(JOB, backup_id(1)), b"somebody else's")
        found, read = looked(place, tmp_path)
        assert not found[1].is_good
        assert read["manifests"] == 1
        place.store().delete(layout.manifest(JOB, backup_id(2)))
        looked(place, tmp_path)


def test_a_damaged_manifest_is_not_remembered_as_a_good_one(place: MemoryPlace, tmp_path: pathlib.Path) -> None:
    fill(place)
    key = layout.manifest(JOB, backup_id(1))
    place.store().put(key, manifest(backup_id(1)).to_bytes().replace(b"db1", b"db2"))
    for _look in range(2):
        found, read = looked(place, tmp_path)
        assert found[1].manifest is None and found[1].alarms
    assert read["manifests"] >= 1


@pytest.mark.parametrize("what", ["cut", "flipped", "emptied", "other", "index", "older"])
def test_a_damaged_file_is_ignored_and_written_anew(place: MemoryPlace, tmp_path: pathlib.Path, what: str) -> None:
    fill(place)
    looked(place, tmp_path)
    file = only_file(tmp_path)
    good = file.read_bytes()
    middle = len(good) - 50
    damaged = {
        "cut": good[:middle],
        "flipped": good[:middle] + bytes([good[middle] ^ 1]) + good[middle + 1 :],
        "emptied": b"",
        "other": b"\x00" * 1000,
        "index": good.replace(b"[[", b"[{"),
        "older": good.replace(b"recall 2", b"recall 1", 1),
    }[what]
    file.write_bytes(damaged)
    _found, read = looked(place, tmp_path)
    assert read == {"manifests": COUNT, "verified": COUNT}
    assert only_file(tmp_path).read_bytes() == good


def test_only_this_user_may_read_what_is_kept(place: MemoryPlace, tmp_path: pathlib.Path) -> None:
    fill(place)
    before = os.umask(0)
    try:
        looked(place, tmp_path)
    finally:
        os.umask(before)
    assert only_file(tmp_path).stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "kept").stat().st_mode & 0o777 == 0o700


def test_what_others_may_write_to_is_not_believed(place: MemoryPlace, tmp_path: pathlib.Path) -> None:
    fill(place)
    looked(place, tmp_path)
    only_file(tmp_path).chmod(0o622)
    assert looked(place, tmp_path)[1] == {"manifests": COUNT, "verified": COUNT}
    assert not looked(place, tmp_path)[1], "it was replaced"
    (tmp_path / "kept").chmod(0o777)
    assert looked(place, tmp_path)[1] == {"manifests": COUNT, "verified": COUNT}


def test_a_link_is_not_followed(place: MemoryPlace, tmp_path: pathlib.Path) -> None:
    fill(place)
    looked(place, tmp_path)
    file = only_file(tmp_path)
    away = tmp_path / "away"
    file.rename(away)
    file.symlink_to(away)
    before = away.read_bytes()
    assert looked(place, tmp_path)[1] == {"manifests": COUNT, "verified": COUNT}
    assert away.read_bytes() == before and not file.is_symlink()


def test_repositories_do_not_share_what_is_kept(place: MemoryPlace, tmp_path: pathlib.Path) -> None:
    fill(place)
    looked(place, tmp_path)
    assert looked(place, tmp_path, "B")[1] == {"manifests": COUNT, "verified": COUNT}


def test_where_nothing_can_be_kept_everything_is_read(place: MemoryPlace, tmp_path: pathlib.Path) -> None:
    fill(place)
    (tmp_path / "kept").write_text("a file is in the way")
    for _look in range(2):
        assert looked(place, tmp_path)[1] == {"manifests": COUNT, "verified": COUNT}


def test_files_that_nobody_uses_go_and_those_of_others_stay(
    place: MemoryPlace, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(place)
    looked(place, tmp_path, "long ago")
    old = only_file(tmp_path)
    left, foreign = old.with_name(f".{old.name}.0a1b2c3d"), old.with_name("notes.txt")
    left.write_bytes(b"of a killed process")
    foreign.write_bytes(b"somebody's")
    for path in (old, left, foreign):
        os.utime(path, (0, 0))
    looked(place, tmp_path)
    assert not old.exists() and not left.exists() and foreign.exists()
    monkeypatch.setattr(recall, "_MOST_FOLDER", 1)
    looked(place, tmp_path, "B")
    assert len([path for path in (tmp_path / "kept").iterdir() if path != foreign]) == 1


def test_too_much_is_not_kept(place: MemoryPlace, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(place)
    monkeypatch.setattr(recall, "_MOST_FILE", 1000)
    looked(place, tmp_path)
    assert not list((tmp_path / "kept").iterdir())


def test_a_document_that_nothing_was_judged_by_is_kept_only_if_it_is_whole(
    place: MemoryPlace, tmp_path: pathlib.Path
) -> None:
    fill(place)
    store = CountingStore(place)
    entries = {entry.key: entry for entry in store.entries(layout.manifests(JOB))}
    whole, damaged = list(entries)[:2]
    first = Recall(str(tmp_path), "one")
    for key, data in ((whole, None), (damaged, b"x" * entries[damaged].size)):
        document = store.get(key)
        assert document is not None
        first.remember(entries[key], document if data is None else Document(data, document.etag, document.modified))
    first.save()
    second = Recall(str(tmp_path), "one")
    assert [second.document(entries[key]) is not None for key in (whole, damaged)] == [True, False]


def test_the_search_for_cycles_goes_on_after_a_listing_that_failed() -> None:
    assert gc.isenabled()
    with pytest.raises(ZeroDivisionError), no_search_for_cycles():
        assert not gc.isenabled()
        raise ZeroDivisionError
    assert gc.isenabled()
