# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import datetime as dt
import http.server
import json
import threading
import urllib.parse

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine import clock
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import LifeboatError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.minio import admin_cipher
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.minio.admin import AdminError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.minio.identity_api import (
    AccessKey,
    Group,
    IdentityApi,
    Proof,
    User,
    read_back,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3.endpoint import Endpoint

SECRET = "canary-secret"


def error(code, status):
    return status, json.dumps({"Code": code, "Message": "said the server"}).encode()


def plain(fields):
    return 200, json.dumps(fields).encode()


def sealed(fields):
    return 200, admin_cipher.encrypted(SECRET, json.dumps(fields).encode())


@pytest.fixture
def server(monkeypatch):
    """Yield a server that answers each verb with what stands in `answers`, and keeps what it was sent."""
    monkeypatch.setattr(clock, "sleep", lambda seconds: None)

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self):
            url = urllib.parse.urlsplit(self.path)
            verb = url.path.partition("/v3/")[2]
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            query = dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True))
            self.server.seen.append((self.command, verb, query, body))
            status, data = self.server.answers.get(verb, (200, b""))
            self.send_response(status)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_PUT = do_POST = do_DELETE = answer  # noqa: N815

        def log_message(self, *_args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.seen, running.answers = [], {}
        threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
        yield running
        running.shutdown()


@pytest.fixture
def api(server):
    endpoint = Endpoint(f"http://127.0.0.1:{server.server_port}", access_key="mine", secret_key=SECRET, max_attempts=2)
    with contextlib.closing(IdentityApi(endpoint)) as found:
        yield found


def sent(server):
    """Return method, verb, query and JSON of the only request, decrypted."""
    ((method, verb, query, body),) = server.seen
    assert SECRET.encode() not in body
    try:
        fields = json.loads(body or b"{}")
    except ValueError:
        fields = json.loads(admin_cipher.decrypted(SECRET, body))
    return method, verb, query, fields


@pytest.mark.parametrize(
    "code, status, proof",
    [
        ("SignatureDoesNotMatch", 403, Proof.WRONG),
        ("InvalidAccessKeyId", 403, Proof.HIDDEN),
        ("AccessDenied", 403, Proof.WORKS),
    ],
)
def test_what_the_server_says_of_a_signature_is_the_proof(server, api, code, status, proof):
    server.answers["accountinfo"] = error(code, status)
    assert api.proof("shop", "another-secret") is proof
    server.answers["accountinfo"] = plain({"AccountName": "shop"})
    assert api.proof("shop", "another-secret") is Proof.WORKS


def test_an_answer_that_says_nothing_of_the_signature_is_no_proof(server, api):
    server.answers["accountinfo"] = error("XMinioServerNotInitialized", 500)
    with pytest.raises(AdminError, match="Cannot prove the secret of shop"):
        api.proof("shop", "another-secret")


@pytest.mark.parametrize(
    "verb, code, read",
    [
        ("user-info", "XMinioAdminNoSuchUser", lambda api: api.user("x")),
        ("group", "XMinioAdminNoSuchGroup", lambda api: api.group("x")),
        ("info-canned-policy", "XMinioAdminNoSuchPolicy", lambda api: api.policy("x")),
        ("info-service-account", "XMinioInvalidIAMCredentials", lambda api: api.access_key("x")),
    ],
)
def test_only_minios_own_word_means_that_something_is_not_there(server, api, verb, code, read):
    server.answers[verb] = error(code, 404)
    assert read(api) is None
    for other in ("NoSuchKey", "NoSuchBucket", "AccessDenied", "XMinioAdminNoSuchConfigTarget"):
        server.answers[verb] = error(other, 404)
        with pytest.raises(AdminError, match=other):
            read(api)


def test_a_user_is_read(server, api):
    server.answers["user-info"] = plain({"policyName": "b,a", "status": "enabled", "memberOf": ["z", "y"]})
    assert api.user("a b") == User(True, ("a", "b"), ("y", "z"))
    assert server.seen[0][:3] == ("GET", "user-info", {"accessKey": "a b"})
    server.answers["user-info"] = plain({"status": "disabled"})
    assert api.user("x") == User(False)


def test_a_user_is_never_written_without_a_status(server, api):
    api.write_user("shop", "another-secret", False)
    fields = {"secretKey": "another-secret", "status": "disabled"}
    assert sent(server) == ("PUT", "add-user", {"accessKey": "shop"}, fields)


def test_the_policies_of_a_disabled_group_are_asked_for_elsewhere(server, api):
    server.answers["group"] = plain({"status": "enabled", "members": ["b", "a"], "policy": "p"})
    assert api.group("x") == Group(True, ("a", "b"), ("p",))
    server.answers["group"] = plain({"status": "disabled", "members": None, "policy": ""})
    server.answers["idp/builtin/policy-entities"] = sealed({"groupMappings": [{"group": "x", "policies": ["q", "p"]}]})
    assert api.group("x") == Group(False, (), ("p", "q"))
    server.answers["idp/builtin/policy-entities"] = sealed({})
    assert api.group("x") == Group(False)


def test_a_change_of_policies_that_was_made_already_is_made(server, api):
    server.answers["idp/builtin/policy/attach"] = error("XMinioAdminPolicyChangeAlreadyApplied", 400)
    api.attach(["p"], group="staff")
    assert sent(server) == ("POST", "idp/builtin/policy/attach", {}, {"policies": ["p"], "group": "staff"})
    server.answers["idp/builtin/policy/attach"] = error("XMinioAdminNoSuchPolicy", 404)
    with pytest.raises(AdminError, match="Cannot attach policies p"):
        api.attach(["p"], user="shop")
    server.seen.clear()
    api.detach([], user="shop")
    assert server.seen == []


def test_who_has_a_policy_is_read(server, api):
    mapping = {"policy": "p", "users": ["b", "a"], "groups": None}
    server.answers["idp/builtin/policy-entities"] = sealed({"policyMappings": [mapping]})
    assert api.holders("p") == (("a", "b"), ())
    server.answers["idp/builtin/policy-entities"] = sealed({})
    assert api.holders("p") == ((), ())


END = dt.datetime(2027, 1, 31, 12, tzinfo=clock.UTC)


@pytest.mark.parametrize(
    "fields, key",
    [
        ({"accountStatus": "on", "impliedPolicy": True, "policy": '{"Version": "x"}'}, AccessKey("shop")),
        ({"accountStatus": "off", "impliedPolicy": False, "policy": '{"a": 1}'}, AccessKey("shop", False, {"a": 1})),
        (
            {
                "accountStatus": "on",
                "impliedPolicy": True,
                "name": "n",
                "description": "d",
                "expiration": "2027-01-31T12:00:00Z",
            },
            AccessKey("shop", True, None, "n", "d", END),
        ),
        ({"accountStatus": "on", "impliedPolicy": True, "expiration": "1970-01-01T00:00:00Z"}, AccessKey("shop")),
    ],
)
def test_an_access_key_is_read(server, api, fields, key):
    server.answers["info-service-account"] = sealed({"parentUser": "shop", **fields})
    assert api.access_key("x") == key


@pytest.mark.parametrize(
    "changes, fields",
    [
        ({}, {}),
        ({"is_enabled": False}, {"newStatus": "off"}),
        ({"label": "n"}, {"newName": "n"}),
        ({"description": "d"}, {"newDescription": "d"}),
        ({"expires": END}, {"newExpiration": "2027-01-31T12:00:00Z"}),
    ],
)
@pytest.mark.parametrize("policy", [None, {"Version": "v", "Statement": [{}]}])
def test_the_policy_of_an_access_key_is_sent_with_every_change(server, api, changes, fields, policy):
    # Left out, it would go, and the key would have all rights of its user.
    before = AccessKey("shop", policy=policy)
    api.update_key("x", "", before, AccessKey("shop", **{"policy": policy, **changes}))
    kept = policy or {"Version": "", "Statement": None}
    assert sent(server) == ("POST", "update-service-account", {"accessKey": "x"}, {"newPolicy": kept, **fields})


def test_an_end_is_taken_away_and_a_secret_is_sent(server, api):
    api.update_key("x", "another-secret", AccessKey("shop", expires=END), AccessKey("shop"))
    fields = sent(server)[3]
    assert (fields["newExpiration"], fields["newSecretKey"]) == ("1970-01-01T00:00:00Z", "another-secret")


def test_an_access_key_is_created_with_what_it_has(server, api):
    api.create_key("x", "another-secret", AccessKey("shop"))
    bare = {"targetUser": "shop", "accessKey": "x", "secretKey": "another-secret"}
    assert sent(server) == ("PUT", "add-service-account", {}, bare)
    server.seen.clear()
    api.create_key("x", "another-secret", AccessKey("shop", True, {"a": 1}, "n", "d", END))
    more = {"policy": {"a": 1}, "name": "n", "description": "d", "expiration": "2027-01-31T12:00:00Z"}
    assert sent(server)[3] == {**bare, **more}


def test_what_is_written_late_is_read_back_and_what_is_not_kept_is_told(monkeypatch):
    monkeypatch.setattr(clock, "sleep", lambda seconds: None)
    answers = iter([1, 2, 3])
    assert read_back("Cannot do it", lambda: next(answers), lambda found: found == 3) == 3
    with pytest.raises(LifeboatError, match="what it keeps is 0"):
        read_back("Cannot do it", lambda: 0, bool)


def test_all_users_come_in_one_request(server, api):
    shop = {"policyName": "readonly,shop", "status": "enabled", "memberOf": ["staff"]}
    server.answers["list-users"] = sealed({"shop": shop, "anna": {"status": "disabled"}})
    assert list(api.users_by_name().items()) == [
        ("anna", User(False)),
        ("shop", User(True, ("readonly", "shop"), ("staff",))),
    ]


def test_all_policies_come_in_one_request(server, api):
    server.answers["list-canned-policies"] = plain({"shop": {"Version": "2012-10-17"}, "none": None})
    assert api.policies_by_name() == {"none": {}, "shop": {"Version": "2012-10-17"}}


@pytest.mark.parametrize(("answer", "names"), [(b"null", ()), (b'["staff", "guests"]', ("guests", "staff"))])
def test_the_groups_are_listed(server, api, answer, names):
    server.answers["groups"] = (200, answer)
    assert api.group_names() == names


@pytest.mark.parametrize("answer", [b"<html>", b'{"a": 1}', b"[1]"])
def test_what_is_no_list_of_groups_is_refused(server, api, answer):
    server.answers["groups"] = (200, answer)
    with pytest.raises(AdminError, match="no list of names"):
        api.group_names()


def test_the_access_keys_of_all_users_are_listed(server, api):
    accounts = [{"accessKey": "shop-2"}, {"accessKey": "shop-1"}]
    found = {"shop": {"serviceAccounts": accounts}, "anna": {"serviceAccounts": None}}
    server.answers["list-access-keys-bulk"] = sealed(found)
    assert api.key_names() == ("shop-1", "shop-2")
    assert server.seen[-1][2] == {"listType": "svcacc-only", "all": "true"}
