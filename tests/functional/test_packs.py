# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Packs in real repositories, opened by programs that know nothing of Lifeboat."""

from __future__ import annotations

import hashlib
import itertools
import subprocess
import sys
import tarfile
import threading
import typing as t
from pathlib import Path

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects import gather
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.member_names import KEY_FIELD
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.pack_reader import members
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.pack_writer import PackWriter
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.rows import Row
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.bucket import BucketStore
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.directory import DirectoryStore
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.publish import Contents, Run
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.store import Store
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.stored_files import (
    needed_files,
    plain_chunks,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3.client import S3Client
from ansible_collections.lifeboat.recovery.tests.functional import key_corpus
from ansible_collections.lifeboat.recovery.tests.functional.s3_fixtures import bucket, s3, s3_server
from ansible_collections.lifeboat.recovery.tests.unit.plugins.module_utils._engine.objects.pack_model import (
    COLLECTION,
    MemorySource,
    rows_of,
)

__all__ = ["bucket", "s3", "s3_server"]

JOB = "corpus"
MIB = 1024 * 1024
LARGE = {"large/one": 17 * MIB, "large/two": 40 * MIB + 1, "medium": 3 * MIB}  # own packs, and frames of its own
MORE_KEYS = ["caf\udce9", "caf\udcc3", "nul\0", "/".join(["deep" * 30] * 40), "a" * 1024, "%~", "p%", "p%/c"]


@pytest.fixture(params=["directory", "bucket"])
def store(request: pytest.FixtureRequest, tmp_path: Path, s3: S3Client, bucket: str) -> Store:
    if request.param == "bucket":
        return BucketStore(s3, bucket, "below")
    (tmp_path / "repository").mkdir()
    return DirectoryStore(str(tmp_path / "repository"))


def corpus() -> dict[str, bytes]:
    """Return every key that is known to be odd, also those that no server takes."""
    objects = {each.key: each.body for each in key_corpus.examples()}
    objects.update({key: key.encode("utf-8", "surrogateescape") for key in MORE_KEYS})
    objects.update({key: (key.encode() * (size // 4))[:size] for key, size in LARGE.items()})
    return objects


def unpacked(store: Store, owner: str, names: t.Sequence[str], below: Path) -> dict[str, bytes]:
    """Open each pack with `zstd -d | tar x` in a folder of its own; return the digest of every file by its true key."""
    found: dict[str, bytes] = {}
    for number, name in enumerate(names):
        folder = below / f"pack-{number}"
        folder.mkdir(parents=True)
        pack = folder.with_suffix(".tar.zst")
        with open(pack, "wb") as file:
            file.writelines(store.read(f"data/{JOB}/{owner}/{name}"))
        done = subprocess.run(
            ["sh", "-e", "-c", 'zstd -q -d -c "$1" > plain.tar; tar -x -f plain.tar', "sh", str(pack)],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        with tarfile.open(folder / "plain.tar") as archive:
            listed = archive.getmembers()
            for one in listed:
                key = one.pax_headers.get(KEY_FIELD, one.name.partition(f"d/{COLLECTION}/")[2])
                assert key not in found
                found[key] = hashlib.sha256((folder / one.name).read_bytes()).digest()
        files = [path for path in (folder / "d").rglob("*") if path.is_file()] if (folder / "d").is_dir() else []
        assert len(files) == len(listed)
        assert {path.name for path in folder.iterdir()} <= {"plain.tar", "d"}  # nothing has escaped
    return found


def test_programs_find_every_object_of_the_corpus_under_its_true_key(store: Store, tmp_path: Path) -> None:
    source = MemorySource(corpus())
    run = Run(store, JOB)
    rows, remarks = rows_of(source, PackWriter(run, pack_size=MIB), threads=8)
    manifest = run.publish(Contents("bucket", {}, {}, {}))
    run.close()
    names = [each.file.name for each in needed_files(store, manifest) if each.file.role == "pack"]
    assert remarks == []
    assert len(names) >= 4
    found = unpacked(store, manifest.id, names, tmp_path / "unpacked")
    assert found == {key: hashlib.sha256(data).digest() for key, data in source.objects.items()}
    assert {row.key for row in rows} == set(source.objects)


def test_every_object_is_read_back_and_every_pack_is_what_the_lists_promise(store: Store) -> None:
    source = MemorySource(corpus())
    run = Run(store, JOB)
    rows, _remarks = rows_of(source, PackWriter(run), threads=8)
    manifest = run.publish(Contents("bucket", {}, {}, {}))
    run.close()
    wanted: list[tuple[str, Row]] = [(COLLECTION, row) for row in reversed(rows)]
    found = {row.key: b"".join(chunks) for _name, row, chunks in members(store, JOB, wanted)}
    assert found == source.objects
    for each in needed_files(store, manifest):
        for _chunk in plain_chunks(store, JOB, each.owner, each.file):
            pass


def test_a_large_object_that_changes_leaves_no_parts_behind(s3: S3Client, bucket: str) -> None:
    source = MemorySource({"large": bytes(40 * MIB), "small": b"x"})
    reads = itertools.count(1)

    def hook(call: str, key: str) -> None:
        if call == "read_range" and next(reads) == 9:
            source.objects["large"] = b"1" * 20 * MIB

    source.hook = hook
    store = BucketStore(s3, bucket, "below")
    run = Run(store, JOB)
    rows, remarks = rows_of(source, PackWriter(run, "none"))
    run.publish(Contents("bucket", {}, {}, {}))
    run.close()
    assert remarks == []
    assert [row.size for row in rows] == [20 * MIB, 1]
    packs = [entry.key for entry in store.entries("data/") if "pack-" in entry.key]
    assert len(packs) == 2
    assert list(s3.list_uploads(bucket, "")) == []
    assert not [each for each in threading.enumerate() if each.name.startswith(("gather", "stream-", "lifeboat-part"))]


_LARGE_BACKUP = """
import os, sys, tempfile
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects import changes, gather, pack_writer
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.rows import Item
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.source import Described
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository import directory, publish

class Source:
    noise = os.urandom(1 << 20)

    def describe(self, collection, item):
        return Described(item, "", {})

    def read_into(self, collection, item, offset, room):
        for start in range(0, len(room), 1 << 20):
            piece = room[start : start + (1 << 20)]
            piece[:] = self.noise[: len(piece)]
            yield len(piece)

class Nowhere:
    size = 0

    def write(self, chunk):
        self.size += len(chunk)

    def finish(self):
        return self

    def abort(self):
        pass

with tempfile.TemporaryDirectory() as folder:
    store = directory.DirectoryStore(folder)
    run = publish.Run(store, "large")
    store.upload = lambda key, estimate: Nowhere()
    packs = pack_writer.PackWriter(run)
    wanted = (changes.Wanted(Item(f"k{number}", 128 << 20, "e", "1"), None, False) for number in range(3))
    assert len(list(gather.gather(Source(), "c", wanted, packs, print))) == 3
    packs.finish()
    run.close()
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


def test_large_objects_need_little_memory() -> None:
    root = Path(gather.__file__).parents[7]
    done = subprocess.run([sys.executable, "-c", _LARGE_BACKUP], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 130 * 1024  # KiB; an upload to a bucket adds 64 MiB
