# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import shutil
import tempfile
import types
from pathlib import Path

import memory
import pytest

ENOUGH = "MemTotal: 24683592 kB\nMemAvailable: 21480260 kB\n"
LITTLE = "MemTotal: 24683592 kB\nMemAvailable: 3145728 kB\n"


@pytest.mark.parametrize(
    ("said", "free", "flags", "variables", "is_in_memory"),
    [
        (ENOUGH, 1 << 40, 0, {}, True),
        (ENOUGH, 1 << 20, 0, {}, False),
        (LITTLE, 1 << 40, 0, {}, False),
        ("MemTotal: 24683592 kB\n", 1 << 40, 0, {}, False),
        (ENOUGH, 1 << 40, os.ST_NOEXEC, {}, False),
        (ENOUGH, 1 << 40, 0, {"TMPDIR": "/somewhere"}, False),
    ],
)
def test_what_comes_and_goes_is_in_memory_only_where_it_has_room_and_nobody_chose_a_folder(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    said: str,
    free: int,
    flags: int,
    variables: dict[str, str],
    is_in_memory: bool,
) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text(said)
    monkeypatch.delenv("TMPDIR", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: types.SimpleNamespace(free=free))
    monkeypatch.setattr(os, "statvfs", lambda _path: types.SimpleNamespace(f_flag=flags))
    monkeypatch.setattr(memory, "FOLDER", tmp_path)
    monkeypatch.setattr(memory, "_MEMINFO", meminfo)
    assert memory.quick_parent() == (str(tmp_path) if is_in_memory else tempfile.gettempdir())


def test_where_memory_is_no_folder_the_usual_one_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "FOLDER", tmp_path / "absent")
    assert memory.quick_parent() == tempfile.gettempdir()
