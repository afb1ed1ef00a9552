# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pathlib
import typing as t

import pytest
from ansible_collections.lifeboat.recovery.tests.unit.plugins.module_utils._engine.repository.setting import (
    BUCKETS,
    Setting,
    made,
)


@pytest.fixture(params=[*BUCKETS, "directory"])
def anywhere(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> t.Iterator[Setting]:
    """Two repositories: buckets of each kind, and real directories."""
    with made(request.param, tmp_path) as setting:
        yield setting


@pytest.fixture(params=BUCKETS)
def in_buckets(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> t.Iterator[Setting]:
    """Two repositories in buckets, where requests can be lost or late."""
    with made(request.param, tmp_path) as setting:
        yield setting


@pytest.fixture
def in_directories(tmp_path: pathlib.Path) -> t.Iterator[Setting]:
    """Two repositories in real directories."""
    with made("directory", tmp_path) as setting:
        yield setting
