# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How recoveries are judged, and what is kept of them."""

from __future__ import annotations

import dataclasses
import json

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine import clock
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import DamagedError, UsageError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository import (
    catalog,
    identity,
    json_document,
    recovery_record,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.directory import DirectoryStore
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.recovery_record import (
    Check,
    Phase,
    Recovery,
    judge,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.store import ExistsError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.stream.encryption import WrongKeyError
from ansible_collections.lifeboat.recovery.tests.unit.plugins.module_utils._engine.repository.random_keys import (
    random_keys,
)


def at(minute: int, second: int = 0):
    return clock.from_text(f"2026-11-20T08:{minute:02}:{second:02}Z")


TOLD = Recovery(
    job="db1-shop",
    scenario="database_corruption",
    host="db1",
    begun=at(31),
    finished=at(33),
    failed_at=at(30),
    back_at=at(32),
    recovery_point=at(0),
    phases=(Phase("recover", 35.1), Phase("validate", 0.5)),
    backup_id="20261120T080000Z-0a1b2c",
    backup_repository="site",
    new_backup_id="20261120T083200Z-0a1b2d",
    new_backup_repositories=("local", "site"),
    recovered={"database": "shop", "rows": 3, "previous": "", "ümlaut": [1, 2.5, None, True]},
    checks=(Check("health", True, "HTTP 200"),),
    rpo_hours=1.0,
    rto_hours=0.5,
)
KEY = "recoveries/db1-shop/20261120T083100Z-database_corruption.json"


def changed(**fields) -> Recovery:
    return dataclasses.replace(TOLD, **fields)


@pytest.fixture
def store(tmp_path):
    tmp_path.joinpath("repository").mkdir()
    store = DirectoryStore(str(tmp_path / "repository"))
    identity.initialise(store)
    return store


def test_loss_and_outage_are_measured_from_the_damage():
    found = judge(TOLD)
    assert (found.outcome, found.rpo_s, found.rto_s) == ("recovered", 1800.0, 120.0)
    assert (found.is_rpo_met, found.is_rto_met) == (True, True)


def test_when_nobody_knows_the_moment_of_the_damage_they_are_measured_from_the_begin():
    found = judge(changed(failed_at=None))
    assert (found.rpo_s, found.rto_s) == (1860.0, 60.0)


@pytest.mark.parametrize(
    ("fields", "outcome"),
    [
        ({}, "recovered"),
        ({"checks": ()}, "recovered"),
        ({"deviations": ("offsite has no backup",)}, "incomplete"),
        ({"checks": (Check("a", True), Check("b", False))}, "incomplete"),
        ({"back_at": None}, "failed"),
        ({"back_at": None, "deviations": ("it broke",)}, "failed"),
        ({"rto_hours": 0.001}, "recovered"),
    ],
)
def test_an_outcome_depends_on_the_data_the_plan_and_the_checks(fields, outcome):
    assert judge(changed(**fields)).outcome == outcome


@pytest.mark.parametrize(
    ("fields", "met"),
    [
        ({"rpo_hours": 0.5}, (True, True)),
        ({"rpo_hours": 0.499}, (False, True)),
        ({"rto_hours": 0.033}, (True, False)),
        ({"rpo_hours": None, "rto_hours": None}, (None, None)),
        ({"recovery_point": None}, (None, True)),
        ({"back_at": None}, (None, None)),
    ],
)
def test_objectives_are_met_missed_or_unknown(fields, met):
    found = judge(changed(**fields))
    assert (found.is_rpo_met, found.is_rto_met) == met


def test_what_lies_before_the_damage_counts_as_no_loss_and_no_outage():
    found = judge(changed(recovery_point=at(31), back_at=at(29)))
    assert (found.rpo_s, found.rto_s) == (0.0, 0.0)


@pytest.mark.parametrize("told", [TOLD, Recovery("j", "flood", "h", at(1), at(2))])
def test_a_record_is_read_as_it_was_written(store, told):
    written = recovery_record.write(store, told)
    (key,) = recovery_record.keys(store)
    assert key == told.key
    assert recovery_record.from_bytes(store.get(key).data, key) == written
    assert (written.told, written.verdict) == (told, judge(told))


def test_a_record_is_written_once(store):
    first = recovery_record.write(store, TOLD)
    data = store.get(KEY).data
    assert recovery_record.write(store, TOLD) == first
    assert store.get(KEY).data == data


def test_a_record_of_another_recovery_keeps_its_place(store):
    recovery_record.write(store, TOLD)
    data = store.get(KEY).data
    for act in (recovery_record.write, recovery_record.find):
        with pytest.raises(ExistsError, match="says something else"):
            act(store, changed(host="db2"))
    assert store.get(KEY).data == data


def test_what_lies_damaged_in_the_place_of_a_record_is_not_replaced(store):
    store.put_new(KEY, b"{}")
    with pytest.raises(ExistsError, match="damaged"):
        recovery_record.write(store, TOLD)
    assert store.get(KEY).data == b"{}"


@pytest.mark.parametrize(
    "wrong",
    [
        {"job": "other"},
        {"begun": "yesterday"},
        {"phases": [{"name": "x"}]},
        {"phases": None},
        {"checks": [{"name": "x", "is_good": True, "said": "", "more": 1}]},
        {"backup": []},
        {"outcome": KeyError},
        {"time": ""},
    ],
)
def test_a_record_that_is_no_record_is_damaged(store, wrong):
    recovery_record.write(store, TOLD)
    fields = {**json.loads(store.get(KEY).data), **wrong}
    fields = {key: value for key, value in fields.items() if key not in ("digest", "format") and value is not KeyError}
    with pytest.raises(DamagedError):
        recovery_record.from_bytes(json_document.encoded(fields), KEY)


@pytest.mark.parametrize(
    "fields",
    [
        {"job": "../x"},
        {"scenario": "Flood"},
        {"scenario": "a-b"},
        {"scenario": ""},
        {"backup_id": "latest"},
        {"new_backup_id": "x"},
        {"host": ""},
    ],
)
def test_names_that_would_be_no_part_of_a_key_are_refused(fields):
    with pytest.raises(UsageError):
        recovery_record.checked(changed(**fields))


def test_keys_are_found_by_job_and_scenario_and_foreign_ones_passed_over(store):
    for told in (TOLD, changed(scenario="complete_loss"), changed(job="db1-shop2", begun=at(40))):
        recovery_record.write(store, told)
    store.put_new("recoveries/db1-shop/readme.json", b"{}")
    assert len(recovery_record.keys(store)) == 3
    assert len(recovery_record.keys(store, "db1-shop")) == 2
    assert recovery_record.keys(store, "db1-shop", "database_corruption") == [KEY]
    assert len(recovery_record.keys(store, scenario="database_corruption")) == 2


def test_a_job_that_has_records_and_nothing_else_is_no_job_with_backups(store):
    recovery_record.write(store, TOLD)
    assert catalog.jobs(store) == [] and catalog.backups(store, TOLD.job) == []


def test_what_may_name_objects_is_encrypted_where_there_are_keys(store):
    store.keys = random_keys()
    told = changed(
        recovered={"key": "photos/secret.jpg"},
        checks=(Check("rows of secret_table", False, "3 of 4"),),
        deviations=("photos/secret.jpg was not there",),
    )
    written = recovery_record.write(store, told)
    data = store.get(KEY).data
    assert b"secret" not in data and written.verdict.outcome == "incomplete"
    assert recovery_record.find(store, told) == written
    assert recovery_record.from_bytes(data, KEY, store.keys) == written
    without = recovery_record.from_bytes(data, KEY)
    assert (without.verdict, without.told.recovered, without.told.checks) == (written.verdict, {}, ())
    with pytest.raises(WrongKeyError):
        recovery_record.from_bytes(data, KEY, dataclasses.replace(store.keys, epochs=random_keys().epochs))
    moved = json_document.decoded(data, KEY)
    elsewhere = KEY.replace("0831", "0832")
    moved["begun"] = moved["begun"].replace("08:31", "08:32")
    with pytest.raises(DamagedError, match="belongs to"):
        recovery_record.from_bytes(json_document.encoded(moved), elsewhere, store.keys)
