# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import base64
import os

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository import identity, key_wrapping
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.directory import DirectoryStore
from ansible_collections.lifeboat.recovery.plugins.modules import (
    backup_keyring,
    backup_keyring_info,
    backup_recovery_key,
)

SECRET = base64.b64encode(os.urandom(32)).decode()


@pytest.fixture
def places(tmp_path):
    found = []
    for name in ("near", "far"):
        (tmp_path / name).mkdir()
        identity.initialise(DirectoryStore(str(tmp_path / name)))
        found.append({"name": name, "path": str(tmp_path / name)})
    return found


@pytest.fixture
def look(run_module, places):
    return lambda: run_module(backup_keyring_info, repositories=places)


def test_a_repository_without_keyring_is_shown_as_one(look):
    end = look()
    assert end["keyring"] is None and end["recovery_keys"] == [] and not end["changed"]
    assert end["repositories"][0] == {"repository": "near", "epochs": [], "recovery_keys": [], "rescue": "missing"}


def test_a_keyring_is_shown_without_being_opened(run_module, places, look):
    made = run_module(backup_keyring, secret=SECRET, allow_single_recipient=True, repositories=places)
    end = look()
    assert {name: end["keyring"][name] for name in ("id", "fingerprint")} == {
        name: made["keyring"][name] for name in ("id", "fingerprint")
    }
    (epoch,) = end["keyring"]["epochs"]
    assert (epoch["name"], epoch["is_single"], epoch["recovery_key"]) == ("0001", True, None)
    assert [each["is_of_passphrase"] for each in epoch["secrets"]] == [False]
    assert [each["rescue"] for each in end["repositories"]] == ["current", "current"]
    assert SECRET not in str(end.answer)


def test_what_one_repository_lacks_is_shown(run_module, places, look, tmp_path):
    run_module(backup_keyring, secret=SECRET, repositories=places[:1])
    (tmp_path / "near" / "RESCUE" / "rescue.py").write_text("an older one")
    near, far = look()["repositories"]
    assert (near["epochs"], near["rescue"]) == (["0001"], "older")
    assert (far["epochs"], far["rescue"]) == ([], "missing")


def test_of_two_documents_of_an_epoch_the_newer_one_is_shown(run_module, places, look):
    other = base64.b64encode(os.urandom(32)).decode()
    run_module(backup_keyring, secret=SECRET, repositories=places)
    first = look()["keyring"]["epochs"][0]
    changed = {"secret": other, "previous": {"secret": SECRET}, "keep_previous": True}
    run_module(backup_keyring, repositories=places[1:], **changed)
    (epoch,) = look()["keyring"]["epochs"]
    assert epoch["revision"] > first["revision"] and len(epoch["secrets"]) == 2


def test_a_recovery_key_is_shown_with_the_epochs_that_it_opens(run_module, places, look, tmp_path, monkeypatch):
    monkeypatch.setattr(key_wrapping, "RSA_BITS", 2048)  # quick; its strength does not matter here
    made = run_module(backup_keyring, secret=SECRET, repositories=places)
    given = {"secret": SECRET, "repositories": places, "code_file": str(tmp_path / "code")}
    run_module(backup_recovery_key, confirm=made["keyring"]["fingerprint"], **given)
    (key,) = look()["recovery_keys"]
    assert (key["number"], key["has_verification"]) == (1, False)
    assert look()["keyring"]["epochs"][0]["recovery_key"] is None
    run_module(backup_recovery_key, state="verified", **given)
    end = look()
    assert end["recovery_keys"][0]["has_verification"]
    assert end["keyring"]["epochs"][0]["recovery_key"] == key["fingerprint"]
    assert [each["recovery_keys"] for each in end["repositories"]] == [[1], [1]]
