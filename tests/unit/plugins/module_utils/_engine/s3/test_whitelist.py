# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import UsageError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3 import whitelist

DANGEROUS = (
    "publicAccessBlock", "ownershipControls", "inventory", "analytics", "metrics", "intelligent-tiering", "logging",
    "accelerate",
    "requestPayment", "acl", "policyStatus", "location", "uploads", "versions", "website", "nonsense", "rename",
    "retention", "legal-hold", "Policy", "policy ", "",
)  # fmt: skip
KEPT = ("versioning", "object-lock", "notification", "cors")


def check(method: str, key: str, *words: str, body: bool = True) -> None:
    whitelist.check(method, "bucket", key, frozenset(words), body)


@pytest.mark.parametrize("word", (*DANGEROUS, *KEPT))
def test_no_delete_is_sent_that_some_server_takes_for_the_deletion_of_the_bucket(word: str) -> None:
    with pytest.raises(UsageError):
        check("DELETE", "", word)


@pytest.mark.parametrize("word", DANGEROUS)
def test_no_put_is_sent_that_some_server_takes_for_the_creation_of_a_bucket(word: str) -> None:
    with pytest.raises(UsageError):
        check("PUT", "", word)


@pytest.mark.parametrize("word", sorted(whitelist.WRITABLE))
def test_a_bucket_document_is_never_put_empty(word: str) -> None:
    check("PUT", "", word)
    with pytest.raises(UsageError):
        check("PUT", "", word, body=False)


@pytest.mark.parametrize("word", sorted({*DANGEROUS, *KEPT, "versionId"} - whitelist.OBJECT_DOCUMENTS))
def test_an_object_is_never_overwritten_by_a_request_for_a_subresource(word: str) -> None:
    with pytest.raises(UsageError):
        check("PUT", "key", word)


@pytest.mark.parametrize("word", sorted(whitelist.OBJECT_DOCUMENTS))
def test_a_document_of_an_object_is_put_alone_and_never_empty(word: str) -> None:
    check("PUT", "key", word)
    check("PUT", "key", word, "versionId")
    for words, body in (((word,), False), ((word, "uploadId"), True), ((word, "partNumber", "uploadId"), True)):
        with pytest.raises(UsageError):
            check("PUT", "key", *words, body=body)
    with pytest.raises(UsageError):
        check("PUT", "key", "tagging", "retention")


@pytest.mark.parametrize("word", (*DANGEROUS, *KEPT, "tagging", "policy"))
def test_an_object_is_never_deleted_by_a_request_for_a_subresource(word: str) -> None:
    with pytest.raises(UsageError):
        check("DELETE", "key", word)


def test_two_words_at_once_are_refused() -> None:
    with pytest.raises(UsageError):
        check("DELETE", "", "policy", "tagging")


@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE", "PATCH"])
def test_nothing_is_changed_without_a_bucket(method: str) -> None:
    with pytest.raises(UsageError):
        whitelist.check(method, "", "", frozenset(), True)


@pytest.mark.parametrize(
    ("method", "key", "words"),
    [
        ("PUT", "", ()), ("DELETE", "", ()), ("DELETE", "", ("policy",)), ("DELETE", "", ("replication",)),
        ("PUT", "k", ()),
        ("PUT", "k", ("partNumber", "uploadId")), ("DELETE", "k", ("versionId",)),
        ("DELETE", "k", ("uploadId",)), ("POST", "k", ("uploads",)),
        ("POST", "k", ("uploadId",)), ("GET", "", ("anything",)),
    ],
)  # fmt: skip
def test_what_every_server_understands_is_sent(method: str, key: str, words: tuple[str, ...]) -> None:
    check(method, key, *words)


def test_an_archived_object_is_asked_for_with_a_document_and_nothing_beside() -> None:
    whitelist.check("POST", "b", "k", frozenset(("restore",)), has_body=True)
    whitelist.check("POST", "b", "k", frozenset(("restore", "versionId")), has_body=True)
    for words, has_body in ((("restore",), False), (("restore", "uploads"), True), (("restore", "acl"), True)):
        with pytest.raises(UsageError):
            whitelist.check("POST", "b", "k", frozenset(words), has_body)
    with pytest.raises(UsageError):
        whitelist.check("PUT", "b", "k", frozenset(("restore",)), has_body=True)
