# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import os
import pathlib
import resource
import signal
import stat
import threading
import typing as t

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine import clock, steps
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import (
    BusyError,
    DamagedError,
    LifeboatError,
    UsageError,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository import directory, store, tree
from hypothesis import given, settings
from hypothesis import strategies as st

MEBIBYTE = 1024 * 1024
KEY = "manifests/lab/20261120T020000Z-0a1b2c.json"


@pytest.fixture
def place(tmp_path: pathlib.Path) -> directory.DirectoryStore:
    (tmp_path / "root").mkdir()
    return directory.DirectoryStore(str(tmp_path / "root"))


def keys(place: directory.DirectoryStore, prefix: str = "") -> list[str]:
    return [entry.key for entry in place.entries(prefix)]


def all_names(root: str) -> list[str]:
    """Return every file below `root` except locks, temporary ones too."""
    found = [os.path.relpath(os.path.join(at, name), root) for at, _ignored, names in os.walk(root) for name in names]
    return sorted(name for name in found if not name.endswith(".lock"))


def fork(work: t.Callable[[], object]) -> int:
    """Run `work` in a forked process, which ends with 0, or with 99 after an exception."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
        except BaseException:
            os._exit(99)
        os._exit(0)
    return pid


def in_a_child(work: t.Callable[[], object]) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(fork(work), 0)[1])


def write_stream(place: directory.DirectoryStore, key: str, data: bytes, chunk: int = 100_000) -> store.Entry:
    upload = place.upload(key, len(data))
    for start in range(0, len(data), chunk):
        upload.write(data[start : start + chunk])
    return upload.finish()


def test_documents_come_back_with_their_etag(place: directory.DirectoryStore) -> None:
    etag = place.put_new(KEY, b"{}")
    document = place.get(KEY)
    assert document is not None
    assert (document.data, document.etag) == (b"{}", etag)
    assert etag == hashlib.sha256(b"{}").hexdigest()
    assert place.put(KEY, b"[]") != etag
    assert place.read(KEY).__next__() == b"[]"


def test_what_is_not_there_is_none_and_reading_it_is_damage(place: directory.DirectoryStore) -> None:
    place.put("file", b"x")
    for key in ("nothing", "no/where", "file/below"):
        assert place.get(key) is None
        assert place.stat(key) is None
        with pytest.raises(DamagedError):
            next(place.read(key))
    place.put("folder/file", b"x")
    assert place.get("folder") is None
    assert place.stat("folder") is None


@pytest.mark.parametrize("size", [0, 1, MEBIBYTE, 20 * MEBIBYTE + 1])
def test_an_upload_is_visible_only_when_it_is_finished(place: directory.DirectoryStore, size: int) -> None:
    data = os.urandom(size)
    upload = place.upload("data/lab/1/dump", size)
    upload.write(data)
    assert keys(place) == []
    assert place.stat("data/lab/1/dump") is None
    entry = upload.finish()
    upload.abort()
    assert (entry.key, entry.size) == ("data/lab/1/dump", size)
    assert place.stat("data/lab/1/dump") == entry == next(place.entries(""))
    chunks = list(place.read("data/lab/1/dump"))
    assert b"".join(chunks) == data
    assert all(len(chunk) <= MEBIBYTE for chunk in chunks)
    assert all_names(place.name) == ["data/lab/1/dump"]


def test_an_aborted_upload_leaves_nothing(place: directory.DirectoryStore) -> None:
    upload = place.upload("data/lab/1/dump", 10)
    upload.write(b"x")
    upload.abort()
    upload.abort()
    assert all_names(place.name) == []


def test_a_range_is_read_and_one_that_goes_over_the_end_is_an_error(place: directory.DirectoryStore) -> None:
    data = os.urandom(3 * MEBIBYTE)
    write_stream(place, "data/file", data)
    assert b"".join(place.read("data/file", 1000, 2 * MEBIBYTE)) == data[1000 : 1000 + 2 * MEBIBYTE]
    assert b"".join(place.read("data/file", 3 * MEBIBYTE - 5)) == data[-5:]
    assert b"".join(place.read("data/file", 7, 0)) == b""
    with pytest.raises(store.StoreError, match="ends 1 bytes early"):
        list(place.read("data/file", 0, 3 * MEBIBYTE + 1))


def test_put_new_and_uploads_never_overwrite(place: directory.DirectoryStore) -> None:
    place.put_new(KEY, b"first")
    with pytest.raises(store.ExistsError):
        place.put_new(KEY, b"second")
    with pytest.raises(store.ExistsError):
        write_stream(place, KEY, b"third")
    assert b"".join(place.read(KEY)) == b"first"
    assert all_names(place.name) == [KEY]


def test_replace_needs_the_etag_of_what_is_there(place: directory.DirectoryStore) -> None:
    with pytest.raises(store.ChangedError):
        place.replace(KEY, b"new", "etag")
    first = place.put_new(KEY, b"first")
    second = place.replace(KEY, b"second", first)
    with pytest.raises(store.ChangedError):
        place.replace(KEY, b"third", first)
    assert place.replace(KEY, b"third", second) == hashlib.sha256(b"third").hexdigest()
    assert all_names(place.name) == [KEY]


def test_one_of_many_processes_wins_a_new_key(place: directory.DirectoryStore) -> None:
    children = []
    for number in range(12):
        pid = os.fork()
        if pid == 0:
            with contextlib.suppress(store.ExistsError):
                place.put_new(KEY, b"%d" % number)
                os._exit(1)
            os._exit(0)
        children.append(pid)
    codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]
    assert sorted(codes) == [0] * 11 + [1]
    assert b"".join(place.read(KEY)) == b"%d" % codes.index(1)
    assert all_names(place.name) == [KEY]


def test_one_of_many_threads_wins_each_new_key(place: directory.DirectoryStore) -> None:
    wins: list[int] = []
    start = threading.Barrier(8)

    def run(number: int) -> None:
        start.wait()
        for key in range(20):
            with contextlib.suppress(store.ExistsError):
                place.put_new(f"race/{key}", b"%d" % number)
                wins.append(key)

    run_in_threads(run, 8)
    assert sorted(wins) == list(range(20))


def run_in_threads(work: t.Callable[[int], None], count: int) -> None:
    failures: list[BaseException] = []

    def guarded(number: int) -> None:
        try:
            work(number)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    assert failures == []


def test_of_replacements_at_once_none_is_lost(place: directory.DirectoryStore) -> None:
    place.put("counter", b"0")

    def count(_number: int) -> None:
        done = 0
        while done < 10:
            found = place.get("counter")
            assert found is not None
            with contextlib.suppress(store.ChangedError):
                place.replace("counter", b"%d" % (int(found.data) + 1), found.etag)
                done += 1

    run_in_threads(count, 6)
    assert b"".join(place.read("counter")) == b"60"


def test_writers_survive_the_removal_of_empty_directories(place: directory.DirectoryStore) -> None:
    def churn(number: int) -> None:
        for _attempt in range(60):
            place.put_new(f"a/b/c/{number}", b"x")
            assert place.get(f"a/b/c/{number}") is not None
            place.delete(f"a/b/c/{number}")

    run_in_threads(churn, 6)
    assert keys(place) == []
    assert not os.path.exists(os.path.join(place.name, "a"))


def test_a_directory_that_vanishes_before_its_first_file_is_made_again(
    place: directory.DirectoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    descend, left = tree.Tree._descend, [3]

    def then_removed(self: tree.Tree, parts: t.Sequence[str], make: bool) -> int:
        at = descend(self, parts, make)
        if make and left[0]:
            left[0] -= 1
            os.removedirs(os.path.join(place.name, *parts))
            os.makedirs(place.name, exist_ok=True)
        return at

    monkeypatch.setattr(tree.Tree, "_descend", then_removed)
    place.put_new("a/b/c", b"x")
    assert keys(place) == ["a/b/c"]
    assert left == [0]


def test_deleting_is_idempotent_and_leaves_neighbours(place: directory.DirectoryStore) -> None:
    place.put("a/b/one", b"1")
    place.put("a/two", b"2")
    for _again in range(2):
        place.delete("a/b/one")
        place.delete("a/b")
        place.delete("a")
        assert keys(place) == ["a/two"]
    assert os.listdir(os.path.join(place.name, "a")) == ["two"]


names = st.text(st.sampled_from("ab.-/0é~ "), min_size=1, max_size=12)


@settings(deadline=None, max_examples=60)
@given(wanted=st.lists(names, max_size=12), prefix=st.text(st.sampled_from("ab./"), max_size=3))
def test_listings_are_in_the_order_of_the_whole_keys(
    tmp_path_factory: pytest.TempPathFactory, wanted: list[str], prefix: str
) -> None:
    place = directory.DirectoryStore(str(tmp_path_factory.mktemp("root")))
    written = set()
    for key in wanted:
        with contextlib.suppress(store.StoreError):
            place.put_new(key, b"")
            written.add(key)
    found = keys(place)
    assert found == sorted(written, key=str.encode)
    with contextlib.suppress(store.StoreError):
        assert keys(place, prefix) == [key for key in found if key.startswith(prefix)]


@pytest.mark.parametrize("prefix", ["/", "/a", "a//", "../a", "a/../b"])
def test_a_prefix_that_no_key_can_have_is_refused(place: directory.DirectoryStore, prefix: str) -> None:
    place.put("a/one", b"1")
    with pytest.raises(store.StoreError, match="Cannot use the key"):
        keys(place, prefix)


def test_versions_are_the_entries(place: directory.DirectoryStore) -> None:
    place.put("a/one", b"1")
    (version,) = place.versions("a/")
    assert (version.entry, version.is_latest, version.is_delete_marker) == (place.stat("a/one"), True, False)


def test_locks_temporary_files_and_names_of_the_file_system_are_never_listed(place: directory.DirectoryStore) -> None:
    place.put("maintenance/lab.json", b"{}")
    upload = place.upload("data/dump", 0)
    with place.exclusive_lock("lab", 0):
        os.mkdir(os.path.join(place.name, "lost+found"))
        pathlib.Path(place.name, "data", ".nfs0000000001").write_bytes(b"")
        os.mkfifo(os.path.join(place.name, "fifo"))
        os.symlink("maintenance", os.path.join(place.name, "link"))
        assert keys(place) == ["maintenance/lab.json"]
        assert keys(place, "maintenance/") == ["maintenance/lab.json"]
    upload.abort()


@pytest.mark.parametrize(
    "key",
    ["", "/etc/passwd", "../out", "a/../b", "a//b", "a/", "./a", "a/.", "a\0b", ".tmp-0123456789abcdef", "a/.tmp-x/b"]
    + ["maintenance/lab.lock", "lost+found", "a/.nfs01"],
)
def test_keys_that_could_mean_another_place_are_refused(place: directory.DirectoryStore, key: str) -> None:
    calls: list[t.Callable[[], object]] = [
        lambda: place.get(key),
        lambda: place.stat(key),
        lambda: place.put(key, b""),
        lambda: place.put_new(key, b""),
        lambda: place.replace(key, b"", ""),
        lambda: place.delete(key),
        lambda: place.upload(key, 0),
        lambda: next(place.read(key)),
    ]
    for call in calls:
        with pytest.raises(store.StoreError, match="Cannot use the key"):
            call()
    assert all_names(place.name) == []


def test_a_directory_has_no_versions(place: directory.DirectoryStore) -> None:
    for call in (lambda: place.get("a", "1"), lambda: place.delete("a", "1"), lambda: next(place.read("a", 0, 1, "1"))):
        with pytest.raises(store.StoreError, match="no versions"):
            call()


def test_links_are_never_followed(place: directory.DirectoryStore, tmp_path: pathlib.Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(b"secret")
    os.symlink(outside, os.path.join(place.name, "folder"))
    os.symlink(outside / "secret", os.path.join(place.name, "file"))
    os.symlink(outside / "made", os.path.join(place.name, "dangling"))
    for key in ("folder/secret", "file", "dangling"):
        for call in (
            lambda key=key: place.get(key),
            lambda key=key: place.stat(key),
            lambda key=key: next(place.read(key)),
        ):
            with pytest.raises(store.StoreError, match="symbolic link"):
                call()
    for key in ("folder/secret", "folder/new"):
        for call in (
            lambda key=key: place.put(key, b"x"),
            lambda key=key: place.put_new(key, b"x"),
            lambda key=key: place.upload(key, 0),
            lambda key=key: place.delete(key),
        ):
            with pytest.raises(store.StoreError, match="symbolic link"):
                call()
    place.put("file", b"ours")
    with pytest.raises(store.ExistsError):
        place.put_new("dangling", b"x")
    assert sorted(os.listdir(outside)) == ["secret"]
    assert (outside / "secret").read_bytes() == b"secret"
    assert keys(place) == ["file"]


def test_a_lock_file_that_is_a_link_is_refused(place: directory.DirectoryStore, tmp_path: pathlib.Path) -> None:
    os.mkdir(os.path.join(place.name, "maintenance"))
    os.symlink(tmp_path / "made", os.path.join(place.name, "maintenance", "lab.lock"))
    with pytest.raises(store.StoreError, match="symbolic link"), place.exclusive_lock("lab", 0):
        pass
    assert not (tmp_path / "made").exists()


def test_an_absent_root_is_unavailable_and_never_made(tmp_path: pathlib.Path) -> None:
    place = directory.DirectoryStore(str(tmp_path / "unmounted"))
    calls: list[t.Callable[[], object]] = [
        place.now,
        lambda: place.get("a"),
        lambda: place.stat("a"),
        lambda: list(place.entries("")),
        lambda: list(place.entries("a/b")),
        lambda: place.put("a", b""),
        lambda: place.put_new("a/b", b""),
        lambda: place.delete("a"),
        lambda: place.upload("a", 0),
        lambda: next(place.read("a")),
        lambda: place.exclusive_lock("lab", 0).__enter__(),
        lambda: place.stale_temporaries(0),
    ]
    for call in calls:
        with pytest.raises(store.UnavailableError, match="mount"):
            call()
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_place_of_a_directory_is_no_empty_listing(place: directory.DirectoryStore) -> None:
    (pathlib.Path(place.name) / "manifests").write_text("")
    for prefix in ("manifests/lab/", "manifests/lab/2026"):
        with pytest.raises(store.StoreError) as refused:
            list(place.entries(prefix))
        assert "belongs" in refused.value.cause


def test_a_relative_root_is_refused() -> None:
    with pytest.raises(UsageError):
        directory.DirectoryStore("backups")


def test_modes_are_as_asked_whatever_the_umask(tmp_path: pathlib.Path) -> None:
    before = os.umask(0o077)
    try:
        place = directory.DirectoryStore(str(tmp_path))
        place.put_new("a/b/one", b"")
        write_stream(place, "a/b/two", b"")
        directory.DirectoryStore(str(tmp_path), file_mode=0o600, directory_mode=0o700).put("private/c", b"")
    finally:
        os.umask(before)
    modes = {str(path.relative_to(tmp_path)): stat.S_IMODE(path.stat().st_mode) for path in tmp_path.rglob("*")}
    assert modes["a"] == modes["a/b"] == 0o750
    assert modes["a/b/one"] == modes["a/b/two"] == 0o640
    assert (modes["private"], modes["private/c"]) == (0o700, 0o600)


def test_the_clock_is_the_one_that_dates_files(place: directory.DirectoryStore) -> None:
    before = place.now()
    place.put("file", b"")
    found = place.stat("file")
    assert found is not None
    assert before <= found.modified <= place.now()
    assert abs(clock.now() - before) < dt.timedelta(minutes=1)
    assert all_names(place.name) == ["file"]


def test_where_nothing_may_be_written_the_host_clock_serves(
    place: directory.DirectoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> t.NoReturn:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(tree.Tree, "temporary", refused)
    assert abs(clock.now() - place.now()) < dt.timedelta(minutes=1)
    with pytest.raises(store.DeniedError):
        place.put("a", b"")


def test_a_document_that_is_too_large_is_refused(place: directory.DirectoryStore) -> None:
    path = os.path.join(place.name, "huge")
    with open(path, "wb") as file:
        file.truncate(place.max_document_bytes + 1)
    with pytest.raises(store.StoreError, match="too many"):
        place.get("huge")


def test_a_fifo_is_no_file_and_does_not_block(place: directory.DirectoryStore) -> None:
    os.mkfifo(os.path.join(place.name, "fifo"))
    assert place.get("fifo") is None
    assert place.stat("fifo") is None


class TestFullDisk:
    """A limit on the size of files stands for a full disk: writes fail in the middle in the same way."""

    def test_a_document_leaves_nothing(self, place: directory.DirectoryStore) -> None:
        def work() -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
            with pytest.raises(store.StoreError, match="larger than"):
                place.put_new(KEY, bytes(5000))
            with pytest.raises(store.StoreError, match="larger than"):
                place.put(KEY, bytes(5000))

        assert in_a_child(work) == 0
        assert all_names(place.name) == []

    def test_an_upload_gives_its_space_back_before_it_is_aborted(self, place: directory.DirectoryStore) -> None:
        def work() -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
            upload = place.upload("data/dump", 0)
            upload.write(bytes(4000))
            with pytest.raises(store.StoreError, match="larger than"):
                upload.write(bytes(5000))
            if all_names(place.name):
                raise ValueError("space is not given back")
            upload.abort()

        assert in_a_child(work) == 0

    @pytest.mark.parametrize(("number", "words"), [(28, "no space is left"), (122, "quota"), (27, "larger than")])
    def test_the_text_says_what_is_full(self, number: int, words: str) -> None:
        error = tree.store_error("Cannot write", OSError(number, os.strerror(number)))
        assert error.__class__ is store.StoreError
        assert words in str(error)
        assert error.remedy


@pytest.mark.parametrize(
    ("number", "kind"),
    [(13, store.DeniedError), (1, store.DeniedError), (5, store.UnavailableError), (116, store.UnavailableError)],
)
def test_system_errors_become_their_kind(number: int, kind: type[store.StoreError]) -> None:
    assert tree.store_error("Cannot write", OSError(number, os.strerror(number))).__class__ is kind


def test_a_file_system_without_hard_links_is_refused_in_clear_words(
    place: directory.DirectoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> t.NoReturn:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "link", refused)
    with pytest.raises(store.StoreError, match="no hard links"):
        place.put_new(KEY, b"")
    with pytest.raises(store.StoreError, match="no hard links"):
        write_stream(place, KEY, b"x")
    assert all_names(place.name) == []


def test_a_link_whose_answer_was_lost_is_a_success(
    place: directory.DirectoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = os.link

    def asked_twice(*arguments: t.Any, **options: t.Any) -> None:
        link(*arguments, **options)
        link(*arguments, **options)

    monkeypatch.setattr(os, "link", asked_twice)
    place.put_new(KEY, b"ours")
    assert b"".join(place.read(KEY)) == b"ours"


def test_a_temporary_file_that_a_clean_up_took_is_an_error(place: directory.DirectoryStore) -> None:
    upload = place.upload("data/dump", 0)
    (path,) = place.stale_temporaries(-60)
    place.remove_temporary(path)
    with pytest.raises(store.StoreError, match="clean-up"):
        upload.finish()
    assert keys(place) == []


def test_only_old_temporary_files_of_ours_are_swept(place: directory.DirectoryStore) -> None:
    killed = place.upload("data/lab/1/dump", 0)
    old = os.path.join(place.name, place.stale_temporaries(-60)[0])
    os.utime(old, (1, 1))
    running = place.upload("data/lab/2/dump", 0)
    pathlib.Path(place.name, "data", ".tmp-of somebody else").write_bytes(b"")
    assert place.stale_temporaries(3600) == [os.path.relpath(old, place.name)]
    place.remove_temporary(place.stale_temporaries(3600)[0])
    assert not os.path.exists(os.path.join(place.name, "data/lab/1"))
    running.finish()
    assert keys(place) == ["data/lab/2/dump"]
    for path in ("data/lab/2/dump", "data/.tmp-of somebody else", "../.tmp-0123456789abcdef", "/.tmp-0123456789abcdef"):
        with pytest.raises(store.StoreError, match="no temporary file"):
            place.remove_temporary(path)
    killed.abort()


def test_what_a_killed_run_left_is_discarded_at_once_and_nothing_else(place: directory.DirectoryStore) -> None:
    write_stream(place, "data/lab/1/globals", b"kept")
    killed = place.upload("data/lab/1/dump", 0)
    running = place.upload("data/lab/10/dump", 0)
    place.discard_unfinished("data/lab/1/dump")
    place.discard_unfinished("data/lab/2/nothing")
    assert [path.rpartition("/")[0] for path in place.stale_temporaries(-60)] == ["data/lab/10"]
    running.finish()
    killed.abort()
    assert keys(place) == ["data/lab/1/globals", "data/lab/10/dump"]


def test_maintenance_and_publishing_exclude_each_other(place: directory.DirectoryStore) -> None:
    impatient = directory.DirectoryStore(place.name, lock_wait_s=0.05)
    assert place.has_locks
    with place.exclusive_lock("lab", 0):
        with pytest.raises(BusyError), impatient.shared_lock("lab"):
            pass
        with pytest.raises(BusyError), place.exclusive_lock("lab", 0.05):
            pass
        with impatient.shared_lock("other"):
            pass
    with (
        place.shared_lock("lab"),
        impatient.shared_lock("lab"),
        pytest.raises(BusyError),
        place.exclusive_lock("lab", 0),
    ):
        pass
    with place.exclusive_lock("lab", 0):
        pass


def test_a_lock_is_taken_when_its_holder_dies(place: directory.DirectoryStore) -> None:
    is_held, tell = os.pipe()
    wait, release = os.pipe()

    def hold() -> None:
        os.close(release)
        with place.exclusive_lock("lab", 0):
            os.write(tell, b"x")
            os.read(wait, 1)  # ends with the test, whatever becomes of it

    pid = fork(hold)
    try:
        os.read(is_held, 1)
        with pytest.raises(BusyError), place.exclusive_lock("lab", 0):
            pass
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        for descriptor in (is_held, tell, wait, release):
            os.close(descriptor)
    with place.exclusive_lock("lab", 10):
        pass


@pytest.mark.parametrize("name", ["a/b", "", "..", ".replace"])
def test_a_lock_has_the_name_of_a_job(place: directory.DirectoryStore, name: str) -> None:
    with pytest.raises(store.StoreError), place.exclusive_lock(name, 0):
        pass


def test_an_error_inside_a_lock_is_not_taken_for_one_of_the_lock(place: directory.DirectoryStore) -> None:
    with pytest.raises(FileNotFoundError), place.exclusive_lock("lab", 0):
        raise FileNotFoundError


def steps_of(work: t.Callable[[], object]) -> list[str]:
    seen: list[str] = []
    steps.watch(seen.append)
    try:
        work()
    finally:
        steps.unwatch(seen.append)
    return seen


def crash_at(number: int, work: t.Callable[[], object]) -> int:
    """Run `work` in a child that dies at its `number`-th step, as a killed process does: no clean-up runs."""

    def dying() -> None:
        left = [number]

        def observe(_step: str) -> None:
            if left[0] == 0:
                os._exit(77)
            left[0] -= 1

        steps.watch(observe)
        work()

    return in_a_child(dying)


NEW, OLD = b"new" * 1000, b"old"


def put_new(place: directory.DirectoryStore) -> object:
    return place.put_new("a/b/new", NEW)


def put(place: directory.DirectoryStore) -> object:
    return place.put("a/old", NEW)


def replace(place: directory.DirectoryStore) -> object:
    return place.replace("a/old", NEW, hashlib.sha256(OLD).hexdigest())


def upload(place: directory.DirectoryStore) -> object:
    return write_stream(place, "a/b/new", NEW)


def delete(place: directory.DirectoryStore) -> object:
    return place.delete("a/old")


@pytest.mark.parametrize(
    ("work", "expected"),
    [
        (put_new, ["mkdir.dir_synced", "put.synced", "put.linked", "put.dir_synced"]),
        (put, ["put.synced", "put.renamed", "put.dir_synced"]),
        (replace, ["put.synced", "put.renamed", "put.dir_synced"]),
        (upload, ["mkdir.dir_synced", "upload.synced", "upload.linked", "upload.dir_synced"]),
        (delete, ["delete.unlinked", "delete.dir_synced", "rmdir.dir_synced"]),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_a_crash_at_any_step_leaves_the_old_or_the_new_whole(
    tmp_path: pathlib.Path, work: t.Callable[[directory.DirectoryStore], object], expected: list[str]
) -> None:
    def fresh(name: str) -> directory.DirectoryStore:
        (tmp_path / name).mkdir()
        place = directory.DirectoryStore(str(tmp_path / name))
        place.put("a/old", OLD)
        place.put("maintenance/lab.json", OLD)
        return place

    whole = fresh("whole")
    seen = steps_of(lambda: work(whole))
    assert seen == [f"directory.{step}" for step in expected]
    for number in range(len(seen)):
        place = fresh(f"crash-{number}")
        assert crash_at(number, lambda place=place: work(place)) == 77
        for entry in place.entries("a/"):
            assert b"".join(place.read(entry.key)) == (NEW if entry.key == "a/b/new" else OLD) or (
                entry.key == "a/old" and b"".join(place.read(entry.key)) == NEW
            )
        for path in place.stale_temporaries(-60):
            place.remove_temporary(path)
        with contextlib.suppress(LifeboatError):  # what was done is there; what was not can be done now
            work(place)
        assert keys(place) == keys(whole)
        assert all_names(place.name) == all_names(whole.name)
