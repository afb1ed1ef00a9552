# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Copies on remotes of a real rclone: a folder, and a bucket of a real MinIO."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine import clock
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import (
    BusyError,
    DamagedError,
    GuardRefusal,
    LifeboatError,
    UsageError,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host import (
    job_lock,
    objects_backup,
    objects_restore,
    verify_run,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.object_sources import FileSelection
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.objects_choice import Choice
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.objects_destination import Folder
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.objects_job import ObjectsJob
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.objects_restore import RestoreRequest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.place import Place
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository import (
    binding,
    catalog,
    copy,
    delete,
    identity,
    layout,
    prune,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.directory import DirectoryStore
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.manifest import (
    Manifest,
    StoredFile,
    file_list,
    need_list,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.rclone import RcloneStore
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.rclone_program import Rclone
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.store import (
    ChangedError,
    ExistsError,
    StoreError,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.stream.pipeline import StreamFacts
from ansible_collections.lifeboat.recovery.tests.functional.s3_fixtures import bucket, s3, s3_server
from peers import find
from servers import MinioServer

__all__ = ["bucket", "s3", "s3_server"]
JOB = "db1-shop"


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return an rclone that uses one core and looks for no memory to use again, which takes a third of most runs."""
    path = tmp_path_factory.mktemp("programs") / "rclone"
    path.write_text(f'#!/bin/sh\nGOMAXPROCS=1 GOGC=off exec {find("rclone")} "$@"\n')
    path.chmod(0o755)
    return str(path)


@pytest.fixture(params=["folder", "bucket"])
def remote(request: pytest.FixtureRequest, program: str, tmp_path: Path) -> RcloneStore:
    """Return an empty place on a remote."""
    config = tmp_path / "rclone.conf"
    if request.param == "folder":
        (tmp_path / "far").mkdir()
        config.write_text("[far]\ntype = local\n")
        return RcloneStore(Rclone(f"far:{tmp_path / 'far'}", str(config), program))
    server: MinioServer = request.getfixturevalue("s3_server")
    name: str = request.getfixturevalue("bucket")
    config.write_text(
        "[far]\ntype = s3\nprovider = Minio\n"
        f"endpoint = {server.endpoint}\naccess_key_id = {server.access_key}\nsecret_access_key = {server.secret_key}\n"
    )
    return RcloneStore(Rclone(f"far:{name}/lifeboat", str(config), program))


@pytest.fixture
def local(tmp_path: Path) -> DirectoryStore:
    (tmp_path / "local").mkdir()
    store = DirectoryStore(str(tmp_path / "local"))
    identity.initialise(store)
    return store


def back_up(store: DirectoryStore, encryption: str = "somehow", size: int = 300_000) -> Manifest:
    """Store a backup whose file says that it is encrypted: what is in it does not matter here."""
    binding.bind(store, JOB, "pg_database", {"database": "shop"})
    moment = store.now()
    backup_id = clock.new_backup_id(moment)
    dump = _put(store, backup_id, "database.dump", "dump", os.urandom(size), encryption)
    files = _put(store, backup_id, layout.FILES, "files", file_list([dump]), "none")
    needs = _put(store, backup_id, layout.NEEDS, "needs", need_list([]), "none")
    statistics = {"plain_bytes": size, "stored_bytes": size}
    own = (dump, files, needs)
    made = Manifest(backup_id, JOB, "pg_database", "", moment, moment, "db1", {}, {}, own, statistics)
    store.put_new(layout.manifest(JOB, backup_id), made.to_bytes())
    return made


def _put(store: DirectoryStore, backup_id: str, name: str, role: str, data: bytes, encryption: str) -> StoredFile:
    store.put_new(layout.data(JOB, backup_id, name), data)
    digest = hashlib.sha256(data).hexdigest()
    return StoredFile(name, role, StreamFacts(len(data), digest, len(data), digest, "none"), encryption)


def contents(store: DirectoryStore | RcloneStore, *prefixes: str) -> dict[str, bytes]:
    return {each.key: b"".join(store.read(each.key)) for prefix in prefixes for each in store.entries(prefix)}


def test_documents_and_files_are_written_read_and_listed(remote: RcloneStore) -> None:
    assert remote.get("a/b.json") is None and remote.stat("a") is None and list(remote.entries("")) == []
    remote.put_new("a/b.json", b"one")
    with pytest.raises(ExistsError):
        remote.put_new("a/b.json", b"two")
    found = remote.get("a/b.json")
    assert found is not None and found.data == b"one"
    remote.replace("a/b.json", b"two", found.etag)
    with pytest.raises(ChangedError):
        remote.replace("a/b.json", b"three", found.etag)
    upload = remote.upload("a/big", 3_000_000)
    for _number in range(3):
        upload.write(b"x" * 1_000_000)
    assert upload.finish().size == 3_000_000
    assert [(each.key, each.size) for each in remote.entries("")] == [("a/b.json", 3), ("a/big", 3_000_000)]
    assert [each.key for each in remote.entries("a/bi")] == ["a/big"]
    assert b"".join(remote.read("a/big", 999_999, 5)) == b"xxxxx"
    assert abs((remote.now() - next(remote.entries("a/big")).modified).total_seconds()) < 120
    with pytest.raises(DamagedError):
        list(remote.read("a/none"))
    remote.delete("a/big")
    remote.delete("a/big")
    assert [each.key for each in remote.entries("")] == ["a/b.json"]


def test_an_upload_that_is_given_up_leaves_nothing(remote: RcloneStore) -> None:
    remote.put("a/b", b"first")
    for key in ("a/b", "a/c"):
        upload = remote.upload(key, 2_000_000)
        upload.write(b"x" * 1_000_000)
        upload.abort()
    assert contents(remote, "") == {"a/b": b"first"}


@pytest.mark.parametrize("remote", ["folder"], indirect=True)
def test_a_copy_has_the_same_bytes_and_comes_back_from_there(
    remote: RcloneStore, local: DirectoryStore, tmp_path: Path
) -> None:
    made = back_up(local)
    there = identity.initialise(remote)
    assert not there.has_conditional_writes
    moved = copy.copy(local, remote, made, there)
    assert moved.bytes >= 300_000
    kept = ("data/", "manifests/", "jobs/")
    assert contents(remote, *kept) == contents(local, *kept)
    request = verify_run.VerifyRequest(JOB, "latest", (Place("far", remote),), "checksum")
    [verdict] = verify_run.verify(verify_run.plan(request))
    assert verdict.is_good
    assert copy.copy(local, remote, made, there).is_empty

    (tmp_path / "back").mkdir()
    back = DirectoryStore(str(tmp_path / "back"))
    copy.copy(remote, back, made, identity.initialise(back))
    assert contents(back, *kept) == contents(local, *kept)


@pytest.mark.parametrize("remote", ["folder"], indirect=True)
def test_a_damaged_file_is_found_and_replaced(remote: RcloneStore, local: DirectoryStore) -> None:
    made = back_up(local)
    there = identity.initialise(remote)
    copy.copy(local, remote, made, there)
    key = layout.data(JOB, made.id, "database.dump")
    remote.put(key, b"cut")
    assert [each.key(JOB) for each in copy.copy(local, remote, made, there).missing] == [key]
    assert contents(remote, "data/") == contents(local, "data/")


@pytest.mark.parametrize("remote", ["folder"], indirect=True)
def test_a_backup_that_is_not_encrypted_is_refused_before_anything_is_sent(
    remote: RcloneStore, local: DirectoryStore
) -> None:
    made = back_up(local, "none")
    there = identity.initialise(remote)
    with pytest.raises(GuardRefusal) as error:
        copy.copy(local, remote, made, there)
    assert error.value.guard == "unencrypted" and "database.dump" in error.value.cause
    assert [each.key for each in remote.entries("")] == [layout.IDENTITY]


@pytest.mark.parametrize("remote", ["folder"], indirect=True)
def test_a_backup_is_removed_there_as_elsewhere(remote: RcloneStore, local: DirectoryStore) -> None:
    made = back_up(local, size=1000)
    there = identity.initialise(remote)
    copy.copy(local, remote, made, there)
    delete.delete(remote, JOB, made.id, there.signature_window, wait_s=0)
    assert catalog.backups(remote, JOB) == []
    result = prune.prune(remote, prune.PruneRequest(JOB), there.signature_window, 0)
    assert (result.planned, result.files) == (3, 0)  # they go a day later


@pytest.mark.parametrize("remote", ["folder"], indirect=True)
def test_two_processes_of_a_host_exclude_each_other(remote: RcloneStore) -> None:
    with remote.exclusive_lock(JOB, 0):
        with pytest.raises(BusyError), remote.exclusive_lock(JOB, 0):
            pass
        with remote.exclusive_lock("another", 0):
            pass
    with remote.exclusive_lock(JOB, 0):
        pass


@pytest.mark.parametrize("remote", ["folder"], indirect=True)
def test_what_a_killed_copy_left_is_not_listed_and_goes_with_the_next_one(remote: RcloneStore) -> None:
    remote.put(f"data/{JOB}/x/dump", b"whole")
    remote.put(f"data/{JOB}/x/.tmp-0123456789abcdef", b"half")
    assert [each.key for each in remote.entries("")] == [f"data/{JOB}/x/dump"]
    with remote.exclusive_lock(JOB, 0):
        assert remote.discard_abandoned(JOB) == []  # somebody may be at it
    assert remote.discard_abandoned(JOB) == [f"data/{JOB}/x/.tmp-0123456789abcdef"]


@pytest.mark.parametrize("remote", ["bucket"], indirect=True)
def test_folders_come_back_from_a_remote_when_all_else_is_lost(
    remote: RcloneStore, local: DirectoryStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_lock, "_FOLDERS", (str(tmp_path),))
    root = tmp_path / "root"
    root.mkdir()
    for number in range(3):
        (root / f"{number}.bin").write_bytes(os.urandom(100_000))
    remote.encrypted_only = False  # how files are encrypted does not matter here
    identity.initialise(remote)
    places = (Place("far", remote), Place("local", local))
    result = objects_backup.back_up(ObjectsJob("web-root", "files", FileSelection((str(root),)).opened, places))
    assert [(each.repository, each.is_primary, each.is_proved) for each in result.copies] == [
        ("local", True, True),
        ("far", False, True),
    ]
    for entry in list(local.entries("")):
        local.delete(entry.key)
    out = tmp_path / "out"
    request = RestoreRequest(Choice("web-root"), (places[1], places[0]), Folder(str(out)))
    restored = objects_restore.restore(objects_restore.plan(request))
    assert restored.is_complete and restored.repository == "far"
    found = {path.name: path.read_bytes() for path in out.rglob("*.bin")}
    assert found == {path.name: path.read_bytes() for path in root.iterdir()}


def test_a_job_whose_repositories_are_all_for_copies_is_refused(
    program: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_lock, "_FOLDERS", (str(tmp_path),))
    place = Place("far", RcloneStore(Rclone("far:x", "", program)))
    with pytest.raises(LifeboatError, match="for copies"):
        objects_backup.back_up(ObjectsJob("web", "files", FileSelection((str(tmp_path),)).opened, (place,)))


def test_what_rclone_says_is_the_cause_of_an_error(program: str, tmp_path: Path) -> None:
    (tmp_path / "rclone.conf").write_text("")
    store = RcloneStore(Rclone("nowhere:x", str(tmp_path / "rclone.conf"), program))
    with pytest.raises(StoreError) as error:
        store.get("lifeboat.json")
    assert "didn't find section in config file" in error.value.cause
    with pytest.raises(LifeboatError, match="the program is not there"):
        RcloneStore(Rclone("far:x", "", "/nonexistent/rclone")).get("lifeboat.json")


@pytest.mark.parametrize("name", ["", "/srv/x", "--config=x", ":s3,secret_access_key=x:bucket", "a,b=c:x", "far:x\ny"])
def test_what_is_no_remote_of_a_configuration_file_is_refused(name: str) -> None:
    with pytest.raises(UsageError):
        RcloneStore(Rclone(name))
