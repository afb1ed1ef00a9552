# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Backups in an archive such as S3 Glacier: what cannot be read is asked for, and comes back."""

from __future__ import annotations

import dataclasses
import datetime as dt
import itertools
import os
import typing as t
from pathlib import Path

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine import clock
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import LifeboatError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host import (
    copy_run,
    job_lock,
    objects_backup,
    objects_restore,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.object_sources import FileSelection
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.objects_choice import Choice
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.objects_destination import Folder
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.objects_job import ObjectsJob
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.objects_restore import RestoreRequest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.place import Place
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.selection import Selection
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository import catalog, identity, layout
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.bucket import BucketStore
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.directory import DirectoryStore
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.retrieval import RetrievalPolicy
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.store import ArchivedError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3.client import S3Client
from ansible_collections.lifeboat.recovery.tests.functional.archive_proxy import ArchiveProxy
from ansible_collections.lifeboat.recovery.tests.functional.s3_fixtures import bucket, endpoint_of, s3, s3_server
from servers import MinioServer

__all__ = ["bucket", "s3", "s3_server"]
PACKS = r"/data/.*/pack-"
POLICY = RetrievalPolicy("Bulk", 3, dt.timedelta(hours=5))
_numbers = itertools.count(1)


@dataclasses.dataclass
class World:
    """A folder whose backup lies in a bucket with an archive, and what is asked of it."""

    folder: Path
    job: str
    proxy: ArchiveProxy
    place: Place
    sleeps: list[float]

    @property
    def contents(self) -> dict[str, bytes]:
        root = self.folder / "root"
        return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}

    def restored(self, to: str, **changes: t.Any) -> tuple[objects_restore.RestoreResult, dict[str, bytes], list[str]]:
        said: list[str] = []
        out = self.folder / to
        request = RestoreRequest(Choice(self.job), (self.place,), Folder(str(out)))
        planned = objects_restore.plan(dataclasses.replace(request, **changes), said.append)
        result = objects_restore.restore(planned, said.append)
        root = out / str(self.folder / "root").lstrip("/")
        found = {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}
        return result, found, said


@pytest.fixture
def world(s3_server: MinioServer, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> t.Iterator[World]:
    monkeypatch.setattr(job_lock, "_FOLDERS", (str(tmp_path),))
    sleeps: list[float] = []
    root = tmp_path / "root"
    root.mkdir()
    for number in range(3):
        (root / f"{number}.bin").write_bytes(os.urandom(1_200_000))
    port = int(s3_server.endpoint.rpartition(":")[2])
    with ArchiveProxy(port, "nothing lies there yet", looks=3) as proxy:
        endpoint = dataclasses.replace(endpoint_of(s3_server), url=proxy.url)
        client = S3Client(endpoint)
        store = BucketStore(client, bucket, "backups")
        identity.initialise(store)
        place = Place("cold", store, archive=POLICY)
        job = f"archive-{next(_numbers)}"
        objects_backup.back_up(ObjectsJob(job, "files", FileSelection((str(root),)).opened, (place,)))
        proxy.pattern = PACKS
        monkeypatch.setattr(clock, "sleep", sleeps.append)
        yield World(tmp_path, job, proxy, place, sleeps)
        client.close()


def test_what_lies_in_an_archive_is_asked_for_and_comes_back(world: World) -> None:
    result, found, said = world.restored("out")
    assert found == world.contents and result.is_complete
    keys = [key for key, _body in world.proxy.requests]
    assert len(keys) == len(set(keys)) and all("/pack-" in key for key in keys)
    [(_key, body), *_rest] = world.proxy.requests
    assert b"<Days>3</Days><GlacierJobParameters><Tier>Bulk</Tier></GlacierJobParameters>" in body
    assert any("to come back from its archive" in line for line in said)
    assert any("asked for in its archive" in note for note in result.notes)
    assert set(world.sleeps) == {60.0}


def test_a_restore_that_was_ended_goes_on_without_asking_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def ended(_seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(clock, "sleep", ended)
    with pytest.raises(KeyboardInterrupt):
        world.restored("out")
    asked = list(world.proxy.requests)
    assert asked
    monkeypatch.setattr(clock, "sleep", lambda _seconds: None)
    _result, found, _said = world.restored("out")
    assert found == world.contents and world.proxy.requests == asked


def test_the_wait_is_bounded_and_says_that_another_run_goes_on(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.proxy.looks = 1_000_000
    passed = itertools.count(0, 1800)
    monkeypatch.setattr(clock, "monotonic", lambda: float(next(passed)))
    with pytest.raises(LifeboatError) as error:
        world.restored("out")
    assert "within 5 h" in str(error.value)


def test_one_object_brings_back_what_it_needs_alone(world: World) -> None:
    root = str(world.folder / "root")
    _result, found, _said = world.restored("out", selection=Selection(keys=("1.bin",)), collections=(root,))
    assert list(found) == ["1.bin"]
    assert len(world.proxy.requests) == 1


def test_without_the_section_nothing_is_asked_for_and_the_error_says_what_to_do(world: World) -> None:
    [backup] = catalog.backups(world.place.store, world.job)
    key = next(
        entry.key for entry in world.place.store.entries(layout.data(world.job, backup.id)) if "/pack-" in entry.key
    )
    with pytest.raises(ArchivedError) as error:
        list(world.place.store.read(key))
    assert "section archive" in error.value.remedy and not world.proxy.requests


def test_a_list_in_the_archive_does_not_keep_backups_from_being_listed(world: World) -> None:
    world.proxy.pattern = r"/data/"
    [backup] = catalog.backups(world.place.store, world.job)
    assert backup.is_good and not world.proxy.requests


def test_a_backup_is_copied_out_of_an_archive(world: World) -> None:
    world.proxy.pattern = r"/data/"
    folder = world.folder / "near"
    folder.mkdir()
    target = Place("near", DirectoryStore(str(folder)))
    identity.initialise(target.store)
    planned = copy_run.plan(copy_run.CopyRequest(world.job, "latest", world.place, target))
    [copied] = copy_run.run(planned)
    assert catalog.backups(target.store, world.job)[0].is_good and copied.bytes > 3_000_000
