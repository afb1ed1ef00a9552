# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
import pathlib
import threading
import typing as t

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import DamagedError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository import layout
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.directory import DirectoryStore
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.manifest import (
    Manifest,
    StoredFile,
    parse_file_list,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.publish import Contents, Run
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.store import Entry
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.stored_files import (
    needed_files,
    plain_chunks,
)

JOB = "uploads"
CONTENTS = Contents("bucket", {}, {}, {})


@pytest.fixture
def store(tmp_path: pathlib.Path) -> DirectoryStore:
    return DirectoryStore(str(tmp_path))


@pytest.fixture
def run(store: DirectoryStore) -> t.Iterator[Run]:
    started = Run(store, JOB)
    yield started
    started.abandon()
    assert [each.name for each in threading.enumerate() if each.name.startswith("stream-")] == []


def listed(store: DirectoryStore, manifest: Manifest) -> list[StoredFile]:
    data = b"".join(store.read(layout.data(JOB, manifest.id, layout.FILES)))
    return parse_file_list(data, "files.jsonl")


def test_packs_come_first_by_number_whatever_was_finished_first(store: DirectoryStore, run: Run) -> None:
    index = run.open_file("index.jsonl", "index", "zstd")
    packs = [run.open_file(f"pack-{number:04d}.tar", "pack", "zstd", number=number) for number in range(3)]
    for file in (packs[2], index, packs[0], packs[1]):
        file.add(b"contents")
        stored = file.finish()
    assert run.number_of(stored) == 1
    settings = run.store_file("settings.json", "settings", [b"{}"], "none")
    assert run.number_of(settings) == 4
    manifest = run.publish(CONTENTS)
    names = ["pack-0000.tar.zst", "pack-0001.tar.zst", "pack-0002.tar.zst", "index.jsonl.zst", "settings.json"]
    assert [file.name for file in listed(store, manifest)] == names
    assert [file.role for file in manifest.files] == ["index", "settings", "files", "needs"]


def test_every_framed_file_can_be_read_like_any_other(store: DirectoryStore, run: Run) -> None:
    index = run.open_file("index.jsonl", "index", "zstd")
    pack = run.open_file("pack-0000.tar", "pack", "gzip", number=0)
    for file in (index, pack):
        assert file.add(b"first ")[0] == 0
        assert file.add(b"second")[0] > 0
        assert file.plain_size == 12
        file.finish()
    manifest = run.publish(CONTENTS)
    data = {
        each.file.role: b"".join(plain_chunks(store, JOB, each.owner, each.file))
        for each in needed_files(store, manifest)
    }
    assert (data["index"], data["pack"]) == (b"first second", b"first second")


def test_an_aborted_pack_leaves_nothing_and_gives_its_number_back(store: DirectoryStore, run: Run) -> None:
    first = run.open_file("pack-0000.tar", "pack", "none", number=0)
    first.add(b"of an object that changes")
    first.abort()
    second = run.open_file("pack-0000.tar", "pack", "none", number=0)
    second.add(b"as it is now")
    second.finish()
    manifest = run.publish(CONTENTS)
    [file] = listed(store, manifest)
    assert b"".join(plain_chunks(store, JOB, manifest.id, file)) == b"as it is now"


def test_nothing_is_published_while_a_pack_is_missing(store: DirectoryStore, run: Run) -> None:
    pack = run.open_file("pack-0001.tar", "pack", "none", number=1)
    pack.finish()
    with pytest.raises(ValueError, match="missing"):
        run.publish(CONTENTS)
    assert list(store.entries(layout.manifests(JOB))) == []


def test_only_packs_have_a_number(run: Run) -> None:
    with pytest.raises(ValueError, match="number"):
        run.open_file("index.jsonl", "index", "none", number=0)
    with pytest.raises(ValueError, match="number"):
        run.open_file("pack-0000.tar", "pack", "none")


def test_a_file_of_another_size_than_was_sent_is_refused(
    store: DirectoryStore, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = run.open_file("pack-0000.tar", "pack", "none", number=0)
    file.add(b"contents")
    finish = file._upload.finish

    def short() -> Entry:
        return dataclasses.replace(finish(), size=7)

    monkeypatch.setattr(file._upload, "finish", short)
    with pytest.raises(Exception, match="8 bytes were sent and 7 are there"):
        file.finish()
    assert run.files == []


def test_only_packs_may_lack_a_plain_digest(store: DirectoryStore, run: Run) -> None:
    pack = run.open_file("pack-0000.tar", "pack", "none", number=0)
    pack.add(b"contents")
    file = pack.finish()
    assert StoredFile.from_fields(file.fields()) == file
    with pytest.raises(ValueError, match="plain SHA-256"):
        StoredFile.from_fields({**file.fields(), "role": "index"})


def test_a_damaged_pack_is_noticed_although_it_has_no_plain_digest(
    store: DirectoryStore, run: Run, tmp_path: pathlib.Path
) -> None:
    pack = run.open_file("pack-0000.tar", "pack", "none", number=0)
    pack.add(b"contents")
    file = pack.finish()
    path = tmp_path / layout.data(JOB, run.id, file.name)
    path.chmod(0o600)
    path.write_bytes(b"c0ntents")
    with pytest.raises(DamagedError, match="SHA-256"):
        list(plain_chunks(store, JOB, run.id, file))
