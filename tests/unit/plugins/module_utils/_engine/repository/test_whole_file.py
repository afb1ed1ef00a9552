# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files of the host that are there as a whole or not at all, also after a crash."""

from __future__ import annotations

import contextlib
import os
import stat
import typing as t
from pathlib import Path

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import LifeboatError, UsageError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host import report_files, scheduled
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.mirror_spool import write_plan_file
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.whole_file import whole_file


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return what is made durable, and when names are given, from now on."""
    found: list[str] = []
    fsync, replace = os.fsync, os.replace

    def synced(descriptor: int) -> None:
        fsync(descriptor)
        found.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")

    def replaced(source: str, target: str) -> None:
        replace(source, target)
        found.append("name")

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", replaced)
    return found


def plan_file(path: str) -> None:
    write_plan_file(path, [], [])


def operators_file(path: str) -> None:
    with report_files.written_whole(path) as file:
        assert file is not None
        file.write(b"{}")


def remembered(path: str) -> None:
    report_files.replaced_whole(path, b"{}", 0o644)


def state(path: str) -> None:
    scheduled._State(path, "etc", ["run", "etc"]).write(0)


@pytest.mark.parametrize("write", [plan_file, operators_file, remembered, state])
def test_a_file_is_durable_before_it_has_its_name_and_the_name_after_that(
    write: t.Callable[[str], None], tmp_path: Path, events: list[str]
) -> None:
    write(str(tmp_path / "file"))

    assert events == ["file", "name", "folder"]
    assert os.listdir(tmp_path) == ["file"]


def test_what_was_there_stays_as_it_was_where_the_writing_fails(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")

    with pytest.raises(RuntimeError), whole_file(str(path)) as file:
        file.write(b"new")
        raise RuntimeError("the power went")

    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["file"]


def test_a_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(b"other")
    (tmp_path / "file").symlink_to(tmp_path / "other")

    with whole_file(str(tmp_path / "file"), 0o640) as file:
        file.write(b"new")

    assert (tmp_path / "other").read_bytes() == b"other"
    assert stat.S_IMODE((tmp_path / "file").lstat().st_mode) == 0o640


def pipe(path: Path) -> None:
    os.mkfifo(path)


def link_to_pipe(path: Path) -> None:
    os.mkfifo(path.with_name("pipe"))
    path.symlink_to("pipe")


def link_to_stream(path: Path) -> None:
    path.symlink_to("/proc/self/fd/1")  # as /dev/stdout


@pytest.mark.parametrize("write", [plan_file, operators_file, remembered, state, report_files.check_report])
@pytest.mark.parametrize("make", [Path.mkdir, pipe, link_to_pipe, link_to_stream])
def test_what_is_no_file_is_not_replaced(
    make: t.Callable[[Path], None], write: t.Callable[[str], None], tmp_path: Path
) -> None:
    path = tmp_path / "special"
    make(path)
    before = path.lstat()

    with contextlib.suppress(OSError, LifeboatError):  # a state that cannot be kept ends no run
        write(str(path))

    assert path.lstat() == before


@pytest.mark.parametrize("place", ["missing/file", "file/below", "."])
def test_a_report_that_could_not_be_written_is_refused_before_the_work(place: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")

    with pytest.raises(UsageError, match="Cannot write"):
        report_files.check_report(str(tmp_path / place))
