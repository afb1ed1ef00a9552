# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import concurrent.futures
import dataclasses
import hashlib
import random
import subprocess
import sys
import threading
import typing as t
import urllib.request

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine import clock, steps
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import UsageError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3.client import S3Client
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3.failure import S3Error
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3.multipart import MIB, MultipartUpload
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3.response import LeanResponse

pytest_plugins = ("ansible_collections.lifeboat.recovery.tests.functional.s3_fixtures",)

ODD_KEYS = (
    "percent % %20 %2F%", "plus + and  spaces", " leading", "trailing ", "dot.", "line\nfeed", "tab\tstop",
    "return\r", "🚤 漢字", "caf\u00e9", "cafe\u0301", "Case", "case", "back\\slash", "star*", "what?",
    "amp&er;sand", "co:lon", "pi|pe", "<tag>", "quo'te\"s", "ha#sh", "til~de", "del\x7f", "one\x01", "a/b/c",
    "folder/", "m", "m/", "=", "$(id)", "`id`", "%00", "s" * 255, "/".join(["x" * 200] * 5)[:1000],
)  # fmt: skip


def test_odd_keys_are_stored_listed_and_read_exactly(s3: S3Client, bucket: str) -> None:
    for number, key in enumerate(ODD_KEYS):
        s3.put_object(bucket, key, b"%d" % number)
    assert [entry.key for entry in s3.list_objects(bucket)] == sorted(ODD_KEYS, key=str.encode)
    assert [s3.get_bytes(bucket, key, 10)[0] for key in ODD_KEYS] == [b"%d" % number for number in range(len(ODD_KEYS))]
    for key in ODD_KEYS:
        s3.delete(bucket, key)
    assert list(s3.list_objects(bucket)) == []


@pytest.mark.parametrize("key", ["a//b", "../x", "a/../b", ".", "x" * 1025, "nul\0"])
def test_keys_that_the_server_cannot_keep_are_refused_and_nothing_else_is_written(
    s3: S3Client, bucket: str, key: str
) -> None:
    with pytest.raises(S3Error):
        s3.put_object(bucket, key, b"x")
    assert list(s3.list_objects(bucket)) == []


def test_of_twelve_writers_at_once_exactly_one_creates_the_object(s3: S3Client, bucket: str) -> None:
    for turn in range(5):
        start = threading.Barrier(12)

        def write(number: int, key: str = f"key-{turn}", start: threading.Barrier = start) -> int:
            start.wait()
            try:
                s3.put_object(bucket, key, b"%d" % number, only_if_new=True)
            except S3Error as error:
                assert error.status == 412
                return -1
            return number

        with concurrent.futures.ThreadPoolExecutor(12) as pool:
            winners = [number for number in pool.map(write, range(12)) if number >= 0]
        assert len(winners) == 1
        assert s3.get_bytes(bucket, f"key-{turn}", 10)[0] == b"%d" % winners[0]


def test_a_listing_of_several_pages_is_complete(s3: S3Client, bucket: str) -> None:
    keys = [f"folder/{number:05d} ä" for number in range(2345)]
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda key: s3.put_object(bucket, key, b""), keys))
    assert [entry.key for entry in s3.list_objects(bucket)] == keys
    assert [entry.key for entry in s3.list_versions(bucket, "folder/")] == keys
    assert [entry.key for entry in s3.list_objects(bucket, "folder/", keys[2000])] == keys[2001:]


def test_a_multipart_upload_stores_the_same_bytes(s3: S3Client, bucket: str) -> None:
    chance, digest = random.Random(7), hashlib.sha256()
    sending = MultipartUpload(s3, bucket, "big")
    for _ignored in range(45):
        chunk = chance.randbytes(chance.randint(1, 2 * MIB))
        digest.update(chunk)
        sending.write(chunk)
    assert s3.head(bucket, "big") is None, "nothing is visible before it is finished"
    found = sending.finish()
    assert found.etag.endswith("-3")
    received = hashlib.sha256()
    for chunk in s3.get_object(bucket, "big"):
        received.update(chunk)
    assert received.hexdigest() == digest.hexdigest()
    assert s3.list_uploads(bucket, "big") == []


@pytest.mark.parametrize("size", [0, 1, 16 * MIB - 1, 16 * MIB, 16 * MIB + 1, 32 * MIB])
def test_an_upload_of_any_size_is_one_object(s3: S3Client, bucket: str, size: int) -> None:
    sending = MultipartUpload(s3, bucket, "key")
    sending.write(b"x" * size)
    found = sending.finish()
    assert found.size == size
    assert ("-" in found.etag) == (size > 16 * MIB)


def test_an_upload_that_is_given_up_leaves_nothing(s3: S3Client, bucket: str) -> None:
    sending = MultipartUpload(s3, bucket, "key")
    sending.write(b"x" * (40 * MIB))
    assert len(s3.list_uploads(bucket, "key")) == 1
    sending.abort()
    assert s3.list_uploads(bucket, "key") == []
    assert s3.head(bucket, "key") is None


def test_a_completion_whose_answer_is_lost_is_settled_by_looking(
    s3: S3Client, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    complete = s3.complete_upload

    def losing(*args: t.Any, **kwargs: t.Any) -> t.NoReturn:
        complete(*args, **kwargs)
        raise S3Error("Cannot finish", 0, "LostAnswer", "")

    monkeypatch.setattr(s3, "complete_upload", losing)
    sending = MultipartUpload(s3, bucket, "key")
    sending.write(b"x" * (17 * MIB))
    assert sending.finish().size == 17 * MIB


def test_the_server_refuses_bytes_that_do_not_have_their_checksum(s3: S3Client, bucket: str) -> None:
    with pytest.raises(S3Error) as caught:
        s3.put_object(bucket, "key", b"x", {"x-amz-checksum-sha256": "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="})
    assert caught.value.status == 400
    assert s3.head(bucket, "key") is None


def test_answers_of_a_real_server_are_read_by_the_short_loop(
    s3: S3Client, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(*_: object) -> t.NoReturn:
        raise AssertionError("the slow parser was used")

    monkeypatch.setattr(LeanResponse, "_begin_again", slow)
    s3.put_object(bucket, "key", b"x")
    assert s3.get_bytes(bucket, "key", 10)[0] == b"x"
    s3.delete(bucket, "key")
    assert s3.head(bucket, "key") is None


def test_over_tls_the_same_requests_work(s3_tls: S3Client) -> None:
    s3_tls.create_bucket("tls")
    sending = MultipartUpload(s3_tls, "tls", "big")
    sending.write(b"x" * (33 * MIB))
    assert sending.finish().size == 33 * MIB
    s3_tls.put_object("tls", "small", b"y", only_if_new=True)
    assert s3_tls.get_bytes("tls", "small", 10)[0] == b"y"


def test_a_certificate_that_nobody_vouches_for_is_refused_with_a_remedy(s3_tls: S3Client) -> None:
    unknown = dataclasses.replace(s3_tls.endpoint, ca_file="")
    with pytest.raises(S3Error, match="set ca_file") as caught:
        S3Client(unknown).head("tls", "key")
    assert caught.value.code == "UntrustedCertificate"
    assert S3Client(dataclasses.replace(unknown, verify_tls=False)).bucket_exists("nonesuch") is False


def test_old_versions_can_be_read_and_deleted_one_by_one(s3: S3Client, versioned_bucket: str) -> None:
    first = s3.put_object(versioned_bucket, "key", b"1").version_id
    second = s3.put_object(versioned_bucket, "key", b"2").version_id
    s3.delete(versioned_bucket, "key")
    assert s3.head(versioned_bucket, "key") is None
    listed = [(entry.version_id, entry.is_delete_marker) for entry in s3.list_versions(versioned_bucket)]
    assert listed[1:] == [(second, False), (first, False)]
    assert listed[0][1]
    assert s3.get_bytes(versioned_bucket, "key", 10, version_id=first)[0] == b"1"
    for version_id, _is_marker in listed:
        s3.delete(versioned_bucket, "key", version_id=version_id)
    assert list(s3.list_versions(versioned_bucket)) == []


def test_ranges_are_read(s3: S3Client, bucket: str) -> None:
    data = random.Random(3).randbytes(3 * MIB)
    s3.put_object(bucket, "key", data)
    for offset, length in ((0, None), (0, 1), (5, 10), (MIB, None), (3 * MIB - 1, 50)):
        download = s3.get_object(bucket, "key", offset=offset, length=length)
        assert b"".join(download) == data[offset : None if length is None else offset + length]
        assert download.stored.size == len(data)


def test_the_clock_of_the_server_is_known_even_without_any_right(s3: S3Client, bucket: str) -> None:
    stranger = S3Client(dataclasses.replace(s3.endpoint, access_key="nobody-knows", secret_key="nobody-knows"))
    for client in (s3, stranger):
        assert abs(client.skew(bucket, "nonesuch").total_seconds()) < 60


def test_a_request_signed_too_long_ago_is_refused_and_without_effect(s3: S3Client, bucket: str) -> None:
    old = clock.now() - clock.dt.timedelta(minutes=16)
    with pytest.raises(S3Error, match="RequestTimeTooSkewed"):
        s3.put_object(bucket, "key", b"x", signed_at=old)
    assert s3.head(bucket, "key") is None


def test_a_host_whose_clock_is_wrong_signs_with_the_time_of_the_server(
    s3: S3Client, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = clock.now
    monkeypatch.setattr(clock, "now", lambda: real() - clock.dt.timedelta(hours=3))
    s3.put_object(bucket, "key", b"x")
    assert s3.skew(bucket, "key") > clock.dt.timedelta(hours=2, minutes=59)


def test_a_presigned_url_serves_one_object_to_anybody(s3: S3Client, bucket: str) -> None:
    s3.put_object(bucket, "ä b", b"shared")
    with urllib.request.urlopen(s3.presigned_url("GET", bucket, "ä b", 60)) as answered:
        assert answered.read() == b"shared"


def test_no_document_request_ever_deletes_or_creates_a_bucket(s3: S3Client, bucket: str) -> None:
    for word in ("publicAccessBlock", "logging", "versioning", "nonsense", "acl", "uploads", ""):
        for method in ("DELETE", "PUT"):
            with pytest.raises(UsageError):
                s3.document(method, bucket, word)
    assert s3.bucket_exists(bucket)


def test_a_request_for_an_object_without_a_key_is_never_one_for_its_bucket(s3: S3Client, bucket: str) -> None:
    for request in (lambda: s3.delete(bucket, ""), lambda: s3.put_object("new-bucket", "", b"")):
        with pytest.raises(UsageError):
            request()
    assert s3.bucket_exists(bucket)
    assert not s3.bucket_exists("new-bucket")


def test_documents_are_written_read_and_removed_as_the_server_has_them(s3: S3Client, bucket: str) -> None:
    tags = b"<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>"
    s3.document("PUT", bucket, "tagging", tags)
    assert b"<Key>a</Key><Value>b</Value>" in s3.document("GET", bucket, "tagging")
    s3.document("DELETE", bucket, "tagging")
    with pytest.raises(S3Error) as caught:
        s3.document("GET", bucket, "tagging")
    assert caught.value.code == "NoSuchTagSet"


def test_every_changing_request_passes_its_fault_points(s3: S3Client, bucket: str) -> None:
    seen: list[str] = []
    steps.watch(seen.append)
    try:
        sending = MultipartUpload(s3, bucket, "key")
        sending.write(b"x" * (17 * MIB))
        sending.finish()
        s3.delete(bucket, "key")
    finally:
        steps.unwatch(seen.append)
    kinds = ("begin", "part", "part", "complete", "delete")
    assert sorted(seen) == sorted(f"s3.{kind}.{what}" for kind in kinds for what in ("sent", "answered"))


PEAK = """
import sys
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3.client import S3Client
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3.endpoint import Endpoint
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3.multipart import MultipartUpload
url, access_key, secret_key, bucket = sys.argv[1:5]
client = S3Client(Endpoint(url, access_key=access_key, secret_key=sys.stdin.read()))
sending = MultipartUpload(client, bucket, "peak", int(sys.argv[5]))
for _ in range(400):
    sending.write(bytes(1024 * 1024))
print(sending.finish().size)
for _chunk in client.get_object(bucket, "peak"):
    pass
# Not ru_maxrss: that begins with the size of the process that made this one (getrusage(2)).
print(next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM:")))
"""


@pytest.mark.parametrize("estimate", [0, 100 * 2**30, 300 * 2**30])
def test_memory_does_not_depend_on_the_size_of_the_data(s3: S3Client, bucket: str, estimate: int) -> None:
    endpoint = s3.endpoint
    argv = [sys.executable, "-c", PEAK, endpoint.url, endpoint.access_key, "-", bucket, str(estimate)]
    done = subprocess.run(argv, input=endpoint.secret_key, capture_output=True, text=True, check=True)
    size, peak_kib = map(int, done.stdout.split())
    assert size == 400 * MIB
    assert peak_kib < 160 * 1024
