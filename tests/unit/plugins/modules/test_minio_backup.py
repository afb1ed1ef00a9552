# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.lifeboat.recovery.plugins.modules import minio_backup
from ansible_collections.lifeboat.recovery.tests.unit.plugins.modules.server_double import (
    SECRET,
    URL,
    keyring,
    server,
)

__all__ = ["keyring", "server"]


@pytest.fixture
def run(run_module, new_repository, server):
    places = [new_repository("local"), new_repository("site")]

    def run(check_mode=False, **options):
        login = {"endpoint_url": URL, "access_key": "backup", "secret_key": "other"}
        given = {"job": "minio1-server", "repositories": [place.options for place in places], **login, **options}
        end = run_module(minio_backup, check_mode, **given)
        assert SECRET not in repr(end.answer) + repr(end.warnings)
        return end

    run.places = places
    return run


def test_a_backup_is_written_proved_and_copied(run, keyring):
    end = run()
    assert not end.failed and end["changed"] and end["complete"]
    assert end["counts"] == {"policies": 1, "users": 1, "groups": 0, "access_keys": 0, "buckets": 1}
    assert [(each["repository"], each["proved"]) for each in end["copies"]] == [("local", True), ("site", True)]
    for place in run.places:
        assert any(end["id"] in name for name in place.files())


def test_check_mode_counts_and_writes_nothing(run, keyring):
    before = [place.files() for place in run.places]
    end = run(check_mode=True)
    assert not end.failed and end["changed"] and end["counts"]["users"] == 1
    assert end["diff"]["after"]["buckets"] == 1
    assert [place.files() for place in run.places] == before


@pytest.mark.parametrize("check_mode", [False, True])
def test_without_a_keyring_nothing_is_asked_of_the_server(run, server, check_mode):
    end = run(check_mode)
    assert end.failed and end["guard"] == "plaintext" and end["exit_code"] == 3
    assert server.requests == []


def test_what_is_no_export_is_no_backup(run, keyring, server):
    server.identities = {}
    assert run().failed
    assert not any("manifests" in name for name in run.places[0].files())


def test_impossible_options_are_refused(run, keyring):
    assert run(wait_s=-1)["exit_code"] == 2
    assert run(job="a/b")["exit_code"] == 2
