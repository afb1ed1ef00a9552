# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import hashlib
import http.server
import json
import threading

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine import clock
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import LifeboatError, UsageError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.minio import bucket
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.minio.admin import AdminClient, AdminError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.minio.bucket_api import BucketApi
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.minio.bucket_settings import Wanted
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3.client import S3Client
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3.endpoint import Endpoint

NO_KEY = b"<Error><Code>NoSuchKey</Code><Message>nothing there</Message></Error>"


@pytest.fixture
def server(monkeypatch):
    """Yield a server that gives its `answers`, the last one again and again, and keeps what it was sent."""
    monkeypatch.setattr(clock, "sleep", lambda seconds: None)

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self):
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            self.server.seen.append((self.command, self.path, dict(self.headers.items()), body))
            answers = self.server.answers
            status, data = answers.pop(0) if len(answers) > 1 else answers[0]
            self.send_response(status)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

        do_GET = do_PUT = do_HEAD = answer  # noqa: N815

        def log_message(self, *_args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.seen, running.answers = [], [(200, b"{}")]
        threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
        yield running
        running.shutdown()


def endpoint(server):
    return Endpoint(
        f"http://127.0.0.1:{server.server_port}", access_key="mine", secret_key="canary-secret", max_attempts=3
    )


@pytest.fixture
def admin(server):
    with contextlib.closing(AdminClient(endpoint(server))) as client:
        yield client


@pytest.mark.parametrize(
    "answer, size",
    [
        ({}, 0),
        ({"quota": 0, "size": 0}, 0),
        ({"quota": 7, "quotatype": "hard"}, 7),
        ({"quota": 7, "size": 9}, 9),
        ({"quota": 0, "size": 9}, 9),
    ],
)
def test_a_quota_is_read_from_the_new_field_or_the_old_one(server, admin, answer, size):
    server.answers = [(200, json.dumps(answer).encode())]
    assert admin.quota("docs") == size


def test_a_quota_is_written_to_both_fields_in_a_request_that_says_what_it_carries(server, admin):
    admin.set_quota("a b", 5)
    ((method, path, headers, body),) = server.seen
    assert (method, path) == ("PUT", "/minio/admin/v3/set-bucket-quota?bucket=a%20b")
    assert json.loads(body) == {"quota": 5, "size": 5, "quotatype": "hard"}
    # Without this type some verbs answer 400; the hash must be the one of the body.
    assert headers["content-type"] == "application/octet-stream"
    assert headers["x-amz-content-sha256"] == hashlib.sha256(body).hexdigest()
    assert "canary-secret" not in str(server.seen)


@pytest.mark.parametrize(
    "status, data, words",
    [
        (404, b'{"Code": "NoSuchBucket", "Message": "no bucket"}', r"no bucket \(NoSuchBucket, HTTP 404\)"),
        (403, b'{"Code": "AccessDenied", "Message": "no"}', "AccessDenied"),
        (500, b"<Error><Code>InternalError</Code><Message>broken</Message></Error>", r"broken \(InternalError"),
        (426, b"", "XMinioAdminVersionMismatch"),
        (200, b"<html>", "no JSON object"),
        (200, b"[]", "no JSON object"),
        (405, b"[]", "HTTP 405"),
    ],
)
def test_each_form_of_a_refusal_names_the_code_of_the_server(server, admin, status, data, words):
    server.answers = [(status, data)]
    with pytest.raises(AdminError, match=words) as error:
        admin.quota("docs")
    assert error.value.remedy


def test_a_server_that_is_busy_is_asked_again_and_then_given_up(server, admin):
    server.answers = [(503, b"{}"), (503, b"{}"), (200, b'{"size": 3}')]
    assert admin.quota("docs") == 3
    server.answers = [(503, b"{}")]
    server.seen.clear()
    with pytest.raises(AdminError, match="503"):
        admin.quota("docs")
    assert len(server.seen) == 3


def test_a_server_that_is_not_there_is_a_clear_error():
    nobody = Endpoint("http://127.0.0.1:9", access_key="mine", secret_key="canary-secret", max_attempts=1)
    with contextlib.closing(AdminClient(nobody)) as client, pytest.raises(LifeboatError, match="Cannot read the quota"):
        client.quota("docs")


@pytest.mark.parametrize(
    "status, data, is_there",
    [
        (200, b'{"AccountName": "mine"}', True),
        (200, b"some object", False),
        (200, b'{"other": 1}', False),
        (404, NO_KEY, False),
        (403, b"<Error><Code>AccessDenied</Code></Error>", False),
        (301, b"", False),
        (501, b"", False),
    ],
)
def test_the_admin_api_is_told_from_an_s3_server_that_sees_a_key(server, admin, status, data, is_there):
    server.answers = [(status, data)]
    assert admin.is_there() is is_there
    assert [seen[0] for seen in server.seen] == ["GET"]


def test_a_server_in_trouble_is_not_taken_for_one_without_admin_api(server, admin):
    server.answers = [(500, b"")]
    with pytest.raises(AdminError):
        admin.is_there()


@pytest.mark.parametrize("exists", [True, False])
def test_a_quota_is_refused_on_other_servers_before_anything_is_written(server, exists):
    # To another S3 server the path of the admin API is a key in a bucket named `minio`: a PUT would write there.
    server.answers = [(200 if exists else 404, b""), (404, NO_KEY)]
    with contextlib.closing(S3Client(endpoint(server))) as client, pytest.raises(UsageError, match="no quotas"):
        bucket.plan_present(BucketApi(client), Wanted("docs", quota=5))
    assert [seen[0] for seen in server.seen] == ["HEAD", "GET"]
