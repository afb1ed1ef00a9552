# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import LifeboatError, UsageError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.contents import Contents, Entry
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.selection import (
    Pattern,
    patterns,
    select,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.tablespaces import mapped, moves


def entry(number, kind, name, schema="public", needs=(), tablespace=""):
    return Entry(number, kind, name, schema, "me", tablespace, tuple(needs))


ENTRIES = (
    entry(1, "ENCODING", "ENCODING", ""),
    entry(2, "SCHEMA", "audit", ""),
    entry(3, "TYPE", "state"),
    entry(4, "FUNCTION", "stamp()"),
    entry(10, "TABLE", "users"),
    entry(11, "TABLE", "orders", needs=(3,)),
    entry(12, "VIEW", "buyers", needs=(10, 11)),
    entry(13, "SEQUENCE", "orders_id_seq", needs=(11,)),
    entry(14, "TABLE", "log", "audit", (2,)),
    entry(15, "TABLE", "log_1", "audit", (14, 2)),
    entry(16, "FUNCTION", "audit()", "public", (10,)),
    entry(17, "EXTENSION", "hstore", ""),
    entry(20, "TABLE ATTACH", "log_1", "audit", (15, 14)),
    entry(21, "DEFAULT", "orders id", needs=(11, 13)),
    entry(30, "TABLE DATA", "users", needs=(10,)),
    entry(31, "TABLE DATA", "orders", needs=(11,)),
    entry(40, "CONSTRAINT", "users users_pkey", needs=(10,)),
    entry(41, "FK CONSTRAINT", "orders who", needs=(11, 40, 10)),
    entry(42, "TRIGGER", "orders stamping", needs=(11, 4)),
    entry(43, "COMMENT", "TABLE orders", needs=(11,)),
    entry(44, "COMMENT", "SCHEMA audit", "", (2,)),
    entry(50, "BLOBS", "BLOBS", ""),
    entry(51, "PUBLICATION", "news", ""),
    entry(52, "PUBLICATION TABLE", "news orders", needs=(11, 51)),
)
CONTENTS = Contents("custom", "lab", "15.18", "15.18", ENTRIES)


def ids(include=(), exclude=()):
    selection = select(CONTENTS, patterns(include), patterns(exclude))
    assert selection.problems == ()
    return {each.id for each in selection.wanted}


def test_without_patterns_everything_is_wanted():
    assert ids() == {each.id for each in ENTRIES}


@pytest.mark.parametrize(
    ("include", "exclude", "wanted"),
    [
        (["public.users"], [], {1, 10, 30, 40}),
        (["public.orders"], [], {1, 3, 4, 11, 13, 21, 31, 42, 43}),
        (["audit"], [], {1, 2, 14, 15, 20, 44}),
        (["audit.log"], [], {1, 2, 14, 15, 20, 44}),
        (["audit"], ["audit.log_?"], {1, 2, 14, 44}),
    ],
)
def test_what_is_named_comes_with_all_that_belongs_to_it_or_is_needed(include, exclude, wanted):
    assert ids(include, exclude) == wanted


def test_what_is_left_out_takes_what_hangs_on_it_along():
    selection = select(CONTENTS, (), patterns(["public.users", "public.buyers"]))
    assert {each.id for each in ENTRIES} - {each.id for each in selection.wanted} == {10, 12, 16, 30, 40, 41}
    assert set(selection.left_out) == {
        "FK CONSTRAINT public.orders who, which needs TABLE public.users",
        "FUNCTION public.audit(), which needs TABLE public.users",
    }


@pytest.mark.parametrize(
    ("include", "exclude", "problem"),
    [
        (["public.buyers"], [], "VIEW public.buyers needs TABLE public.users, which is not selected"),
        ([], ["public.users"], "VIEW public.buyers needs TABLE public.users, which is not selected"),
        ([], ["audit.nothing"], "exclude: nothing in the backup is called audit.nothing"),
        (["users"], [], "include: nothing in the backup is called users (did you mean public.users?)"),
    ],
)
def test_what_cannot_stand_alone_is_a_problem(include, exclude, problem):
    selection = select(CONTENTS, patterns(include), patterns(exclude))
    assert problem in selection.problems
    with pytest.raises(LifeboatError, match="Cannot restore this part of db1-lab"):
        selection.require("db1-lab")


@pytest.mark.parametrize(
    ("include", "exclude", "comes"),
    [
        ([], [], True),
        (["public"], [], True),
        (["public.users"], [], True),  # as those of another schema do, which is needed
        (["audit"], [], False),
        ([], ["public"], False),
        ([], ["audit"], True),
        ([], ["public.buyers"], True),
    ],
)
def test_privileges_on_the_schema_that_every_database_has_come_with_what_is_in_it(include, exclude, comes):
    of_public = (
        entry(60, "ACL", "SCHEMA public", "", (5,)),
        entry(61, "COMMENT", "SCHEMA public", "", (5,)),
        entry(62, "DEFAULT ACL", "DEFAULT PRIVILEGES FOR TABLES", "public"),
    )
    contents = Contents("custom", "lab", "15.18", "15.18", (*ENTRIES, *of_public))
    found = {each.id for each in select(contents, patterns(include), patterns(exclude)).wanted}
    assert {60, 61, 62} & found == ({60, 61, 62} if comes else set())


def test_the_list_for_pg_restore_has_the_numbers_in_their_order():
    assert select(CONTENTS, patterns(["public.users"]), ()).lines() == "1;\n10;\n30;\n40;\n"


def test_a_part_asks_a_server_only_for_what_it_needs():
    source = {"extensions": [{"name": "hstore"}], "tablespaces": ["pg_default", "fast"], "tablespace": "pg_default"}
    narrowed = select(CONTENTS, patterns(["public.users"]), ()).narrowed(source)
    assert (narrowed["extensions"], narrowed["tablespaces"], narrowed["size_bytes"]) == ([], ["pg_default"], 0)


@pytest.mark.parametrize(
    ("text", "schema", "name", "is_named"),
    [
        ("a.b", "a", "b", True),
        ("a.*", "a", "whatever\nit is", True),
        ("*.b?", "x", "b7", True),
        ("a", "a", "b", True),
        ("A", "a", "b", False),
        ('"a.b"."c*"', "a.b", "c*", True),
        ('"a.b"."c*"', "a.b", "cd", False),
        ('a."say ""x"""', "a", 'say "x"', True),
        ("a b.c d", "a b", "c d", True),
        ("a.b", "a", "bb", False),
    ],
)
def test_a_pattern_names_what_it_says(text, schema, name, is_named):
    assert Pattern.parse(text).names(entry(1, "TABLE", name, schema)) is is_named


@pytest.mark.parametrize("text", ["", ".", "a.", ".b", "a.b.c", '"a', 'a"b', " "])
def test_what_is_no_pattern_is_refused(text):
    with pytest.raises(UsageError, match="names no schema"):
        Pattern.parse(text)


def test_tables_and_indexes_move_to_the_mapped_tablespaces():
    contents = Contents(
        "custom",
        "lab",
        "15",
        "15",
        (
            entry(1, "TABLE", 'odd "t', tablespace="fast"),
            entry(2, "INDEX", "i", needs=(1,), tablespace="slow"),
            entry(3, "CONSTRAINT", 'odd "t the key', needs=(1,), tablespace="fast"),
            entry(4, "TABLE", "plain"),
        ),
    )
    mapping = {"fast": "nvme"}
    assert moves(contents, mapping, ("TABLE", "MATERIALIZED VIEW")) == [
        'ALTER TABLE IF EXISTS "public"."odd ""t" SET TABLESPACE "nvme"'
    ]
    assert moves(contents, mapping, ("INDEX", "CONSTRAINT")) == [
        'ALTER INDEX IF EXISTS "public"."i" SET TABLESPACE "slow"',
        'ALTER INDEX IF EXISTS "public"."the key" SET TABLESPACE "nvme"',
    ]
    source = {"tablespace": "fast", "tablespaces": ["fast", "slow"]}
    assert mapped(source, mapping) == {"tablespace": "nvme", "tablespaces": ["nvme", "slow"]}
    assert mapped(source, {}) is source
