# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge.bucket_options import (
    BUCKET_SETTINGS,
    wanted_from,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import UsageError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.minio.bucket_settings import (
    NO_RETENTION,
    Retention,
    Wanted,
    shown,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.minio.lifecycle import LifecycleRule


def wanted(**given):
    outcome = ArgumentSpecValidator({"name": {"type": "str"}, **BUCKET_SETTINGS}).validate({"name": "docs", **given})
    assert not outcome.error_messages, outcome.error_messages
    return wanted_from(outcome.validated_parameters)


def test_options_that_are_not_set_ask_for_nothing():
    assert wanted() == Wanted("docs")
    assert wanted().names() == ()


def test_empty_options_ask_for_nothing_to_be_there():
    asked = wanted(lifecycle=[], tags={}, quota="0", default_retention={"mode": "none"}, policy="private")
    assert asked == Wanted("docs", lifecycle=(), tags={}, quota=0, default_retention=NO_RETENTION, policy="private")


def test_values_become_what_the_server_calls_them():
    asked = wanted(versioning="suspended", default_retention={"mode": "compliance", "years": 2}, quota="1GiB")
    assert (asked.versioning, asked.quota) == ("Suspended", 2**30)
    assert asked.default_retention == Retention("COMPLIANCE", years=2)


def test_a_rule_takes_its_sizes_and_tags_as_people_write_them():
    rule = {"prefix": "a/", "tags": {"n": 5, "b": True, "e": None}, "min_size": "1KiB", "expiration_days": 3}
    tags = (("b", "true"), ("e", ""), ("n", "5"))
    assert wanted(lifecycle=[rule]).lifecycle == (
        LifecycleRule(prefix="a/", tags=tags, min_size=1024, expiration_days=3),
    )


def test_every_field_of_a_rule_has_an_option_of_its_name_and_can_be_fed_back():
    rule = LifecycleRule("x", False, "p", (("a", "b"),), 1, 2, 3, "", False, 4, 5, 6, 7, "COLD", 8, "COLD")
    assert wanted(lifecycle=shown("lifecycle", (rule,))).lifecycle == (rule,)


def test_days_and_years_exclude_each_other():
    with pytest.raises(AssertionError, match="mutually exclusive"):
        wanted(default_retention={"mode": "governance", "days": 1, "years": 1})


def test_a_quota_without_unit_word_is_refused():
    with pytest.raises(UsageError):
        wanted(quota="10G")
