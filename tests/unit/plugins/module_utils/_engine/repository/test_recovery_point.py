# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
import datetime as dt
import os
import types
import typing as t

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine import clock
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import DamagedError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host import set_prune
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.place import Place
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository import (
    identity,
    json_document,
    layout,
    lease,
    prune,
    recovery_point,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.directory import DirectoryStore
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.keys import Keys
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.prune import PruneRequest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.publish import Contents, Run
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.recovery_point import (
    Member,
    Point,
    Reference,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.store import (
    Document,
    ExistsError,
    Version,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.stream.encryption import EpochKey
from ansible_collections.lifeboat.recovery.tests.unit.plugins.module_utils._engine.repository.memory_store import (
    MemoryPlace,
)
from ansible_collections.lifeboat.recovery.tests.unit.plugins.module_utils._engine.repository.simulation import World

SET = "db1-all"


@pytest.fixture
def store(tmp_path):
    made = DirectoryStore(str(tmp_path))
    identity.initialise(made)
    return made


def back_up(store, job="db1-shop"):
    run = Run(store, job)
    run.store_file("globals.sql", "globals", [b"all\n"], "none")
    manifest = run.publish(Contents("pg_database", {}, {"database": "shop"}, {"plain_bytes": 4}))
    run.close()
    return manifest


def point_of(*manifests, **changes):
    members = tuple(Member(each.job, each.kind, each.id, each.started, each.finished) for each in manifests)
    made = Point(SET, clock.new_backup_id(members[0].started), members[0].started, clock.now(), "db1", members)
    return dataclasses.replace(made, **changes)


KEYRING = "00000000-0000-4000-8000-000000000000"


def keys(fill=b"k"):
    return Keys(KEYRING, (EpochKey(KEYRING, "1", fill * 32),))


def test_what_was_recorded_is_found_again(store):
    reference = Reference("papers", "db1-shop", "db1-documents", keys=3, missing=1)
    point = point_of(back_up(store), back_up(store, "db1-etc"), references=(reference,))
    recovery_point.write(store, point)
    assert recovery_point.ids(store, SET) == [point.id]
    assert recovery_point.find(store, SET, point.id) == point
    assert point.problems == (reference.words,)
    recovery_point.write(store, point)  # an answer may have been lost


def test_a_point_spans_all_of_its_members(store):
    first, last = back_up(store), back_up(store, "db1-etc")
    assert point_of(first, last).spans == point_of(last, first).spans == (first.started, last.finished)


def test_another_point_never_takes_the_place_of_one(store):
    point = point_of(back_up(store))
    recovery_point.write(store, point)
    with pytest.raises(ExistsError):
        recovery_point.write(store, dataclasses.replace(point, host="db2"))
    assert recovery_point.find(store, SET, point.id) == point


def test_no_point_is_recorded_where_a_member_is_not(store):
    manifest = back_up(store)
    store.delete(layout.manifest(manifest.job, manifest.id))
    with pytest.raises(DamagedError, match=manifest.id):
        recovery_point.write(store, point_of(manifest))
    assert recovery_point.ids(store, SET) == []


def test_a_point_that_was_overwritten_counts_as_it_was_written_first(store, monkeypatch):
    point = point_of(back_up(store))
    recovery_point.write(store, point)
    key = layout.point(SET, point.id)
    forged = dataclasses.replace(point, host="elsewhere").to_bytes(None)
    (entry,) = [each for each in store.entries(key) if each.key == key]
    written = {"2": forged, "1": point.to_bytes(None)}
    versions = [Version(dataclasses.replace(entry, version_id=each), each == "2", False) for each in written]
    monkeypatch.setattr(store, "versions", lambda prefix: iter(versions))
    monkeypatch.setattr(store, "get", lambda key, version="2": Document(written[version], "", entry.modified))
    assert recovery_point.find(store, SET, point.id) == point


@pytest.mark.parametrize("change", [{"members": []}, {"set": "db2-all"}, {"members": [{"job": "a"}]}, {"started": 1}])
def test_what_is_no_point_of_this_set_is_damaged(store, change):
    point = point_of(back_up(store))
    fields = json_document.decoded(point.to_bytes(None), "it")
    data = json_document.encoded({**fields, **change})
    with pytest.raises(DamagedError):
        Point.from_bytes(data, SET, point.id)


def test_with_a_keyring_only_points_that_it_has_signed_count(store):
    point = point_of(back_up(store))
    assert Point.from_bytes(point.to_bytes(keys()), SET, point.id, keys()) == point
    for data in (point.to_bytes(None), point.to_bytes(keys(b"x"))):
        with pytest.raises(DamagedError, match="signed"):
            Point.from_bytes(data, SET, point.id, keys())
    fields = json_document.decoded(point.to_bytes(keys()), "it")
    forged = json_document.encoded({**fields, "host": "elsewhere"})
    with pytest.raises(DamagedError, match="signed"):
        Point.from_bytes(forged, SET, point.id, keys())


def test_what_lies_under_a_point_is_no_garbage_until_the_point_has_gone(store):
    manifest = back_up(store)
    run = Run(store, SET)
    run.store_file("missing-0.jsonl", "missing", [b'"a"\n'], "none")
    run.close()
    request, window = PruneRequest(SET), dt.timedelta(0)
    assert len(prune.plan(store, request, window).garbage) == 1
    point = point_of(manifest, id=run.id)
    recovery_point.write(store, point)
    assert prune.plan(store, request, window).garbage == ()
    with lease.held(store, SET, window, 0) as permit:
        recovery_point.remove(store, SET, point.id, permit)
    assert recovery_point.ids(store, SET) == []
    assert len(prune.plan(store, request, window).garbage) == 1
    assert os.path.exists(os.path.join(store.name, layout.manifest(manifest.job, manifest.id)))


@pytest.mark.parametrize("mac", ["gibberish", [], 7, {"keyring": KEYRING, "epoch": "1", "hmac_sha256": "\u00e9"}])
def test_a_point_whose_signature_has_no_form_is_not_used(store, mac):
    point = point_of(back_up(store))
    fields = json_document.decoded(point.to_bytes(None), "a point")
    data = json_document.encoded({**fields, "mac": mac})
    with pytest.raises(DamagedError, match="signed"):
        Point.from_bytes(data, SET, point.id, keys())


def test_a_point_whose_member_is_only_hidden_is_not_removed():
    """Who may put delete markers, and not delete for good, must not be able to let a recovery point go."""
    with World() as world:
        place = MemoryPlace(world, "A", is_versioned=True)
        store = place.store()
        made = identity.Identity("6f0c1a1e-7b2c-4a86-9f0e-1d2c3b4a5f60", store.now(), True, place.window)
        store.put_new(layout.IDENTITY, made.to_bytes())
        hidden, gone = back_up(store), back_up(store, "db1-etc")
        points = [point_of(hidden), point_of(gone)]
        for point in points:
            recovery_point.write(store, point)
        store.delete(layout.manifest(hidden.job, hidden.id))
        for version in list(store.versions(layout.manifest(gone.job, gone.id))):
            store.delete(version.entry.key, version.entry.version_id)
        settings = t.cast("t.Any", types.SimpleNamespace(name=SET))
        found = set_prune.tidied(settings, Place("A", store), set_prune.Others(), False, lambda _line: None)
        assert (found.problem, list(found.broken)) == ("", [points[1].id])
        assert recovery_point.ids(store, SET) == [points[0].id]


@pytest.mark.parametrize("trouble", ["", "away", "refused"])
def test_a_point_stays_while_its_members_are_in_several_repositories_together(trouble):
    """Members with other rules in each repository leave a point that is whole in none, and can be restored."""
    with World() as world:
        places = [MemoryPlace(world, name) for name in "AB"]
        stores = [place.store() for place in places]
        for place, store in zip(places, stores):
            made = identity.Identity("6f0c1a1e-7b2c-4a86-9f0e-1d2c3b4a5f60", store.now(), True, place.window)
            store.put_new(layout.IDENTITY, made.to_bytes())
        first, second = back_up(stores[0]), back_up(stores[1], "db1-etc")
        point = point_of(first, second)
        for store in stores:
            store.put_new(layout.point(SET, point.id), point.to_bytes(None))
        settings = t.cast("t.Any", types.SimpleNamespace(name=SET))

        def broken(others: set_prune.Others) -> list[str]:
            return list(set_prune.tidied(settings, Place("A", stores[0]), others, False, lambda _line: None).broken)

        other = (Place("B", stores[1]),)
        assert broken(set_prune.Others(other)) == []
        stores[1].delete(layout.manifest(second.job, second.id))
        if trouble:
            if trouble == "away":
                stores[1].delete(layout.IDENTITY)  # such as a disk that is not mounted
            assert broken(set_prune.Others(other, trouble != "refused")) == []
        else:
            assert broken(set_prune.Others(other)) == [point.id]
        assert recovery_point.ids(stores[0], SET) == ([point.id] if trouble else [])
