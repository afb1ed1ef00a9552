# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine import clock
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import LifeboatError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.minio.bucket_api import BucketApi
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.minio.bucket_settings import (
    NO_RETENTION,
    Found,
    Retention,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.minio.lifecycle import LifecycleRule
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3.failure import S3Error

ABSENT = {
    "lifecycle": "NoSuchLifecycleConfiguration",
    "policy": "NoSuchBucketPolicy",
    "tagging": "NoSuchTagSet",
    "object-lock": "ObjectLockConfigurationNotFoundError",
}
UNVERSIONED = b"<VersioningConfiguration/>"


class Server:
    """Stands for S3Client: keeps one bucket's documents, and answers for what is missing as MinIO does."""

    def __init__(self, **documents):
        self.documents = {"versioning": UNVERSIONED, **documents}
        self.sent = []
        self.keeps = lambda body: body  # what the server makes of a document that is put
        self.stale_reads = 0

    def document(self, method, bucket, subresource, body=b"", headers=None):
        self.sent.append((method, subresource))
        before = dict(self.documents)
        if method == "PUT":
            self.documents[subresource] = self.keeps(body)
            self.before = before
        elif method == "DELETE":
            self.documents.pop(subresource, None)
            self.before = before
        else:
            return self._read(subresource)
        return b""

    def _read(self, subresource):
        documents = self.documents
        if self.stale_reads:
            self.stale_reads -= 1
            documents = self.before
        answer = documents.get(subresource)
        if answer is None:
            raise S3Error("Cannot read", 404, ABSENT[subresource], "")
        if isinstance(answer, S3Error):
            raise answer
        return answer


@pytest.fixture(autouse=True)
def slept(monkeypatch):
    pauses = []
    monkeypatch.setattr(clock, "sleep", pauses.append)
    return pauses


POLICY = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "a", "Resource": "b"}]}
VALUES = [
    ("versioning", "Enabled"),
    ("default_retention", Retention("COMPLIANCE", days=3)),
    ("default_retention", Retention("GOVERNANCE", years=1)),
    ("lifecycle", (LifecycleRule(id="a", expiration_days=1), LifecycleRule(id="b", noncurrent_days=2))),
    ("policy", POLICY),
    ("tags", {"a": "b", "c": "ä <&>"}),
]


@pytest.mark.parametrize("name, value", VALUES)
def test_what_is_written_is_read_back(name, value):
    assert BucketApi(Server()).write("docs", name, value) == value


@pytest.mark.parametrize(
    "name, subresource, value, nothing",
    [
        ("lifecycle", "lifecycle", VALUES[3][1], ()),
        ("policy", "policy", POLICY, None),
        ("tags", "tagging", {"a": "b"}, {}),
    ],
)
def test_a_setting_that_becomes_empty_is_deleted(name, subresource, value, nothing):
    server = Server()
    api = BucketApi(server)
    api.write("docs", name, value)
    assert api.write("docs", name, nothing) == nothing
    assert ("DELETE", subresource) in server.sent


def test_a_retention_is_cleared_without_removing_object_lock():
    server = Server()
    api = BucketApi(server)
    api.write("docs", "default_retention", Retention("GOVERNANCE", days=1))
    assert api.write("docs", "default_retention", NO_RETENTION) == NO_RETENTION
    assert api.has_object_lock("docs")
    assert ("DELETE", "object-lock") not in server.sent


def test_only_documents_with_a_body_are_put():
    # PUT with an unknown word and without a body creates a bucket on MinIO.
    class Strict(Server):
        def document(self, method, bucket, subresource, body=b"", headers=None):
            assert bool(body) == (method == "PUT")
            assert method != "DELETE" or subresource in ("tagging", "policy", "lifecycle")
            return super().document(method, bucket, subresource, body, headers)

    api = BucketApi(Strict())
    for name, value in [
        *VALUES,
        ("lifecycle", ()),
        ("policy", None),
        ("tags", {}),
        ("default_retention", NO_RETENTION),
    ]:
        api.write("docs", name, value)


def test_a_unit_of_a_retention_that_is_named_with_0_is_not_used():
    server = Server()
    server.keeps = lambda body: body.replace(b"</Days>", b"</Days><Years>0</Years>")
    api = BucketApi(server)
    assert api.write("docs", "default_retention", Retention("GOVERNANCE", days=1)) == Retention("GOVERNANCE", days=1)


def test_a_part_that_the_server_dropped_is_an_error_that_says_what_is_kept(slept):
    server = Server()
    server.keeps = lambda body: body.replace(
        b"<AbortIncompleteMultipartUpload><DaysAfterInitiation>2</DaysAfterInitiation></AbortIncompleteMultipartUpload>",
        b"",
    )
    rules = (LifecycleRule(id="a", expiration_days=1, abort_multipart_days=2),)
    with pytest.raises(LifeboatError, match="abort_multipart_days.*keeps is") as error:
        BucketApi(server).write("docs", "lifecycle", rules)
    assert "abort_multipart_days" not in error.value.cause.partition("keeps is")[2]
    assert slept


def test_what_the_server_adds_and_reorders_is_no_error(slept):
    server = Server()
    server.keeps = lambda body: json.dumps(
        {"ID": "x", **POLICY, "Statement": [{**POLICY["Statement"][0], "Principal": {"AWS": ["*"]}, "Action": ["a"]}]}
    ).encode()
    BucketApi(server).write("docs", "policy", POLICY)
    server.keeps = lambda body: body.replace(b"<Rule>", b"<Rule><ID>0c7d</ID>")
    (rule,) = BucketApi(server).write("docs", "lifecycle", (LifecycleRule(expiration_days=1),))
    assert rule.id == "0c7d"
    assert slept == []


def test_an_old_answer_right_after_a_write_is_read_again(slept):
    server = Server()
    server.stale_reads = 2
    assert BucketApi(server).write("docs", "tags", {"a": "b"}) == {"a": "b"}
    assert len(slept) == 2


def test_only_what_is_asked_for_is_read():
    server = Server()
    found = BucketApi(server).read("docs", ["tags"], True)
    assert found == Found(True, None, None, None, None, None, {}, None)
    assert server.sent == [("GET", "tagging")]


def test_a_bucket_without_settings_has_none_of_them():
    found = BucketApi(Server()).read(
        "docs", ["object_lock", "versioning", "default_retention", "lifecycle", "tags"], False
    )
    assert found == Found(False, False, "", NO_RETENTION, (), None, {}, None)


def test_a_setting_that_the_server_does_not_have_matters_only_to_who_wants_it():
    server = Server(lifecycle=S3Error("Cannot read the lifecycle", 501, "NotImplemented", "no"))
    api = BucketApi(server)
    api.has_quotas = lambda is_minio: is_minio
    assert api.read_what_there_is("docs", ["lifecycle", "tags", "quota"], False).lifecycle is None
    assert api.read("docs", ["tags"], False).tags == {}
    with pytest.raises(S3Error, match="NotImplemented"):
        api.read("docs", ["lifecycle"], False)


def test_a_denied_setting_is_never_taken_for_one_that_is_not_there():
    server = Server(lifecycle=S3Error("Cannot read the lifecycle", 403, "AccessDenied", "no"))
    with pytest.raises(S3Error, match="AccessDenied"):
        BucketApi(server).read_what_there_is("docs", ["lifecycle"], False)


def test_a_missing_bucket_is_not_taken_for_a_missing_setting():
    server = Server(lifecycle=S3Error("Cannot read the lifecycle", 404, "NoSuchBucket", "no"))
    with pytest.raises(S3Error, match="NoSuchBucket"):
        BucketApi(server).read("docs", ["lifecycle"], False)


@pytest.mark.parametrize("data", [b"[1]", b"<xml/>", b""])
def test_a_policy_that_is_no_document_is_refused(data):
    with pytest.raises(LifeboatError):
        BucketApi(Server(policy=data)).read("docs", ["policy"], False)
