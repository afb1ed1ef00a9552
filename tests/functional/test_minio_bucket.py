# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Buckets and their settings on a real MinIO: what it does that would surprise us, as rules that hold."""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import http.server
import itertools
import json
import threading

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import (
    GuardRefusal,
    LifeboatError,
    UsageError,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.minio import bucket, policy
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.minio.admin import AdminClient, AdminError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.minio.bucket_api import BucketApi
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.minio.bucket_settings import (
    NO_RETENTION,
    Retention,
    Wanted,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.minio.lifecycle import LifecycleRule
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3.client import S3Client
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3.endpoint import Endpoint
from ansible_collections.lifeboat.recovery.tests.functional.s3_fixtures import quick_server
from servers import MinioServer

_numbers = itertools.count()


def endpoint_of(server, **changes):
    given = Endpoint(
        server.endpoint,
        access_key=server.access_key,
        secret_key=server.secret_key,
        ca_file=str(server.ca_file or ""),
        max_attempts=2,
    )
    return dataclasses.replace(given, **changes)


@pytest.fixture(scope="module")
def server():
    with quick_server("lbs-") as running:
        yield running


@pytest.fixture
def api(server):
    client = S3Client(endpoint_of(server))
    yield BucketApi(client)
    client.close()


@pytest.fixture
def name():
    return f"bucket-{next(_numbers)}"


def ensure(api, wanted):
    """Plan and apply, and return whether something was changed."""
    plan = bucket.plan_present(api, wanted)
    if plan.changed:
        plan.apply(api)
    return plan.changed


def remove(api, name, force=True):
    bucket.plan_absent(api, name, force).apply(api)


RULES = (
    LifecycleRule(id="old", noncurrent_days=90, newer_noncurrent_versions=2),
    LifecycleRule(expired_object_delete_marker=True),
    LifecycleRule(prefix="tmp/", tags=(("a", "1"), ("b", "2")), min_size=10, expiration_days=7),
    LifecycleRule(id="date", enabled=False, prefix="x", expiration_date="2035-12-31"),
    LifecycleRule(id="size", max_size=1000, expiration_days=1),
    LifecycleRule(id="tag", tags=(("only", "one"),), expiration_days=1),
)
POLICY = json.dumps(
    {
        "Version": "2012-10-17",
        "Id": "label",
        "Statement": [
            {
                "Sid": "first",
                "Effect": "Allow",
                "Principal": "*",
                "Action": ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:GetObjectTagging"],
                "Resource": "arn:aws:s3:::{name}/*",
                "Condition": {"Bool": {"aws:SecureTransport": True}, "IpAddress": {"aws:SourceIp": "10.0.0.0/8"}},
            },
            {
                "Effect": "Allow",
                "Principal": {"AWS": "*"},
                "Action": "s3:ListBucket",
                "Resource": ["arn:aws:s3:::{name}"],
                "Condition": {"StringLike": {"s3:prefix": ["b/*", "a/*"]}, "NumericLessThan": {"s3:max-keys": 10}},
            },
        ],
    }
)


@pytest.mark.parametrize(
    "settings",
    [
        {"versioning": "Enabled"},
        {"versioning": "Suspended"},
        {"lifecycle": RULES},
        {"policy": POLICY},
        {"policy": "public-read"},
        {"policy": "public-download"},
        {"tags": {"b": "2", "a": "1 +-=._:/@", "empty": ""}},
        {"quota": 10**12},
        {"object_lock": True, "default_retention": Retention("COMPLIANCE", days=3)},
        {"object_lock": True, "default_retention": Retention("GOVERNANCE", years=1), "versioning": "Enabled"},
    ],
    ids="+".join,
)
def test_a_setting_is_applied_once_and_then_found_unchanged(api, name, settings):
    if "policy" in settings:
        settings = {"policy": settings["policy"].replace("{name}", name)}
    wanted = Wanted(name, **settings)
    assert ensure(api, wanted)
    # Often, because MinIO returns lists in an order that changes from answer to answer.
    assert [ensure(api, wanted) for _ignored in range(10)] == [False] * 10


def test_a_plan_alone_changes_nothing(api, name):
    ensure(api, Wanted(name, tags={"a": "b"}))
    wanted = Wanted(name, versioning="Enabled", tags={}, quota=5, policy="public-read", lifecycle=RULES)
    before = bucket.described(api, name, ["versioning", "tags", "quota", "policy", "lifecycle"])
    assert bucket.plan_present(api, wanted).changed
    assert bucket.plan_present(api, Wanted("never-created", versioning="Enabled")).changed
    assert bucket.described(api, name, ["versioning", "tags", "quota", "policy", "lifecycle"]) == before
    assert not api.presence("never-created").exists


def test_what_is_not_wanted_stays_as_it_is(api, name):
    ensure(api, Wanted(name, versioning="Enabled", tags={"a": "b"}, quota=10**9, policy="public-read", lifecycle=RULES))
    assert ensure(api, Wanted(name, tags={"c": "d"}))
    (row,) = bucket.described(api, name, ["versioning", "tags", "quota", "lifecycle"])
    assert (row["versioning"], row["tags"], row["quota"]) == ("enabled", {"c": "d"}, 10**9)
    assert len(row["lifecycle"]) == len(RULES)


def test_removing_every_setting_leaves_the_empty_bucket_there(api, name):
    # A DELETE with a word that MinIO does not know deletes an empty bucket; a PUT with one creates it.
    ensure(api, Wanted(name, tags={"a": "b"}, quota=10**9, policy="public-read", lifecycle=RULES))
    nothing = Wanted(name, tags={}, quota=0, policy="private", lifecycle=())
    assert ensure(api, nothing)
    assert api.presence(name).exists
    assert not ensure(api, nothing)
    (row,) = bucket.described(api, name, ["tags", "quota", "policy", "lifecycle"])
    assert row == {"name": name, "tags": {}, "quota": 0, "policy": None, "lifecycle": []}


def test_tags_that_were_put_empty_are_the_same_as_none(api, name):
    ensure(api, Wanted(name))
    api.client.document("PUT", name, "tagging", b"<Tagging><TagSet></TagSet></Tagging>")
    assert not ensure(api, Wanted(name, tags={}))


def test_a_rule_with_what_this_collection_does_not_know_is_replaced(api, name):
    ensure(api, Wanted(name))
    api.client.document(
        "PUT",
        name,
        "lifecycle",
        b"<LifecycleConfiguration><Rule><ID>a</ID><Status>Enabled</Status><Filter/><Expiration><Days>1</Days>"
        b"<ExpiredObjectAllVersions>true</ExpiredObjectAllVersions></Expiration></Rule></LifecycleConfiguration>",
    )
    wanted = Wanted(name, lifecycle=(LifecycleRule(id="a", expiration_days=1),))
    assert ensure(api, wanted)
    assert not ensure(api, wanted)


def test_object_lock_cannot_be_added_later_and_nothing_else_is_changed(api, name):
    ensure(api, Wanted(name, versioning="Enabled"))
    with pytest.raises(GuardRefusal, match="object lock"):
        ensure(api, Wanted(name, object_lock=True, tags={"a": "b"}))
    with pytest.raises(GuardRefusal, match="no object lock"):
        ensure(api, Wanted(name, default_retention=Retention("GOVERNANCE", days=1), tags={"a": "b"}))
    assert bucket.described(api, name, ["tags"]) == [{"name": name, "tags": {}}]


def test_versioning_of_a_locked_bucket_cannot_be_suspended(api, name):
    ensure(api, Wanted(name, object_lock=True))
    with pytest.raises(GuardRefusal, match="object lock"):
        ensure(api, Wanted(name, versioning="Suspended"))


def test_a_default_retention_can_be_cleared_and_object_lock_stays(api, name):
    ensure(api, Wanted(name, object_lock=True, default_retention=Retention("GOVERNANCE", days=1)))
    assert ensure(api, Wanted(name, default_retention=NO_RETENTION))
    assert not ensure(api, Wanted(name, default_retention=NO_RETENTION, object_lock=True))


@pytest.mark.parametrize(
    "settings",
    [
        {"lifecycle": (LifecycleRule(expiration_days=1, abort_multipart_days=1),)},
        {"lifecycle": (LifecycleRule(expiration_days=0),)},
        {"tags": {"k": "ä"}},
        {"policy": "{"},
        {"quota": -1},
    ],
)
def test_bad_input_is_refused_before_the_bucket_is_created(api, name, settings):
    with pytest.raises(UsageError):
        ensure(api, Wanted(name, **settings))
    assert not api.presence(name).exists


@pytest.mark.parametrize(
    "settings, code",
    [
        ({"lifecycle": (LifecycleRule(transition_days=1, transition_class="NOTIER"),)}, "InvalidStorageClass"),
        ({"policy": '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow"}]}'}, "MalformedPolicy"),
    ],
)
def test_what_only_the_server_can_refuse_is_reported_with_its_code(api, name, settings, code):
    ensure(api, Wanted(name))
    with pytest.raises(LifeboatError, match=code):
        ensure(api, Wanted(name, **settings))


def test_an_element_of_a_policy_that_the_server_drops_is_an_error(api, name):
    document = policy.canned("public-read", name)
    document["Statement"][0]["Surprise"] = "unknown"
    with pytest.raises(LifeboatError, match="Surprise.*keeps is"):
        ensure(api, Wanted(name, policy=json.dumps(document)))


def test_a_deny_is_warned_about_because_it_binds_no_user(api, name):
    ensure(api, Wanted(name))
    statement = {"Effect": "Deny", "Principal": "*", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{name}/*"}
    wanted = Wanted(name, policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    assert bucket.plan_present(api, wanted).result()["warnings"]
    ensure(api, wanted)
    api.client.put_object(name, "key", b"data")
    assert api.client.get_bytes(name, "key", 10)[0] == b"data"


def test_a_bucket_that_is_not_empty_is_deleted_only_by_force(api, name):
    ensure(api, Wanted(name, versioning="Enabled"))
    for data in (b"1", b"2"):
        api.client.put_object(name, "key", data)
    with pytest.raises(GuardRefusal) as refusal:
        remove(api, name, force=False)
    assert refusal.value.guard == "bucket_not_empty"
    assert bucket.plan_absent(api, name, True).apply(api) == {"deleted_versions": 2}
    assert not api.presence(name).exists
    assert not bucket.plan_absent(api, name, False).changed


def test_a_bucket_with_nothing_but_a_delete_marker_is_not_empty(api, name):
    ensure(api, Wanted(name, versioning="Enabled"))
    api.client.put_object(name, "key", b"1")
    api.client.delete(name, "key")
    (version,) = [entry for entry in api.client.list_versions(name) if not entry.is_delete_marker]
    api.client.delete(name, "key", version_id=version.version_id)
    with pytest.raises(GuardRefusal, match="delete markers"):
        remove(api, name, force=False)
    remove(api, name)


@pytest.mark.parametrize("versioning", [None, "Enabled", "Suspended"])
def test_force_deletes_what_listings_hide_odd_keys_and_uploads(api, name, versioning):
    ensure(api, Wanted(name, versioning=versioning))
    keys = ["p", "p/c", "p/c/d", "q/r", "q", "a b+%20&<>\"'", "tab\t", "line\n", "return\r", "\x01", "ü/", "plain"]
    for key in keys:
        api.client.put_object(name, key, b"x")
    listed = {entry.key for entry in api.client.list_versions(name)}
    assert "p/c" not in listed and "q/r" not in listed  # else this test shows nothing
    api.client.create_upload(name, "unfinished")
    assert bucket.plan_absent(api, name, True).apply(api) == {"deleted_versions": len(keys)}
    assert not api.presence(name).exists


@pytest.mark.parametrize(
    "lock",
    [
        {"x-amz-object-lock-legal-hold": "ON"},
        {"x-amz-object-lock-mode": "GOVERNANCE", "x-amz-object-lock-retain-until-date": "2099-01-01T00:00:00Z"},
        {"x-amz-object-lock-mode": "COMPLIANCE", "x-amz-object-lock-retain-until-date": "2099-01-01T00:00:00Z"},
    ],
    ids=["hold", "governance", "compliance"],
)
def test_locked_objects_stop_a_forced_deletion_before_anything_is_deleted(api, name, lock):
    ensure(api, Wanted(name, object_lock=True))
    for key in ("a", "z"):
        api.client.put_object(name, key, b"free")
    api.client.put_object(name, "locked", b"x", lock)
    with pytest.raises(GuardRefusal, match="'locked'") as refusal:
        remove(api, name)
    assert refusal.value.guard == "object_lock"
    assert len(list(api.client.list_versions(name))) == 3


def test_the_default_retention_locks_what_is_written_and_so_keeps_the_bucket(api, name):
    ensure(api, Wanted(name, object_lock=True, default_retention=Retention("GOVERNANCE", days=1)))
    api.client.put_object(name, "report", b"x")
    with pytest.raises(GuardRefusal, match="'report'.*until 20"):
        remove(api, name)


def test_a_locked_bucket_without_locked_objects_can_be_deleted(api, name):
    ensure(api, Wanted(name, object_lock=True))
    api.client.put_object(name, "a", b"free")
    api.client.delete(name, "a")
    assert bucket.plan_absent(api, name, True).apply(api) == {"deleted_versions": 2}


def test_the_quota_is_written_in_both_fields_and_enforced(api, name):
    ensure(api, Wanted(name, quota=1000))
    with pytest.raises(LifeboatError, match="XMinioAdminBucketQuotaExceeded"):
        api.client.put_object(name, "big", b"x" * 2000)
    ensure(api, Wanted(name, quota=0))
    api.client.put_object(name, "big", b"x" * 2000)


def test_the_admin_api_reports_the_code_of_the_server(server):
    with contextlib.closing(AdminClient(endpoint_of(server))) as admin, pytest.raises(AdminError, match="NoSuchBucket"):
        admin.set_quota("no-such-bucket", 5)
    wrong = AdminClient(endpoint_of(server, secret_key="canary-wrong-secret"))
    with contextlib.closing(wrong) as admin, pytest.raises(AdminError, match="SignatureDoesNotMatch") as error:
        admin.quota("bucket")
    assert "canary-wrong-secret" not in str(error.value)


def test_a_wrong_key_is_told_from_a_missing_bucket(server, name):
    with contextlib.closing(S3Client(endpoint_of(server, secret_key="wrong-secret"))) as client:
        with pytest.raises(LifeboatError, match="403"):
            ensure(BucketApi(client), Wanted(name))
        with pytest.raises(LifeboatError, match="403"):
            bucket.plan_absent(BucketApi(client), name, False)


def test_everything_works_over_tls_and_with_a_region_of_the_servers_own(tmp_path):
    region = {"MINIO_REGION": "eu-lab-1"}
    with MinioServer(tmp_path, tls=True, environment=region) as server:
        wanted = Wanted("docs", versioning="Enabled", tags={"a": "b"}, lifecycle=RULES, quota=10**9)
        with contextlib.closing(S3Client(endpoint_of(server, region="eu-lab-1"))) as client:
            assert ensure(BucketApi(client), wanted)
            assert not ensure(BucketApi(client), wanted)
            assert [row["name"] for row in bucket.described(BucketApi(client), None, [])] == ["docs"]


@pytest.fixture
def anonymous(server):
    """Yield the endpoint of a proxy before the server that hides which make the server is."""

    class Proxy(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def forward(self):
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            with contextlib.closing(http.client.HTTPConnection("127.0.0.1", server.port)) as connection:
                connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
                for field, value in self.headers.items():
                    connection.putheader(field, value)
                connection.endheaders(body)
                answer = connection.getresponse()
                data = answer.read()
            self.send_response_only(answer.status)
            kept = [pair for pair in answer.getheaders() if pair[0].lower() not in ("server", "transfer-encoding")]
            for field, value in kept:
                self.send_header(field, value)
            if "content-length" not in {field.lower() for field, _value in kept}:
                self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = forward  # noqa: N815

        def log_message(self, *_args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as proxy:
        threading.Thread(target=proxy.serve_forever, args=(0.01,), daemon=True).start()
        yield endpoint_of(server, url=f"http://127.0.0.1:{proxy.server_port}")
        proxy.shutdown()


def test_a_dropped_action_is_found_by_reading_back_where_the_make_of_the_server_is_hidden(anonymous, name):
    rules = (LifecycleRule(id="a", expiration_days=5, abort_multipart_days=2),)
    with contextlib.closing(S3Client(anonymous)) as client:
        assert not BucketApi(client).presence(name).is_minio
        with pytest.raises(LifeboatError, match="abort_multipart_days.*keeps is"):
            ensure(BucketApi(client), Wanted(name, lifecycle=rules))


def test_quotas_work_behind_a_proxy_that_hides_the_servers_name(anonymous, name):
    with contextlib.closing(S3Client(anonymous)) as client:
        api = BucketApi(client)
        assert ensure(api, Wanted(name, quota=10**9))
        assert not ensure(api, Wanted(name, quota=10**9))
        assert bucket.described(api, name, ["quota"]) == [{"name": name, "quota": 10**9}]
