# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
import typing as t

from .. import clock
from ..errors import DamagedError, GuardRefusal, IncompleteError, LifeboatError
from ..postgres.connection import Server
from ..postgres.description import describe_database
from ..postgres.dump import Dump, DumpOptions, Globals
from ..postgres.preflight import Preflight, check_source
from ..postgres.tools import ClientTools, client_tools
from ..repository import binding, catalog, copy, layout
from ..repository.lease import WAIT_S
from ..repository.manifest import Manifest
from ..repository.publish import Contents, PublishError, Run
from ..repository.store import Store
from ..stream.compression import block_compressor
from ..verify.restore import DrillPlace
from .job_lock import job_lock
from .place import Place, Say, is_unusable, silent
from .proving import prove, require_good, seconds_since
from .unfinished import clean_up
from .version import VERSION

KIND = "pg_database"
_DUMP_NAME = "database.dump"
_GLOBALS_NAME = "globals.sql"
_POLL_S = 0.1
_UNFINISHED = tuple(n + s for n in (_DUMP_NAME, _GLOBALS_NAME) for s in (".zst", ".gz", ""))


@dataclasses.dataclass(frozen=True)
class DatabaseJob:
    """What to back up, where to, and how strictly."""

    name: str
    server: Server
    database: str
    places: tuple[Place, ...]  # the first that works is written to; the others get copies
    proof: str = "content"  # none | content | restore: what is done at once after each write
    compression: str = "zstd"  # zstd | gzip | none
    dump: DumpOptions = dataclasses.field(default_factory=DumpOptions)
    on_shrink: str = "fail"  # fail | warn | ignore: less than half of the last backup's plain size
    allow_partial: bool = False  # True: a missing copy is a warning
    rebind: bool = False  # True: the job's source was rebuilt on purpose
    wait_s: float = WAIT_S  # for maintenance of another repository
    drill: DrillPlace = dataclasses.field(default_factory=DrillPlace)  # without bin_dir: the server's

    @property
    def proving_place(self) -> DrillPlace:
        """Return where copies are proved: by the programs that wrote the dump, unless others are named."""
        return dataclasses.replace(self.drill, bin_dir=self.drill.bin_dir or self.server.bin_dir)


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
    dump_seconds: float
    warnings: tuple[str, ...]

    @property
    def is_complete(self) -> bool:
        return all(not each.problem for each in self.copies)


@dataclasses.dataclass(frozen=True)
class Source:
    """A database that was found fit to be backed up."""

    check: Preflight
    tools: ClientTools
    description: dict[str, t.Any]

    @property
    def is_standby(self) -> bool:
        return self.check.is_standby

    @property
    def identity(self) -> dict[str, str]:
        found = self.description
        return {"system_identifier": str(found["system_identifier"]), "database": str(found["database"])}


def inspect(job: DatabaseJob) -> Source:
    """Look at the source, the programs and the libraries before anything is written. Raises LifeboatError."""
    if not job.places:
        raise LifeboatError(f"Cannot run job {job.name}", "it has no repository", "give it at least one")
    block_compressor(job.compression)
    check = check_source(job.server, job.database, with_subscriptions=job.dump.with_subscriptions)
    check.require(job.database, job.server.user)
    description = describe_database(job.server, job.database)
    purpose = f"Cannot back up database {job.database}"
    tools = client_tools(int(description["server_version_number"]), job.server.bin_dir, purpose)
    return Source(check, tools, description)


def back_up(job: DatabaseJob, say: Say = silent) -> BackupResult:
    """Back a database up into the first repository that works, prove it, and copy it to the others.

    Raises DamagedError when the backup does not read back, IncompleteError (with the result) when a copy is missing and
    `allow_partial` is off, BusyError, GuardRefusal and other kinds of LifeboatError when there is no new backup.
    """
    with job_lock(job.name):
        begun = clock.monotonic()
        source = inspect(job)
        primary, manifest, failed = _write_to_first(job, source, say)
        written = seconds_since(begun)
        copies = [*failed, _proved_primary(job, primary, manifest, written, say)]
        for place in job.places[job.places.index(primary) + 1 :]:
            copies.append(_copied(job, source, primary, place, manifest, say))
        return _result(job, manifest, source, copies, seconds_since(begun), written)


def newest_manifest(store: Store, job: str) -> Manifest | None:
    """Return the manifest of the job's newest backup that can be read, or None; older ones are not read at all."""
    for backup_id in reversed(_ids(store, job)):
        backup = catalog.find(store, job, backup_id)
        if backup is not None and backup.manifest is not None:
            return backup.manifest
    return None


def _ids(store: Store, job: str) -> list[str]:
    ids = (layout.id_of(entry.key) for entry in store.entries(layout.manifests(job)))
    return sorted(filter(clock.is_backup_id, ids))


def _outlast_second(store: Store, job: str) -> None:
    """Wait until the second in which the newest backup began is over: ids are ordered by it, and by chance within it.

    Else the older of two quick backups could be taken for the latest.
    """
    newest = _ids(store, job)[-1:]
    while newest and clock.compact(store.now()) == newest[0].partition("-")[0]:
        clock.sleep(_POLL_S)


def _write_to_first(job: DatabaseJob, source: Source, say: Say) -> tuple[Place, Manifest, list[CopyResult]]:
    failed: list[CopyResult] = []
    for place in job.places:
        try:
            say(f"{job.name}: backing up {job.database} to {place.name}")
            return place, _write(job, source, place), failed
        except LifeboatError as error:
            if not (is_unusable(error) or isinstance(error, (PublishError, DamagedError))):
                raise
            last = error
            say(f"{job.name}: {place.name} cannot be used: {error.cause or error.problem}")
            failed.append(CopyResult(place.name, False, False, False, f"{error.problem}: {error.cause}"))
    if len(job.places) == 1:
        raise last
    raise LifeboatError(
        f"Cannot back up {job.name}: no repository works",
        "; ".join(each.problem for each in failed),
        "make one of the repositories available and run the job again",
    )


def _write(job: DatabaseJob, source: Source, place: Place) -> Manifest:
    store = place.store
    place.identity()
    clean_up(store, job.name, _UNFINISHED)
    binding.bind(store, job.name, KIND, source.identity, job.rebind)
    last = newest_manifest(store, job.name)
    last_bytes = int(last.statistics.get("plain_bytes", 0)) if last else 0
    _outlast_second(store, job.name)
    run = Run(store, job.name)
    try:
        warnings = _store_all(job, source, run)
        contents = _contents(job, source, run, last_bytes, warnings)
        manifest = run.publish(contents)
    except BaseException:
        run.abandon()
        raise
    run.close()
    return manifest


def _store_all(job: DatabaseJob, source: Source, run: Run) -> list[str]:
    # A standby cannot read unlogged tables at all, and has no rows of them.
    options = dataclasses.replace(job.dump, with_unlogged_data=job.dump.with_unlogged_data and not source.is_standby)
    with Dump(job.server, job.database, source.tools.pg_dump, options) as dump:
        run.store_file(_DUMP_NAME, "dump", dump, job.compression, source.check.size_bytes)
        warnings = [*dump.warnings]
    with Globals(job.server, source.tools.pg_dumpall, job.dump) as roles:
        run.store_file(_GLOBALS_NAME, "globals", roles, job.compression)
        warnings += roles.warnings
    return [*source.tools.warnings, *source.check.notes, *warnings]


def _contents(job: DatabaseJob, source: Source, run: Run, last_bytes: int, warnings: list[str]) -> Contents:
    plain = run.plain_bytes
    if job.on_shrink != "ignore" and plain * 2 < last_bytes:
        words = f"the database was dumped as {plain} bytes, and the last time it was {last_bytes}"
        if job.on_shrink == "fail":
            raise GuardRefusal(
                "shrunk",
                f"Cannot accept the dump of {job.database}",
                words,
                "find out where the data went; if that is right, run once with on_shrink set to warn",
            )
        warnings.append(words)
    statistics = {"plain_bytes": plain, "stored_bytes": run.stored_bytes, "database_bytes": source.check.size_bytes}
    versions = {
        "lifeboat": VERSION,
        "pg_dump": source.tools.pg_dump.version,
        "server": str(source.description["server_version"]),
    }
    return Contents(KIND, versions, source.description, statistics, tuple(warnings))


def _proved_primary(job: DatabaseJob, place: Place, manifest: Manifest, written_s: float, say: Say) -> CopyResult:
    begun = clock.monotonic()
    if job.proof != "none":
        say(f"{job.name}: reading {manifest.id} back from {place.name}")
        require_good(prove(place.store, manifest, job.proof, job.proving_place), manifest, place.name)
    seconds = round(written_s + seconds_since(begun), 3)
    return CopyResult(place.name, True, True, job.proof != "none", seconds=seconds)


def _copied(job: DatabaseJob, source: Source, primary: Place, place: Place, manifest: Manifest, say: Say) -> CopyResult:
    begun = clock.monotonic()
    say(f"{job.name}: copying {manifest.id} to {place.name}")
    is_present = False
    try:
        identity = place.identity()
        if job.rebind:
            binding.bind(place.store, job.name, KIND, source.identity, rebind=True)
        copy.copy(primary.store, place.store, manifest, identity, job.wait_s, say)
        is_present = True
        if job.proof != "none":
            require_good(prove(place.store, manifest, job.proof, job.proving_place), manifest, place.name)
    except LifeboatError as error:
        problem = f"{error.problem}: {error.cause}"
        return CopyResult(place.name, False, is_present, False, problem, seconds_since(begun))
    return CopyResult(place.name, False, True, job.proof != "none", seconds=seconds_since(begun))


def _result(
    job: DatabaseJob, manifest: Manifest, source: Source, copies: list[CopyResult], seconds: float, written: float
) -> BackupResult:
    statistics = manifest.statistics
    result = BackupResult(
        job=job.name,
        id=manifest.id,
        copies=tuple(copies),
        plain_bytes=int(statistics["plain_bytes"]),
        stored_bytes=int(statistics["stored_bytes"]),
        seconds=seconds,
        dump_seconds=written,
        warnings=manifest.warnings,
    )
    missing = [each for each in copies if each.problem]
    if missing and not job.allow_partial:
        raise IncompleteError(
            f"Backup {manifest.id} of {job.name} is not in all of its repositories",
            "; ".join(f"{each.repository}: {each.problem}" for each in missing),
            "make the repositories available and copy the backup with backup_copy, or set allow_partial",
            result,
        )
    return result
