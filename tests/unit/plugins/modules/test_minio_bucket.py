# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.minio import bucket
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.minio.bucket_api import Presence
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.minio.bucket_settings import SETTINGS, Found
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3.failure import S3Error
from ansible_collections.lifeboat.recovery.plugins.modules import minio_bucket

CONNECTION = {"endpoint_url": "https://s3.example.com", "access_key": "mine", "secret_key": "canary-secret"}


class Ended(Exception):
    """What ends a module."""

    def __init__(self, failed, answer):
        super().__init__(answer)
        self.failed = failed
        self.answer = answer


class Api:
    """Stands for BucketApi and its client: one server with at most one bucket."""

    def __init__(self):
        self.exists = False
        self.values = {}
        self.versions = []
        self.done = []
        self.client = self

    def presence(self, name):
        return Presence(self.exists, True)

    def read(self, name, names, is_minio):
        assert self.exists
        self.done.append(("read", tuple(sorted(names))))
        return Found(is_minio, **{item: self.values.get(item, getattr(Found(True), item)) for item in names})

    def has_quotas(self, is_minio):
        return is_minio

    def has_object_lock(self, name):
        return False

    def write(self, name, setting, value):
        assert setting in SETTINGS
        self.done.append(("write", setting))
        self.values[setting] = value
        return value

    def create_bucket(self, name, *, object_lock):
        self.done.append(("create", object_lock))
        self.exists = True

    def delete_bucket(self, name):
        if self.versions:
            raise S3Error("Cannot delete", 409, "BucketNotEmpty", "")
        self.done.append(("delete", name))
        self.exists = False

    def list_versions(self, name):
        return iter(self.versions)


@pytest.fixture
def api(monkeypatch):
    server = Api()

    def given_client(params):
        assert params["endpoint_url"] == CONNECTION["endpoint_url"]
        return server

    monkeypatch.setattr(minio_bucket, "client_from", given_client)
    monkeypatch.setattr(minio_bucket, "BucketApi", lambda client: client)
    return server


def run(monkeypatch, check_mode=False, diff=True, **options):
    """Run the module as Ansible does, as far as options and results are concerned."""

    class Module:
        def __init__(self, argument_spec, supports_check_mode, **rules):
            assert supports_check_mode
            outcome = ArgumentSpecValidator(argument_spec, **rules).validate({**CONNECTION, **options})
            if outcome.error_messages:
                self.fail_json(msg="; ".join(outcome.error_messages))
            self.params = outcome.validated_parameters
            self.check_mode = check_mode
            self._diff = diff

        def warn(self, text):
            pass

        def exit_json(self, **answer):
            raise Ended(False, answer)

        def fail_json(self, **answer):
            raise Ended(True, answer)

    monkeypatch.setattr(minio_bucket, "AnsibleModule", Module)
    with pytest.raises(Ended) as end:
        minio_bucket.main()
    return end.value


def test_a_missing_bucket_is_created_with_its_settings(api, monkeypatch):
    end = run(monkeypatch, name="docs", versioning="enabled", tags={"a": "b"})
    assert not end.failed and end.answer["changed"] and end.answer["created"]
    assert api.done == [("create", False), ("write", "versioning"), ("write", "tags")]
    assert end.answer["settings"] == {"versioning": "enabled", "tags": {"a": "b"}}
    assert end.answer["diff"]["before"] == {"state": "absent"}


def test_a_second_run_changes_nothing(api, monkeypatch):
    options = {"name": "docs", "versioning": "enabled", "tags": {"a": "b"}, "quota": "1GB"}
    run(monkeypatch, **options)
    api.done.clear()
    end = run(monkeypatch, **options)
    assert not end.answer["changed"]
    assert api.done == [("read", ("quota", "tags", "versioning"))]
    assert end.answer["diff"]["before"] == end.answer["diff"]["after"]


@pytest.mark.parametrize("exists", [True, False])
def test_check_mode_only_reads(api, monkeypatch, exists):
    api.exists = exists
    end = run(monkeypatch, check_mode=True, name="docs", versioning="enabled")
    assert end.answer["changed"] and end.answer["settings"] == {"versioning": "enabled"}
    assert api.exists == exists
    assert all(step == "read" for step, _what in api.done)


def test_only_settings_that_are_set_are_read(api, monkeypatch):
    api.exists = True
    run(monkeypatch, name="docs", policy="private")
    assert api.done == [("read", ("policy",))]


def test_object_lock_is_given_at_creation(api, monkeypatch):
    retention = {"mode": "compliance", "days": 3}
    run(monkeypatch, name="docs", object_lock=True, default_retention=retention)
    assert api.done == [("create", True), ("write", "default_retention")]


def test_a_refusal_names_the_guard_and_changes_nothing(api, monkeypatch):
    api.exists = True
    end = run(monkeypatch, name="docs", object_lock=True, tags={"a": "b"})
    assert end.failed and end.answer["guard"] == "object_lock"
    assert all(step == "read" for step, _what in api.done)


def test_an_empty_bucket_is_deleted_and_an_absent_one_left(api, monkeypatch):
    api.exists = True
    assert run(monkeypatch, check_mode=True, name="docs", state="absent").answer["changed"]
    assert api.done == []
    end = run(monkeypatch, name="docs", state="absent")
    assert (end.answer["changed"], end.answer["deleted_versions"]) == (True, 0)
    assert not run(monkeypatch, name="docs", state="absent").answer["changed"]
    assert api.done == [("delete", "docs")]


def test_a_full_bucket_is_not_deleted_without_force(api, monkeypatch):
    api.exists, api.versions = True, ["something"]
    end = run(monkeypatch, name="docs", state="absent")
    assert end.failed and end.answer["guard"] == "bucket_not_empty"


def test_force_empties_the_bucket_first(api, monkeypatch):
    api.exists, api.versions = True, ["something"]

    def empty(client, name):
        client.versions = []
        return 1

    monkeypatch.setattr(bucket.bucket_removal, "empty", empty)
    assert run(monkeypatch, check_mode=True, name="docs", state="absent", force=True).answer["changed"]
    assert api.versions
    assert run(monkeypatch, name="docs", state="absent", force=True).answer["deleted_versions"] == 1


def test_an_error_of_the_server_is_a_failure_with_its_code(api, monkeypatch):
    def denied(name):
        raise S3Error("Cannot look at bucket docs", 403, "AccessDenied", "no")

    api.presence = denied
    end = run(monkeypatch, name="docs")
    assert end.failed and "AccessDenied" in end.answer["cause"]


def test_a_wrong_option_is_refused(api, monkeypatch):
    assert run(monkeypatch, name="docs", versioning="on").failed
    assert run(monkeypatch, name="docs", quota="10G").failed
    assert run(monkeypatch, versioning="enabled").failed
