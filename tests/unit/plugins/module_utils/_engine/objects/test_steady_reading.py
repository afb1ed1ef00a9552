# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import datetime as dt
import pathlib
import time

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine import clock
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.directory_source import DirectorySource
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.mirror_directory import (
    DirectorySource as MirroredDirectory,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.mirror_guards import Location
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.source import ChangedError


def read_for_a_backup(path: pathlib.Path) -> bytes:
    source = DirectorySource([str(path)])
    (item,) = (item for item in source.items(str(path)) if item.key == "f")
    return source.read_whole(str(path), item)[1]


def read_a_range_for_a_backup(path: pathlib.Path) -> bytes:
    source = DirectorySource([str(path)])
    (item,) = (item for item in source.items(str(path)) if item.key == "f")
    return b"".join(source.read_range(str(path), item, 0, 1))


def read_for_a_mirror(path: pathlib.Path) -> bytes:
    source = MirroredDirectory(Location("there", path=str(path)))
    (item,) = source.items()
    return source.read_whole(item)[1]


def read_in_chunks_for_a_mirror(path: pathlib.Path) -> bytes:
    source = MirroredDirectory(Location("there", path=str(path)))
    (item,) = source.items()
    return b"".join(source.chunks(item))


readers = pytest.mark.parametrize(
    "read", [read_for_a_backup, read_a_range_for_a_backup, read_for_a_mirror, read_in_chunks_for_a_mirror]
)


def set_age(file: pathlib.Path, age_s: float, monkeypatch: pytest.MonkeyPatch) -> None:
    changed = dt.datetime.fromtimestamp(file.stat().st_ctime_ns / 1e9, clock.UTC)
    monkeypatch.setattr(clock, "now", lambda: changed + dt.timedelta(seconds=age_s))


@readers
def test_a_file_is_read_only_when_the_next_change_of_it_must_show(read, tmp_path, monkeypatch) -> None:
    (tmp_path / "f").write_bytes(b"x")
    slept: list[float] = []
    monkeypatch.setattr(clock, "sleep", slept.append)
    for age_s in (-3600.0, -1.0, 0.005, 0.5, 3.0):  # below zero: by a clock that is ahead
        set_age(tmp_path / "f", age_s, monkeypatch)
        assert read(tmp_path) == b"x"
    assert slept == [pytest.approx(0.02), pytest.approx(0.015, abs=1e-3)]


@readers
def test_a_file_that_changes_while_it_settles_is_not_read(read, tmp_path, monkeypatch) -> None:
    """It could change again, while it is read, without a sign: within one step of the clock of file times."""
    (tmp_path / "f").write_bytes(b"x")
    set_age(tmp_path / "f", 0.005, monkeypatch)

    def sleep(_seconds: float) -> None:
        time.sleep(0.02)  # as long as it takes for a time of its own
        (tmp_path / "f").write_bytes(b"y")

    monkeypatch.setattr(clock, "sleep", sleep)
    with pytest.raises(ChangedError):
        read(tmp_path)
