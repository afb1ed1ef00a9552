# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import datetime as dt
import stat

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine import clock
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.minio import credentials_file
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.minio.identity_api import AccessKey
from ansible_collections.lifeboat.recovery.plugins.modules import minio_access_key
from ansible_collections.lifeboat.recovery.tests.unit.plugins.modules.identity_server import (
    IdentityServer,
    nothing_written,
)

SECRET, OTHER = "canary-secret-one", "canary-secret-two"
DOCUMENT = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}
NOW = dt.datetime(2026, 11, 20, 12, tzinfo=clock.UTC)


@pytest.fixture
def server(monkeypatch):
    found = IdentityServer()
    monkeypatch.setattr(minio_access_key, "api_from", lambda _params: found)
    monkeypatch.setattr(clock, "sleep", lambda _seconds: None)
    monkeypatch.setattr(clock, "now", lambda: NOW)
    return found


@pytest.fixture
def run(run_module):
    return lambda **options: run_module(minio_access_key, **options)


FULL = {
    "key_id": "shop-import",
    "key_secret": SECRET,
    "user": "shop",
    "policy": DOCUMENT,
    "label": "import",
    "description": "Every night.",
    "expires": "2027-01-31T12:00:00Z",
}


def test_an_access_key_is_created_with_all_its_settings(server, run):
    end = run(**FULL)
    assert end["changed"] and server.done == ["create key shop-import"]
    assert {name: end[name] for name in FULL if name not in ("key_secret",)} == {
        name: value for name, value in FULL.items() if name != "key_secret"
    }
    assert end["diff"]["before"] == {"state": "absent"} and SECRET not in str(end.answer)


def test_a_second_run_changes_nothing(server, run):
    run(**FULL, status="enabled")
    with nothing_written(server):
        end = run(**FULL, status="enabled")
        assert not end["changed"] and end["diff"]["before"] == end["diff"]["after"]
        assert not run(key_id="shop-import")["changed"]


@pytest.mark.parametrize("exists", [True, False])
def test_check_mode_only_reads(server, run, exists, tmp_path):
    if exists:
        run(**FULL)
    with nothing_written(server):
        assert run(**{**FULL, "key_secret": OTHER, "status": "disabled"}, check_mode=True)["changed"]
        assert run(credentials_file=str(tmp_path / "key"), check_mode=True)["changed"]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "option, value, field, kept",
    [
        ("policy", "inherit", "policy", None),
        ("grant", {"role": "reader", "bucket": "b"}, "policy", None),
        ("label", "other", "label", "other"),
        ("description", "other", "description", "other"),
        ("expires", "never", "expires", None),
        ("expires", "2027-02-01T00:00:00Z", "expires", dt.datetime(2027, 2, 1, tzinfo=clock.UTC)),
        ("status", "disabled", "is_enabled", False),
    ],
)
def test_each_setting_can_be_changed_alone(server, run, option, value, field, kept):
    run(**FULL)
    before = server.keys["shop-import"]
    end = run(key_id="shop-import", **{option: value})
    assert end["changed"] and server.done[-1] == "update key shop-import"
    after = server.keys["shop-import"]
    if option != "grant":
        assert getattr(after, field) == kept
    assert [name for name in vars(after) if getattr(after, name) != getattr(before, name)] == [field]
    assert not run(key_id="shop-import", **{option: value})["changed"]


def test_a_secret_that_does_not_work_is_set_and_never_shown(server, run):
    run(**FULL)
    end = run(key_id="shop-import", key_secret=OTHER)
    assert end["changed"] and server.secrets["shop-import"] == OTHER
    assert end["diff"]["after"]["secret"] == "the given one"
    assert SECRET not in str(end.answer) and OTHER not in str(end.answer)


def test_the_secret_of_a_disabled_key_waits_until_the_key_is_enabled(server, run):
    run(**FULL, status="disabled")
    assert server.done == ["create key shop-import", "update key shop-import"]
    assert not run(key_id="shop-import", key_secret=OTHER)["changed"]
    assert run(key_id="shop-import", key_secret=OTHER, status="enabled")["changed"]
    assert server.secrets["shop-import"] == OTHER


def test_a_generated_key_stands_in_its_file_and_in_no_result(server, run, tmp_path):
    path = tmp_path / "key"
    end = run(credentials_file=str(path), user="shop")
    stored = credentials_file.read(str(path))
    assert end["changed"] and end["key_id"] == stored.access_key and stored.secret_key not in str(end.answer)
    assert server.secrets == {stored.access_key: stored.secret_key}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with nothing_written(server):
        assert not run(credentials_file=str(path), user="shop")["changed"]
    server.secrets[stored.access_key] = OTHER
    assert run(credentials_file=str(path))["changed"]
    assert server.secrets[stored.access_key] == stored.secret_key


def test_a_file_without_its_key_brings_the_key_back(server, run, tmp_path):
    path = str(tmp_path / "key")
    run(credentials_file=path)
    before, server.keys, server.secrets = server.secrets, {}, {}
    assert run(credentials_file=path)["changed"]
    assert server.secrets == before


def test_a_key_without_its_file_is_left_as_it_is(server, run, tmp_path):
    server.keys["shop-import"] = AccessKey("shop")
    with nothing_written(server):
        end = run(key_id="shop-import", credentials_file=str(tmp_path / "key"))
    assert end.failed and "bring the file back" in end["remedy"]


def test_a_generated_secret_is_returned_once_if_asked(server, run):
    end = run(key_id="shop-import", return_secret=True)
    assert end["key_secret"] == server.secrets["shop-import"]
    assert "key_secret" not in run(key_id="shop-import", return_secret=True).answer


def test_a_key_is_removed_with_its_file(server, run, tmp_path):
    path = tmp_path / "key"
    run(credentials_file=str(path))
    with nothing_written(server):
        assert run(credentials_file=str(path), state="absent", check_mode=True)["changed"] and path.exists()
    assert run(credentials_file=str(path), state="absent")["changed"]
    assert not path.exists() and not server.keys
    assert not run(credentials_file=str(path), state="absent")["changed"]


def test_the_key_of_somebody_else_is_left_alone(server, run):
    server.keys["shop-import"] = AccessKey("shop")
    with nothing_written(server):
        assert run(key_id="shop-import", user="other")["guard"] == "key_owner"
        assert run(key_id="shop-import", user="other", state="absent")["guard"] == "key_owner"


@pytest.mark.parametrize("options", [{"state": "absent"}, {"status": "disabled"}, {"key_secret": OTHER}])
def test_a_task_does_not_lock_itself_out(server, run, options):
    run(**FULL)
    server.caller = "shop-import"
    with nothing_written(server):
        assert run(key_id="shop-import", **options)["guard"] == "own_key"


def test_a_server_that_keeps_nothing_is_found_out(server, run):
    server.keeps = False
    end = run(**FULL)
    assert end.failed and "without an error" in end["cause"]


@pytest.mark.parametrize(
    "options, words",
    [
        ({}, "key_id, credentials_file"),
        ({"key_id": "shop-import"}, "nobody would know"),
        ({"key_id": "ab", "key_secret": SECRET}, "3 to 20"),
        ({"key_id": "shop-import", "key_secret": "short"}, "8 to 40"),
        ({"key_id": "shop import", "key_secret": SECRET}, "without blanks"),
        ({"key_id": "shop-import", "key_secret": f"{SECRET}\n"}, "line feed"),
        ({"key_secret": SECRET, "credentials_file": "/x"}, "mutually exclusive"),
        ({"key_secret": SECRET}, "key_id"),
        ({**FULL, "label": "x" * 33}, "32 characters"),
        ({**FULL, "description": "x" * 257}, "256 characters"),
        ({**FULL, "expires": "tomorrow"}, "no time in UTC"),
        ({**FULL, "expires": "2026-11-20T12:10:00Z"}, "15 minutes"),
        ({**FULL, "expires": "2028-01-01T00:00:00Z"}, "365 days"),
        ({**FULL, "policy": "{}"}, "at least one statement"),
        ({**FULL, "grant": {"role": "reader", "bucket": "b"}}, "mutually exclusive"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_written(server, run, options, words):
    with nothing_written(server):
        end = run(**options)
    assert end.failed and words in end["msg"]


def test_an_end_that_has_passed_meanwhile_is_no_reason_to_fail(server, run, monkeypatch):
    run(**FULL)
    monkeypatch.setattr(clock, "now", lambda: NOW + dt.timedelta(days=200))
    assert not run(**FULL)["changed"]
