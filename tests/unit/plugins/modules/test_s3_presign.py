# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import datetime as dt
import urllib.parse

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine import clock
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host import presigned
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.bucket import BucketStore
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.directory import DirectoryStore
from ansible_collections.lifeboat.recovery.plugins.modules import s3_presign

NOW = dt.datetime(2026, 11, 20, 2, 0, 0, 500000, tzinfo=clock.UTC)
GIVEN = {
    "endpoint_url": "https://minio.example.com:9000",
    "access_key": "reader",
    "secret_key": "reader-secret",
    "bucket": "documents",
}


@pytest.fixture(autouse=True)
def stopped_clock(monkeypatch):
    monkeypatch.setattr(clock, "now", lambda: NOW)


@pytest.fixture
def run(run_module):
    return lambda check_mode=False, **options: run_module(s3_presign, check_mode, **{**GIVEN, **options})


@pytest.fixture
def backups(monkeypatch, new_repository):
    """Put a repository in a directory where the module looks for one in a bucket."""
    repository = new_repository("local")

    class Store(DirectoryStore):
        def __init__(self, _client, bucket, prefix):
            super().__init__(str(repository.folder))
            self.bucket, self.prefix = bucket, prefix

        def place_of(self, key):
            return self.bucket, f"{self.prefix}/{key}"

    monkeypatch.setattr(s3_presign, "BucketStore", Store)
    return repository


def query_of(url):
    return dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(url).query))


@pytest.mark.parametrize("check_mode", [True, False])
@pytest.mark.parametrize("method", ["get", "put"])
def test_a_url_is_signed_for_an_hour_and_nothing_changes(run, check_mode, method):
    end = run(check_mode, key="reports/ä b.pdf", method=method)
    assert not end.failed and not end["changed"]
    assert end["url"].startswith("https://minio.example.com:9000/documents/reports/%C3%A4%20b.pdf?X-Amz-Algorithm=")
    assert query_of(end["url"])["X-Amz-Expires"] == "3600"
    assert (end["method"], end["bucket"], end["key"]) == (method.upper(), "documents", "reports/ä b.pdf")
    assert end["expires"] == "2026-11-20T03:00:00.000000Z"
    assert "reader-secret" not in str(end.answer)


def test_gets_and_puts_have_different_signatures(run):
    signatures = {query_of(run(key="a", method=method)["url"])["X-Amz-Signature"] for method in ("get", "put")}
    assert len(signatures) == 2


@pytest.mark.parametrize(("seconds", "is_fine"), [(1, True), (604800, True), (0, False), (604801, False)])
def test_a_url_lives_for_seven_days_at_most(run, seconds, is_fine):
    end = run(key="a", expires_s=seconds)
    assert end.failed != is_fine
    assert is_fine or end["exit_code"] == 2


def test_the_url_is_no_part_of_what_is_printed():
    made = presigned.PresignedUrl("a URL with a signature", "b", "k", NOW)
    assert "signature" not in repr(made)


def test_a_stored_file_is_found_by_its_name(run, backups):
    backups.back_up()
    newest = backups.back_up()
    end = run(bucket="backups", prefix="db", job="db1-shop", file="globals.sql")
    assert not end.failed
    assert end["key"] == f"db/data/db1-shop/{newest.id}/globals.sql"
    assert f"/backups/db/data/db1-shop/{newest.id}/globals.sql?" in end["url"]


def test_a_backup_that_is_not_proved_is_not_good(run, backups):
    old, new = backups.back_up(), backups.back_up(proved=False)
    keys = [run(job="db1-shop", file="globals.sql", backup=which)["key"] for which in ("latest_good", "latest", old.id)]
    assert [old.id in keys[0], new.id in keys[1], old.id in keys[2]] == [True, True, True]


@pytest.mark.parametrize("name", ["../jobs/db1-shop.json", "nothing.zst", ""])
def test_what_is_no_stored_file_gets_no_url(run, backups, name):
    backups.back_up()
    end = run(job="db1-shop", file=name)
    assert end.failed and "url" not in end.answer


def test_nobody_may_put_a_stored_file(run, backups):
    backups.back_up()
    assert run(job="db1-shop", file="globals.sql", method="put").failed


@pytest.mark.parametrize(
    "options", [{}, {"key": "a", "file": "b", "job": "c"}, {"file": "globals.sql"}, {"key": "a", "secret_key": None}]
)
def test_options_that_do_not_go_together_are_refused(run, options):
    assert run(**options).failed


def test_the_place_of_a_stored_file_has_the_prefix_of_its_repository():
    class Client:
        class endpoint:
            url = "https://minio.example.com:9000"

            @staticmethod
            def location(_bucket):
                return "", ""

    assert BucketStore(Client(), "backups", "/db/").place_of("data/x") == ("backups", "db/data/x")
