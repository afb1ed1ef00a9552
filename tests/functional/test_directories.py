# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Directories as sources and targets, with what only root may have, without rights, and while others write."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import itertools
import json
import mmap
import multiprocessing
import os
import pathlib
import re
import shutil
import signal
import struct
import tempfile
import threading
import time
import tracemalloc
import typing as t

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine import steps
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import LifeboatError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects import directory_source
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.directory_source import DirectorySource
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.directory_target import DirectoryTarget
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.source import (
    ChangedError,
    ObjectError,
    VanishedError,
)
from ansible_collections.lifeboat.recovery.tests.unit.plugins.module_utils._engine.objects.tree_model import (
    brought,
    file_row,
    picture,
    taken,
)

NOBODY = 65534
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has devices, and gives files to others")


@pytest.fixture
def place() -> t.Iterator[pathlib.Path]:
    """A directory that anybody may use: those of pytest are for its user alone."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="lifeboat-directories-"))
    path.chmod(0o777)
    try:
        yield path
    finally:
        shutil.rmtree(path)


def unprivileged(work: t.Callable[[], t.Any]) -> t.Any:
    """Return what `work` returns (JSON) when it is done by a user without rights."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        answer: t.Any = "it raised what is no JSON"
        try:
            if os.geteuid() == 0:
                os.setgroups([])
                os.setgid(NOBODY)
                os.setuid(NOBODY)
            answer = work()
        except BaseException as error:
            answer = f"{type(error).__name__}: {error}"
        finally:
            os.write(writer, json.dumps(answer).encode())
            os._exit(0)
    os.close(writer)
    with open(reader, "rb") as file:
        answer = json.loads(file.read())
    os.waitpid(child, 0)
    return answer


def acl(*entries: tuple[int, int, int]) -> bytes:
    """Return a POSIX ACL as its extended attribute has it (linux/posix_acl_xattr.h): tag, permissions, id."""
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


NO_ID = 2**32 - 1
ACL = acl((1, 6, NO_ID), (2, 4, 12345), (4, 4, NO_ID), (16, 4, NO_ID), (32, 0, NO_ID))


def corpus(root: pathlib.Path) -> None:
    (root / "d/empty").mkdir(parents=True)
    (root / "d/file").write_bytes(b"bytes" * 100_000)
    os.setxattr(root / "d/file", "system.posix_acl_access", ACL)
    os.setxattr(root / "d", "system.posix_acl_default", ACL)
    (root / "d/below an ACL").write_bytes(b"inherits")
    (root / "d/program").write_bytes(b"#!")
    (root / "d/program").chmod(0o6755)
    os.link(root / "d/program", root / "other name")
    os.link(root / "d/program", root / "a first name")
    (root / "link").symlink_to("/etc/shadow")
    os.mkfifo(root / "fifo", 0o622)
    with (root / "sparse").open("wb") as file:
        file.truncate(32 * 1024 * 1024)
        file.seek(16 * 1024 * 1024)
        file.write(os.urandom(100_000))
    for name in ("e\u0301", "é", "gr\udcfc\udcdfe", "line\nfeed", "%lb-dot", "-rf", "~", "*", "n" * 255, "a.b", "a"):
        (root / name).write_text("x")
        os.utime(root / name, ns=(7, 1_234_567_890_123_456_789))
    (root / "d").chmod(0o1770)


def as_root(root: pathlib.Path) -> None:
    os.mknod(root / "null", 0o20666, os.makedev(1, 3))
    os.mknod(root / "disk", 0o60600, os.makedev(7, 0))
    for path in ("d/file", "d/program", "d", "fifo", "link", "null"):
        mode = (root / path).lstat().st_mode
        os.chown(root / path, NOBODY, 54321, follow_symlinks=False)
        if path == "d/program":
            os.chmod(root / path, mode)
    os.setxattr(root / "link", "trusted.of_link", b"1", follow_symlinks=False)
    # cap_net_bind_service=ep (linux/capability.h, revision 2)
    os.setxattr(root / "d/file", "security.capability", struct.pack("<IIIII", 0x02000001, 1 << 10, 0, 0, 0))


@needs_root
def test_root_gets_everything_back(place: pathlib.Path) -> None:
    root, back = place / "root", place / "deep/er/back"
    root.mkdir()
    corpus(root)
    as_root(root)
    backup = taken(DirectorySource([str(root)], devices=True), str(root))
    target = DirectoryTarget({"c": str(back)}, devices=True)
    written, remarks = brought(target, "c", backup)
    assert [each for each in written if each.remarks] + list(remarks) == []
    assert picture(back) == picture(root)
    again = DirectoryTarget({"c": str(back)}, devices=True)
    there = {item.key: item for item in again.items("c")}
    assert [row.key for row, _data in backup if not again.is_same(row, there[row.key])] == []


@needs_root
def test_a_second_restore_over_another_state_leads_to_the_same(place: pathlib.Path) -> None:
    root, back = place / "root", place / "back"
    for each in (root, back):
        each.mkdir()
    corpus(root)
    as_root(root)
    os.setxattr(back, "system.posix_acl_default", ACL)
    (back / "d").symlink_to("/")
    (back / "link").mkdir()
    (back / "fifo").write_text("no fifo")
    (back / "sparse").write_bytes(b"x" * 5_000)
    os.setxattr(back / "sparse", "user.extra", b"1")
    os.link(back / "sparse", back / "other name")
    backup = taken(DirectorySource([str(root)], devices=True), str(root))
    brought(DirectoryTarget({"c": str(back)}, devices=True), "c", backup)
    assert picture(back) == picture(root)


def test_a_user_without_rights_restores_all_but_what_needs_them(place: pathlib.Path) -> None:
    root, back = place / "root", place / "back"
    root.mkdir()
    corpus(root)
    backup = taken(DirectorySource([str(root)]), str(root))
    backup = [
        (row._replace(properties={**row.properties, "uid": 4321, "gid": 4321, "user": "", "group": ""}), data)
        for row, data in backup
    ]

    def work() -> t.Any:
        target = DirectoryTarget({"c": str(back)})
        written, remarks = brought(target, "c", backup)
        there = {item.key: item for item in target.items("c")}
        same = [row.key for row, _data in backup if target.is_same(row, there[row.key])]
        return {each.key: each.remarks for each in written}, remarks, len(same)

    answer = unprivileged(work)
    assert isinstance(answer, list), answer
    written, remarks, same = answer
    owner = "its owner is not 4321:4321: Operation not permitted"
    assert written["a first name"] == [owner, "its mode is 0755 and not 6755: it has another owner"]
    assert written["d/file"] == [owner]
    assert f"d: {owner}" in remarks
    assert same == len(backup)
    assert (back / "d/program").stat().st_mode & 0o7777 == 0o755
    wanted, found = picture(root), picture(back)
    for path, facts in wanted.items():
        assert {**facts, "owner": 0, "mode": 0} == {**found[path], "owner": 0, "mode": 0}


def test_a_user_without_rights_is_told_what_could_not_be_read(place: pathlib.Path) -> None:
    root = place / "root"
    (root / "closed/below").mkdir(parents=True)
    for name in ("closed/below/file", "secret", "open"):
        (root / name).write_text("x")
    (root / "secret").chmod(0o000)
    (root / "closed").chmod(0o111)

    def work() -> t.Any:
        source, told = DirectorySource([str(root)]), {}
        for item in source.items(str(root)):
            try:
                source.read_whole(str(root), item)
                told[item.key] = "read"
            except ObjectError as error:
                told[item.key] = error.cause
        return told

    if os.geteuid() != 0:
        (root / "closed").chmod(0o000)
    try:
        denied = "Permission denied"
        assert unprivileged(work) == {"": "read", "closed": denied, "open": "read", "secret": denied}
    finally:
        (root / "closed").chmod(0o700)


def test_a_directory_that_cannot_be_listed_never_looks_unchanged(place: pathlib.Path) -> None:
    root = place / "root"
    (root / "d").mkdir(parents=True)
    if os.geteuid() == 0:
        os.chown(root / "d", 4321, 4321)
    before = next(item for item in DirectorySource([str(root)]).items(str(root)) if item.key == "d")

    def work() -> t.Any:
        return [item.etag for item in DirectorySource([str(root)]).items(str(root)) if item.key == "d"]

    os.chmod(root / "d", 0o000 if os.geteuid() else 0o700)
    (seen,) = unprivileged(work)
    assert seen != before.etag and seen.endswith("-unlisted")
    (root / "d").chmod(0o700)


def test_another_file_system_is_not_entered_when_only_one_is_wanted() -> None:
    sources = [DirectorySource(["/dev"], one_file_system=one, devices=True) for one in (True, False)]
    own, all_of_them = ([item.key for item in source.items("/dev")] for source in sources)
    assert ("/dev", "pts") in sources[0].scope().mounts and not sources[1].scope().mounts
    assert {"pts", "shm"} <= set(own)
    assert not [key for key in own if key.startswith("pts/")]
    assert [key for key in all_of_them if key.startswith("pts/")]


class Writer:
    """Changes three files for ever, in place and by renaming, each state with its digest in it."""

    def __init__(self, place: pathlib.Path, name: str) -> None:
        self._place, self._name = place, name
        self._calls = mmap.mmap(-1, 3 * 8)  # the number of the latest call for each file

    def latest(self, key: str) -> int:
        """Return the number of the latest call that was begun on a file that is being written in place, else 0."""
        return int.from_bytes(self._calls[self._slot(key)], "big")

    @staticmethod
    def _slot(key: str) -> slice:
        return slice(8 * int(key[1]), 8 * int(key[1]) + 8)

    def write(self) -> None:
        for number in itertools.count(1):
            body = os.urandom(1_000_000)  # states cannot be told by their size
            data = hashlib.sha256(body).digest() + body
            key = f"d{number % 3}/{self._name}"
            path, new = self._place / key, self._place / f"new{self._name}"
            with contextlib.suppress(OSError):
                if number % 8 == 0:
                    path.unlink()
                elif number % 8 == 1:
                    new.write_bytes(data)
                    new.rename(path)
                else:
                    path.parent.mkdir(exist_ok=True)
                    self._write_in_place(key, data, os.O_TRUNC if number % 8 == 2 else 0)
            self._calls[self._slot(key)] = bytes(8)
            time.sleep(0.01)  # a file is read only when it has rested

    def _write_in_place(self, key: str, data: bytes, flag: int) -> None:
        numbers = itertools.count(time.monotonic_ns())
        self._calls[self._slot(key)] = next(numbers).to_bytes(8, "big")
        descriptor = os.open(self._place / key, os.O_WRONLY | os.O_CREAT | flag)
        for begin in range(0, len(data), 32_768):
            self._calls[self._slot(key)] = next(numbers).to_bytes(8, "big")
            os.write(descriptor, data[begin : begin + 32_768])
        self._calls[self._slot(key)] = next(numbers).to_bytes(8, "big")
        os.ftruncate(descriptor, len(data))
        os.close(descriptor)


def test_every_file_that_is_read_while_others_write_is_of_one_state(
    place: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What lies there between two calls of a writer, or during one, is a state of the file, too.

    So what was read between the beginning of one and the beginning of the next is not judged. On a busy machine that
    can be long.
    """
    monkeypatch.setattr(directory_source, "_CHUNK", 1_024)  # many calls for a file: writers come in between
    writers = {name: Writer(place, name) for name in "01"}
    seen: list[int] = []  # the calls at which the bytes of a file began and ended to be read
    read_chunks = directory_source._chunks

    def chunks(key: str, *wanted: int) -> t.Iterator[bytes]:
        seen[:] = [writers[key[-1]].latest(key)]
        yield from read_chunks(*wanted)
        seen.append(writers[key[-1]].latest(key))

    fork = multiprocessing.get_context("fork")
    processes = [fork.Process(target=writer.write) for writer in writers.values()]
    for process in processes:
        process.start()
    source, read, refused = DirectorySource([str(place)]), 0, 0
    try:
        while read < 1_000 or not refused:
            for item in source.items(str(place)):
                if not re.fullmatch("d[0-2]/[01]", item.key):
                    continue
                monkeypatch.setattr(directory_source, "_chunks", functools.partial(chunks, item.key))
                try:
                    found, data = source.read_whole(str(place), item)
                except VanishedError:
                    continue
                except ChangedError:
                    refused += 1
                    continue
                if data and not (seen[0] and seen[1] - seen[0] in (0, 1)):
                    assert len(data) == found.item.size
                    assert hashlib.sha256(data[32:]).digest() == data[:32]
                    read += 1
    finally:
        for process in processes:
            process.kill()
            process.join()


def test_a_link_that_comes_and_goes_in_the_way_never_leads_a_restore_out(place: pathlib.Path) -> None:
    root, outside, ended = place / "root", place / "outside", threading.Event()
    (root / "d").mkdir(parents=True)
    outside.mkdir()

    def swap() -> None:
        while not ended.is_set():
            with contextlib.suppress(OSError):  # the restore makes the directory anew in between
                os.rename(root / "d", root / "moved")
            with contextlib.suppress(OSError):
                os.symlink(outside, root / "d")
                os.unlink(root / "d")
            shutil.rmtree(root / "d", ignore_errors=True)
            with contextlib.suppress(OSError):
                os.rename(root / "moved", root / "d")

    swapper = threading.Thread(target=swap)
    target = DirectoryTarget({"c": str(root)})
    target.prepare("c")
    swapper.start()
    beside = 0
    try:
        for number in range(50_000):
            if beside and number > 1_500:
                break
            with contextlib.suppress(LifeboatError, OSError):
                kind = {} if number % 3 else {"type": "symlink", "target": "x"}
                data = b"x" if number % 3 else b""
                key = target.write("c", file_row(f"d/{number}", data, **kind), iter([data] if data else [])).key
                beside += key.startswith("%lb-below-")
                target.remove("c", f"d/{number - 5}")
    finally:
        ended.set()
        swapper.join()
    assert list(outside.iterdir()) == []
    assert beside  # the link was in the way at least once


def test_a_restore_that_was_killed_anywhere_can_be_repeated(place: pathlib.Path) -> None:
    root, back = place / "root", place / "back"
    root.mkdir()
    corpus(root)
    backup = taken(DirectorySource([str(root)]), str(root))
    for step in range(1, 60, 6):
        child = os.fork()
        if not child:
            left = [step]

            def count(_name: str, remaining: list[int]) -> None:
                remaining[0] -= 1
                if not remaining[0]:
                    os.kill(os.getpid(), signal.SIGKILL)

            steps.watch(functools.partial(count, remaining=left))
            brought(DirectoryTarget({"c": str(back)}), "c", backup)
            os._exit(0)
        os.waitpid(child, 0)
    target = DirectoryTarget({"c": str(back)})
    target.prepare("c")
    there = {item.key: item for item in target.items("c")}
    assert not [key for key in there if ".lifeboat-" in key]
    different = [(row, data) for row, data in backup if row.key not in there or not target.is_same(row, there[row.key])]
    brought(target, "c", different)
    assert picture(back) == picture(root)


def traced(work: t.Callable[[], t.Any]) -> int:
    """Return the most bytes that Python held while `work` was done."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_the_memory_of_a_listing_does_not_grow_with_the_tree(place: pathlib.Path) -> None:
    def peak(folders: int) -> int:
        root = place / str(folders)
        for folder in range(folders):
            (root / f"{folder:04d}").mkdir(parents=True)
            for number in range(50):
                os.close(os.open(root / f"{folder:04d}/{number:020d}", os.O_CREAT | os.O_WRONLY))
        return traced(lambda: [None for _item in DirectorySource([str(root)]).items(str(root)) if not _item])

    peak(4)
    assert peak(100) - peak(10) < 50 * 1024


def test_the_memory_of_a_restore_does_not_grow_with_its_directories(place: pathlib.Path) -> None:
    def peak(folders: int) -> int:
        target = DirectoryTarget({"c": str(place / str(folders))})
        target.prepare("c")

        def work() -> None:
            for number in range(folders):
                row = file_row(f"{number:030d}", type="directory", xattrs={"user.x": "YWFh" * 500})
                target.write("c", row, iter([]))

        return traced(work)

    peak(10)
    assert peak(4_000) < 6 * 1024 * 1024  # 4 MiB of them are in memory; all would be more than 8
