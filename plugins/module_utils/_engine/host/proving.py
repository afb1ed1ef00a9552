# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import concurrent.futures
import dataclasses
import datetime as dt
import typing as t

from .. import clock
from ..errors import DamagedError, UsageError
from ..repository import layout, proof
from ..repository.intent import host_name
from ..repository.manifest import Manifest, Need
from ..repository.store import ArchivedError, Store, StoreError
from ..repository.stored_files import files_of_need, needs_of
from ..verify.checksum import check_sums
from ..verify.drill_place import DrillPlace
from ..verify.objects_content import check_objects
from ..verify.outcome import Outcome
from ..verify.presence import check_presence
from ..verify.sample import EVERYTHING, Sample

# Tries out whether a backup can be restored, and says what was found, its content included: level restore. It is handed
# in, because few of those who prove backups have all that is needed to restore them.
Drill = t.Callable[[Store, Manifest], Outcome]
_WHOLE = "whole"  # in the report of a record: all that the backup needs is proved
_READERS = 8  # requests at once
_GONE = "it is not there, or not as long as it was"
_SINCE = "whole_since"  # beside it: time after which readings found damage in what the backup needs of others
OBJECT_KINDS = ("bucket", "files")  # kinds of backups that have an index and packs


def prove(
    store: Store,
    manifest: Manifest,
    level: str,
    place: DrillPlace,
    *,
    own_only: bool = False,
    sample: Sample = EVERYTHING,
    drill: Drill | None = None,
    damaged_since: dt.datetime | None = None,
) -> Outcome:
    """Verify a backup at one level and record the verdicts beside its stored files; presence proves nothing, so it is
    not recorded. Raises UnrecordedError where that cannot be done.

    `own_only` is for runs: what earlier backups wrote is whole, that is it was proved before (`whole_since`).
    `sample` chooses among the packs of objects and files at level content. `drill` is what level restore means.
    `damaged_since`: what earlier backups wrote was whole until then, and damage was found since (`shared_since`).
    """
    if level == "presence":
        return check_presence(store, manifest)
    moment = store.now()  # before the reading: what is written while it goes on is not proved by it
    if level == "restore" and drill is not None:
        outcome = drill(store, manifest)
    else:
        outcome = _outcome(store, manifest, level, place, own_only, sample)
    try:
        _record(store, manifest, outcome, moment, sample, damaged_since)
    except StoreError as error:
        raise UnrecordedError(manifest, outcome, error) from error
    return outcome


class UnrecordedError(StoreError):
    """A copy was read, and what was found cannot be recorded beside it; `outcome` is what was found."""

    def __init__(self, manifest: Manifest, outcome: Outcome, why: StoreError) -> None:
        super().__init__(f"Cannot record what was found of {manifest.id} of {manifest.job}", why.summary, why.remedy)
        self.outcome = outcome


def _record(
    store: Store,
    manifest: Manifest,
    outcome: Outcome,
    moment: dt.datetime,
    sample: Sample,
    damaged_since: dt.datetime | None,
) -> None:
    level = outcome.level
    # The backup's own record comes last: it says that the others are there, and a run may be killed between them.
    for owner, verdicts in sorted(outcome.verdicts.items(), key=lambda each: each[0] == manifest.id):
        report: dict[str, t.Any] = dict(outcome.report) if owner == manifest.id else {}
        if report and manifest.kind in OBJECT_KINDS and level == "content" and outcome.is_good and sample == EVERYTHING:
            report[_WHOLE] = True
            if damaged_since is not None:
                report[_SINCE] = clock.to_text(damaged_since)
        told = verdicts if store.keys is None else tuple(_without_names(verdict, level) for verdict in verdicts)
        time = proof.after_known(store, manifest.job, owner, moment)
        proof.write(store, proof.ProofRecord(manifest.job, owner, level, time, host_name(), told, report))


def _without_names(verdict: proof.FileVerdict, level: str) -> proof.FileVerdict:
    """Return a verdict for a record beside encrypted files: what was wrong inside may name tables or objects."""
    if verdict.is_good or level == "checksum":
        return verdict
    return dataclasses.replace(verdict, problem=f"it did not pass at level {level}; whoever verified it was told why")


def whole_since(store: Store, job: str, backup_id: str) -> dt.datetime | None:
    """Return when it was known that all that a backup of objects needs was read back, what earlier backups wrote
    included; None when it is not.

    It is known by its own records alone, however many backups it shares files with: a run that builds on a backup reads
    everything unless that one is whole. A record that seems to be of the future does not tell when it was.
    """
    now = store.now()
    times = [
        _since(each)
        for each in proof.records(store, job, backup_id)
        if each.is_good and each.counts and each.report.get(_WHOLE) and each.time <= now
    ]
    return times[-1] if times else None


def _since(record: proof.ProofRecord) -> dt.datetime:
    try:
        return clock.from_text(str(record.report[_SINCE]))
    except (KeyError, ValueError):
        return record.time


def look_for_shared(store: Store, manifest: Manifest) -> None:
    """Record which stored files that a backup needs of earlier ones are gone or of another size.

    Nobody reads them again with each backup, but a listing shows whether they are there. Raises DamagedError where the
    backup's own list of needs cannot be read.
    """
    job = manifest.job
    sizes = {entry.key: entry.size for entry in store.entries(f"{layout.DATA}{job}/")}

    def lacking(need: Need) -> list[proof.FileVerdict]:
        try:
            files = list(files_of_need(store, manifest, need))
        except ArchivedError:
            return []  # it cannot be read now
        except DamagedError as error:
            return [proof.FileVerdict(layout.FILES, need.files_sha256, False, error.cause or error.problem)]
        gone = (each.file for each in files if sizes.get(each.key(job)) != each.file.facts.stored_size)
        return [proof.FileVerdict(file.name, file.facts.stored_sha256, False, _GONE) for file in gone]

    needs = needs_of(store, manifest)
    with concurrent.futures.ThreadPoolExecutor(_READERS, "shared") as pool:
        found = list(zip(needs, pool.map(lacking, needs)))
    for need, verdicts in found:
        if verdicts:
            moment = proof.after_known(store, job, need.owner, store.now())
            proof.write(store, proof.ProofRecord(job, need.owner, "checksum", moment, host_name(), tuple(verdicts)))


def shared_since(store: Store, manifest: Manifest, since: dt.datetime) -> tuple[tuple[str, ...], bool]:
    """Return what readings since then found of the stored files that a backup needs of earlier ones, and whether all
    of them are read back as they are: not those that were replaced by a copy that ended before its proof.

    Few records are that new, so that this costs a listing and few lists of files. Raises DamagedError where the
    backup's own list of needs cannot be read.
    """
    needs = {need.owner: need for need in needs_of(store, manifest)}
    prefix = f"{layout.VERIFIED}{manifest.job}/"
    owners = {
        entry.key[len(prefix) :].partition("/")[0]
        for entry in store.entries(prefix)
        if entry.modified >= since.replace(microsecond=0)
    }
    found: list[str] = []
    are_read = True
    for owner in sorted(owners & needs.keys()):
        try:
            promised = {
                each.file.name: each.file.facts.stored_sha256 for each in files_of_need(store, manifest, needs[owner])
            }
        except ArchivedError:
            continue  # it cannot be read now, and what lies in an archive was not replaced
        except DamagedError:
            are_read = False  # whoever reads everything records what is wrong
            continue
        standing = proof.judged(promised, proof.records(store, manifest.job, owner))
        found += [f"{owner}/{problem}" for problem in standing.problems]
        are_read = are_read and standing.is_proved
    return tuple(found), are_read


def _outcome(
    store: Store, manifest: Manifest, level: str, place: DrillPlace, own_only: bool, sample: Sample
) -> Outcome:
    if level == "checksum":
        return check_sums(store, manifest, own_only=own_only)
    if level == "content" and manifest.kind in OBJECT_KINDS:
        return check_objects(store, manifest, own_only=own_only, sample=sample, folder=place.folder)
    if level == "content":
        from ..verify.content import check_content  # here: objects do not need it, and it brings all of PostgreSQL

        return check_content(store, manifest, place.bin_dir, place.container)
    if level == "restore":
        raise UsageError(f"Cannot try out a restore of {manifest.id}", "it is not done here", "verify at level restore")
    raise UsageError(f"Cannot verify at level {level!r}", "there is no such level", ", ".join(proof.LEVELS))


def require_good(outcome: Outcome, manifest: Manifest, where: str) -> None:
    """Raise DamagedError when a verification found anything bad."""
    if outcome.is_good:
        return
    raise DamagedError(
        f"Cannot trust backup {manifest.id} of {manifest.job} in {where}",
        "; ".join(outcome.problems[:5]),
        "use another copy or an earlier backup, look for failing hardware, and run the job again",
    )
