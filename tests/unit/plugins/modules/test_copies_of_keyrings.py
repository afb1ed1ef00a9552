# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the module backup_copy does with keyrings: backups of before and their repository's keyring travel together."""

from __future__ import annotations

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository import keyring, organisation_secret
from ansible_collections.lifeboat.recovery.plugins.modules import backup_copy, backup_keyring

SECRET, OTHER = "0f" * 32, "1e" * 32


@pytest.fixture
def local(new_repository):
    return new_repository("local")


@pytest.fixture
def site(new_repository):
    return new_repository("site")


@pytest.fixture
def encrypt(run_module):
    def make(repository, secret=SECRET):
        options = {"secret": secret, "allow_single_recipient": True, "repositories": [repository.options]}
        assert not run_module(backup_keyring, **options).failed

    return make


@pytest.fixture
def run(run_module, local, site):
    def act(check_mode=False, source=None, target=None):
        with_keys = {
            "source": {**local.options, **({"keyring": {"secret": source}} if source else {})},
            "target": {**site.options, **({"keyring": {"secret": target}} if target else {})},
        }
        return run_module(backup_copy, check_mode, job="db1-shop", proof="none", **with_keys)

    return act


def keys(repository):
    return {name: data for name, data in repository.files().items() if name.startswith(("keys/", "RESCUE/"))}


@pytest.mark.parametrize(("source", "target"), [(None, None), (SECRET, SECRET), (None, SECRET)])
def test_the_keyring_comes_along(run, encrypt, local, site, source, target):
    encrypt(local)
    if source:  # else it is a backup from before
        local.store.keys = keyring.read(local.store, keyring.Access(organisation_secret.from_text(source, "a test")))
    local.back_up()
    planned = run(check_mode=True, source=source, target=target)
    assert planned["changed"] and not keys(site)
    end = run(source=source, target=target)
    assert not end.failed and end["changed"]
    assert keys(site) == keys(local) and "keys/0001.json" in keys(site)
    assert not run(source=source, target=target)["changed"]


@pytest.mark.parametrize("check_mode", [True, False])
def test_a_target_with_another_keyring_is_refused(run, encrypt, local, site, check_mode):
    local.back_up()
    encrypt(local)
    encrypt(site, OTHER)
    before = site.files()
    end = run(check_mode)
    assert end.failed and (end["guard"], end["exit_code"]) == ("keyring", 3)
    assert site.files() == before


def test_plain_backups_are_not_copied_into_an_encrypted_repository(run, encrypt, local, site):
    local.back_up()
    encrypt(site)
    end = run()
    assert end.failed and end["guard"] == "keyring" and "encrypted" in end["cause"]


def test_a_wrong_secret_ends_the_task_before_anything_is_written(run, encrypt, local, site):
    local.back_up()
    encrypt(local)
    before = site.files()
    end = run(source=OTHER)
    assert end.failed and "another one" in end["cause"] and OTHER not in str(end.answer)
    assert site.files() == before
