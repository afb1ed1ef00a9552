# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.minio.bucket_api import Presence
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.minio.bucket_settings import Found
from ansible_collections.lifeboat.recovery.plugins.modules import minio_bucket_info


class Client:
    """Stands for S3Client, which lists buckets in the order of their names."""

    def list_buckets(self):
        return ["first", "second"]


class Api:
    """Stands for BucketApi."""

    def __init__(self):
        self.client = Client()
        self.read = []

    def presence(self, name):
        return Presence(name in self.client.list_buckets(), True)

    def read_what_there_is(self, name, settings, is_minio):
        self.read.append((name, tuple(settings)))
        return Found(is_minio, versioning="Enabled", lifecycle=None)


@pytest.fixture
def api(monkeypatch):
    server = Api()
    monkeypatch.setattr(minio_bucket_info, "client_from", lambda params: None)
    monkeypatch.setattr(minio_bucket_info, "BucketApi", lambda client: server)
    return server


def test_all_buckets_are_shown_in_the_order_of_their_names(api):
    found = minio_bucket_info.read({"name": None, "settings": ["versioning"]})
    assert found == {
        "buckets": [{"name": "first", "versioning": "enabled"}, {"name": "second", "versioning": "enabled"}]
    }


def test_all_settings_are_read_unless_some_are_named(api):
    (row,) = minio_bucket_info.read({"name": "first", "settings": None})["buckets"]
    assert set(row) == {"name", *minio_bucket_info.SETTINGS}


def test_no_setting_is_read_when_none_is_wanted(api):
    assert minio_bucket_info.read({"name": "first", "settings": []}) == {"buckets": [{"name": "first"}]}
    assert api.read == [("first", ())]


def test_a_setting_that_the_server_does_not_have_is_null(api):
    (row,) = minio_bucket_info.read({"name": "first", "settings": ["lifecycle"]})["buckets"]
    assert row["lifecycle"] is None


def test_a_bucket_that_is_not_there_is_not_shown(api):
    assert minio_bucket_info.read({"name": "third", "settings": []}) == {"buckets": []}
