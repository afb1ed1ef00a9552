# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Users, groups, policies and access keys on a real MinIO."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import functools
import itertools
import json
import stat

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine import clock
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import (
    GuardRefusal,
    LifeboatError,
    UsageError,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.minio import (
    access_keys,
    admin_cipher,
    canned_policies,
    credentials_file,
    groups,
    iam_policy,
    users,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.minio.access_keys import WantedKey
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.minio.admin import AdminError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.minio.groups import WantedGroup
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.minio.identity_api import (
    Group,
    IdentityApi,
    Proof,
    User,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.minio.users import WantedUser
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3.client import S3Client
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3.failure import S3Error
from ansible_collections.lifeboat.recovery.tests.functional.s3_fixtures import (
    bucket,
    endpoint_of,
    s3,
    s3_server,
    s3_tls_server,
)

__all__ = ["bucket", "s3", "s3_server", "s3_tls_server"]

_numbers = itertools.count(1)
SECRET, OTHER = "canary-secret-one", "canary-secret-two"
DOCUMENT = iam_policy.from_text(
    json.dumps(
        {
            "Id": "label",
            "Statement": [
                {
                    "Sid": "first",
                    "Effect": "Allow",
                    "Action": ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:GetObjectTagging"],
                    "Resource": "*",
                    "Condition": {"Bool": {"aws:SecureTransport": False}, "IpAddress": {"aws:SourceIp": "127.0.0.0/8"}},
                },
                {"Effect": "Allow", "Action": ["admin:ServerInfo", "admin:Prometheus"]},
                {
                    "Effect": "Deny",
                    "Action": "s3:ListBucket",
                    "NotResource": "arn:aws:s3:::docs",
                    "Condition": {"StringLike": {"s3:prefix": ["b/*", "a/*"]}, "NumericLessThan": {"s3:max-keys": 10}},
                },
            ],
        }
    ),
    "Cannot write a policy",
)


@pytest.fixture
def api(s3_server):
    with contextlib.closing(IdentityApi(endpoint_of(s3_server))) as found:
        yield found


@pytest.fixture
def name():
    return f"person-{next(_numbers)}"


def done(plan, api):
    """Apply a plan as a task does, and return whether something was changed."""
    if plan.changed:
        plan.apply(api)
    return plan.changed


def ensure(api, *names, **wanted):
    """Make users alike."""
    for each in names:
        done(users.plan_present(api, WantedUser(each, **{"secret": SECRET, **wanted})), api)


def signs(api, name, secret=SECRET):
    return api.proof(name, secret)


# Users


def test_a_user_is_created_once_and_then_found_unchanged(api, name):
    wanted = WantedUser(name, SECRET, True, ("readonly", "diagnostics"))
    assert done(users.plan_present(api, wanted), api)
    assert [users.plan_present(api, wanted).changed for _number in range(2)] == [False] * 2
    assert api.user(name) == User(True, ("diagnostics", "readonly"))
    assert signs(api, name) is Proof.WORKS


def test_a_plan_for_a_user_changes_nothing(api, name):
    plan = users.plan_present(api, WantedUser(name, SECRET, policies=("readonly",)))
    assert plan.changed and api.user(name) is None
    ensure(api, name)
    assert users.plan_present(api, WantedUser(name, OTHER, False, ("readonly",))).changed
    assert users.plan_absent(api, name).changed
    assert (api.user(name), signs(api, name)) == (User(), Proof.WORKS)


def test_a_secret_is_changed_only_where_it_does_not_work(api, name):
    ensure(api, name, policies=("readonly",))
    plan = users.plan_present(api, WantedUser(name, OTHER))
    assert plan.changed and OTHER not in repr(plan) + str(plan.diff()) + str(plan.result())
    assert done(plan, api)
    assert (signs(api, name, OTHER), signs(api, name)) == (Proof.WORKS, Proof.WRONG)
    assert api.user(name).policies == ("readonly",)
    assert not users.plan_present(api, WantedUser(name, OTHER)).changed
    assert not users.plan_present(api, WantedUser(name)).changed


def test_the_secret_of_a_disabled_user_is_let_be_until_the_user_is_enabled(api, name):
    ensure(api, name, is_enabled=False)
    assert signs(api, name) is Proof.HIDDEN
    assert not users.plan_present(api, WantedUser(name, OTHER, False)).changed
    assert not users.plan_present(api, WantedUser(name, OTHER)).changed
    assert done(users.plan_present(api, WantedUser(name, OTHER, True)), api)
    assert signs(api, name, OTHER) is Proof.WORKS
    assert done(users.plan_present(api, WantedUser(name, OTHER, False)), api)
    assert signs(api, name, OTHER) is Proof.HIDDEN


def test_policies_replace_others_or_come_beside_them(api, name):
    ensure(api, name, policies=("readonly",))
    ensure(api, name, policies=("diagnostics",), appends=True)
    assert api.user(name).policies == ("diagnostics", "readonly")
    ensure(api, name, policies=("writeonly",))
    assert api.user(name).policies == ("writeonly",)
    ensure(api, name)
    assert api.user(name).policies == ("writeonly",)
    ensure(api, name, policies=())
    assert api.user(name).policies == ()


def test_a_disabled_user_keeps_its_policies_and_takes_no_others(api, name):
    made = WantedUser(name, SECRET, False, ("readonly",))
    assert done(users.plan_present(api, made), api) and not users.plan_present(api, made).changed
    assert api.user(name) == User(False, ("readonly",))
    with pytest.raises(UsageError, match="disabled"):
        users.plan_present(api, WantedUser(name, policies=("writeonly",)))
    with pytest.raises(AdminError, match="XMinioAdminNoSuchUser"):
        api.attach(["writeonly"], user=name)
    assert done(users.plan_present(api, WantedUser(name, SECRET, True, ("writeonly",))), api)
    assert done(users.plan_present(api, WantedUser(name, SECRET, False, ("readonly",))), api)
    assert api.user(name) == User(False, ("readonly",))


def test_a_missing_policy_is_told_before_anything_is_written(api, name):
    plan = users.plan_present(api, WantedUser(name, SECRET, policies=("not-there", "readonly")))
    assert "not-there" in plan.result()["warnings"][0]
    with pytest.raises(UsageError, match="no policy not-there"):
        plan.apply(api)
    assert api.user(name) is None


def test_with_a_user_go_its_access_keys(api, name):
    ensure(api, name)
    key = WantedKey(f"{name}-key", SECRET, name)
    done(access_keys.plan_present(api, key), api)
    plan = users.plan_absent(api, name)
    assert plan.result()["removed_access_keys"] == [key.key_id]
    assert done(plan, api)
    assert api.access_key(key.key_id) is None
    assert not users.plan_absent(api, name).changed


def test_nobody_can_lock_himself_out(api, s3_server, name):
    ensure(api, name, policies=("consoleAdmin",))
    key = WantedKey(f"{name}-key", SECRET, name)
    done(access_keys.plan_present(api, key), api)
    for access_key in (name, key.key_id):
        own = IdentityApi(dataclasses.replace(endpoint_of(s3_server), access_key=access_key, secret_key=SECRET))
        with contextlib.closing(own):
            refuses_to_lock_out(functools.partial(users.plan_absent, own, name))
            for wanted in (WantedUser(name, is_enabled=False), WantedUser(name, OTHER)):
                refuses_to_lock_out(functools.partial(users.plan_present, own, wanted))
            assert not users.plan_present(own, WantedUser(name, SECRET, True)).changed
            if access_key == key.key_id:
                refuses_to_lock_out(functools.partial(access_keys.plan_absent, own, key))


def refuses_to_lock_out(plan):
    with pytest.raises(GuardRefusal, match="lock itself out") as error:
        plan()
    assert error.value.guard == "own_key"


def test_the_root_user_is_no_user(api, s3_server):
    with pytest.raises(UsageError, match="root user"):
        users.plan_present(api, WantedUser(s3_server.access_key, SECRET))


# Groups


def test_a_group_is_created_once_and_then_found_unchanged(api, name):
    ensure(api, f"{name}-a", f"{name}-b")
    wanted = WantedGroup(name, True, (f"{name}-b", f"{name}-a"), ("readonly", "diagnostics"))
    assert done(groups.plan_present(api, wanted), api)
    assert [groups.plan_present(api, wanted).changed for _number in range(2)] == [False] * 2
    assert api.group(name) == Group(True, (f"{name}-a", f"{name}-b"), ("diagnostics", "readonly"))
    assert api.user(f"{name}-a").groups == (name,)


def test_members_and_policies_replace_others_or_come_beside_them(api, name):
    ensure(api, f"{name}-a", f"{name}-b")
    done(groups.plan_present(api, WantedGroup(name, members=(f"{name}-a",), policies=("readonly",))), api)
    more = WantedGroup(name, members=(f"{name}-b",), policies=("writeonly",), appends=True)
    assert groups.plan_present(api, more).changed and len(api.group(name).members) == 1
    assert done(groups.plan_present(api, more), api) and not groups.plan_present(api, more).changed
    assert api.group(name) == Group(True, (f"{name}-a", f"{name}-b"), ("readonly", "writeonly"))
    fewer = WantedGroup(name, members=(), policies=())
    assert done(groups.plan_present(api, fewer), api) and not groups.plan_present(api, fewer).changed
    assert api.group(name) == Group()


def test_a_disabled_group_keeps_its_policies_and_takes_no_others(api, name):
    ensure(api, name)
    made = WantedGroup(name, False, (name,), ("readonly",))
    assert done(groups.plan_present(api, made), api) and not groups.plan_present(api, made).changed
    assert api.group(name) == Group(False, (name,), ("readonly",))
    with pytest.raises(UsageError, match="disabled"):
        groups.plan_present(api, WantedGroup(name, policies=("writeonly",)))
    assert done(groups.plan_present(api, WantedGroup(name, True, policies=("writeonly",))), api)
    assert done(groups.plan_present(api, WantedGroup(name, False, policies=("readonly",))), api)
    assert api.group(name) == Group(False, (name,), ("readonly",))


def test_a_missing_member_is_told_before_anything_is_written(api, name):
    plan = groups.plan_present(api, WantedGroup(name, members=("nobody-at-all",)))
    assert "nobody-at-all" in plan.result()["warnings"][0]
    with pytest.raises(UsageError, match="no user nobody-at-all"):
        plan.apply(api)
    assert api.group(name) is None


def test_a_group_is_removed_with_its_members_taken_out(api, name):
    ensure(api, name)
    done(groups.plan_present(api, WantedGroup(name, members=(name,), policies=("readonly",))), api)
    plan = groups.plan_absent(api, name)
    assert plan.result()["removed_members"] == [name]
    assert done(plan, api) and not groups.plan_absent(api, name).changed
    assert api.user(name) == User()
    assert name not in api.holders("readonly")[1]


# Policies


def test_a_policy_is_written_once_and_then_found_unchanged(api, name):
    assert canned_policies.plan_present(api, name, DOCUMENT).changed and api.policy(name) is None
    assert done(canned_policies.plan_present(api, name, DOCUMENT), api)
    # Often, because MinIO returns lists in an order that changes from answer to answer.
    assert [canned_policies.plan_present(api, name, DOCUMENT).changed for _number in range(10)] == [False] * 10
    other = {**DOCUMENT, "Statement": DOCUMENT["Statement"][:1]}
    assert done(canned_policies.plan_present(api, name, other), api)
    assert done(canned_policies.plan_absent(api, name), api)
    assert not canned_policies.plan_absent(api, name).changed


def test_a_policy_in_use_is_not_removed(api, name):
    done(canned_policies.plan_present(api, name, DOCUMENT), api)
    ensure(api, name, policies=(name,))
    done(groups.plan_present(api, WantedGroup(f"{name}-group", policies=(name,))), api)
    with pytest.raises(GuardRefusal, match=f"user {name}, group {name}-group") as error:
        canned_policies.plan_absent(api, name)
    assert error.value.guard == "policy_in_use"
    with pytest.raises(AdminError, match="XMinioIAMPolicyInUse"):
        api.remove_policy(name)


@pytest.mark.parametrize("built_in", iam_policy.BUILT_IN)
def test_the_server_has_the_policies_that_are_taken_for_its_own(api, built_in):
    found = api.policy(built_in)
    assert found is not None
    assert not canned_policies.plan_present(api, built_in, found).changed
    for refused in (
        lambda: canned_policies.plan_absent(api, built_in),
        lambda: canned_policies.plan_present(api, built_in, DOCUMENT),
    ):
        with pytest.raises(GuardRefusal) as error:
            refused()
        assert error.value.guard == "built_in_policy"


def test_what_the_server_refuses_in_a_policy_is_its_own_words(api, name):
    wrong = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:Nothing", "Resource": "x"}]}
    with pytest.raises(AdminError, match="XMinioMalformedIAMPolicy"):
        canned_policies.plan_present(api, name, wrong).apply(api)


# Access keys


SOON = clock.now().replace(microsecond=0) + dt.timedelta(days=30)
SETTINGS = {
    "policy": DOCUMENT,
    "label": "nightly import",
    "description": "Of the shop.",
    "expires": SOON,
}


@pytest.fixture
def owner(api, name):
    ensure(api, name, policies=("readwrite",))
    return name


def test_an_access_key_is_created_once_and_then_found_unchanged(api, owner):
    wanted = WantedKey(f"{owner}-key", SECRET, owner, {**SETTINGS, "is_enabled": True})
    assert access_keys.plan_present(api, wanted).changed and api.access_key(wanted.key_id) is None
    assert done(access_keys.plan_present(api, wanted), api)
    assert [access_keys.plan_present(api, wanted).changed for _number in range(2)] == [False] * 2
    found = api.access_key(wanted.key_id)
    assert (found.user, found.label, found.expires) == (owner, "nightly import", SETTINGS["expires"])
    assert signs(api, wanted.key_id) is Proof.WORKS


@pytest.mark.parametrize(
    "setting, value",
    [
        ("policy", None),
        ("policy", {**DOCUMENT, "Statement": DOCUMENT["Statement"][:1]}),
        ("label", "another name"),
        ("description", "Another text."),
        ("expires", None),
        ("expires", SOON + dt.timedelta(days=300)),
        ("is_enabled", False),
    ],
)
def test_one_setting_of_an_access_key_is_changed_and_all_others_stay(api, owner, setting, value):
    key_id = f"{owner}-key"
    done(access_keys.plan_present(api, WantedKey(key_id, SECRET, owner, SETTINGS)), api)
    before = api.access_key(key_id)
    wanted = WantedKey(key_id, settings={setting: value})
    assert done(access_keys.plan_present(api, wanted), api)
    assert not access_keys.plan_present(api, wanted).changed
    after = api.access_key(key_id)
    assert iam_policy.meaning(after.policy) == iam_policy.meaning(value if setting == "policy" else DOCUMENT)
    plain = {"policy": None, **({} if setting == "policy" else {setting: value})}
    assert dataclasses.replace(after, policy=None) == dataclasses.replace(before, **plain)


@pytest.mark.parametrize("setting", ["label", "description"])
def test_the_server_cannot_empty_a_text_and_is_not_asked_to(api, owner, setting):
    key_id = f"{owner}-key"
    done(access_keys.plan_present(api, WantedKey(key_id, SECRET, owner, {setting: "text"})), api)
    found = api.access_key(key_id)
    api.update_key(key_id, "", found, dataclasses.replace(found, **{setting: ""}))
    assert api.access_key(key_id) == found
    with pytest.raises(UsageError, match="cannot remove it"):
        access_keys.plan_present(api, WantedKey(key_id, settings={setting: ""}))


def test_the_secret_of_an_access_key_is_changed_only_where_it_does_not_work(api, owner):
    key_id = f"{owner}-key"
    done(access_keys.plan_present(api, WantedKey(key_id, SECRET, owner, SETTINGS)), api)
    plan = access_keys.plan_present(api, WantedKey(key_id, OTHER))
    assert plan.changed and OTHER not in repr(plan) + str(plan.diff()) + str(plan.result())
    assert done(plan, api) and not access_keys.plan_present(api, WantedKey(key_id, OTHER)).changed
    assert (signs(api, key_id, OTHER), signs(api, key_id)) == (Proof.WORKS, Proof.WRONG)
    assert iam_policy.meaning(api.access_key(key_id).policy) == iam_policy.meaning(DOCUMENT)


def test_the_secret_of_a_disabled_access_key_is_let_be_until_it_is_enabled(api, owner):
    off, on = {"is_enabled": False}, {"is_enabled": True}
    key_id = f"{owner}-key"
    done(access_keys.plan_present(api, WantedKey(key_id, SECRET, owner, off)), api)
    assert not access_keys.plan_present(api, WantedKey(key_id, OTHER, settings=off)).changed
    assert done(access_keys.plan_present(api, WantedKey(key_id, OTHER, settings=on)), api)
    assert signs(api, key_id, OTHER) is Proof.WORKS


def test_a_secret_can_be_proved_while_the_user_is_disabled(api, owner):
    wanted = WantedKey(f"{owner}-key", SECRET, owner)
    done(access_keys.plan_present(api, wanted), api)
    ensure(api, owner, is_enabled=False)
    assert not access_keys.plan_present(api, wanted).changed


def test_the_key_of_somebody_else_is_left_alone(api, owner):
    wanted = WantedKey(f"{owner}-key", SECRET, owner)
    done(access_keys.plan_present(api, wanted), api)
    other = dataclasses.replace(wanted, user="somebody", secret=OTHER)
    for refused in (access_keys.plan_present, access_keys.plan_absent):
        with pytest.raises(GuardRefusal, match=f"belongs to user {owner}") as error:
            refused(api, other)
        assert error.value.guard == "key_owner"


def test_a_generated_key_lies_in_its_file_before_it_is_on_the_server(api, owner, tmp_path, monkeypatch):
    wanted = WantedKey(user=owner, path=str(tmp_path / "credentials"))
    plan = access_keys.plan_present(api, wanted)
    assert plan.changed and not list(tmp_path.iterdir())

    def killed(*_given):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(api, "create_key", killed)
        plan.apply(api)
    stored = credentials_file.read(wanted.path)
    assert api.access_key(stored.access_key) is None
    assert done(access_keys.plan_present(api, wanted), api)
    assert not access_keys.plan_present(api, wanted).changed
    assert signs(api, stored.access_key, stored.secret_key) is Proof.WORKS
    assert stat.S_IMODE((tmp_path / "credentials").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["credentials"]


def test_a_generated_key_is_removed_with_its_file(api, owner, tmp_path):
    wanted = WantedKey(user=owner, path=str(tmp_path / "credentials"))
    done(access_keys.plan_present(api, wanted), api)
    key_id = credentials_file.read(wanted.path).access_key
    assert done(access_keys.plan_absent(api, wanted), api)
    assert api.access_key(key_id) is None and not list(tmp_path.iterdir())
    assert not access_keys.plan_absent(api, wanted).changed


def test_a_key_whose_file_is_lost_is_not_given_another_secret(api, owner, tmp_path):
    wanted = WantedKey(f"{owner}-key", user=owner, path=str(tmp_path / "credentials"))
    done(access_keys.plan_present(api, wanted), api)
    stored = credentials_file.read(wanted.path)
    (tmp_path / "credentials").unlink()
    with pytest.raises(UsageError, match="bring the file back"):
        access_keys.plan_present(api, wanted)
    assert signs(api, stored.access_key, stored.secret_key) is Proof.WORKS


def test_a_generated_secret_is_returned_only_once_and_only_when_asked(api, owner):
    wanted = WantedKey(f"{owner}-key", user=owner, returns_secret=True)
    plan = access_keys.plan_present(api, wanted)
    assert "key_secret" not in plan.result()
    answer = plan.apply(api)
    assert signs(api, wanted.key_id, answer["key_secret"]) is Proof.WORKS
    again = access_keys.plan_present(api, wanted)
    assert not again.changed and "key_secret" not in again.result()


def test_a_new_key_belongs_to_the_caller_by_default(api, s3_server, name):
    wanted = WantedKey(f"{name}-key", SECRET)
    assert access_keys.plan_present(api, wanted).result()["user"] == s3_server.access_key
    assert done(access_keys.plan_present(api, wanted), api)
    assert not access_keys.plan_present(api, wanted).changed
    assert done(access_keys.plan_absent(api, wanted), api)


# Everything


@pytest.mark.parametrize("cipher", [admin_cipher.ARGON2_AES, admin_cipher.ARGON2_CHACHA, admin_cipher.PBKDF2_AES])
def test_the_server_takes_a_body_in_each_cipher_and_of_several_chunks(api, s3_server, name, cipher, monkeypatch):
    encrypt = admin_cipher.encrypted
    monkeypatch.setattr(admin_cipher, "encrypted", lambda secret, data: encrypt(secret, data + b" " * 40_000, cipher))
    ensure(api, name)
    assert signs(api, name) is Proof.WORKS
    monkeypatch.setattr(admin_cipher, "encrypted", lambda _secret, data: encrypt("another-secret", data, cipher))
    with pytest.raises(AdminError, match="XMinioAdminConfigBadJSON"):
        api.write_user(name, OTHER, True)


def test_the_admin_api_is_used_over_tls_too(s3_tls_server, name):
    with contextlib.closing(IdentityApi(endpoint_of(s3_tls_server))) as api:
        wanted = WantedUser(name, SECRET, policies=("readonly",))
        assert done(users.plan_present(api, wanted), api)
        assert not users.plan_present(api, wanted).changed


def test_a_caller_without_rights_is_told_so(api, s3_server, name):
    ensure(api, name)
    own = IdentityApi(dataclasses.replace(endpoint_of(s3_server), access_key=name, secret_key=SECRET))
    with contextlib.closing(own), pytest.raises(LifeboatError, match="AccessDenied"):
        users.plan_present(own, WantedUser("somebody", SECRET))


def test_a_user_has_the_rights_of_its_policies_and_no_others(api, s3_server, bucket, name):
    ensure(api, name, policies=("readonly",))
    mine = dataclasses.replace(endpoint_of(s3_server), access_key=name, secret_key=SECRET)
    with contextlib.closing(S3Client(mine)) as client:
        with pytest.raises(S3Error, match="AccessDenied"):
            client.put_object(bucket, "key", b"text")
        ensure(api, name, policies=("readwrite",))
        client.put_object(bucket, "key", b"text")
