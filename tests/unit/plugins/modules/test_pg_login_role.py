# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres import login_role
from ansible_collections.lifeboat.recovery.plugins.modules import pg_login_role

PASSWORD = "canary-5ecret"


@pytest.fixture
def run(run_module, monkeypatch):
    """Run the module on a server that has the role or not, and another password or not."""

    def run(exists=True, sets=False, compared=True, check_mode=False, **options):
        done = []

        def plan(_server, wanted):
            return login_role.LoginRolePlan(wanted, exists, compared, sets, True)

        monkeypatch.setattr(login_role, "plan", plan)
        monkeypatch.setattr(login_role, "apply", lambda _server, planned: done.append(planned.wanted))
        return run_module(pg_login_role, check_mode=check_mode, name="shop", **options), done

    return run


def test_a_role_that_is_not_there_is_made(run):
    end, done = run(exists=False, sets=True, password=PASSWORD)
    assert not end.failed and end["changed"] and not end["exists"]
    assert done == [login_role.WantedRole("shop", PASSWORD, True)]
    assert end["diff"] == {
        "before": {"state": "absent"},
        "after": {"state": "present", "password": "the wanted one"},
    }
    assert PASSWORD not in str(end.answer) and PASSWORD not in repr(done)


def test_a_role_as_it_should_be_is_left_alone(run):
    end, done = run(password=PASSWORD)
    assert not end["changed"] and done == [] and end["compared"]


def test_check_mode_only_looks(run):
    end, done = run(exists=False, check_mode=True, login=False)
    assert end["changed"] and done == []


@pytest.mark.parametrize(("compared", "words"), [(True, "another one or none"), (False, "unknown")])
def test_the_difference_says_what_is_known_of_the_present_password(run, compared, words):
    end, done = run(sets=True, compared=compared, password=PASSWORD)
    assert end["diff"]["before"] == {"state": "present", "password": words} and len(done) == 1
    assert end["compared"] is compared
