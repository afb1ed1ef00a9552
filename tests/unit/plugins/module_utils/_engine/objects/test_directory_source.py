# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import pathlib
import socket
import stat
import typing as t

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import (
    GuardRefusal,
    LifeboatError,
    UsageError,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects import directory_source, tree_walk
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.directory_source import DirectorySource
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.patterns import Patterns
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.rows import Item, order
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.source import (
    ChangedError,
    ObjectError,
    VanishedError,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

NAME = st.text("ab./-0 ~\udcff".replace("/", ""), min_size=1, max_size=3).filter(lambda name: name.strip("."))


def listed(source: DirectorySource, root: str | os.PathLike[str]) -> list[str]:
    return [item.key for item in source.items(os.fspath(root))]


def item_of(source: DirectorySource, root: os.PathLike[str], key: str) -> Item:
    return next(item for item in source.items(os.fspath(root)) if item.key == key)


def test_what_is_in_a_directory_comes_where_the_bytes_of_its_key_say(tmp_path: pathlib.Path) -> None:
    for name in ("a/b", "a/z/y", "a-/b", "a0/b", "b"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "a.b").touch()
    keys = listed(DirectorySource([str(tmp_path)]), tmp_path)
    assert keys == ["", "a", "a-", "a-/b", "a.b", "a/b", "a/z", "a/z/y", "a0", "a0/b", "b"]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(NAME, min_size=1, max_size=4), max_size=12))
def test_any_tree_is_listed_once_and_in_order(tmp_path_factory: pytest.TempPathFactory, paths: list[list[str]]) -> None:
    root = os.fsencode(tmp_path_factory.mktemp("tree"))
    for names in paths:
        way = [order(name) for name in names]
        try:
            os.makedirs(os.path.join(root, *way[:-1]), exist_ok=True)
            open(os.path.join(root, *way), "ab").close()
        except (FileExistsError, NotADirectoryError, IsADirectoryError):
            continue
    keys = listed(DirectorySource([os.fsdecode(root)]), os.fsdecode(root))
    expected = {os.path.relpath(os.path.join(above, name), root) for above, d, f in os.walk(root) for name in (*d, *f)}
    assert [order(key) for key in keys] == sorted(expected | {b""})


def test_a_tree_that_is_deeper_than_files_may_be_open_is_listed(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tree_walk, "_OPEN_LEVELS", 3)
    deepest = tmp_path.joinpath(*"abcdefgh")
    deepest.mkdir(parents=True)
    for folder in [deepest, *deepest.parents][:8]:
        (folder / "zz").touch()
    keys = listed(DirectorySource([str(tmp_path)]), tmp_path)
    assert len(keys) == 17 and keys == sorted(keys)


@pytest.mark.parametrize("is_link", [True, False])
def test_a_directory_that_is_replaced_while_the_walk_is_below_it_is_not_taken_for_itself(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, is_link: bool
) -> None:
    monkeypatch.setattr(tree_walk, "_OPEN_LEVELS", 1)
    (tmp_path / "root/a/b").mkdir(parents=True)
    (tmp_path / "root/a/b/1").touch()
    (tmp_path / "root/a/c").touch()
    keys = []
    for item in DirectorySource([str(tmp_path / "root")]).items(str(tmp_path / "root")):
        keys.append(item.key)
        if item.key == "a/b/1":
            (tmp_path / "root/a").rename(tmp_path / "away")
            if is_link:
                (tmp_path / "root/a").symlink_to(tmp_path / "away")
            else:
                (tmp_path / "root/a").mkdir()
                (tmp_path / "root/a/c").touch()
    assert keys == ["", "a", "a/b", "a/b/1"]


def test_a_directory_that_becomes_a_link_before_it_is_entered_is_not_entered(tmp_path: pathlib.Path) -> None:
    (tmp_path / "root/a").mkdir(parents=True)
    (tmp_path / "root/a/f").touch()
    keys = []
    for item in DirectorySource([str(tmp_path / "root")]).items(str(tmp_path / "root")):
        keys.append(item.key)
        if item.key == "a":
            (tmp_path / "root/a").rename(tmp_path / "away")
            (tmp_path / "root/a").symlink_to(tmp_path / "away")
    assert keys == ["", "a"]


def test_links_are_rows_and_never_followed(tmp_path: pathlib.Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret/file").write_text("x")
    (root / "link").symlink_to(tmp_path / "secret")
    source = DirectorySource([str(root)])
    assert listed(source, root) == ["", "link"]
    found, data = source.read_whole(str(root), item_of(source, root, "link"))
    assert (found.has_bytes, found.properties["type"], data) == (False, "symlink", b"")
    assert found.properties["target"] == str(tmp_path / "secret")


def test_a_directory_that_became_a_link_since_the_listing_is_not_read_through(tmp_path: pathlib.Path) -> None:
    root = tmp_path / "root"
    (root / "d").mkdir(parents=True)
    (root / "d/f").write_text("mine")
    source = DirectorySource([str(root)])
    item = item_of(source, root, "d/f")
    (root / "d").rename(tmp_path / "moved")
    (root / "d").symlink_to(tmp_path / "moved")
    for read in (source.read_whole, source.describe):
        with pytest.raises(VanishedError):
            read(str(root), item)
    with pytest.raises(VanishedError):
        list(source.read_range(str(root), item, 0, 4))


@pytest.mark.parametrize("key", ["../outside", "/etc/passwd", "a/../../outside", "", "."])
def test_a_key_that_no_listing_gave_reads_nothing_outside(tmp_path: pathlib.Path, key: str) -> None:
    root = tmp_path / "root"
    (root / "a").mkdir(parents=True)
    (tmp_path / "outside").write_text("x")
    source = DirectorySource([str(root)])
    try:
        _found, data = source.read_whole(str(root), Item(key, 1, "", ""))
    except ObjectError:
        data = b""
    assert data == b""


def test_the_first_name_of_a_file_has_its_bytes_and_others_lead_to_it(tmp_path: pathlib.Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d/first").write_text("bytes")
    os.link(tmp_path / "d/first", tmp_path / "e")
    source = DirectorySource([str(tmp_path)])
    items = {item.key: item for item in source.items(str(tmp_path))}
    assert (items["d/first"].size, items["e"].size, items["e"].attributes) == (5, 0, "hardlink")
    assert source.read_whole(str(tmp_path), items["d/first"])[1] == b"bytes"
    found, data = source.read_whole(str(tmp_path), items["e"])
    assert (found.has_bytes, found.properties["target"], data) == (False, "d/first", b"")
    assert found.item == items["e"]


def test_a_link_to_another_first_name_is_another_item(tmp_path: pathlib.Path) -> None:
    (tmp_path / "b").touch()
    os.link(tmp_path / "b", tmp_path / "c")
    os.link(tmp_path / "b", tmp_path / "a")
    every, without = DirectorySource([str(tmp_path)]), DirectorySource([str(tmp_path)], Patterns(["/a"]))
    assert item_of(every, tmp_path, "c") != item_of(without, tmp_path, "c")
    assert item_of(without, tmp_path, "b").attributes == ""


def test_a_later_name_has_the_bytes_when_the_first_vanished_before_it_was_looked_at(tmp_path: pathlib.Path) -> None:
    (tmp_path / "a").write_text("bytes")
    os.link(tmp_path / "a", tmp_path / "b")
    source = DirectorySource([str(tmp_path)])
    items = {item.key: item for item in source.items(str(tmp_path))}
    (tmp_path / "a").unlink()
    found, data = source.read_whole(str(tmp_path), items["b"])
    assert (found.has_bytes, found.item.size, data) == (True, 5, b"bytes")
    with pytest.raises(VanishedError):
        source.read_whole(str(tmp_path), items["a"])


def test_later_names_have_the_bytes_when_another_file_has_the_first_name(tmp_path: pathlib.Path) -> None:
    (tmp_path / "a").write_text("bytes")
    os.link(tmp_path / "a", tmp_path / "b")
    os.link(tmp_path / "a", tmp_path / "c")
    source = DirectorySource([str(tmp_path)])
    items = {item.key: item for item in source.items(str(tmp_path))}
    (tmp_path / "new").write_text("others")
    (tmp_path / "new").rename(tmp_path / "a")
    for later in "bc":
        found, data = source.read_whole(str(tmp_path), items[later])
        assert (found.has_bytes, data) == (True, b"bytes")
    assert source.read_whole(str(tmp_path), items["a"])[1] == b"others"


def test_a_first_name_that_vanished_is_still_read_when_others_were_described_as_links_to_it(
    tmp_path: pathlib.Path,
) -> None:
    (tmp_path / "a").write_text("bytes")
    os.link(tmp_path / "a", tmp_path / "b")
    source = DirectorySource([str(tmp_path)])
    items = {item.key: item for item in source.items(str(tmp_path))}
    assert source.describe(str(tmp_path), items["b"]).properties["target"] == "a"
    (tmp_path / "a").unlink()
    found, data = source.read_whole(str(tmp_path), items["a"])
    assert (found.item.key, found.has_bytes, data) == ("a", True, b"bytes")
    assert b"".join(source.read_range(str(tmp_path), found.item, 1, 3)) == b"yte"


def _truncate(path: pathlib.Path) -> None:
    os.truncate(path, 3)


def _append(path: pathlib.Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def _rewrite_and_set_the_time_back(path: pathlib.Path) -> None:
    before = path.stat()
    with path.open("r+b") as file:
        file.write(b"other")
    os.utime(path, ns=(before.st_mtime_ns, before.st_mtime_ns))


@pytest.mark.parametrize("change", [_truncate, _append, _rewrite_and_set_the_time_back])
def test_a_file_that_is_written_to_while_it_is_read_is_not_taken(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, change: t.Callable[[pathlib.Path], None]
) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"some bytes")
    source = DirectorySource([str(tmp_path)])
    item = item_of(source, tmp_path, "f")
    read = directory_source._chunks

    def changed_after(descriptor: int, offset: int, length: int) -> t.Iterator[bytes]:
        yield from read(descriptor, offset, length)
        change(path)

    def changed_before(descriptor: int, offset: int, length: int) -> t.Iterator[bytes]:
        change(path)
        yield from read(descriptor, offset, length)

    for chunks in (changed_after, changed_before):
        monkeypatch.setattr(directory_source, "_chunks", chunks)
        with pytest.raises(ChangedError):
            list(source.read_range(str(tmp_path), item, 0, 10))
        path.write_bytes(b"some bytes")
        item = item_of(source, tmp_path, "f")
        with pytest.raises(ChangedError):
            source.read_whole(str(tmp_path), item)
        path.write_bytes(b"some bytes")
        item = item_of(source, tmp_path, "f")


@pytest.mark.parametrize("change", [_truncate, _append, _rewrite_and_set_the_time_back])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_file_that_is_written_to_while_a_room_is_filled_is_not_taken(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, change: t.Callable[[pathlib.Path], None], when: str
) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"some bytes")
    source = DirectorySource([str(tmp_path)])
    item = item_of(source, tmp_path, "f")
    room = bytearray(12)
    assert sum(source.read_into(str(tmp_path), item, 2, memoryview(room)[1:9])) == 8
    assert bytes(room) == b"\0me bytes\0\0\0"
    read = os.preadv

    def changed(descriptor: int, buffers: t.Sequence[memoryview], offset: int) -> int:
        if when == "before":
            change(path)
        count = read(descriptor, buffers, offset)
        if when == "after":
            change(path)
        return count

    monkeypatch.setattr(os, "preadv", changed)
    with pytest.raises(ChangedError):
        list(source.read_into(str(tmp_path), item, 0, memoryview(room)[:10]))


def test_a_range_of_a_file_that_changed_since_it_was_listed_is_not_read(tmp_path: pathlib.Path) -> None:
    (tmp_path / "f").write_bytes(b"one")
    source = DirectorySource([str(tmp_path)])
    item = item_of(source, tmp_path, "f")
    source.read_whole(str(tmp_path), item)  # waits until a change must show
    (tmp_path / "f").write_bytes(b"two")
    with pytest.raises(ChangedError):
        list(source.read_range(str(tmp_path), item, 0, 3))
    assert source.read_whole(str(tmp_path), item)[1] == b"two"


def test_a_file_that_grew_much_is_not_read_at_once(tmp_path: pathlib.Path) -> None:
    (tmp_path / "f").write_bytes(b"x")
    source = DirectorySource([str(tmp_path)])
    item = item_of(source, tmp_path, "f")
    (tmp_path / "f").write_bytes(bytes(2 * 1024 * 1024))
    with pytest.raises(ChangedError):
        source.read_whole(str(tmp_path), item)


def test_sockets_and_devices_are_left_out_and_told(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # the path of a socket is short
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
    os.mkfifo("fifo")
    told: list[tuple[str, ...]] = []
    source = DirectorySource([str(tmp_path)], report=lambda *words: told.append(words))
    assert listed(source, tmp_path) == ["", "fifo"]
    assert told == [(str(tmp_path), "socket", "skipped", "it is a socket")]


def test_what_a_restore_is_writing_is_left_out_and_told(tmp_path: pathlib.Path) -> None:
    (tmp_path / ".lifeboat-0123456789abcdef").touch()
    (tmp_path / ".lifeboat-notes").touch()
    told: list[str] = []
    source = DirectorySource([str(tmp_path)], report=lambda *words: told.append(words[1]))
    assert listed(source, tmp_path) == ["", ".lifeboat-notes"]
    assert told == [".lifeboat-0123456789abcdef"]


def test_excluded_directories_are_not_entered(tmp_path: pathlib.Path) -> None:
    (tmp_path / "keep").mkdir()
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache/x").touch()
    (tmp_path / "keep/x.tmp").touch()
    assert listed(DirectorySource([str(tmp_path)], Patterns(["/cache", "*.tmp"])), tmp_path) == ["", "keep"]


def test_attributes_and_holes_are_properties(tmp_path: pathlib.Path) -> None:
    with (tmp_path / "f").open("wb") as file:
        file.seek(1024 * 1024)
        file.write(b"x")
        file.truncate(2 * 1024 * 1024)
    os.setxattr(tmp_path / "f", "user.colour", b"\xff")
    source = DirectorySource([str(tmp_path)])
    properties = source.describe(str(tmp_path), item_of(source, tmp_path, "f")).properties
    assert properties["xattrs"] == {"user.colour": "/w=="}
    assert properties["holes"][0] == [0, 1024 * 1024]
    assert properties["mode"] == stat.S_IMODE((tmp_path / "f").stat().st_mode)
    assert "type" not in properties


def test_what_a_bucket_knew_of_an_object_is_given_back(tmp_path: pathlib.Path) -> None:
    for name, value in (("good", b'{"headers":{"content-type":"text/plain"},"lock":{"mode":"x"}}'), ("bad", b"[1")):
        (tmp_path / name).touch()
        os.setxattr(tmp_path / name, "user.lifeboat.properties", value)
    source = DirectorySource([str(tmp_path)])
    good = source.describe(str(tmp_path), item_of(source, tmp_path, "good")).properties
    assert good["headers"] == {"content-type": "text/plain"}
    assert not {"lock", "xattrs"} & set(good)
    assert not {"headers", "xattrs"} & set(source.describe(str(tmp_path), item_of(source, tmp_path, "bad")).properties)


def test_a_missing_root_is_refused_by_the_guard_of_sources(tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").touch()
    for path in ("gone", "file"):
        with pytest.raises(GuardRefusal) as refused:
            DirectorySource([str(tmp_path), str(tmp_path / path)]).collections()
        assert refused.value.guard == "source"


def test_a_root_that_is_replaced_meanwhile_ends_the_reading(tmp_path: pathlib.Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "f").touch()
    source = DirectorySource([str(root)])
    item = item_of(source, root, "f")
    root.rename(tmp_path / "away")
    root.mkdir()
    with pytest.raises(LifeboatError) as failed:
        source.describe(str(root), item)
    assert not isinstance(failed.value, ObjectError)
    assert "another directory" in str(failed.value)


def test_roots_are_absolute_and_normal_and_in_order(tmp_path: pathlib.Path) -> None:
    (tmp_path / "b").mkdir()
    source = DirectorySource([f"{tmp_path}/b/", f"/{tmp_path}/b/../b", str(tmp_path)], host="db1")
    assert source.collections() == [str(tmp_path), f"{tmp_path}/b"]
    assert source.identity()["host"] == "db1"
    for roots in ([], ["relative"], ["/nul\0"]):
        with pytest.raises(UsageError):
            DirectorySource(roots)


def test_a_file_name_that_is_no_utf_8_is_read_by_its_bytes(tmp_path: pathlib.Path) -> None:
    name = os.path.join(os.fsencode(tmp_path), b"gr\xfc\xdfe")
    with open(name, "wb") as file:
        file.write(b"x")
    source = DirectorySource([str(tmp_path)])
    item = item_of(source, tmp_path, "gr\udcfc\udcdfe")
    assert source.read_whole(str(tmp_path), item)[1] == b"x"
