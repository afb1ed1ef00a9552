# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
import os
import typing as t

from .. import clock
from ..errors import GuardRefusal, MissingPartError
from ..postgres.connection import Server, connect
from ..postgres.container_server import entered
from ..postgres.description import describe_database
from ..postgres.dump import Dump, DumpOptions, Globals
from ..postgres.preflight import Preflight, check_source
from ..postgres.scratch import server_programs
from ..postgres.tools import ClientTools, client_tools
from ..repository.lease import WAIT_S
from ..repository.manifest import Manifest
from ..repository.publish import Contents, Run
from ..repository.store import Store
from ..stream.compression import block_compressor
from ..stream.encryption import SUFFIX
from ..verify.drill_place import DrillPlace
from ..verify.outcome import Outcome
from ..verify.restore import check_restore
from .backup_run import BackupResult, begun_run, deliver, make_ready, newest_manifest, require_copies
from .job_kinds import DATABASE
from .job_lock import job_lock
from .place import Place, Say, require_places, silent
from .version import VERSION

_DUMP_NAME = "database.dump"
_GLOBALS_NAME = "globals.sql"
_UNFINISHED = (
    *(n + s + e for n in (_DUMP_NAME, _GLOBALS_NAME) for s in (".zst", ".gz", "") for e in ("", SUFFIX)),
    f"warnings.json{SUFFIX}",
)


@dataclasses.dataclass(frozen=True)
class SharedGlobals:
    """The globals of a server, dumped once for the backups of several of its databases."""

    data: bytes  # a few hundred bytes for each role
    roles: frozenset[str]  # all that there were before the dump of the globals began
    warnings: tuple[str, ...] = ()


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
    server_globals: SharedGlobals | None = None  # None: they are dumped with the database

    @property
    def proving_place(self) -> DrillPlace:
        """Return where copies are proved: by the programs that wrote the dump, unless others are named."""
        place = self.drill
        return dataclasses.replace(
            place, bin_dir=place.bin_dir or self.server.bin_dir, container=place.container or self.server.container
        )

    def try_out(self, store: Store, manifest: Manifest) -> Outcome:
        """Restore a backup into a scratch server."""
        return check_restore(store, manifest, self.proving_place)


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
    require_places(job.name, job.places)
    block_compressor(job.compression)
    check = check_source(job.server, job.database, with_subscriptions=job.dump.with_subscriptions)
    check.require(job.database, job.server.user)
    description = describe_database(job.server, job.database)
    purpose = f"Cannot back up database {job.database}"
    inside = entered(job.server, purpose)
    tools = client_tools(int(description["server_version_number"]), job.server.bin_dir, purpose, inside)
    return Source(check, tools, description)


def drill_programs(job: DatabaseJob, source: Source) -> str:
    """Return which server programs restores are tried out with, empty when the job wants none.

    Raises MissingPartError when this host has none.
    """
    if job.proof != "restore":
        return ""
    major = int(source.description["server_version_number"]) // 10000
    try:
        postgres = server_programs(major, job.proving_place.bin_dir, f"Cannot try out restores of {job.database}")
    except MissingPartError as error:
        if job.server.container is None:
            raise
        raise MissingPartError(
            error.problem,
            f"{error.cause} of this host, which has to have a server of its own for that: the container is left alone",
            f"install postgresql-{major} on this host, or set proof to content",
        ) from error
    return f"PostgreSQL {postgres.version} in {os.path.dirname(postgres.path)}"


def back_up(job: DatabaseJob, say: Say = silent) -> BackupResult:
    """Back a database up into the first repository that works, prove it, and copy it to the others.

    Raises DamagedError when the backup does not read back, IncompleteError (with the result) when a copy is missing and
    `allow_partial` is off, BusyError, GuardRefusal and other kinds of LifeboatError when there is no new backup.
    """
    with job_lock(job.name):
        begun = clock.monotonic()
        source = inspect(job)
        drill_programs(job, source)
        result = deliver(job, _DatabaseWork(job, source), begun, say)
        require_copies(job, result)
        return result


@dataclasses.dataclass(frozen=True)
class _DatabaseWork:
    """How a database is written into a repository."""

    job: DatabaseJob
    source: Source

    @property
    def kind(self) -> str:
        return DATABASE

    @property
    def identity(self) -> dict[str, str]:
        return self.source.identity

    @property
    def words(self) -> str:
        return self.job.database

    def write(self, place: Place, _say: Say) -> tuple[Run, Manifest]:
        job, store = self.job, place.store
        make_ready(job, self, place, lambda _finished: _UNFINISHED)
        last = newest_manifest(store, job.name)
        last_bytes = last.figure("plain_bytes") if last else 0
        with begun_run(store, job.name) as run:
            warnings = _store_all(job, self.source, run)
            contents = _contents(job, self.source, run, last_bytes, warnings)
            return run, run.publish(contents)


def _store_all(job: DatabaseJob, source: Source, run: Run) -> list[str]:
    # A standby cannot read unlogged tables at all, and has no rows of them.
    options = dataclasses.replace(
        job.dump,
        with_unlogged_data=job.dump.with_unlogged_data and not source.is_standby,
        encoding=str(source.description["encoding"]),
    )
    with Dump(job.server, job.database, source.tools.pg_dump, options) as dump:
        run.store_file(_DUMP_NAME, "dump", dump, job.compression, source.check.size_bytes)
        warnings = [*dump.warnings]
    shared = job.server_globals
    # A role that was made since then owns something here, and would be missed by a restore.
    if shared is not None and shared.roles.issuperset(role["name"] for role in source.description["roles"]):
        run.store_file(_GLOBALS_NAME, "globals", (shared.data,), job.compression)
        return [*source.tools.warnings, *source.check.notes, *warnings, *shared.warnings]
    with Globals(job.server, source.tools.pg_dumpall, job.dump) as roles:
        run.store_file(_GLOBALS_NAME, "globals", roles, job.compression)
        warnings += roles.warnings
    return [*source.tools.warnings, *source.check.notes, *warnings]


def shared_globals(job: DatabaseJob) -> SharedGlobals:
    """Dump the globals of a job's server for several backups. Raises LifeboatError."""
    with connect(job.server, job.server.maintenance_database) as session:
        roles = frozenset(session.names("SELECT rolname FROM pg_roles"))
        version = session.version_number
    purpose = f"Cannot back up the roles of {job.server}"
    tools = client_tools(version, job.server.bin_dir, purpose, entered(job.server, purpose))
    with Globals(job.server, tools.pg_dumpall, job.dump) as dumped:
        data = b"".join(dumped)
    return SharedGlobals(data, roles, tuple(dumped.warnings))


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
    return Contents(DATABASE, versions, source.description, statistics, tuple(warnings))
