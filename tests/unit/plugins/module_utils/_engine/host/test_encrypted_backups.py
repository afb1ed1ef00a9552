# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Encrypted backups of folders in directories: who has the keys gets everything, and nobody else gets or changes a bit.

Everything is real and small; only the keys are made for the test.
"""

from __future__ import annotations

import base64
import dataclasses
import datetime as dt
import functools
import hashlib
import json
import random
import socket
import typing as t
from pathlib import Path

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine import clock
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import (
    DamagedError,
    GuardRefusal,
    LifeboatError,
    MissingPartError,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host import (
    acknowledging,
    backup_run,
    copy_run,
    job_lock,
    listing,
    objects_backup,
    objects_restore,
    presigned,
    proving,
    status,
    verify_run,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host import job_settings as job_settings_of
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.candidates import candidates, holdings
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.drills import try_out
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.object_sources import FileSelection
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.objects_choice import Choice
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.objects_copy import StoredCopy
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.objects_destination import Folder
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.objects_history import Question, history
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.objects_job import ObjectsJob
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.place import Place
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.index_reader import IndexReader
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository import (
    acknowledgement,
    catalog,
    copy,
    hold,
    identity,
    json_document,
    layout,
    proof,
    prune,
    publish,
    signing,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.directory import DirectoryStore
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.keep import Keep
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.keys import Keys
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.manifest import Manifest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.stored_files import plain_chunks
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.stream import encryption
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.stream.compression import block_compressor
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.stream.encryption import WrongKeyError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.verify.restore import DrillPlace
from ansible_collections.lifeboat.recovery.tests.unit.plugins.module_utils._engine.repository.random_keys import (
    random_keys,
)

JOB = "web1-www"
NAMES = ("plain-name.txt", "Umläute und Blanks/ß🛟.dat", "deep/er/and-deeper/secret-key.pem", "quo'te\"s", "100%")
TEXT = b"the quick brown fox keeps a secret in file number %d\n"


class World:
    """A folder with files, repositories for it, and keys."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = folder / "www"
        self.root.mkdir()
        self.keys = random_keys()
        for number, name in enumerate((*NAMES, *(f"numbered/{n:03}" for n in range(40)))):
            self.write(name, TEXT % number * 30)

    def write(self, name: str, data: bytes) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def place(self, name: str, keys: Keys | None = None) -> Place:
        """Return a repository in a directory, with the keys of this world unless others are given."""
        path = self.folder / name
        path.mkdir()
        identity.initialise(DirectoryStore(str(path)))
        return self.seen(Place(name, DirectoryStore(str(path))), keys or self.keys)

    @staticmethod
    def seen(place: Place, keys: Keys | None) -> Place:
        """Return a repository as somebody with other keys, or with none, opens it."""
        store = DirectoryStore(place.store.name)
        store.keys = keys
        return Place(place.name, store)

    def job(self, *places: Place, **changes: t.Any) -> ObjectsJob:
        job = ObjectsJob(JOB, "files", FileSelection((str(self.root),)).opened, places)
        return dataclasses.replace(job, **changes)

    def back_up(self, *places: Place, **changes: t.Any) -> backup_run.BackupResult:
        return objects_backup.back_up(self.job(*places, **changes))

    def restored(self, *places: Place, wanted: str = "latest_good") -> dict[str, bytes]:
        """Restore into an empty folder and return its files."""
        target = self.folder / f"restored-{len(list(self.folder.iterdir()))}"
        target.mkdir()
        request = objects_restore.RestoreRequest(
            Choice(JOB, wanted), places, Folder(), map={str(self.root): str(target)}
        )
        objects_restore.restore(objects_restore.plan(request))
        return contents(target)


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(job_lock, "_FOLDERS", (str(tmp_path),))
    monkeypatch.setattr(backup_run, "_outlast_second", lambda _store, _job: None)
    ids = (f"20261120T02{minute:02}{second:02}Z-0a1b2c" for minute in range(60) for second in range(60))
    monkeypatch.setattr(clock, "new_backup_id", lambda _moment: next(ids))
    return World(tmp_path)


def found(place: Place, backup_id: str) -> catalog.Backup:
    backup = catalog.find(place.store, JOB, backup_id)
    assert backup is not None
    return backup


def manifest_of(place: Place, backup_id: str) -> Manifest:
    manifest = found(place, backup_id).manifest
    assert manifest is not None
    return manifest


def records(place: Place, backup_id: str) -> list[proof.ProofRecord]:
    return proof.records(place.store, JOB, backup_id)


def newest_good(place: Place) -> str:
    return catalog.choose(catalog.backups(place.store, JOB), "latest_good", JOB, place.name).id


def path_of(place: Place, key: str) -> Path:
    return Path(place.store.name) / key


def rewrite(place: Place, key: str, data: bytes) -> None:
    path = path_of(place, key)
    path.chmod(0o600)
    path.write_bytes(data)


def edited(place: Place, key: str, **changes: t.Any) -> None:
    """Change a document as somebody does who can compute its digest."""
    fields = json_document.decoded(path_of(place, key).read_bytes(), key)
    fields.update(changes)
    kept = {name: value for name, value in fields.items() if value is not None}
    rewrite(place, key, json_document.encoded(kept))


# What goes in comes out


def test_an_encrypted_backup_is_proved_and_comes_back(world: World) -> None:
    here = world.place("here")
    result = world.back_up(here)
    assert newest_good(here) == result.id and found(here, result.id).signature == signing.VALID
    assert world.restored(here) == contents(world.root)


def test_every_data_file_is_encrypted_and_the_lists_are_not(world: World) -> None:
    here = world.place("here")
    result = world.back_up(here)
    names = {path.name for path in path_of(here, layout.data(JOB, result.id)).iterdir()}
    assert names == {
        "pack-0000.tar.zst.enc",
        "index.jsonl.zst.enc",
        "segments.jsonl.zst.enc",
        "files.jsonl",
        "needs.jsonl",
        "SHA256SUMS",
    }
    listed = [json.loads(line)[-1] for line in path_of(here, layout.data(JOB, result.id, "files.jsonl")).open()]
    assert set(listed) == {f"aws-esdk-2:{world.keys.keyring}:e1"}


def test_an_incremental_backup_builds_on_an_encrypted_one_and_its_copy_too(world: World) -> None:
    here, there = world.place("here"), world.place("there")
    first = world.back_up(here, there)
    world.write("numbered/007", b"changed\n")
    second = world.back_up(here, there)
    assert (second.base, second.statistics["read_objects"]) == (first.id, 1)
    assert [each.is_proved for each in second.copies] == [True, True]
    for place in (here, there):
        assert world.restored(place) == contents(world.root)


def test_a_new_epoch_builds_on_the_old_one(world: World) -> None:
    world.keys = random_keys("e1", "e2")
    old = dataclasses.replace(world.keys, epochs=world.keys.epochs[:1])
    here = world.place("here", old)
    first = world.back_up(here)
    world.write("new", b"new\n")
    both = world.seen(here, world.keys)
    second = world.back_up(both)
    assert second.base == first.id
    assert manifest_of(both, second.id).file("segments").encryption.endswith(":e2")
    assert world.restored(both) == contents(world.root)
    with pytest.raises(WrongKeyError, match="e2"):
        list(IndexReader(here.store, manifest_of(here, second.id)).segments())


def test_all_levels_prove_an_encrypted_backup(world: World) -> None:
    here = world.place("here")
    result = world.back_up(here, proof="none")
    for level in ("presence", "checksum", "content", "restore"):
        place = DrillPlace(folder=str(world.folder))
        drill = functools.partial(try_out, place=place)
        outcome = proving.prove(here.store, manifest_of(here, result.id), level, place, drill=drill)
        assert outcome.is_good, (level, outcome.problems)
    assert {record.signature for record in records(here, result.id)} == {signing.VALID}


# What lies there tells nothing


def test_no_name_and_no_content_is_found_in_a_repository(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    here = world.place("here")
    world.back_up(here)
    world.write("second/new-name", b"a new secret in a new file\n" * 50)
    second = world.back_up(here)
    pack = layout.data(JOB, second.id, "pack-0000.tar.zst.enc")
    rewrite(here, pack, path_of(here, pack).read_bytes()[:-1])
    assert not proving.prove(here.store, manifest_of(here, second.id), "content", DrillPlace()).is_good
    told = b"\0".join(
        path.read_bytes() + str(path).encode() for path in Path(here.store.name).rglob("*") if path.is_file()
    )
    parts = {part for path in contents(world.root) for part in path.split("/") if len(part) > 3}
    for name in (*parts, "quick brown fox", "a new secret"):
        for form in forms_of(name):
            assert form not in told, form


def forms_of(name: str) -> set[bytes]:
    """Return how a name may look in a file."""
    data = name.encode()
    words = {
        data,
        json.dumps(name)[1:-1].encode(),
        ascii(name)[1:-1].encode(),
        base64.b64encode(data).rstrip(b"=")[:-1],
    }
    return {each for each in (*words, data.hex().encode()) if len(each) > 3}


def test_warnings_are_encrypted_and_told_to_who_has_the_keys(world: World) -> None:
    here = world.place("here", None)
    world.back_up(world.seen(here, None))  # so that there is something to warn about
    result = world.back_up(here)
    manifest = manifest_of(here, result.id)
    assert manifest.warnings == ("1 warnings are in warnings.json.enc",)
    assert len(result.warnings) == 1 and "not built on" in result.warnings[0]


def test_remarks_are_told_in_the_result_and_not_in_the_manifest(world: World) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(world.root / "the-socket"))
        here = world.place("here")
        result = world.back_up(here)
    assert "the-socket" in result.statistics["remarks_sample"][0]
    assert manifest_of(here, result.id).statistics["remarks_sample"] == []


# Without the key, or with another one


@pytest.mark.parametrize("level", ["content", "restore"])
@pytest.mark.parametrize("which", ["none", "other", "keyring"])
def test_a_wrong_or_missing_key_is_never_recorded_as_damage(world: World, level: str, which: str) -> None:
    here = world.place("here")
    result = world.back_up(here)
    before = len(records(here, result.id))
    theirs = dataclasses.replace(random_keys(), keyring=world.keys.keyring)
    theirs = dataclasses.replace(
        theirs, epochs=tuple(dataclasses.replace(e, keyring=theirs.keyring) for e in theirs.epochs)
    )
    stranger = world.seen(here, {"none": None, "other": theirs, "keyring": random_keys()}[which])
    stranger.store.allow_unsigned = True
    request = verify_run.VerifyRequest(JOB, result.id, (stranger,), level, DrillPlace(folder=str(world.folder)))
    with pytest.raises(WrongKeyError) as error:
        verify_run.verify(verify_run.plan(request))
    assert "e1" in str(error.value) and world.keys.keyring in str(error.value)
    assert len(records(here, result.id)) == before and newest_good(here) == result.id


def test_without_keys_everything_works_that_needs_none(world: World) -> None:
    here, there = world.place("here"), world.place("there")
    result = world.back_up(here)
    stranger, target = world.seen(here, None), world.seen(there, None)
    manifest = manifest_of(stranger, result.id)
    assert found(stranger, result.id).is_good and found(stranger, result.id).signature == signing.NOT_CHECKED
    for level in ("presence", "checksum"):
        assert proving.prove(stranger.store, manifest, level, DrillPlace()).is_good
    copy.copy(stranger.store, target.store, manifest, target.identity())
    prune.prune(target.store, prune.PruneRequest(JOB), dt.timedelta(0))
    proving.prove(there.store, manifest, "content", DrillPlace())
    assert world.restored(there) == contents(world.root)


def test_a_restore_without_keys_says_which_are_missing(world: World) -> None:
    here = world.place("here")
    world.back_up(here)
    with pytest.raises(WrongKeyError, match=f"epoch e1 of keyring {world.keys.keyring}"):
        world.restored(world.seen(here, None))


def test_a_library_that_is_missing_is_not_taken_for_damage(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    here = world.place("here")
    result = world.back_up(here)
    before = len(records(here, result.id))

    def missing() -> t.Any:
        raise MissingPartError("Cannot encrypt or decrypt", "no module named cryptography", "install it")

    monkeypatch.setattr(encryption, "_library", missing)
    with pytest.raises(MissingPartError):
        proving.prove(here.store, manifest_of(here, result.id), "content", DrillPlace())
    with pytest.raises(MissingPartError):
        world.restored(here)
    assert len(records(here, result.id)) == before


def test_a_run_that_cannot_encrypt_fails_before_it_writes_anything(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = world.place("here")

    def missing() -> t.Any:
        raise MissingPartError("Cannot encrypt or decrypt", "no module named cryptography", "install it")

    monkeypatch.setattr(encryption, "_library", missing)
    monkeypatch.setattr(publish, "LiveIntent", lambda *_: pytest.fail("a run has begun"))
    with pytest.raises(MissingPartError):
        world.back_up(here)
    assert not list(here.store.entries("data/")) and not list(here.store.entries("intents/"))


# Plain and encrypted backups of one job


def test_an_encrypted_run_does_not_build_on_a_plain_backup(world: World) -> None:
    here = world.place("here")
    world.back_up(world.seen(here, None))
    result = world.back_up(here)
    assert result.base == "" and result.statistics["read_objects"] == len(contents(world.root))
    assert world.restored(here) == contents(world.root)


def test_a_plain_run_does_not_build_on_an_encrypted_backup(world: World) -> None:
    here = world.place("here")
    world.back_up(here)
    result = world.back_up(world.seen(here, None))
    assert result.base == "" and "it is encrypted, and this backup is not" in result.warnings[0]
    assert world.restored(world.seen(here, None)) == contents(world.root)


def test_a_run_under_another_keyring_does_not_build_on_what_it_cannot_read(world: World) -> None:
    here = world.place("here")
    world.back_up(here)
    result = world.back_up(world.seen(here, random_keys()))
    assert result.base == "" and "a key that is not at hand" in result.warnings[0]


# Who has no key cannot make anybody believe anything


def test_an_edited_manifest_is_an_alarm_and_never_used(world: World) -> None:
    here = world.place("here")
    first = world.back_up(here)
    world.write("new", b"new\n")
    second = world.back_up(here)
    edited(here, layout.manifest(JOB, second.id), host="elsewhere")
    backup = found(here, second.id)
    assert (backup.signature, backup.is_good) == (signing.WRONG, False) and backup.alarms
    assert newest_good(here) == first.id
    known = holdings(JOB, [here])
    assert candidates(known, [here], "latest")[0].backup.id == first.id
    here.store.allow_unsigned = True  # that is not for those
    with pytest.raises(GuardRefusal, match="signature is wrong") as error:
        candidates(holdings(JOB, [here]), [here], second.id)
    assert error.value.guard == "unsigned"
    assert world.back_up(here).base == first.id


def test_a_manifest_whose_signature_was_taken_off_is_listed_and_not_chosen(world: World) -> None:
    here = world.place("here")
    first = world.back_up(here)
    second = world.back_up(here)
    edited(here, layout.manifest(JOB, second.id), mac=None)
    assert [backup.id for backup in catalog.backups(here.store, JOB)] == [first.id, second.id]
    assert found(here, second.id).signature == signing.MISSING
    for wanted in ("latest", "latest_good"):
        assert candidates(holdings(JOB, [here]), [here], wanted)[0].backup.id == first.id
        assert catalog.choose(catalog.backups(here.store, JOB), wanted, JOB, "here").id == first.id
    with pytest.raises(GuardRefusal, match="not signed"):
        world.restored(here, wanted=second.id)
    here.store.allow_unsigned = True
    assert world.restored(here, wanted=second.id) == contents(world.root)


def test_a_manifest_in_the_place_of_another_one_is_damage(world: World) -> None:
    here = world.place("here")
    first = world.back_up(here)
    second = world.back_up(here)
    rewrite(here, layout.manifest(JOB, second.id), path_of(here, layout.manifest(JOB, first.id)).read_bytes())
    backup = found(here, second.id)
    assert backup.manifest is None and not backup.is_good
    assert newest_good(here) == first.id


def test_a_repository_of_another_keyring_is_not_believed(world: World) -> None:
    here = world.place("here")
    world.back_up(here)
    stranger = world.seen(here, random_keys())
    assert catalog.backups(stranger.store, JOB)[0].signature == signing.UNKNOWN_KEY
    with pytest.raises(LifeboatError, match="Cannot find backup latest_good"):
        candidates(holdings(JOB, [stranger]), [stranger], "latest_good")


def test_verifying_tells_that_a_manifest_is_not_signed(world: World) -> None:
    here = world.place("here")
    result = world.back_up(here)
    edited(here, layout.manifest(JOB, result.id), mac=None)
    planned = verify_run.plan(verify_run.VerifyRequest(JOB, result.id, (here,), "presence"))
    assert any("it is not signed" in problem for problem in planned.problems)


def test_a_proof_without_signature_proves_nothing(world: World) -> None:
    here = world.place("here")
    result = world.back_up(here, proof="none")
    manifest = manifest_of(here, result.id)
    proving.prove(world.seen(here, None).store, manifest, "checksum", DrillPlace())
    verdicts = tuple(
        proof.FileVerdict(path.name, sha256(here, path), True)
        for path in path_of(here, layout.data(JOB, result.id)).iterdir()
        if path.name != "SHA256SUMS"
    )
    forged = proof.ProofRecord(JOB, result.id, "content", here.store.now(), "h", verdicts, {"whole": True})
    proof.write(world.seen(here, None).store, forged)
    assert found(world.seen(here, None), result.id).is_good
    assert not found(here, result.id).is_good
    assert proving.whole_since(here.store, JOB, result.id) is None


def sha256(place: Place, path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def condemned(place: Place, result: backup_run.BackupResult, time: dt.datetime) -> None:
    """Write what somebody without keys may say of a good backup."""
    name = "segments.jsonl.zst.enc"
    digest = sha256(place, path_of(place, layout.data(JOB, result.id, name)))
    bad = (
        proof.FileVerdict(name, digest, False, "it is bad"),
        proof.FileVerdict("no-such-file", "0" * 64, False, "bad"),
    )
    proof.write(World.seen(place, None).store, proof.ProofRecord(JOB, result.id, "content", time, "h", bad))


def test_a_failure_without_signature_counts_until_the_next_signed_reading(world: World) -> None:
    here = world.place("here")
    result = world.back_up(here)
    condemned(here, result, here.store.now() + dt.timedelta(days=3650))
    assert not found(here, result.id).is_good and found(here, result.id).is_vouched
    clock.sleep(0.01)
    proving.prove(here.store, manifest_of(here, result.id), "content", DrillPlace())
    assert found(here, result.id).is_good


def test_who_has_no_keys_cannot_take_a_failure_back(world: World) -> None:
    here = world.place("here")
    result = world.back_up(here)
    name = layout.data(JOB, result.id, "index.jsonl.zst.enc")
    good = path_of(here, name).read_bytes()
    rewrite(here, name, good[:-1] + b"x")
    with pytest.raises(DamagedError):
        proving.require_good(
            proving.prove(here.store, manifest_of(here, result.id), "content", DrillPlace()),
            manifest_of(here, result.id),
            "here",
        )
    digest = manifest_of(here, result.id).file("index").facts.stored_sha256
    said = (proof.FileVerdict("index.jsonl.zst.enc", digest, True),)
    proof.write(
        world.seen(here, None).store,
        proof.ProofRecord(JOB, result.id, "content", here.store.now() + dt.timedelta(days=1), "h", said),
    )
    assert not found(here, result.id).is_good


def test_an_acknowledgement_without_signature_does_not_count_and_can_be_replaced(world: World) -> None:
    here = world.place("here")
    result = world.back_up(here)
    acknowledgement.acknowledge(world.seen(here, None).store, JOB, result.id)
    assert acknowledgement.newest(world.seen(here, None).store, JOB) == result.id
    assert acknowledgement.newest(here.store, JOB) == ""
    assert acknowledgement.acknowledge(here.store, JOB, result.id)
    assert acknowledgement.newest(here.store, JOB) == result.id
    assert not acknowledgement.acknowledge(here.store, JOB, result.id)


def test_an_unsigned_backup_of_the_future_cannot_be_acknowledged(world: World) -> None:
    here = world.place("here")
    result = world.back_up(here)
    key, later = layout.manifest(JOB, result.id), f"2099{result.id[4:]}"
    fields = json_document.decoded(path_of(here, key).read_bytes(), key)
    del fields["mac"]
    fields.update(id=later, flags=["mass_delete: all of it"])
    here.store.put_new(layout.manifest(JOB, later), json_document.encoded(fields))
    here.store.put_new(layout.manifest(JOB, f"2098{result.id[4:]}"), b"no document at all")
    assert acknowledging.plan(JOB, "latest", (here,)).id == result.id
    with pytest.raises(LifeboatError, match="Cannot acknowledge"):
        acknowledging.plan(JOB, later, (here,))
    with pytest.raises(LifeboatError, match="209"):  # and nothing is dropped while they are there
        prune.prune(here.store, prune.PruneRequest(JOB, Keep(last=1)), dt.timedelta(0))


def test_a_hold_that_somebody_without_keys_has_shortened_holds_for_ever(world: World) -> None:
    here = world.place("here")
    result = world.back_up(here)
    until = here.store.now() + dt.timedelta(days=30)
    hold.place(here.store, JOB, result.id, "trial", until, here.store.now)
    assert hold.read(here.store, JOB)[result.id].until == until
    edited(here, layout.hold(JOB, result.id), until=clock.to_text(here.store.now()))
    assert hold.read(here.store, JOB)[result.id].until is None
    edited(here, layout.hold(JOB, result.id), mac=None)
    assert hold.read(here.store, JOB)[result.id].until is None


def test_a_list_and_a_status_take_nobodys_backup_for_the_latest(world: World) -> None:
    here = world.place("here")
    first = world.back_up(here)
    second = world.back_up(here)
    edited(here, layout.manifest(JOB, second.id), mac=None)
    [latest] = listing.listing((here,), JOB, "latest").rows
    assert latest.id == first.id
    planned = verify_run.plan(verify_run.VerifyRequest(JOB, "latest", (here,), "presence"))
    assert [copy.backup.id for copy in planned.copies] == [first.id]
    told = status.judge(job_settings(), holdings(JOB, [here]), clock.now())
    assert told.id == first.id and any("it is not signed" in problem for problem in told.problems)


def job_settings() -> job_settings_of.JobSettings:
    fields: dict[str, t.Any] = {field.name: None for field in dataclasses.fields(job_settings_of.JobSettings)}
    fields.update(name=JOB, kind="files", repositories=("here",), proof="content")
    return job_settings_of.JobSettings(**fields)


def test_a_backup_whose_manifest_was_edited_is_not_copied(world: World) -> None:
    here, there = world.place("here"), world.place("there")
    result = world.back_up(here)
    edited(here, layout.manifest(JOB, result.id), host="elsewhere")
    planned = copy_run.plan(copy_run.CopyRequest(JOB, "all", here, there))
    assert planned.is_empty and "its signature is wrong" in planned.damaged[result.id]


def test_an_acknowledgement_is_brought_in_the_place_of_a_forged_one(world: World) -> None:
    here, there = world.place("here"), world.place("there")
    result = world.back_up(here)
    acknowledgement.acknowledge(here.store, JOB, result.id)
    acknowledgement.acknowledge(world.seen(there, None).store, JOB, result.id)
    acknowledgement.bring(here.store, there.store, JOB, there.store.now)
    assert acknowledgement.newest(there.store, JOB) == result.id


# Retention


def test_pruning_with_keys_keeps_what_only_forged_words_would_drop(world: World) -> None:
    here = world.place("here")
    first = world.back_up(here)
    others = [world.back_up(here) for _number in range(3)]
    for each in (first, *others[:2]):
        condemned(here, each, here.store.now())
    edited(here, layout.manifest(JOB, others[2].id), mac=None)
    request = prune.PruneRequest(JOB, Keep(last=1, verified_min=2), force=True)
    planned = prune.plan(here.store, request, dt.timedelta(0))
    without = prune.plan(world.seen(here, None).store, request, dt.timedelta(0))
    kept = {each.id for each in planned.retention.kept}
    assert kept >= {each.id for each in without.retention.kept}
    assert {others[0].id, others[1].id} <= kept


def test_pruning_without_keys_leaves_signed_proofs_of_shared_files_in_force(world: World) -> None:
    here = world.place("here")
    first = world.back_up(here)
    world.write("numbered/001", b"other\n")
    second = world.back_up(here)
    proof.forget(world.seen(here, None).store, JOB, first.id, {"segments.jsonl.zst.enc"}, here.store.now)
    assert found(here, second.id).is_good
    assert not found(here, first.id).is_good


def test_what_is_rewritten_for_somebody_without_keys_is_not_signed_by_that(world: World) -> None:
    here = world.place("here")
    result = world.back_up(here, proof="none")
    names = ("index.jsonl.zst.enc", "segments.jsonl.zst.enc")
    said = tuple(
        proof.FileVerdict(name, sha256(here, path_of(here, layout.data(JOB, result.id, name))), True) for name in names
    )
    forged = proof.ProofRecord(JOB, result.id, "content", here.store.now(), "h", said)
    proof.write(world.seen(here, None).store, forged)
    proof.forget(here.store, JOB, result.id, {names[0]}, here.store.now)
    [left] = records(here, result.id)
    assert [verdict.name for verdict in left.files] == [names[1]]
    assert left.signature == signing.MISSING and not left.counts


# Faults


def test_damage_in_an_encrypted_file_is_noticed_wherever_it_is(world: World) -> None:
    here = world.place("here")
    result = world.back_up(here)
    manifest = manifest_of(here, result.id)
    for name in ("pack-0000.tar.zst.enc", "index.jsonl.zst.enc", "segments.jsonl.zst.enc"):
        key = layout.data(JOB, result.id, name)
        good = path_of(here, key).read_bytes()
        for place in (0, 40, 90, *range(150, 400, 50), len(good) // 2, len(good) - 1):
            rewrite(here, key, good[:place] + bytes([good[place] ^ 4]) + good[place + 1 :])
            outcome = proving.prove(here.store, manifest, "content", DrillPlace())
            assert [each.partition("/")[2].partition(":")[0] for each in outcome.problems] == [name], place
        rewrite(here, key, good)
    bad = [verdict for record in records(here, result.id) for verdict in record.files if not verdict.is_good]
    assert bad and {verdict.problem for verdict in bad} == {
        "it did not pass at level content; whoever verified it was told why"
    }


def test_a_file_that_swells_is_not_read_to_its_end(world: World) -> None:
    """Somebody who had the keys left it there; only its sizes are told by the lists."""
    here = world.place("here")
    result = world.back_up(here, proof="none")
    name = "segments.jsonl.zst.enc"
    frame = block_compressor("zstd")(bytes(64 * 1024 * 1024))
    stage = world.keys.encrypting(JOB, result.id, name)
    rewrite(here, layout.data(JOB, result.id, name), b"".join(stage(iter([frame]))))
    file = manifest_of(here, result.id).file("segments")
    facts = dataclasses.replace(file.facts, stored_size=path_of(here, layout.data(JOB, result.id, name)).stat().st_size)
    taken = 0
    with pytest.raises(DamagedError, match="more than its"):
        for chunk in plain_chunks(here.store, JOB, result.id, dataclasses.replace(file, facts=facts)):
            taken += len(chunk)
    assert taken <= file.facts.plain_size


def test_a_file_of_another_backup_does_not_pass_for_one_of_this(world: World) -> None:
    here = world.place("here")
    first = world.back_up(here)
    second = world.back_up(here, reread=None, mode="full")
    name = "pack-0000.tar.zst.enc"
    rewrite(here, layout.data(JOB, second.id, name), path_of(here, layout.data(JOB, first.id, name)).read_bytes())
    with pytest.raises(LifeboatError):
        world.restored(here, wanted=second.id)


def test_restoring_one_file_reads_only_the_frames_that_hold_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    noise = random.Random(1)
    for number in range(12):
        world.write(f"noise/{number:02}", noise.randbytes(900_000))
    here = world.place("here")
    result = world.back_up(here)
    asked: list[tuple[str, int, int | None]] = []
    read = DirectoryStore.read

    def counted(
        self: DirectoryStore, key: str, offset: int = 0, length: int | None = None, version_id: str = ""
    ) -> t.Any:
        asked.append((key.rpartition("/")[2], offset, length))
        return read(self, key, offset, length, version_id)

    monkeypatch.setattr(DirectoryStore, "read", counted)
    stored = StoredCopy(candidates(holdings(JOB, [here]), [here], result.id)[0])
    row = stored.find(str(world.root), "noise/07")
    assert row is not None and row.location is not None
    [(_row, chunks)] = stored.members(str(world.root), [row])
    assert b"".join(chunks) == (world.root / "noise/07").read_bytes()
    of_pack = [(offset, length or 0) for name, offset, length in asked if name.startswith("pack-")]
    assert of_pack[0] == (0, 4096) and len(of_pack) == 2
    assert of_pack[1][1] <= row.location.length + 2 * (encryption.FRAME + 64) < 3_000_000


def test_neighbouring_parts_do_not_read_the_header_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    here = world.place("here")
    result = world.back_up(here)
    asked: list[tuple[str, int]] = []
    read = DirectoryStore.read

    def counted(
        self: DirectoryStore, key: str, offset: int = 0, length: int | None = None, version_id: str = ""
    ) -> t.Any:
        asked.append((key.rpartition("/")[2], offset))
        return read(self, key, offset, length, version_id)

    reader = IndexReader(here.store, manifest_of(here, result.id))
    list(reader.segments())
    monkeypatch.setattr(DirectoryStore, "read", counted)
    for _time in range(3):
        assert len(list(reader.rows(str(world.root)))) > len(NAMES)
    assert asked.count(("index.jsonl.zst.enc", 0)) == 1


# Everything else that touches stored files


def test_the_history_of_a_file_is_told_from_encrypted_backups(world: World) -> None:
    here = world.place("here")
    world.back_up(here)
    world.write("plain-name.txt", b"other\n")
    world.back_up(here)
    told = history(Question(JOB, str(world.root), "plain-name.txt", (here,)))
    assert len(told.states) == 2 and not told.problems
    with pytest.raises(WrongKeyError):
        history(Question(JOB, str(world.root), "plain-name.txt", (world.seen(here, None),)))


def test_a_stored_file_that_is_encrypted_can_be_named_for_a_url(world: World) -> None:
    assert presigned.is_encrypted("database.dump.zst.enc") and not presigned.is_encrypted("database.dump.zst")
