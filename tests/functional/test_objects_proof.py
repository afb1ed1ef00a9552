# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Backups of buckets and folders are restored on trial, into folders and buckets, and compared with their source."""

from __future__ import annotations

import dataclasses
import typing as t
from pathlib import Path

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import GuardRefusal
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host import verify_run
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.verify_run import Verdict, VerifyRequest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects import restore_run
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository import catalog
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3.client import S3Client
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.verify.drill_place import DrillPlace
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.verify.sample import parse_sample
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.verify.scratch import ScratchBucket
from ansible_collections.lifeboat.recovery.tests.functional import round_trips
from ansible_collections.lifeboat.recovery.tests.functional.job_fixtures import Place, directory_place, own_locks
from ansible_collections.lifeboat.recovery.tests.functional.s3_fixtures import bucket, s3, s3_server

__all__ = ["bucket", "own_locks", "s3", "s3_server"]

OBJECTS = {f"folder/object-{number:03d}": b"%d" % number * 100 for number in range(40)}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return directory_place(tmp_path / "repository", "local")


@pytest.fixture
def backup(s3: S3Client, bucket: str, place: Place) -> str:
    """Back a bucket up, and return its name."""
    for key, data in OBJECTS.items():
        s3.put_object(bucket, key, data)
    round_trips.back_up_bucket(s3, bucket, place, "buckets")
    return bucket


def verified(place: Place, job: str, level: str, **changes: t.Any) -> Verdict:
    request = VerifyRequest(job, "latest", (place,), level)
    (verdict,) = verify_run.verify(verify_run.plan(dataclasses.replace(request, **changes)))
    return verdict


def test_a_restore_on_trial_into_a_folder_reads_everything_back_and_leaves_nothing(
    backup: str, place: Place, tmp_path: Path
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    verdict = verified(place, "buckets", "restore", drill=DrillPlace(folder=str(scratch)))
    assert verdict.is_good, verdict.problems
    assert verdict.report["restored"] == verdict.report["objects"] == len(OBJECTS)
    assert verdict.report["restored_bytes"] == sum(map(len, OBJECTS.values()))
    assert list(scratch.iterdir()) == []
    assert catalog.backups(place.store, "buckets")[0].is_good


def test_a_restore_on_trial_into_a_bucket_says_what_has_changed_at_the_source_since(
    s3: S3Client, backup: str, place: Place
) -> None:
    keys = sorted(OBJECTS)
    s3.delete(backup, keys[0])
    s3.put_object(backup, keys[1], b"newer")
    s3.put_object(backup, "added", b"new")
    verdict = verified(place, "buckets", "restore", scratch=ScratchBucket(s3, "drill-here"), source=lambda: s3)
    assert verdict.is_good, verdict.problems
    counts = {name: verdict.report[f"source_{name}"] for name in ("same", "changed", "deleted", "new")}
    assert counts == {"same": len(OBJECTS) - 2, "changed": 1, "deleted": 1, "new": 1}
    assert not s3.bucket_exists("drill-here")
    for key in [*keys, "added"]:
        s3.delete(backup, key)
    s3.delete_bucket(backup)
    again = verified(place, "buckets", "restore", source=lambda: s3)
    assert again.is_good and again.report["source_deleted"] == len(OBJECTS)


def test_a_bucket_that_somebody_uses_is_no_place_for_a_trial(s3: S3Client, backup: str, place: Place) -> None:
    verdict = verified(place, "buckets", "restore", scratch=ScratchBucket(s3, backup))
    assert not verdict.is_good
    assert "it is not empty" in verdict.problems[0]
    assert {each.key for each in s3.list_objects(backup)} == set(OBJECTS)
    assert catalog.backups(place.store, "buckets")[0].is_good, "that says nothing about the backup"
    s3.create_bucket("drill-locked", object_lock=True)
    with pytest.raises(GuardRefusal, match="it locks objects"), ScratchBucket(s3, "drill-locked").opened("bucket", 1):
        pass


def test_a_restore_that_does_not_bring_everything_is_no_proof(
    backup: str, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = restore_run.Restoration.write

    def write_most(self: t.Any, name: str, row: t.Any, chunks: t.Iterable[bytes] = ()) -> None:
        if not row.key.endswith("7"):
            write(self, name, row, chunks)

    monkeypatch.setattr(restore_run.Restoration, "write", write_most)
    verdict = verified(place, "buckets", "restore")
    assert "there are 4 objects to write" in verdict.problems[0]
    assert not catalog.backups(place.store, "buckets")[0].is_good
    monkeypatch.undo()
    assert verified(place, "buckets", "restore").is_good
    assert catalog.backups(place.store, "buckets")[0].is_good


def test_samples_prove_a_backup_when_all_parts_were_read(s3: S3Client, bucket: str, place: Place) -> None:
    for key, data in OBJECTS.items():
        s3.put_object(bucket, key, data)
    round_trips.back_up_bucket(s3, bucket, place, "buckets", proof="none")
    read, good = 0, []
    for part in ("1/3", "2/3", "3/3"):
        verdict = verified(place, "buckets", "content", sample=parse_sample(part))
        assert verdict.is_good
        read += verdict.report["packs_read"]
        good.append((read, catalog.backups(place.store, "buckets")[0].is_good))
    # There is one pack; which part reads it depends on the backup's id.
    assert good[-1] == (1, True)
    assert all(is_good is (packs == 1) for packs, is_good in good)


def test_a_folder_is_restored_on_trial_with_links_and_modes(place: Place, tmp_path: Path) -> None:
    folder = tmp_path / "etc"
    (folder / "closed").mkdir(parents=True)
    (folder / "closed" / "secret").write_bytes(b"x" * 5000)
    (folder / "closed" / "secret").chmod(0o400)
    (folder / "closed").chmod(0o500)
    (folder / "link").symlink_to("closed/secret")
    round_trips.back_up_folder(folder, place, "files")
    verdict = verified(place, "files", "restore", source=verify_run.no_client)
    assert verdict.is_good, verdict.problems
    assert verdict.report["source_same"] == verdict.report["objects"] > 3
    for level in ("presence", "checksum", "content"):
        assert verified(place, "files", level).is_good
