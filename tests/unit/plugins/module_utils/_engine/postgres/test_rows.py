# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import random
import zlib

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres import rows
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.rows import RowDigest, RowSums

LINES = [b"1\tone", b"", b"\\\\.", b"\\N\t\\N", b"x\\\\", b"\\\\.\\n\\\\.", b"long " * 20]
DATA = b"".join(line + b"\n" for line in LINES)
BEHIND = b"\\.\n\n\nSELECT 1;\n"


def read(pieces: list[bytes], with_sums: bool = True) -> tuple[RowDigest, bytes]:
    """Feed the pieces as the script reader does; return the digest and what is left behind the end."""
    digest, rest = RowDigest(with_sums), b""
    while pieces:
        buffer = rest + pieces.pop(0)
        position, has_ended = digest.take(buffer, 0)
        rest = buffer[position:]
        if has_ended:
            return digest, rest + b"".join(pieces)
    raise AssertionError("the end was not met")


def facts(digest: RowDigest) -> tuple[int, int, str, RowSums | None]:
    return digest.rows, digest.size_bytes, digest.ordered, digest.sums


def test_rows_bytes_and_sums_are_those_of_the_lines() -> None:
    digest, rest = read([DATA + BEHIND])
    assert (digest.rows, digest.size_bytes, rest) == (len(LINES), len(DATA), BEHIND[3:])
    assert digest.sums == RowSums(sum(map(zlib.crc32, LINES)), sum(map(zlib.adler32, LINES)))


@pytest.mark.parametrize("limit", [2, 7, 256 * 1024])
def test_the_digest_does_not_depend_on_where_the_pieces_end(limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = facts(read([DATA + BEHIND])[0])
    monkeypatch.setattr(rows, "_LONG_ROW", limit)
    whole = DATA + BEHIND
    for place in range(len(DATA) + 3):
        assert facts(read([whole[:place], whole[place:]])[0]) == wanted, place
    assert facts(read([whole[i : i + 1] for i in range(len(whole))])[0]) == wanted
    choose = random.Random(limit)
    for _ignored in range(300):
        places = sorted(choose.sample(range(len(whole)), 6))
        pieces = [whole[a:b] for a, b in zip([0, *places], [*places, len(whole)])]
        assert facts(read(pieces)[0]) == wanted, places


def test_an_empty_table_ends_at_once() -> None:
    assert facts(read([b"\\", b".", b"\n"])[0])[:2] == (0, 0)


def test_a_table_without_columns_counts_its_empty_lines() -> None:
    assert facts(read([b"\n\n\n\\.\n"])[0])[:2] == (3, 3)


def test_another_order_changes_the_digest_and_not_the_sums() -> None:
    one, _ignored = read([DATA + BEHIND])
    other, _ignored = read([b"".join(line + b"\n" for line in reversed(LINES)) + BEHIND])
    assert one.sums == other.sums
    assert one.ordered != other.ordered


@pytest.mark.parametrize("bit", range(0, 8 * (len(DATA) - 1), 5))
def test_each_flipped_bit_changes_digest_and_sums(bit: int) -> None:
    wanted, _ignored = read([DATA + BEHIND])
    changed = bytearray(DATA)
    changed[bit // 8] ^= 1 << bit % 8
    digest, _ignored = read([bytes(changed) + BEHIND])
    assert digest.ordered != wanted.ordered
    assert digest.sums != wanted.sums


def test_a_row_moved_between_two_others_is_told_by_the_sums_of_its_parts() -> None:
    one, _ignored = read([b"ab\nc\n\\.\n"])
    other, _ignored = read([b"a\nbc\n\\.\n"])
    assert one.sums != other.sums


def test_a_long_row_is_taken_as_it_comes() -> None:
    digest = RowDigest(True)
    piece = b"x" * 1024 * 1024
    for _ignored in range(20):
        assert digest.take(piece, 0) == (len(piece), False)
    assert digest.take(b"\n\\.\n", 0) == (4, True)
    assert (digest.rows, digest.size_bytes) == (1, 20 * len(piece) + 1)
    assert digest.sums == RowSums(zlib.crc32(piece * 20), zlib.adler32(piece * 20))


def test_without_sums_none_are_given() -> None:
    digest, _ignored = read([DATA + BEHIND], with_sums=False)
    assert (digest.rows, digest.sums) == (len(LINES), None)
