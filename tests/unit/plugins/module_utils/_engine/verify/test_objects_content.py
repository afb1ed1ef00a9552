# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the verification of a backup of objects notices, whom it blames, and what it reads."""

from __future__ import annotations

import collections
import dataclasses
import functools
import typing as t

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import UsageError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.index_reader import IndexReader
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.rows import Location, Row
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.segments import Segment
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository import layout
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.manifest import Manifest, TakenFile
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.stream import frame_reader
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.verify import row_spill
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.verify.checksum import check_sums
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.verify.objects_content import check_objects
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.verify.outcome import Outcome
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.verify.presence import check_presence
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.verify.sample import Sample, parse_sample
from ansible_collections.lifeboat.recovery.tests.unit.plugins.module_utils._engine.repository.examples import JOB
from ansible_collections.lifeboat.recovery.tests.unit.plugins.module_utils._engine.repository.memory_store import (
    MemoryPlace,
    MemoryStore,
)
from ansible_collections.lifeboat.recovery.tests.unit.plugins.module_utils._engine.repository.simulation import World
from ansible_collections.lifeboat.recovery.tests.unit.plugins.module_utils._engine.verify.object_backups import (
    COLLECTION,
    Writer,
    backup_id,
    need_of,
)

BIG = bytes(range(256)) * 12_000  # more than one frame of a pack has
PACK, INDEX = "pack-0000.tar.zst", "index.jsonl.zst"


class Store(MemoryStore):
    """Counts how often each key is read, and from where."""

    def __init__(self, place: MemoryPlace) -> None:
        super().__init__(place, None)
        self.reads: collections.Counter[str] = collections.Counter()

    def read(self, key: str, offset: int = 0, length: int | None = None, version_id: str = "") -> t.Iterator[bytes]:
        assert (offset, length) == (0, None), "everything is read from its beginning to its end"
        self.reads[key.partition(f"data/{JOB}/")[2]] += 1
        return super().read(key, offset, length, version_id)


@pytest.fixture(params=["at once", "by threads"])
def store(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> t.Iterator[Store]:
    """Packs are read in both ways, whatever their sizes."""
    monkeypatch.setattr(frame_reader, "_LARGE", 1 << 60 if request.param == "at once" else -1)
    with World() as world:
        yield Store(MemoryPlace(world, "A"))


def first(store: Store, **changes: t.Any) -> Manifest:
    writer = Writer(store, 0, **changes)
    writer.pack({"a": b"one", "b": b"", "c": b"three"}, {"d": BIG})
    writer.pack({"e": b"five"})
    writer.rows.append(Row("f/", 0, "e", "m", "", "", "", None, {"type": "directory"}))
    writer.document("settings.json.zst", "settings", b'{"photos": {}}')
    writer.document("remarks.jsonl.zst", "remarks", b'["photos", "x", "unreadable", "denied"]\n')
    return writer.finish()


def second(store: Store, base: Manifest) -> Manifest:
    """Take over the base's first segment, and keep a row of its second pack in a segment of its own."""
    writer = Writer(store, 1)
    writer.pack({"g": b"seven"})
    kept = rows_of(store, base)[4]
    writer.rows.append(kept)
    writer.taken = [segments_of(store, base)[0]]
    return writer.finish([need_of(base, (0, 1), (4, 4))])


def reader(store: Store, made: Manifest) -> IndexReader:
    return IndexReader(MemoryStore(store._place, None), made)  # not counted


def _replaced(changes: dict[str, t.Any], segment: Segment) -> Segment:
    return dataclasses.replace(segment, **changes)


def rows_of(store: Store, made: Manifest) -> list[Row]:
    return list(reader(store, made).rows(COLLECTION))


def segments_of(store: Store, made: Manifest) -> list[Segment]:
    return list(reader(store, made).segments())


def change(store: Store, owner: str, name: str, edit: t.Callable[[bytes], bytes]) -> None:
    key = layout.data(JOB, owner, name)
    found = store.get(key)
    assert found is not None
    store.put(key, edit(found.data))


def flipped(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


def judged(outcome: Outcome) -> dict[str, bool]:
    return {
        f"{owner[9:13]}/{verdict.name}": verdict.is_good
        for owner, verdicts in outcome.verdicts.items()
        for verdict in verdicts
    }


@pytest.mark.parametrize("compression", ["zstd", "gzip", "none"])
def test_a_whole_backup_is_good_and_every_file_is_read_once(store: Store, compression: str) -> None:
    made = first(store, compression=compression)
    outcome = check_objects(store, made)
    assert outcome.problems == ()
    names = {PACK, "pack-0001.tar.zst", INDEX, "segments.jsonl.zst", "settings.json.zst", "remarks.jsonl.zst"}
    assert {verdict.name for verdict in outcome.verdicts[made.id]} == {*names, "files.jsonl", "needs.jsonl"}
    assert set(store.reads.values()) == {1}
    assert outcome.report == {"objects": 6, "plain_bytes": len(BIG) + 12, "packs": 2, "packs_read": 2}


def test_an_incremental_backup_is_judged_with_what_it_needs(store: Store) -> None:
    base = first(store)
    made = second(store, base)
    outcome = check_objects(store, made)
    assert outcome.problems == ()
    assert set(outcome.verdicts) == {base.id, made.id}
    assert {verdict.name for verdict in outcome.verdicts[base.id]} == {PACK, "pack-0001.tar.zst", INDEX, "files.jsonl"}
    assert outcome.report["objects"] == 4


def taking_over(store: Store, base: Manifest, number: int, *ranges: tuple[int, int]) -> Manifest:
    """Return a backup that has the settings of its base, as file `number` of the base."""
    writer = Writer(store, 1)
    writer.taken = segments_of(store, base)
    taken = TakenFile(base.id, number, base.file("settings"))
    return writer.finish([need_of(base, (0, 1), (4, 4), *ranges)], taken_over=(taken,))


def test_settings_that_were_taken_over_are_read_with_what_the_backup_needs(store: Store) -> None:
    base = first(store)
    made = taking_over(store, base, 2, (2, 2))
    assert check_objects(store, made).problems == ()
    change(store, base.id, "settings.json.zst", flipped)
    found = judged(check_objects(store, made))
    assert [each for each, is_good in found.items() if not is_good] == ["0000/settings.json.zst"]


@pytest.mark.parametrize(
    ("number", "ranges", "words"),
    [(2, (), "needs.jsonl does not name"), (3, ((2, 3),), "is not the settings.json.zst that it has taken over")],
)
def test_needs_that_do_not_name_what_was_taken_over_are_blamed(
    store: Store, number: int, ranges: tuple[tuple[int, int], ...], words: str
) -> None:
    made = taking_over(store, first(store), number, *ranges)
    (problem,) = check_objects(store, made).problems
    assert problem.startswith(f"{made.id}/needs.jsonl: ") and words in problem


def test_a_run_reads_only_what_it_wrote_itself(store: Store) -> None:
    base = first(store)
    made = second(store, base)
    store.reads.clear()
    for level in (check_objects, check_sums):
        outcome = level(store, made, own_only=True)
        assert outcome.problems == ()
        assert set(outcome.verdicts) == {made.id}
    assert all(key.startswith(made.id) for key in store.reads), store.reads


@pytest.mark.parametrize("name", [PACK, "pack-0001.tar.zst", INDEX, "segments.jsonl.zst", "settings.json.zst"])
@pytest.mark.parametrize("edit", [flipped, lambda data: data[:-1], lambda data: data + b"x", lambda data: b""])
def test_a_file_that_is_not_what_was_written_is_blamed_alone(
    store: Store, name: str, edit: t.Callable[[bytes], bytes]
) -> None:
    made = first(store)
    change(store, made.id, name, edit)
    outcome = check_objects(store, made)
    assert [each for each, is_good in judged(outcome).items() if not is_good] == [f"0000/{name}"]


def test_a_file_that_is_gone_is_blamed_alone(store: Store) -> None:
    made = first(store)
    store.delete(layout.data(JOB, made.id, PACK))
    outcome = check_objects(store, made)
    assert [each for each, is_good in judged(outcome).items() if not is_good] == [f"0000/{PACK}"]
    assert "no such file" in outcome.problems[0]


def lying(**changes: t.Any) -> t.Callable[[Row], Row]:
    def lie(row: Row) -> Row:
        place = row.location
        assert place is not None
        mine = {name: value for name, value in changes.items() if name in Row._fields}
        there = {name: place._asdict()[name] + value for name, value in changes.items() if name in Location._fields}
        return row._replace(location=place._replace(**there), **mine)

    return lie


LIES = {
    "another digest": lying(sha256="0" * 64),
    "a larger size": lying(size=4),
    "a size behind the end": lying(size=1 << 30),
    "another byte": lying(inside=1),
    "a place behind the end": lying(inside=1 << 40),
    "another frame": lying(offset=1),
    "frames that overlap": lying(offset=5, length=5),
    "a shorter frame": lying(length=-1),
    "no frame": lying(length=-(1 << 40)),
    "frames behind the end": lying(offset=1 << 40),
    "no digest": lying(sha256=""),
    "half a digest": lying(sha256="00" * 16),
    "no pack": lying(pack=3),
    "no file": lying(pack=100),
    "no place": lambda row: row._replace(location=None),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_row_whose_member_is_not_there_is_blamed_on_its_index(store: Store, lie: str) -> None:
    writer = Writer(store, 0)
    writer.pack({"a": b"one", "b": b"two"}, {"d": BIG})
    writer.pack({"e": b"five"})
    position = 0 if lie != "frames that overlap" else 1
    changed = LIES[lie](writer.rows[position])
    if lie == "no frame" and changed.location is not None:
        changed = changed._replace(location=changed.location._replace(length=0))
    writer.rows[position] = changed
    writer.document("settings.json.zst", "settings", b"{}")
    extra = {"no pack": {3}, "no file": {100}}.get(lie)
    outcome = check_objects(store, writer.finish())
    bad = [each for each, is_good in judged(outcome).items() if not is_good]
    assert bad == ["0000/segments.jsonl.zst" if extra == {100} else f"0000/{INDEX}"], outcome.problems


@pytest.mark.parametrize(
    "changes",
    [{"sha256": "0" * 64}, {"listing": "0" * 64}, {"rows": 3}, {"size": 1}, {"first": "A"}, {"needs": ()}],
)
def test_a_segment_that_is_not_what_the_list_says_is_noticed(store: Store, changes: dict[str, t.Any]) -> None:
    writer = Writer(store, 0)
    writer.pack({"a": b"one", "b": b"two"})
    outcome = check_objects(store, writer.finish(lie=functools.partial(_replaced, changes)))
    assert not outcome.is_good


@pytest.mark.parametrize("changes", [{"offset": 1}, {"length": 1}, {"offset": 1 << 40}, {"file": 0}, {"file": 9}])
def test_a_segment_that_is_not_where_the_list_says_is_noticed(store: Store, changes: dict[str, t.Any]) -> None:
    writer = Writer(store, 0)
    writer.pack({"a": b"one", "b": b"two"})
    outcome = check_objects(store, writer.finish(lie=functools.partial(_replaced, changes)))
    assert not outcome.is_good


def test_a_pack_that_the_needs_do_not_name_is_a_problem_even_though_it_is_there(store: Store) -> None:
    base = first(store)
    writer = Writer(store, 1)
    writer.rows.append(rows_of(store, base)[4])
    made = writer.finish([need_of(base, (0, 0))])
    for own_only in (False, True):
        outcome = check_objects(store, made, own_only=own_only)
        assert "which needs.jsonl does not name" in "".join(outcome.problems)


def test_a_member_that_no_row_names_is_no_problem_unless_its_bytes_are_damaged(store: Store) -> None:
    writer = Writer(store, 0)
    writer.pack({"a": b"one"}, {"gone": b"two"}, {"c": b"three"})
    del writer.rows[1]
    made = writer.finish()
    assert check_objects(store, made).is_good
    change(store, made.id, PACK, flipped)
    assert not check_objects(store, made).is_good


def test_a_changed_byte_that_no_row_covers_is_noticed_without_compression_too(store: Store) -> None:
    made = first(store, compression="none")
    change(store, made.id, PACK, lambda data: b"H" + data[1:])
    assert judged(check_objects(store, made)) == {
        each: each != f"0000/{PACK}" for each in judged(check_objects(store, made))
    }


def test_damaged_lists_are_verdicts(store: Store) -> None:
    base = first(store)
    made = second(store, base)
    change(store, base.id, "files.jsonl", flipped)
    assert not check_objects(store, made).is_good
    assert not check_presence(store, made).is_good
    assert check_objects(store, made, own_only=True).is_good


def test_settings_and_remarks_are_parsed(store: Store) -> None:
    for name, data in (("settings", b"{"), ("remarks", b"[]\n{"), ("remarks", b"[]")):
        writer = Writer(store, 0)
        writer.document(f"{name}.zst", name, data)
        store.delete(layout.manifest(JOB, writer.id))
        outcome = check_objects(store, writer.finish())
        assert "no JSON" in "".join(outcome.problems), name


def test_samples_read_each_pack_once_in_as_many_runs_as_there_are_parts(store: Store) -> None:
    writer = Writer(store, 0)
    for number in range(7):
        writer.pack({f"key-{number}": b"x"})
    made = writer.finish()
    seen: collections.Counter[str] = collections.Counter()
    for number in (1, 2, 3):
        outcome = check_objects(store, made, sample=Sample(number, 3))
        assert outcome.is_good
        assert outcome.report["sample"] == f"{number}/3"
        seen.update(verdict.name for verdict in outcome.verdicts[made.id] if verdict.name.startswith("pack"))
        assert 2 <= outcome.report["packs_read"] <= 3
    assert set(seen.values()) == {1} and len(seen) == 7


def test_samples_spread_backups_of_one_pack_over_all_runs() -> None:
    chosen = [[Sample(number, 4).takes(backup_id(each), 0) for each in range(200)] for number in (1, 2, 3, 4)]
    assert [sum(column) for column in zip(*chosen)] == [1] * 200
    assert all(30 <= sum(run) <= 70 for run in chosen)


def test_a_sample_is_written_as_a_fraction() -> None:
    assert str(parse_sample("2/7")) == "2/7"
    assert parse_sample("").takes("x", 5)
    for wrong in ("0/7", "8/7", "1", "1/", "a/b", "1/100000", "-1/7"):
        with pytest.raises(UsageError):
            parse_sample(wrong)


def test_rows_that_do_not_fit_into_memory_go_through_a_file(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_spill, "_HELD_BYTES", 200)
    writer = Writer(store, 0)
    for number in range(5):
        writer.pack({f"key-{number}-{each}": b"%d" % each for each in range(20)})
    made = writer.finish()
    assert check_objects(store, made).is_good
    writer = Writer(store, 1)
    for number in range(5):
        writer.pack({f"key-{number}-{each}": b"%d" % each for each in range(20)})
    writer.rows[-1] = writer.rows[-1]._replace(sha256="0" * 64)
    assert not check_objects(store, writer.finish()).is_good


def test_presence_of_many_backups_files_takes_one_listing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    needs = []
    for number in range(20):
        writer = Writer(store, number)
        writer.pack({f"key-{number}": b"x"})
        needs.append(need_of(writer.finish(), (0, 0)))
    made = Writer(store, 20).finish(needs)
    listed: list[str] = []
    entries = MemoryStore.entries
    monkeypatch.setattr(MemoryStore, "entries", lambda self, prefix: (listed.append(prefix), entries(self, prefix))[1])
    assert check_presence(store, made).is_good
    assert listed == [f"data/{JOB}/"]
    store.delete(layout.data(JOB, backup_id(3), PACK))
    assert [each for each, is_good in judged(check_presence(store, made)).items() if not is_good] == [f"0003/{PACK}"]
    assert not check_sums(store, made).is_good
