# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import UsageError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.minio import iam_policy

STATEMENT = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::docs/*"}


def parsed(document):
    return iam_policy.from_text(json.dumps(document), "Cannot write it")


def test_a_document_is_brought_into_the_form_that_minio_takes():
    assert parsed({"Statement": STATEMENT}) == {"Version": "2012-10-17", "Statement": [STATEMENT]}
    given = {"Version": "2012-10-17", "Id": "label", "Statement": [STATEMENT]}
    assert parsed(given) == given


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "{}", '{"Statement": []}', '{"Statement": ["x"]}', '{"Statement": 3}']
)
def test_what_is_no_policy_is_refused(text):
    with pytest.raises(UsageError, match="Cannot write it"):
        iam_policy.from_text(text, "Cannot write it")


@pytest.mark.parametrize("element", ["NotAction", "Principal", "NotPrincipal"])
def test_what_minio_would_drop_or_garble_is_refused(element):
    with pytest.raises(UsageError, match=element):
        parsed({"Statement": [STATEMENT, {**STATEMENT, element: "*"}]})


@pytest.mark.parametrize(
    "one, other",
    [
        ({"Resource": "*"}, {"Resource": ["**"]}),
        ({"Resource": "*"}, {"Resource": ["arn:aws:s3:::*"]}),
        ({"NotResource": ["*"]}, {"NotResource": "**"}),
        ({"Action": ["a:1", "a:2"]}, {"Action": ["a:2", "a:1"]}),
        ({"Sid": "label"}, {}),
        (
            {"Condition": {"Bool": {"aws:SecureTransport": True}}},
            {"Condition": {"Bool": {"aws:SecureTransport": ["true"]}}},
        ),
    ],
)
def test_policies_that_say_the_same_mean_the_same(one, other):
    first, second = ({"Statement": [{**STATEMENT, **each}]} for each in (one, other))
    assert iam_policy.meaning(first) == iam_policy.meaning(second)


@pytest.mark.parametrize(
    "change",
    [{"Effect": "Deny"}, {"Action": "s3:PutObject"}, {"Resource": "*"}, {"Condition": {"Bool": {"a:b": "true"}}}],
)
def test_policies_that_say_something_else_mean_something_else(change):
    first, second = ({"Statement": [{**STATEMENT, **each}]} for each in ({}, change))
    assert iam_policy.meaning(first) != iam_policy.meaning(second)


def test_no_policy_means_nothing():
    assert iam_policy.meaning(None) == ()
