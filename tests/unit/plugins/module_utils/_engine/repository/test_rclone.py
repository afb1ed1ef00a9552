# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is made of the answers of rclone; a program of a few lines gives them."""

from __future__ import annotations

import os
import pathlib
import typing as t

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository import rclone
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.rclone import RcloneStore
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.rclone_program import Rclone
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.store import StoreError

ROW = '{"Path":"20261101T000000Z-0000aa.json","Size":2,"ModTime":"2026-11-01T00:00:00Z","IsDir":false}'


def answering(folder: pathlib.Path, text: str, code: int) -> RcloneStore:
    """Return a store whose rclone says `text`, complains, and ends with `code`."""
    said, program = folder / "said", folder / "rclone"
    said.write_text(text, encoding="ascii")
    program.write_text(f"#!/bin/sh\ncat '{said}'\necho 'ERROR : directory not found' >&2\nexit {code}\n", "ascii")
    program.chmod(0o755)
    return RcloneStore(Rclone("remote:place", program=str(program)))


@pytest.mark.parametrize("text", ["", "[\n", "[\n]\n"])
@pytest.mark.parametrize("code", [3, 4])
def test_a_folder_that_is_not_there_has_no_files(tmp_path: pathlib.Path, text: str, code: int) -> None:
    assert list(answering(tmp_path, text, code).entries("manifests/lab/")) == []


@pytest.mark.parametrize("code", [1, 3, 4, 5])
def test_a_listing_that_ends_early_is_not_taken_for_an_empty_one(tmp_path: pathlib.Path, code: int) -> None:
    """A folder below it has gone, or cannot be read: what was listed before it is there."""
    with pytest.raises(StoreError, match="manifests|list"):
        list(answering(tmp_path, f"[\n{ROW}", code).entries("manifests/lab/"))


def test_a_folder_that_is_there_is_not_taken_for_an_empty_one(tmp_path: pathlib.Path) -> None:
    """Asked for itself it answers; so it was a folder below it that had gone when all of it was listed."""
    store = answering(tmp_path, "[\n", 3)
    program = tmp_path / "rclone"
    there = """case "$*" in *"--stat "*) echo '{"Path":"","Size":-1,"IsDir":true}'; exit 0;; esac\n"""
    program.write_text(program.read_text("ascii").replace("#!/bin/sh\n", f"#!/bin/sh\n{there}"), "ascii")
    with pytest.raises(StoreError, match="changed while it was listed"):
        list(store.entries("manifests/lab/"))


def test_a_lock_that_another_user_made_in_a_sticky_folder_is_taken(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel refuses O_CREAT there for files of others (proc_sys_fs(5), protected_regular)."""
    store = answering(tmp_path, "", 0)
    monkeypatch.setattr(rclone, "_LOCK_FOLDERS", (str(tmp_path),))
    with store.exclusive_lock("lab", 0):
        pass
    opened = os.open

    def sticky(path: t.Any, flags: int, *mode: t.Any, **how: t.Any) -> int:
        if flags & os.O_CREAT and os.path.exists(path):
            raise PermissionError(13, "Permission denied")
        return opened(path, flags, *mode, **how)

    monkeypatch.setattr(os, "open", sticky)
    with store.exclusive_lock("lab", 0):
        assert list(tmp_path.glob("lifeboat-rclone-*.lock"))
