# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What runs of all kinds of jobs have in common: the first repository that works, the proof, the copies."""

from __future__ import annotations

import contextlib
import dataclasses
import typing as t

from .. import clock
from ..errors import DamagedError, IncompleteError, LifeboatError
from ..repository import binding, catalog, layout
from ..repository.manifest import Manifest
from ..repository.publish import PublishError, Run
from ..repository.store import Store
from ..repository.stored_files import warnings_of
from ..verify.drill_place import DrillPlace
from ..verify.outcome import Outcome
from .place import Place, Say, is_unusable
from .proving import OBJECT_KINDS, look_for_shared, prove, require_good, shared_since, whole_since
from .receiving import receive
from .unfinished import Unfinished, clean_up

_POLL_S = 0.1


class Job(t.Protocol):
    """What jobs of all kinds say: where to, and how strictly."""

    @property
    def name(self) -> str:
        """Return the job's full name."""

    @property
    def places(self) -> tuple[Place, ...]:
        """Return the repositories: the first that works is written to; the others get copies."""

    @property
    def proof(self) -> str:
        """Return what is done at once after each write: none, or a level."""

    @property
    def allow_partial(self) -> bool:
        """Say whether a missing copy is only a warning."""

    @property
    def rebind(self) -> bool:
        """Say whether the job's source was rebuilt on purpose."""

    @property
    def wait_s(self) -> float:
        """Return how long to wait for maintenance of another repository."""

    @property
    def proving_place(self) -> DrillPlace:
        """Return where restores are tried out, by programs that can read what is proved."""

    def try_out(self, store: Store, manifest: Manifest) -> Outcome:
        """Restore a backup to where nobody is harmed, and say what was found."""


class Work(t.Protocol):
    """A source that was found fit to be backed up."""

    @property
    def kind(self) -> str:
        """Return the kind of its backups."""

    @property
    def identity(self) -> binding.Identity:
        """Return what the job is bound to."""

    @property
    def words(self) -> str:
        """Return what messages call the source."""

    def write(self, place: Place, say: Say) -> tuple[Run, Manifest]:
        """Write a backup and publish it; the run is not closed yet.

        Raises LifeboatError when there is no new backup; the run was abandoned then.
        """


@dataclasses.dataclass(frozen=True)
class CopyResult:
    """The backup in one repository."""

    repository: str
    is_primary: bool
    is_present: bool
    is_proved: bool
    problem: str = ""
    seconds: float = 0.0  # for writing or copying, and proving


@dataclasses.dataclass(frozen=True)
class BackupResult:
    """What a run of a job made."""

    job: str
    id: str
    copies: tuple[CopyResult, ...]
    plain_bytes: int
    stored_bytes: int
    seconds: float
    dump_seconds: float  # until the backup was written to its first repository
    warnings: tuple[str, ...]
    statistics: t.Mapping[str, t.Any] = dataclasses.field(default_factory=dict)  # as the manifest has them
    flags: tuple[str, ...] = ()
    base: str = ""  # id of the backup that it builds on

    @property
    def is_complete(self) -> bool:
        return all(not each.problem for each in self.copies)


def deliver(job: Job, work: Work, begun: float, say: Say) -> BackupResult:
    """Write a backup into the first repository that works, prove it, and copy it to the others.

    The caller holds the lock of the job. `begun`: reading of the monotonic clock when the work began. Raises
    DamagedError when the backup does not read back.
    """
    primary, run, manifest, failed = _write_to_first(job, work, say)
    written = clock.seconds_since(begun)
    try:
        copies = [*failed, _proved_primary(job, primary, manifest, written, say)]
    finally:
        run.close()  # not before the proof: until then maintenance must take nothing of it for garbage
    away = {each.repository for each in failed}
    for place in job.places:
        if place is primary or place.name in away:
            continue
        copies.append(_copied(job, work, primary, place, manifest, say))
    return BackupResult(
        job=job.name,
        id=manifest.id,
        copies=tuple(copies),
        plain_bytes=int(manifest.statistics["plain_bytes"]),
        stored_bytes=int(manifest.statistics["stored_bytes"]),
        seconds=clock.seconds_since(begun),
        dump_seconds=written,
        warnings=_warnings(primary, manifest),
        statistics=manifest.statistics,
        flags=manifest.flags,
        base=manifest.base,
    )


class MissingCopiesError(IncompleteError):
    """The backup has all that it should, and is not in all of its repositories."""


def _warnings(place: Place, manifest: Manifest) -> tuple[str, ...]:
    """Return the warnings of a backup, or how many there are where the file that has them cannot be read now."""
    try:
        return warnings_of(place.store, manifest)
    except LifeboatError:
        return manifest.warnings


def require_copies(job: Job, result: BackupResult) -> None:
    """Raise MissingCopiesError (with the result) when a copy is missing, unless that is allowed."""
    missing = [each for each in result.copies if each.problem]
    if missing and not job.allow_partial:
        raise MissingCopiesError(
            f"Backup {result.id} of {job.name} is not in all of its repositories",
            "; ".join(f"{each.repository}: {each.problem}" for each in missing),
            "make the repositories available and copy the backup with backup_copy, or set allow_partial",
            result,
        )


def make_ready(job: Job, work: Work, place: Place, unfinished: Unfinished) -> None:
    """Look who the repository is, clean up after killed runs, and bind the job to its source. Raises GuardRefusal."""
    place.writable_identity()
    clean_up(place.store, job.name, unfinished)
    binding.bind(place.store, job.name, work.kind, work.identity, job.rebind)


@contextlib.contextmanager
def begun_run(store: Store, job: str, base: str = "") -> t.Iterator[Run]:
    """Yield a new run, which is abandoned when the block fails."""
    _outlast_second(store, job)
    run = Run(store, job, base)
    try:
        yield run
    except BaseException:
        run.abandon()
        raise


def newest_manifest(store: Store, job: str) -> Manifest | None:
    """Return the manifest of the job's newest backup that can be read, or None; older ones are not read at all."""
    for backup_id in reversed(backup_ids(store, job)):
        backup = catalog.find(store, job, backup_id, with_proof=False)
        if backup is not None and backup.manifest is not None and backup.is_authentic:
            return backup.manifest
    return None


def backup_ids(store: Store, job: str) -> list[str]:
    """Return the ids of all backups of a job, oldest first, by one listing."""
    ids = (layout.id_of(entry.key) for entry in store.entries(layout.manifests(job)))
    return sorted(filter(clock.is_backup_id, ids))


def _outlast_second(store: Store, job: str) -> None:
    """Wait until the second in which the newest backup began is over: ids are ordered by it, and by chance within it.

    Else the older of two quick backups could be taken for the latest.
    """
    newest = backup_ids(store, job)[-1:]
    while newest and clock.compact(store.now()) == newest[0].partition("-")[0]:
        clock.sleep(_POLL_S)


def _write_to_first(job: Job, work: Work, say: Say) -> tuple[Place, Run, Manifest, list[CopyResult]]:
    failed: list[CopyResult] = []
    for place in job.places:
        if place.store.copies_only:
            continue
        try:
            say(f"{job.name}: backing up {work.words} to {place.name}")
            run, manifest = work.write(place, say)
            return place, run, manifest, failed
        except LifeboatError as error:
            if not (is_unusable(error) or isinstance(error, (PublishError, DamagedError))):
                raise
            last = error
            say(f"{job.name}: {place.name} cannot be used: {error.cause or error.problem}")
            failed.append(CopyResult(place.name, False, False, False, error.summary))
    if len(job.places) == 1:
        raise last
    raise LifeboatError(
        f"Cannot back up {job.name}: no repository works",
        "; ".join(each.problem for each in failed),
        "make one of the repositories available and run the job again",
    )


def _proved_primary(job: Job, place: Place, manifest: Manifest, written_s: float, say: Say) -> CopyResult:
    begun = clock.monotonic()
    if job.proof != "none":
        say(f"{job.name}: reading {manifest.id} back from {place.name}")
        _prove(job, place, manifest, is_own=True)
    seconds = round(written_s + clock.seconds_since(begun), 3)
    return CopyResult(place.name, True, True, job.proof != "none", seconds=seconds)


def _copied(job: Job, work: Work, primary: Place, place: Place, manifest: Manifest, say: Say) -> CopyResult:
    begun = clock.monotonic()
    say(f"{job.name}: copying {manifest.id} to {place.name}")
    try:
        if job.rebind:
            place.receiving_identity()
            binding.bind(place.store, job.name, work.kind, work.identity, rebind=True)
        moved = receive(place, primary.store, manifest, job.wait_s, say, trusting=True)
        if job.proof != "none":
            _prove(job, place, manifest, is_own=all(each.owner == manifest.id for each in moved.missing))
    except LifeboatError as error:
        problem = error.summary
        is_present = _is_there(place, manifest)
        return CopyResult(place.name, False, is_present, False, problem, clock.seconds_since(begun))
    return CopyResult(place.name, False, True, job.proof != "none", seconds=clock.seconds_since(begun))


def _is_there(place: Place, manifest: Manifest) -> bool:
    """Say whether a copy that something went wrong with arrived all the same; no, where that cannot be asked."""
    try:
        return place.store.stat(layout.manifest(manifest.job, manifest.id)) is not None
    except LifeboatError:
        return False


def _prove(job: Job, place: Place, manifest: Manifest, is_own: bool) -> None:
    """Read a backup back; `is_own`: nothing of earlier backups was written here with it. Raises DamagedError.

    What an earlier backup wrote is not read again where that one is proved as a whole, but has to be there; what was
    found damaged of it since then is heeded, and so is what was replaced since then and not read back.
    """
    store, base, is_fit = place.store, manifest.base, is_own and manifest.kind in OBJECT_KINDS
    since = whole_since(store, manifest.job, base) if is_fit and base else None
    if since is not None:
        look_for_shared(store, manifest)
    damage, are_read = shared_since(store, manifest, since) if since is not None else ((), False)
    outcome = prove(
        store,
        manifest,
        job.proof,
        job.proving_place,
        own_only=is_fit and (not base or are_read or bool(damage)),
        drill=job.try_out,
        damaged_since=since if damage else None,
    )
    require_good(outcome, manifest, place.name)
    if damage:
        raise DamagedError(
            f"Cannot trust backup {manifest.id} of {manifest.job} in {place.name}",
            f"it shares files with earlier ones that are known to be damaged: {'; '.join(damage[:5])}",
            "copy it from another repository, which replaces them, and look for failing hardware",
        )
