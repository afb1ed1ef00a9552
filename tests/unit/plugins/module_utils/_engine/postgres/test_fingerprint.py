# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is wrong with the bytes of an archive is said, whatever the program that reads them makes of it."""

from __future__ import annotations

import contextlib
import os
import typing as t

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import DamagedError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres import fingerprint
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.tools import Tool

SCRIPT = b"""--
-- PostgreSQL database dump
--

-- Dumped from database version 15.18
-- Dumped by pg_dump version 16.14

--
-- PostgreSQL database dump complete
--

"""


def damaged_in_the_end(chunk: bytes) -> t.Iterator[bytes]:
    yield chunk
    raise DamagedError("Cannot read the archive", "its SHA-256 is another one")


@pytest.mark.parametrize("is_content", [True, False], ids=["content with it", "not even that"])
def test_damage_that_shows_in_the_end_of_an_archive_is_said(monkeypatch: pytest.MonkeyPatch, is_content: bool) -> None:
    @contextlib.contextmanager
    def script_of_stream(descriptor: int, *_: t.Any) -> t.Iterator[t.Iterator[bytes]]:
        os.read(descriptor, 1 << 16)
        yield iter([SCRIPT if is_content else b"no script"])

    monkeypatch.setattr(fingerprint, "script_of_stream", script_of_stream)
    pg_restore = Tool("pg_restore", "pg_restore", 16, "16.14")
    with pytest.raises(DamagedError, match="its SHA-256 is another one"):
        fingerprint.fingerprint_of_chunks(damaged_in_the_end(b"PGDMP"), pg_restore, "shop")
