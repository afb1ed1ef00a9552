# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import itertools

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects import tree_names as names
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.tree_names import tree_names
from hypothesis import given
from hypothesis import strategies as st

PIECES = ["", ".", "..", "a", "%lb-", "empty", "dot", "dots", "name-", "hash-", "file-", "/", "\0", "\udcff", "é"]
PIECES += ["x" * 250, "y" * 256, ".lifeboat-0123456789abcdef", "\n", "~"]
NASTY = st.lists(st.sampled_from(PIECES), max_size=7).map("".join)


@given(NASTY, st.booleans())
def test_every_name_is_one_that_a_file_system_holds_and_that_leads_nowhere_else(key: str, is_exact: bool) -> None:
    for name in tree_names(key, is_exact):
        assert name not in ("", ".", "..")
        assert "/" not in name and "\0" not in name
        assert len(names.order(name)) <= 255
        assert not names.is_temporary(name)


@given(NASTY, NASTY)
def test_different_keys_get_different_names(one: str, other: str) -> None:
    assert (tree_names(one) == tree_names(other)) == (one == other)


def test_all_combinations_of_awkward_parts_stay_apart() -> None:
    parts = ["", ".", "..", "a", "%lb-empty", "%lb-dot", "%lb-name-%lb-dot", "%lb-name-", "y" * 256, "a\0"]
    keys = ["/".join(each) for size in (1, 2, 3) for each in itertools.product(parts, repeat=size)]
    assert len({tuple(tree_names(key)) for key in keys}) == len(keys)


@pytest.mark.parametrize("key", ["a", "a/b.c", "%2F", " lead", "trail ", "x\ny", "\udce4", "%lb", "CON", "e\u0301/é"])
def test_a_key_that_is_a_path_keeps_its_names(key: str) -> None:
    assert tree_names(key) == key.split("/")


def test_a_file_that_lay_under_a_replaced_name_keeps_it() -> None:
    assert tree_names("a/%lb-empty/b", is_exact=True) == ["a", "%lb-empty", "b"]
    assert tree_names("a/%lb-empty/b") == ["a", "%lb-name-%lb-empty", "b"]


def test_the_root_has_no_names() -> None:
    assert tree_names("", is_exact=True) == []


def test_half_a_surrogate_pair_is_no_key() -> None:
    with pytest.raises(ValueError, match="surrogates not allowed"):
        tree_names("\ud800")


@given(st.sampled_from(["p", "x" * 255, "%lb-name-" + "z" * 240]))
def test_the_names_beside_a_name_are_others(name: str) -> None:
    beside = {names.file_beside(name), names.directory_beside(name), name}
    assert len(beside) == 3
    assert all(len(names.order(each)) <= 255 for each in beside)


@pytest.mark.parametrize("key", ["../x", "a/../b", "/x", "a//b", "a/", "a/.", "a\0b"])
def test_a_path_that_could_lead_elsewhere_is_none(key: str) -> None:
    with pytest.raises(ValueError, match="no path"):
        names.parts_of(key)
