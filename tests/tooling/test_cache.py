# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from pathlib import Path

import pytest
from cache import build_once


def test_a_build_that_fails_leaves_nothing_and_is_tried_again(tmp_path: Path) -> None:
    target = tmp_path / "thing"

    def fail(part: Path) -> None:
        part.write_text("half", encoding="utf-8")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_once(target, fail)
    assert [path.name for path in tmp_path.iterdir()] == ["thing.lock"]
    build_once(target, lambda part: part.mkdir())
    assert target.is_dir()


def test_what_is_there_is_not_built_again(tmp_path: Path) -> None:
    target = tmp_path / "thing"
    build_once(target, lambda part: part.mkdir())
    build_once(target, lambda part: pytest.fail("built twice"))
