# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses

from ..errors import UsageError
from ..repository.catalog import Backup
from ..repository.manifest import Manifest
from ..repository.proof import Standing
from ..repository.store import Store
from ..verify.drill_place import DrillPlace
from ..verify.objects_content import SEGMENTS, check_objects
from ..verify.objects_restore import Opener, check_objects_restore
from ..verify.outcome import Outcome
from ..verify.restore import check_restore
from ..verify.scratch import Scratch, ScratchFolder
from .candidates import Candidate
from .job_kinds import MINIO
from .objects_copy import StoredCopy
from .place import Place
from .proving import OBJECT_KINDS

_UNKNOWN = Standing(False, (), None)


def try_out(
    store: Store,
    manifest: Manifest,
    place: DrillPlace,
    scratch: Scratch | None = None,
    source: Opener | None = None,
) -> Outcome:
    """Restore a backup of any kind to where nobody is harmed, and say what was found.

    Objects and files go to `scratch` (default: a folder in that of `place`), and are compared with the present listing
    of their `source` where it is given.
    """
    if manifest.kind == MINIO:
        problem = f"Cannot try a restore of backup {manifest.id} of {manifest.job}"
        raise UsageError(problem, "it would need a server of its own", "verify it at level content")
    if manifest.kind not in OBJECT_KINDS:
        return check_restore(store, manifest, place)
    content = check_objects(store, manifest, folder=place.folder)
    if not content.is_good or all(file.role != SEGMENTS for file in manifest.files):
        return dataclasses.replace(content, level="restore")
    copy = StoredCopy(Candidate(Place(store.name, store), Backup(manifest.job, manifest.id, manifest, _UNKNOWN)))
    return check_objects_restore(manifest, copy, scratch or ScratchFolder(place.folder), content, source)
