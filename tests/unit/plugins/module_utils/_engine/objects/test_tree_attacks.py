# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Backups that were made to write outside of where they are restored to."""

from __future__ import annotations

import contextlib
import os
import pathlib
import shutil
import stat
import typing as t

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import LifeboatError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.directory_source import DirectorySource
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.directory_target import DirectoryTarget
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.rows import Item, Row
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.source import ObjectError
from ansible_collections.lifeboat.recovery.tests.unit.plugins.module_utils._engine.objects.tree_model import (
    Backup,
    brought,
    file_row,
    object_row,
    picture,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

PARTS = ["a", "b", "in", "out", "up", "file", "..", ".", "", "etc", "\0", "n" * 256, "%lb-below-a", "\udcff"]
KEYS = st.lists(st.sampled_from(PARTS), min_size=1, max_size=4).map("/".join)
TARGETS = st.one_of(KEYS, st.sampled_from(["../outside", "../outside/file", "..", "../../outside/sub"]))
TYPES = ["object", "file", "file", "directory", "symlink", "symlink", "hardlink", "fifo", "char"]
STEPS = st.lists(
    st.tuples(st.sampled_from(["write", "write", "describe", "remove"]), st.sampled_from(TYPES), KEYS, TARGETS)
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


def items(target: DirectoryTarget) -> list[str]:
    return [item.key for item in target.items("c")]


def test_nothing_is_written_through_a_link_that_was_there(root: pathlib.Path, tmp_path: pathlib.Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("kept")
    (root / "link").symlink_to(outside)
    (root / "file").symlink_to(outside / "kept")
    before = picture(outside)
    target = DirectoryTarget({"c": str(root)})
    keys = written(
        target, *[(make(key, b"x"), b"x") for make in (file_row, object_row) for key in ("link/new", "file")]
    )
    assert picture(outside) == before
    assert keys == ["%lb-below-link/new", "file"] * 2
    assert (root / "file").read_bytes() == b"x"
    target.prepare("c")
    target.remove("c", "link/kept")
    with pytest.raises(ObjectError):
        target.write_properties("c", file_row("link/kept"))
    assert picture(outside) == before


def test_nothing_is_written_through_a_link_that_an_earlier_row_made(root: pathlib.Path, tmp_path: pathlib.Path) -> None:
    (tmp_path / "outside").mkdir()
    rows: Backup = [(file_row("l", type="symlink", target="../outside"), b""), (file_row("l/x", b"x"), b"x")]
    rows += [(file_row("l/d", type="directory"), b""), (file_row("l/h", type="hardlink", target="l/x"), b"")]
    target = DirectoryTarget({"c": str(root)})
    target.prepare("c")
    for row, data in rows[:3]:
        target.write("c", row, iter([data]))
    with pytest.raises(ObjectError):
        target.write("c", rows[3][0], iter([]))
    target.finish("c")
    assert list((tmp_path / "outside").iterdir()) == []
    assert os.readlink(root / "l") == "../outside"


@pytest.mark.parametrize("first", ["../secret", "/secret", "link", "link/secret", "", ".", "gone", "d"])
def test_a_hard_link_leads_to_nothing_outside(root: pathlib.Path, tmp_path: pathlib.Path, first: str) -> None:
    (tmp_path / "secret").write_text("x")
    (root / "d").mkdir()
    (root / "link").symlink_to(tmp_path / "secret")
    target = DirectoryTarget({"c": str(root)})
    target.prepare("c")
    with pytest.raises(ObjectError):
        target.write("c", file_row("h", type="hardlink", target=first), iter([]))
    assert (tmp_path / "secret").stat().st_nlink == 1
    assert items(target) == ["", "d", "link"]


def test_a_link_that_is_put_in_the_place_of_a_directory_meanwhile_leads_nowhere(
    root: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    (tmp_path / "outside").mkdir()
    (root / "d").mkdir()
    target = DirectoryTarget({"c": str(root)})
    target.prepare("c")

    def chunks() -> t.Iterator[bytes]:
        yield b"x"
        (root / "d").rename(root / "moved")
        (root / "d").symlink_to(tmp_path / "outside")
        yield b"y"

    target.write("c", file_row("d/f", b"xy"), chunks())
    target.write("c", file_row("d/g", b"xy"), iter([b"xy"]))
    target.finish("c")
    assert list((tmp_path / "outside").iterdir()) == []


def test_a_file_that_is_exchanged_while_it_is_made_gets_no_properties(
    root: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, target: DirectoryTarget
) -> None:
    (tmp_path / "secret").write_text("x")
    (tmp_path / "secret").chmod(0o600)
    made = os.mkfifo

    def exchanged(name: bytes, mode: int, dir_fd: int) -> None:
        made(name, mode, dir_fd=dir_fd)
        os.unlink(name, dir_fd=dir_fd)
        os.symlink(os.fsencode(tmp_path / "secret"), name, dir_fd=dir_fd)

    monkeypatch.setattr(os, "mkfifo", exchanged)
    with pytest.raises(ObjectError):
        target.write("c", file_row("f", type="fifo", mode=0o666), iter([]))
    assert (tmp_path / "secret").stat().st_mode & 0o777 == 0o600


def crafted(kind: str, key: str, target: str) -> Row:
    if kind == "object":
        return object_row(key, b"evil", headers={"a": "b"})
    if kind == "file":
        return file_row(key, b"evil", mode=0o777)
    return file_row(key, type=kind, mode=0o777, target=target, device=[1, 3])


@pytest.fixture
def place(tmp_path: pathlib.Path) -> pathlib.Path:
    """Something to protect beside the directory that is written to, with links that lead from there to it."""
    (tmp_path / "outside/sub").mkdir(parents=True)
    (tmp_path / "outside/file").write_text("kept")
    return tmp_path


def fresh(place: pathlib.Path) -> pathlib.Path:
    root = place / "root"
    for above, folders, _files in os.walk(root):
        for name in folders:
            path = os.path.join(above, name)
            if not os.path.islink(path):  # what a link points to is not ours: it may be the root of this machine
                os.chmod(path, 0o700)
    shutil.rmtree(root, ignore_errors=True)
    (root / "in").mkdir(parents=True)
    (root / "out").symlink_to("../outside")
    (root / "in/up").symlink_to("../../outside/sub")
    (root / "file").symlink_to("../outside/file")
    return root


def outside(place: pathlib.Path) -> t.Any:
    return (sorted(os.listdir(place)), picture(place / "outside"), os.stat(place / "outside/file").st_nlink)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(STEPS)
def test_no_row_is_written_outside_and_no_key_leads_there(
    place: pathlib.Path, steps: list[tuple[str, str, str, str]]
) -> None:
    root = fresh(place)
    before = outside(place)
    target = DirectoryTarget({"c": str(root)})
    target.prepare("c")
    for action, kind, key, link in steps:
        with contextlib.suppress(LifeboatError):
            if action == "write":
                row = crafted(kind, key, link)
                target.write("c", row, iter([b"evil"] if row.size else []))
            elif action == "describe":
                target.write_properties("c", crafted(kind, key, link))
            else:
                target.remove("c", key)
    target.finish("c")
    assert outside(place) == before
    assert [name for name in os.listdir(root) if name.startswith(".lifeboat-")] == []
    source = DirectorySource([str(root)])
    for item in source.items(str(root)):  # nor is anything read there
        with contextlib.suppress(LifeboatError):
            assert b"kept" not in source.read_whole(str(root), item)[1]
    for _action, _kind, key, _link in steps:
        with contextlib.suppress(LifeboatError):
            assert b"kept" not in source.read_whole(str(root), Item(key, 4, "", ""))[1]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(KEYS.filter(bool), unique=True, max_size=8))
def test_objects_of_any_keys_all_come_back(place: pathlib.Path, keys: list[str]) -> None:
    root = fresh(place)
    target = DirectoryTarget({"c": str(root)}, objects_only=True)
    target.prepare("c")
    found = {}
    for key in keys:
        data = key.encode("utf-8", "surrogateescape")
        found[key] = target.write("c", object_row(key, data), iter([data])).key
    target.finish("c")
    for key, path in found.items():
        assert (root / path).read_bytes() == key.encode("utf-8", "surrogateescape")
        assert not stat.S_ISLNK(os.lstat(root / path).st_mode)
    assert len(set(found.values())) == len(keys)
