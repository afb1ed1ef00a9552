# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is kept of a backup says what its documents say, and never more than was verified."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import typing as t

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import DamagedError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository import (
    catalog,
    json_document,
    layout,
    proof,
    signing,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.catalog import Backup
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.judged import (
    Judged,
    RememberedManifest,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.keys import Keys
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.manifest import Manifest, TakenFile
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.proof import Standing
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.recall import Recall
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.stream.encryption import EpochKey
from ansible_collections.lifeboat.recovery.tests.unit.plugins.module_utils._engine.repository.examples import (
    ID,
    JOB,
    MOMENT,
    manifest,
    record,
    stored_file,
)
from ansible_collections.lifeboat.recovery.tests.unit.plugins.module_utils._engine.repository.memory_store import (
    MemoryPlace,
    MemoryStore,
)
from ansible_collections.lifeboat.recovery.tests.unit.plugins.module_utils._engine.repository.simulation import World

KEYS = Keys("7d0e", (EpochKey("7d0e", "e1", b"k" * 32),))
OTHER_KEYS = Keys("7d0e", (EpochKey("7d0e", "e1", b"o" * 32),))
GOOD = Standing(True, (), MOMENT, True, True)
FULL = manifest(
    flags=("mass_delete: 1,200 of 4,000 objects are gone",),
    warnings=("a warning",),
    source={"database": "lab", "extensions": ["plpgsql"]},
)


class Documents:
    """Has the document of a manifest, and counts how often it is read."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.count = 0

    def read(self) -> bytes:
        self.count += 1
        return self.data


@pytest.fixture
def store() -> t.Iterator[MemoryStore]:
    with World() as world:
        yield MemoryPlace(world, "A").store()


def remembered(whole: Manifest = FULL) -> tuple[Judged, Documents]:
    """Return what comes back of what is kept of a backup, by way of JSON, and where its document is read."""
    documents = Documents(whole.to_bytes())
    kept = Judged(whole, signing.VALID, GOOD).kept(documents.data)
    return Judged.from_kept(json.loads(json.dumps(kept)), whole.job, whole.id, documents.read), documents


def test_what_listings_show_comes_back_without_reading() -> None:
    (found, signature, standing), documents = remembered()
    assert (signature, standing) == (signing.VALID, GOOD)
    for name in ("id", "job", "kind", "host", "started", "finished", "source", "statistics", "warnings", "flags"):
        assert getattr(found, name) == getattr(FULL, name), name
    assert found.figure("plain_bytes") == 4 and documents.count == 0


def test_every_other_member_is_read_once_when_it_is_asked_for() -> None:
    (found, _signature, _standing), documents = remembered()
    for field in dataclasses.fields(Manifest):
        assert getattr(found, field.name) == getattr(FULL, field.name), field.name
    assert documents.count == 1
    with pytest.raises(AttributeError):
        found.no_such_member  # type: ignore[attr-defined]  # noqa: B018


def test_a_document_that_was_changed_since_is_not_believed() -> None:
    (found, _signature, _standing), documents = remembered()
    documents.data = dataclasses.replace(FULL, versions={"pg_dump": "18.1"}).to_bytes()
    with pytest.raises(DamagedError, match="not what it was when it was listed"):
        found.files  # noqa: B018 - it is read here


def test_manifests_are_compared_without_reading_them() -> None:
    (one, _signature, _standing), documents = remembered()
    (same, _signature, _standing), others = remembered()
    (different, _signature, _standing), _more = remembered(dataclasses.replace(FULL, versions={"pg_dump": "18.1"}))
    assert one == same and [one, FULL] == [FULL, one]
    assert one != different and one != "a manifest"
    assert documents.count == others.count == 0


def test_manifests_that_differ_in_what_is_not_kept_are_not_taken_for_the_same() -> None:
    (one, _signature, _standing), _documents = remembered()
    assert one != dataclasses.replace(FULL, versions={"pg_dump": "18.1"})


def test_members_that_a_newer_version_wrote_make_no_difference() -> None:
    fields = json_document.decoded(FULL.to_bytes(), "a manifest")
    document = json_document.encoded({**fields, "novelty": 1})
    whole = Manifest.from_bytes(document, JOB, ID)
    kept = Judged(whole, signing.VALID, GOOD).kept(document)
    assert kept is not None
    found = RememberedManifest(JOB, ID, kept[6:], lambda: document)
    assert found == whole
    documents = Documents(b"something else")
    assert RememberedManifest(JOB, ID, kept[6:], documents.read) != whole, "it cannot be read, and so not be compared"


def test_of_a_backup_that_took_files_over_nothing_is_kept() -> None:
    taken = dataclasses.replace(FULL, taken_over=(TakenFile("20261119T020000Z-0a1b2c", 0, stored_file()),))
    assert Judged(taken, signing.VALID, GOOD).kept(taken.to_bytes()) is None


@pytest.mark.parametrize("kept", [[], [1], ["valid", True, [], "soon", True, True, *[None] * 9], [None] * 15])
def test_something_else_is_refused(kept: list[t.Any]) -> None:
    with pytest.raises((ValueError, TypeError)):
        Judged.from_kept(kept, JOB, ID, lambda: b"")


# By way of a catalog


def fill(store: MemoryStore, keys: Keys | None) -> str:
    key = layout.manifest(JOB, ID)
    store.put_new(key, manifest().signed(keys).to_bytes())
    store.keys = keys
    proof.write(store, record())
    return key


def looked(store: MemoryStore, folder: pathlib.Path) -> list[Backup]:
    """Return the catalog with a memory, which is the same as without one."""
    recall = Recall(str(folder / "kept"), "A", JOB)
    found = catalog.backups(store, JOB, recall=recall)
    recall.save()
    assert found == catalog.backups(store, JOB)
    return found


@pytest.mark.parametrize("keys", [None, KEYS])
def test_the_second_look_neither_reads_nor_parses_documents(
    store: MemoryStore, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, keys: Keys | None
) -> None:
    fill(store, keys)
    first = looked(store, tmp_path)
    assert first[0].is_good
    with monkeypatch.context() as patch:
        patch.setattr(json_document, "decoded", lambda *_words: pytest.fail("a document was parsed"))
        found = catalog.backups(store, JOB, recall=Recall(str(tmp_path / "kept"), "A", JOB))
        assert isinstance(found[0].manifest, RememberedManifest)
    assert found == first


@pytest.mark.parametrize("written_by", [None, OTHER_KEYS])
def test_what_is_not_authentic_does_not_become_so_by_being_remembered(
    store: MemoryStore, tmp_path: pathlib.Path, written_by: Keys | None
) -> None:
    fill(store, written_by)
    store.keys = KEYS
    for _look in range(3):
        (found,) = looked(store, tmp_path)
        assert not found.is_authentic and not found.is_good and not found.is_usable
    store.allow_unsigned = True
    (found,) = looked(store, tmp_path)
    assert found.is_usable == (written_by is None), "this is asked each time"


def test_a_removed_manifest_is_gone_from_the_next_listing_on(store: MemoryStore, tmp_path: pathlib.Path) -> None:
    key = fill(store, KEYS)
    (before,) = looked(store, tmp_path)
    before = catalog.backups(store, JOB, recall=Recall(str(tmp_path / "kept"), "A", JOB))[0]
    store.delete(key)
    assert looked(store, tmp_path) == []
    with pytest.raises(DamagedError, match="it was removed since it was listed"):
        assert before.manifest and before.manifest.files


def test_a_manifest_that_was_forged_since_is_an_alarm(store: MemoryStore, tmp_path: pathlib.Path) -> None:
    key = fill(store, KEYS)
    looked(store, tmp_path)
    store.put(key, manifest(host="elsewhere").signed(OTHER_KEYS).to_bytes())
    for _look in range(2):
        (found,) = looked(store, tmp_path)
        assert found.alarms and not found.is_good
