# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import UsageError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres import backup_role, scram

# The example of RFC 7677, section 3, as a server stores it.
OF_A_SERVER = (
    "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:"
    "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
)


def test_a_verifier_of_a_server_is_that_of_its_password():
    assert scram.is_password("pencil", OF_A_SERVER)
    assert not scram.is_password("pencils", OF_A_SERVER)


def test_a_new_verifier_is_that_of_its_password_and_another_one_each_time():
    first, second = scram.new_verifier("a long word"), scram.new_verifier("a long word")
    assert first != second
    assert scram.is_password("a long word", first) and scram.is_password("a long word", second)
    assert not scram.is_password("another word", first)
    assert "word" not in first


@pytest.mark.parametrize("verifier", ["", "md5a1b2", "SCRAM-SHA-256$x", "SCRAM-SHA-256$a:b$c:d", "plain"])
def test_what_is_no_verifier_is_of_no_password(verifier):
    assert not scram.is_password("pencil", verifier)


@pytest.mark.parametrize("password", ["", "Straße", "a\tb"])
def test_a_password_that_would_have_to_be_normalised_is_refused(password):
    with pytest.raises(UsageError) as refused:
        scram.new_verifier(password)
    assert not password or password not in str(refused.value)


def planned(**more):
    fields = {
        "name": 'back"up',
        "exists": True,
        "is_superuser": False,
        "attributes": (),
        "verifier": "",
        "memberships": (),
        "member_of": (),
        "connects": (),
        "large_objects": {},
        "major": 15,
    }
    return backup_role.RolePlan(**{**fields, **more})


def test_a_role_that_lacks_nothing_is_left_alone():
    assert planned().is_empty
    assert backup_role.statements(planned()) == []
    assert planned().missing() == []


@pytest.mark.parametrize(
    "more",
    [
        {"exists": False},
        {"attributes": ("BYPASSRLS",)},
        {"verifier": "x"},
        {"memberships": ("a",)},
        {"connects": ("a",)},
        {"large_objects": {"a": ("1",)}},
    ],
)
def test_everything_that_a_role_lacks_is_a_change_and_said(more):
    assert not planned(**more).is_empty
    assert planned(**more).missing()


def test_names_are_quoted_in_statements():
    found = planned(exists=False, memberships=("pg_read_all_data", "Shop Owner"), connects=('d"b',), verifier="S$1'x")
    assert backup_role.statements(found) == [
        'CREATE ROLE "back""up" LOGIN INHERIT BYPASSRLS',
        """ALTER ROLE "back""up" PASSWORD 'S$1''x'""",
        'GRANT "pg_read_all_data" TO "back""up"',
        'GRANT "Shop Owner" TO "back""up"',
        'GRANT CONNECT ON DATABASE "d""b" TO "back""up"',
    ]


def test_from_16_on_a_member_cannot_become_the_owner():
    found = backup_role.statements(planned(memberships=("owner",), major=16))
    assert found == ['GRANT "owner" TO "back""up" WITH INHERIT TRUE, SET FALSE']


def test_a_difference_shows_rights_and_never_a_verifier():
    found = planned(attributes=("BYPASSRLS",), verifier="SCRAM-secret", memberships=("b",), member_of=("a",))
    before, after = (backup_role.document(found, is_done=is_done) for is_done in (False, True))
    assert (before["bypassrls"], after["bypassrls"], after["login"]) == (False, True, True)
    assert (before["member_of"], after["member_of"]) == (["a"], ["a", "b"])
    assert before["password"] != after["password"]
    assert "SCRAM" not in str(before) + str(after) + repr(found)
