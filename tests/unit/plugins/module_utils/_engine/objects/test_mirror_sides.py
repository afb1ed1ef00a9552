# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import hashlib

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects import mirror_bucket_target as target
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.mirror_copy import (
    MOST_PART,
    WHOLE,
    keeps_layout,
    parts_of,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.mirror_files_target import FilesTarget
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.mirror_guards import (
    Location,
    is_same_server,
    left_out,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.mirror_plan import Verdict
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.mirror_sides import Subject
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.object_errors import of_object
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.rows import Item
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects.source import (
    ChangedError,
    ObjectError,
    VanishedError,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3.calls import Part, composite_etag
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3.endpoint import Endpoint
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3.failure import S3Error
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3.object_properties import (
    NO_LOCK,
    Lock,
    ObjectProperties,
)

SECOND = 10**9
NOON = "2026-11-21T12:00:00.000000Z"
NOON_NS = 1795262400 * SECOND


@pytest.mark.parametrize(
    ("changed_s", "ahead_s", "verdict"),
    [
        (-4, 0, Verdict.SAME),
        (-2, 0, Verdict.LOOK),
        (2, 0, Verdict.LOOK),
        (4, 0, Verdict.OTHER),
        (-604, -600, Verdict.SAME),
        (-4, 600, Verdict.OTHER),
        (-602, 600, Verdict.LOOK),
        (-604, 600, Verdict.SAME),
    ],
)
def test_an_object_that_came_later_than_the_last_change_of_its_file_is_the_same(changed_s, ahead_s, verdict):
    """`ahead_s`: by how much the server's clock, by which the object came at noon, is before ours."""
    files = FilesTarget(None, Location("there"))
    files._ahead_ns = ahead_s * SECOND
    item = Item("a", 1, f"4711-{NOON_NS + changed_s * SECOND}", "0")
    assert files.judge(item, Item("a", 1, "", NOON)) is verdict
    assert files.judge(item, Item("a", 2, "", NOON)) is Verdict.OTHER


UNTIL = "2027-01-01T00:00:00.000000Z"
LATER = "2028-01-01T00:00:00.000000Z"


@pytest.mark.parametrize(
    ("own", "wanted", "is_enough"),
    [
        (NO_LOCK, NO_LOCK, True),
        (Lock("GOVERNANCE", UNTIL), NO_LOCK, True),
        (NO_LOCK, Lock("GOVERNANCE", UNTIL), False),
        (Lock("GOVERNANCE", UNTIL), Lock("GOVERNANCE", UNTIL), True),
        (Lock("GOVERNANCE", LATER), Lock("GOVERNANCE", UNTIL), True),
        (Lock("GOVERNANCE", UNTIL), Lock("GOVERNANCE", LATER), False),
        (Lock("COMPLIANCE", UNTIL), Lock("GOVERNANCE", UNTIL), True),
        (Lock("GOVERNANCE", UNTIL), Lock("COMPLIANCE", UNTIL), False),
        (NO_LOCK, Lock(hold=True), False),
        (Lock(hold=True), NO_LOCK, True),
    ],
)
def test_a_lock_is_enough_when_it_keeps_as_long_as_the_source_does(own, wanted, is_enough):
    assert target._is_as_strong(own, wanted) is is_enough


@pytest.mark.parametrize(
    ("words", "keeps"),
    [
        ("<Status>Enabled</Status>", True),
        ("<Status>Suspended</Status>", False),
        ("", False),
        ("<Status>Enabled</Status><ExcludeFolders>true</ExcludeFolders>", False),
        ("<Status>Enabled</Status><ExcludeFolders>false</ExcludeFolders>", True),
        ("<Status>Enabled</Status><ExcludedPrefixes><Prefix>tmp/</Prefix></ExcludedPrefixes>", False),
    ],
)
def test_a_bucket_keeps_versions_only_when_no_key_is_left_out(words, keeps):
    document = f"<VersioningConfiguration>{words}</VersioningConfiguration>"
    assert target._keeps_versions(document.encode()) is keeps


def subject(size, etag, *sizes, comparable=True):
    return Subject(Item("a", size, etag, NOON), ObjectProperties(), sizes, comparable)


@pytest.mark.parametrize(
    ("found", "keeps"),
    [
        (subject(WHOLE, "a" * 32), True),
        (subject(WHOLE + 1, "a" * 32), False),
        (subject(10, "a-2", 5, 5), True),
        (subject(10, "a-2"), False),
        (subject(2 * MOST_PART + 1, "a-2", MOST_PART, MOST_PART, 1), True),
        (subject(2 * MOST_PART + 2, "a-2", MOST_PART + 1, MOST_PART + 1), False),
        (subject(5, "a" * 32, comparable=False), False),
    ],
)
def test_an_object_keeps_its_etag_where_its_layout_can_be_kept(found, keeps):
    assert keeps_layout(found) is keeps
    assert sum(parts_of(found)) == found.item.size
    assert not found.part_sizes or keeps is False or tuple(parts_of(found)) == found.part_sizes


def test_an_etag_of_parts_is_the_md5_of_their_md5s():
    digests = [hashlib.md5(text).hexdigest() for text in (b"one", b"two")]
    expected = hashlib.md5(b"".join(bytes.fromhex(each) for each in digests)).hexdigest()
    assert composite_etag([Part(n, each, "") for n, each in enumerate(digests, 1)]) == f"{expected}-2"
    assert composite_etag([Part(1, "no MD5", "")]) == ""


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (404, "NoSuchKey", VanishedError),
        (412, "PreconditionFailed", ChangedError),
        (400, "KeyTooLongError", ObjectError),
        (403, "AccessDenied", ObjectError),
        (403, "SignatureDoesNotMatch", S3Error),
        (404, "NoSuchBucket", S3Error),
        (507, "XMinioStorageFull", S3Error),
        (503, "SlowDown", S3Error),
        (0, "LostAnswer", S3Error),
    ],
)
def test_errors_of_one_object_are_told_from_those_of_all(status, code, kind):
    found = of_object(S3Error("Cannot write", status, code, "no"))
    assert found.__class__ is kind


def endpoint(url: str = "", region: str = "us-east-1") -> Endpoint:
    return Endpoint(url, region, "reader", "secret-of-it")


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        (endpoint("https://127.0.0.1:9000"), endpoint("https://127.0.0.1:9000"), True),
        (endpoint("https://127.0.0.1:9000"), endpoint("https://127.0.0.1:9001"), False),
        (endpoint("https://127.0.0.1:9000"), endpoint("https://127.0.0.2:9000"), False),
        (endpoint("https://here.example:9000"), endpoint("https://HERE.example:9000"), True),
        (endpoint("https://here.example:9000"), endpoint("https://there.example:9000"), False),
        (endpoint(), endpoint(region="eu-central-1"), True),  # names of buckets are those of all regions
        (endpoint(), endpoint("https://127.0.0.1"), False),
    ],
)
def test_a_server_is_the_same_by_its_name_and_by_its_addresses(monkeypatch, one, other, is_same):
    def addresses(host, port, **_options):
        if not host.startswith("127."):
            raise OSError(f"nobody knows {host}")
        return [(2, 1, 6, "", (host, port))]

    monkeypatch.setattr("socket.getaddrinfo", addresses)
    assert {is_same_server(*pair) for pair in ((one, other), (other, one))} == {is_same}


def test_a_bucket_and_a_folder_never_lie_in_each_other():
    bucket = Location("bucket", endpoint("https://127.0.0.1:9000"), "photos", "")
    folder = Location("folder", path="/")
    assert left_out(bucket, [folder], ()) == left_out(folder, [bucket], ()) == ()
