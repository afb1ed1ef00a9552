# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The playbook for a MinIO server whose data is gone, with the site repository on it; somebody else runs the server."""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
import typing as t

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository import catalog, keyring
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.bucket import BucketStore
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.keyring import Access
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3.client import S3Client
from ansible_collections.lifeboat.recovery.tests.functional.recovery_plays import HOST, REPOSITORY, Lab, running_lab
from ansible_collections.lifeboat.recovery.tests.functional.s3_fixtures import endpoint_of

PLAYBOOK = "lifeboat.recovery.dr.file_storage_loss"
PAPERS = {f"folder/{number}": b"%d" % number * 500 for number in range(12)}
SECRET = "canary-of-the-shop"
TAGS = b"<Tagging><TagSet><Tag><Key>owner</Key><Value>archive</Value></Tag></TagSet></Tagging>"


@pytest.fixture
def encrypted() -> t.Iterator[tuple[Lab, Access]]:
    with running_lab() as running:
        access = running.encrypt()
        running.make_bucket(running.near, "papers", versioned=True)
        running.write("papers", PAPERS)
        with running.client(running.near) as client:
            client.document("PUT", "papers", "tagging", TAGS)
        running.jobs = [running.bucket_job("papers", "site", "offsite")]
        made = running.run("lifeboat.recovery.backup")
        assert made.is_good, made.said
        yield running, access


def inventory(lab: Lab) -> dict[str, t.Any]:
    """Return what the hosts of the group lifeboat_minio have as variables; the group is the one host here."""
    near = lab.near
    return {
        "lifeboat_minio_hosts": HOST,
        "lifeboat_lost_repositories": "site",
        "minio_server_method": "existing",
        "minio_server_existing": "server",
        "minio_server_url": near.endpoint,
        "minio_server_root_user": near.access_key,
        "minio_server_root_password": near.secret_key,
        "object_store_endpoint_url": near.endpoint,
        "object_store_access_key": near.access_key,
        "object_store_secret_key": near.secret_key,
        "object_store_buckets": [
            {"name": "papers", "versioning": "enabled"},
            {"name": REPOSITORY, "versioning": "enabled"},
        ],
        "object_store_consumers": [{"name": "shop", "bucket": "papers", "secret_key": SECRET}],
    }


def lose_everything(lab: Lab) -> None:
    lab.near.stop()
    for drive in lab.near.folder.glob("drive*"):
        shutil.rmtree(drive)


def test_a_server_that_lost_everything_serves_again_and_is_an_encrypted_repository_again(
    encrypted: tuple[Lab, Access],
) -> None:
    lab, access = encrypted
    given = inventory(lab)
    lose_everything(lab)

    ended = lab.run(PLAYBOOK, **given)
    assert not ended.is_good and "lifeboat_confirm=papers" in ended.shown, ended.said
    assert "proved" in ended.shown and "from offsite" in ended.shown and ended.changed == []

    lab.near.start()
    ended = lab.run(PLAYBOOK, **given, lifeboat_confirm="papers")
    assert ended.is_good, ended.said
    assert lab.contents("papers") == PAPERS
    with lab.client(lab.near) as client:
        assert b"archive" in client.document("GET", "papers", "tagging")
        site = BucketStore(client, REPOSITORY, "")
        assert {entry.key.endswith(".enc") for entry in site.entries("data/") if "pack" in entry.key} == {True}
        site.keys = keyring.read(site, access)
        assert [each.is_good for each in catalog.backups(site, "app1-papers")] == [True, True]
    shop = dataclasses.replace(endpoint_of(lab.near), access_key="shop", secret_key=SECRET)
    with contextlib.closing(S3Client(shop)) as client:
        assert client.get_bytes("papers", "folder/3", 1 << 20)[0] == PAPERS["folder/3"]

    ended = lab.run(PLAYBOOK, **given)
    assert ended.is_good and ended.changed == [], ended.said
