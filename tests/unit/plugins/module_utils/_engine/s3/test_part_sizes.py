# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3.multipart import MIB, Rooms, part_sizes
from hypothesis import given
from hypothesis import strategies as st

GIB = 1024 * MIB


@pytest.mark.parametrize(
    ("estimate", "first"),
    [
        (0, 16), (1, 16), (78 * GIB, 16), (79 * GIB, 32), (156 * GIB, 32), (157 * GIB, 64), (312 * GIB, 64),
        (9999 * GIB, 64),
    ],
)  # fmt: skip
def test_the_first_part_is_the_smallest_of_which_10000_hold_twice_the_estimate(estimate: int, first: int) -> None:
    assert next(part_sizes(estimate)) == first * MIB


@given(st.integers(0, 312 * GIB))
def test_parts_are_equal_up_to_the_estimate(estimate: int) -> None:
    sizes = list(part_sizes(estimate))
    expected = -(-estimate // sizes[0])
    assert len(set(sizes[: max(expected, 2000)])) == 1


@given(st.integers(0, 600 * GIB))
def test_10000_parts_hold_twice_the_estimate_and_no_part_breaks_a_limit_of_s3(estimate: int) -> None:
    sizes = list(part_sizes(estimate))
    assert len(sizes) == 10_000
    assert sum(sizes) >= 2 * estimate
    assert all(5 * MIB <= size <= 5 * GIB for size in sizes)
    assert sizes == sorted(sizes)


def test_behind_a_wrong_estimate_the_size_doubles_every_2000_parts() -> None:
    sizes = list(part_sizes(0))
    assert [sizes[index] // MIB for index in (1999, 2000, 3999, 4000, 6000, 8000, 9999)] == [
        16,
        32,
        32,
        64,
        128,
        256,
        256,
    ]


def test_rooms_of_parts_are_used_again_and_are_no_more_than_an_upload_has() -> None:
    rooms = Rooms()
    first = rooms.take(16 * MIB)
    rooms.give_back(first)
    assert rooms.take(16 * MIB) is first
    sent = [memoryview(bytearray(16 * MIB)) for _number in range(5)]
    for room in sent:
        rooms.give_back(room)
    taken = [rooms.take(16 * MIB) for _number in range(5)]
    assert [any(room is each for each in sent) for room in taken] == [True] * 4 + [False]


def test_rooms_of_another_size_are_given_up() -> None:
    rooms = Rooms()
    rooms.give_back(memoryview(bytearray(16 * MIB)))
    assert len(rooms.take(32 * MIB)) == 32 * MIB
    room = memoryview(bytearray(32 * MIB))
    rooms.give_back(room)
    assert rooms.take(32 * MIB) is room
