# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Random histories of a bucket: every backup's index reads back exactly the state it saw, whatever came before."""

from __future__ import annotations

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects import segments
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.changes import Gone, Wanted
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.rows import Row, order
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.segments import Segment
from ansible_collections.lifeboat.recovery.tests.unit.plugins.module_utils._engine.objects.index_model import (
    Backup,
    back_up,
    backup_id,
    item,
)
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

COLLECTION = "b\nucket"
ODD_KEYS = ["\n", "a", "a\n", "a\nb", "a/", "a//b", "a/b", "a\0", "a\0b", '"', "\\", "é", "e\u0301", "\udcff", "\ue000"]
ODD_KEYS += ["\U0001f600", "\udce9x", "\uffff", "../x", "/x", " ", "\x7f", "~"]
KEYS = sorted([*ODD_KEYS, *(f"d/{number:02d}" for number in range(73))], key=order)
# What happens to a stretch of keys. Histories are bytes, taken two by two: what, and where. They are cheap to draw.
WRITE, WRITE_MORE, TAG, REMOVE, REMOVE_MORE, HIDE, BACK_UP = 0, 1, 3, 4, 5, 6, 7
HISTORIES = st.binary(min_size=8, max_size=32)


@pytest.fixture(autouse=True, scope="module")
def small_segments():
    """Make segments so small that a bucket of a hundred objects has many."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (("USUAL", 8), ("MOST", 16), ("LEAST", 2), ("TOGETHER", 12)):
            patch.setattr(segments, name, value)
        yield


class Bucket:
    """A bucket, and what its backups must hold."""

    def __init__(self) -> None:
        self.items = {}
        self.hidden = set()  # keys whose objects are listed and cannot be read
        self.rows = {}  # what the last backup must hold: key → (item, id of the backup that read its bytes)
        self.backups: list[tuple[Backup, dict]] = []
        self.writes = 0

    def play(self, history: bytes) -> None:
        for what, where in zip(history[::2], history[1::2]):
            count = 1 + what // 24 if what < 232 else 48  # more than what becomes one segment, now and then
            keys = [KEYS[number % len(KEYS)] for number in range(where, where + count)]
            self.do(what % 8, keys)
        self.do(BACK_UP, [])

    def do(self, what: int, keys: list[str]) -> None:
        if what == BACK_UP:
            self.back_up()
        for key in keys:
            self.writes += 1
            if what in (REMOVE, REMOVE_MORE):
                self.items.pop(key, None)
            elif what == TAG and key in self.items:
                self.items[key] = self.items[key]._replace(attributes=f"t{self.writes}")
            elif what == HIDE:
                self.hidden ^= {key}
            elif what != BACK_UP:
                self.items[key] = item(key, self.writes)

    def back_up(self) -> None:
        number = len(self.backups)
        base = self.backups[-1][0] if self.backups else None
        loads = base.loads if base else 0
        before, self.rows = self.rows, self.expected(backup_id(number))
        backup = back_up(base, number, {COLLECTION: self.items}, 1 + number % 3, hidden=self.hidden)
        assert wanted(backup) == {key: each for key, each in self.items.items() if before.get(key, [None])[0] != each}
        assert gone(backup) == set(before) - set(self.items)
        if self.rows == before and base:
            assert set(backup.run.files) == {"segments"}
            assert backup.run.files["segments"].data == base.run.files["segments"].data
        if base and {key: each for key, (each, _owner) in before.items()} == self.items:
            assert base.loads == loads
        self.backups.append((backup, dict(self.rows)))

    def expected(self, owner: str) -> dict:
        found = {}
        for key, listed in self.items.items():
            had = self.rows.get(key)
            if had is not None and (had[0] == listed or key in self.hidden):
                found[key] = had
            elif key not in self.hidden:
                same_bytes = had is not None and had[0][:4] == listed[:4]
                found[key] = (listed, had[1] if same_bytes else owner)
        return found


def wanted(backup: Backup) -> dict:
    return {step.item.key: step.item for step in backup.steps if isinstance(step, Wanted)}


def gone(backup: Backup) -> set[str]:
    return {step.row.key for step in backup.steps if isinstance(step, Gone)}


def check_contents(backup: Backup, rows: list[Row], expected: dict) -> None:
    assert [order(row.key) for row in rows] == sorted(map(order, expected))
    assert {row.key: (row.item, row.location.owner) for row in rows} == expected
    assert (backup.summary.rows, backup.summary.bytes) == (len(rows), sum(row.size for row in rows))


def check_sizes(listed: list[Segment]) -> None:
    sizes = [segment.rows for segment in listed]
    assert all(segments.LEAST <= size <= segments.MOST for size in sizes) or sizes == [1]


def check_needs(backup: Backup, rows: list[Row], listed: list[Segment]) -> None:
    files = {(row.location.owner, row.location.pack) for row in rows}
    files |= {(segment.owner, segment.file) for segment in listed}
    ranges = ((need.owner, first, last) for need in backup.summary.needs for first, last in need.ranges)
    needs = {(owner, number) for owner, first, last in ranges for number in range(first, last + 1)}
    assert needs == {(owner, number) for owner, number in files if owner != backup.run.id}


@seed(20261121)
@given(HISTORIES)
@settings(
    max_examples=2000,
    deadline=None,
    database=None,
    phases=(Phase.explicit, Phase.generate, Phase.shrink),
    suppress_health_check=list(HealthCheck),
)
def test_every_backup_reads_back_as_the_state_that_it_saw(history):
    bucket = Bucket()
    bucket.play(history)
    for backup, expected in bucket.backups:
        listed = list(backup.segments())
        rows = [row for segment in listed for row in backup.rows_of(segment)]
        check_contents(backup, rows, expected)
        check_sizes(listed)
        check_needs(backup, rows, listed)
