# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a repository in a bucket does where the server ignores conditions; a client alone tells what would be sent."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.bucket import BucketStore
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.store import ChangedError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3.calls import Put
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3.endpoint import Endpoint
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3.failure import S3Error


class Client:
    """A server that is asked whether something is there, and takes all that is written."""

    endpoint = Endpoint("http://127.0.0.1:9000", access_key="ID", secret_key="not a secret")

    def __init__(self, error: S3Error | None = None) -> None:
        self.written: list[str] = []
        self._error = error

    def head(self, _bucket: str, _key: str) -> None:
        if self._error is not None:
            raise self._error

    def put_object(self, _bucket: str, key: str, *_words: t.Any, **_more: t.Any) -> Put:
        self.written.append(key)
        return Put("e2", "")


def test_what_has_gone_is_never_written_anew_in_place_of_being_replaced() -> None:
    """An intent that maintenance took away must not come back where the server ignores If-Match."""
    client = Client()
    with pytest.raises(ChangedError, match="gone"):
        BucketStore(t.cast(t.Any, client), "backups").replace("intents/lab/a.json", b"{}", "e1")
    assert not client.written


def test_what_may_not_be_looked_at_is_replaced_by_the_condition_alone() -> None:
    client = Client(S3Error("Cannot look", 403, "AccessDenied", "no"))
    assert BucketStore(t.cast(t.Any, client), "backups").replace("a", b"{}", "e1") == "e2"
    assert client.written == ["a"]


class Shared(Client):
    """A bucket that others use as well, on a server that does not heed the prefix of a listing of uploads."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[str, str]] = []
        self.aborted: list[tuple[str, str]] = []
        self.uploads = [
            ("data/lab/1/dump", "of another repository in the same bucket"),
            ("db1/data/lab/1/dump", "first"),
            ("db1/data/lab/1/dump", "second"),
            ("db1/data/lab/1/dump.sums", "of another file"),
            ("db1/data/lab-2/1/dump", "of another job"),
            ("db10/data/lab/1/dump", "of a prefix that begins the same"),
        ]

    def list_uploads(self, bucket: str, prefix: str) -> list[tuple[str, str]]:
        self.asked.append((bucket, prefix))
        return self.uploads

    def abort_upload(self, _bucket: str, key: str, upload_id: str) -> None:
        self.aborted.append((key, upload_id))


def test_of_unfinished_uploads_only_those_of_the_own_prefix_and_key_are_seen_and_dropped() -> None:
    client = Shared()
    store = BucketStore(t.cast(t.Any, client), "backups", "db1")
    assert store.unfinished("data/lab/") == ["data/lab/1/dump", "data/lab/1/dump.sums"]
    store.discard_unfinished("data/lab/1/dump")
    assert client.aborted == [("db1/data/lab/1/dump", "first"), ("db1/data/lab/1/dump", "second")]
    assert client.asked == [("backups", "db1/data/lab/"), ("backups", "db1/data/lab/1/dump")]
