# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import fcntl
import os
import pathlib
import signal
import typing as t

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import GuardRefusal, LifeboatError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects import (
    reading_processes,
    worker_processes,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.batch_reading import Job
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.changes import Wanted
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.member_names import MemberNames
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.pack_writer import PackWriter
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.reading_processes import (
    ReadingProcesses,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.directory import DirectoryStore
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.publish import Run
from ansible_collections.lifeboat.recovery.tests.unit.plugins.module_utils._engine.objects.pack_model import (
    COLLECTION,
    FlyingSource,
    item_of,
    rows_of,
)

WAIT_S = 20
OBJECTS = {f"{number:04d}": bytes([number % 256]) * (number % 3000) for number in range(800)}
Told = t.List[t.Tuple[str, str, str, str]]  # noqa: UP006 - evaluated at run time on Python 3.9 as well


def compress(data: bytes) -> bytes:
    return data


def jobs(source: FlyingSource, keys: t.Iterable[str]) -> list[Job]:
    names = MemberNames(COLLECTION)
    return [
        Job(Wanted(item_of(key, source.objects[key]), None, only_properties=False), names.name(key)) for key in keys
    ]


@contextlib.contextmanager
def reading(source: FlyingSource, told: Told | None = None) -> t.Iterator[ReadingProcesses]:
    def opened(report: reading_processes.Report) -> FlyingSource:
        source.report = report
        return source

    with ReadingProcesses(
        opened, compress, 2, 8, lambda *words: (told if told is not None else []).append(words)
    ) as it:
        yield it


def children() -> set[int]:
    """Return the ids of the processes whose parent this one is."""
    found = set()
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError), open(f"/proc/{name}/stat", encoding="ascii") as stat:
                if int(stat.read().rpartition(")")[2].split()[1]) == os.getpid():
                    found.add(int(name))
    return found


def test_processes_read_what_threads_read(tmp_path: pathlib.Path) -> None:
    found = []
    for number in range(2):
        (tmp_path / str(number)).mkdir()
        run = Run(DirectoryStore(str(tmp_path / str(number))), "uploads")
        source = FlyingSource(OBJECTS)
        with reading(source) if number else contextlib.nullcontext() as readers:
            rows, remarks = rows_of(source, PackWriter(run), readers=readers)
        run.abandon()
        assert remarks == []
        found.append([row._replace(location=None) for row in rows])
        calls = len(source.calls)
        assert calls == (0 if number else len(OBJECTS)), "the objects were read in the wrong process"
    assert found[0] == found[1]
    assert [row.key for row in found[0]] == sorted(OBJECTS)


def test_no_process_is_left_and_none_holds_the_locks_of_its_parent(tmp_path: pathlib.Path) -> None:
    before = children()
    with open(tmp_path / "lock", "wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        source = FlyingSource(OBJECTS)
        with reading(source) as readers:
            readers.submit(COLLECTION, jobs(source, ["0001"])).result(WAIT_S)
            assert len(children() - before) == 2
            lock.close()
            with open(tmp_path / "lock", "wb") as again:
                fcntl.flock(again, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert children() == before


def test_what_concerns_the_whole_source_comes_out_as_it_is() -> None:
    source = FlyingSource(OBJECTS)

    def refuse(_call: str, key: str) -> None:
        if key == "0002":
            raise GuardRefusal("source", "Cannot read", "it is on fire", "run")

    source.hook = refuse
    with reading(source) as readers:
        future = readers.submit(COLLECTION, jobs(source, ["0001", "0002", "0003"]))
        with pytest.raises(GuardRefusal, match="on fire") as caught:
            future.result(WAIT_S)
    assert (caught.value.guard, caught.value.remedy) == ("source", "run")


def test_a_process_that_is_killed_fails_what_it_was_to_read() -> None:
    source = FlyingSource(OBJECTS)
    before = children()

    def die(_call: str, key: str) -> None:
        if key == "0002":
            os.kill(os.getpid(), signal.SIGKILL)

    source.hook = die
    with reading(source) as readers, pytest.raises(LifeboatError, match="ended early"):
        readers.submit(COLLECTION, jobs(source, ["0001", "0002"])).result(WAIT_S)
    assert children() == before


def test_what_sources_tell_arrives_and_of_a_whole_collection_only_once() -> None:
    source = FlyingSource(OBJECTS)
    told: Told = []

    def tell(_call: str, key: str) -> None:
        source.report(COLLECTION, "", "unseen", "locks cannot be read")
        source.report(COLLECTION, key, "skipped", "why not")

    source.hook = tell
    with reading(source, told) as readers:
        batches = [readers.submit(COLLECTION, jobs(source, [key])) for key in ("0001", "0002", "0003", "0004")]
        for batch in batches:
            batch.result(WAIT_S)
    assert sorted(told) == [
        (COLLECTION, "", "unseen", "locks cannot be read"),
        *[(COLLECTION, f"000{number}", "skipped", "why not") for number in (1, 2, 3, 4)],
    ]


def test_who_is_no_longer_waited_for_ends() -> None:
    source = FlyingSource(OBJECTS)
    before = children()
    with contextlib.suppress(ZeroDivisionError), reading(source) as readers:
        readers.submit(COLLECTION, jobs(source, OBJECTS))
        raise ZeroDivisionError
    assert children() == before


@pytest.mark.parametrize(("cores", "threads", "expected"), [(1, 16, 0), (2, 16, 0), (4, 16, 2), (64, 16, 4), (4, 4, 0)])
def test_as_many_processes_read_as_leave_cores_for_servers(
    cores: int, threads: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(cores)))
    monkeypatch.setattr(worker_processes.threading, "active_count", lambda: 1)
    assert worker_processes.processes_for(threads) == expected


def test_a_process_with_threads_is_not_forked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(8)))
    monkeypatch.setattr(worker_processes.threading, "active_count", lambda: 2)
    assert worker_processes.processes_for(16) == 0
