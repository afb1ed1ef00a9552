# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import base64
import json
import os

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository import (
    identity,
    key_wrapping,
    keyring,
    recovery_code,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.directory import DirectoryStore
from ansible_collections.lifeboat.recovery.plugins.modules import backup_keyring, backup_recovery_key

SECRET, OTHER = (base64.b64encode(os.urandom(32)).decode() for _each in range(2))


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setattr(key_wrapping, "RSA_BITS", 2048)  # quick; its strength does not matter here
    (tmp_path / "here").mkdir()
    identity.initialise(DirectoryStore(str(tmp_path / "here")))
    return {"name": "here", "path": str(tmp_path / "here")}


@pytest.fixture
def fingerprint(run_module, place):
    return run_module(backup_keyring, secret=SECRET, repositories=[place])["keyring"]["fingerprint"]


@pytest.fixture
def run(run_module, place, fingerprint, tmp_path):
    def act(check_mode=False, **options):
        usual = {"repositories": [place], "secret": SECRET}
        if options.get("state") != "verified":
            usual.update(confirm=fingerprint, code_file=str(tmp_path / "code"))
        given = {name: value for name, value in {**usual, **options}.items() if value}
        return run_module(backup_recovery_key, check_mode, **given)

    return act


@pytest.fixture
def code(run, tmp_path):
    run()
    return recovery_code.printed(recovery_code.on_sheet((tmp_path / "code").read_text()))


def names(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_recovery_key_is_made_and_its_code_exported_once(run, tmp_path):
    made = run()
    assert not made.failed and made["changed"] and made["exported"]
    assert made["written"] == {"here": ["RESCUE/recovery_key-1.json", "RESCUE/recovery_key-1.pem"]}
    assert (made["recovery_key"]["number"], made["recovery_key"]["is_final"]) == (1, False)
    assert (tmp_path / "code").stat().st_mode & 0o777 == 0o600
    before = (tmp_path / "code").read_bytes()
    again = run()
    assert not again["changed"] and not again["exported"] and again["recovery_key"] == made["recovery_key"]
    assert (tmp_path / "code").read_bytes() == before


def test_the_code_is_in_no_result_and_no_difference(run, tmp_path):
    made = run()
    code = recovery_code.on_sheet((tmp_path / "code").read_text())
    shown = json.dumps(made.answer)
    assert code not in shown and recovery_code.printed(code) not in shown


def test_check_mode_writes_nothing_and_shows_the_same_difference(run, tmp_path):
    before = names(tmp_path)
    planned = run(check_mode=True)
    assert planned["changed"] and planned["exported"] and planned["recovery_key"] is None
    assert names(tmp_path) == before
    made = run()
    assert (made["diff"], made["written"]) == (planned["diff"], planned["written"])


@pytest.mark.parametrize("confirm", [None, "yes"])
def test_a_recovery_key_is_made_for_a_keyring_that_was_named_only(run, fingerprint, confirm, tmp_path):
    end = run(confirm=confirm)
    assert end.failed and end["guard"] == "confirm" and fingerprint in end["remedy"]
    assert not (tmp_path / "code").exists()


def test_the_code_is_written_over_no_file(run, tmp_path):
    (tmp_path / "code").write_text("something else")
    end = run()
    assert end.failed and "already" in end["cause"]
    assert (tmp_path / "code").read_text() == "something else"
    assert "RESCUE/recovery_key-1.json" not in names(tmp_path / "here")


def test_a_verified_code_makes_the_keyring_ready(run, code, place):
    planned = run(state="verified", code=code, check_mode=True)
    assert planned["changed"] and not planned["recovery_key"]["is_final"]
    end = run(state="verified", code=code)
    assert end["changed"] and end["recovery_key"]["is_final"] and end["keyring"]["is_ready"]
    assert end["written"] == {"here": ["keys/0001.json", "RESCUE/recovery_key-1.verified.json"]}
    assert not run(state="verified", code=code)["changed"]
    assert not run(state="verified", code=code, secret=None)["changed"]  # the code alone is enough from now on
    assert code not in json.dumps(end.answer)
    store = DirectoryStore(place["path"])
    assert keyring.read(store, keyring.Access(code=recovery_code.parsed(code)))


def test_the_exported_file_itself_can_be_verified(run, code, tmp_path):
    assert run(state="verified", code_file=str(tmp_path / "code"))["recovery_key"]["is_final"]


def test_a_wrong_code_is_refused_and_makes_nothing_final(run, code):
    end = run(state="verified", code=recovery_code.printed(recovery_code.new()))
    assert end.failed and "another" in end["cause"]
    slip = run(state="verified", code=code[:-1])
    assert slip.failed and slip["exit_code"] == 2
    assert not run()["recovery_key"]["is_final"]


def test_a_code_file_that_others_may_read_is_refused(run, code, tmp_path):
    (tmp_path / "code").chmod(0o644)
    end = run(state="verified", code_file=str(tmp_path / "code"))
    assert end.failed and "others" in end["cause"]


def test_a_lost_code_is_replaced_once(run, code, tmp_path):
    run(state="verified", code=code)
    second = run(replaces=1, code_file=str(tmp_path / "second"))
    assert second["exported"] and second["recovery_key"]["number"] == 2
    assert not run(replaces=1, code_file=str(tmp_path / "third"))["changed"]
    assert run(state="verified", code=code).failed
    fresh = recovery_code.printed(recovery_code.on_sheet((tmp_path / "second").read_text()))
    assert run(state="verified", code=fresh)["recovery_key"]["is_final"]


def test_a_lost_secret_is_replaced_with_the_code(run, run_module, code, place, tmp_path):
    run(state="verified", code=code)
    options = {"secret": OTHER, "previous": {"recovery_code_file": str(tmp_path / "code")}, "repositories": [place]}
    assert run_module(backup_keyring, **options)["changed"]
    assert not run_module(backup_keyring, **options)["changed"]
    assert run_module(backup_keyring, secret=SECRET, repositories=[place]).failed


def test_without_keyring_there_is_no_recovery_key(run_module, place, tmp_path):
    end = run_module(
        backup_recovery_key, secret=SECRET, confirm="x", code_file=str(tmp_path / "code"), repositories=[place]
    )
    assert end.failed and end["guard"] == "keyring" and not (tmp_path / "code").exists()


def test_a_recovery_key_needs_the_secret_and_a_file_for_the_code(run):
    assert run(secret=None).failed
    assert run(code_file=None)["exit_code"] == 2
    assert run(state="verified").failed
