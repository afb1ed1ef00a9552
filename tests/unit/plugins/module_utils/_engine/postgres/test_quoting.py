# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres import quoting


@pytest.mark.parametrize(
    ("name", "quoted"),
    [("lab", '"lab"'), ('a"b', '"a""b"'), ("new\nline", '"new\nline"'), ("%s {0}", '"%s {0}"'), ("a\\b", '"a\\b"')],
)
def test_an_identifier_is_quoted_whatever_is_in_it(name: str, quoted: str) -> None:
    assert quoting.identifier(name) == quoted


@pytest.mark.parametrize(
    ("text", "quoted"), [("plain", "'plain'"), ("it's", "'it''s'"), ("a\\b", " E'a\\\\b'"), ("\\'", " E'\\\\'''")]
)
def test_a_literal_is_quoted_whatever_is_in_it(text: str, quoted: str) -> None:
    assert quoting.literal(text) == quoted


@pytest.mark.parametrize(
    ("name", "quoted"),
    [
        ("dbname=postgres", "dbname='dbname=postgres'"),
        ("a b;$(id)", "dbname='a b;$(id)'"),
        ("qu'o\\te", "dbname='qu\\'o\\\\te'"),
        ("postgresql://x/y", "dbname='postgresql://x/y'"),
    ],
)
def test_a_database_is_named_to_the_tools_as_a_quoted_value(name: str, quoted: str) -> None:
    assert quoting.conninfo(name) == quoted


@pytest.mark.parametrize("quote", [quoting.identifier, quoting.literal, quoting.conninfo])
def test_a_nul_character_is_refused(quote: object) -> None:
    with pytest.raises(ValueError, match="NUL"):
        quote("a\0b")  # type: ignore[operator]


def test_a_list_of_names_is_short_whatever_its_length() -> None:
    assert quoting.shorten(["a", "b"]) == "a, b"
    assert quoting.shorten(["x"] * 15) == ", ".join(["x"] * 12) + " and 3 more"
    assert len(quoting.shorten(["x" * 1000] * 1000)) < 12 * 83 + 20
