# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import hashlib
import io
import itertools
import pathlib
import random
import tarfile
import threading
import typing as t

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import LifeboatError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects import gather as gathering
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects import large_object, object_fetch
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.changes import (
    Gone,
    Kept,
    Step,
    Taken,
    Wanted,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.pack_reader import member
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.pack_writer import PackWriter
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.rows import Item, Location, Row
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.segments import Segment
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.source import Described, ObjectError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.directory import DirectoryStore
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.publish import Contents, Run
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.stored_files import (
    needed_files,
    plain_chunks,
)
from ansible_collections.lifeboat.recovery.tests.unit.plugins.module_utils._engine.objects.pack_model import (
    COLLECTION,
    FlyingSource,
    MemorySource,
    item_of,
    rows_of,
    wanted,
)

JOB = "uploads"
KIB, MIB = 1024, 1024 * 1024
LARGE = 100 * KIB  # what counts as large in these tests


@pytest.fixture(autouse=True, params=[MemorySource, FlyingSource])
def source_class(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each test see both kinds of sources."""
    monkeypatch.setitem(globals(), "MemorySource", request.param)


@pytest.fixture
def store(tmp_path: pathlib.Path) -> DirectoryStore:
    return DirectoryStore(str(tmp_path))


@pytest.fixture
def run(store: DirectoryStore, monkeypatch: pytest.MonkeyPatch) -> t.Iterator[Run]:
    for module in (gathering, object_fetch):
        monkeypatch.setattr(module, "LARGEST_WHOLE", LARGE)
    monkeypatch.setattr(large_object, "RANGE", 64 * KIB)
    started = Run(store, JOB)
    yield started
    started.abandon()
    names = [each.name for each in threading.enumerate()]
    assert [name for name in names if name.startswith(("stream-", "gather", "packs"))] == []


def content(size: int, seed: int = 0) -> bytes:
    return random.Random(f"{seed}/{size}").randbytes(size)


def corpus() -> dict[str, bytes]:
    sizes = [0, 1, 511, 512, 513, 5 * KIB, 30 * KIB, LARGE, LARGE + 1, 200 * KIB, 64 * KIB * 4, 300 * KIB + 17]
    return {f"{number % 7}/{number:03d}": content(sizes[number % len(sizes)], number) for number in range(100)}


def read_back(store: DirectoryStore, rows: t.Sequence[Row]) -> dict[str, bytes]:
    return {row.key: b"".join(member(store, JOB, row)) for row in rows}


def test_every_object_comes_back_from_its_place(store: DirectoryStore, run: Run) -> None:
    source = MemorySource(corpus())
    rows, remarks = rows_of(source, PackWriter(run, pack_size=512 * KIB))
    assert remarks == []
    assert read_back(store, rows) == source.objects
    assert [row.item for row in rows] == list(source.items(COLLECTION))
    assert all(row.properties == {"metadata": {"key": row.key}} for row in rows)


def test_every_pack_is_a_whole_archive_with_each_object_once(store: DirectoryStore, run: Run) -> None:
    source = MemorySource(corpus())
    rows_of(source, PackWriter(run, pack_size=512 * KIB))
    manifest = run.publish(Contents("bucket", {}, {}, {}))
    found: dict[str, bytes] = {}
    for each in needed_files(store, manifest):
        if each.file.role == "pack":
            data = b"".join(plain_chunks(store, JOB, each.owner, each.file))
            with tarfile.open(fileobj=io.BytesIO(data)) as archive:
                for one in archive:
                    assert one.name not in found
                    found[one.name] = t.cast("t.IO[bytes]", archive.extractfile(one)).read()
    assert found == {f"d/{COLLECTION}/{key}": data for key, data in source.objects.items()}


def test_large_objects_have_packs_of_their_own_and_small_ones_share(run: Run) -> None:
    source = MemorySource(corpus())
    rows, _remarks = rows_of(source, PackWriter(run, pack_size=512 * KIB))
    packs: dict[int, list[int]] = {}
    for row in rows:
        assert row.location is not None
        packs.setdefault(row.location.pack, []).append(row.size)
    assert all(max(sizes) <= LARGE or len(sizes) == 1 for sizes in packs.values())
    assert sum(len(sizes) > 1 for sizes in packs.values()) >= 2  # packs end at their size
    assert sorted(packs) == list(range(len(run.files)))


def test_equal_sources_give_equal_packs(tmp_path: pathlib.Path) -> None:
    digests = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        run = Run(DirectoryStore(str(tmp_path / name)), JOB)
        rows_of(MemorySource(corpus()), PackWriter(run, pack_size=512 * KIB))
        digests.append([(file.name, file.facts.stored_sha256) for file in run.files])
        run.abandon()
    assert digests[0] == digests[1]


def test_the_order_of_steps_is_kept_whatever_is_read(store: DirectoryStore, run: Run) -> None:
    source = MemorySource(corpus())
    place = Location("20261121T023618Z-8f9b10", 0, 0, 10, 0)
    segment = Segment("uploads", "7", "8", 1, 1, "", "", place.owner, 0, 0, 1, ())
    steps: list[Step] = []
    for number, step in enumerate(wanted(source)):
        item = t.cast(Wanted, step).item
        row = Row(*item, "", "", place, {"kept": number})
        kind = number % 3
        steps.append(step if kind == 0 else Kept(row) if kind == 1 else Gone(row))
        if kind == 2:
            steps.append(Taken(segment))
    packs = PackWriter(run)
    result = list(gathering.gather(source, COLLECTION, iter(steps), packs, lambda *_: None, 4))
    packs.finish()
    expected = [
        "segment"
        if isinstance(step, Taken)
        else step.row.key
        if isinstance(step, Kept)
        else t.cast(Wanted, step).item.key
        for step in steps
        if not isinstance(step, Gone)
    ]
    assert ["segment" if isinstance(one, Taken) else one.key for one in result] == expected


def test_what_vanished_is_left_out(store: DirectoryStore, run: Run) -> None:
    source = MemorySource(corpus())
    steps = list(wanted(source))
    gone = [key for number, key in enumerate(sorted(source.objects)) if number % 4 == 0]
    for key in gone:
        del source.objects[key]
    rows, remarks = rows_of(source, PackWriter(run), steps)
    assert remarks == []
    assert read_back(store, rows) == source.objects


def test_an_object_that_changed_is_read_as_it_is_now(store: DirectoryStore, run: Run) -> None:
    source = MemorySource(corpus())
    steps = list(wanted(source))
    for number, key in enumerate(source.objects):
        source.objects[key] = content([10, 50 * KIB, 250 * KIB][number % 3], 1000 + number)
    rows, remarks = rows_of(source, PackWriter(run), steps)
    assert remarks == []
    assert read_back(store, rows) == source.objects
    assert [row.item for row in rows] == list(source.items(COLLECTION))


def test_a_large_object_that_changes_midway_leaves_no_broken_pack(store: DirectoryStore, run: Run) -> None:
    source = MemorySource({"a": content(10), "big": content(600 * KIB), "c": content(20)})
    ranges = 0

    def hook(call: str, key: str) -> None:
        nonlocal ranges
        if call == "read_range":
            ranges += 1
            if ranges == 7:
                source.objects["big"] = content(600 * KIB, 2)

    source.hook = hook
    rows, remarks = rows_of(source, PackWriter(run))
    assert remarks == []
    assert read_back(store, rows) == source.objects
    names = sorted(entry.key.rpartition("/")[2] for entry in store.entries(f"data/{JOB}/"))
    assert names == ["pack-0000.tar.zst", "pack-0001.tar.zst"]


def test_a_large_object_whose_description_is_of_another_state_is_read_again(store: DirectoryStore, run: Run) -> None:
    source = MemorySource({"big": content(300 * KIB)})
    describe, described = source.describe, 0

    def of_another_state(collection: str, item: Item) -> Described:
        nonlocal described
        described += 1
        found = describe(collection, item)
        return found._replace(item=item._replace(etag="newer")) if described == 1 else found

    source.describe = of_another_state  # type: ignore[method-assign]
    rows, remarks = rows_of(source, PackWriter(run))
    assert remarks == []
    assert [row.item for row in rows] == list(source.items(COLLECTION))
    assert read_back(store, rows) == source.objects
    assert described == 3


def test_a_large_object_of_which_too_little_comes_is_read_again(store: DirectoryStore, run: Run) -> None:
    source = MemorySource({"big": content(300 * KIB)})
    read_range, reads = source.read_range, itertools.count()

    def short(collection: str, item: Item, offset: int, length: int) -> t.Iterator[bytes]:
        return read_range(collection, item, offset, length - (next(reads) == 2))

    source.read_range = short  # type: ignore[method-assign]
    rows, remarks = rows_of(source, PackWriter(run))
    assert remarks == []
    assert read_back(store, rows) == source.objects


def test_a_large_object_that_vanishes_midway_gives_its_number_to_a_pack(store: DirectoryStore, run: Run) -> None:
    source = MemorySource({"a": content(600 * KIB), "b": content(20)})
    ranges = 0

    def hook(call: str, key: str) -> None:
        nonlocal ranges
        ranges += call == "read_range"
        if ranges == 7:
            source.objects.pop("a", None)

    source.hook = hook
    rows, remarks = rows_of(source, PackWriter(run))
    assert [row.key for row in rows] == ["b"]
    assert [file.name for file in run.files] == ["pack-0000.tar.zst"]
    run.publish(Contents("bucket", {}, {}, {}))


@pytest.mark.parametrize("size", [10, 200 * KIB])
def test_an_object_that_changes_whenever_it_is_read_keeps_the_row_of_the_base(
    store: DirectoryStore, run: Run, size: int
) -> None:
    source = MemorySource({"hot": content(size)})
    turns = 0

    def hook(call: str, key: str) -> None:
        nonlocal turns
        turns += 1
        source.objects["hot"] = bytes(size + turns * 2 * MIB if size == 10 else size + turns)

    [item] = list(source.items(COLLECTION))
    base = Row(*item, "", "0" * 64, Location("20261121T023618Z-8f9b10", 0, 0, 10, 0), {})
    source.hook = hook
    rows, remarks = rows_of(source, PackWriter(run), [Wanted(item, base, False)])
    assert rows == [base]
    assert [remark[:3] for remark in remarks] == [(COLLECTION, "hot", gathering.OUTDATED)]
    assert turns < 100
    assert run.files == []


@pytest.mark.parametrize("size", [10, 200 * KIB])
def test_an_object_that_cannot_be_read_is_said(run: Run, size: int) -> None:
    source = MemorySource({"a": content(10), "locked": content(size), "z": content(10)})

    def hook(call: str, key: str) -> None:
        if key == "locked":
            raise ObjectError("Cannot read locked", "Access Denied", "")

    source.hook = hook
    rows, remarks = rows_of(source, PackWriter(run))
    assert [row.key for row in rows] == ["a", "z"]
    assert remarks == [(COLLECTION, "locked", gathering.UNREADABLE, "Access Denied")]


def test_only_properties_are_looked_at_where_only_these_differ(run: Run) -> None:
    source = MemorySource({"a": content(200 * KIB)})
    [item] = list(source.items(COLLECTION))
    base = Row(*item._replace(attributes="old"), "", "0" * 64, Location("20261121T023618Z-8f9b10", 0, 0, 9, 0), {})
    rows, _remarks = rows_of(source, PackWriter(run), [Wanted(item, base, True)])
    assert rows == [base._replace(attributes="", properties={"metadata": {"key": "a"}})]
    assert source.calls == [("describe", "a")]
    assert run.files == []


def test_what_was_only_to_be_described_is_read_when_its_bytes_are_others(store: DirectoryStore, run: Run) -> None:
    source = MemorySource({"a": content(10), "b": content(200 * KIB)})
    steps = [
        Wanted(item, Row(*item_of(item.key, b"old"), "", "0" * 64, None, {}), True) for item in source.items(COLLECTION)
    ]
    rows, _remarks = rows_of(source, PackWriter(run), steps)
    assert read_back(store, rows) == source.objects


def test_what_has_no_bytes_of_its_own_lies_in_no_pack(run: Run) -> None:
    source = MemorySource({"folder": b"", "link": content(300 * KIB)})
    source.without_bytes = {"folder", "link"}
    rows, _remarks = rows_of(source, PackWriter(run))
    assert [(row.location, row.sha256) for row in rows] == [(None, ""), (None, "")]
    assert run.files == []


@pytest.mark.parametrize("size", [10, 200 * KIB])
@pytest.mark.parametrize("turn", [1, 5, 40])
def test_an_outage_of_the_source_comes_out_as_it_is_and_ends_all_threads(run: Run, size: int, turn: int) -> None:
    source = MemorySource({f"{number:03d}": content(size, number) for number in range(60)})
    outage = LifeboatError("Cannot reach the source", "connection refused", "look for it")

    def hook(call: str, key: str) -> None:
        if len(source.calls) >= turn:
            raise outage

    source.hook = hook
    with pytest.raises(LifeboatError, match="connection refused") as caught:
        rows_of(source, PackWriter(run))
    assert caught.value is outage


@pytest.mark.parametrize("size", [10 * KIB, 200 * KIB])
def test_an_outage_of_the_repository_comes_out_as_it_is(
    run: Run, store: DirectoryStore, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    source = MemorySource({f"{number:03d}": content(size, number) for number in range(60)})
    outage = LifeboatError("Cannot write", "No space left on device", "make room")
    upload = store.upload

    def failing(key: str, estimate: int, signed_at: t.Any = None) -> t.Any:
        begun = upload(key, estimate, signed_at)

        def write(chunk: bytes) -> None:
            raise outage

        monkeypatch.setattr(begun, "write", write)
        return begun

    monkeypatch.setattr(store, "upload", failing)
    with pytest.raises(LifeboatError, match="No space left") as caught:
        rows_of(source, PackWriter(run, pack_size=100 * KIB))
    assert caught.value is outage


def test_rows_that_nobody_takes_any_more_leave_no_thread(run: Run) -> None:
    source = MemorySource(corpus())
    packs = PackWriter(run)
    found = gathering.gather(source, COLLECTION, wanted(source), packs, lambda *_: None, 4)
    assert next(found).key == "0/000"  # type: ignore[union-attr]
    t.cast("t.Generator[Row, None, None]", found).close()
    assert run.files == []


def test_no_more_is_read_ahead_than_fits(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "_IN_FLIGHT", 400 * KIB)
    monkeypatch.setattr(gathering, "FRAME", 64 * KIB)
    source = MemorySource({f"{number:04d}": content(10 * KIB, number) for number in range(400)})
    taken, most = 0, 0

    def steps() -> t.Iterator[Step]:
        nonlocal taken
        for step in wanted(source):
            taken += 1
            yield step

    packs = PackWriter(run)
    for number, _row in enumerate(gathering.gather(source, COLLECTION, steps(), packs, lambda *_: None, 4)):
        most = max(most, taken - number)
    packs.finish()
    assert most <= 400 * KIB // (20 * KIB) + 2 * 7  # what is in flight and the batch that is being filled


def test_the_digest_of_a_row_is_that_of_its_bytes(run: Run) -> None:
    source = MemorySource(corpus())
    rows, _remarks = rows_of(source, PackWriter(run))
    assert {row.key: row.sha256 for row in rows} == {
        key: hashlib.sha256(data).hexdigest() for key, data in source.objects.items()
    }
