# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where a run, a reader and a copy open the keyring of a repository, and what each of them is refused."""

from __future__ import annotations

import pathlib

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import (
    GuardRefusal,
    LifeboatError,
    MissingPartError,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host import backup_plan, place
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.place import Place
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository import identity, keyring
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.keyring import (
    Access,
    WrongSecretError,
)
from ansible_collections.lifeboat.recovery.tests.unit.plugins.module_utils._engine.repository import keyrings

SECRET = keyrings.fresh_secret()


@pytest.fixture
def encrypted(tmp_path):
    store = keyrings.repository(tmp_path / "encrypted")
    keyrings.create([store], SECRET, is_single=True)
    return store


@pytest.fixture
def plain(tmp_path):
    return keyrings.repository(tmp_path / "plain")


def test_who_opens_a_keyring_has_its_keys_ready(encrypted):
    assert Place("here", encrypted, access=Access(SECRET)).writable_identity() == identity.require(encrypted)
    assert encrypted.keys == keyring.read(encrypted, Access(SECRET))


def test_a_plain_repository_is_used_as_before(plain):
    assert Place("here", plain).writable_identity() == identity.require(plain)
    assert plain.keys is None


def test_nothing_plain_is_written_into_an_encrypted_repository(encrypted):
    with pytest.raises(GuardRefusal, match="encrypted") as refused:
        Place("here", encrypted).writable_identity()
    assert refused.value.guard == "keyring"
    assert not place.is_unusable(refused.value)  # no other repository is taken instead


def test_an_encrypted_repository_can_be_read_without_keys(encrypted):
    assert Place("here", encrypted).identity()
    assert encrypted.keys is None


@pytest.mark.parametrize("act", ["identity", "writable_identity"])
def test_keys_for_a_repository_without_keyring_are_refused(plain, act):
    with pytest.raises(GuardRefusal, match="backup_keyring") as refused:
        getattr(Place("here", plain, access=Access(SECRET)), act)()
    assert refused.value.guard == "keyring"


def test_a_wrong_secret_is_refused_and_not_passed_over(encrypted):
    with pytest.raises(WrongSecretError) as refused:
        Place("here", encrypted, access=Access(keyrings.fresh_secret())).identity()
    assert not place.is_unusable(refused.value)


def test_a_missing_library_is_noticed_before_anything_is_read(encrypted, monkeypatch):
    def missing():
        raise MissingPartError("Cannot use a keyring", "No module named 'cryptography'")

    monkeypatch.setattr(place.key_wrapping, "library", missing)
    monkeypatch.setattr(type(encrypted), "get", lambda *a: pytest.fail("it was read"))
    with pytest.raises(MissingPartError):
        Place("here", encrypted, access=Access(SECRET)).identity()


def test_a_repository_that_copies_come_into_gets_its_keyring_with_them(encrypted, plain):
    target = Place("there", plain, access=Access(SECRET))
    assert target.receiving_identity() == identity.require(plain)
    keyring.bring(encrypted, plain, plain.now)
    target.identity()
    assert plain.keys == keyring.read(encrypted, Access(SECRET))
    with pytest.raises(WrongSecretError):
        again = keyrings.repository(pathlib.Path(plain.name))
        Place("there", again, access=Access(keyrings.fresh_secret())).receiving_identity()


def test_only_the_first_repository_of_a_job_must_have_its_keyring_before_the_run(encrypted, plain):
    class Job:
        name, rebind = "db1", True
        places = (Place("first", encrypted, access=Access(SECRET)), Place("second", plain, access=Access(SECRET)))

    states = backup_plan.states_of(Job(), "files", {})
    assert [state.problem for state in states] == ["", ""]
    Job.places = tuple(reversed(Job.places))
    with pytest.raises(GuardRefusal, match="none"):
        backup_plan.states_of(Job(), "files", {})


def test_a_repository_for_copies_is_never_planned_to_be_written_first(encrypted, plain, monkeypatch):
    class Job:
        name, rebind = "db1", True
        places = (Place("copies", plain, access=Access(SECRET)), Place("first", encrypted, access=Access(SECRET)))

    monkeypatch.setattr(plain, "copies_only", True)
    states = backup_plan.states_of(Job(), "files", {})
    assert [state.problem for state in states] == ["", ""]  # the keyring comes there with the first copy
    assert backup_plan.primary(states).repository == "first"
    encrypted.keys = None
    Job.places = (Job.places[0], Place("first", encrypted))
    with pytest.raises(GuardRefusal, match="encrypted"):  # as the run would be
        backup_plan.states_of(Job(), "files", {})
    Job.places = Job.places[:1]
    with pytest.raises(LifeboatError, match="no repository works"):
        backup_plan.states_of(Job(), "files", {})
