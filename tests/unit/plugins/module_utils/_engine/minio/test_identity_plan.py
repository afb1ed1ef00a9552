# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import itertools

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine import clock
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.minio import identity_plan


@pytest.fixture(autouse=True)
def waited(monkeypatch):
    """Let time pass by waiting alone."""
    found = []
    monkeypatch.setattr(clock, "sleep", found.append)
    monkeypatch.setattr(clock, "monotonic", lambda: sum(found))
    return found


def test_a_policy_that_is_there_is_asked_for_once(waited):
    assert identity_plan.missing_policies(["own", "readonly"], lambda name: {}) == ()
    assert waited == []


def test_a_built_in_policy_of_a_server_that_has_just_started_is_waited_for(waited):
    looks = itertools.count()
    assert identity_plan.missing_policies(["diagnostics"], lambda name: {} if next(looks) > 3 else None) == ()
    assert 0 < sum(waited) < 2


def test_a_policy_that_nobody_has_made_is_missing_at_once_and_a_built_in_one_in_the_end(waited):
    assert identity_plan.missing_policies(["own"], lambda name: None) == ("own",)
    assert waited == []
    assert identity_plan.missing_policies(["readonly"], lambda name: None) == ("readonly",)
    assert 5 < sum(waited) < 30
