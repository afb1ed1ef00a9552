# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Indexes of published backups, read from a directory; and what damage in them looks like."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import pathlib

import pytest
import zstandard
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import DamagedError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects import segments
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.changes import changes
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.index_reader import IndexReader
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.index_writer import IndexWriter
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.rows import Item, Location, Row, order
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.segments import Segment
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.directory import DirectoryStore
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.manifest import Manifest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.publish import Contents, Run
from ansible_collections.lifeboat.recovery.tests.unit.plugins.module_utils._engine.objects.index_model import item, read

ROOT = pathlib.Path(__file__).resolve().parents[6]
JOB = "shop"
PREFIX_KEYS = ["a", "a\nb", "a/1", "a/2", "a/é", "b", "\udcc3x", "é", "\U0001f600", "\U0001f600\udcff"]
MANY = [f"k{number:05d}" for number in range(1500)]


def back_up(store: DirectoryStore, base: Manifest | None, state: dict[str, dict], compression="zstd") -> Manifest:
    """Publish a backup whose index is that of a state (items by key, by collection), with two packs."""
    run = Run(store, JOB, base.id if base else "")
    reader = IndexReader(store, base) if base else None
    for number in range(2):
        pack = run.open_file(f"pack-{number:04d}.tar", "pack", "none", number=number)
        pack.add(b"bytes")
        pack.finish()
    writer = IndexWriter(run, reader, compression)
    for collection in sorted(state, key=order):
        listing = iter(sorted(state[collection].values(), key=lambda each: order(each.key)))
        steps = changes(listing, reader.segments(collection) if reader else (), reader.rows_of if reader else None)
        finished = (read(step, run.id, 1) for step in steps)
        writer.add(collection, (each for each in finished if each is not None))
    manifest = run.publish(Contents("bucket", {}, {}, {}), writer.finish().needs)
    run.close()
    return manifest


def items(keys, content: int = 0) -> dict:
    return {key: item(key, content) for key in keys}


@dataclasses.dataclass
class Written:
    """Two backups: the second builds on the first, and changed a few rows of the collection `many`."""

    root: pathlib.Path
    store: DirectoryStore
    states: list[dict[str, dict]]
    manifests: list[Manifest]

    def reader(self, number: int) -> IndexReader:
        return IndexReader(self.store, self.manifests[number])

    def path(self, number: int, name: str) -> pathlib.Path:
        return self.root / "data" / JOB / self.manifests[number].id / name


@pytest.fixture(params=["zstd", "gzip", "none"], scope="module")
def written(tmp_path_factory, request) -> Written:
    """Backups that tests only read."""
    tmp_path = tmp_path_factory.mktemp("written")
    store = DirectoryStore(str(tmp_path))
    first = {"many": items(MANY), "odd\n": items(PREFIX_KEYS)}
    second = {**first, "many": {**items(MANY), **items(MANY[500:510], 7)}}
    manifests = [back_up(store, None, first, request.param)]
    manifests.append(back_up(store, manifests[0], second, request.param))
    return Written(tmp_path, store, [first, second], manifests)


@pytest.fixture
def zstd(tmp_path) -> Written:
    """Backups that a test may damage."""
    store = DirectoryStore(str(tmp_path))
    first = {"many": items(MANY)}
    second = {"many": {**items(MANY), **items(MANY[500:510], 7)}}
    manifests = [back_up(store, None, first)]
    manifests.append(back_up(store, manifests[0], second))
    return Written(tmp_path, store, [first, second], manifests)


def test_each_backup_reads_back_as_the_state_that_it_saw(written):
    for number, state in enumerate(written.states):
        reader = written.reader(number)
        assert reader.collections() == ["many", "odd\n"]
        for collection, listed in state.items():
            found = [row.item for row in reader.rows(collection)]
            assert found == sorted(listed.values(), key=lambda each: order(each.key))
    assert sum(segment.owner == written.manifests[1].id for segment in written.reader(1).segments()) == 1


@pytest.mark.parametrize(
    ("prefix", "count"),
    [("", 10), ("a", 5), ("a/", 3), ("b", 1), ("\udcc3", 2), ("\U0001f600", 2), ("c", 0), ("\xff", 0)],
)
def test_rows_are_found_by_the_bytes_that_their_keys_begin_with(written, prefix, count):
    found = [row.key for row in written.reader(1).rows("odd\n", prefix)]
    assert found == [key for key in sorted(PREFIX_KEYS, key=order) if order(key).startswith(order(prefix))]
    assert len(found) == count


def test_a_key_is_found_or_is_not_there(written):
    reader = written.reader(1)
    assert [reader.find("many", MANY[number]).item.size for number in (0, 499, 500, 509, 510, -1)] == [0, 0, 7, 7, 0, 0]
    assert [reader.find("odd\n", key).key for key in PREFIX_KEYS] == PREFIX_KEYS
    assert [reader.find("many", key) for key in ("", "k00000a", "l")] == [None] * 3
    assert reader.find("nowhere", "k00000") is None
    assert list(reader.rows("nowhere")) == []


def test_a_prefix_reads_only_the_segments_that_can_hold_it(zstd, monkeypatch):
    reads = []
    original = DirectoryStore.read
    monkeypatch.setattr(DirectoryStore, "read", lambda *given: reads.append(given[1:]) or original(*given))
    reader = zstd.reader(0)
    assert len(list(reader.rows("many", "k0123"))) == 10
    ranges = [(offset, length) for key, *(offset, length) in (each for each in reads if len(each) == 3)]
    held = [each for each in reader.segments() if each.first[:5] <= "k0123" and each.last >= "k0123"]
    assert ranges == [(held[0].offset, sum(each.length for each in held))]


def test_neighbouring_segments_are_read_by_one_request(zstd, monkeypatch):
    reads = []
    original = DirectoryStore.read
    monkeypatch.setattr(DirectoryStore, "read", lambda *given: reads.append(given[1:]) or original(*given))
    assert len(list(zstd.reader(1).rows("many"))) == 1500
    assert len([each for each in reads if len(each) == 3]) == 3  # before, the changed one, after


def test_segments_of_one_index_with_a_gap_between_them_are_read(zstd):
    first = list(zstd.reader(0).segments())
    state = {
        "many": {
            key: each for key, each in zstd.states[0]["many"].items() if not first[1].first <= key <= first[2].last
        }
    }
    made = back_up(zstd.store, zstd.manifests[0], state)
    assert [row.item for row in IndexReader(zstd.store, made).rows("many")] == list(state["many"].values())


def flip(path: pathlib.Path, offset: int) -> None:
    path.chmod(0o600)
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("offset", [0, 6, 100, -1])
def test_a_flipped_bit_in_an_index_is_damage(zstd, offset):
    flip(zstd.path(0, "index.jsonl.zst"), offset)
    with pytest.raises(DamagedError):
        list(zstd.reader(1).rows("many"))


def test_a_segment_whose_bytes_are_others_is_named(written):
    reader = written.reader(1)
    segment = list(reader.segments("many"))[2]
    for other, cause in (
        (dataclasses.replace(segment, sha256="0" * 64), "SHA-256"),
        (dataclasses.replace(segment, rows=1), "other rows"),
        (dataclasses.replace(segment, last="k9"), "other rows"),
        (dataclasses.replace(segment, size=1), "other rows"),
        (dataclasses.replace(segment, listing="0" * 64), "other rows"),
        (dataclasses.replace(segment, file=1), "no index"),
        (dataclasses.replace(segment, file=9), "no index"),
        (dataclasses.replace(segment, owner="20200101T000000Z-000000"), "no index"),
        (dataclasses.replace(segment, offset=10_000_000), "behind the end"),
    ):
        with pytest.raises(DamagedError, match=cause):
            reader.rows_of(other)
    assert len(reader.rows_of(segment)) == segment.rows


def test_an_index_that_ends_early_is_damage(zstd):
    path = zstd.path(0, "index.jsonl.zst")
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(DamagedError, match="are there"):
        list(zstd.reader(0).rows("many"))


@pytest.mark.parametrize("name", ["segments.jsonl.zst", "needs.jsonl"])
def test_a_damaged_list_is_noticed_before_anything_of_it_is_used(zstd, name):
    flip(zstd.path(1, name), 20)
    with pytest.raises(DamagedError):
        next(zstd.reader(1).rows("many"))


def test_a_list_of_files_that_is_not_that_of_the_owner_is_noticed(zstd):
    flip(zstd.path(0, "files.jsonl"), 3)
    with pytest.raises(DamagedError, match="not what it was"):
        list(zstd.reader(1).rows("many"))


def test_an_index_that_is_gone_is_damage(zstd):
    zstd.path(0, "index.jsonl.zst").unlink()
    with pytest.raises(DamagedError, match="no bytes"):
        zstd.reader(1).find("many", MANY[0])


def stranger(root: pathlib.Path, backup: str) -> dict[tuple[bytes, bytes], list]:
    """Read all rows of a backup by docs/format.md alone, with nothing of the engine."""
    folder = root / "data" / JOB
    listed = json.loads((root / "manifests" / JOB / f"{backup}.json").read_text(encoding="utf-8"))["files"]
    (name,) = (file["name"] for file in listed if file["role"] == "segments")
    found = {}
    for line in plain((folder / backup / name).read_bytes()).splitlines():
        collection, _first, _last, _rows, _size, sha256, listing, owner, number, offset, length, _needs = json.loads(
            line
        )
        names = [json.loads(each)[0] for each in (folder / owner / "files.jsonl").read_bytes().splitlines()]
        frame = (folder / owner / names[number]).read_bytes()[offset : offset + length]
        data = plain(frame)
        assert hashlib.sha256(data).hexdigest() == sha256
        rows = [json.loads(each) for each in data.splitlines()]
        shown = b"".join(as_bytes(field) + b"\0" for row in rows for field in row[:5])
        assert hashlib.sha256(shown).hexdigest() == listing
        found.update({(as_bytes(collection), as_bytes(row[0])): row for row in rows})
    return found


def plain(stored: bytes) -> bytes:
    with zstandard.ZstdDecompressor().stream_reader(stored, read_across_frames=True) as reader:
        return reader.read()


def as_bytes(value) -> bytes:
    return str(value).encode("utf-8", "surrogateescape")


def test_a_stranger_reads_an_index_by_the_page(tmp_path):
    store = DirectoryStore(str(tmp_path))
    state = {"odd\n": items([*PREFIX_KEYS, "é\udcff"]), "many": items(MANY)}
    first = back_up(store, None, state)
    state["many"] = {**state["many"], **items(["k00700x"], 3)}
    second = back_up(store, first, state)
    found = stranger(tmp_path, second.id)
    wanted = {(as_bytes(name), as_bytes(key)): list(each) for name, held in state.items() for key, each in held.items()}
    assert {place: row[:5] for place, row in found.items()} == wanted
    assert list(found) == sorted(wanted)
    assert found[(b"many", b"k00700x")][7][:2] == [second.id, 1]
    assert found[(b"many", b"k00000")][7][:2] == [first.id, 1]


def test_the_page_shows_the_listing_digest_of_its_example():
    page = (ROOT / "docs" / "format.md").read_text(encoding="utf-8")
    times = "2026-11-21T02:36:20.639906Z", "2026-11-21T02:36:21.000000Z"
    listed = [Item("a", 1, "e1", times[0]), Item("b", 20, "e2", times[1])]
    example = " ".join(str(field) or "''" for each in listed for field in each)
    assert f"printf '%s\\0' {example} | sha256sum" in page
    assert f"`{segments.listing_digest(listed)}`" in page


def test_the_page_names_the_members_of_rows_and_segments_in_their_order():
    page = (ROOT / "docs" / "format.md").read_text(encoding="utf-8")
    for members in (Row._fields, Location._fields, [field.name for field in dataclasses.fields(Segment)]):
        assert f"[{', '.join(members)}]" in page
