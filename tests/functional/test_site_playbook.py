# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The playbook site where nothing may need root: hosts without an agent, on servers that somebody else runs."""

from __future__ import annotations

import json
import re
import typing as t
from pathlib import Path

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository import identity
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.bucket import BucketStore
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.directory import DirectoryStore
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3.client import S3Client
from ansible_collections.lifeboat.recovery.tests.functional.plays import ran
from ansible_collections.lifeboat.recovery.tests.functional.s3_fixtures import s3, s3_server
from servers import MinioServer

__all__ = ["s3", "s3_server"]

PLAYBOOK = "lifeboat.recovery.site"


@pytest.fixture
def site(tmp_path: Path, s3_server: MinioServer) -> t.Callable[..., str]:
    """Run the playbook and return what it said, which never has the secret."""
    login = {"endpoint_url": s3_server.endpoint, "access_key": s3_server.access_key, "secret_key": s3_server.secret_key}
    given = {
        "lifeboat_agent": False,
        "lifeboat_buckets": [{"name": "playbook-backups", "versioning": "enabled", "tags": {"of": "us"}, **login}],
        "lifeboat_repositories": [
            {"name": "local", "path": str(tmp_path / "backups")},
            {"name": "site", "bucket": "playbook-backups", "prefix": "databases", **login},
        ],
        "lifeboat_create_directories": ["local"],
    }
    inventory = tmp_path / "hosts.json"

    def run(*arguments: str, **variables: t.Any) -> str:
        hosts = {"here": {**given, **variables}}
        inventory.write_text(json.dumps({"lifeboat": {"hosts": hosts}}))
        done = ran(PLAYBOOK, "-i", str(inventory), "-v", *arguments, folder=tmp_path)
        assert done.returncode == 0, done.stdout
        assert s3_server.secret_key not in done.stdout
        assert "already in use" not in done.stdout  # a loop in a loop of the same variable
        return done.stdout

    return run


def changed(said: str) -> int:
    return sum(int(number) for number in re.findall(r"\bchanged=(\d+)", said))


def test_buckets_and_repositories_are_made_once_and_shown_before(
    site: t.Callable[..., str], s3: S3Client, tmp_path: Path
) -> None:
    assert changed(site("--check", "--diff")) == 2
    assert not s3.bucket_exists("playbook-backups") and not (tmp_path / "backups").exists()
    assert changed(site("--diff")) == 2
    for store in (DirectoryStore(str(tmp_path / "backups")), BucketStore(s3, "playbook-backups", "databases")):
        assert identity.find(store) is not None
    assert b"Enabled" in s3.document("GET", "playbook-backups", "versioning")
    assert changed(site()) == 0


def test_a_part_can_be_made_alone(site: t.Callable[..., str], tmp_path: Path) -> None:
    site("--tags", "buckets")
    assert not (tmp_path / "backups").exists()
