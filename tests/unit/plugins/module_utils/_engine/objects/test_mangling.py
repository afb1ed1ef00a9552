# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects import mangling
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.rows import order
from hypothesis import given, settings
from hypothesis import strategies as st

SIGNS = st.sampled_from(["a", "p", "/", "//", ".", "..", "\\", " ", "-", "é", "\0", "x" * 250])
KEYS = st.lists(SIGNS, max_size=12).map("".join)


@settings(max_examples=500, deadline=None)
@given(st.one_of(st.text(max_size=400), KEYS))
def test_a_mangled_key_is_one_that_every_server_takes(key: str) -> None:
    key = key.encode("utf-8", "surrogatepass").decode("utf-8", "surrogateescape")
    mangled = mangling.mangled(key)
    assert mangled.startswith(mangling.PREFIX)
    assert not mangling.is_refused(mangled)
    assert not mangling.is_refused(mangled, on_aws=True)


@settings(max_examples=300, deadline=None)
@given(st.sets(KEYS, max_size=30))
def test_no_two_keys_are_mangled_to_the_same(keys: set[str]) -> None:
    assert len({mangling.mangled(key) for key in keys}) == len(keys)


@pytest.mark.parametrize("key", ["a//b", "/x", "a/./b", "x" * 256, "a__XLDIR__", ".. /x", "a\\..\\b"])
def test_what_is_a_path_to_some_servers_is_a_name_to_aws(key: str) -> None:
    assert mangling.is_refused(key)
    assert mangling.is_refused(key, on_aws=True) == (key == "a/./b")


@pytest.mark.parametrize("key", ["", "a" * 1025, "nul\0", "é" * 513, "\udcff"])
def test_what_no_server_keeps_is_refused_everywhere(key: str) -> None:
    assert mangling.is_refused(key)
    assert mangling.is_refused(key, on_aws=True)


def hidden(keys: t.Iterable[str]) -> set[str]:
    """Return the keys that are hidden by the definition: another key is a folder above."""
    found = set(keys)
    return {
        key
        for key in found
        if any(key[:at] in found for at, sign in enumerate(key) if sign == "/" and at < len(key) - 1)
    }


@settings(max_examples=500, deadline=None)
@given(st.sets(st.text("ab/-.0", min_size=1, max_size=8), max_size=25))
def test_exactly_the_keys_below_other_objects_are_found(keys: set[str]) -> None:
    keys = {key for key in keys if not mangling.is_refused(key)}
    shadows = mangling.Shadows()
    seen = []
    for key in sorted(keys, key=order):
        shadows.see(key)
        seen.append(key)
        assert {each for each in seen if shadows.hides(each)} == hidden(seen)


def test_a_marker_beside_an_object_is_not_hidden() -> None:
    shadows = mangling.Shadows()
    for key in ("m", "m/", "m/x"):
        shadows.see(key)
    assert [key for key in ("m", "m/", "m/x") if shadows.hides(key)] == ["m/x"]


def test_the_keys_of_another_bucket_begin_anew() -> None:
    shadows = mangling.Shadows()
    shadows.see("p")
    shadows.see("p/c")
    assert shadows.hides("p/c")
    shadows.see("a")
    shadows.see("p/c")
    assert not shadows.hides("p/c")
