# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import base64
import json
import os

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository import identity, keyring
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.directory import DirectoryStore
from ansible_collections.lifeboat.recovery.plugins.modules import backup_keyring

SECRET, OTHER = (base64.b64encode(os.urandom(32)).decode() for _each in range(2))
PASSPHRASE = "six words that nobody else knows"


@pytest.fixture
def places(tmp_path):
    found = []
    for name in ("near", "far"):
        (tmp_path / name).mkdir()
        identity.initialise(DirectoryStore(str(tmp_path / name)))
        found.append({"name": name, "path": str(tmp_path / name)})
    return found


@pytest.fixture
def run(run_module, places):
    def act(check_mode=False, **options):
        given = {"repositories": places, "secret": SECRET, **options}
        return run_module(backup_keyring, check_mode, **{name: value for name, value in given.items() if value})

    return act


def files_of(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_keyring_is_made_and_the_second_run_changes_nothing(run):
    made = run()
    assert not made.failed and made["changed"]
    assert [each["name"] for each in made["keyring"]["epochs"]] == ["0001"]
    assert made["written"]["near"] == ["keys/0001.json", "RESCUE/README.txt", "RESCUE/rescue.py"]
    assert made["written"]["far"] == made["written"]["near"]
    again = run()
    assert not again["changed"] and again["keyring"] == made["keyring"]
    assert again["written"] == {"near": [], "far": []}


def test_check_mode_writes_nothing_and_shows_the_same_difference(run, tmp_path):
    before = files_of(tmp_path)
    planned = run(check_mode=True)
    assert planned["changed"] and planned["keyring"] is None
    assert files_of(tmp_path) == before
    assert run()["diff"] == planned["diff"]
    assert planned["diff"]["before"]["near"]["keys/0001.json"] == "missing"


def test_runs_are_warned_of_until_there_is_a_recovery_key(run):
    made = run()
    assert not made["keyring"]["is_ready"] and "backup_recovery_key" in made.warnings[0]


def test_one_recipient_is_enough_where_that_is_said(run):
    made = run(allow_single_recipient=True)
    assert made["keyring"]["is_ready"] and not made.warnings


def test_the_secret_is_in_no_result_and_in_no_file(run, tmp_path):
    made = run()
    assert SECRET not in json.dumps(made.answer)
    assert not any(SECRET.encode() in data for data in files_of(tmp_path).values())


def test_a_wrong_secret_is_refused_with_the_fingerprint(run):
    made = run()
    end = run(secret=OTHER)
    assert end.failed and made["keyring"]["fingerprint"] in end["cause"]
    assert OTHER not in json.dumps(end.answer)


def test_another_secret_replaces_the_previous_one_and_again_changes_nothing(run, places):
    made = run()
    changed = run(secret=OTHER, previous={"secret": SECRET})
    assert changed["changed"] and changed["keyring"] == made["keyring"]
    assert changed["diff"]["before"]["near"] == {"keys/0001.json": "older"}
    assert not run(secret=OTHER, previous={"secret": SECRET})["changed"]
    assert run(secret=SECRET).failed


def test_the_previous_secret_can_stay_until_all_hosts_have_the_new_one(run):
    run()
    both = run(secret=OTHER, previous={"secret": SECRET}, keep_previous=True)
    assert both["keyring"]["epochs"][0]["secrets"] == 2
    assert not run(secret=OTHER, previous={"secret": SECRET}, keep_previous=True)["changed"]
    assert not run(secret=SECRET)["changed"]
    last = run(secret=OTHER, previous={"secret": SECRET})
    assert last["changed"] and last["keyring"]["epochs"][0]["secrets"] == 1


def test_an_epoch_is_added_when_the_newest_is_too_old_and_once_only(run, monkeypatch, places):
    run()
    store = DirectoryStore(places[0]["path"])
    after = keyring.epochs(store)[0].created
    text = after.isoformat().replace("+00:00", "Z")
    assert not run(epoch_created_after=text)["changed"]
    later = store.now().isoformat().replace("+00:00", "Z")
    added = run(epoch_created_after=later)
    assert [each["name"] for each in added["keyring"]["epochs"]] == ["0001", "0002"]
    assert not run(epoch_created_after=later)["changed"]
    assert not run(epoch_max_age_days=1)["changed"]


@pytest.mark.parametrize(
    "options",
    [{"epoch_created_after": "yesterday"}, {"epoch_created_after": "2999-01-01T00:00:00Z"}, {"epoch_max_age_days": -1}],
)
def test_times_that_make_no_sense_are_refused(run, options):
    run()
    assert run(**options)["exit_code"] == 2


def test_a_passphrase_becomes_a_private_file_once(run, tmp_path):
    path = tmp_path / "secret"
    planned = run(check_mode=True, secret=None, secret_file=str(path), passphrase=PASSPHRASE)
    assert planned["changed"] and not path.exists()
    made = run(secret=None, secret_file=str(path), passphrase=PASSPHRASE)
    assert path.stat().st_mode & 0o777 == 0o600
    text = path.read_text()
    assert text.startswith("scrypt:131072:8:1:") and PASSPHRASE not in text
    assert not run(secret=None, secret_file=str(path), passphrase=PASSPHRASE)["changed"]
    path.unlink()
    again = run(secret=None, secret_file=str(path), passphrase=PASSPHRASE)
    assert again["changed"] and path.read_text() == text
    assert again["keyring"] == made["keyring"]


def test_a_passphrase_alone_is_no_secret(run):
    assert run(secret=None, passphrase=PASSPHRASE).failed
    assert run(secret=PASSPHRASE)["exit_code"] == 2


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_secret_file_that_others_may_read_is_refused(run, tmp_path, mode):
    path = tmp_path / "secret"
    path.write_text(SECRET)
    path.chmod(mode)
    end = run(secret=None, secret_file=str(path))
    assert end.failed and "others" in end["cause"] and end["exit_code"] == 2


def test_a_missing_secret_file_is_refused(run, tmp_path):
    end = run(secret=None, secret_file=str(tmp_path / "nothing"))
    assert end.failed and end["exit_code"] == 2


def test_a_repository_with_another_keyring_is_refused(run, places):
    run(repositories=places[:1])
    run(repositories=places[1:])
    end = run()
    assert end.failed and end["guard"] == "keyring"


def test_a_place_without_repository_is_refused(run, tmp_path):
    (tmp_path / "empty").mkdir()
    end = run(repositories=[{"path": str(tmp_path / "empty")}])
    assert end.failed and end["guard"] == "repository"


def test_a_second_repository_gets_the_keyring_of_the_first(run, places):
    made = run(repositories=places[:1])
    both = run()
    assert both["written"] == {"near": [], "far": ["keys/0001.json", "RESCUE/README.txt", "RESCUE/rescue.py"]}
    assert both["keyring"] == made["keyring"]


def test_an_interrupted_task_is_finished_by_the_next(run, monkeypatch, places):
    real, count = backup_keyring.keyring_changes.write, []

    def write(each):
        count.append(each)
        if len(count) == 3:
            raise KeyboardInterrupt
        real(each)

    monkeypatch.setattr(backup_keyring.keyring_changes, "write", write)
    with pytest.raises(KeyboardInterrupt):
        backup_keyring.apply(backup_keyring.plan(options(places), False))
    monkeypatch.setattr(backup_keyring.keyring_changes, "write", real)
    assert run()["changed"]
    assert not run()["changed"]


def options(places):
    unset = dict.fromkeys(("secret_file", "passphrase", "previous", "epoch_created_after", "epoch_max_age_days"))
    full = {"bucket": None, "keyring": None}
    repositories = [{**place, **full} for place in places]
    return {
        **unset,
        "secret": SECRET,
        "keep_previous": False,
        "allow_single_recipient": False,
        "repositories": repositories,
    }
