# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import random

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import UsageError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.minio import policy

WRITTEN = {
    "Version": "2012-10-17",
    "Id": "mine",
    "Statement": [
        {
            "Sid": "Read",
            "Effect": "Allow",
            "Principal": "*",
            "Action": ["s3:GetObject", "s3:ListBucket", "s3:GetBucketLocation"],
            "Resource": ["arn:aws:s3:::docs", "arn:aws:s3:::docs/*"],
            "Condition": {"Bool": {"aws:SecureTransport": True}, "IpAddress": {"aws:SourceIp": "10.0.0.0/8"}},
        }
    ],
}


def as_minio_returns_it(document, seed):
    """Return a policy as MinIO gives it back: lists everywhere, random order, labels changed, statements merged."""
    dice = random.Random(seed)
    statements = []
    for item in document["Statement"]:
        statement = json.loads(json.dumps(item))
        statement["Principal"] = {"AWS": ["*"]}
        for element in ("Action", "Resource"):
            dice.shuffle(statement[element])
        statement["Condition"] = {
            "IpAddress": {"aws:SourceIp": ["10.0.0.0/8"]},
            "Bool": {"aws:SecureTransport": ["true"]},
        }
        statements.append(statement)
    return {"ID": "", "Version": document["Version"], "Statement": statements}


@pytest.mark.parametrize("seed", range(20))
def test_a_policy_means_the_same_however_the_server_orders_it(seed):
    assert policy.meaning(as_minio_returns_it(WRITTEN, seed)) == policy.meaning(WRITTEN)


def test_the_case_of_a_condition_key_does_not_matter():
    condition = {"Bool": {"aws:securetransport": True}, "IpAddress": {"AWS:SourceIp": ["10.0.0.0/8"]}}
    other = {**WRITTEN, "Statement": [{**WRITTEN["Statement"][0], "Condition": condition}]}
    assert policy.meaning(other) == policy.meaning(WRITTEN)


def test_identical_statements_count_once():
    doubled = {**WRITTEN, "Statement": [{**WRITTEN["Statement"][0], "Sid": "Again"}, *WRITTEN["Statement"]]}
    assert policy.meaning(doubled) == policy.meaning(WRITTEN)


def test_a_single_statement_may_stand_without_a_list():
    assert policy.meaning({**WRITTEN, "Statement": WRITTEN["Statement"][0]}) == policy.meaning(WRITTEN)


@pytest.mark.parametrize(
    "element, value",
    [
        ("Effect", "Deny"),
        ("Principal", {"AWS": ["arn:aws:iam::123456789012:root"]}),
        ("Action", ["s3:GetObject"]),
        ("Resource", ["arn:aws:s3:::docs/*"]),
        ("Condition", {"Bool": {"aws:SecureTransport": "false"}, "IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}),
        ("Condition", {}),
        ("NotAction", ["s3:PutObject"]),
        ("Unknown", "element"),
    ],
)
def test_another_effect_principal_action_resource_or_condition_is_another_policy(element, value):
    other = {**WRITTEN, "Statement": [{**WRITTEN["Statement"][0], element: value}]}
    assert policy.meaning(other) != policy.meaning(WRITTEN)


def test_the_number_of_an_account_means_its_root():
    number, arn = (
        {"Statement": [{"Effect": "Allow", "Principal": {"AWS": name}, "Action": "s3:GetObject", "Resource": "*"}]}
        for name in ("123456789012", "arn:aws:iam::123456789012:root")
    )
    assert policy.meaning(number) == policy.meaning(arn)


def test_no_policy_and_a_policy_without_statements_mean_the_same():
    assert policy.from_text('{"Version": "2012-10-17", "Statement": []}', "docs") is None
    assert policy.from_text("private", "docs") is None
    assert policy.meaning(None) == ()


def test_public_read_lists_the_bucket_and_reads_its_objects_but_writes_nothing():
    document = policy.from_text("public-read", "docs")
    allowed = {(action, item["Resource"][0]) for item in document["Statement"] for action in item["Action"]}
    assert allowed == {
        ("s3:GetBucketLocation", "arn:aws:s3:::docs"),
        ("s3:ListBucket", "arn:aws:s3:::docs"),
        ("s3:GetObject", "arn:aws:s3:::docs/*"),
    }


@pytest.mark.parametrize("text", ["publik-read", "{", "[]", '"private"', '{"Statement": ["x"]}', ""])
def test_what_is_no_policy_is_refused(text):
    with pytest.raises(UsageError):
        policy.from_text(text, "docs")


def test_a_deny_is_seen():
    assert policy.denies({"Statement": [{"Effect": "Allow"}, {"Effect": "Deny"}]})
    assert not policy.denies(WRITTEN)
    assert not policy.denies(None)


def test_variables_mean_something_only_in_the_newer_version():
    home = {"Effect": "Allow", "Principal": "*", "Action": "s3:*", "Resource": "arn:aws:s3:::b/${aws:username}/*"}
    plain = {**home, "Resource": "arn:aws:s3:::b/*"}
    for statement, is_same in ((home, False), (plain, True)):
        new = policy.meaning({"Version": "2012-10-17", "Statement": [statement]})
        assert (new == policy.meaning({"Version": "2008-10-17", "Statement": [statement]})) is is_same
