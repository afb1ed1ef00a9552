# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is said of the members of a point, whatever becomes of the repositories meanwhile."""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine import clock
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import LifeboatError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host import (
    config,
    set_listing,
    set_points,
    set_restore,
    set_status,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository import (
    catalog,
    identity,
    layout,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.directory import DirectoryStore
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.recovery_point import Member, Point
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.store import Store, StoreError

ID = "20261120T020000Z-0a1b2c"
POINT = "20261120T030000Z-0a1b2c"
AWAY = "connection reset by peer"


class World:
    """A set with one member, and two repositories that have a point of it."""

    def __init__(self, folder: Path) -> None:
        repositories = {}
        for name in ("near", "far"):
            (folder / name).mkdir()
            store = DirectoryStore(str(folder / name))
            identity.initialise(store)
            moment = clock.from_backup_id(ID)
            point = Point("whole", POINT, moment, moment, "db1", (Member("etc", "files", ID, moment, moment),))
            store.put_new(layout.point("whole", POINT), point.to_bytes(None))
            repositories[name] = {"path": str(folder / name)}
        jobs = {
            "etc": {"kind": "files", "roots": ["/etc"], "repositories": ["near", "far"]},
            "whole": {"kind": "set", "members": ["etc"], "repositories": ["near", "far"]},
        }
        self.config = config.parse(json.dumps({"jobs": jobs, "repositories": repositories}).encode(), "test")
        self.set: t.Any = self.config.jobs["whole"]

    def point(self) -> t.Any:
        return set_points.listing(self.config, self.set)["points"][0]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the repository `far` fail after its points were listed."""
    find = catalog.find

    def found(store: Store, *words: t.Any) -> t.Any:
        if store.name.endswith("far"):
            raise StoreError("Cannot read", AWAY)
        return find(store, *words)

    monkeypatch.setattr(catalog, "find", found)


def test_a_member_that_no_repository_has_is_gone(world: World) -> None:
    assert world.point()["problems"] == [f"etc: backup {ID} is gone"]
    assert set_listing._state(world.point()) == "BROKEN"


@pytest.mark.usefixtures("failing")
def test_a_member_is_unknown_and_never_gone_where_a_repository_fails_in_between(world: World) -> None:
    listed = set_points.listing(world.config, world.set)
    (point,) = listed["points"]

    assert "gone" not in json.dumps(listed)
    assert point["members"][0]["unknown"] == [{"repository": "far", "reason": AWAY}]
    assert (listed["unreachable"], listed["reached"]) == ({"far": AWAY}, ["near"])
    assert (set_listing._state(point), point["whole"], point["good"]) == ("UNKNOWN", False, False)
    seen = set_points.newest(world.config, world.set)
    assert f"far cannot be used: {AWAY}" in set_status.judge(world.set, seen, clock.now()).problems


@pytest.mark.usefixtures("failing")
def test_a_restore_of_such_a_point_says_that_not_all_could_be_asked(world: World) -> None:
    with pytest.raises(LifeboatError, match="not all repositories could be asked") as refusal:
        set_restore.plan(world.config, world.set, "latest", set_restore.Options(()), None, None)  # type: ignore[arg-type]
    assert "gone" not in str(refusal.value)


def test_a_member_is_unknown_where_a_repository_was_away_from_the_begin(world: World, tmp_path: Path) -> None:
    (tmp_path / "far/lifeboat.json").unlink()

    assert "is gone" not in "".join(world.point()["problems"])


def test_a_point_of_the_future_is_not_taken_for_the_newest(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "now", lambda: clock.from_backup_id(POINT))
    store = DirectoryStore(world.config.repositories["near"].path)
    moment, later = clock.from_backup_id(ID), f"2099{POINT[4:]}"
    point = Point("whole", later, moment, moment, "db1", (Member("etc", "files", ID, moment, moment),))
    store.put_new(layout.point("whole", later), point.to_bytes(None))
    assert set_points.choose(world.config, world.set, "latest")["id"] == POINT
    assert set_points.newest(world.config, world.set)["latest"]["id"] == POINT
    assert set_points.choose(world.config, world.set, later)["id"] == later
