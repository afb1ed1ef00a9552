# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import hashlib
import random

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import DamagedError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.entropy import (
    SAMPLE,
    Rewritten,
    is_compressible,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.rows import Location, Row

TEXT = b"date;customer;amount\n" * 400
NOISE = random.Random(1).randbytes(8000) if hasattr(random.Random, "randbytes") else bytes(range(256)) * 30
PLACE = Location("20261120T020000Z-0a1b2c", 0, 0, 100, 0)


def row(key: str, data: bytes, place: Location | None = PLACE) -> Row:
    return Row(key, len(data), "", "", "", "", hashlib.sha256(data).hexdigest(), place, {})


class Stored:
    """Rewritten objects, and what the repository has of them."""

    def __init__(self) -> None:
        self.rewritten = Rewritten()
        self.bytes: dict[str, bytes] = {}
        self.read_keys: list[str] = []

    def add(self, key: str, before: bytes, after: bytes) -> None:
        first, second = row(key, before), row(key, after)
        self.bytes[first.sha256], self.bytes[second.sha256] = before, after
        self.rewritten.add(first, second)

    def read(self, wanted: Row):
        self.read_keys.append(wanted.key)
        yield self.bytes[wanted.sha256]

    def measured(self) -> tuple[int, int]:
        return self.rewritten.measure(self.read)


def test_text_that_became_noise_has_jumped_and_other_changes_have_not():
    stored = Stored()
    stored.add("encrypted", TEXT, NOISE)
    stored.add("edited", TEXT, TEXT + b"more")
    stored.add("was an image", NOISE, NOISE[::-1])
    stored.add("decrypted", NOISE, TEXT)
    assert stored.measured() == (4, 1)


def test_all_are_counted_and_a_bounded_sample_is_read():
    stored = Stored()
    for number in range(500):
        stored.add(f"key {number}", TEXT, NOISE)
    assert stored.measured() == (SAMPLE, SAMPLE)
    assert stored.rewritten.count == 500
    assert len(stored.read_keys) == 2 * SAMPLE


def test_the_sample_does_not_depend_on_the_order():
    found = []
    keys = [f"key {number}" for number in range(200)]
    for order in (keys, keys[::-1]):
        stored = Stored()
        for key in order:
            stored.add(key, TEXT, NOISE)
        stored.measured()
        found.append(sorted(stored.read_keys))
    assert found[0] == found[1]


def test_small_objects_and_those_without_bytes_are_counted_and_not_looked_into():
    stored = Stored()
    stored.add("tiny", b"abc", b"abd")
    stored.rewritten.add(row("link", TEXT, None), row("link", NOISE))
    assert stored.measured() == (0, 0)
    assert stored.rewritten.count == 2


def test_what_cannot_be_read_any_more_is_left_out():
    stored = Stored()
    stored.add("a", TEXT, NOISE)

    def damaged(_number: int) -> bytes:
        raise DamagedError("Cannot read it")

    def broken(_row: Row):
        return map(damaged, range(1))

    assert stored.rewritten.measure(broken) == (0, 0)


@pytest.mark.parametrize(("data", "expected"), [(TEXT, True), (NOISE, False), (b"", False)])
def test_data_is_compressible_when_a_tenth_can_be_saved(data, expected):
    assert is_compressible(data) is expected
