# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import MissingPartError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.container import Container
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.tools import Inside, Tool
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.verify import content

SHOP = Container("shop-db")


def reader(monkeypatch: pytest.MonkeyPatch, on_host: int, container: Container | None) -> Tool:
    """Return the pg_restore that is chosen for an archive of major 15; `on_host`: that of the host, 0 for none."""

    def find(name: str, major: int, _bin_dir: str, purpose: str, inside: t.Any = None) -> Tool:
        if inside is None and not on_host:
            raise MissingPartError(purpose, f"{name} was not found", "install it")
        return Tool(name, name, 15 if inside else on_host, "", inside)

    monkeypatch.setattr(content, "find_tool", find)
    return content._nearest(15, "", container, "Cannot test")


@pytest.mark.parametrize("on_host", [15, 18])
def test_archives_are_read_by_the_host_if_it_can(monkeypatch: pytest.MonkeyPatch, on_host: int) -> None:
    assert reader(monkeypatch, on_host, SHOP).inside is None


@pytest.mark.parametrize("on_host", [0, 13])
def test_archives_that_the_host_cannot_read_are_read_in_the_container(
    monkeypatch: pytest.MonkeyPatch, on_host: int
) -> None:
    assert reader(monkeypatch, on_host, SHOP).inside == Inside(SHOP)


def test_without_a_container_a_host_has_to_have_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MissingPartError):
        reader(monkeypatch, 0, None)
