# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import random

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import DamagedError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres import script
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.fingerprint import Fingerprint, _final
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.script import (
    ScriptReader,
    column_order,
)

HEAD = r"""--
-- PostgreSQL database dump
--

\restrict RANDOM

-- Dumped from database version 15.18 (Debian 15.18-0+deb12u1)
-- Dumped by pg_dump version 16.14

SET statement_timeout = 0;

"""
TABLE = """SET default_tablespace = '';

SET default_table_access_method = heap;

--
-- Name: t; Type: TABLE; Schema: public; Owner: alice
--

CREATE TABLE public.t (
    a integer,

    b text
);


ALTER TABLE public.t OWNER TO alice;

"""
VIEW = """--
-- Name: v; Type: VIEW; Schema: public; Owner: bob; Tablespace: fast
--

CREATE VIEW public.v AS
 SELECT 1 AS a;


"""
ROWS = """--
-- Data for Name: t; Type: TABLE DATA; Schema: public; Owner: alice
--

COPY public.t (a, b) FROM stdin;
1\tone
2\t--
3\t-- Name: x; Type: TABLE; Schema: public; Owner: eve
\\\\.\t\\N
\\.


"""
BLOBS = """--
-- Name: 4711; Type: BLOB; Schema: -; Owner: alice
--

SELECT pg_catalog.lo_create('4711');


--
-- Data for Name: BLOBS; Type: BLOBS; Schema: -; Owner: -
--

BEGIN;

SELECT pg_catalog.lo_open('4711', 131072);
SELECT pg_catalog.lowrite(0, '\\x0011');
SELECT pg_catalog.lowrite(0, '\\x22');
SELECT pg_catalog.lo_close(0);

SELECT pg_catalog.lo_open('4712', 131072);
SELECT pg_catalog.lo_close(0);

COMMIT;

"""
SEQUENCE = """--
-- Name: s; Type: SEQUENCE SET; Schema: public; Owner: alice
--

SELECT pg_catalog.setval('public.s', 42, true);


"""
STATISTICS = """--
-- Statistics for Name: t; Type: STATISTICS DATA; Schema: public; Owner: -
--

SELECT * FROM pg_catalog.pg_restore_relation_stats();


"""
TAIL = r"""--
-- PostgreSQL database dump complete
--

\unrestrict RANDOM

"""
ALL = HEAD + TABLE + VIEW + ROWS + BLOBS + SEQUENCE + TAIL


def read(text: str, size: int = 1 << 20) -> Fingerprint:
    reader, data = ScriptReader(with_sums=True), text.encode()
    for start in range(0, len(data), size):
        reader.feed(data[start : start + size])
    return _final(reader.finish())


def test_everything_in_a_script_is_found() -> None:
    found = read(ALL)
    assert {name: table.rows for name, table in found.tables.items()} == {"public.t": 4}
    assert found.large_object_count == 2
    assert found.sequence_count == 1
    assert set(found.objects) == {"TABLE public.t", "VIEW public.v", "BLOB", "SEQUENCE SET public.s"}
    assert found.owners == {"alice", "bob"}
    assert (found.server_version, found.dumped_by) == ("15.18", "16.14")
    assert found.size_bytes == len(ALL.encode())


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 1000])
def test_the_fingerprint_does_not_depend_on_where_the_pieces_end(size: int) -> None:
    assert read(ALL, size) == read(ALL)


def test_the_order_of_entries_and_what_stands_between_them_do_not_count() -> None:
    moved = (
        HEAD.replace("RANDOM", "OTHER")
        + VIEW
        + SEQUENCE
        + BLOBS
        + TABLE
        + "SET default_tablespace = fast;\n\n"
        + ROWS
        + TAIL
    )
    assert read(moved).digest == read(ALL).digest


def test_tablespaces_and_planner_statistics_do_not_count() -> None:
    assert read(ALL.replace("; Tablespace: fast", "").replace(TAIL, STATISTICS + TAIL)).digest == read(ALL).digest


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("1\tone", "1\tonE"),
        ("2\t--\n", ""),
        ("a integer", "a bigint"),
        ("    a integer,\n\n", "    a integer,\n"),
        ("(a, b) FROM", "(b, a) FROM"),
        ("Owner: bob", "Owner: eve"),
        ("OWNER TO alice", "OWNER TO eve"),
        ("42, true", "42, false"),
        ("\\x22", "\\x23"),
        ("'4712'", "'4713'"),
        ("AS a;", "AS b;"),
    ],
)
def test_each_change_changes_the_digest(old: str, new: str) -> None:
    assert old in ALL
    assert read(ALL.replace(old, new)).digest != read(ALL).digest


def test_how_a_large_object_was_cut_into_writes_does_not_count() -> None:
    one = "SELECT pg_catalog.lowrite(0, '\\x0011');\nSELECT pg_catalog.lowrite(0, '\\x22');\n"
    assert one in ALL
    assert read(ALL.replace(one, "SELECT pg_catalog.lowrite(0, '\\x001122');\n")).digest == read(ALL).digest


def test_a_script_without_its_last_words_is_refused() -> None:
    for text in (HEAD, HEAD + TABLE, ALL[: -len(TAIL)], ALL[: ALL.index("2\t--")], "", HEAD + TAIL + TABLE):
        with pytest.raises(DamagedError):
            read(text)


def test_a_function_that_looks_like_a_dump_does_not_hide_what_follows() -> None:
    body = "COPY public.x (a) FROM stdin;\nSET default_tablespace = 'x';\n\n--\n--\n"
    function = (
        "--\n-- Name: f(); Type: FUNCTION; Schema: public; Owner: bob\n--\n\nCREATE FUNCTION f() AS $$"
        + body
        + "$$;\n\n\n"
    )
    found = read(HEAD + function + ROWS + TAIL)
    assert found.rows == 4
    assert read(HEAD + function.replace("'x'", "'y'") + ROWS + TAIL).digest != found.digest


def test_table_names_with_quotes_and_line_breaks_are_read_whole() -> None:
    name = '"a ""b"" FROM stdin;\nc"."d (e)"'
    copied = ROWS.replace("public.t (a, b)", f'{name} ("x\ny", "FROM stdin;\n")')
    found = read(HEAD + copied + TAIL)
    assert {table: each.rows for table, each in found.tables.items()} == {name: 4}


def test_a_table_without_columns_is_read() -> None:
    found = read(HEAD + ROWS.replace("public.t (a, b)", "public.t ") + TAIL)
    assert found.tables["public.t"].rows == 4


@pytest.mark.parametrize(
    "text",
    [
        HEAD + ROWS + ROWS + TAIL,
        HEAD + BLOBS.replace("SELECT pg_catalog.lo_open('4711', 131072);\n", "") + TAIL,
        HEAD + BLOBS.replace("COMMIT;", "DROP TABLE x;") + TAIL,
        HEAD + ROWS.replace("COPY public.t (a, b)", "COPY ") + TAIL,
    ],
)
def test_what_pg_restore_does_not_write_is_refused(text: str) -> None:
    with pytest.raises(DamagedError):
        read(text)


def test_a_definition_with_an_endless_line_is_hashed_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    long = VIEW.replace("AS a;", f"AS a -- {'x' * 5000}\n;")
    wanted = read(HEAD + long + TAIL)
    monkeypatch.setattr(script, "_LONG_LINE", 100)
    for size in (1, 50, 170, 10000):
        assert read(HEAD + long + TAIL, size) == wanted


def test_names_in_results_are_bounded_and_still_differ() -> None:
    one, other = (script.bounded_name(b"x" * 5000 + end) for end in (b"1", b"2"))
    assert len(one) <= 200
    assert one != other
    assert script.bounded_name("Zähler".encode("latin-1")) == "Z\\xe4hler"


def test_millions_of_large_objects_need_no_entry_each() -> None:
    gathered = script.Gathered()
    for oid in range(5000):
        gathered.add_large_object(oid, b"x" * 16)
    assert len(gathered.large_objects) == 1024
    assert sum(count for count, _ignored in gathered.large_objects.values()) == 5000


def test_random_cuts_of_the_script_never_pass() -> None:
    choose = random.Random(4)
    end = ALL.index("-- PostgreSQL database dump complete") + 30
    for place in (choose.randrange(end) for _ignored in range(200)):
        with pytest.raises(DamagedError):
            read(ALL[:place])


@pytest.mark.parametrize(
    ("found", "wanted", "order"),
    [
        (b"(a, b, c)", b"(a, b, c)", ()),
        (b"(a, b, c)", b"(c, a, b)", (2, 0, 1)),
        (b'("a, ""b""", b, "(c)")', b'(b, "(c)", "a, ""b""")', (1, 2, 0)),
        (b"(a, b)", b"(a, c)", ()),
        (b"(a, b)", b"(b, a, c)", ()),
        (b"", b"", ()),
    ],
)
def test_the_order_of_columns_is_told_by_their_names(found: bytes, wanted: bytes, order: tuple[int, ...]) -> None:
    assert column_order(found, wanted) == order
