# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What records of verifications prove, and what the catalog makes of them."""

from __future__ import annotations

import dataclasses
import itertools
import typing as t

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine import clock
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import LifeboatError, UsageError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository import (
    catalog,
    json_document,
    layout,
    proof,
    signing,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.manifest import (
    Need,
    file_list,
    need_list,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.proof import ProofRecord
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
)
from ansible_collections.lifeboat.recovery.tests.unit.plugins.module_utils._engine.repository.simulation import World

KEY = layout.manifest(JOB, ID)
LATER_ID = "20261121T020000Z-ffffff"


@pytest.fixture
def place() -> t.Iterator[MemoryPlace]:
    with World() as world:
        yield MemoryPlace(world, "A")


@pytest.fixture
def versioned() -> t.Iterator[MemoryPlace]:
    with World() as world:
        yield MemoryPlace(world, "A", is_versioned=True)


@pytest.mark.parametrize(
    ("found", "is_proved", "has_problems"),
    [
        ([], False, False),
        ([record("content")], True, False),
        ([record("restore")], True, False),
        ([record("checksum")], False, False),
        ([record("presence")], False, False),
        ([record("content"), record("checksum", 1, "cut")], False, True),
        ([record("content"), record("content", 1, "cut")], False, True),
        ([record("content", 0, "cut"), record("checksum", 1)], False, True),
        ([record("content", 0, "cut"), record("content", 1)], True, False),
        ([record("checksum", 0, "cut"), record("restore", 1)], True, False),
        ([record("content", names=["dump"])], False, False),
        ([record("content", names=["dump"]), record("restore", 1, names=["files.jsonl", "needs.jsonl"])], True, False),
        ([record("content"), record("content", 1, names=["dump"])], True, False),
    ],
)
def test_a_backup_is_proved_when_the_last_word_on_every_file_is_good(
    found: list[ProofRecord], is_proved: bool, has_problems: bool
) -> None:
    standing = proof.standing(manifest(), found)
    assert (standing.is_proved, bool(standing.problems)) == (is_proved, has_problems)


def test_a_failure_that_a_stranger_tells_of_a_file_that_the_backup_has_not_is_no_problem_of_it() -> None:
    verdicts = (proof.FileVerdict("stranger", "0" * 64, False, "cut"),)
    alien = dataclasses.replace(record("content", 1), files=verdicts, signature=signing.MISSING)
    standing = proof.standing(manifest(), [record(), alien])
    assert standing.is_proved and not standing.problems


@pytest.mark.parametrize("change", [{"files": None}, {"files": [5]}, {"report": 5}, {"time": 5}], ids=str)
def test_a_record_whose_members_are_of_other_kinds_proves_and_stops_nothing(
    place: MemoryPlace, change: dict[str, t.Any]
) -> None:
    store = place.store()
    fields = json_document.decoded(record("content", 1).to_bytes(), "it")
    store.put(layout.verified(JOB, ID) + "odd.json", json_document.encoded({**fields, **change}))
    proof.write(store, record())
    assert proof.records(store, JOB, ID) == [record()]


def test_a_proof_of_other_bytes_proves_nothing() -> None:
    other = dataclasses.replace(
        record(), files=tuple(dataclasses.replace(v, stored_sha256="0" * 64) for v in record().files)
    )
    assert not proof.standing(manifest(), [other]).is_proved


def test_the_time_of_a_proof_is_that_of_the_newest_good_reading() -> None:
    found = [record("content"), record("restore", 1), record("checksum", 2), record("content", 3, "cut")]
    assert proof.standing(manifest(), found).proved_at == found[1].time
    assert proof.standing(manifest(), [record("checksum")]).proved_at is None


def test_records_are_read_oldest_first_and_damaged_ones_are_passed_over(place: MemoryPlace) -> None:
    store = place.store()
    written = [record("content", 2), record("checksum", 1), record("restore", 3)]
    keys = [proof.write(store, each) for each in written]
    store.put(keys[0], store.get(keys[0]).data[:-9])  # type: ignore[union-attr]
    store.put(layout.verified(JOB, ID) + "foreign.json", record(backup_id=LATER_ID).to_bytes())
    assert proof.records(store, JOB, ID) == [written[1], written[2]]


@pytest.mark.parametrize("order", list(itertools.permutations(range(2))))
def test_of_two_records_of_one_second_the_failed_one_counts(place: MemoryPlace, order: tuple[int, ...]) -> None:
    both = [record("content"), record("content", 0, "cut")]
    for number in order:
        proof.write(place.store(), both[number])
    assert not proof.standing(manifest(), proof.records(place.store(), JOB, ID)).is_proved


@pytest.mark.parametrize("member", ["name", "stored_sha256", "is_good", "problem"])
@pytest.mark.parametrize("value", [[], {}, None, 7])
def test_a_record_whose_verdicts_have_no_form_is_passed_over(place: MemoryPlace, member: str, value: t.Any) -> None:
    fields = json_document.decoded(record("content", 1, "cut").to_bytes(), "a record")
    fields["files"][0][member] = value
    store = place.store()
    store.put_new(KEY, manifest().to_bytes())
    store.put_new(f"{layout.verified(JOB, ID)}20261120T020100Z-0000-content.json", json_document.encoded(fields))
    assert [backup.has_failed for backup in catalog.backups(store, JOB)] == [False]


def test_a_forgotten_file_leaves_every_version_of_every_record(versioned: MemoryPlace) -> None:
    store = versioned.store()
    for level in ("content", "restore"):
        store.put(proof.write(store, record(level, names=["dump"])), record(level, 5, names=["dump"]).to_bytes())
    proof.forget(store, JOB, ID, {"dump"}, store.now)
    assert not list(store.versions(layout.verified(JOB, ID)))


@pytest.mark.parametrize("problem", ["", "cut"])
def test_what_is_known_of_other_files_outlasts_a_forgotten_one(place: MemoryPlace, problem: str) -> None:
    proof.write(place.store(), record("content", problem=problem))
    proof.forget(place.store(), JOB, ID, {"needs.jsonl"}, place.store().now)
    (left,) = proof.records(place.store(), JOB, ID)
    assert left == dataclasses.replace(
        record("content", problem=problem), files=record("content", problem=problem).files[:2]
    )
    standing = proof.standing(manifest(), [left])
    assert (standing.is_proved, bool(standing.problems)) == (False, bool(problem))


# The catalog


def published(place: MemoryPlace, backup_id: str = ID, is_proved: bool = True, **changes: t.Any) -> None:
    found = manifest(backup_id, **changes)
    place.store().put_new(layout.manifest(JOB, backup_id), found.to_bytes())
    if is_proved:
        proof.write(place.store(), record(backup_id=backup_id))


def test_backups_are_listed_oldest_first_with_what_is_known_of_them(place: MemoryPlace) -> None:
    published(place, LATER_ID, is_proved=False)
    published(place)
    place.store().put(layout.manifests(JOB) + "notes.txt", b"mine")
    place.store().put(layout.manifests(JOB) + "notes.json", b"{}")
    found = catalog.backups(place.store(), JOB)
    assert [(backup.id, backup.is_good) for backup in found] == [(ID, True), (LATER_ID, False)]
    assert not any(backup.is_good for backup in catalog.backups(place.store(), JOB, with_proof=False))
    assert catalog.find(place.store(), JOB, ID) == found[0]
    assert catalog.find(place.store(), JOB, "20261120T020000Z-ffffff") is None


def test_a_backup_without_manifest_is_not_listed(place: MemoryPlace) -> None:
    place.store().put(layout.data(JOB, ID, "dump"), b"data")
    proof.write(place.store(), record())
    assert not catalog.backups(place.store(), JOB)


def test_a_damaged_manifest_is_listed_and_never_good(place: MemoryPlace) -> None:
    published(place)
    place.store().put(KEY, manifest().to_bytes().replace(b"db1", b"db2"))
    backup = catalog.backups(place.store(), JOB)[0]
    assert (backup.id, backup.manifest, backup.is_good, backup.has_failed) == (ID, None, False, True)
    assert "digest" in backup.alarms[-1]


def test_of_an_overwritten_manifest_the_oldest_version_counts_and_an_alarm_is_raised(versioned: MemoryPlace) -> None:
    published(versioned)
    versioned.store().put(KEY, manifest(host="intruder").to_bytes())
    for backup in (catalog.backups(versioned.store(), JOB)[0], catalog.find(versioned.store(), JOB, ID)):
        assert backup is not None
        assert backup.manifest == manifest()
        assert backup.standing.is_proved
        assert not backup.is_good
        assert backup.alarms == ("the manifest was written 2 times; the oldest counts",)


def test_a_hidden_manifest_is_listed_with_an_alarm(versioned: MemoryPlace) -> None:
    published(versioned)
    versioned.store().delete(KEY)
    backup = catalog.backups(versioned.store(), JOB)[0]
    assert backup.manifest == manifest()
    assert backup.alarms == ("the manifest is hidden by a delete marker",)


def test_a_removed_backup_is_not_listed(versioned: MemoryPlace) -> None:
    published(versioned)
    for version in list(versioned.store().versions(KEY)):
        versioned.store().delete(KEY, version.entry.version_id)
    assert not catalog.backups(versioned.store(), JOB)


def shared_backup(place: MemoryPlace, last: int = 1) -> None:
    """Publish a backup with a pack, and a proved later one that needs the pack."""
    store = place.store()
    pack = stored_file("pack-0", "pack", b"pack")
    own = file_list([stored_file(), pack])
    listed = stored_file("files.jsonl", "files", own)
    needs = need_list([Need(ID, listed.facts.stored_sha256, ((1, last),))])
    plain = file_list([stored_file()])
    for backup_id, files, need in ((ID, own, b""), (LATER_ID, plain, needs)):
        store.put(layout.data(JOB, backup_id, "files.jsonl"), files)
        store.put(layout.data(JOB, backup_id, "needs.jsonl"), need)
        lists = (stored_file("files.jsonl", "files", files), stored_file("needs.jsonl", "needs", need))
        made = manifest(backup_id, (stored_file(), *lists))
        store.put_new(layout.manifest(JOB, backup_id), made.to_bytes())
        verdicts = tuple(proof.FileVerdict(file.name, file.facts.stored_sha256, True) for file in made.files)
        proof.write(store, ProofRecord(JOB, backup_id, "content", MOMENT, "db1", verdicts))


def pack_record(minute: int, problem: str = "") -> ProofRecord:
    pack = stored_file("pack-0", "pack", b"pack")
    verdict = proof.FileVerdict("pack-0", pack.facts.stored_sha256, not problem, problem)
    return dataclasses.replace(record("content", minute), files=(verdict,))


def test_a_backup_is_proved_only_with_its_packs_and_those_of_earlier_backups_that_it_needs(place: MemoryPlace) -> None:
    shared_backup(place)
    assert [backup.is_good for backup in catalog.backups(place.store(), JOB)] == [False, False]
    proof.write(place.store(), pack_record(1))
    assert [backup.is_good for backup in catalog.backups(place.store(), JOB)] == [True, True]
    proof.write(place.store(), pack_record(2, "cut"))
    found = catalog.backups(place.store(), JOB)
    assert [backup.has_failed for backup in found] == [True, True]
    assert found[1].standing.problems == (f"{ID}/pack-0: cut",)


def test_a_backup_whose_list_of_needs_is_damaged_has_failed(place: MemoryPlace) -> None:
    shared_backup(place)
    place.store().put(layout.data(JOB, LATER_ID, "needs.jsonl"), b"x")
    assert [backup.has_failed for backup in catalog.backups(place.store(), JOB)] == [False, True]


def test_a_backup_that_needs_more_files_than_there_are_has_failed(place: MemoryPlace) -> None:
    shared_backup(place, last=2)
    proof.write(place.store(), pack_record(1))
    found = catalog.backups(place.store(), JOB)
    assert [backup.is_good for backup in found] == [True, False]
    assert "more files than" in found[1].standing.problems[0]


def test_an_operator_can_choose_by_id_latest_and_latest_good(
    place: MemoryPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock, "now", lambda: clock.from_backup_id(LATER_ID))
    published(place)
    published(place, LATER_ID, is_proved=False)
    found = catalog.backups(place.store(), JOB)
    chosen = [catalog.choose(found, wanted, JOB, "A").id for wanted in (ID, "latest", "latest_good")]
    assert chosen == [ID, LATER_ID, ID]
    with pytest.raises(LifeboatError, match="2 backups are there, 1 of them proved"):
        catalog.choose(found, "20261101T000000Z-000000", JOB, "A")
    with pytest.raises(LifeboatError, match="Cannot find backup latest_good"):
        catalog.choose(found[1:], "latest_good", JOB, "A")
    with pytest.raises(UsageError):
        catalog.choose(found, "newest", JOB, "A")


def test_copies_of_a_backup_are_one_row_of_a_merged_catalog(place: MemoryPlace) -> None:
    published(place)
    other = MemoryPlace(place.world, "B")
    published(other, is_proved=False)
    published(other, LATER_ID)
    rows = catalog.merged({"A": catalog.backups(place.store(), JOB), "B": catalog.backups(other.store(), JOB)})
    assert [(row.id, [name for name, _backup in row.copies], row.is_proved) for row in rows] == [
        (ID, ["A", "B"], True),
        (LATER_ID, ["B"], True),
    ]


def test_a_merged_catalog_tells_what_a_copy_says_whose_manifest_can_be_read(place: MemoryPlace) -> None:
    other = MemoryPlace(place.world, "B")
    for each in (place, other):
        published(each)
    store = place.store()
    store.put(KEY, store.get(KEY).data[:-9])  # type: ignore[union-attr]
    [row] = catalog.merged({"A": catalog.backups(store, JOB), "B": catalog.backups(other.store(), JOB)})
    assert row.copies[0][1].manifest is None
    assert row.manifest == manifest()


def test_jobs_are_those_that_were_ever_bound(place: MemoryPlace) -> None:
    for job in ("web", "lab"):
        place.store().put(layout.binding(job), b"{}")
    assert catalog.jobs(place.store()) == ["lab", "web"]
