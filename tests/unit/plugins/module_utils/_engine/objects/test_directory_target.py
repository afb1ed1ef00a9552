# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import pathlib
import typing as t

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import DamagedError, LifeboatError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects import file_properties as fp
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects import tree_writer
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.directory_source import DirectorySource
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.directory_target import (
    DirectoryTarget,
    places_below,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.rows import Item, Row
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.source import ObjectError
from ansible_collections.lifeboat.recovery.tests.unit.plugins.module_utils._engine.objects.tree_model import (
    brought,
    file_row,
    object_row,
    picture,
    taken,
)


@pytest.fixture
def root(tmp_path: pathlib.Path) -> pathlib.Path:
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


@pytest.fixture
def target(root: pathlib.Path) -> DirectoryTarget:
    made = DirectoryTarget({"c": str(root)})
    made.prepare("c")
    return made


def written(target: DirectoryTarget, *rows: tuple[Row, bytes]) -> list[str]:
    return [each.key for each in brought(target, "c", list(rows))[0]]


def items(target: DirectoryTarget, prefix: str = "") -> dict[str, Item]:
    return {item.key: item for item in target.items("c", prefix)}


def all_types(root: pathlib.Path) -> None:
    (root / "empty").mkdir(mode=0o700)
    (root / "d/deep").mkdir(parents=True)
    (root / "d/deep/file").write_bytes(b"some bytes")
    (root / "d/deep/file").chmod(0o4751)
    os.setxattr(root / "d/deep/file", "user.colour", b"\0blue")
    os.setxattr(root / "d", "user.of directory", b"")
    os.link(root / "d/deep/file", root / "d.other name")
    (root / "dangling").symlink_to("../../nowhere/\udcff")
    (root / "to directory").symlink_to("d")
    os.mkfifo(root / "fifo", 0o620)
    (root / "line\nfeed \udce4").touch()
    with (root / "sparse").open("wb") as file:
        file.truncate(3 * 1024 * 1024)
        file.seek(2 * 1024 * 1024)
        file.write(b"x")
    (root / "d/deep").chmod(0o550)
    for number, path in enumerate(sorted(root.rglob("*"), reverse=True)):
        os.utime(path, ns=(1, 1_600_000_000_000_000_001 + number), follow_symlinks=False)
    os.utime(root, ns=(1, 1_500_000_000_123_456_789))


def test_a_directory_comes_back_as_it_was(root: pathlib.Path, tmp_path: pathlib.Path) -> None:
    all_types(root)
    backup = taken(DirectorySource([str(root)]), str(root))
    _written, remarks = brought(DirectoryTarget({str(root): str(tmp_path / "back")}), str(root), backup)
    assert remarks == []
    assert picture(tmp_path / "back") == picture(root)
    assert os.stat(tmp_path / "back/sparse").st_blocks * 512 < 1024 * 1024


def test_what_came_back_is_the_same_to_a_listing(root: pathlib.Path, tmp_path: pathlib.Path) -> None:
    all_types(root)
    backup = taken(DirectorySource([str(root)]), str(root))
    target = DirectoryTarget({"c": str(tmp_path / "back")})
    brought(target, "c", backup)
    there = items(target)
    assert set(there) == {row.key for row, _data in backup}
    assert [row.key for row, _data in backup if not target.is_same(row, there[row.key])] == []


def _touch(path: pathlib.Path) -> None:
    os.utime(path)


def _relink(path: pathlib.Path) -> None:
    path.unlink()
    path.write_bytes(b"some bytes")


def _other_target(path: pathlib.Path) -> None:
    moment = path.lstat().st_mtime_ns
    path.unlink()
    path.symlink_to("elsewhere")
    os.utime(path, ns=(moment, moment), follow_symlinks=False)


def _chmod(path: pathlib.Path) -> None:
    path.chmod(0o111)


@pytest.mark.parametrize(
    ("key", "change"),
    [
        ("d/deep/file", _touch),
        ("d/deep/file", _chmod),
        ("empty", _chmod),
        ("fifo", _chmod),
        ("dangling", _other_target),
        ("d.other name", _relink),
        ("", _touch),
    ],
)
def test_what_was_changed_is_not_the_same(
    root: pathlib.Path, target: DirectoryTarget, key: str, change: t.Callable[[pathlib.Path], None]
) -> None:
    all_types(root)
    row = next(row for row, _data in taken(DirectorySource([str(root)]), str(root)) if row.key == key)
    assert target.is_same(row, items(target)[key])
    change(root / key)
    assert not target.is_same(row, items(target)[key])


@pytest.mark.parametrize("properties", [{"mode": 0o644}, {"mode": "x", "mtime_ns": 1}, {"mode": 1, "mtime_ns": "x"}])
def test_a_damaged_row_is_not_the_same_and_cannot_be_written(
    root: pathlib.Path, target: DirectoryTarget, properties: dict[str, t.Any]
) -> None:
    row = object_row("a", b"x")._replace(properties=properties)
    (root / "a").write_bytes(b"x")
    assert not target.is_same(row, items(target)["a"])
    with pytest.raises(ObjectError):
        target.write("c", row, iter([b"y"]))
    assert (root / "a").read_bytes() == b"x"


def test_an_object_keeps_what_the_bucket_knew_of_it(root: pathlib.Path, target: DirectoryTarget) -> None:
    known = {"headers": {"content-type": "text/plain"}, "metadata": {"colour": "blü"}, "tags": {"a": "b"}}
    row = object_row("d/o", b"bytes", **known, lock={"mode": "GOVERNANCE"})
    (what,), _remarks = brought(target, "c", [(row, b"bytes")])
    assert what.remarks == ("its lock is not kept: files have none",)
    assert target.is_same(row, items(target)["d/o"])
    (back,) = [each for each, _data in taken(DirectorySource([str(root)]), str(root)) if each.key == "d/o"]
    assert {name: back.properties[name] for name in known} == known
    assert "xattrs" not in back.properties


def test_an_object_that_changed_is_not_the_same(target: DirectoryTarget) -> None:
    row = object_row("o", b"bytes")
    written(target, (row, b"bytes"))
    there = items(target)["o"]
    assert target.is_same(row, there)
    assert not target.is_same(row._replace(size=4), there)
    assert not target.is_same(row._replace(modified="2026-11-21T02:36:20.639907Z"), there)
    assert not target.is_same(row._replace(modified=""), there)


KEYS = ["a//b", "/x", "d/", "..", "../x", "a/../../b", "./a", "a/.", "y" * 256, "z/" + "é" * 200, "\0", "%lb-dot"]


@pytest.mark.parametrize("key", KEYS)
def test_a_key_that_is_no_path_lies_below_the_target_under_another_name(
    root: pathlib.Path, tmp_path: pathlib.Path, target: DirectoryTarget, key: str
) -> None:
    row = object_row(key, b"bytes")
    assert written(target, (row, b"bytes")) == [target.key_for(row)] != [key]
    assert (root / target.key_for(row)).read_bytes() == b"bytes"
    assert list(tmp_path.iterdir()) == [root]
    assert target.is_same(row, items(target)[target.key_for(row)])


def test_keys_of_the_length_and_form_that_buckets_allow_all_lie_apart(target: DirectoryTarget) -> None:
    rows = [(object_row(key, key.encode("utf-8", "surrogateescape")), b"") for key in [*KEYS, "p", "p/c", "d", "d/e"]]
    rows += [(object_row("/".join(["s" * 200] * 5)), b"")]
    full = [(row._replace(size=len(row.key.encode())), row.key.encode()) for row, _data in rows]
    assert len(set(written(target, *full))) == len(full)


def test_an_object_below_another_ones_name_lies_beside_it(root: pathlib.Path, target: DirectoryTarget) -> None:
    assert written(target, (object_row("p", b"1"), b"1"), (object_row("p/c/d", b"2"), b"2")) == [
        "p",
        "%lb-below-p/c/d",
    ]
    assert (root / "%lb-below-p/c/d").read_bytes() == b"2"


def test_an_object_whose_name_is_a_directory_lies_beside_it(root: pathlib.Path, target: DirectoryTarget) -> None:
    assert written(target, (object_row("p/c", b"2"), b"2"), (object_row("p", b"1"), b"1")) == ["p/c", "%lb-file-p"]
    assert (root / "%lb-file-p").read_bytes() == b"1"


def test_what_lies_beside_its_place_is_not_removed_as_something_extra(
    root: pathlib.Path, target: DirectoryTarget
) -> None:
    for row in (object_row("p", b"1"), object_row("p/c", b"2")):
        target.write("c", row, iter([b"1"]))
    target.remove("c", "%lb-below-p/c")
    target.remove("c", "%lb-below-p")
    assert (root / "%lb-below-p/c").exists()


def test_what_lies_beside_its_place_moves_there_when_that_becomes_free(
    root: pathlib.Path, target: DirectoryTarget
) -> None:
    (root / "p/old").mkdir(parents=True)
    (root / "q").touch()
    target.write("c", file_row("p", b"1"), iter([b"1"]))
    target.write("c", file_row("q/x", b"2"), iter([b"2"]))
    for key in ("p/old", "q"):
        target.remove("c", key)
    remarks = target.finish("c")
    assert len(remarks) == 2
    assert sorted(items(target)) == ["", "p", "q", "q/x"]
    assert (root / "p").read_bytes() + (root / "q/x").read_bytes() == b"12"


def test_a_directory_replaces_what_stands_in_its_place(root: pathlib.Path, tmp_path: pathlib.Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (root / "d").symlink_to(outside)
    target = DirectoryTarget({"c": str(root)})
    written(target, (file_row("d", type="directory"), b""), (file_row("d/f", b"x"), b"x"))
    assert (root / "d/f").read_bytes() == b"x"
    assert not (root / "d").is_symlink()
    assert list(outside.iterdir()) == []


@pytest.mark.parametrize("data", [[b"123"], [b"123", b"456"], []])
def test_a_file_that_is_too_short_or_too_long_is_not_written(
    root: pathlib.Path, target: DirectoryTarget, data: list[bytes]
) -> None:
    (root / "f").write_bytes(b"old")
    with pytest.raises(ObjectError):
        target.write("c", file_row("f", b"12345"), iter(data))
    assert {path.name: path.read_bytes() for path in root.iterdir()} == {"f": b"old"}


def test_what_the_bytes_raise_comes_out_and_nothing_is_written(root: pathlib.Path, target: DirectoryTarget) -> None:
    def chunks() -> t.Iterator[bytes]:
        yield b"123"
        raise DamagedError("a frame is damaged")

    with pytest.raises(DamagedError):
        target.write("c", file_row("f", b"12345"), chunks())
    assert list(root.iterdir()) == []


def test_nothing_can_be_seen_before_all_bytes_came(root: pathlib.Path, target: DirectoryTarget) -> None:
    seen: list[list[str]] = []

    def chunks() -> t.Iterator[bytes]:
        yield b"12"
        seen.append([path.name for path in root.iterdir() if not path.name.startswith(".lifeboat-")])
        (temporary,) = root.iterdir()
        assert temporary.stat().st_mode & 0o777 == 0o600
        seen.append(list(items(target)))
        yield b"345"

    target.write("c", file_row("f", b"12345", mode=0o666), chunks())
    assert seen == [[], [""]]


def test_only_zeros_are_left_out_in_holes(root: pathlib.Path, target: DirectoryTarget) -> None:
    data = bytes(200_000) + b"not in a hole" + bytes(200_000) + b"!"
    holes = [[0, 200_000], [150_000, 250_000], [400_000, 2**62], [5, 1]]
    written(target, (file_row("f", data, holes=holes), data))
    assert (root / "f").read_bytes() == data
    chunks = [data[at : at + 70_001] for at in range(0, len(data), 70_001)]
    target.prepare("c")
    target.write("c", file_row("g", data, holes=holes), iter(chunks))
    assert (root / "g").read_bytes() == data


def test_a_file_of_nothing_but_a_hole_has_its_size(root: pathlib.Path, target: DirectoryTarget) -> None:
    written(target, (file_row("f", bytes(1_000_000), holes=[[0, 1_000_000]]), bytes(1_000_000)))
    assert ((root / "f").stat().st_size, (root / "f").stat().st_blocks) == (1_000_000, 0)


def test_another_link_to_what_was_replaced_is_made_anew(root: pathlib.Path, target: DirectoryTarget) -> None:
    (root / "a").write_bytes(b"old")
    os.link(root / "a", root / "b")
    written(target, (file_row("a", b"new"), b"new"), (file_row("b", type="hardlink", target="a"), b""))
    assert (root / "b").read_bytes() == b"new"
    assert (root / "b").stat().st_nlink == 2


def test_a_directory_in_which_something_changed_keeps_its_time(root: pathlib.Path, target: DirectoryTarget) -> None:
    (root / "d").mkdir()
    (root / "d/old").touch()
    os.utime(root / "d", ns=(1, 1_400_000_000_000_000_007))
    os.utime(root, ns=(1, 1_300_000_000_000_000_007))
    target.write("c", file_row("d/e/f", b"x"), iter([b"x"]))
    target.remove("c", "d/old")
    target.finish("c")
    assert (root / "d").stat().st_mtime_ns == 1_400_000_000_000_000_007
    assert root.stat().st_mtime_ns == 1_300_000_000_000_000_007


def test_a_directory_gets_its_mode_and_time_when_all_is_in_it(root: pathlib.Path, target: DirectoryTarget) -> None:
    rows = [(file_row(key, type="directory", mode=0o500), b"") for key in ("", "d", "d/e")]
    written(target, *rows, (file_row("d/e/f", b"x"), b"x"))
    for path in (root, root / "d", root / "d/e"):
        assert (path.stat().st_mode & 0o777, path.stat().st_mtime_ns) == (0o500, 1_700_000_000_123_456_789)
        path.chmod(0o700)


def test_properties_alone_leave_the_bytes(root: pathlib.Path, target: DirectoryTarget) -> None:
    (root / "f").write_bytes(b"bytes")
    os.setxattr(root / "f", "user.extra", b"1")
    row = file_row("f", b"bytes", mode=0o604, xattrs={"user.new": "Mg=="})
    assert target.write_properties("c", row).remarks == ()
    assert (root / "f").read_bytes() == b"bytes"
    assert os.listxattr(root / "f") == ["user.new"]
    assert target.is_same(row, items(target)["f"])
    for gone in ("g", "f/g"):
        with pytest.raises(ObjectError):
            target.write_properties("c", file_row(gone))


def test_properties_of_a_file_are_not_given_to_something_else(root: pathlib.Path, target: DirectoryTarget) -> None:
    (root / "f").symlink_to("/etc/hostname")
    (root / "d").mkdir(mode=0o700)
    for key in ("f", "d", ""):
        with pytest.raises(ObjectError):
            target.write_properties("c", file_row(key, mode=0o777))
    assert (root / "d").stat().st_mode & 0o777 == 0o700


def test_only_empty_directories_are_removed(root: pathlib.Path, target: DirectoryTarget) -> None:
    (root / "d/e").mkdir(parents=True)
    (root / "link").symlink_to("d")
    with pytest.raises(ObjectError):
        target.remove("c", "d")
    for key in ("link", "gone", "gone/x", "d/e", "d", ""):
        target.remove("c", key)
    assert list(root.iterdir()) == []


@pytest.mark.parametrize("key", ["../f", "/f", "d/../../f", "d//f", "a\0"])
def test_a_key_that_no_listing_gave_removes_nothing(root: pathlib.Path, target: DirectoryTarget, key: str) -> None:
    (root.parent / "f").touch()
    (root / "d").mkdir()
    (root / "d/f").touch()
    with pytest.raises(ObjectError):
        target.remove("c", key)
    assert (root.parent / "f").exists() and (root / "d/f").exists()


def test_a_target_of_objects_has_no_directories(root: pathlib.Path) -> None:
    target = DirectoryTarget({"c": str(root)}, objects_only=True)
    assert written(target, (object_row("a/b/c", b"x"), b"x"), (object_row("a/d", b"x"), b"x")) == ["a/b/c", "a/d"]
    assert list(items(target)) == ["a/b/c", "a/d"]
    target.remove("c", "a/b/c")
    assert not (root / "a/b").exists() and (root / "a/d").exists()
    target.remove("c", "a/d")
    assert list(root.iterdir()) == []


def test_a_listing_with_a_prefix_begins_with_it(root: pathlib.Path, target: DirectoryTarget) -> None:
    for name in ("a", "ab/c", "ab/d", "abc", "b"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).touch()
    assert list(items(target, "ab")) == ["ab", "ab/c", "ab/d", "abc"]
    assert list(items(target, "ab/d")) == ["ab/d"]
    assert list(items(target, "c")) == []
    assert list(DirectoryTarget({"c": str(root / "missing")}).items("c")) == []


def test_what_an_ended_restore_left_is_removed_and_what_another_is_writing_stays(
    root: pathlib.Path, target: DirectoryTarget
) -> None:
    (root / "d").mkdir()
    (root / "d/.lifeboat-0123456789abcdef").touch()
    (root / "d/.lifeboat-notes").touch()
    (root / ".lifeboat-0123456789abcdee").symlink_to("x")

    def chunks() -> t.Iterator[bytes]:
        other = DirectoryTarget({"c": str(root)})
        other.prepare("c")
        assert list(items(other)) == ["", "d", "d/.lifeboat-notes"]
        other.finish("c")
        yield b"x"

    target.write("c", file_row("f", b"x"), chunks())
    assert sorted(path.name for path in root.rglob("*")) == [".lifeboat-notes", "d", "f"]


def test_devices_are_made_only_when_asked_for(target: DirectoryTarget) -> None:
    with pytest.raises(ObjectError) as refused:
        target.write("c", file_row("null", type="char", device=[1, 3]), iter([]))
    assert "not asked for" in str(refused.value)


def test_metadata_make_a_file_only_where_they_are_trusted(root: pathlib.Path) -> None:
    text, left_out = fp.as_metadata(file_row("x", mode=0o711, type="symlink", target="/etc/shadow").properties)
    row = object_row("x", metadata={"lifeboat-file": text, "mine": "1"})
    written(DirectoryTarget({"c": str(root)}), (row, b""))
    assert (root / "x").is_file() and not (root / "x").is_symlink()
    assert (root / "x").stat().st_mode & 0o777 == 0o600
    target = DirectoryTarget({"c": str(root)}, trust_metadata=True)
    written(target, (row, b""))
    assert os.readlink(root / "x") == "/etc/shadow"
    assert target.is_same(row, items(target)["x"])
    assert left_out == ()


def test_metadata_never_cost_an_object_its_bytes(root: pathlib.Path) -> None:
    text, _left_out = fp.as_metadata(file_row("x", type="symlink", target="y").properties)
    target = DirectoryTarget({"c": str(root)}, trust_metadata=True)
    written(target, (object_row("x", b"bytes", metadata={"lifeboat-file": text}), b"bytes"))
    assert not (root / "x").is_symlink()
    assert (root / "x").read_bytes() == b"bytes"


def test_a_full_disk_ends_the_restore(
    root: pathlib.Path, target: DirectoryTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open("/dev/full", "wb") as full:

        def write(_descriptor: int, data: memoryview, _at: int) -> None:
            os.write(full.fileno(), data)

        monkeypatch.setattr(tree_writer, "_write", write)
        with pytest.raises(LifeboatError) as failed:
            target.write("c", file_row("f", b"x"), iter([b"x"]))
    assert not isinstance(failed.value, ObjectError)
    assert "No space left" in str(failed.value)
    assert list(root.iterdir()) == []


def test_each_collection_has_a_directory_below_one_folder() -> None:
    places = places_below("/restore/", ["/srv/data", "/", "bucket", "/srv/../x"])
    assert places == {
        "/srv/data": "/restore/srv/data",
        "/": "/restore",
        "bucket": "/restore/bucket",
        "/srv/../x": "/restore/srv/%lb-dots/x",
    }
