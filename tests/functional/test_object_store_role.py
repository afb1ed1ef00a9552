# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The role object_store in somebody's playbook, on a real MinIO."""

from __future__ import annotations

import contextlib
import dataclasses
import getpass
import grp
import json
import os
import stat

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.minio.identity_api import IdentityApi, Proof
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3.client import S3Client
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3.failure import S3Error
from ansible_collections.lifeboat.recovery.tests.functional.plays import ran
from ansible_collections.lifeboat.recovery.tests.functional.s3_fixtures import endpoint_of, s3, s3_server

__all__ = ["s3", "s3_server"]

SECRET = "canary-consumer-secret"


@pytest.fixture
def play(tmp_path, s3_server):
    """Run the role on this host and return (whether it failed, its text, the tasks that changed something)."""
    playbook = tmp_path / "play.yml"

    def run(*arguments, tasks=(), **variables):
        given = {
            "object_store_endpoint_url": s3_server.endpoint,
            "object_store_access_key": s3_server.access_key,
            "object_store_secret_key": s3_server.secret_key,
        }
        given.update({f"object_store_{name}": value for name, value in variables.items()})
        steps = {"tasks": tasks} if tasks else {"roles": [{"role": "lifeboat.recovery.object_store"}]}
        hosts = {"hosts": "localhost", "connection": "local", "gather_facts": False, "vars": given, **steps}
        playbook.write_text(json.dumps([hosts]))
        done = ran("-i", "localhost,", *arguments, str(playbook), folder=tmp_path)
        said = done.stdout
        tasks = said.split("\nTASK [")[1:]
        changed = [task.partition("]")[0].rpartition(" : ")[2] for task in tasks if "\nchanged: " in task]
        assert SECRET not in said and s3_server.secret_key not in said
        return done.returncode != 0, said, changed

    return run


@pytest.fixture
def api(s3_server):
    with contextlib.closing(IdentityApi(endpoint_of(s3_server))) as found:
        yield found


def wanted(tmp_path):
    """Return a shop with its bucket and its environment files."""
    owner = {"owner": getpass.getuser(), "group": grp.getgrgid(os.getgid()).gr_name}
    return {
        "buckets": [{"name": "shop-media", "versioning": "enabled"}],
        "consumers": [{"name": "shop", "bucket": "shop-media", "prefix": "media", "secret_key": SECRET}],
        "environments": [
            {"path": str(tmp_path / "s3.env"), "consumer": "shop", "variables": {"MORE": 1}, **owner},
            {"path": str(tmp_path / "local.env"), "storage": "local", **owner},
        ],
    }


def variables(path):
    lines = path.read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def test_the_role_makes_all_once_removes_all_and_shows_it_first(play, api, s3, s3_server, tmp_path):
    given = wanted(tmp_path)
    failed, said, changed = play("--check", "--diff", **given)
    assert not failed, said
    assert len(changed) == 4
    assert api.user("shop") is None and not (tmp_path / "s3.env").exists() and not s3.bucket_exists("shop-media")

    failed, said, changed = play(**given)
    assert not failed, said
    assert len(changed) == 4
    assert api.proof("shop", SECRET) is Proof.WORKS
    found = variables(tmp_path / "s3.env")
    assert found == {
        "USE_S3_STORAGE": "true",
        "AWS_ACCESS_KEY_ID": "shop",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_STORAGE_BUCKET_NAME": "shop-media",
        "AWS_LOCATION": "media",
        "AWS_S3_ENDPOINT_URL": s3_server.endpoint,
        "AWS_S3_REGION_NAME": "us-east-1",
        "MORE": "1",
    }
    assert variables(tmp_path / "local.env") == {"USE_S3_STORAGE": "false"}
    assert {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("s3.env", "local.env")} == {0o600}
    mine = dataclasses.replace(endpoint_of(s3_server), access_key="shop", secret_key=SECRET)
    with contextlib.closing(S3Client(mine)) as shop:
        shop.put_object("shop-media", "media/picture", b"bytes")
        with pytest.raises(S3Error, match="AccessDenied"):
            shop.put_object("shop-media", "elsewhere", b"bytes")

    failed, said, changed = play("--diff", **given)
    assert not failed and changed == [], said

    gone = {name: [{**each, "state": "absent"} for each in items] for name, items in given.items()}
    for each in gone["buckets"]:
        each["force"] = True
    failed, said, changed = play("--check", **gone)
    assert not failed, said
    assert s3.bucket_exists("shop-media") and len(changed) == 3
    failed, said, changed = play(**gone)
    assert not failed, said
    assert not s3.bucket_exists("shop-media") and api.user("shop") is None and api.policy("shop") is None
    assert not (tmp_path / "s3.env").exists() and len(changed) == 4
    failed, said, changed = play(**gone)
    assert not failed and changed == [], said


def test_what_cannot_work_is_refused_before_anything_is_made(play, s3, s3_server, tmp_path):
    path, shop = str(tmp_path / "never.env"), {"name": "never", "bucket": "never-made", "secret_key": SECRET}
    file = {"path": path, "consumer": "never"}
    cases = {
        "Consumer never needs a bucket": {"consumers": [{**shop, "secret_key": "short"}]},
        "never, never twice": {"consumers": [shop, shop]},
        "no consumer can have its name": {"consumers": [{**shop, "name": s3_server.access_key}]},
        "never.env needs a consumer": {"environments": [{"path": path, "consumer": "somebody"}]},
        "never.env holds blanks": {"consumers": [shop], "environments": [{**file, "variables": {"A": "b c"}}]},
        "to reach the server": {"endpoint_url": ""},
        "value of role must be one of": {"consumers": [{**shop, "role": "king"}]},
    }
    tasks = []
    for given in cases.values():
        variables = {f"object_store_{name}": value for name, value in given.items()}
        role = {"name": "lifeboat.recovery.object_store"}
        keep = {"said": "{{ said | default([]) + [ansible_failed_result | to_json] }}"}
        block = [
            {
                "ansible.builtin.include_role": role,
                "vars": {"object_store_buckets": [{"name": "never-made"}], **variables},
            }
        ]
        tasks.append({"block": block, "rescue": [{"ansible.builtin.set_fact": keep}]})
    tasks.append(
        {"ansible.builtin.copy": {"dest": str(tmp_path / "said"), "content": "{{ said | to_json }}", "mode": "0600"}}
    )
    failed, said, _changed = play(tasks=tasks)
    assert not failed, said
    found = json.loads((tmp_path / "said").read_text())
    assert len(found) == len(cases)
    assert [words for words, text in zip(cases, found) if words not in text] == []
    assert not s3.bucket_exists("never-made")
