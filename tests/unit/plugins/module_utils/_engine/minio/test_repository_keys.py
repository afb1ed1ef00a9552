# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import fnmatch

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import UsageError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.minio import repository_keys
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.minio.repository_keys import ROLES, document
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.objects import bucket_documents

LOSING = ("s3:DeleteObject", "s3:DeleteObjectVersion", "s3:BypassGovernanceRetention", "s3:DeleteBucket")
FILES = (
    "lifeboat.json",
    "jobs/j.json",
    "intents/j/i.json",
    "manifests/j/i.json",
    "data/j/i/f",
    "verified/j/i/r",
    "plans/j/1.json",
    "recoveries/j/t-s.json",
    "holds/j/i.json",
    "points/s/i.json",
)


def allowed(role, action, key, prefix="pre", bucket="backups"):
    """Say whether a policy allows an action on an object, conditions aside."""
    name = f"arn:aws:s3:::{bucket}/{key}"
    effects = {
        statement["Effect"]
        for statement in document(role, "backups", prefix)["Statement"]
        if action in statement["Action"] and any(fnmatch.fnmatchcase(name, each) for each in statement["Resource"])
    }
    return effects == {"Allow"}


def allowed_files(role, action):
    return {name.partition("/")[0] for name in FILES if allowed(role, action, f"pre/{name}")}


EVERY_FILE = {name.partition("/")[0] for name in FILES}
PRUNED = {"data", "holds", "intents", "manifests", "verified", "plans", "points"}


@pytest.mark.parametrize(
    "role, put, delete",
    [
        ("writer", EVERY_FILE, {"intents"}),
        ("verifier", {"verified"}, set()),
        ("pruner", EVERY_FILE, PRUNED),
        ("locker", set(), set()),
        ("reader", set(), set()),
        ("application", EVERY_FILE, EVERY_FILE),
        ("source", set(), set()),
    ],
)
def test_a_role_writes_and_deletes_where_it_must_and_nowhere_else(role, put, delete):
    assert allowed_files(role, "s3:PutObject") == put
    assert allowed_files(role, "s3:DeleteObject") == delete
    assert allowed_files(role, "s3:GetObject") == EVERY_FILE


@pytest.mark.parametrize("role", ROLES)
def test_no_role_has_any_right_outside_of_its_prefix(role):
    for action in ("s3:GetObject", "s3:PutObject", *LOSING):
        for key in ("other/x", "prefix", "pre", "premanifests/x"):
            assert not allowed(role, action, key)
        assert not allowed(role, action, "pre/manifests/x", bucket="another")


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("prefix", ["", "a/b"])
def test_no_role_may_delete_a_bucket_change_settings_or_use_wildcards_for_actions(role, prefix):
    for statement in document(role, "backups", prefix)["Statement"]:
        for action in statement["Action"]:
            verb = action[len("s3:") :]
            assert "*" not in action
            assert verb.startswith(("Get", "List", "PutObject", "Delete", "Abort"))
            assert action not in LOSING[2:] and action != "s3:PutObjectLegalHold"
            assert action != "s3:PutObjectRetention" or role == "locker"


@pytest.mark.parametrize("role", ROLES)
def test_whoever_writes_writes_no_version_that_is_there(role):
    for statement in document(role, "backups", "pre")["Statement"]:
        if "s3:PutObject" in statement["Action"]:
            # The server refuses the condition beside actions that do not know it.
            assert statement["Action"] == ["s3:PutObject"]
            assert statement["Condition"] == {"StringEquals": {"s3:versionid": ""}}


@pytest.mark.parametrize("role", ["writer", "verifier", "reader", "application", "source"])
def test_only_a_pruner_deletes_for_good(role):
    # Only of intents, with a right that MinIO takes for that to delete versions.
    assert set(allowed_files(role, "s3:DeleteObjectVersion")) == set()


@pytest.mark.parametrize("role", ROLES)
def test_listing_is_bound_to_the_prefix_where_there_is_one(role):
    def conditions(prefix):
        statements = document(role, "backups", prefix)["Statement"]
        return [each.get("Condition") for each in statements if "s3:ListBucket" in each["Action"]]

    assert conditions("a/b/") == [{"StringLike": {"s3:prefix": ["a/b/", "a/b/*"]}}]
    assert conditions("") == [None]


@pytest.mark.parametrize(
    "bucket, prefix",
    [
        ("*", ""),
        ("b?", ""),
        ("", ""),
        ("a/b", ""),
        ("b", "x*"),
        ("b", "${aws:username}"),
        ("b", "a//b"),
        ("b", "../c"),
        ("b", "a\n"),
    ],
)
def test_what_would_mean_more_than_one_place_is_refused(bucket, prefix):
    with pytest.raises(UsageError, match="Cannot make a policy"):
        document("reader", bucket, prefix)


def test_a_source_may_read_every_setting_that_a_backup_keeps_but_the_quota():
    wanted = {right for name, right in bucket_documents._RIGHTS.items() if name != bucket_documents.QUOTA}
    (rights,) = [
        each["Action"] for each in document("source", "backups")["Statement"] if "s3:GetBucketCors" in each["Action"]
    ]
    assert wanted <= set(rights)


def test_every_role_has_a_policy():
    assert set(ROLES) == set(repository_keys._STATEMENTS)
