# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import collections
import json
import os
import random
import signal
import stat
import threading

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine import clock
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import (
    GuardRefusal,
    IncompleteError,
    LifeboatError,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects import (
    mirror_copy,
    mirror_processes,
    mirror_run,
    mirror_verify,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.mirror_directory_target import (
    DirectoryTarget,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.mirror_guards import Location
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.mirror_limits import Bandwidth
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.mirror_plan import SAMPLE, Action
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.mirror_sides import QUARANTINE
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.mirror_spool import write_plan_file
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.source import ChangedError, ObjectError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.tree_writer import TreeWriter
from ansible_collections.lifeboat.recovery.tests.unit.plugins.module_utils._engine.objects.mirror_model import Bucket
from hypothesis import given, settings
from hypothesis import strategies as st

CONTENTS = st.dictionaries(st.sampled_from("abcdef"), st.binary(max_size=3), max_size=6)
HISTORY = st.lists(CONTENTS.filter(bool), min_size=1, max_size=4)


@pytest.fixture(autouse=True)
def small_objects(monkeypatch):
    """Objects of more than 8 bytes go in parts."""
    monkeypatch.setattr(mirror_copy, "WHOLE", 8)
    monkeypatch.setattr(mirror_copy, "part_sizes", lambda _size: iter([5] * 1000))


def mirrored(source, *targets, threads=2, **options):
    request = mirror_run.Request(source, targets, threads=threads, **options)
    planned = mirror_run.plan(request)
    with planned.steps:
        return mirror_run.run(planned, lambda _line: None)


def counts(result, number=0):
    return {action.value: count for action, count in result.targets[number].counts.items()}


@settings(max_examples=60, deadline=None)
@given(HISTORY, st.lists(st.tuples(CONTENTS, st.booleans()), min_size=1, max_size=2))
def test_every_target_becomes_the_source_and_no_old_state_is_lost(history, begun):
    source, targets = Bucket(), [Bucket(contents, versioned) for contents, versioned in begun]
    held = [collections.Counter(contents.items()) for contents, _versioned in begun]
    for state in history:
        source.objects = dict(state)
        result = mirrored(source, *targets)
        for number, target in enumerate(targets):
            assert target.objects == state
            held[number] |= collections.Counter(state.items())
            still = collections.Counter([*target.objects.items(), *target.old])
            assert held[number] - still == collections.Counter(), "a state is lost"
            assert sum(counts(result, number).values()) == sum(result.targets[number].counts.values())
        again = mirror_run.plan(mirror_run.Request(source, tuple(targets)))
        assert again.is_empty
        again.steps.close()


def test_objects_of_any_size_arrive_at_several_targets_from_one_read():
    source = Bucket({"small": b"12345678", "large": bytes(range(23)), "empty": b""})
    targets = [Bucket(), Bucket(versioned=False)]
    result = mirrored(source, *targets)
    assert all(target.objects == source.objects for target in targets)
    reads = collections.Counter(key for request, key in source.requests if request in ("read", "range"))
    assert reads == {"small": 1, "empty": 1, "large": 5}
    assert [counts(result, number)["copy"] for number in (0, 1)] == [3, 3]
    assert result.targets[0].bytes == 31


def test_the_old_state_is_kept_before_it_is_overwritten_or_removed():
    target = Bucket({"a": b"old", "b": b"old, and longer", "c": b"old"}, versioned=False)
    mirrored(Bucket({"a": b"new", "b": b"new, and longer"}), target, threads=1)
    changes = [each for each in target.requests if each[0] not in ("list", "prepare")]
    for key, request in (("a", "put"), ("b", "begin"), ("c", "remove")):
        assert changes.index(("keep", key)) < changes.index((request, key))
    assert sorted(target.old) == [("a", b"old"), ("b", b"old, and longer"), ("c", b"old")]


@pytest.mark.parametrize("key", ["a", "large"])
def test_nothing_is_overwritten_when_it_cannot_be_kept(key):
    before = {"a": b"old", "large": b"old and large"}
    target = Bucket(before, versioned=False)
    target.failures[("keep", key)] = ObjectError("Cannot keep it")
    with pytest.raises(IncompleteError, match="Cannot keep it"):
        mirrored(Bucket({"a": b"new", "large": b"new and large"}), target)
    assert target.objects[key] == before[key]


def test_removals_come_last_and_only_when_all_copies_arrived():
    target = Bucket({"gone": b"1"})
    target.failures[("put", "a")] = ObjectError("Cannot write it", "its name is refused")
    with pytest.raises(IncompleteError, match="Cannot write it: its name is refused; nothing was removed") as end:
        mirrored(Bucket({"a": b"1", "b": b"2"}), target)
    assert end.value.exit_code == 5
    assert target.objects == {"gone": b"1", "b": b"2"}
    assert (end.value.result.targets[0].failed, end.value.result.targets[0].left) == (1, 1)
    mirrored(Bucket({"a": b"1", "b": b"2"}), target)
    assert target.objects == {"a": b"1", "b": b"2"}
    names = [request for request, _key in target.requests]
    assert names.index("remove") > max(at for at, name in enumerate(names) if name == "put")


def test_one_failing_target_does_not_keep_the_other_waiting():
    source, good, bad = Bucket({"a": b"1", "b": b"23456789012"}), Bucket(name="good"), Bucket(name="bad")
    bad.failures = {("put", "a"): ObjectError("Cannot write a"), ("begin", "b"): ObjectError("Cannot write b")}
    with pytest.raises(IncompleteError) as end:
        mirrored(source, good, bad)
    assert good.objects == source.objects and bad.objects == {}
    assert [done.failed for done in end.value.result.targets] == [0, 2]
    assert all("at bad" in words for words in end.value.result.targets[1].problems)


@pytest.mark.parametrize("size", [3, 20])
def test_an_object_that_changes_while_it_is_read_is_read_again(size):
    source, target = Bucket({"a": b"x" * size}), Bucket()

    def change():
        source.objects["a"] = b"y" * (size + 1)
        raise ChangedError("it changed")

    source.during["a"] = change
    mirrored(source, target)
    assert target.objects == {"a": b"y" * (size + 1)}


def test_an_object_that_grows_beyond_one_request_is_copied_in_parts():
    source, target = Bucket({"a": b"x"}), Bucket()

    def grow():
        source.objects["a"] = b"y" * 30
        raise ChangedError("it is not small any more")

    source.during["a"] = grow
    mirrored(source, target)
    assert target.objects == {"a": b"y" * 30}
    assert ("finish", "a") in target.requests


def test_an_object_that_keeps_changing_is_reported():
    source = Bucket({"a": b"x" * 20, "b": b"1"})
    target = Bucket()

    def change():
        source.objects["a"] = bytes(reversed(source.objects["a"])) + b"z"
        source.during["a"] = change

    source.during["a"] = change
    with pytest.raises(IncompleteError, match="changed"):
        mirrored(source, target)
    assert target.objects == {"b": b"1"}
    assert ("abort", "a") in target.requests


def test_a_part_that_cannot_be_read_ends_the_file_that_waits_for_it(tmp_path):
    """The later parts of a file wait for the earlier ones: they must not wait for one that never comes."""
    source, failures = Bucket({"a": b"x" * 20}), []
    later = threading.Event()
    read = source.read_range

    def read_range(subject, offset, length):
        if offset:
            later.set()
            return read(subject, offset, length)
        assert later.wait(30)
        raise ObjectError("its first part cannot be read")

    def run():
        target = DirectoryTarget(Location("folder", path=str(tmp_path)))
        try:
            mirrored(source, target)
        except IncompleteError as error:
            failures.append(str(error))
        finally:
            target.close()

    source.read_range = read_range
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(10)
    assert not thread.is_alive()
    assert "its first part cannot be read" in failures[0]
    assert not (tmp_path / "a").exists()


def synced_directories(monkeypatch):
    """Return the directories whose names are made durable, from now on."""
    found, sync = [], TreeWriter.sync

    def noted(writer, names):
        sync(writer, names)
        found.append("/".join(names))

    monkeypatch.setattr(TreeWriter, "sync", noted)
    return found


def into_folder(source, path, **options):
    target = DirectoryTarget(Location("folder", path=str(path)))
    try:
        return mirrored(source, target, **options)
    finally:
        target.close()


def test_every_directory_that_a_mirror_changes_is_durable_at_the_end(tmp_path, monkeypatch):
    source = Bucket({"a": b"1", "d/b": b"2", "d/c": b"3", "d/e/f": b"4"})
    synced = synced_directories(monkeypatch)
    into_folder(source, tmp_path)
    assert sorted(synced) == ["", "d", "d/e"]
    synced.clear()
    into_folder(source, tmp_path)
    assert synced == []
    del source.objects["d/b"]
    into_folder(source, tmp_path, allowed=frozenset(("mass_delete",)))
    assert {"d"} < set(synced) and "d/e" not in synced
    assert any(name.startswith(".lifeboat-quarantine/") for name in synced)


def in_folder(path):
    """Return what lies in a folder that is a mirror, and what it has kept."""
    files = {str(each.relative_to(path)): each.read_bytes() for each in path.rglob("*") if each.is_file()}
    kept = {name: data for name, data in files.items() if name.startswith(QUARANTINE)}
    named = {name: data for name, data in files.items() if name not in kept}
    return named, {name.split("/", 2)[2]: data for name, data in kept.items()}


def test_files_become_folders_and_folders_files_where_the_source_has_made_them_so(tmp_path):
    source = Bucket({"a": b"1", "a.b": b"2", "d/e/f": b"3", "d/g": b"4", "same": b"5", "gone": b"6"})
    other = Bucket()
    into_folder(source, tmp_path)
    source.objects = {"a.b": b"2", "a/x/y": b"7", "a/z": b"8", "d": b"9", "same": b"5"}
    target = DirectoryTarget(Location("folder", path=str(tmp_path)))
    try:
        result = mirrored(source, other, target)
    finally:
        target.close()
    assert in_folder(tmp_path) == (source.objects, {"a": b"1", "d/e/f": b"3", "d/g": b"4", "gone": b"6"})
    assert counts(result, 1) == {"copy": 3, "replace": 0, "remove": 4} and other.objects == source.objects
    assert not [each for each in tmp_path.rglob("*%lb*")]


def test_a_folder_cannot_have_a_file_and_a_directory_of_one_name(tmp_path):
    source = Bucket({"a": b"1", "a/b": b"2", "c": b"3"})
    for _again in range(2):
        with pytest.raises(IncompleteError, match="1 objects failed: a(/b)? at folder: .* want the same name"):
            into_folder(source, tmp_path, threads=1)
        assert in_folder(tmp_path) == ({"a": b"1", "c": b"3"}, {})
        assert sorted(each.name for each in tmp_path.iterdir()) == ["a", "c"]


def test_what_is_in_the_way_is_removed_from_folders_only_before_the_rest_is_copied(tmp_path):
    source, other = Bucket({"a/b": b"new"}), Bucket({"a": b"old", "z": b"old"})
    (tmp_path / "a").write_bytes(b"old")
    other.failures[("put", "a/b")] = ObjectError("Cannot write it")
    target = DirectoryTarget(Location("folder", path=str(tmp_path)))
    try:
        with pytest.raises(IncompleteError) as end:
            mirrored(source, other, target)
    finally:
        target.close()
    assert other.objects == {"a": b"old", "z": b"old"}
    assert in_folder(tmp_path) == ({"a/b": b"new"}, {"a": b"old"})
    done = end.value.result.targets
    assert (done[0].left, done[1].left, counts(end.value.result, 1)["remove"]) == (2, 0, 1)


def test_what_was_copied_is_durable_before_anything_is_removed(tmp_path):
    source, target = Bucket({"a": b"1", "b": b"2"}), Bucket({"b": b"2", "c": b"3"})
    mirrored(source, target, allowed=frozenset(("mass_delete",)))
    names = [request for request, _key in target.requests]
    assert names.index("put") < names.index("settle") < names.index("remove") and names[-1] == "settle"


def test_an_object_that_vanished_is_reported_and_nothing_is_lost_at_the_target():
    source, target = Bucket({"a": b"new", "b": b"1"}), Bucket({"a": b"old"}, versioned=False)
    source.during["a"] = lambda: source.objects.pop("a", None)
    with pytest.raises(IncompleteError, match="gone"):
        mirrored(source, target)
    assert target.objects == {"a": b"old", "b": b"1"}


def test_a_key_that_comes_back_before_it_is_removed_stays():
    source, target = Bucket({"a": b"1"}), Bucket({"b": b"2"})
    source.during["a"] = lambda: source.objects.update(b=b"2")
    result = mirrored(source, target)
    assert target.objects == {"a": b"1", "b": b"2"}
    assert (result.targets[0].left, result.targets[0].failed) == (1, 0)


def test_a_server_that_does_not_answer_ends_the_run_which_the_next_one_goes_on_with():
    source, target = Bucket({f"{number:03}": b"1" for number in range(50)}), Bucket({"gone": b"1"})
    target.failures[("put", "020")] = LifeboatError("Cannot reach the server", "no answer")
    with pytest.raises(mirror_run.MirrorStopped, match="Cannot reach the server") as end:
        mirrored(source, target)
    assert end.value.exit_code == 1
    done = counts(end.value.result)["copy"]
    assert 0 < done < 50 and "gone" in target.objects
    target.requests.clear()
    mirrored(source, target)
    assert target.objects == source.objects
    assert sum(request == "put" for request, _key in target.requests) == 50 - done


@pytest.mark.parametrize("request_", ["part", "finish"])
def test_an_upload_that_fails_is_dropped(request_):
    source, target = Bucket({"large": b"x" * 23}), Bucket()
    target.failures[(request_, "large")] = LifeboatError("Cannot reach the server")
    with pytest.raises(mirror_run.MirrorStopped):
        mirrored(source, target)
    assert target.requests[-1] == ("abort", "large") and target.objects == {}


def test_guards_refuse_before_anything_is_changed():
    target = Bucket({f"{number:04}": b"1" for number in range(500)})
    with pytest.raises(GuardRefusal) as refusal:
        mirrored(Bucket({"0000": b"1"}), target)
    assert refusal.value.guard == "mass_delete"
    assert target.requests == [("list", "")]
    with pytest.raises(GuardRefusal) as refusal:
        mirrored(Bucket(), target, allowed=frozenset(["mass_delete"]))
    assert refusal.value.guard == "source"
    mirrored(Bucket({"0000": b"1"}), target, allowed=frozenset(["mass_delete"]))
    assert target.objects == {"0000": b"1"}


@pytest.mark.parametrize("work", [mirror_run.plan, mirror_verify.compare])
def test_no_thread_still_lists_when_one_of_the_listings_has_failed(work):
    """Left to the collection of garbage it would be waited for by whatever thread that comes in."""
    source, target = Bucket({"0": b"1"}), Bucket({f"{number:05}": b"1" for number in range(3000)})

    def broken(*, is_compared=True):
        yield source.item("0")
        raise LifeboatError("Cannot list it", "the server has gone")

    source.items = broken
    with pytest.raises(LifeboatError, match="the server has gone") as failure:
        work(mirror_run.Request(source, (target,), threads=2))
    assert failure.tb is not None  # which keeps all frames
    assert not [each.name for each in threading.enumerate() if each.name.startswith("lifeboat-list")]


@pytest.mark.parametrize(("encrypted", "refused"), [(21, True), (20, False), (9, False)])
def test_objects_that_look_encrypted_are_not_mirrored(encrypted, refused):
    plain = {f"{number:02}": f"line {number}\n".encode() * 100 for number in range(21)}
    after = {key: random.Random(key).randbytes(800) if int(key) < encrypted else plain[key] + b"." for key in plain}
    if encrypted == 20:
        after["20"] = plain["20"]
    target = Bucket(plain)
    if not refused:
        mirrored(Bucket(after), target)
        assert target.objects == after
        return
    with pytest.raises(GuardRefusal) as refusal:
        mirrored(Bucket(after), target)
    assert refusal.value.guard == "entropy_jump" and target.objects == plain
    mirrored(Bucket(after), target, allowed=frozenset(["entropy_jump"]))
    assert target.objects == after


def test_results_have_bounded_samples():
    source, target = Bucket({f"{number:04}": b"1" for number in range(300)}), Bucket()
    target.failures = {("put", f"{number:04}"): ObjectError("Cannot write") for number in range(200)}
    with pytest.raises(IncompleteError) as end:
        mirrored(source, target)
    done = end.value.result.targets[0]
    assert (done.failed, len(done.problems), done.counts[Action.COPY]) == (200, SAMPLE, 100)
    assert len(str(end.value)) < 1000


def test_a_plan_file_has_every_step_and_is_private(tmp_path):
    path = tmp_path / "plan.jsonl"
    source, target = Bucket({"a": b"1", "b": b"22"}), Bucket({"b": b"3", "\udc80": b"4"}, name="there")
    planned = mirror_run.plan(mirror_run.Request(source, (target,)))
    with planned.steps:
        write_plan_file(str(path), planned.steps, ["there"])
    assert [json.loads(line) for line in path.read_text().splitlines()] == [
        {"target": "there", "action": "copy", "key": "a", "bytes": 1},
        {"target": "there", "action": "replace", "key": "b", "bytes": 2},
        {"target": "there", "action": "remove", "key": "\udc80", "bytes": 1},
    ]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["plan.jsonl"]
    with pytest.raises(LifeboatError, match="Cannot write the plan"):
        write_plan_file(str(tmp_path / "none" / "plan"), [], [])


def test_bandwidth_is_limited_over_all_threads(monkeypatch):
    time = {"now": 100.0}
    monkeypatch.setattr(clock, "monotonic", lambda: time["now"])
    monkeypatch.setattr(clock, "sleep", lambda seconds: time.update(now=time["now"] + seconds))
    limit = Bandwidth(1000)
    for _piece in range(50):
        limit.take(100)
    assert 104.5 <= time["now"] <= 105.0
    Bandwidth(0).take(10**12)
    assert time["now"] <= 105.0


# Several processes


@pytest.fixture
def two_processes(monkeypatch):
    monkeypatch.setattr(mirror_run, "processes_for", lambda _objects, _threads: 2)


class Shared(Bucket):
    """A bucket in a directory, which other processes see."""

    def __init__(self, folder, **options):
        super().__init__(**options)
        self._folder = folder

    def put(self, subject, data):
        self._asked("put", subject.item.key)
        if subject.item.key in self.deadly:
            os.kill(os.getpid(), signal.SIGKILL)
        (self._folder / subject.item.key).write_bytes(data)
        self.notes["put"] += 1

    deadly = ()

    def found(self):
        return {path.name: path.read_bytes() for path in self._folder.iterdir()}


def test_processes_share_the_work_and_their_counts_are_added(tmp_path, two_processes):
    source, target = Bucket({f"{number:03}": b"x" * (number % 7) for number in range(101)}), Shared(tmp_path)
    target.notes["before"] = 1
    result = mirrored(source, target, threads=4)
    assert target.found() == source.objects
    assert counts(result)["copy"] == 101 and result.targets[0].bytes == sum(map(len, source.objects.values()))
    assert target.notes == {"before": 1, "put": 101}


def test_objects_that_fail_in_another_process_are_reported(tmp_path, two_processes):
    source, target = Bucket({f"{number:03}": b"1" for number in range(60)}), Shared(tmp_path)
    target.failures = {("put", f"{number:03}"): ObjectError("Cannot write it") for number in range(50)}
    with pytest.raises(IncompleteError) as end:
        mirrored(source, target)
    done = end.value.result.targets[0]
    assert (done.failed, len(done.problems), done.counts[Action.COPY]) == (50, SAMPLE, 10)


def test_a_server_that_does_not_answer_another_process_ends_the_run(tmp_path, two_processes):
    source, target = Bucket({f"{number:03}": b"1" for number in range(60)}), Shared(tmp_path)
    target.objects["gone"] = b"1"
    target.failures = {("put", "030"): LifeboatError("Cannot reach the server", "no answer", "wait")}
    with pytest.raises(mirror_run.MirrorStopped, match="no answer") as end:
        mirrored(source, target)
    assert counts(end.value.result)["copy"] == len(target.found()) and "gone" in target.objects


def test_a_process_that_is_killed_ends_the_run(tmp_path, two_processes, capfd):
    source, target = Bucket({f"{number:03}": b"1" for number in range(60)}), Shared(tmp_path)
    target.objects["gone"] = b"1"
    target.deadly = ("031",)
    with pytest.raises(mirror_run.MirrorStopped, match="ended early"):
        mirrored(source, target)
    assert "gone" in target.objects
    target.deadly = ()
    target.objects = {"gone": b"1", **target.found()}
    mirrored(source, target)
    assert target.found() == source.objects and "gone" not in target.objects


@pytest.mark.parametrize(
    ("objects", "threads", "cores", "processes"), [(999, 16, 8, 1), (1000, 16, 8, 4), (1000, 16, 4, 2), (1000, 4, 8, 1)]
)
def test_there_are_several_processes_only_where_they_pay(monkeypatch, objects, threads, cores, processes):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(cores)))
    assert mirror_processes.processes_for(objects, threads) == processes
