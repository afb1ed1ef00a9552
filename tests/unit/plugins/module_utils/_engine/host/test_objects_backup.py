# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs that back folders up into directories: everything is real and small."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import os
import random
import shutil
import typing as t
from pathlib import Path

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine import clock
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import (
    DamagedError,
    FlaggedError,
    GuardRefusal,
    IncompleteError,
    LifeboatError,
    UsageError,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host import (
    acknowledging,
    backup_run,
    job_lock,
    objects_backup,
    objects_job,
    objects_plan,
    previous_backup,
    proving,
    verify_run,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.copies_objective import CopiesObjective
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.object_sources import FileSelection
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.objects_job import ObjectsJob
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.place import Place
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.index_reader import IndexReader
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.reread import Share
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.source import ObjectError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository import (
    catalog,
    copy,
    identity,
    intent,
    layout,
    proof,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.directory import DirectoryStore
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.manifest import Manifest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.publish import Run
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.stored_files import needed_files
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.verify.drill_place import DrillPlace
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.verify.outcome import Outcome

JOB = "web1-www"
FILES = 130  # enough for what only more than a hundred can set off
LOST = 120


class World:
    """A folder with files, and repositories for it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = folder / "www"
        self.root.mkdir()
        self.said: list[str] = []

    def write(self, name: str, data: bytes = b"hello\n") -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path

    def fill(self, count: int = FILES) -> None:
        for number in range(count):
            self.write(f"f{number:04}", b"line of file %d\n" % number * 40)

    def place(self, name: str, kind: type[DirectoryStore] = DirectoryStore) -> Place:
        path = self.folder / name
        path.mkdir()
        identity.initialise(DirectoryStore(str(path)))
        return Place(name, kind(str(path)))

    def job(self, *places: Place, **changes: t.Any) -> ObjectsJob:
        job = ObjectsJob(JOB, "files", FileSelection((str(self.root),)).opened, places)
        return dataclasses.replace(job, **changes)

    def back_up(self, *places: Place, **changes: t.Any) -> backup_run.BackupResult:
        return objects_backup.back_up(self.job(*places, **changes), self.said.append)

    def flagged(self, *places: Place, **changes: t.Any) -> FlaggedError:
        with pytest.raises(FlaggedError) as error:
            self.back_up(*places, **changes)
        return error.value


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(job_lock, "_FOLDERS", (str(tmp_path),))
    monkeypatch.setattr(backup_run, "_outlast_second", lambda _store, _job: None)
    ids = (f"20261120T02{minute:02}{second:02}Z-0a1b2c" for minute in range(60) for second in range(60))
    monkeypatch.setattr(clock, "new_backup_id", lambda _moment: next(ids))
    made = World(tmp_path)
    made.fill()
    return made


def manifest_of(place: Place, backup_id: str) -> Manifest:
    found = catalog.find(place.store, JOB, backup_id)
    assert found is not None and found.manifest is not None
    return found.manifest


def files_of(place: Place) -> set[str]:
    return {entry.key for entry in place.store.entries("")}


def contents_of(place: Place, backup_id: str) -> dict[str, str]:
    """Return the keys of a backup with the digests of their contents, as the index has them."""
    index = IndexReader(place.store, manifest_of(place, backup_id))
    return {row.key: row.sha256 for name in index.collections() for row in index.rows(name)}


def newest_good(place: Place) -> str:
    return catalog.choose(catalog.backups(place.store, JOB), "latest_good", JOB, place.name).id


def damage(place: Place, key: str) -> None:
    path = Path(place.store.name) / key
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.chmod(0o600)
    path.write_bytes(data)


def test_a_first_backup_reads_everything_and_is_proved(world: World) -> None:
    here = world.place("here")
    result = world.back_up(here)
    found = result.statistics
    assert (found["objects"], found["added"], found["read_objects"], found["gone"]) == (FILES + 1, FILES + 1, FILES, 0)
    assert result.base == "" and result.is_complete and result.copies[0].is_proved and not result.flags
    assert newest_good(here) == result.id
    assert {file.role for file in manifest_of(here, result.id).files} == {"index", "segments", "files", "needs"}


def test_a_backup_without_changes_writes_one_list_of_segments_and_the_documents_of_a_run(world: World) -> None:
    here = world.place("here")
    first = world.back_up(here)
    before = files_of(here)
    second = world.back_up(here)
    folder = layout.data(JOB, second.id)
    (record,) = (key for key in files_of(here) if key.startswith(layout.verified(JOB, second.id)))
    assert files_of(here) - before == {
        f"{folder}segments.jsonl.zst",
        f"{folder}files.jsonl",
        f"{folder}needs.jsonl",
        f"{folder}SHA256SUMS",
        layout.manifest(JOB, second.id),
        record,
    }
    assert (second.base, second.statistics["read_objects"], second.statistics["objects"]) == (first.id, 0, FILES + 1)
    assert contents_of(here, second.id) == contents_of(here, first.id)
    assert newest_good(here) == second.id


def test_changes_are_read_and_the_rest_is_taken_over(world: World) -> None:
    here = world.place("here")
    first = world.back_up(here)
    world.write("f0001", b"other")
    world.write("new")
    (world.root / "f0002").unlink()
    os.utime(world.root / "f0003", ns=(0, 0))
    second = world.back_up(here)
    found = second.statistics
    # The folder itself has a new time, and is described again.
    assert (found["added"], found["rewritten"], found["gone"], found["objects"]) == (1, 1, 1, FILES + 1)
    assert found["read_objects"] <= 3
    before, after = contents_of(here, first.id), contents_of(here, second.id)
    assert {key for key in before if before[key] != after.get(key)} == {"f0001", "f0002"}
    assert set(after) - set(before) == {"new"}


def test_the_second_repository_gets_packs_of_earlier_backups_that_it_lacks_and_only_those(world: World) -> None:
    here, there = world.place("here"), world.place("there")
    first = world.back_up(here)
    world.write("new")
    second = world.back_up(here, there)
    assert second.is_complete
    needed = {each.key(JOB) for each in needed_files(there.store, manifest_of(there, second.id))}
    assert any(first.id in key and "pack-" in key for key in needed)
    assert needed <= files_of(there)
    assert layout.manifest(JOB, first.id) not in files_of(there)
    assert newest_good(there) == second.id
    before = files_of(there)
    third = world.back_up(here, there)
    assert all(third.id in key for key in files_of(there) - before)


@pytest.mark.parametrize("first_proof", ["none", "content"])
def test_what_a_backup_builds_on_is_proved_with_it_unless_it_was(
    world: World, monkeypatch: pytest.MonkeyPatch, first_proof: str
) -> None:
    here = world.place("here")
    asked: list[bool] = []
    real = proving.prove

    def prove(*given: t.Any, own_only: bool, **how: t.Any) -> t.Any:
        asked.append(own_only)
        return real(*given, own_only=own_only)

    monkeypatch.setattr(backup_run, "prove", prove)
    world.back_up(here, proof=first_proof)
    asked.clear()
    second = world.back_up(here)
    third = world.back_up(here)
    assert asked == [first_proof == "content", True]
    assert newest_good(here) == third.id > second.id


def test_a_base_whose_index_is_damaged_is_passed_over_for_an_older_one(world: World) -> None:
    here = world.place("here")
    first = world.back_up(here)
    world.write("new")
    second = world.back_up(here)
    damage(here, f"{layout.data(JOB, second.id)}segments.jsonl.zst")
    world.write("newer")
    third = world.back_up(here)
    assert third.base == first.id and third.is_complete
    assert any(f"not built on {second.id}" in warning for warning in third.warnings)
    assert {"new", "newer"} <= set(contents_of(here, third.id))


def test_when_a_segment_that_all_share_is_damaged_everything_is_read_again(world: World) -> None:
    here = world.place("here")
    first = world.back_up(here)
    second = world.back_up(here)
    damage(here, f"{layout.data(JOB, first.id)}index.jsonl.zst")
    world.write("f0001", b"other")
    third = world.back_up(here)
    assert third.base == "" and third.statistics["read_objects"] == FILES
    assert all(any(f"not built on {each.id}" in words for words in third.warnings) for each in (first, second))
    assert newest_good(here) == third.id


def test_a_backup_whose_last_reading_failed_is_no_base(world: World) -> None:
    here = world.place("here")
    first = world.back_up(here)
    world.write("new")
    second = world.back_up(here)
    damage(here, f"{layout.data(JOB, second.id)}pack-0000.tar.zst")
    assert not proving.prove(here.store, manifest_of(here, second.id), "checksum", DrillPlace()).is_good
    third = world.back_up(here)
    assert third.base == first.id
    assert any("pack-0000" in words for words in third.warnings)


def test_a_restore_is_tried_out_by_who_hands_in_how_and_not_after_each_backup(world: World) -> None:
    here = world.place("here")
    made = manifest_of(here, world.back_up(here).id)
    with pytest.raises(UsageError, match="verify at level restore"):
        proving.prove(here.store, made, "restore", DrillPlace())
    tried = Outcome("restore", {made.id: ()}, {"tried": "out"})
    assert proving.prove(here.store, made, "restore", DrillPlace(), drill=lambda *_: tried) is tried
    assert [each.report for each in proof.records(here.store, JOB, made.id) if each.level == "restore"] == [
        tried.report
    ]
    with pytest.raises(UsageError, match="on a schedule"):
        world.back_up(here, proof="restore")


def test_a_bad_pack_of_an_earlier_backup_is_found_through_its_record_alone(world: World) -> None:
    here = world.place("here")
    first = world.back_up(here)
    world.write("new")
    second = world.back_up(here)
    damage(here, f"{layout.data(JOB, first.id)}pack-0000.tar.zst")
    assert not proving.prove(here.store, manifest_of(here, first.id), "content", DrillPlace()).is_good
    third = world.back_up(here)
    assert third.base == "" and third.statistics["read_objects"] == FILES + 1
    assert any(f"not built on {second.id}" in words for words in third.warnings)


@pytest.mark.parametrize("is_cut", [False, True])
@pytest.mark.parametrize("name", ["pack-0000.tar.zst", "files.jsonl"])
def test_a_backup_that_shares_a_file_which_is_gone_is_never_called_good(world: World, name: str, is_cut: bool) -> None:
    here = world.place("here")
    first = world.back_up(here)
    world.write("new")
    world.back_up(here)
    path = Path(here.store.name) / layout.data(JOB, first.id) / name
    whole = path.read_bytes()
    path.unlink()
    if is_cut:
        path.write_bytes(whole[:-1])
    world.write("newer")
    with pytest.raises(DamagedError, match=name if name.startswith("pack") else "files.jsonl|list"):
        world.back_up(here)
    assert not any(each.is_good for each in catalog.backups(here.store, JOB))
    healed = world.back_up(here)
    assert (healed.base, newest_good(here)) == ("", healed.id)


def test_a_copy_that_shares_a_file_which_is_gone_is_told_and_the_next_copy_brings_it(world: World) -> None:
    here, there = world.place("here"), world.place("there")
    first = world.back_up(here, there)
    world.write("old")
    world.back_up(here, there)  # from now on copies trust that what is shared with it is there
    path = Path(there.store.name) / layout.data(JOB, first.id) / "pack-0000.tar.zst"
    path.unlink()
    world.write("new")
    with pytest.raises(IncompleteError, match="pack-0000") as error:
        world.back_up(here, there)
    assert [(each.is_present, each.is_proved) for each in error.value.result.copies] == [(True, True), (True, False)]
    last = manifest_of(here, error.value.result.id)
    copy.copy(here.store, there.store, last, identity.require(there.store))
    assert path.exists() and proving.prove(there.store, last, "content", DrillPlace()).is_good


def test_a_link_to_a_repository_is_no_second_copy_and_a_clone_is(world: World, tmp_path: Path) -> None:
    here = world.place("here")
    world.back_up(here)
    (tmp_path / "link").symlink_to(tmp_path / "here")
    shutil.copytree(tmp_path / "here", tmp_path / "clone")
    link, clone = (Place(name, DirectoryStore(str(tmp_path / name))) for name in ("link", "clone"))
    request = verify_run.VerifyRequest(JOB, "latest", (here, link, clone), "presence", copies=CopiesObjective(total=3))
    planned = verify_run.plan(request)
    assert planned.problems == ("link is the same repository as here: what it has counts once",)
    verdicts = verify_run.verify(planned)
    assert [each.repository for each in verdicts] == ["here", "clone"]
    assert "there are 2 good copies" in verify_run.copies_problems(planned, verdicts)[0]


def under_a_clock_that_is_off(days: int, monkeypatch: pytest.MonkeyPatch, do: t.Callable[[], t.Any]) -> t.Any:
    """Do something while the clock of every repository is wrong."""
    right = DirectoryStore.now
    with monkeypatch.context() as wrong:
        wrong.setattr(DirectoryStore, "now", lambda store: right(store) + dt.timedelta(days=days))
        return do()


@pytest.mark.parametrize(("good", "bad"), [(400, 0), (0, -400), (400, 400), (400, 399)])
def test_damage_is_the_last_word_though_a_clock_was_ahead_or_behind(
    world: World, monkeypatch: pytest.MonkeyPatch, good: int, bad: int
) -> None:
    here = world.place("here")
    made = manifest_of(here, world.back_up(here).id)

    def verified(days: int) -> Outcome:
        found = under_a_clock_that_is_off(
            days, monkeypatch, lambda: proving.prove(here.store, made, "content", DrillPlace())
        )
        return t.cast(Outcome, found)

    assert verified(good).is_good
    damage(here, f"{layout.data(JOB, made.id)}pack-0000.tar.zst")
    assert not verified(bad).is_good
    assert [(each.is_good, each.has_failed) for each in catalog.backups(here.store, JOB)] == [(False, True)]
    world.write("new")
    assert world.back_up(here).base == ""
    damage(here, f"{layout.data(JOB, made.id)}pack-0000.tar.zst")  # the same bit: it is as it was
    assert verified(0).is_good
    assert all(each.is_good for each in catalog.backups(here.store, JOB))


def test_a_damaged_backup_of_a_clock_that_was_ahead_is_no_base(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    here = world.place("here")
    made = under_a_clock_that_is_off(400, monkeypatch, lambda: world.back_up(here))
    damage(here, f"{layout.data(JOB, made.id)}pack-0000.tar.zst")
    assert not proving.prove(here.store, manifest_of(here, made.id), "content", DrillPlace()).is_good
    assert world.back_up(here).base == ""


def test_what_was_whole_by_a_clock_that_was_ahead_is_read_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    here = world.place("here")
    made = under_a_clock_that_is_off(400, monkeypatch, lambda: world.back_up(here))
    damage(here, f"{layout.data(JOB, made.id)}pack-0000.tar.zst")
    world.write("new")
    with pytest.raises(DamagedError, match="pack-0000"):
        world.back_up(here)


def test_a_copy_that_shares_a_file_which_is_known_to_be_damaged_is_never_called_proved(world: World) -> None:
    here, there = world.place("here"), world.place("there")
    first = world.back_up(here, there)
    world.write("old")
    world.back_up(here, there)  # from now on copies trust that what is shared with it is there
    damage(there, f"{layout.data(JOB, first.id)}pack-0000.tar.zst")
    assert not proving.prove(there.store, manifest_of(there, first.id), "content", DrillPlace()).is_good
    for name in ("new", "newer"):  # the second run builds on what the first one could not prove
        world.write(name)
        with pytest.raises(IncompleteError, match="pack-0000") as error:
            world.back_up(here, there)
        copies = error.value.result.copies
        assert [(each.is_present, each.is_proved) for each in copies] == [(True, True), (True, False)]
        last = manifest_of(here, error.value.result.id)
    copy.copy(here.store, there.store, last, identity.require(there.store))  # replaces what is damaged
    assert proving.prove(there.store, last, "content", DrillPlace()).is_good
    world.write("newest")
    assert world.back_up(here, there).is_complete


@pytest.mark.parametrize("is_base", [True, False])
def test_a_file_that_was_replaced_and_not_read_back_is_read_by_the_next_run(world: World, is_base: bool) -> None:
    here, there = world.place("here"), world.place("there")
    first = world.back_up(here, there)
    if not is_base:
        world.write("old")
        world.back_up(here, there)
    damage(there, f"{layout.data(JOB, first.id)}pack-0000.tar.zst")
    bad = manifest_of(there, first.id)
    assert not proving.prove(there.store, bad, "content", DrillPlace()).is_good
    copy.copy(here.store, there.store, bad, identity.require(there.store))  # and the copy ends before its proof
    for name in ("new", "newer"):
        world.write(name)
        last = world.back_up(here, there)
        assert last.is_complete and newest_good(there) == last.id


def test_a_base_that_is_removed_meanwhile_starts_the_run_over(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    here = world.place("here")
    first = world.back_up(here)
    second = world.back_up(here)
    real = previous_backup.choose_base
    removed: list[str] = []

    def choose(store: t.Any, *rest: t.Any) -> t.Any:
        base, notes = real(store, *rest)
        if not removed:
            removed.append(base.id)
            store.delete(layout.manifest(JOB, base.id))
        return base, notes

    monkeypatch.setattr(objects_backup, "choose_base", choose)
    third = world.back_up(here)
    assert removed == [second.id] and third.base == first.id
    assert intents_of(here) == []


def intents_of(place: Place) -> list[str]:
    return [entry.key for entry in place.store.entries("intents/")]


def test_a_full_backup_reads_everything_and_needs_nothing_of_others(world: World) -> None:
    here = world.place("here")
    world.back_up(here)
    full = world.back_up(here, mode="full")
    assert full.statistics["read_objects"] == FILES and not full.flags
    assert {each.owner for each in needed_files(here.store, manifest_of(here, full.id))} == {full.id}


def test_reading_a_share_again_goes_round(world: World) -> None:
    here = world.place("here")
    world.fill(900)
    world.back_up(here, proof="none")
    again = [world.back_up(here, proof="none", reread=Share(1, 3)).statistics for _run in range(3)]
    assert [each["reread"]["next"] for each in again] == [1, 2, 0]
    assert sum(each["read_objects"] for each in again) >= 900
    assert all(each["rewritten"] == 0 for each in again)


def test_a_mass_delete_is_written_proved_copied_and_flagged(world: World) -> None:
    here, there = world.place("here"), world.place("there")
    good = world.back_up(here, there)
    for number in range(LOST):
        (world.root / f"f{number:04}").unlink()
    error = world.flagged(here, there)
    assert (error.guard, error.exit_code) == ("mass_delete", 3)
    assert error.result.flags == (f"mass_delete: {LOST} of {FILES + 1} objects are gone",)
    assert [copy.is_proved for copy in error.result.copies] == [True, True]
    assert newest_good(here) == newest_good(there) == good.id
    follower = world.flagged(here, there)
    assert follower.guard == "unacknowledged"
    assert follower.result.flags == (f"follows {error.result.id}",)
    assert world.flagged(here, there).result.flags == (f"follows {error.result.id}",)
    assert newest_good(here) == good.id


def test_after_an_acknowledgement_backups_are_good_again_everywhere(world: World) -> None:
    here, there = world.place("here"), world.place("there")
    world.back_up(here, there)
    for number in range(LOST):
        (world.root / f"f{number:04}").unlink()
    flagged = world.flagged(here, there).result
    planned = acknowledging.plan(JOB, "latest", (here, there))
    assert (planned.id, list(planned.flags)) == (flagged.id, [flagged.id])
    acknowledging.apply(planned)
    assert newest_good(here) == newest_good(there) == flagged.id
    assert acknowledging.plan(JOB, flagged.id, (here, there)).is_empty
    assert world.back_up(here, there).flags == ()


def test_an_acknowledgement_of_an_older_backup_leaves_newer_ones_flagged(world: World) -> None:
    here = world.place("here")
    world.back_up(here)
    for number in range(LOST):
        (world.root / f"f{number:04}").unlink()
    older, newer = world.flagged(here).result, world.flagged(here).result
    planned = acknowledging.plan(JOB, older.id, (here,))
    assert list(planned.flags) == [older.id]
    acknowledging.apply(planned)
    assert newest_good(here) == older.id
    assert acknowledging.plan(JOB, newer.id, (here,)).flags == {newer.id: newer.flags}


def test_what_is_not_known_cannot_be_acknowledged(world: World) -> None:
    here = world.place("here")
    with pytest.raises(LifeboatError, match="0 backups are known"):
        acknowledging.plan(JOB, "latest", (here,))
    world.back_up(here)
    with pytest.raises(LifeboatError, match="1 backups are known"):
        acknowledging.plan(JOB, "20200101T000000Z-000000", (here,))


def test_files_that_cannot_be_compressed_any_more_are_an_entropy_jump(world: World) -> None:
    here = world.place("here")
    world.back_up(here)
    noise = random.Random(7)
    for number in range(50):
        world.write(f"f{number:04}", bytes(noise.getrandbits(8) for _byte in range(1000)))
    error = world.flagged(here)
    assert error.guard == "entropy_jump"
    assert error.result.flags == ("entropy_jump: about 50 of 50 rewritten objects cannot be compressed any more",)


def test_ordinary_edits_are_no_entropy_jump(world: World) -> None:
    here = world.place("here")
    world.back_up(here)
    for number in range(70):
        world.write(f"f{number:04}", b"another line\n" * 60)
    assert world.back_up(here).flags == ()


@pytest.mark.parametrize(("policy", "warns"), [("warn", True), ("ignore", False)])
def test_a_policy_can_be_content_with_less(world: World, policy: str, warns: bool) -> None:
    here = world.place("here")
    world.back_up(here)
    for number in range(LOST):
        world.write(f"f{number:04}", b"new content\n")
    result = world.back_up(here, policy={"mass_rewrite": policy})
    assert result.flags == ()
    assert any("mass_rewrite" in words for words in result.warnings) is warns
    assert newest_good(here) == result.id


@pytest.mark.parametrize("state", ["empty", "missing"])
def test_a_source_without_anything_is_refused_and_nothing_is_written(world: World, state: str) -> None:
    here = world.place("here")
    world.back_up(here)
    before = files_of(here)
    for path in world.root.iterdir():
        path.unlink()
    if state == "missing":
        world.root.rmdir()
    with pytest.raises(GuardRefusal) as error:
        world.back_up(here)
    assert error.value.guard == "source" and error.value.exit_code == 3
    assert files_of(here) == before


def test_an_empty_source_may_be_allowed(world: World) -> None:
    here = world.place("here")
    for path in world.root.iterdir():
        path.unlink()
    with pytest.raises(GuardRefusal, match="its source is empty"):
        world.back_up(here)
    assert world.back_up(here, allow_empty=True).statistics["objects"] == 1


def test_one_of_several_folders_that_became_empty_is_not_mounted(world: World) -> None:
    here = world.place("here")
    other = world.folder / "mnt"
    other.mkdir()
    (other / "data").write_text("x", encoding="utf-8")
    both = FileSelection((str(world.root), str(other)))
    world.back_up(here, open_source=both.opened)
    (other / "data").unlink()
    before = files_of(here)
    with pytest.raises(GuardRefusal, match=f"{other} is empty") as error:
        world.back_up(here, open_source=both.opened)
    assert error.value.guard == "source" and files_of(here) == before
    assert world.back_up(here, open_source=both.opened, allow_empty=True).is_complete


def test_a_job_refuses_another_source_until_it_is_bound_again_and_then_reads_everything(world: World) -> None:
    here = world.place("here")
    world.back_up(here)
    world.root.rename(world.folder / "moved")
    moved = FileSelection((str(world.folder / "moved"),))
    with pytest.raises(GuardRefusal, match="is bound to files"):
        world.back_up(here, open_source=moved.opened)
    result = world.back_up(here, open_source=moved.opened, rebind=True, policy={"mass_delete": "ignore"})
    assert result.statistics["read_objects"] == FILES
    assert (result.statistics["gone"], result.statistics["added"]) == (FILES + 1, FILES + 1)
    again = world.back_up(here, open_source=moved.opened, rebind=True)
    assert again.base == result.id and again.statistics["read_objects"] == FILES


class Unreadable:
    """A source of which one object cannot be read."""

    def __init__(self, source: t.Any) -> None:
        self._source = source
        self.kind = source.kind

    def __getattr__(self, name: str) -> t.Any:
        return getattr(self._source, name)

    def read_whole(self, collection: str, item: t.Any) -> t.Any:
        if item.key in ("f0001", "new"):
            raise ObjectError(f"Cannot read {item.key}", "permission denied")
        return self._source.read_whole(collection, item)


@pytest.mark.parametrize("allow_partial", [False, True])
def test_objects_that_cannot_be_read_make_a_backup_incomplete_and_keep_their_rows(
    world: World, allow_partial: bool
) -> None:
    here = world.place("here")
    first = world.back_up(here)
    world.write("f0001", b"cannot be read")
    world.write("new")
    opened = FileSelection((str(world.root),)).opened
    changes = {"open_source": lambda remark: Unreadable(opened(remark)), "allow_partial": allow_partial}
    if allow_partial:
        result = world.back_up(here, **changes)
    else:
        with pytest.raises(IncompleteError, match="1 outdated, 1 unreadable") as error:
            world.back_up(here, **changes)
        assert error.value.exit_code == 5
        result = error.value.result
    assert result.statistics["remarks"] == {"outdated": 1, "unreadable": 1}
    manifest = manifest_of(here, result.id)
    assert manifest.file("remarks").facts.plain_size > 0
    assert contents_of(here, result.id)["f0001"] == contents_of(here, first.id)["f0001"]
    assert "new" not in contents_of(here, result.id)


def test_a_socket_is_remarked_and_no_reason_to_fail(world: World) -> None:
    here = world.place("here")
    os.mknod(world.root / "pipe.sock", 0o140600)
    result = world.back_up(here)
    assert result.statistics["remarks"] == {"skipped": 1}
    assert "pipe.sock" in result.statistics["remarks_sample"][0]


class Full(DirectoryStore):
    """A repository in which packs find no room."""

    def upload(self, key: str, estimate_bytes: int, signed_at: t.Any = None) -> t.Any:
        raise DamagedError(f"Cannot write {key}", "no space left on device")


def test_a_repository_that_fails_hands_over_to_the_next_under_a_new_id(world: World) -> None:
    full, here = world.place("full", Full), world.place("here")
    with pytest.raises(IncompleteError) as error:
        world.back_up(full, here)
    result = error.value.result
    assert [(copy.repository, copy.is_present) for copy in result.copies] == [("full", False), ("here", True)]
    assert newest_good(here) == result.id
    assert intents_of(full) == []


def test_a_run_that_starts_over_says_everything_once(world: World) -> None:
    full, here = world.place("full", Full), world.place("here")
    os.mknod(world.root / "pipe.sock", 0o140600)
    result = world.back_up(full, here, allow_partial=True)
    assert result.statistics["remarks"] == {"skipped": 1}


def test_settings_alone_are_no_base(world: World) -> None:
    here = world.place("here")
    first = world.back_up(here)
    settings = world.back_up(here, mode="metadata_only")
    assert "objects" not in settings.statistics
    assert {file.role for file in manifest_of(here, settings.id).files} == {"files", "needs"}
    later = world.back_up(here)
    assert (later.base, later.warnings) == (first.id, ())


def test_the_first_repository_builds_on_what_was_copied_into_it(world: World) -> None:
    here, there = world.place("here"), world.place("there")
    world.back_up(here, there)
    world.write("new")
    second = world.back_up(there, here)
    assert second.base and second.statistics["read_objects"] <= 2
    assert newest_good(here) == second.id


@pytest.mark.parametrize("written", range(3))
def test_a_run_that_ends_while_it_records_its_proof_never_keeps_the_next_from_being_proved(
    world: World, monkeypatch: pytest.MonkeyPatch, written: int
) -> None:
    here = world.place("here")
    for number in range(2):
        world.write(f"new{number}")
        world.back_up(here, proof="none")
    world.write("new2")
    records = []

    def write(store: t.Any, record: proof.ProofRecord) -> None:
        if len(records) == written:
            raise LifeboatError("Cannot write", "the run was ended")
        records.append(record)
        put(store, record)

    put = proof.write
    with monkeypatch.context() as patched:
        patched.setattr(proof, "write", write)
        with pytest.raises(LifeboatError):
            world.back_up(here)
    assert len(records) == written
    world.write("new3")
    last = world.back_up(here)
    assert newest_good(here) == last.id


def test_a_killed_run_is_cleaned_up_by_the_next(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    here = world.place("here")
    world.back_up(here)
    killed = Run(here.store, JOB)
    killed.store_file("pack-0000.tar", "pack", [b"x"], "zstd")
    assert len(intents_of(here)) == 1
    monkeypatch.setattr(intent, "machine_id", lambda: killed._intent._intent.machine)
    world.back_up(here)
    assert intents_of(here) == ([] if killed._intent._intent.machine else [layout.intent(JOB, killed.id)])


def test_names_that_a_killed_run_may_have_been_writing_follow_those_that_it_finished() -> None:
    names = set(objects_backup.unfinished_names({"pack-0000.tar.zst", "pack-0002.tar.zst", "SHA256SUMS"}))
    assert {"pack-0001.tar.zst", "pack-0003.tar.zst", "pack-0010.tar.zst", "pack-0003.tar"} <= names
    assert "pack-0002.tar.zst" not in names and "pack-0011.tar.zst" not in names
    assert {"index.jsonl.zst", "segments.jsonl.zst", "settings.json.gz", "remarks.jsonl"} <= names


def test_names_of_packs_from_the_ten_thousandth_on_have_more_digits() -> None:
    names = set(objects_backup.unfinished_names({"pack-9999.tar.zst", "pack-12004.tar.zst", "pack-x.tar", "pack-"}))
    assert {"pack-0000.tar.gz", "pack-12003.tar.zst", "pack-12005.tar.zst", "pack-12012.tar.zst"} <= names
    assert "pack-12004.tar.zst" not in names and "pack-12013.tar.zst" not in names


def test_a_plan_counts_what_a_run_would_find_and_writes_nothing(world: World) -> None:
    here = world.place("here")
    first = objects_plan.plan(world.job(here), with_estimate=True)
    assert (first.estimate.objects, first.estimate.added, first.base) == (FILES + 1, FILES + 1, "")
    result = world.back_up(here)
    world.write("f0001", b"other content")
    (world.root / "f0002").unlink()
    os.symlink("f0003", world.root / "link")
    before = files_of(here)
    planned = objects_plan.plan(world.job(here), with_estimate=True)
    assert files_of(here) == before and planned.base == result.id
    found = planned.estimate
    assert (found.objects, found.added, found.gone, found.described) == (FILES + 1, 1, 1, 0)
    made = world.back_up(here).statistics
    assert (made["objects"], made["bytes"], made["added"], made["gone"]) == (
        found.objects,
        found.bytes,
        found.added,
        found.gone,
    )
    assert objects_plan.plan(world.job(here), with_estimate=False).estimate is None


def test_a_plan_passes_over_a_damaged_base_as_a_run_does(world: World) -> None:
    here = world.place("here")
    first = world.back_up(here)
    second = world.back_up(here)
    damage(here, f"{layout.data(JOB, second.id)}segments.jsonl.zst")
    planned = objects_plan.plan(world.job(here), with_estimate=True)
    assert planned.base == first.id and planned.estimate.read_objects == 0
    assert any(second.id in note for note in planned.notes)


def test_a_manifest_of_a_huge_source_stays_small(world: World) -> None:
    found = objects_job.FoundSource(None, tuple(f"bucket{n}" for n in range(5000)), {"endpoint": "https://s3"})
    assert len(json.dumps(found.description)) < 2000
    assert found.description["collection_count"] == 5000


def test_the_intent_lives_until_the_backup_is_proved(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    here = world.place("here")
    seen: list[int] = []
    real = proving.prove

    def prove(*given: t.Any, **how: t.Any) -> t.Any:
        seen.append(len(intents_of(here)))
        return real(*given, **how)

    monkeypatch.setattr(backup_run, "prove", prove)
    world.back_up(here)
    assert seen == [1] and intents_of(here) == []
