# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import io

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine import clock
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host import set_recording
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.place import Place, silent
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository import (
    copy,
    identity,
    layout,
    recovery_point,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.directory import DirectoryStore
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.publish import Contents, Run
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.recovery_point import (
    Member,
    Reference,
)

SET = "db1-all"
MISSING = b'"scan.pdf"\n'


@pytest.fixture
def places(tmp_path, monkeypatch):
    """Make two repositories; the ids of what is written count the seconds."""
    moments = iter(range(60))
    monkeypatch.setattr(clock, "new_backup_id", lambda _moment: f"20261120T0200{next(moments):02}Z-0a1b2c")
    made = []
    for name in ("near", "far"):
        (tmp_path / name).mkdir()
        store = DirectoryStore(str(tmp_path / name))
        identity.initialise(store)
        made.append(Place(name, store))
    return made


def recorded(near, far):
    """Record a point with a list of missing keys in one repository, and bring its backup to the other; return it."""
    run = Run(near.store, "db1-shop")
    run.store_file("globals.sql", "globals", [b"all\n"], "none")
    manifest = run.publish(Contents("pg_database", {}, {"database": "shop"}, {"plain_bytes": 4}))
    run.close()
    copy.copy(near.store, far.store, manifest, identity.require(far.store))
    member = Member(manifest.job, manifest.kind, manifest.id, manifest.started, manifest.finished)
    references = [Reference("papers", "db1-shop", "db1-documents", keys=3, missing=1)]
    point, problems = set_recording.record(SET, [near], (member,), references, {"papers": io.BytesIO(MISSING)}, silent)
    assert point is not None and not problems
    return point


def test_a_point_arrives_with_its_lists_and_is_brought_once(places):
    near, far = places
    point = recorded(near, far)
    brought, problems = set_recording.bring(SET, places, places)
    assert ([each.id for each in brought], problems) == ([point.id], [])
    assert recovery_point.find(far.store, SET, point.id) == point
    assert set_recording.bring(SET, places, places) == ([], [])


def test_a_point_that_cannot_be_read_keeps_no_other_from_being_brought(places):
    near, far = places
    first, second = recorded(near, far), recorded(near, far)
    near.store.put(layout.point(SET, first.id), b"{}")
    brought, problems = set_recording.bring(SET, places, places)
    assert [each.id for each in brought] == [second.id]
    assert len(problems) == 1 and first.id in problems[0]


def test_a_point_whose_lists_came_before_the_end_of_a_killed_copy_is_brought(places):
    near, far = places
    point = recorded(near, far)
    set_recording._bring_lists(near.store, far.store, point)  # and no more
    brought, problems = set_recording.bring(SET, places, places)
    assert ([each.id for each in brought], problems) == ([point.id], [])


def test_a_list_that_lies_damaged_where_a_point_is_brought_is_told(places):
    near, far = places
    point = recorded(near, far)
    key = layout.data(SET, point.id, point.references[0].listed.name)
    far.store.put(key, b"something else")
    brought, problems = set_recording.bring(SET, places, places)
    assert brought == [] and len(problems) == 1
    assert recovery_point.ids(far.store, SET) == []
