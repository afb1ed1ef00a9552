# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Servers under test lie in memory where there is room for them, and nowhere else."""

from __future__ import annotations

import shutil
import types
from pathlib import Path

import memory
import pytest
from ansible_collections.lifeboat.recovery.tests.functional import quick_folder


@pytest.mark.parametrize(
    ("said", "is_in_memory"),
    [
        ("MemTotal:       24683592 kB\nMemAvailable:   21480260 kB\n", True),
        ("MemTotal:       24683592 kB\nMemAvailable:    3145728 kB\n", False),
        ("MemTotal:       24683592 kB\n", False),
    ],
)
def test_a_folder_is_in_memory_only_where_memory_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, is_in_memory: bool
) -> None:
    folder_in_memory, meminfo = tmp_path / "memory", tmp_path / "meminfo"
    folder_in_memory.mkdir()
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: types.SimpleNamespace(free=1 << 40))
    meminfo.write_text(said)
    monkeypatch.setattr(memory, "FOLDER", folder_in_memory)
    monkeypatch.setattr(memory, "_MEMINFO", meminfo)
    folder = quick_folder.quick_folder("lbq-")
    folder.rmdir()
    assert (folder.parent == folder_in_memory) is is_in_memory
