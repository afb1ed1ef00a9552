# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
import json

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import GuardRefusal, UsageError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.minio import bucket_settings
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.minio.bucket_settings import (
    NO_RETENTION,
    Found,
    Retention,
    Wanted,
    bytes_from,
    plan,
    shown,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.minio.lifecycle import LifecycleRule

MINIO = Found(is_minio=True)
LOCKED = Found(is_minio=True, object_lock=True, versioning="Enabled")
DENY = json.dumps(
    {"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "*"}]}
)


def changed(wanted, found):
    return [setting.name for setting in plan(wanted, found, True).changes]


def test_what_is_not_set_is_left_alone():
    full = Found(True, False, "Enabled", NO_RETENTION, (LifecycleRule(id="x", expiration_days=1),), {}, {"a": "b"}, 5)
    assert changed(Wanted("docs"), full) == []


def test_each_setting_that_differs_is_written_in_the_order_in_which_it_can_be():
    wanted = Wanted(
        "docs",
        versioning="Enabled",
        quota=10,
        tags={"a": "b"},
        lifecycle=(LifecycleRule(expiration_days=1),),
        policy="public-read",
    )
    assert changed(wanted, MINIO) == ["versioning", "lifecycle", "policy", "tags", "quota"]


def test_empty_values_remove_and_are_no_change_where_there_is_nothing():
    wanted = Wanted("docs", lifecycle=(), policy="private", tags={}, quota=0, default_retention=NO_RETENTION)
    assert changed(wanted, MINIO) == []
    full = dataclasses.replace(
        MINIO,
        lifecycle=(LifecycleRule(id="x", expiration_days=1),),
        policy=json.loads(DENY),
        tags={"a": "b"},
        quota=1,
    )
    assert changed(wanted, full) == ["lifecycle", "policy", "tags", "quota"]


def test_tags_are_equal_in_any_order():
    assert (
        changed(Wanted("docs", tags={"a": "1", "b": "2"}), dataclasses.replace(MINIO, tags={"b": "2", "a": "1"})) == []
    )


def test_a_new_bucket_with_object_lock_is_versioned_without_a_change():
    planned = plan(Wanted("docs", object_lock=True, versioning="Enabled"), None, True)
    assert planned.creates and planned.object_lock and planned.changes == ()


def test_a_new_bucket_without_object_lock_gets_its_versioning():
    planned = plan(Wanted("docs", versioning="Enabled"), None, True)
    assert planned.creates and not planned.object_lock
    assert [setting.name for setting in planned.changes] == ["versioning"]


@pytest.mark.parametrize("lock, found", [(True, MINIO), (False, LOCKED)])
def test_object_lock_of_an_existing_bucket_cannot_be_changed(lock, found):
    with pytest.raises(GuardRefusal, match="Cannot (add|remove) object lock") as refusal:
        plan(Wanted("docs", object_lock=lock, tags={"a": "b"}), found, True)
    assert refusal.value.guard == "object_lock"


@pytest.mark.parametrize("found", [LOCKED, None])
def test_versioning_cannot_be_suspended_where_there_is_object_lock(found):
    lock = True if found is None else None
    with pytest.raises(GuardRefusal, match="suspend"):
        plan(Wanted("docs", object_lock=lock, versioning="Suspended"), found, True)


@pytest.mark.parametrize("found", [MINIO, None])
def test_a_default_retention_needs_object_lock(found):
    with pytest.raises(GuardRefusal, match="no object lock"):
        plan(Wanted("docs", default_retention=Retention("GOVERNANCE", days=1)), found, True)


@pytest.mark.parametrize(
    "retention",
    [Retention("GOVERNANCE"), Retention("GOVERNANCE", days=0), Retention("COMPLIANCE", 1, 1), Retention("", days=1)],
)
def test_a_retention_needs_a_mode_and_one_term(retention):
    with pytest.raises(UsageError):
        plan(Wanted("docs", default_retention=retention), LOCKED, True)


def test_days_and_years_of_a_retention_are_different_things():
    found = dataclasses.replace(LOCKED, default_retention=Retention("COMPLIANCE", days=365))
    assert changed(Wanted("docs", default_retention=Retention("COMPLIANCE", years=1)), found) == ["default_retention"]
    assert changed(Wanted("docs", default_retention=Retention("COMPLIANCE", days=365)), found) == []


def test_aborting_uploads_is_refused_on_minio_which_drops_it_and_allowed_elsewhere():
    wanted = Wanted("docs", lifecycle=(LifecycleRule(expiration_days=9, abort_multipart_days=1),))
    with pytest.raises(UsageError, match="stale_uploads_expiry"):
        plan(wanted, MINIO, True)
    assert [item.name for item in plan(wanted, Found(is_minio=False), False).changes] == ["lifecycle"]


@pytest.mark.parametrize("tags", [{"": "x"}, {"k" * 129: ""}, {"k": "v" * 257}, {str(n): "" for n in range(51)}])
def test_tags_beyond_the_limits_are_refused_everywhere(tags):
    with pytest.raises(UsageError):
        plan(Wanted("docs", tags=tags), Found(is_minio=False), False)


@pytest.mark.parametrize("value", ["ä", "a&b", "a,b"])
def test_tags_that_minio_refuses_are_refused_before_anything_is_changed(value):
    with pytest.raises(UsageError, match="letters, digits"):
        plan(Wanted("docs", tags={"k": value}), None, True)
    plan(Wanted("docs", tags={"k": value}), None, False)


def test_a_policy_that_denies_is_warned_about_on_minio_where_it_binds_no_user():
    assert "does not bind users" in plan(Wanted("docs", policy=DENY), MINIO, True).warnings[0]
    assert plan(Wanted("docs", policy=DENY), Found(is_minio=False), False).warnings == ()
    assert plan(Wanted("docs", policy="public-read"), MINIO, True).warnings == ()


@pytest.mark.parametrize("name", ["ab", "a" * 64, "Docs", "a_b", "a..b", "10.0.0.1", "-ab", "ab-", "a/b", "", "a\nb"])
def test_a_name_that_servers_refuse_is_refused_before_anything_is_changed(name):
    with pytest.raises(UsageError):
        plan(Wanted(name), None, True)


def test_ordinary_names_are_fine():
    for name in ("abc", "a" * 63, "my.bucket-1", "0ab"):
        assert plan(Wanted(name), None, True).creates


@pytest.mark.parametrize(
    "text, size",
    [
        ("0", 0),
        ("1048576", 1048576),
        ("500MB", 500_000_000),
        ("10GiB", 10 * 2**30),
        ("1.5 TiB", 3 * 2**39),
        ("1tb", 10**12),
        ("7B", 7),
        (" 2 KiB ", 2048),
    ],
)
def test_sizes_are_read_with_their_units(text, size):
    assert bytes_from(text) == size


@pytest.mark.parametrize("text", ["", "10G", "10Gi", "ten", "-1", "1iB", "1 XB", "0x10", "1e9"])
def test_a_size_without_clear_unit_is_refused(text):
    with pytest.raises(UsageError):
        bytes_from(text)


def test_settings_are_shown_as_people_write_them():
    assert shown("versioning", "") == "unset"
    assert shown("versioning", "Suspended") == "suspended"
    assert shown("default_retention", NO_RETENTION) == {"mode": "none"}
    assert shown("default_retention", Retention("COMPLIANCE", years=2)) == {"mode": "compliance", "years": 2}
    assert shown("policy", None) is None
    assert shown("quota", 5) == 5


def test_an_unchanged_setting_keeps_the_form_of_the_server():
    found = dataclasses.replace(MINIO, lifecycle=(LifecycleRule(id="uuid", expiration_days=1),))
    (setting,) = plan(Wanted("docs", lifecycle=(LifecycleRule(expiration_days=1),)), found, True).settings
    assert setting.after == found.lifecycle and not setting.differs


def test_every_setting_is_a_field_of_wanted_and_of_found():
    for kind in (Wanted, Found):
        assert set(bucket_settings.SETTINGS) <= {field.name for field in dataclasses.fields(kind)}
