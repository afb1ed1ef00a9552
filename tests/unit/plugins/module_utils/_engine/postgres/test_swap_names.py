# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.swap import previous_name

MOMENT = "20261120T020000Z"


def test_the_former_database_is_named_after_the_moment() -> None:
    assert previous_name("lab", MOMENT) == "lab_before_20261120T020000Z"


@pytest.mark.parametrize("character", ["x", "é", "€", "🛟"])
@pytest.mark.parametrize("length", range(1, 64))
def test_a_name_never_exceeds_63_bytes_and_is_never_cut_inside_a_character(character: str, length: int) -> None:
    name = (character * length).encode()[:63].decode("utf-8", "ignore")
    found = previous_name(name, MOMENT)
    assert len(found.encode()) <= 63
    assert found.endswith("_before_" + MOMENT)
    assert set(found[: -len("_before_" + MOMENT)]) <= {character}
