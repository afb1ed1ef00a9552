# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import UsageError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.patterns import Patterns


@pytest.mark.parametrize(
    ("pattern", "key", "is_directory", "is_left_out"),
    [
        ("*.tmp", "a.tmp", False, True),
        ("*.tmp", "deep/down/a.tmp", False, True),
        ("*.tmp", "a.tmp.txt", False, False),
        ("*.tmp", "line\nfeed.tmp", False, True),
        ("*.tmp", "\udce4.tmp", False, True),
        ("/cache", "cache", False, True),
        ("/cache", "a/cache", False, False),
        ("cache/", "a/cache", True, True),
        ("cache/", "a/cache", False, False),
        ("/cache/", "cache", True, True),
        ("var/log", "var/log", True, True),
        ("var/log", "a/var/log", True, False),
        ("**/node_modules", "node_modules", True, True),
        ("**/node_modules", "a/b/node_modules", True, True),
        ("**/node_modules", "a/my_node_modules", True, False),
        ("a/**/b", "a/b", False, True),
        ("a/**/b", "a/x/y/b", False, True),
        ("a/**/b", "ab", False, False),
        ("logs/**", "logs/x/y", False, True),
        ("logs/**", "logs", True, False),
        ("a/*/c", "a/b/c", False, True),
        ("a/*/c", "a/b/b/c", False, False),
        ("?", "x", False, True),
        ("a?b", "a/b", False, False),
        ("[a-c]x", "bx", False, True),
        ("[!a-c]x", "bx", False, False),
        ("[!a-c]x", "dx", False, True),
        ("[^a-c]x", "dx", False, True),
        ("[]]", "]", False, True),
        ("[a.]x", "/x", False, False),
        ("a[", "a[", False, True),
        (r"\*", "*", False, True),
        (r"\*", "a", False, False),
        (r"\!important", "!important", False, True),
        ("a+(b)", "a+(b)", False, True),
        ("***.x", "any.x", False, True),
    ],
)
def test_a_pattern_leaves_out_what_gitignore_would(
    pattern: str, key: str, is_directory: bool, is_left_out: bool
) -> None:
    assert Patterns([pattern]).is_wanted(key, is_directory) is not is_left_out


def test_the_last_pattern_that_matches_decides() -> None:
    patterns = Patterns(["*.log", "!important.log", "/old/*"])
    assert not patterns.is_wanted("a.log", False)
    assert patterns.is_wanted("important.log", False)
    assert not patterns.is_wanted("old/important.log", False)


def test_only_what_is_included_is_taken_with_the_directories_on_the_way() -> None:
    patterns = Patterns(include=["/etc/nginx", "*.conf", "/srv/*/data/"])
    assert patterns.is_wanted("etc/nginx/sites/one", False)
    assert patterns.is_wanted("etc", True)
    assert patterns.is_wanted("any/my.conf", False)
    assert not patterns.is_wanted("etc/passwd", False)
    assert patterns.is_wanted("srv/a/data/deep/file", False)
    assert not patterns.is_wanted("srv/a/data", False)


def test_directories_that_can_hold_nothing_that_is_included_are_not_entered() -> None:
    patterns = Patterns(include=["/etc/*/sites", "/opt/**/x"])
    taken = {key: patterns.is_wanted(key, True) for key in ("etc", "etc/a", "etc/a/b", "var", "opt/b/c", "o")}
    assert taken == {"etc": True, "etc/a": True, "etc/a/b": False, "var": False, "opt/b/c": True, "o": False}


def test_what_is_left_out_stays_out_when_it_is_included() -> None:
    assert not Patterns(["*.key"], ["/etc/"]).is_wanted("etc/a.key", False)


def test_the_root_is_always_taken() -> None:
    assert Patterns(["*"], ["nothing"]).is_wanted("", True)


@pytest.mark.parametrize("text", ["", "/", "!", "a//b", "../x", "a/./b", "a\\", "[z-a]"])
def test_a_pattern_that_can_never_match_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        Patterns([text])


def test_nothing_can_be_taken_back_from_what_is_included() -> None:
    with pytest.raises(UsageError):
        Patterns(include=["!a"])
