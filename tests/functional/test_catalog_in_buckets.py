# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The catalog of a real bucket: read in one go, and remembered as long as the bucket's listing stays the same."""

from __future__ import annotations

import pathlib
import typing as t

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository import catalog, layout, proof
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.bucket import BucketStore
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.catalog import Backup
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.recall import Recall
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.store import Document, Entry
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3.client import S3Client
from ansible_collections.lifeboat.recovery.tests.functional.s3_fixtures import (
    bucket,
    s3,
    s3_server,
    versioned_bucket,
)
from ansible_collections.lifeboat.recovery.tests.functional.test_prune_in_buckets import JOB, back_up, backups

__all__ = ["bucket", "s3", "s3_server", "versioned_bucket"]

ROOT = "sites/one"
COUNT = 40  # more than are asked for at once


class Watched(BucketStore):
    """Says which documents are read."""

    def __init__(self, client: S3Client, bucket: str) -> None:
        super().__init__(client, bucket, ROOT)
        self.read_keys: list[str] = []

    def get(self, key: str, version_id: str = "") -> Document | None:
        self.read_keys.append(key)
        return super().get(key, version_id)

    def documents(self, entries: t.Iterable[Entry]) -> t.Iterator[tuple[Entry, Document]]:
        wanted = list(entries)
        self.read_keys += [entry.key for entry in wanted]
        return super().documents(wanted)


@pytest.fixture(params=["plain", "versioned"])
def store(request: pytest.FixtureRequest, s3: S3Client) -> Watched:
    name: str = request.getfixturevalue("bucket" if request.param == "plain" else "versioned_bucket")
    return Watched(s3, name)


def looked(store: Watched, folder: pathlib.Path) -> tuple[list[Backup], list[str]]:
    """Return the catalog with a memory, which is the same as without, and the keys that were read for it."""
    store.read_keys.clear()
    recall = Recall(str(folder / "kept"), store.name, JOB)
    found = catalog.backups(store, JOB, recall=recall)
    recall.save()
    keys = list(store.read_keys)
    assert found == catalog.backups(store, JOB)
    return found, keys


def test_what_a_bucket_still_lists_as_it_was_is_not_read_again(store: Watched, tmp_path: pathlib.Path) -> None:
    made = backups(store, COUNT)
    found, keys = looked(store, tmp_path)
    assert [backup.id for backup in found if backup.is_good] == made
    assert len(keys) == len(set(keys)) == 2 * COUNT
    assert looked(store, tmp_path)[1] == []
    newest = back_up(store)
    found, keys = looked(store, tmp_path)
    assert [backup.is_good for backup in found if backup.id == newest] == [True]  # ids of one second have no order
    assert keys[0] == layout.manifest(JOB, newest) and len(keys) == 2


def test_a_manifest_that_is_overwritten_is_noticed_in_spite_of_the_memory(
    store: Watched, tmp_path: pathlib.Path
) -> None:
    made = backups(store, 3)
    looked(store, tmp_path)
    store.put(layout.manifest(JOB, made[1]), b"{}")
    found, _keys = looked(store, tmp_path)
    assert [backup.is_good for backup in found] == [True, False, True]
    manifest = found[2].manifest
    assert manifest is not None
    verdicts = tuple(proof.FileVerdict(each.name, each.facts.stored_sha256, False, "a bit") for each in manifest.files)
    proof.write(store, proof.ProofRecord(JOB, made[2], "content", store.now(), "db1", verdicts))
    found, _keys = looked(store, tmp_path)
    assert [backup.is_good for backup in found] == [True, False, False]


def test_documents_that_are_gone_or_not_to_be_read_are_left_out(store: Watched) -> None:
    (made,) = backups(store, 1)
    (entry,) = store.entries(layout.manifests(JOB))
    missing = Entry(layout.manifest(JOB, "20200101T000000Z-0000aa"), 1, "", entry.modified)
    found = list(store.documents([missing, entry]))
    assert [each.key for each, _document in found] == [layout.manifest(JOB, made)]
    assert found[0][1] == store.get(entry.key)
