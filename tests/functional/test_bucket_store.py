# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import concurrent.futures
import dataclasses
import threading
import typing as t

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine import clock
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import DamagedError, UsageError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository import identity, store
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.bucket import BucketStore
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3.calls import Put
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3.client import S3Client
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3.endpoint import Endpoint

pytest_plugins = ("ansible_collections.lifeboat.recovery.tests.functional.s3_fixtures",)

SECRET = "a-secret-canary-0123456789"


@pytest.fixture(params=["", "root/of the/repository"])
def place(request: pytest.FixtureRequest, s3: S3Client, bucket: str) -> BucketStore:
    return BucketStore(s3, bucket, request.param)


@pytest.fixture
def versioned(s3: S3Client, versioned_bucket: str) -> BucketStore:
    return BucketStore(s3, versioned_bucket, "root")


def changed(s3: S3Client, bucket: str, **settings: t.Any) -> BucketStore:
    return BucketStore(S3Client(dataclasses.replace(s3.endpoint, **settings)), bucket, "root")


def test_a_document_is_created_once(place: BucketStore) -> None:
    etag = place.put_new("jobs/a.json", b"one")
    with pytest.raises(store.ExistsError):
        place.put_new("jobs/a.json", b"two")
    found = place.get("jobs/a.json")
    assert found is not None
    assert (found.data, found.etag) == (b"one", etag)
    assert abs((found.modified - place.now()).total_seconds()) < 60


def test_a_document_is_replaced_only_by_who_has_read_it(place: BucketStore) -> None:
    first = place.put_new("a", b"one")
    second = place.replace("a", b"two", first)
    with pytest.raises(store.ChangedError):
        place.replace("a", b"three", first)
    place.delete("a")
    with pytest.raises(store.ChangedError):
        place.replace("a", b"three", second)
    assert place.get("a") is None


class ForgetfulServer(S3Client):
    """A server that takes no notice of conditions, as some makes do."""

    def put_object(self, *args: t.Any, only_if_new: bool = False, only_if_etag: str = "", **options: t.Any) -> Put:
        return super().put_object(*args, **options)


def test_a_server_that_ignores_conditions_is_found_out_when_the_repository_is_made(s3: S3Client, bucket: str) -> None:
    forgetful = BucketStore(ForgetfulServer(s3.endpoint), bucket, "forgetful")
    assert not identity.initialise(forgetful).has_conditional_writes
    assert identity.initialise(BucketStore(s3, bucket, "honest")).has_conditional_writes


def test_of_twelve_runs_at_once_exactly_one_creates_a_document(place: BucketStore) -> None:
    start = threading.Barrier(12)

    def create(number: int) -> bool:
        start.wait()
        try:
            place.put_new("a", b"%d" % number)
        except store.ExistsError:
            return False
        return True

    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        assert sum(pool.map(create, range(12))) == 1


def test_of_twelve_replacements_of_the_same_bytes_exactly_one_counts(place: BucketStore) -> None:
    etag = place.put_new("a", b"first")
    start = threading.Barrier(12)

    def replace(number: int) -> bool:
        start.wait()
        try:
            place.replace("a", b"%d" % number, etag)
        except store.ChangedError:
            return False
        return True

    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        assert sum(pool.map(replace, range(12))) == 1


def test_on_a_server_that_ignores_conditions_a_document_is_still_not_overwritten(
    place: BucketStore, s3: S3Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    etag = place.put_new("a", b"one")
    put = s3.put_object

    def unconditional(bucket: str, key: str, data: bytes, **_conditions: t.Any) -> t.Any:
        return put(bucket, key, data)

    monkeypatch.setattr(s3, "put_object", unconditional)
    with pytest.raises(store.ExistsError):
        place.put_new("a", b"two")
    with pytest.raises(store.ChangedError):
        place.replace("a", b"two", "0" * 32)
    assert place.replace("a", b"three", etag)


def test_only_keys_below_the_root_are_listed_and_without_it(s3: S3Client, bucket: str) -> None:
    place = BucketStore(s3, bucket, "/root/")
    s3.put_object(bucket, "rooted/x", b"")
    s3.put_object(bucket, "roo", b"")
    for key in ("data/b", "data/a ä", "manifests/x"):
        place.put(key, b"123")
    assert [(entry.key, entry.size) for entry in place.entries("data/")] == [("data/a ä", 3), ("data/b", 3)]
    assert [entry.key for entry in place.entries("")] == ["data/a ä", "data/b", "manifests/x"]
    assert place.stat("data/b") == dataclasses.replace(
        next(place.entries("data/b")), modified=place.stat("data/b").modified
    )  # type: ignore[union-attr]


def test_an_upload_is_visible_when_it_is_finished(place: BucketStore) -> None:
    sending = place.upload("data/x", 0)
    sending.write(b"abc")
    sending.write(b"def")
    assert place.stat("data/x") is None
    entry = sending.finish()
    sending.abort()
    assert (entry.key, entry.size) == ("data/x", 6)
    assert b"".join(place.read("data/x")) == b"abcdef"
    assert b"".join(place.read("data/x", 2, 3)) == b"cde"
    assert b"".join(place.read("data/x", 6)) == b""
    assert b"".join(place.read("data/x", 2, 0)) == b""


def test_a_missing_file_is_damage_and_a_missing_document_is_none(place: BucketStore) -> None:
    assert place.get("x") is None
    assert place.stat("x") is None
    place.delete("x")
    with pytest.raises(DamagedError, match="no such file"):
        b"".join(place.read("x"))


def test_a_file_behind_a_delete_marker_is_still_read(versioned: BucketStore) -> None:
    versioned.put("data/x", b"original")
    versioned.put("data/x", b"overwritten")
    versioned.put("data/x.more", b"another file")
    versioned.delete("data/x")
    assert versioned.stat("data/x") is None
    assert b"".join(versioned.read("data/x")) == b"original", "files are written once: the oldest version counts"


def test_versions_are_listed_and_deleted_one_by_one(versioned: BucketStore) -> None:
    versioned.put("a", b"1")
    versioned.put("a", b"22")
    versioned.delete("a")
    found = list(versioned.versions(""))
    assert [(version.entry.size, version.is_latest, version.is_delete_marker) for version in found] == [
        (0, True, True),
        (2, False, False),
        (1, False, False),
    ]
    oldest = versioned.get("a", found[2].entry.version_id)
    assert oldest is not None
    assert oldest.data == b"1"
    for version in found:
        versioned.delete("a", version.entry.version_id)
    assert list(versioned.versions("")) == []
    assert versioned.get("a", found[2].entry.version_id) is None


def test_requests_signed_too_long_ago_are_refused_and_without_effect(place: BucketStore) -> None:
    etag = place.put_new("a", b"one")
    old = place.now() - clock.dt.timedelta(minutes=16)
    for request in (
        lambda: place.put_new("b", b"x", old),
        lambda: place.replace("a", b"x", etag, old),
        lambda: place.delete("a", "", old),
        lambda: _uploaded(place, old),
    ):
        with pytest.raises(store.ExpiredError):
            request()
    assert [entry.key for entry in place.entries("")] == ["a"]


def _uploaded(place: BucketStore, moment: t.Any) -> None:
    sending = place.upload("c", 0, lambda: moment)
    sending.write(b"x")
    sending.finish()


@pytest.mark.parametrize(
    ("settings", "kind", "words"),
    [
        ({"secret_key": SECRET}, store.DeniedError, "check secret_key"),
        ({"access_key": "nobody-knows"}, store.DeniedError, "check access_key"),
        ({"url": "http://127.0.0.1:1", "max_attempts": 1}, store.UnavailableError, "check url"),
        ({"url": "https://127.0.0.1:1", "max_attempts": 1}, store.UnavailableError, "check url"),
    ],
)
def test_wrong_settings_are_told_with_a_remedy_and_no_secret(
    s3: S3Client, bucket: str, settings: dict[str, t.Any], kind: type[Exception], words: str
) -> None:
    place = changed(s3, bucket, **settings)
    for request in (
        lambda: place.get("a"),
        lambda: place.put("a", b"x" * 3_000_000),
        lambda: place.put_new("a", b"x"),
        lambda: list(place.entries("")),
        lambda: place.delete("a"),
        lambda: list(place.read("a")),
    ):
        with pytest.raises(kind, match=words) as caught:
            request()
        told = f"{caught.value} {caught.value!r} {caught.value.__cause__!r} {place.name} {vars(place)!r}"
        assert SECRET not in told
        assert s3.endpoint.secret_key not in told


def test_a_server_without_tls_is_told_as_such(s3: S3Client, bucket: str) -> None:
    place = changed(s3, bucket, url=s3.endpoint.url.replace("http:", "https:"))
    with pytest.raises(store.UnavailableError, match="does not speak TLS"):
        place.get("a")


def test_a_missing_bucket_is_never_an_empty_repository(s3: S3Client) -> None:
    place = BucketStore(s3, "nonesuch")
    for request in (
        lambda: place.get("a"),
        lambda: place.stat("a"),
        lambda: place.put_new("a", b"x"),
        lambda: list(place.entries("")),
        lambda: list(place.versions("")),
        lambda: list(place.read("a")),
        lambda: place.delete("a"),
    ):
        with pytest.raises(store.StoreError, match="check the bucket's name"):
            request()


def test_a_document_that_is_too_long_is_refused(place: BucketStore, monkeypatch: pytest.MonkeyPatch) -> None:
    place.put("a", b"x" * 1001)
    monkeypatch.setattr(BucketStore, "max_document_bytes", 1000)
    with pytest.raises(store.StoreError, match="longer than 1000 bytes"):
        place.get("a")


def test_a_bucket_has_no_locks_and_says_so(place: BucketStore) -> None:
    assert not place.has_locks
    with place.shared_lock("job"):
        pass
    with pytest.raises(store.StoreError), place.exclusive_lock("job", 1):
        pass


@pytest.mark.parametrize("prefix", ["a//b", "../x", "a/./b", "line\nfeed"])
def test_a_root_that_servers_do_not_keep_is_refused(s3: S3Client, prefix: str) -> None:
    with pytest.raises(UsageError):
        BucketStore(s3, "bucket", prefix)


def test_a_place_is_named_as_people_know_it() -> None:
    client = S3Client(Endpoint("https://storage.example.org", access_key="a", secret_key=SECRET))
    assert BucketStore(client, "backups", "/site/a/").name == "s3://backups/site/a at https://storage.example.org"
    assert BucketStore(client, "backups").name == "s3://backups at https://storage.example.org"
