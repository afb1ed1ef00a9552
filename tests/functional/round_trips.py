# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ways of a bucket through backups: into a repository, out of it into a bucket or a folder, and back."""

from __future__ import annotations

import dataclasses
import json
import typing as t
from pathlib import Path

from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import IncompleteError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host import objects_backup, objects_restore
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.backup_run import BackupResult
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.object_sources import (
    BucketSelection,
    FileSelection,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.objects_choice import Choice
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.objects_destination import (
    Destination,
    Folder,
    Server,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.objects_job import ObjectsJob
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.objects_restore import RestoreRequest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.place import Place
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3.client import S3Client

Remark = t.Tuple[str, str, str]  # noqa: UP006 - evaluated on Python 3.9 as well; key, what, why


@dataclasses.dataclass(frozen=True)
class Brought:
    """What a restore told of single objects."""

    remarks: t.Sequence[Remark]
    is_complete: bool

    @property
    def renamed(self) -> dict[str, str]:
        """Return the other keys that objects lie under, by their true ones."""
        words = "it is written as "
        return {key: why[len(words) :] for key, what, why in self.remarks if what == "renamed"}


def back_up_bucket(client: S3Client, bucket: str, place: Place, job: str, **options: t.Any) -> BackupResult:
    opened = BucketSelection((bucket,)).opened
    return objects_backup.back_up(ObjectsJob(job, "bucket", lambda remark: opened(client, remark), (place,), **options))


def back_up_folder(folder: Path, place: Place, job: str, **options: t.Any) -> BackupResult:
    return objects_backup.back_up(ObjectsJob(job, "files", FileSelection((str(folder),)).opened, (place,), **options))


def restore_to_bucket(
    place: Place, job: str, client: S3Client, collection: str, to: str, scratch: Path, **options: t.Any
) -> Brought:
    return _restored(place, job, Server(client), {collection: to}, scratch, **options)


def restore_to_folder(
    place: Place, job: str, collection: str, folder: Path, scratch: Path, **options: t.Any
) -> Brought:
    return _restored(place, job, Folder(str(folder.parent)), {collection: str(folder)}, scratch, **options)


def _restored(
    place: Place, job: str, destination: Destination, names: t.Mapping[str, str], scratch: Path, **options: t.Any
) -> Brought:
    remarks, is_complete = scratch / f"{job}.remarks", True
    request = RestoreRequest(Choice(job), (place,), destination, map=names, remarks_file=str(remarks), **options)
    try:
        objects_restore.restore(objects_restore.plan(request))
    except IncompleteError:
        is_complete = False
    lines = remarks.read_bytes().splitlines()
    return Brought([tuple(json.loads(line)[1:]) for line in lines], is_complete)
