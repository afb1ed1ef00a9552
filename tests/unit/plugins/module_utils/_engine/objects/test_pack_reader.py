# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
import random
import threading
import typing as t

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import DamagedError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects import pack_reader, row_order
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.pack_reader import member, members
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.pack_writer import PackWriter
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.rows import Row
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.directory import DirectoryStore
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.publish import Run
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.store import (
    Entry,
    UnavailableError,
    Version,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.stream.compression import SUFFIXES
from ansible_collections.lifeboat.recovery.tests.unit.plugins.module_utils._engine.objects.pack_model import (
    COLLECTION,
    MemorySource,
    rows_of,
)

JOB = "uploads"
KIB = 1024


class Backup(t.NamedTuple):
    store: DirectoryStore
    folder: pathlib.Path  # of the packs
    objects: t.Dict[str, bytes]  # noqa: UP006 - evaluated on Python 3.9
    rows: t.List[Row]  # noqa: UP006

    def pairs(self) -> list[tuple[str, Row]]:
        return [(COLLECTION, row) for row in self.rows]

    def overwrite(self, row: Row, data: bytes, after: int = 0) -> None:
        """Damage the frames of a row."""
        assert row.location is not None
        [path] = self.folder.glob(f"pack-{row.location.pack:04d}.*")
        path.chmod(0o600)
        with open(path, "r+b") as file:
            file.seek(row.location.offset + after)
            file.write(data)


def written(folder: pathlib.Path, compression: str = "zstd") -> Backup:
    sizes = [0, 1, 5 * KIB, 30 * KIB, 100 * KIB, 600]
    objects = {f"{n:03d}": random.Random(n).randbytes(sizes[n % 6]) for n in range(90)}
    objects["005"] = random.Random("medium").randbytes(1200 * KIB)
    objects["big"] = random.Random("big").randbytes(4500 * KIB)  # more than is held at once
    store = DirectoryStore(str(folder))
    run = Run(store, JOB)
    rows, _remarks = rows_of(MemorySource(objects), PackWriter(run, compression, pack_size=KIB * KIB))
    run.abandon()
    return Backup(store, folder / "data" / JOB / run.id, objects, rows)


@pytest.fixture
def backup(tmp_path: pathlib.Path) -> t.Iterator[Backup]:
    yield written(tmp_path)
    names = [each.name for each in threading.enumerate()]
    assert [name for name in names if name.startswith(("stream-", "gather", "packs"))] == []


def read_all(backup: Backup, rows: t.Iterable[tuple[str, Row]]) -> dict[str, bytes]:
    return {row.key: b"".join(chunks) for _name, row, chunks in members(backup.store, JOB, rows)}


@pytest.mark.parametrize("compression", SUFFIXES)
def test_all_members_come_back_in_whatever_order_they_are_asked_for(tmp_path: pathlib.Path, compression: str) -> None:
    backup = written(tmp_path, compression)
    pairs = backup.pairs()
    random.Random(1).shuffle(pairs)
    assert read_all(backup, pairs) == backup.objects
    for row in backup.rows[::9]:
        assert b"".join(member(backup.store, JOB, row)) == backup.objects[row.key]


def test_many_rows_are_sorted_in_a_temporary_file(backup: Backup, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_order, "_HELD_ROWS", 7)
    monkeypatch.setattr(row_order, "_BUFFER", 100)
    pairs = backup.pairs()
    random.Random(2).shuffle(pairs)
    placed = list(row_order.in_order_of_packs(pairs))
    assert [one.place for one in placed] == sorted(one.place for one in placed)
    assert sorted(one.row for one in placed) == sorted(backup.rows)
    assert read_all(backup, pairs) == backup.objects


def test_neighbours_are_read_with_one_request(backup: Backup, monkeypatch: pytest.MonkeyPatch) -> None:
    requests: list[tuple[int, int | None]] = []
    read = DirectoryStore.read

    def counted(self: DirectoryStore, key: str, offset: int = 0, length: int | None = None) -> t.Iterator[bytes]:
        requests.append((offset, length))
        return read(self, key, offset, length)

    monkeypatch.setattr(DirectoryStore, "read", counted)
    small = [(name, row) for name, row in backup.pairs() if row.size < 1024 * KIB]
    read_all(backup, small)
    assert len(requests) < 10
    assert len(small) > 70


def test_only_the_frames_of_an_object_are_read(backup: Backup, monkeypatch: pytest.MonkeyPatch) -> None:
    requests: list[int | None] = []
    read = DirectoryStore.read

    def counted(self: DirectoryStore, key: str, offset: int = 0, length: int | None = None) -> t.Iterator[bytes]:
        requests.append(length)
        return read(self, key, offset, length)

    monkeypatch.setattr(DirectoryStore, "read", counted)
    [row] = [row for row in backup.rows if row.key == "002"]
    assert b"".join(member(backup.store, JOB, row)) == backup.objects["002"]
    assert row.location is not None
    assert requests == [row.location.length]


@pytest.mark.parametrize("key", ["003", "005", "big"])
def test_damage_is_told_of_the_objects_that_it_hits_and_others_are_read(backup: Backup, key: str) -> None:
    [row] = [row for row in backup.rows if row.key == key]
    assert row.location is not None
    backup.overwrite(row, b"damage", row.location.length // 2)
    hit = {one.key for one in backup.rows if one.location and one.location[:3] == row.location[:3] and one.size}
    good: dict[str, bytes] = {}
    bad: set[str] = set()
    for _name, one, chunks in members(backup.store, JOB, backup.pairs()):
        try:
            good[one.key] = b"".join(chunks)
        except DamagedError:
            bad.add(one.key)
    assert key in bad
    assert bad <= hit
    assert good == {name: data for name, data in backup.objects.items() if name not in bad}
    with pytest.raises(DamagedError):
        list(member(backup.store, JOB, row))


@pytest.mark.parametrize("key", ["003", "005", "big"])
def test_a_row_with_another_digest_is_noticed(backup: Backup, key: str) -> None:
    [row] = [row for row in backup.rows if row.key == key]
    with pytest.raises(DamagedError, match="SHA-256"):
        list(member(backup.store, JOB, row._replace(sha256="0" * 64)))


@pytest.mark.parametrize("key", ["003", "big"])
def test_a_row_that_promises_more_than_there_is_is_noticed(backup: Backup, key: str) -> None:
    [row] = [row for row in backup.rows if row.key == key]
    with pytest.raises(DamagedError):
        list(member(backup.store, JOB, row._replace(size=row.size + 50 * KIB * KIB)))


def test_a_missing_pack_is_told_for_each_of_its_objects(backup: Backup) -> None:
    [row] = [row for row in backup.rows if row.key == "003"]
    assert row.location is not None
    (backup.folder / f"pack-{row.location.pack:04d}.tar.zst").unlink()
    bad = 0
    for _name, one, chunks in members(backup.store, JOB, backup.pairs()):
        is_in_it = one.location is not None and one.location.pack == row.location.pack and one.size
        with contextlib.ExitStack() as stack:
            if is_in_it:
                stack.enter_context(pytest.raises(DamagedError, match="no such file"))
                bad += 1
            assert b"".join(chunks) == backup.objects[one.key]
    assert bad > 1


def test_an_outage_comes_out_as_it_is(backup: Backup, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(self: DirectoryStore, *_args: object) -> t.Iterator[bytes]:
        raise UnavailableError("Cannot read", "connection refused")

    monkeypatch.setattr(DirectoryStore, "read", unreachable)
    with pytest.raises(UnavailableError, match="refused"):
        read_all(backup, backup.pairs())


def test_members_that_nobody_takes_are_passed_over(backup: Backup) -> None:
    keys = [row.key for _name, row, _chunks in members(backup.store, JOB, backup.pairs())]
    assert sorted(keys) == sorted(backup.objects)


def test_closing_early_leaves_no_thread(backup: Backup) -> None:
    found = t.cast("t.Generator[t.Any, None, None]", members(backup.store, JOB, backup.pairs()))
    next(found)
    found.close()


def test_rows_without_bytes_of_their_own_give_none(backup: Backup) -> None:
    row = backup.rows[0]._replace(size=4096, sha256="", location=None, properties={"type": "directory"})
    [(_name, found, chunks)] = members(backup.store, JOB, [(COLLECTION, row)])
    assert (found, list(chunks)) == (row, [])
    assert list(member(backup.store, JOB, row)) == []


def test_frames_that_grow_without_end_are_not_held(backup: Backup) -> None:
    [row] = [row for row in backup.rows if row.key == "003"]
    assert row.location is not None
    with pytest.raises(DamagedError):
        list(member(backup.store, JOB, row._replace(location=row.location._replace(inside=10**12))))
    assert pack_reader._LARGEST < 64 * KIB * KIB


class HidingStore(DirectoryStore):
    """Hides packs as delete markers do: they are in listings of versions, and can be read."""

    def stat(self, key: str) -> Entry | None:
        return None if "/pack-" in key else super().stat(key)

    def versions(self, prefix: str) -> t.Iterator[Version]:
        for each in super().versions(prefix):
            yield Version(dataclasses.replace(each.entry, size=0), is_latest=True, is_delete_marker=True)
            yield dataclasses.replace(each, is_latest=False)


@pytest.mark.parametrize("compression", SUFFIXES)
def test_packs_that_somebody_has_hidden_are_read_all_the_same(tmp_path: pathlib.Path, compression: str) -> None:
    backup = written(tmp_path, compression)
    (backup.folder / "pack-0000.tar.aside").write_bytes(b"of no kind, and listed before the pack")
    hidden = backup._replace(store=HidingStore(str(tmp_path)))
    assert read_all(hidden, hidden.pairs()) == backup.objects
