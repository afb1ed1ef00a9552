# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
import typing as t

from .. import clock
from ..errors import FlaggedError, GuardRefusal, IncompleteError
from ..objects import bucket_documents, guards, needed_files
from ..objects.batch_reading import Readers
from ..objects.changes import changes, never
from ..objects.gather import gather
from ..objects.index_writer import IndexSummary, IndexWriter
from ..objects.pack_reader import PackReader
from ..objects.pack_writer import PackWriter
from ..objects.patient_source import patient
from ..objects.reading_processes import ReadingProcesses, Report
from ..objects.remarks import SKIPPED, Remarks
from ..objects.reread import Round
from ..objects.rows import Item, Row
from ..objects.scope import Scope, Scoped
from ..objects.source import ListsNew, ReadsSeveral, Source, unseen_by
from ..objects.tally import Tally
from ..objects.worker_processes import processes_for
from ..repository import catalog
from ..repository.manifest import Manifest, Need, TakenFile
from ..repository.publish import BaseGoneError, Contents, Run
from ..stream.compression import SUFFIXES
from ..stream.encryption import SUFFIX as ENCRYPTED_SUFFIX
from .backup_run import BackupResult, backup_ids, begun_run, deliver, make_ready, require_copies
from .job_lock import job_lock
from .objects_choice import REMARKS_ROLE, SCOPE_ROLE, SETTINGS_ROLE
from .objects_job import FoundSource, ObjectsJob, inspect, is_empty
from .place import Place, Say, silent
from .previous_backup import REPOSITORY, Base, BaseDamagedError, choose_base
from .version import VERSION

_TRIES = 5  # bases that vanish or turn out damaged before the run gives up and reads everything
_TOLD = 3  # remarks that the error of an incomplete backup shows
_AHEAD = 8  # packs that a killed run may have been writing at once
_PACK_NAME = re.compile(r"pack-([0-9]{4,})\.tar")
_NAMES = ("index.jsonl", "segments.jsonl", "settings.json", "scope.json", "remarks.jsonl", "warnings.json")


def back_up(job: ObjectsJob, say: Say = silent) -> BackupResult:
    """Back buckets or folders up into the first repository that works, prove it, and copy it to the others.

    Raises FlaggedError (with the result) when a guard doubts the backup, IncompleteError (with the result) when a copy
    is missing or an object could not be read and `allow_partial` is off, DamagedError when the backup does not read
    back, BusyError, GuardRefusal and other kinds of LifeboatError when there is no new backup.
    """
    remarks = Remarks()
    with job_lock(job.name):
        begun = clock.monotonic()
        try:
            result = deliver(job, _ObjectsWork(job, inspect(job, remarks.add), remarks), begun, say)
            told = {**result.statistics, "remarks_sample": list(remarks.sample)}
            result = dataclasses.replace(result, statistics=told)
        finally:
            remarks.close()
    _require_unflagged(job, result)
    _require_all_objects(job, result)
    require_copies(job, result)
    return result


def _require_unflagged(job: ObjectsJob, result: BackupResult) -> None:
    if not result.flags:
        return
    missing = [f"{copy.repository}: {copy.problem}" for copy in result.copies if copy.problem]
    raise FlaggedError(
        guards.guard_of(result.flags),
        f"Backup {result.id} of {job.name} is written, and may not hold what it should",
        "; ".join([*result.flags, *missing]),
        f"look what happened to the source; if it is right, acknowledge {result.id}; latest_good stays before it",
        result,
    )


def _require_all_objects(job: ObjectsJob, result: BackupResult) -> None:
    counts = {what: n for what, n in result.statistics.get("remarks", {}).items() if what != SKIPPED}
    if counts and not job.allow_partial:
        told = [words for words in result.statistics["remarks_sample"] if not words.startswith(f"{SKIPPED}: ")]
        raise IncompleteError(
            f"Backup {result.id} of {job.name} does not have everything as it is now",
            "; ".join([", ".join(f"{count:,} {what}" for what, count in sorted(counts.items())), *told[:_TOLD]]),
            "look into the stored file remarks of the backup, which names them and says why; then run the job again",
            result,
        )


@dataclasses.dataclass(frozen=True)
class _ObjectsWork:
    """How buckets or folders are written into a repository."""

    job: ObjectsJob
    found: FoundSource
    remarks: Remarks

    @property
    def kind(self) -> str:
        return self.job.kind

    @property
    def identity(self) -> t.Mapping[str, str]:
        return self.found.identity

    @property
    def words(self) -> str:
        names = ", ".join(self.found.collections[:3])
        more = len(self.found.collections) - 3
        return f"{names} and {more} more" if more > 0 else names

    def write(self, place: Place, say: Say) -> tuple[Run, Manifest]:
        job = self.job
        make_ready(job, self, place, unfinished_names)
        repository = str(place.identity().repository)
        damaged: dict[str, str] = {}
        for _attempt in range(_TRIES):
            base, notes = self._base(place, repository, damaged)
            notes = [*(f"not built on {each}: {why}" for each, why in damaged.items()), *notes]
            for note in notes:
                say(f"{job.name}: {note}")
            try:
                return self._written(place, base, repository, notes, say)
            except BaseDamagedError as error:
                damaged[error.backup_id] = error.cause
            except BaseGoneError:
                say(f"{job.name}: {base.id if base else ''} was removed meanwhile; starting over")
        return self._written(place, None, repository, list(damaged.values()), say)

    def _base(self, place: Place, repository: str, damaged: t.Mapping[str, str]) -> tuple[Base | None, list[str]]:
        if self.job.mode == "metadata_only":
            return None, []
        return choose_base(place.store, self.job.name, repository, damaged)

    def _written(
        self, place: Place, base: Base | None, repository: str, notes: list[str], say: Say
    ) -> tuple[Run, Manifest]:
        job, store = self.job, place.store
        self.remarks.clear()
        self._refuse_unmounted(base)
        follows = _flagged_before(place, job.name)
        with begun_run(store, job.name, base.id if base else "") as run:
            writing = _Writing(job, self.found, run, base, self.remarks)
            if job.mode != "metadata_only":
                writing.objects(say)
            writing.documents()
            contents = writing.contents(repository, notes, follows)
            return run, run.publish(contents, writing.needs)

    def _refuse_unmounted(self, base: Base | None) -> None:
        """Refuse a folder that has become empty: its disk is not mounted, more likely than all files are gone."""
        job = self.job
        if job.kind != "files" or base is None or job.allow_empty or job.mode == "metadata_only":
            return
        for root in self.found.collections:
            had = sum(segment.rows for segment in base.segments(root))
            if had > 1 and is_empty(self.found.source, root):
                raise GuardRefusal(
                    "source",
                    f"Cannot back up {job.name}: {root} is empty",
                    f"it had {had:,} entries in backup {base.id}",
                    "mount what belongs there; if it is to be empty, set allow_empty",
                )


class _Writing:
    """The stored files of one run."""

    def __init__(self, job: ObjectsJob, found: FoundSource, run: Run, base: Base | None, remarks: Remarks) -> None:
        self._job = job
        self._found = found
        self._run = run
        self._base = base
        self._remarks = remarks
        self._tally = Tally(run.id)
        self._summary: IndexSummary | None = None
        self._taken_over: tuple[TakenFile, ...] = ()
        last = base.manifest.statistics.get("reread") if base else None
        self._round: Round | None = job.reread.after(last) if job.reread else None

    @property
    def needs(self) -> tuple[Need, ...]:
        """Return what the backup needs of earlier ones: for its index, and what was taken over as it is."""
        needs = self._summary.needs if self._summary else ()
        for taken in self._taken_over:
            digests = self._base.files_digests() if self._base else {}
            needs = needed_files.also(needs, taken.owner, digests[taken.owner], taken.number)
        return needs

    def objects(self, say: Say) -> None:
        """Write packs and index, collection after collection."""
        source, base = patient(self._found.source), self._base
        packs = PackWriter(self._run, self._job.compression)
        index = IndexWriter(self._run, base, self._job.compression)
        names = {*self._found.collections, *(base.collections() if base else ())}
        try:
            with self._readers(source, packs) as readers:
                for name in sorted(names, key=lambda each: each.encode("utf-8", "surrogateescape")):
                    if name not in self._found.collections:
                        self._tally.lost(name, base.segments(name) if base else ())
                        continue
                    say(f"{self._job.name}: reading {name}")
                    self._collection(source, name, packs, index, readers)
            packs.finish()
            self._summary = index.finish()
        except BaseException:
            packs.abort()
            index.abort()
            raise

    def _readers(self, source: Source, packs: PackWriter) -> t.ContextManager[Readers | None]:
        """Return processes that read small objects, where that is worth it; they must be made before any thread."""
        job = self._job
        count = processes_for(job.concurrency)
        if not count or not isinstance(source, ReadsSeveral):
            return contextlib.nullcontext()

        def opened(report: Report) -> ReadsSeveral:
            return t.cast(ReadsSeveral, patient(job.open_source(report)))

        return ReadingProcesses(opened, packs.compress, count, job.concurrency, self._remarks.add)

    def _collection(
        self, source: Source, name: str, packs: PackWriter, index: IndexWriter, readers: Readers | None
    ) -> None:
        base, tally = self._base, self._tally.collection(name)
        found = changes(
            self._items(name),
            tally.base(base.segments(name)) if base else (),
            base.rows_of if base else _nothing,
            reread=self._round.has_row if self._round else never,
            has_rereads=self._round.has_segment if self._round else None,
            full=self._job.reads_all,
            is_unseen=unseen_by(self._found.source, name),
        )
        rows = gather(source, name, tally.steps(found), packs, self._remarks.add, self._job.concurrency, readers)
        index.add(name, tally.rows(rows))

    def _items(self, name: str) -> t.Iterator[Item]:
        source = self._found.source
        return source.new_items(name) if self._base is None and isinstance(source, ListsNew) else source.items(name)

    def documents(self) -> None:
        """Write the settings of the source, its scope and the remarks, where there are any."""
        settings = self._found.source.documents()
        for name, each in settings.items():
            for what, why in bucket_documents.remarks(each):
                self._remarks.add(name, "", what, why)
        if settings and not self._takes_over(SETTINGS_ROLE, lambda base: base.has_settings(settings)):
            data = json.dumps(settings, sort_keys=True, separators=(",", ":")).encode("ascii")
            self._run.store_file("settings.json", SETTINGS_ROLE, [data], self._job.compression, len(data))
        if self._summary is not None:
            self._scope()
        if self._remarks.counts:
            self._run.store_file("remarks.jsonl", REMARKS_ROLE, self._remarks.chunks(), self._job.compression)

    def _scope(self) -> None:
        source = self._found.source
        scope = source.scope() if isinstance(source, Scoped) else Scope()
        data = scope.to_bytes()
        if data and not self._takes_over(SCOPE_ROLE, lambda base: base.has_scope(scope)):
            self._run.store_file("scope.json", SCOPE_ROLE, [data], self._job.compression, len(data))

    def _takes_over(self, role: str, is_same: t.Callable[[Base], bool]) -> bool:
        """Take a stored file of the base over where it says the same; say whether it does."""
        if self._base is None or self._job.reads_all:  # a full backup shall need no other
            return False
        taken = self._base.taken(role)
        if taken is None or not is_same(self._base):
            return False
        self._taken_over = (*self._taken_over, taken)
        return True

    def contents(self, repository: str, notes: t.Sequence[str], follows: str) -> Contents:
        """Return what the manifest says; guards have looked at it."""
        job, found = self._job, self._tally.compared(PackReader(self._run.store, self._job.name).member)
        verdict = guards.by_policy(guards.judge(found), job.policy, follows)
        statistics = {
            "mode": job.mode,
            REPOSITORY: repository,
            "plain_bytes": self._run.plain_bytes,
            "stored_bytes": self._run.stored_bytes,
            **(self._tally.statistics() if job.mode != "metadata_only" else {}),
            "remarks": self._remarks.counts,
            # The stored file `remarks` has all of them; a manifest names no objects where they are encrypted.
            "remarks_sample": list(self._remarks.sample) if self._run.store.keys is None else [],
            **({"reread": self._round.statistics} if self._round else {}),
        }
        warnings = (*notes, *verdict.warnings)
        source, versions = self._found.description, {"lifeboat": VERSION}
        return Contents(job.kind, versions, source, statistics, warnings, verdict.flags, self._taken_over)


def unfinished_names(finished: t.Collection[str]) -> t.Iterator[str]:
    """Yield the names of the stored files that a killed run may have been writing, by those that it finished."""
    numbers = [int(found.group(1)) for found in map(_PACK_NAME.match, finished) if found]
    for suffix in (*SUFFIXES.values(), *(each + ENCRYPTED_SUFFIX for each in SUFFIXES.values())):
        for number in range(max(numbers, default=-1) + 1 + _AHEAD):
            name = f"pack-{number:04d}.tar{suffix}"
            if name not in finished:
                yield name
        yield from (name + suffix for name in _NAMES if name + suffix not in finished)


def _flagged_before(place: Place, job: str) -> str:
    """Return the id of the flagged, unacknowledged backup that a new backup comes after, or nothing."""
    for backup_id in reversed(backup_ids(place.store, job)):
        backup = catalog.find(place.store, job, backup_id, with_proof=False)
        if backup is None or backup.manifest is None or not backup.is_authentic:
            continue
        if not backup.is_flagged:
            return ""
        inherited = [flag for flag in backup.manifest.flags if flag.startswith(f"{guards.FOLLOWS} ")]
        return inherited[0].partition(" ")[2] if inherited else backup_id
    return ""


def _nothing(_segment: t.Any) -> list[Row]:
    return []
