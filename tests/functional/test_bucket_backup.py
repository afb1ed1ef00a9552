# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Backups of buckets of a real server, into a directory and into a bucket with versions."""

from __future__ import annotations

import concurrent.futures
import contextlib
import hashlib
import json
import os
import random
import sys
import threading
import typing as t
from pathlib import Path

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import (
    FlaggedError,
    GuardRefusal,
    IncompleteError,
    LifeboatError,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host import objects_backup, objects_restore
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.backup_run import BackupResult
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.object_sources import BucketSelection
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.objects_choice import Choice
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.objects_copy import settings_of
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.objects_destination import Server
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.objects_job import ObjectsJob
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.objects_restore import RestoreRequest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.place import Place
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.bucket_source import BucketSource
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.index_reader import IndexReader
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.rows import Row
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository import catalog, layout
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.bucket import BucketStore
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.directory import DirectoryStore
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.manifest import Manifest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.stored_files import (
    needed_files,
    small_file,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3.client import S3Client
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.steps import unwatch, watch
from ansible_collections.lifeboat.recovery.tests.functional import warm_python
from ansible_collections.lifeboat.recovery.tests.functional.command_file import command_for
from ansible_collections.lifeboat.recovery.tests.functional.job_fixtures import away, local, own_locks, site
from ansible_collections.lifeboat.recovery.tests.functional.s3_fixtures import (
    bucket,
    limited,
    s3,
    s3_server,
    versioned_bucket,
)

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "environment"))

import servers

__all__ = ["bucket", "local", "own_locks", "s3", "s3_server", "site", "versioned_bucket"]

JOB = "minio1-shop"
BIG = 20 * 1024 * 1024  # bytes: such an object has a pack of its own


class Shop:
    """A bucket that is backed up."""

    def __init__(self, client: S3Client, name: str) -> None:
        self.client = client
        self.name = name
        client.create_bucket(name)

    def put(self, key: str, data: bytes) -> None:
        self.client.put_object(self.name, key, data)

    def fill(self, count: int = 300) -> None:
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda n: self.put(f"f{n:04}", b"line of object %d\n" % n * 30), range(count)))

    def delete(self, *keys: str) -> None:
        for key in keys:
            self.client.delete(self.name, key)

    def job(self, *places: Place, **changes: t.Any) -> ObjectsJob:
        selection = BucketSelection(**{"buckets": (self.name,), **changes.pop("selection", {})})
        return ObjectsJob(JOB, "bucket", lambda remark: selection.opened(self.client, remark), places, **changes)

    def back_up(self, *places: Place, **changes: t.Any) -> BackupResult:
        return objects_backup.back_up(self.job(*places, **changes))


@pytest.fixture
def shop(s3: S3Client, bucket: str) -> Shop:
    """Return a bucket of 300 objects."""
    made = Shop(s3, f"{bucket}-shop")
    made.fill()
    return made


def manifest_of(place: Place, result: BackupResult) -> Manifest:
    found = catalog.find(place.store, JOB, result.id)
    assert found is not None and found.manifest is not None
    return found.manifest


def rows_of(place: Place, result: BackupResult) -> dict[str, Row]:
    index = IndexReader(place.store, manifest_of(place, result))
    return {f"{name}/{row.key}": row for name in index.collections() for row in index.rows(name)}


def keys_of(place: Place) -> set[str]:
    return {entry.key for entry in place.store.entries("")}


def newest_good(place: Place) -> str:
    return catalog.choose(catalog.backups(place.store, JOB), "latest_good", JOB, place.name).id


def test_a_first_backup_has_every_object_and_the_settings(shop: Shop, local: Place, site: Place) -> None:
    shop.put("big", random.Random(1).getrandbits(8 * BIG).to_bytes(BIG, "big"))
    shop.put("empty", b"")
    result = shop.back_up(local, site)
    assert [(copy.repository, copy.is_proved) for copy in result.copies] == [("local", True), ("site", True)]
    found = result.statistics
    assert (found["objects"], found["read_objects"], found["added"]) == (302, 302, 302)
    rows = rows_of(site, result)
    name = shop.name
    assert rows[f"{name}/f0007"].sha256 == hashlib.sha256(b"line of object 7\n" * 30).hexdigest()
    assert rows[f"{name}/big"].size == BIG and rows[f"{name}/empty"].size == 0
    manifest = manifest_of(local, result)
    settings = json.loads(small_file(local.store, JOB, result.id, manifest.file("settings")))
    assert name in settings
    assert newest_good(local) == newest_good(site) == result.id


def test_a_backup_without_changes_reads_nothing_and_writes_no_pack_and_no_index(shop: Shop, site: Place) -> None:
    first = shop.back_up(site)
    before = keys_of(site)
    second = shop.back_up(site)
    folder = layout.data(JOB, second.id)
    assert {key for key in keys_of(site) - before if not key.startswith(layout.verified(JOB, second.id))} == {
        f"{folder}segments.jsonl.zst",
        f"{folder}files.jsonl",
        f"{folder}needs.jsonl",
        f"{folder}SHA256SUMS",
        layout.manifest(JOB, second.id),
    }
    assert second.statistics["read_objects"] == 0 and second.base == first.id
    assert rows_of(site, second) == rows_of(site, first)


def test_the_first_backup_knows_of_all_objects_what_a_later_listing_shows(shop: Shop, site: Place) -> None:
    """Behind its first page the first listing shows no tags: what is read with the objects must be the same."""
    tagged = {"f0001": {"page": "first"}, "f0200": {"page": "a later one"}}
    for key, tags in tagged.items():
        shop.client.set_tags(shop.name, key, tags)
    first = rows_of(site, shop.back_up(site))
    assert {key: row.properties["tags"] for key, row in first.items() if "tags" in row.properties} == {
        f"{shop.name}/{key}": tags for key, tags in tagged.items()
    }
    listed = {f"{shop.name}/{item.key}": item for item in BucketSource(shop.client, [shop.name]).items(shop.name)}
    assert {key: row[:5] for key, row in first.items()} == {key: tuple(item) for key, item in listed.items()}
    shop.client.set_tags(shop.name, "f0250", {"page": "changed"})
    second = shop.back_up(site)
    assert (second.statistics["rewritten"], second.statistics["read_objects"]) == (0, 0)
    assert rows_of(site, second)[f"{shop.name}/f0250"].properties["tags"] == {"page": "changed"}


POLICY = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"AWS": ["*"]},
            "Action": ["s3:GetObject", "s3:GetObjectTagging", "s3:GetObjectVersion"],
            "Resource": ["arn:aws:s3:::BUCKET/*", "arn:aws:s3:::BUCKET/open/*"],
        }
    ],
}


def settings_owner(place: Place, result: BackupResult) -> str:
    """Return which backup wrote the settings that a backup has; its needs must name them, or prune takes them away."""
    manifest = manifest_of(place, result)
    found = manifest.find("settings")
    assert found is not None
    needed = {(each.owner, each.file) for each in needed_files(place.store, manifest)}
    assert found in needed
    return found[0]


def test_settings_are_written_when_they_have_changed_and_named_where_they_lie_else(
    shop: Shop, local: Place, site: Place
) -> None:
    tags = "".join(f"<Tag><Key>k{n}</Key><Value>v{n}</Value></Tag>" for n in range(8))
    shop.client.document("PUT", shop.name, "tagging", f"<Tagging><TagSet>{tags}</TagSet></Tagging>".encode())
    shop.client.document("PUT", shop.name, "policy", json.dumps(POLICY).replace("BUCKET", shop.name).encode())
    first = shop.back_up(local, site)
    same = [shop.back_up(local, site) for _number in range(3)]  # MinIO tells tags and actions in any order
    shop.put("new", b"new")
    same.append(shop.back_up(local, site))
    shop.client.document("DELETE", shop.name, "policy")
    changed = shop.back_up(local, site)
    after = shop.back_up(local, site, mode="full")
    for place in (local, site):
        assert [settings_owner(place, each) for each in (first, *same)] == [first.id] * 5
        assert [settings_owner(place, each) for each in (changed, after)] == [changed.id, after.id]
        known = {each.id: settings_of(place.store, manifest_of(place, each))[shop.name] for each in (*same, after)}
        assert [set(each) for each in known.values()] == [{"policy", "tagging"}] * 4 + [{"tagging"}]
    assert all(copy.is_proved for each in (*same, after) for copy in each.copies)


def test_a_base_whose_settings_are_damaged_is_not_built_on(shop: Shop, local: Place) -> None:
    first, second = shop.back_up(local), shop.back_up(local)
    path = next(Path(local.store.name).rglob(f"{first.id}/settings.json*"))
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    third = shop.back_up(local)
    assert third.base == "" and [first.id in words or second.id in words for words in third.warnings] == [True, True]
    assert settings_owner(local, third) == third.id


def with_actions(s3: S3Client, *actions: str) -> S3Client:
    return limited(s3, {"Effect": "Allow", "Action": actions, "Resource": ["arn:aws:s3:::*"]})


OF_OBJECTS = (
    "s3:ListBucket",
    "s3:GetObject",
    "s3:GetObjectTagging",
    "s3:GetBucketVersioning",
    "s3:GetBucketObjectLockConfiguration",
)
OF_SETTINGS = (
    "s3:GetBucketCors",
    "s3:GetBucketNotification",
    "s3:GetBucketPolicy",
    "s3:GetBucketTagging",
    "s3:GetEncryptionConfiguration",
    "s3:GetLifecycleConfiguration",
    "s3:GetReplicationConfiguration",
)


def test_settings_that_the_key_may_not_read_make_the_backup_incomplete_and_are_named_beside_it(
    shop: Shop, local: Place
) -> None:
    shop.client.document("PUT", shop.name, "policy", json.dumps(POLICY).replace("BUCKET", shop.name).encode())
    owner = shop.client
    shop.client = with_actions(owner, *OF_OBJECTS)
    with contextlib.closing(shop.client), pytest.raises(IncompleteError) as error:
        shop.back_up(local)
    result = error.value.result
    assert result.statistics["remarks"] == {"unseen": 1, "skipped": 1} and result.copies[0].is_proved
    assert error.value.cause.startswith("1 unseen; unseen: ") and "s3:GetBucketPolicy" in error.value.cause
    assert "skipped" not in error.value.cause
    manifest = manifest_of(local, result)
    lines = small_file(local.store, JOB, result.id, manifest.file("remarks")).splitlines()
    told = {what: why for name, key, what, why in map(json.loads, lines) if (name, key) == (shop.name, "")}
    assert all(right in told["unseen"] for right in OF_SETTINGS) and "admin:GetBucketQuota" in told["skipped"]
    found = settings_of(local.store, manifest)[shop.name]
    assert (found["policy"], found["quota"]) == (None, None) and "versioning" not in found
    destination = Server(owner)
    planned = objects_restore.plan(RestoreRequest(Choice(JOB), (local,), destination, what="metadata"))
    assert [f"lacks of the settings of {shop.name}" in note and "policy" in note for note in planned.notes] == [True]
    assert not planned.changed  # what the backup does not know is left alone

    shop.client = with_actions(owner, *OF_OBJECTS)
    with contextlib.closing(shop.client):
        assert shop.back_up(local, allow_partial=True).statistics["remarks"] == {"unseen": 1, "skipped": 1}
    shop.client = with_actions(owner, *OF_OBJECTS, *OF_SETTINGS)
    with contextlib.closing(shop.client):
        complete = shop.back_up(local)
    assert complete.statistics["remarks"] == {"skipped": 1}
    assert settings_owner(local, complete) == complete.id
    assert settings_of(local.store, manifest_of(local, complete))[shop.name]["policy"]


def test_only_changes_are_read(shop: Shop, local: Place, site: Place) -> None:
    first = shop.back_up(local, site)
    shop.put("f0003", b"changed")
    shop.put("new", b"new")
    shop.delete("f0004", "f0005")
    second = shop.back_up(local, site)
    found = second.statistics
    assert (found["read_objects"], found["added"], found["rewritten"], found["gone"]) == (2, 1, 1, 2)
    before, after = rows_of(site, first), rows_of(site, second)
    assert {key.partition("/")[2] for key in set(before) ^ set(after)} == {"f0004", "f0005", "new"}
    assert after[f"{shop.name}/f0003"].location.owner == second.id
    assert after[f"{shop.name}/f0006"].location.owner == first.id


def test_an_attack_with_the_key_of_the_writer_is_flagged_and_the_good_backup_stays(shop: Shop, local: Place) -> None:
    good = shop.back_up(local)
    noise = random.Random(3)
    for number in range(120):
        shop.put(f"f{number:04}", noise.getrandbits(8 * 600).to_bytes(600, "big"))
    with pytest.raises(FlaggedError) as error:
        shop.back_up(local)
    assert error.value.guard == "mass_rewrite"
    assert [flag.partition(":")[0] for flag in error.value.result.flags] == ["mass_rewrite", "entropy_jump"]
    shop.delete(*(f"f{number:04}" for number in range(300)))
    before = keys_of(local)
    with pytest.raises(GuardRefusal) as refusal:
        shop.back_up(local)
    assert refusal.value.guard == "source" and keys_of(local) == before
    assert newest_good(local) == good.id


def test_several_buckets_are_chosen_by_patterns_and_a_vanished_one_counts_as_gone(
    shop: Shop, s3: S3Client, local: Place
) -> None:
    other = Shop(s3, f"{shop.name}-other")
    other.fill(120)
    Shop(s3, f"{shop.name}-tmp").put("a", b"x")
    selection = {"buckets": (f"{shop.name}*",), "exclude_buckets": ("*-tmp",)}
    first = shop.back_up(local, selection=selection)
    assert {key.partition("/")[0] for key in rows_of(local, first)} == {shop.name, other.name}
    other.delete(*(f"f{number:04}" for number in range(120)))
    s3.delete_bucket(other.name)
    with pytest.raises(FlaggedError) as error:
        shop.back_up(local, selection=selection, rebind=True)
    assert error.value.guard == "mass_delete"
    assert error.value.result.statistics["gone"] == 120


def test_a_prefix_limits_what_is_backed_up(shop: Shop, local: Place) -> None:
    result = shop.back_up(local, selection={"prefix": "f000"})
    assert {key.partition("/")[2] for key in rows_of(local, result)} == {f"f000{number}" for number in range(10)}


@pytest.mark.parametrize("name", ["no-such-bucket-anywhere", "no-such-*"])
def test_a_bucket_that_is_not_there_is_refused_and_nothing_is_written(shop: Shop, local: Place, name: str) -> None:
    before = keys_of(local)
    with pytest.raises(GuardRefusal) as error:
        shop.back_up(local, selection={"buckets": (name,)})
    assert error.value.guard == "source" and keys_of(local) == before


def test_a_server_that_is_away_fails_before_anything_is_written(shop: Shop, local: Place) -> None:
    client = away().store._client  # type: ignore[attr-defined]
    selection = BucketSelection((shop.name,))
    job = ObjectsJob(JOB, "bucket", lambda remark: selection.opened(client, remark), (local,))
    before = keys_of(local)
    with pytest.raises(LifeboatError):
        objects_backup.back_up(job)
    assert keys_of(local) == before


def test_settings_alone_are_a_backup_that_no_other_builds_on(shop: Shop, local: Place) -> None:
    first = shop.back_up(local)
    settings = shop.back_up(local, mode="metadata_only")
    assert {file.role for file in manifest_of(local, settings).files} == {"settings", "files", "needs"}
    assert "objects" not in settings.statistics and settings.copies[0].is_proved
    assert shop.back_up(local).base == first.id


def test_a_backup_whose_manifest_somebody_touched_is_no_base(shop: Shop, s3: S3Client, site: Place) -> None:
    first, second = shop.back_up(site), shop.back_up(site)
    store = t.cast(BucketStore, site.store)
    bucket, key = store.place_of(layout.manifest(JOB, second.id))
    s3.put_object(bucket, key, b"{}")
    third = shop.back_up(site)
    assert third.base == first.id
    assert any("written 2 times" in words for words in third.warnings)
    bucket, key = store.place_of(layout.manifest(JOB, third.id))
    s3.delete(bucket, key)  # leaves a delete marker
    assert shop.back_up(site).base == first.id


def test_what_vanishes_or_changes_during_the_run_is_as_it_is_then(shop: Shop, local: Place) -> None:
    changed = threading.Event()

    def meddle(_step: str) -> None:
        if not changed.is_set():
            changed.set()  # before anything else: what follows makes steps, too
            shop.delete("f0299")
            shop.put("f0298", b"written during the run")

    class Meddling:
        """The listing is complete before anybody meddles."""

        def __init__(self, source: t.Any) -> None:
            self._source = source

        def __getattr__(self, name: str) -> t.Any:
            return getattr(self._source, name)

        def items(self, collection: str) -> t.Iterator[t.Any]:
            items = list(self._source.items(collection))
            watch(meddle)
            return iter(items)

    selection = BucketSelection((shop.name,))
    job = ObjectsJob(JOB, "bucket", lambda remark: Meddling(selection.opened(shop.client, remark)), (local,))
    try:
        result = objects_backup.back_up(job)
    finally:
        with contextlib.suppress(ValueError):
            while True:
                unwatch(meddle)
    rows = rows_of(local, result)
    assert changed.is_set() and f"{shop.name}/f0299" not in rows
    assert rows[f"{shop.name}/f0298"].sha256 == hashlib.sha256(b"written during the run").hexdigest()
    assert result.statistics["objects"] == 299 and result.copies[0].is_proved


class Host:
    """A host with the command and a job for a bucket."""

    def __init__(self, folder: Path, server: servers.MinioServer, shop: Shop, place: Place) -> None:
        self.command = folder / "lifeboat"
        self.command.write_bytes(command_for(sys.executable))
        self.command.chmod(0o755)
        secret = folder / "minio.key"
        secret.write_text(server.secret_key, encoding="ascii")
        secret.chmod(0o600)
        login = {
            "endpoint_url": server.endpoint,
            "access_key": server.access_key,
            "secret_key_file": str(secret),
        }
        job = {"kind": "bucket", "source": login, "buckets": [shop.name], "repositories": ["local"]}
        document = {
            "repositories": {"local": {"path": t.cast(DirectoryStore, place.store).name}},
            "jobs": {JOB: {**job, "objectives": {"rpo_hours": 1}}},
        }
        self.config = folder / "config.json"
        self.config.write_text(json.dumps(document), encoding="utf-8")
        self.config.chmod(0o600)

    def run(self, *words: str) -> tuple[int, dict[str, t.Any]]:
        """Run the command and return its exit code and answer."""
        given = [str(self.command), "--config", str(self.config), "--json", *words]
        environment = {**os.environ, "XDG_CACHE_HOME": str(self.config.parent / "cache")}
        ended = warm_python.host_command(given, environment)
        assert "Traceback" not in ended.stderr
        return ended.returncode, json.loads(ended.stdout)


def test_the_host_command_backs_up_flags_and_acknowledges(
    shop: Shop, s3_server: servers.MinioServer, local: Place, tmp_path: Path
) -> None:
    host = Host(tmp_path, s3_server, shop, local)
    assert host.run("check")[0] == 0
    code, first = host.run("run", JOB)
    assert code == 0 and first["statistics"]["objects"] == 300
    code, status = host.run("status")
    assert code == 0 and status["jobs"][0]["kind"] == "bucket"
    shop.delete(*(f"f{number:04}" for number in range(150)))
    code, second = host.run("run", JOB)
    assert code == 3 and second["error"]["guard"] == "mass_delete" and second["id"] != first["id"]
    assert host.run("status")[0] == 1
    code, listed = host.run("list", JOB)
    assert [each["flagged"] for each in listed["jobs"][0]["backups"]] == [False, True]
    assert host.run("show", JOB, "latest_good")[1]["id"] == first["id"]
    code, acknowledged = host.run("run", JOB, "--acknowledge")
    assert code == 0 and acknowledged["acknowledged"] == second["id"]
    assert host.run("show", JOB, "latest_good")[1]["id"] == second["id"]
    assert host.run("status")[0] == 0
    assert host.run("run", JOB, "--full")[1]["statistics"]["read_objects"] == 150
    code, settings = host.run("run", JOB, "--metadata-only")
    assert code == 0 and settings["statistics"]["mode"] == "metadata_only"
    assert host.run("run", JOB, "--on-shrink", "warn")[0] == 2


def test_the_host_command_refuses_an_empty_bucket_with_its_own_code(
    shop: Shop, s3_server: servers.MinioServer, local: Place, tmp_path: Path
) -> None:
    host = Host(tmp_path, s3_server, shop, local)
    shop.delete(*(f"f{number:04}" for number in range(300)))
    code, answer = host.run("run", JOB)
    assert (code, answer["error"]["guard"]) == (3, "source")
    assert host.run("check")[0] == 0, "a new application has nothing yet"
    assert host.run("run", JOB, "--allow-empty")[0] == 0
    assert host.run("check")[0] == 3, "what was there at the last run is missed"
