# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
import datetime as dt
import functools
import os
import typing as t

from .. import clock
from ..errors import DONE, INCOMPLETE, WRONG_USAGE, LifeboatError
from ..repository import binding
from . import minio_backup, server_backup, tables
from .config import Config
from .database_backup import DatabaseJob, Source, drill_programs, inspect
from .database_settings import DatabaseSettings
from .job_kinds import DATABASE
from .job_settings import JobSettings
from .member_names import member_job
from .minio_settings import MinioSettings
from .notify_channel import Channel
from .objects_job import EmptySourceRefusal
from .objects_job import inspect as inspect_objects
from .objects_job_settings import ObjectsSettings
from .place import Place, twin_words, twins
from .repository_settings import RepositorySettings
from .run_as import Document, user_name
from .server_backup import ServerPlan

_SKEW = dt.timedelta(minutes=5)  # S3 servers refuse requests from 15 minutes on


@dataclasses.dataclass(frozen=True)
class Finding:
    """One thing that a run needs, and whether it is there."""

    subject: str
    words: str  # what was found, or what is wrong
    remedy: str = ""
    exit_code: int = DONE

    @property
    def is_good(self) -> bool:
        return self.exit_code == DONE

    def document(self) -> Document:
        return {**dataclasses.asdict(self), "good": self.is_good}


def check_repository(settings: RepositorySettings) -> Document:
    """Look whether a repository can be reached and is one; changes nothing, raises nothing."""
    finding, _opened = _repository(settings)
    return {"job": None, "findings": [finding.document()]}


def check_job(config: Config, job: JobSettings) -> Document:
    """Look whether a run of a job has all that it needs; changes nothing, raises nothing.

    The repositories, the source and the rights of the login role there, programs and libraries.
    """
    looked_at = [_repository(config.repositories[name], job.name) for name in job.repositories]
    findings = [finding for finding, _opened in looked_at]
    opened = [place for _finding, place in looked_at if place is not None]
    reached = [place for finding, place in looked_at if place is not None and finding.is_good]
    for words in twin_words(twins(reached)):
        findings.append(Finding("repositories", words, "name each repository of the job once", WRONG_USAGE))
    if isinstance(job, DatabaseSettings) and job.selection is not None:
        findings += _of_server(config, job, opened, reached)
    elif isinstance(job, DatabaseSettings):
        findings += _of_database(job, opened, reached)
    elif isinstance(job, ObjectsSettings):
        findings += _of_objects(job, opened, reached)
    elif isinstance(job, MinioSettings):
        findings += _of_minio(job, opened, reached)
    for key, folder in (("state_dir", config.reporting.state_dir), ("metrics.directory", config.reporting.metrics_dir)):
        if folder:
            findings.append(_found(key, functools.partial(_writable, folder)))
    return {"job": job.name, "findings": [finding.document() for finding in findings]}


def check_reporting(config: Config) -> Document:
    """Look whether all notification channels can be used, as far as that shows without sending; raises nothing."""
    findings = [
        _found(f"notification channel {channel.name}", functools.partial(_ready, channel))
        for channel in config.reporting.channels.values()
    ]
    return {"job": None, "findings": [finding.document() for finding in findings]}


def lines(found: t.Sequence[Document]) -> list[str]:
    """Return the documents of the checks for people: a line for each thing, below a failure its remedy."""
    shown: list[str] = []
    for each in found:
        if each["job"]:
            shown.append(f"job {each['job']}")
        for finding in each["findings"]:
            mark = "ok    " if finding["good"] else "WRONG "
            shown += tables.note(f"{finding['subject']}: {finding['words']}", mark)
            if finding["remedy"]:
                shown += tables.note(f"Remedy: {finding['remedy']}", "      ")
    return shown


def exit_code(found: t.Sequence[Document]) -> int:
    """Return the exit code of the first thing that is wrong."""
    codes = [int(finding["exit_code"]) for each in found for finding in each["findings"]]
    return next((code for code in codes if code != DONE), DONE)


def _ready(channel: Channel) -> str:
    channel.opened()
    return f"tells of {', '.join(channel.on)}; lifeboat notify --test sends a trial"


def _writable(folder: str) -> str:
    if not os.path.isdir(folder) or not os.access(folder, os.W_OK | os.X_OK):
        cause = f"user {user_name()} cannot write there" if os.path.isdir(folder) else "there is no such folder"
        raise LifeboatError(f"Cannot use {folder}", cause, "make it, writable by the users of all jobs")
    return f"{folder} can be written to"


def _found(subject: str, look: t.Callable[[], str]) -> Finding:
    try:
        return Finding(subject, look())
    except LifeboatError as error:
        words = error.summary
        return Finding(subject, words, error.remedy, error.exit_code)


def _repository(settings: RepositorySettings, job: str = "") -> tuple[Finding, Place | None]:
    """Return what was found, and the repository unless its secrets cannot be read."""
    opened: list[Place] = []

    def look() -> str:
        opened.append(settings.opened())
        identity = opened[0].writable_identity()
        _refuse_skew(opened[0])
        if job:
            opened[0].store.require_writable(job)
        return f"{opened[0].store.name} is repository {identity.repository}"

    finding = _found(f"repository {settings.name}", look)
    return finding, opened[0] if opened else None


def _refuse_skew(place: Place) -> None:
    if place.store.has_locks:
        return  # a directory's clock is read by writing to it
    ahead = clock.now() - place.store.now()
    if abs(ahead) > _SKEW:
        raise LifeboatError(
            f"Cannot trust the clocks of this host and {place.store.name}",
            f"they differ by {tables.duration(abs(ahead).total_seconds())}",
            "let both follow a time server",
        )


def _of_database(job: DatabaseSettings, opened: t.Sequence[Place], reached: t.Sequence[Place]) -> list[Finding]:
    inspected: list[tuple[DatabaseJob, Source]] = []

    def look() -> str:
        wanted = job.job(tuple(opened))
        found = inspect(wanted)
        inspected.append((wanted, found))
        place = f" in {job.server.container}" if job.server.container else ""
        return f"PostgreSQL {found.description['server_version']}, to be dumped by {found.tools.pg_dump.path}{place}"

    findings = [_found(f"database {job.database}", look)]
    for wanted, source in inspected:
        findings += [Finding("note", note) for note in (*source.tools.warnings, *source.check.notes)]
        findings += _of_binding(job, DATABASE, source.identity, reached)
        if job.proof == "restore":
            findings.append(_found("server to try restores out", functools.partial(drill_programs, wanted, source)))
    return findings


def _of_server(
    config: Config, job: DatabaseSettings, opened: t.Sequence[Place], reached: t.Sequence[Place]
) -> list[Finding]:
    """Look at the server, and then at each of the databases that a run would back up."""
    plans: list[ServerPlan] = []

    def look() -> str:
        if job.selection is None:
            return ""
        plans.append(server_backup.plan(job.all_of_server(job.selection, lambda: config.usable_places(job)[0])))
        return f"{len(plans[0].databases)} at {job.server}"

    findings = [_found("databases", look)]
    for planned in plans:
        findings += [Finding("note", words) for words in planned.warnings]
        if job.on_gone == "fail":
            words = "exclude it if it was dropped on purpose, or set on_gone"
            findings += [Finding("database", server_backup.gone_words(n), words, INCOMPLETE) for n in planned.gone]
        for each in sorted(planned.databases, key=lambda database: database.name):
            member = job.member(member_job(job.name, each.name))
            if member is not None:
                findings += _of_database(dataclasses.replace(member, database=each.name), opened, reached)
    return findings


def _of_objects(job: ObjectsSettings, opened: t.Sequence[Place], reached: t.Sequence[Place]) -> list[Finding]:
    identities: list[binding.Identity] = []

    def look() -> str:
        try:
            found = inspect_objects(job.job(tuple(opened)), lambda *_remark: None)
        except EmptySourceRefusal as refusal:
            # A new application has nothing yet; what was there at the last run is missed.
            if not refusal.collections or any(binding.is_bound(place.store, job.name) for place in reached):
                raise
            return f"empty, and refused by runs until something is in {', '.join(refusal.collections[:5])}"
        identities.append(found.identity)
        count = len(found.collections)
        return f"{count} {'buckets' if job.kind == 'bucket' else 'folders'}: {', '.join(found.collections[:5])}"

    findings = [_found("buckets" if job.kind == "bucket" else "folders", look)]
    for identity in identities:
        findings += _of_binding(job, job.kind, identity, reached)
    return findings


def _of_minio(job: MinioSettings, opened: t.Sequence[Place], reached: t.Sequence[Place]) -> list[Finding]:
    found: list[minio_backup.FoundServer] = []

    def look() -> str:
        found.append(minio_backup.inspect(job.job(tuple(opened))))
        return f"deployment {found[0].deployment} at {found[0].url}"

    findings = [_found("MinIO server", look)]
    for server in found:
        findings += _of_binding(job, job.kind, server.identity, reached)
    return findings


def _of_binding(job: JobSettings, kind: str, identity: binding.Identity, reached: t.Sequence[Place]) -> list[Finding]:
    return [_found(f"source of {job.name}", functools.partial(_bound, job, kind, identity, each)) for each in reached]


def _bound(job: JobSettings, kind: str, identity: binding.Identity, place: Place) -> str:
    binding.check(place.store, job.name, kind, identity)
    return f"the one that {place.name} expects"
