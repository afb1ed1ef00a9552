# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
import typing as t

from .. import clock
from ..errors import DamagedError, UsageError
from ..repository import proof
from ..repository.catalog import Backup
from ..repository.intent import host_name
from ..repository.manifest import Manifest
from ..repository.store import Store
from ..verify.checksum import check_sums
from ..verify.content import check_content
from ..verify.objects_content import SEGMENTS, check_objects
from ..verify.objects_restore import Opener, check_objects_restore
from ..verify.outcome import Outcome
from ..verify.presence import check_presence
from ..verify.restore import DrillPlace, check_restore
from ..verify.sample import EVERYTHING, Sample
from ..verify.scratch import Scratch, ScratchFolder
from .candidates import Candidate
from .objects_copy import StoredCopy
from .place import Place

_UNKNOWN = proof.Standing(False, (), None)
_WHOLE = "whole"  # in the report of a record: all that the backup needs is proved
MINIO = "minio"  # kind of backups of a server's identities and settings
OBJECT_KINDS = ("bucket", "files")  # kinds of backups that have an index and packs


def prove(
    store: Store,
    manifest: Manifest,
    level: str,
    place: DrillPlace,
    *,
    own_only: bool = False,
    sample: Sample = EVERYTHING,
    scratch: Scratch | None = None,
    source: Opener | None = None,
) -> Outcome:
    """Verify a backup at one level and record the verdicts beside its stored files; presence proves nothing, so it is
    not recorded.

    `own_only` is for runs: what earlier backups wrote is whole, that is it was proved before (`is_whole`).
    `sample` chooses among the packs of objects and files at level content. At level restore, these go to `scratch`
    (default: a folder in that of `place`), and are compared with the present listing of their `source` where it is
    given.
    """
    if level == "presence":
        return check_presence(store, manifest)
    moment = store.now()  # before the reading: what is written while it goes on is not proved by it
    if level == "restore" and manifest.kind in OBJECT_KINDS:
        outcome = _objects_drill(store, manifest, scratch or ScratchFolder(place.folder), source, place.folder)
    else:
        outcome = _outcome(store, manifest, level, place, own_only, sample)
    # The backup's own record comes last: it says that the others are there, and a run may be killed between them.
    for owner, verdicts in sorted(outcome.verdicts.items(), key=lambda each: each[0] == manifest.id):
        report: dict[str, t.Any] = dict(outcome.report) if owner == manifest.id else {}
        if report and manifest.kind in OBJECT_KINDS and level == "content" and outcome.is_good and sample == EVERYTHING:
            report[_WHOLE] = True
        record = proof.ProofRecord(manifest.job, owner, level, moment, host_name(), verdicts, report)
        proof.write(store, record)
    return outcome


def is_whole(store: Store, job: str, backup_id: str) -> bool:
    """Say whether all that a backup of objects needs was read back, what earlier backups wrote included.

    It is known by its own records alone, however many backups it shares files with: a run that builds on a backup reads
    everything unless that one is whole.
    """
    return any(each.is_good and each.report.get(_WHOLE) for each in proof.records(store, job, backup_id))


def _outcome(
    store: Store, manifest: Manifest, level: str, place: DrillPlace, own_only: bool, sample: Sample
) -> Outcome:
    if level == "checksum":
        return check_sums(store, manifest, own_only=own_only)
    if level == "content" and manifest.kind in OBJECT_KINDS:
        return check_objects(store, manifest, own_only=own_only, sample=sample, folder=place.folder)
    if level == "content":
        return check_content(store, manifest, place.bin_dir, place.container)
    if level == "restore" and manifest.kind == MINIO:
        problem = f"Cannot try a restore of backup {manifest.id} of {manifest.job}"
        raise UsageError(problem, "it would need a server of its own", "verify it at level content")
    if level == "restore":
        return check_restore(store, manifest, place)
    raise UsageError(f"Cannot verify at level {level!r}", "there is no such level", ", ".join(proof.LEVELS))


def _objects_drill(store: Store, manifest: Manifest, scratch: Scratch, source: Opener | None, folder: str) -> Outcome:
    content = check_objects(store, manifest, folder=folder)
    if not content.is_good or all(file.role != SEGMENTS for file in manifest.files):
        return dataclasses.replace(content, level="restore")
    copy = StoredCopy(Candidate(Place(store.name, store), Backup(manifest.job, manifest.id, manifest, _UNKNOWN)))
    return check_objects_restore(manifest, copy, scratch, content, source)


def require_good(outcome: Outcome, manifest: Manifest, where: str) -> None:
    """Raise DamagedError when a verification found anything bad."""
    if outcome.is_good:
        return
    raise DamagedError(
        f"Cannot trust backup {manifest.id} of {manifest.job} in {where}",
        "; ".join(outcome.problems[:5]),
        "use another copy or an earlier backup, look for failing hardware, and run the job again",
    )


def seconds_since(begun: float) -> float:
    """Return the seconds since a reading of the monotonic clock, to the millisecond."""
    return round(clock.monotonic() - begun, 3)
