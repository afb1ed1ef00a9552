# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which backup is the newest while clocks are wrong."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine import clock
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.catalog import (
    age_order,
    of_the_future,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.directory import DirectoryStore
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.store import UnavailableError

NOW = dt.datetime(2026, 11, 20, 2, 0, 0, tzinfo=clock.UTC)
BEFORE, SOON, LATER = (f"20261120T0{time}00Z-0a1b2c" for time in ("100", "214", "216"))


class Repository(DirectoryStore):
    """A repository with a clock of its own."""

    moment = NOW

    def now(self) -> dt.datetime:
        if self.moment < NOW:
            raise UnavailableError("Cannot read the clock", "connection refused")
        return self.moment


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    monkeypatch.setattr(clock, "now", lambda: NOW)
    return Repository(str(tmp_path))


def test_ids_of_the_future_count_as_older_than_all_others(store: Repository) -> None:
    known = [BEFORE, "no id", SOON, LATER]
    assert of_the_future(known, [store]) == {LATER}
    assert sorted(known, key=age_order(known, [store])) == [LATER, BEFORE, SOON, "no id"]


def test_an_id_is_of_the_future_only_where_no_clock_has_come_to_it(store: Repository) -> None:
    store.moment = NOW + dt.timedelta(hours=1)  # this host is behind
    assert not of_the_future([LATER], [store])
    store.moment = NOW - dt.timedelta(hours=1)  # it is away
    assert of_the_future([LATER], [store]) == {LATER}


def test_of_what_is_all_of_the_future_the_newest_is_the_newest(store: Repository) -> None:
    known = ["20291120T020000Z-0a1b2c", "20281120T020000Z-0a1b2c"]
    assert max(known, key=age_order(known, [store])) == known[0]
