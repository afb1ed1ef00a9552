# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import datetime as dt
import random
import typing as t
import urllib.parse

import botocore.auth
import botocore.awsrequest
import botocore.config
import botocore.credentials
import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3 import signature
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3.credentials import Credentials

SIGNS = "abcXYZ019-._~/ %+&=?#:;,@!$'()*[]{}|^`\"<>\\äß漢字🚤\u0301\n\t\x01\x7f"
HEADERS = (
    "content-type",
    "content-md5",
    "if-match",
    "if-none-match",
    "range",
    "x-amz-meta-note",
    "x-amz-checksum-crc32",
)
QUERIES = ("prefix", "start-after", "versionId", "partNumber", "uploadId", "list-type", "uploads", "X-Odd-Name", "a b")


def text(chance: random.Random, most: int, signs: str = SIGNS) -> str:
    return "".join(chance.choice(signs) for _ignored in range(chance.randint(1, most)))


def generated(seed: int) -> dict[str, t.Any]:
    chance = random.Random(seed)
    plain = "".join(sign for sign in SIGNS if sign.isprintable() and sign.isascii())
    return {
        "method": chance.choice(("GET", "PUT", "HEAD", "POST", "DELETE")),
        "host": chance.choice(("127.0.0.1:9000", "s3.example.org", "bucket.s3.eu-west-1.amazonaws.com", "[::1]:9000")),
        "path": "/bucket/" + signature.encoded_key(text(chance, 40)),
        "query": [(name, text(chance, 12)) for name in chance.sample(QUERIES, chance.randint(0, 4))],
        "headers": {name: text(chance, 20, plain) for name in chance.sample(HEADERS, chance.randint(0, 5))},
        "body": chance.choice((b"", text(chance, 200).encode())),
        "scheme": chance.choice(("http", "https")),
        "token": chance.choice(("", "session/token+=")),
        "region": chance.choice(("us-east-1", "eu-central-1", "garage")),
        "secret": text(chance, 40, plain),
        "moment": dt.datetime(2026, 1, 1, tzinfo=dt.timezone.utc) + dt.timedelta(seconds=chance.randint(0, 10**8)),
    }


def oracle(made: dict[str, t.Any], monkeypatch: pytest.MonkeyPatch, query: str) -> dict[str, str]:
    for name in ("get_current_datetime", "get_current_datetime_utc"):
        if hasattr(botocore.auth, name):
            monkeypatch.setattr(botocore.auth, name, lambda *_, **__: made["moment"].replace(tzinfo=None))
    keys = botocore.credentials.Credentials("AKID", made["secret"], made["token"] or None)
    url = f"{made['scheme']}://{made['host']}{made['path']}" + (f"?{query}" if query else "")
    request = botocore.awsrequest.AWSRequest(made["method"], url, dict(made["headers"]), made["body"])
    signs_payload = made["scheme"] == "http"
    request.context["client_config"] = botocore.config.Config(s3={"payload_signing_enabled": signs_payload})
    botocore.auth.S3SigV4Auth(keys, "s3", made["region"]).add_auth(request)
    return {name.lower(): value for name, value in request.headers.items()}


def ours(made: dict[str, t.Any], query: str) -> dict[str, str]:
    import hashlib

    payload = hashlib.sha256(made["body"]).hexdigest() if made["scheme"] == "http" else signature.UNSIGNED
    credentials = Credentials("AKID", made["secret"], made["token"])
    return signature.Signer(made["region"]).signed(
        credentials, made["moment"], made["method"], made["host"], made["path"], query, made["headers"], payload
    )


@pytest.mark.parametrize("block", range(8))
def test_signatures_equal_those_of_botocore(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(block * 500, block * 500 + 500):
        made = generated(seed)
        query = signature.encoded_query(made["query"])
        theirs, mine = oracle(made, monkeypatch, query), ours(made, query)
        assert mine["authorization"] == theirs["authorization"], f"seed {seed}"
        assert mine["x-amz-content-sha256"] == theirs["x-amz-content-sha256"], f"seed {seed}"
        assert mine["x-amz-date"] == theirs["x-amz-date"], f"seed {seed}"


def test_one_signer_keeps_keys_of_days_and_credentials_apart() -> None:
    signer = signature.Signer("us-east-1")
    first = Credentials("A", "one")
    for moment in (dt.datetime(2026, 1, day, tzinfo=dt.timezone.utc) for day in (1, 2, 1, 3, 1)):
        for credentials in (first, Credentials("A", "two"), Credentials("B", "one"), first):
            request = (credentials, moment, "GET", "h", "/", "", {}, signature.EMPTY_SHA256)
            assert signer.signed(*request) == signature.Signer("us-east-1").signed(*request)


@pytest.mark.parametrize("token", ["", "to/ken+"])
def test_presigned_queries_equal_those_of_botocore(token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    moment = dt.datetime(2026, 11, 20, 2, 0, tzinfo=dt.timezone.utc)
    for name in ("get_current_datetime", "get_current_datetime_utc"):
        if hasattr(botocore.auth, name):
            monkeypatch.setattr(botocore.auth, name, lambda *_, **__: moment.replace(tzinfo=None))
    path = "/b/" + signature.encoded_key("a b/ä")
    request = botocore.awsrequest.AWSRequest("GET", f"https://h.example{path}", {})
    keys = botocore.credentials.Credentials("AKID", "secret", token or None)
    botocore.auth.S3SigV4QueryAuth(keys, "s3", "us-east-1", expires=600).add_auth(request)
    theirs = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(request.url).query))
    query = signature.Signer("us-east-1").presigned_query(
        Credentials("AKID", "secret", token), moment, "GET", "h.example", path, 600
    )
    assert dict(urllib.parse.parse_qsl(query)) == theirs


def test_credentials_never_show_in_a_representation() -> None:
    assert "very-secret" not in repr(Credentials("very-secret-id", "very-secret", "very-secret-token"))
