# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import UsageError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.databases import (
    Database,
    Selection,
    chosen,
    selection_from,
)

FOUND = [
    Database("lifeboat_restore_0a1b2c3d", True, 99),
    Database("postgres", True, 8),
    Database("shop", True, 50),
    Database("shut", False, 7),
    Database("template0", False, 7),
    Database("template1", True, 7),
    Database("test_1", True, 80),
]


def names(found):
    return [each.name for each in found.databases]


def test_all_are_those_that_take_connections_the_largest_first():
    found = chosen(FOUND, Selection())
    assert names(found) == ["test_1", "shop", "postgres"]
    assert found.closed == ("shut",)


def test_excluded_ones_are_left_out_by_name_or_pattern():
    assert names(chosen(FOUND, Selection(None, ("test_*", "postgres")))) == ["shop"]
    assert chosen(FOUND, Selection(None, ("sh[u]t",))).closed == ()
    odd = [Database("a[b]*", True, 1), Database("ab", True, 1)]
    assert names(chosen(odd, Selection(None, ("a[b]*",)))) == []
    assert names(chosen([odd[0]], Selection(None, ("a[b]*",)))) == []


def test_named_ones_are_tried_even_if_they_are_not_there():
    found = chosen(FOUND, Selection(("shut", "nowhere", "template1", "shop")))
    assert names(found) == ["shop", "shut", "template1", "nowhere"]
    assert found.closed == ()


@pytest.mark.parametrize("value", ["some", [], ["a", "a"], [1], [""], 7, {"a": 1}])
def test_other_values_are_refused(value):
    with pytest.raises(UsageError):
        selection_from(value, [], "Cannot use this")


def test_a_list_needs_no_exclusion():
    assert selection_from("all", ["a"], "") == Selection(None, ("a",))
    assert selection_from(["all"], [], "") == Selection(("all",))
    with pytest.raises(UsageError, match="exclude stands beside"):
        selection_from(["a"], ["b"], "Cannot use this")
