# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Restores of buckets on a real MinIO, from repositories in a directory and in a bucket."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import itertools
import json
import os
import signal
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import (
    GuardRefusal,
    IncompleteError,
    LifeboatError,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host import (
    job_lock,
    objects_backup,
    objects_history,
    objects_restore,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.object_sources import (
    BucketSelection,
    FileSelection,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.objects_choice import Choice
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.objects_destination import Folder, Server
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.objects_job import ObjectsJob
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.objects_restore import (
    Quarantine,
    RestorePlan,
    RestoreRequest,
    RestoreResult,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.place import Place
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.selection import Selection
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository import identity, layout
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.bucket import BucketStore
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.directory import DirectoryStore
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3.client import S3Client
from ansible_collections.lifeboat.recovery.tests.functional.s3_fixtures import VERSIONED, endpoint_of
from servers import MinioServer, VersityServer

pytest_plugins = ("ansible_collections.lifeboat.recovery.tests.functional.s3_fixtures",)
_numbers = itertools.count(1)
HEADERS = {"content-type": "text/x-note", "x-amz-meta-owner": "archive", "cache-control": "no-store"}
BIG = bytes(range(256)) * 4096 * 17  # 17 MiB: has a pack of its own, and is restored in parts
PARTS = (b"p" * 5 * 1024 * 1024, b"q" * 100_000)
CONTENTS: dict[str, bytes] = {
    **{f"reports/2026/{number:03}.txt": f"report {number} ".encode() * 50 for number in range(40)},
    "empty": b"",
    "odd/ä b+c%2F&<>.txt": b"odd name",
}


class World:
    """A bucket that is backed up into two repositories, and what is asked of them."""

    def __init__(self, client: S3Client, folder: Path) -> None:
        self.client = client
        self.folder = folder
        self.number = next(_numbers)
        self.job = f"documents-{self.number}"
        self.bucket = self.new_bucket()
        disk = folder / "disk"
        disk.mkdir()
        self.stores = (DirectoryStore(str(disk)), BucketStore(client, self.new_bucket(), "backups"))
        for store in self.stores:
            identity.initialise(store)
        self.places = (Place("disk", self.stores[0]), Place("site", self.stores[1]))

    def new_bucket(self) -> str:
        name = f"restore-{next(_numbers)}"
        self.client.create_bucket(name)
        return name

    def put(
        self, contents: t.Mapping[str, bytes], bucket: str = "", headers: t.Mapping[str, str] | None = None
    ) -> None:
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            put = self.client.put_object
            list(pool.map(lambda each: put(bucket or self.bucket, *each, headers or HEADERS), contents.items()))

    def put_parts(self, key: str, parts: t.Sequence[bytes]) -> None:
        """Write an object in parts, so that its ETag tells of them."""
        upload = self.client.create_upload(self.bucket, key, HEADERS)
        sent = [self.client.put_part(self.bucket, key, upload, n, (part,)) for n, part in enumerate(parts, 1)]
        self.client.complete_upload(self.bucket, key, upload, sent)

    def contents(self, bucket: str = "") -> dict[str, bytes]:
        name = bucket or self.bucket
        keys = [each.key for each in self.client.list_objects(name)]
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            return dict(zip(keys, pool.map(lambda key: self.client.get_bytes(name, key, 1 << 28)[0], keys)))

    def back_up(self, **changes: t.Any) -> str:
        selection = BucketSelection((self.bucket,))
        job = ObjectsJob(self.job, "bucket", lambda remark: selection.opened(self.client, remark), self.places)
        return objects_backup.back_up(dataclasses.replace(job, **changes)).id

    def request(self, to: str = "", **changes: t.Any) -> RestoreRequest:
        names = {self.bucket: to} if to else {}
        given = RestoreRequest(Choice(self.job), self.places, Server(self.client), map=names)
        return dataclasses.replace(given, **changes)

    def plan(self, to: str = "", **changes: t.Any) -> RestorePlan:
        return objects_restore.plan(self.request(to, **changes))

    def restore(self, to: str = "", **changes: t.Any) -> RestoreResult:
        return objects_restore.restore(self.plan(to, **changes))

    def restore_over(self, **changes: t.Any) -> RestoreResult:
        return self.restore(confirm=(self.bucket,), **changes)


@pytest.fixture
def world(s3: S3Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(job_lock, "_FOLDERS", (str(tmp_path),))
    made = World(s3, tmp_path)
    made.put(CONTENTS)
    made.back_up()
    return made


@pytest.mark.parametrize("number", [0, 1], ids=["from a directory", "from a bucket"])
def test_a_bucket_comes_back_whole_in_another_bucket(world: World, number: int) -> None:
    wanted = {**CONTENTS, "big.bin": BIG, "parts.bin": b"".join(PARTS)}
    world.put({"big.bin": BIG})
    world.put_parts("parts.bin", PARTS)
    world.back_up()
    to = world.new_bucket()

    result = world.restore(to, places=world.places[number : number + 1])

    assert world.contents(to) == wanted
    assert (result.done.written, result.done.failed, result.differences) == (len(wanted), 0, 0)
    for key in ("empty", "big.bin", "parts.bin", "reports/2026/001.txt"):
        theirs, ours = world.client.head(world.bucket, key), world.client.head(to, key)
        assert theirs is not None and ours is not None
        assert {name: ours.fields.get(name) for name in HEADERS} == HEADERS
        assert theirs.etag == ours.etag or key == "big.bin"
    assert not world.plan(to).changed


def test_a_bucket_that_is_not_there_is_made(world: World) -> None:
    to = f"restore-{next(_numbers)}"

    world.restore(to, selection=Selection(keys=("empty",)))

    assert world.contents(to) == {"empty": b""}


def test_only_what_was_lost_or_overwritten_is_moved(world: World) -> None:
    world.put({"reports/2026/001.txt": b"encrypted"})
    world.client.delete(world.bucket, "reports/2026/002.txt")
    world.put({"later": b"mine"})

    planned = world.plan()
    result = world.restore_over()

    assert (planned.tally.counts["overwrite"], planned.tally.counts["write"]) == (1, 1)
    assert result.done.written == 2
    assert world.contents() == {**CONTENTS, "later": b"mine"}


def test_nothing_is_overwritten_without_the_name_of_the_bucket(world: World) -> None:
    world.put({"empty": b"no more"})

    with pytest.raises(GuardRefusal) as refusal:
        world.restore()

    assert refusal.value.guard == "confirm" and world.contents()["empty"] == b"no more"


def test_an_exact_restore_of_a_prefix_removes_only_there(world: World) -> None:
    world.put({"reports/2026/ransom.txt": b"pay", "notes/mine": b"mine"})

    world.restore_over(exact=True, selection=Selection(prefix="reports/"))

    assert world.contents() == {**CONTENTS, "notes/mine": b"mine"}


def test_keys_that_minio_refuses_keep_their_names_on_the_server_that_has_listed_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_lock, "_FOLDERS", (str(tmp_path),))
    odd = {"e\\..\\f": b"one", "folder__XLDIR__/g": b"two", "h/ . /i": b"three"}
    (tmp_path / "versity").mkdir()
    with VersityServer(tmp_path / "versity") as server:
        world = World(S3Client(endpoint_of(server)), tmp_path)
        world.put({**CONTENTS, **odd})
        before = world.contents()
        assert odd.items() <= before.items(), "this server takes them"
        world.back_up()
        assert world.plan(confirm=(world.bucket,), exact=True).tally.changes == 0
        for key in odd:
            world.client.delete(world.bucket, key)
        assert world.restore_over(exact=True).done.written == len(odd)
        assert world.contents() == before
        world.client.close()


def test_a_removed_object_keeps_its_versions(world: World) -> None:
    world.client.document("PUT", world.bucket, "versioning", VERSIONED)
    world.put({"ransom.txt": b"pay"})

    world.restore_over(exact=True)

    versions = [each for each in world.client.list_versions(world.bucket) if each.key == "ransom.txt"]
    assert [each.is_delete_marker for each in versions] == [True, False]


def test_what_is_overwritten_or_removed_is_saved_by_the_server(world: World) -> None:
    world.put({"reports/2026/001.txt": b"encrypted", "ransom.txt": b"pay"}, headers={"content-type": "x/evidence"})
    shelf = world.new_bucket()

    result = world.restore_over(exact=True, quarantine=Quarantine(Server(world.client), shelf, "case 1"))

    saved = world.contents(shelf)
    prefix = result.quarantine[len(shelf) + 1 :]
    assert prefix.startswith(f"case 1/{world.job}-")
    listing = [json.loads(line) for line in saved.pop(f"{prefix}listing.jsonl").splitlines()]
    assert saved == {
        f"{prefix}{world.bucket}/ransom.txt": b"pay",
        f"{prefix}{world.bucket}/reports/2026/001.txt": b"encrypted",
    }
    assert sorted(line[0] for line in listing) == ["ransom.txt", "reports/2026/001.txt"]
    kept = world.client.head(shelf, f"{prefix}{world.bucket}/ransom.txt")
    assert kept is not None and kept.fields["content-type"] == "x/evidence"
    assert world.contents() == CONTENTS


def test_what_is_overwritten_can_be_saved_into_a_folder(world: World) -> None:
    world.put({"a/../b".replace("..", ".b"): b"x", "empty": b"evidence"})
    shelf = str(world.folder / "shelf")

    result = world.restore_over(exact=True, quarantine=Quarantine(Folder(shelf), shelf))

    files = {path.name: path.read_bytes() for path in Path(result.quarantine).rglob("*") if path.is_file()}
    assert files["empty"] == b"evidence" and files["b"] == b"x" and "listing.jsonl" in files


def test_a_forged_object_is_seen_through_by_its_content(world: World) -> None:
    """Whoever may put an object to MinIO may also say which ETag and time it has."""
    key = "reports/2026/001.txt"
    there = world.client.head(world.bucket, key)
    assert there is not None
    forged = bytes(reversed(CONTENTS[key]))
    # An ETag that the object has already is refused; another one in between gets round that.
    for etag in ("0" * 32, there.etag):
        world.client.put_object(world.bucket, key, forged, {**HEADERS, "x-minio-source-etag": etag})

    assert world.plan().tally.counts["overwrite"] == 0
    assert world.plan(by_content=True).tally.counts["overwrite"] == 1
    world.restore_over(by_content=True)

    assert world.contents() == CONTENTS


@pytest.mark.parametrize("conflicts", ["skip", "rename", "refuse"])
def test_what_differs_stays_when_it_is_not_to_be_overwritten(world: World, conflicts: str) -> None:
    world.put({"empty": b"mine"})
    backup_id = world.plan().manifest.id

    if conflicts == "refuse":
        with pytest.raises(GuardRefusal):
            world.restore(conflicts=conflicts)
    else:
        world.restore(conflicts=conflicts)

    found = world.contents()
    assert found["empty"] == b"mine"
    assert found.get(f"empty.restored-{backup_id}") == (b"" if conflicts == "rename" else None)


def test_a_damaged_pack_in_one_repository_is_read_from_the_other(world: World) -> None:
    for pack in (world.folder / "disk" / "data").rglob("pack-*"):
        data = bytearray(pack.read_bytes())
        data[len(data) // 2] ^= 1
        pack.chmod(0o600)
        pack.write_bytes(data)
    to = world.new_bucket()

    result = world.restore(to)

    assert world.contents(to) == CONTENTS
    assert result.repository == "site" and any("disk cannot be used" in note for note in result.notes)


@pytest.mark.parametrize("lost", ["", "data/"], ids=["all of it", "its stored files"])
@pytest.mark.parametrize("number", [0, 1], ids=["the directory", "the bucket"])
def test_what_one_repository_has_lost_comes_from_the_other(world: World, number: int, lost: str) -> None:
    store = world.stores[number]
    for entry in list(store.entries(lost)):
        store.delete(entry.key)
    to = world.new_bucket()

    result = world.restore(to)

    assert world.contents(to) == CONTENTS
    assert result.is_complete and result.repository == world.places[1 - number].name
    assert any(world.places[number].name in note for note in result.notes)


def test_a_restore_goes_on_with_the_next_copy_for_what_the_first_one_cannot_give(world: World) -> None:
    many = {f"random/{number:02}": os.urandom(700_000) for number in range(12)}
    world.put(many)
    world.back_up()
    packs = [path for path in (world.folder / "disk" / "data").rglob("pack-*") if path.stat().st_size > 700_000]
    assert len(packs) == 1
    data = bytearray(packs[0].read_bytes())
    data[len(data) // 2] ^= 1
    packs[0].chmod(0o600)
    packs[0].write_bytes(data)
    to, said = world.new_bucket(), list[str]()

    result = objects_restore.restore(world.plan(to), said.append)

    assert world.contents(to) == {**CONTENTS, **many}
    assert result.is_complete and result.repository == "site"
    assert result.done.written == len(CONTENTS) + len(many)  # nothing is written twice
    [note] = [note for note in result.notes if "disk cannot be used" in note]
    damaged = int(note.rpartition(": ")[2].split()[0])
    assert 0 < damaged < len(many) // 2  # the others came from the first copy
    assert [line.rpartition(" from ")[2] for line in said if "restoring" in line] == ["disk", "site"]


def test_a_bucket_goes_to_a_folder_and_from_a_backup_of_that_to_a_bucket(world: World) -> None:
    out = world.folder / "out"
    world.restore(destination=Folder(str(out)))
    root = out / world.bucket
    assert {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()} == CONTENTS
    assert not world.plan(destination=Folder(str(out))).changed

    job = ObjectsJob(f"{world.job}-files", "files", FileSelection((str(root),)).opened, world.places)
    objects_backup.back_up(job)
    to = world.new_bucket()
    request = RestoreRequest(Choice(job.name), world.places, Server(world.client), map={str(root): to})
    objects_restore.restore(objects_restore.plan(request))

    found = world.contents(to)
    assert {key: found[key] for key in CONTENTS} == CONTENTS


@pytest.fixture
def crowd(world: World) -> dict[str, str]:
    """Return ids of two backups: of an object `p/c`, and of an object `p`, below which MinIO would list nothing."""
    ids = {}
    for key in ("p/c", "p"):
        world.put({key: key.encode()})
        ids[key] = world.back_up()
        world.client.delete(world.bucket, key)
    return ids


def alone(crowd: t.Mapping[str, str], world: World, key: str) -> dict[str, t.Any]:
    return {"choice": Choice(world.job, crowd[key]), "selection": Selection(keys=(key,))}


@pytest.mark.parametrize("keys", [("p", "p/c"), ("p/c", "p")])
def test_objects_that_come_into_a_folder_one_by_one_lie_beside_what_stands_in_their_way(
    world: World, crowd: dict[str, str], keys: tuple[str, str]
) -> None:
    folder = Folder(str(world.folder / "out"))
    results = [world.restore(destination=folder, **alone(crowd, world, key)) for key in keys]
    assert [result.remarks for result in results] == [0, 2]  # as what it is written, and why
    assert all(result.is_complete for result in results)
    found = {path.read_text(): path for path in (world.folder / "out").rglob("*") if path.is_file()}
    assert set(found) == {"p", "p/c"} and found[keys[0]] == world.folder / "out" / world.bucket / keys[0]
    assert all(not world.plan(destination=folder, **alone(crowd, world, key)).changed for key in keys)


def test_an_object_that_the_server_hides_below_another_one_is_reported_when_it_is_restored_alone(
    world: World, crowd: dict[str, str]
) -> None:
    to = world.new_bucket()
    world.restore(to, **alone(crowd, world, "p"))
    with pytest.raises(IncompleteError) as error:
        world.restore(to, **alone(crowd, world, "p/c"))
    assert "p/c: it is not listed afterwards" in error.value.cause and "MinIO hides" in error.value.cause
    assert error.value.result.differences == 1
    assert world.client.get_bytes(to, "p/c", 10)[0] == b"p/c" and set(world.contents(to)) == {"p"}


def test_no_key_leads_out_of_a_folder(world: World) -> None:
    ways_out = {"/etc/lifeboat-x": b"1", "..b/x": b"2", "a/.../b": b"3", "%lb-dots/x": b"4"}
    world.put(ways_out)
    world.back_up()
    out = world.folder / "out"

    world.restore(destination=Folder(str(out)), selection=Selection())

    everywhere = {
        path for path in world.folder.rglob("*") if path.is_file() and world.folder / "disk" not in path.parents
    }
    assert {path for path in everywhere if out not in path.parents and path.suffix != ".lock"} == set()
    assert not os.path.exists("/etc/lifeboat-x")


def test_an_object_is_restored_as_of_a_moment_and_its_history_tells_when(world: World) -> None:
    first = world.plan().manifest
    world.put({"empty": b"second"})
    world.back_up()
    question = objects_history.Question(world.job, world.bucket, "empty", world.places)
    states = objects_history.history(question).states

    moment = first.started
    world.restore_over(choice=Choice(world.job, as_of=moment), selection=Selection(keys=("empty",)))

    assert [each["size"] for each in states] == [6, 0] and states[1]["backups"] == [first.id]
    assert world.contents()["empty"] == b""


def test_the_settings_of_a_bucket_come_back_too(world: World) -> None:
    tags = b"<Tagging><TagSet><Tag><Key>owner</Key><Value>archive</Value></Tag></TagSet></Tagging>"
    world.client.document("PUT", world.bucket, "versioning", VERSIONED)
    world.client.document("PUT", world.bucket, "tagging", tags)
    world.back_up()
    to = f"restore-{next(_numbers)}"

    result = world.restore(to, what="all", selection=Selection())

    assert b"Enabled" in world.client.document("GET", to, "versioning")
    assert b"archive" in world.client.document("GET", to, "tagging")
    assert result.settings >= 2 and world.contents(to) == CONTENTS
    assert not world.plan(to, what="all").changed


def test_settings_that_an_earlier_backup_wrote_come_back_after_that_one_is_removed(world: World) -> None:
    tags = "".join(f"<Tag><Key>k{n}</Key><Value>v{n}</Value></Tag>" for n in range(6))
    world.client.document("PUT", world.bucket, "tagging", f"<Tagging><TagSet>{tags}</TagSet></Tagging>".encode())
    first, second = world.back_up(), world.back_up()
    for store in world.stores:
        store.delete(layout.manifest(world.job, first))
        assert layout.data(world.job, second, "settings.json.zst") not in {each.key for each in store.entries("data/")}
    to = f"restore-{next(_numbers)}"

    world.restore(to, what="metadata", selection=Selection())

    assert world.client.document("GET", to, "tagging").count(b"<Tag>") == 6
    assert not any(world.plan(to, what="metadata").changed for _number in range(5))


def test_settings_that_differ_are_overwritten_only_with_the_name_of_the_bucket(world: World) -> None:
    tags = "<Tagging><TagSet><Tag><Key>owner</Key><Value>{}</Value></Tag></TagSet></Tagging>"
    world.client.document("PUT", world.bucket, "tagging", tags.format("archive").encode())
    world.back_up()
    world.client.document("PUT", world.bucket, "tagging", tags.format("thief").encode())

    with pytest.raises(GuardRefusal):
        world.restore(what="metadata")
    world.restore_over(what="metadata")

    assert b"archive" in world.client.document("GET", world.bucket, "tagging")


def test_settings_that_somebody_has_set_stay_when_only_missing_ones_are_wanted(world: World) -> None:
    tags = "<Tagging><TagSet><Tag><Key>owner</Key><Value>{}</Value></Tag></TagSet></Tagging>"
    world.client.document("PUT", world.bucket, "versioning", VERSIONED)
    world.client.document("PUT", world.bucket, "tagging", tags.format("archive").encode())
    world.back_up()
    to = f"restore-{next(_numbers)}"
    world.client.create_bucket(to)
    world.client.document("PUT", to, "tagging", tags.format("inventory").encode())

    world.restore(to, what="all", selection=Selection(), overwrite_settings=False)

    assert b"Enabled" in world.client.document("GET", to, "versioning")
    assert b"inventory" in world.client.document("GET", to, "tagging")
    assert not world.plan(to, what="all", overwrite_settings=False).changed


def test_a_restore_never_writes_into_a_repository(world: World) -> None:
    bucket, _key = world.stores[1].place_of("")
    with pytest.raises(GuardRefusal) as refusal:
        world.restore(bucket)
    assert refusal.value.guard == "repository"


def test_a_target_that_cannot_be_looked_into_is_not_told_as_a_damaged_backup(world: World) -> None:
    world.client.put_object(world.bucket, layout.IDENTITY, b"somebody else's")
    with pytest.raises(LifeboatError) as error:
        world.plan(confirm=(world.bucket,))
    assert f"s3://{world.bucket}: {layout.IDENTITY} cannot be read" in str(error.value)
    assert "exclude it" in error.value.remedy
    plan = world.plan(confirm=(world.bucket,), selection=Selection(exclude=(layout.IDENTITY,)))
    assert plan.tally.changes == 0


_RUN = """
import os, signal, sys
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine import steps
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host import objects_restore
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.objects_choice import Choice
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.objects_destination import Server
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.place import Place
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects import archived_puts
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.directory import DirectoryStore
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3.client import S3Client
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3.endpoint import Endpoint
archived_puts._MOST_MEMBERS = 4  # else all objects are written before the first ones are counted
url, access_key, secret_key, folder, job, bucket, to = sys.argv[1:]
count = 0
def watch(step):
    global count
    count += step == "restore:written"
    if count == 20:
        os.kill(os.getpid(), signal.SIGKILL)
steps.watch(watch)
client = S3Client(Endpoint(url, access_key=access_key, secret_key=secret_key))
places = (Place("disk", DirectoryStore(folder)),)
request = objects_restore.RestoreRequest(Choice(job), places, Server(client), map={bucket: to}, threads=2)
objects_restore.restore(objects_restore.plan(request))
"""


def test_a_restore_that_was_killed_goes_on_where_it_was(world: World, s3_server: MinioServer) -> None:
    to, endpoint = world.new_bucket(), endpoint_of(s3_server)
    words = [endpoint.url, endpoint.access_key, endpoint.secret_key, str(world.folder / "disk"), world.job]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    ended = subprocess.run([sys.executable, "-c", _RUN, *words, world.bucket, to], check=False, env=environment)
    assert ended.returncode == -signal.SIGKILL
    there = world.contents(to)
    assert 0 < len(there) < len(CONTENTS)
    assert all(CONTENTS[key] == data for key, data in there.items())

    result = world.restore(to)

    assert world.contents(to) == CONTENTS
    assert result.done.kept >= len(there) - 1 and result.done.written <= len(CONTENTS) - len(there) + 1
