# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import datetime as dt

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine import clock
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import UsageError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host import objects_history
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.objects_history import History
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3.listing import Listed
from ansible_collections.lifeboat.recovery.plugins.modules import object_history

TIME = dt.datetime(2026, 11, 20, 2, tzinfo=clock.UTC)
SEEN = {"first_seen": "2026-11-20T02:00:00.000000Z", "last_seen": "2026-11-20T02:00:00.000000Z", "backup_count": 1}
BACKUPS = {"backups": ["20261120T020000Z-0a1b2c"], "first_backup": "20261120T020000Z-0a1b2c"}
STATE = {"present": True, "size": 4, "sha256": "ab", "modified": None, "version_id": "", **SEEN, **BACKUPS}
SERVER = {"endpoint_url": "https://minio.example.com:9000", "access_key": "a", "secret_key": "b"}


class Client:
    """Stands for a server with versions of two keys."""

    def list_versions(self, bucket, prefix):
        assert (bucket, prefix) == ("documents", "a")
        yield Listed("a", 0, "", TIME, "v3", True, True)
        for number in (2, 1):
            yield Listed("a", number, f"e{number}", TIME, f"v{number}", False)
        yield Listed("a/b", 9, "e", TIME, "v1", True)


@pytest.fixture
def asked(monkeypatch):
    found = []

    def history(question):
        found.append(question)
        return History((STATE,), 3, True, ("site cannot be used: refused",))

    monkeypatch.setattr(object_history.objects_history, "history", history)
    monkeypatch.setattr(object_history, "client_from", lambda _params: Client())
    return found


@pytest.fixture
def run(run_module, asked):
    given = {"job": "s3-documents", "bucket": "documents", "key": "a", "repositories": [{"path": "/srv/backups"}]}

    def run(check_mode=False, **options):
        chosen = {name: value for name, value in {**given, **options}.items() if value is not None}
        return run_module(object_history, check_mode, **chosen)

    return run


@pytest.mark.parametrize("check_mode", [True, False])
def test_states_are_returned_and_nothing_changes(run, asked, check_mode):
    end = run(check_mode)
    assert not end.failed and not end["changed"]
    assert (end["states"], end["complete"], end["backup_count"]) == ([STATE], True, 3)
    assert end.warnings == ["site cannot be used: refused"] and "versions" not in end.answer
    assert (asked[0].job, asked[0].collection, asked[0].key, asked[0].limit) == ("s3-documents", "documents", "a", 50)


@pytest.mark.parametrize(("options", "is_asked"), [({}, True), ({"live_versions": False}, False)])
def test_a_connection_brings_the_versions_of_this_key_alone(run, options, is_asked):
    end = run(**SERVER, **options)
    assert ("versions" in end.answer) == is_asked
    if is_asked:
        assert [each["version_id"] for each in end["versions"]] == ["v3", "v2", "v1"]
        assert [each["delete_marker"] for each in end["versions"]] == [True, False, False]
        assert end["versions"][0]["modified"] == "2026-11-20T02:00:00.000000Z"


def test_no_more_versions_are_returned_than_asked_for(run):
    assert len(run(**SERVER, limit=2)["versions"]) == 2


def test_a_file_has_no_versions(run, asked):
    end = run(**SERVER, bucket=None, root="/etc")
    assert asked[0].collection == "/etc" and "versions" not in end.answer


@pytest.mark.parametrize("options", [{"root": "/etc"}, {"bucket": None}, {"job": "a/b"}, {"repositories": []}])
def test_options_that_make_no_sense_are_refused(run, asked, options):
    assert run(**options).failed and asked == []


def test_what_the_engine_refuses_is_a_failure(run, monkeypatch):
    def refuse(_question):
        raise UsageError("Cannot show so much of a history", "limit is 0", "use 1 to 100")

    monkeypatch.setattr(object_history.objects_history, "history", refuse)
    assert run(limit=0).failed


def test_so_much_is_shown_at_most():
    assert objects_history.MOST == 100
