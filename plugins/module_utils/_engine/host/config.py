# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
import json
import os
import stat
import typing as t

from ..errors import LifeboatError, UsageError
from .database_settings import database_from
from .fields import Fields
from .job_kinds import DATABASE, MINIO, SET
from .job_settings import JobSettings
from .minio_settings import minio_from
from .mirror_config import MirrorSettings, mirrors_from
from .notify_config import Notify, Reporting, check_channels, reporting_from
from .objects_job_settings import bucket_from, files_from
from .place import Place, closed
from .repository_settings import RepositorySettings, check_name, refuse_twins, repository_from
from .set_settings import set_from, with_members

DEFAULT_FILE = "/etc/lifeboat/config.json"
_KINDS: t.Mapping[str, t.Callable[[str, Fields, t.Collection[str]], JobSettings]] = {
    DATABASE: database_from,
    "bucket": bucket_from,
    "files": files_from,
    MINIO: minio_from,
    SET: set_from,
}


@dataclasses.dataclass(frozen=True)
class Config:
    """What this host backs up, and where to."""

    file: str
    repositories: t.Mapping[str, RepositorySettings]
    jobs: t.Mapping[str, JobSettings]
    mirrors: t.Mapping[str, MirrorSettings] = dataclasses.field(default_factory=dict)
    reporting: Reporting = dataclasses.field(default_factory=Reporting)

    def job(self, name: str) -> JobSettings:
        """Return a job. Raises UsageError that names those that there are."""
        found = self.find(name)
        if found is None:
            known = ", ".join(sorted(self.jobs)) or "none"
            raise UsageError(f"Cannot find job {name}", f"{self.file} does not have it", f"its jobs are: {known}")
        return found

    def find(self, name: str) -> JobSettings | None:
        """Return a job, or the part of a job that has parts; None when there is none of this name."""
        if name in self.jobs:
            return self.jobs[name]
        parts = (each.member(name) for each in self.jobs.values())
        return next((part for part in parts if part is not None), None)

    def places(self, job: JobSettings) -> tuple[Place, ...]:
        """Return all repositories of a job. Raises UsageError when the secrets of one cannot be read."""
        return tuple(self.repositories[name].opened() for name in job.repositories)

    def places_of_run(self, job: JobSettings) -> tuple[Place, ...]:
        """Return all repositories of a job for those who write to them: one whose secrets cannot be read costs a copy,
        as one that is away does, and not the backup. Raises UsageError when that is so of all."""
        found = list(self._opened(job))
        errors = [each for _name, each in found if isinstance(each, LifeboatError)]
        if errors and len(errors) == len(found):
            raise errors[0]
        return tuple(
            closed(name, self.repositories[name].site, each) if isinstance(each, LifeboatError) else each
            for name, each in found
        )

    def usable_places(self, job: JobSettings) -> tuple[tuple[Place, ...], dict[str, str]]:
        """Return the repositories of a job that can be opened, and why the others cannot: reading must not depend on
        all of them."""
        found = list(self._opened(job))
        refused = {name: each.summary for name, each in found if isinstance(each, LifeboatError)}
        return tuple(each for _name, each in found if not isinstance(each, LifeboatError)), refused

    def _opened(self, job: JobSettings) -> t.Iterator[tuple[str, Place | LifeboatError]]:
        """Yield the repositories of a job by their names, or why one cannot be opened."""
        for name in job.repositories:
            try:
                yield name, self.repositories[name].opened()
            except LifeboatError as error:
                yield name, error


def load(path: str) -> Config:
    """Read the configuration; no secret is read. Raises UsageError that names the key and what is allowed."""
    return parse(_read(path), path)


def parse(data: bytes, source: str) -> Config:
    """Check the bytes of a configuration; `source` is the name of its file. Raises UsageError."""
    document = Fields(source, "", _decoded(data, source))
    repositories = {name: repository_from(name, each) for name, each in document.sections("repositories").items()}
    refuse_twins(repositories.values(), document)
    jobs = {name: _job(name, each, repositories) for name, each in document.sections("jobs").items()}
    _refuse_shadows(jobs, document)
    jobs = with_members(jobs, document)
    mirrors = mirrors_from(document)
    reporting = reporting_from(document)
    owners: dict[str, Notify | None] = {f"jobs.{name}": each.notify for name, each in jobs.items()}
    owners.update({f"mirrors.{name}": each.notify for name, each in mirrors.items()})
    check_channels(document, reporting, owners)
    document.finish()
    return Config(source, repositories, jobs, mirrors, reporting)


def _read(path: str) -> bytes:
    problem = f"Cannot use {path}"
    try:
        # A pipe that nobody writes to must not block us.
        with open(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as file:
            found = os.fstat(file.fileno())
            os.set_blocking(file.fileno(), True)
            # Who can write this file decides what root runs (bin_dir) and whose data goes where.
            if stat.S_IMODE(found.st_mode) & 0o022 or found.st_uid not in (0, os.geteuid()):
                remedy = f"chown root {path} && chmod 0640 {path}"
                raise UsageError(problem, "others than root and you may write to it", remedy)
            return file.read()
    except FileNotFoundError as error:
        raise UsageError(problem, "there is no such file", "write it, or name another one with --config") from error
    except OSError as error:
        raise UsageError(
            problem, error.strerror or str(error), "run this as root, or as a member of the group of the file"
        ) from error


def _decoded(data: bytes, source: str) -> t.Any:
    def once(pairs: list[tuple[str, t.Any]]) -> dict[str, t.Any]:
        names = [name for name, _value in pairs]
        twins = sorted({name for name in names if names.count(name) > 1})
        if twins:
            raise ValueError(f"key {twins[0]} is there twice in one object")
        return dict(pairs)

    def no_constant(name: str) -> t.NoReturn:
        raise ValueError(f"{name} is not JSON")

    try:
        found = json.loads(data.decode("utf-8"), object_pairs_hook=once, parse_constant=no_constant)
        json.dumps(found, ensure_ascii=False).encode("utf-8", "surrogateescape")  # a path may be no UTF-8
        return found
    except (ValueError, RecursionError) as error:
        raise UsageError(f"Cannot use {source}", f"it is not valid JSON: {error}", "correct it there") from error


def _refuse_shadows(jobs: t.Mapping[str, JobSettings], document: Fields) -> None:
    """Refuse names among those of the parts of another job: its backups could not be told from this one's."""
    for each in jobs.values():
        inside = sorted(name for name in jobs if each.has_members and name.startswith(f"{each.name}."))
        if inside:
            raise document.refuse(
                f"jobs.{inside[0]}", f"has a name that databases of {each.name} have", "give it another name"
            )


def _job(name: str, fields: Fields, repositories: t.Collection[str]) -> JobSettings:
    check_name(name, "a job", fields)
    settings = _KINDS[fields.choice("kind", tuple(_KINDS), None)](name, fields, repositories)
    fields.finish()
    return settings
