# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Restores to servers whose listings do not tell whether an object is the same: each object has an ETag of its own,
with KMS keys or because the server makes no MD5 sums, or no metadata are listed.
"""

from __future__ import annotations

import os
import typing as t
from pathlib import Path

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host import objects_backup, objects_restore
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.object_sources import FileSelection
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.objects_choice import Choice
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.objects_destination import Server
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.objects_job import ObjectsJob
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.objects_restore import RestoreRequest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3.client import S3Client
from ansible_collections.lifeboat.recovery.tests.functional.s3_fixtures import KMS, KMS_ENCRYPTION, endpoint_of
from ansible_collections.lifeboat.recovery.tests.functional.test_bucket_makes import versity
from ansible_collections.lifeboat.recovery.tests.functional.test_objects_restore import CONTENTS, World
from servers import MinioServer

__all__ = ["versity"]


@pytest.fixture(scope="module")
def kms(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[S3Client]:
    with MinioServer(tmp_path_factory.mktemp("kms"), environment=KMS) as server:
        client = S3Client(endpoint_of(server))
        yield client
        client.close()


def counts(planned: t.Any) -> dict[str, int]:
    return {action: count for action, count in planned.tally.counts.items() if count}


def harmed(world: World, client: S3Client) -> dict[str, bytes]:
    """Delete twenty objects, write one as it was with a new ETag, and another one with other bytes; return this."""
    keys = sorted(CONTENTS)
    for key in keys[:20]:
        client.delete(world.bucket, key)
    forged = {keys[30]: CONTENTS[keys[30]].swapcase()}
    world.put({**forged, keys[31]: CONTENTS[keys[31]]})
    return forged


def test_a_bucket_that_is_encrypted_with_kms_keys_comes_back_and_a_second_run_writes_nothing(
    kms: S3Client, tmp_path: Path
) -> None:
    world = World(kms, tmp_path)
    kms.document("PUT", world.bucket, "encryption", KMS_ENCRYPTION)
    world.put(CONTENTS)
    world.back_up()
    forged = harmed(world, kms)
    assert counts(world.plan()) == {"write": 20, "overwrite": 1, "keep": len(CONTENTS) - 21}

    result = world.restore_over()

    assert (result.done.written, result.differences) == (21, 0)
    assert world.contents() == CONTENTS
    assert not world.plan().changed
    to = world.new_bucket()
    kms.document("PUT", to, "encryption", KMS_ENCRYPTION)
    assert world.restore(to).differences == 0
    assert world.contents(to) == CONTENTS
    assert not world.plan(to).changed
    world.put(forged, to)
    assert counts(world.plan(to)) == {"overwrite": 1, "keep": len(CONTENTS) - 1}


def test_a_server_that_makes_no_md5_sums_gets_everything_back_and_a_second_run_writes_nothing(tmp_path: Path) -> None:
    with MinioServer(tmp_path / "minio", options=["--no-compat"]) as server:
        client = S3Client(endpoint_of(server))
        world = World(client, tmp_path)
        world.put(CONTENTS)
        world.back_up()
        forged = harmed(world, client)

        result = world.restore_over()

        assert (result.done.written, result.differences) == (21, 0)
        assert world.contents() == CONTENTS
        assert not world.plan().changed
        to = world.new_bucket()
        assert world.restore(to).differences == 0
        assert not world.plan(to).changed
        world.put(forged, to)
        assert counts(world.plan(to)) == {"overwrite": 1, "keep": len(CONTENTS) - 1}
        client.close()


def test_what_was_encrypted_with_kms_keys_comes_to_a_bucket_that_is_not_and_a_second_run_writes_nothing(
    kms: S3Client, tmp_path: Path
) -> None:
    world = World(kms, tmp_path)
    kms.document("PUT", world.bucket, "encryption", KMS_ENCRYPTION)
    world.put(CONTENTS)
    world.back_up()
    to = world.new_bucket()
    assert world.restore(to).differences == 0
    assert world.contents(to) == CONTENTS
    assert not world.plan(to).changed


def test_files_come_to_a_server_that_lists_no_metadata_and_a_second_run_writes_nothing(
    versity: S3Client, tmp_path: Path
) -> None:
    world, root = World(versity, tmp_path), tmp_path / "files"
    (root / "folder").mkdir(parents=True)
    for number in range(40):
        (root / "folder" / f"{number:02}").write_bytes(b"file %02d" % number)
    os.symlink("folder/01", root / "link")
    job = ObjectsJob(world.job, "files", FileSelection((str(root),)).opened, world.places)
    objects_backup.back_up(job)
    to = world.new_bucket()
    request = RestoreRequest(Choice(job.name), world.places, Server(versity), map={str(root): to}, confirm=(to,))

    assert objects_restore.restore(objects_restore.plan(request)).differences == 0
    found = {key: data for key, data in world.contents(to).items() if key.startswith("folder/") and key != "folder/"}
    assert found == {f"folder/{number:02}": b"file %02d" % number for number in range(40)}
    assert not objects_restore.plan(request).changed

    versity.put_object(to, "folder/07", b"FILE 07")
    versity.delete(to, "folder/08")
    assert {name: counts(objects_restore.plan(request)).get(name) for name in ("write", "overwrite")} == {
        "write": 1,
        "overwrite": 1,
    }
    assert objects_restore.restore(objects_restore.plan(request)).done.written == 2
    assert versity.get_bytes(to, "folder/07", 100)[0] == b"file 07"
