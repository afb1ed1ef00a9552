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
from ..postgres.connection import Server
from ..postgres.dump import DumpOptions
from ..repository.bucket import BucketStore
from ..repository.directory import DirectoryStore
from ..repository.layout import checked_job
from ..repository.store import Store
from ..s3.client import S3Client
from ..s3.endpoint import Endpoint
from ..stream.compression import SUFFIXES
from ..verify.restore import DrillPlace
from .database_backup import KIND, DatabaseJob
from .fields import Fields
from .place import Place
from .secret_file import read_secret

DEFAULT_FILE = "/etc/lifeboat/config.json"
PROOFS = ("none", "content", "restore")
_ON_SHRINK = ("fail", "warn", "ignore")
_STYLES = ("auto", "path", "virtual")
# libpq's sslmode (PostgreSQL manual, 34.1.2).
_SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")


@dataclasses.dataclass(frozen=True)
class RepositorySettings:
    """A repository of the configuration; its secrets are read when it is opened, by the user who runs the job."""

    name: str
    id: str = ""  # UUID that it must have; empty: any
    path: str = ""  # a directory; empty: a bucket
    bucket: str = ""
    prefix: str = ""
    endpoint: Endpoint | None = None  # without credentials
    access_key: str = dataclasses.field(default="", repr=False)
    secret_key_file: str = ""
    session_token_file: str = ""

    @property
    def location(self) -> str:
        """Return where it lies, for comparison with others."""
        if self.endpoint is None:
            return os.path.normpath(self.path)
        return f"{self.endpoint.url.rstrip('/')}/{self.bucket}/{self.prefix.strip('/')}"

    def opened(self) -> Place:
        """Return the repository to work with; nothing is sent to it yet. Raises UsageError for its secrets."""
        return Place(self.name, self._store(), self.id)

    def _store(self) -> Store:
        if self.endpoint is None:
            return DirectoryStore(self.path)
        endpoint = self.endpoint
        if self.access_key:
            token = read_secret(self.session_token_file) if self.session_token_file else ""
            secret = read_secret(self.secret_key_file)
            endpoint = dataclasses.replace(endpoint, access_key=self.access_key, secret_key=secret, session_token=token)
        return BucketStore(S3Client(endpoint), self.bucket, self.prefix)


@dataclasses.dataclass(frozen=True)
class JobSettings:
    """A job of the configuration."""

    name: str
    database: str
    repositories: tuple[str, ...]  # the primary one first
    server: Server  # without its password
    password_file: str = ""
    proof: str = "content"
    compression: str = "zstd"
    on_shrink: str = "fail"
    allow_partial: bool = False
    lock_timeout_s: int = DumpOptions.lock_timeout_s
    scratch_dir: str = ""  # for fetched archives and restores that are tried out; empty: that for temporary files
    run_as: str = ""  # user of this host; empty: whoever runs the command
    rpo_hours: float | None = None  # objective: how old the newest backup may be; None: no objective

    @property
    def kind(self) -> str:
        return KIND

    @property
    def drill(self) -> DrillPlace:
        return DrillPlace(bin_dir=self.server.bin_dir, folder=self.scratch_dir)

    def login(self) -> Server:
        """Return how to reach the server, with the password. Raises UsageError."""
        if not self.password_file:
            return self.server
        return dataclasses.replace(self.server, password=read_secret(self.password_file))


@dataclasses.dataclass(frozen=True)
class Config:
    """What this host backs up, and where to."""

    file: str
    repositories: t.Mapping[str, RepositorySettings]
    jobs: t.Mapping[str, JobSettings]

    def job(self, name: str) -> JobSettings:
        """Return a job. Raises UsageError that names those that there are."""
        if name not in self.jobs:
            known = ", ".join(sorted(self.jobs)) or "none"
            raise UsageError(f"Cannot find job {name}", f"{self.file} does not have it", f"its jobs are: {known}")
        return self.jobs[name]

    def places(self, job: JobSettings) -> tuple[Place, ...]:
        """Return all repositories of a job. Raises UsageError when the secrets of one cannot be read."""
        return tuple(self.repositories[name].opened() for name in job.repositories)

    def usable_places(self, job: JobSettings) -> tuple[tuple[Place, ...], dict[str, str]]:
        """Return the repositories of a job that can be opened, and why the others cannot: reading must not depend on
        all of them."""
        found: list[Place] = []
        refused: dict[str, str] = {}
        for name in job.repositories:
            try:
                found.append(self.repositories[name].opened())
            except LifeboatError as error:
                refused[name] = f"{error.problem}: {error.cause}"
        return tuple(found), refused

    def database_job(self, job: JobSettings) -> DatabaseJob:
        """Return what a run of a job works with. Raises UsageError when a secret cannot be read."""
        return DatabaseJob(
            name=job.name,
            server=job.login(),
            database=job.database,
            places=self.places(job),
            proof=job.proof,
            compression=job.compression,
            dump=DumpOptions(lock_timeout_s=job.lock_timeout_s),
            on_shrink=job.on_shrink,
            allow_partial=job.allow_partial,
            drill=job.drill,
        )


def load(path: str) -> Config:
    """Read the configuration; no secret is read. Raises UsageError that names the key and what is allowed."""
    return parse(_read(path), path)


def parse(data: bytes, source: str) -> Config:
    """Check the bytes of a configuration; `source` is the name of its file. Raises UsageError."""
    document = Fields(source, "", _decoded(data, source))
    repositories = {name: _repository(name, each) for name, each in document.sections("repositories").items()}
    _refuse_twins(repositories.values(), document)
    jobs = {name: _job(name, each, repositories) for name, each in document.sections("jobs").items()}
    document.finish()
    return Config(source, repositories, jobs)


def _read(path: str) -> bytes:
    problem = f"Cannot use {path}"
    try:
        with open(path, "rb") as file:
            found = os.fstat(file.fileno())
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
        return json.loads(data.decode("utf-8"), object_pairs_hook=once, parse_constant=no_constant)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"Cannot use {source}", f"it is not valid JSON: {error}", "correct it there") from error


def _repository(name: str, fields: Fields) -> RepositorySettings:
    _check_name(name, "a repository", fields)
    identity = fields.text("id")
    if fields.has("path") == fields.has("bucket"):
        words = "has both path and bucket" if fields.has("path") else "is missing, and so is bucket"
        raise fields.refuse("path", words, "give either path, or bucket with its endpoint_url")
    if fields.has("path"):
        settings = RepositorySettings(name, identity, path=fields.path("path", None))
    else:
        settings = _bucket(name, identity, fields)
    fields.finish()
    return settings


def _check_name(name: str, what: str, fields: Fields) -> None:
    try:
        checked_job(name)
    except UsageError as error:
        cause = f"{name!r} cannot be the name of {what}"
        raise UsageError(f"Cannot use {fields.source}", cause, error.remedy) from error


def _bucket(name: str, identity: str, fields: Fields) -> RepositorySettings:
    settings = RepositorySettings(
        name,
        identity,
        bucket=fields.text("bucket", None),
        prefix=fields.text("prefix"),
        endpoint=_endpoint(fields),
        access_key=fields.text("access_key"),
        secret_key_file=fields.path("secret_key_file"),
        session_token_file=fields.path("session_token_file"),
    )
    if bool(settings.access_key) != bool(settings.secret_key_file):
        missing = "secret_key_file" if settings.access_key else "access_key"
        raise fields.refuse(missing, "is missing", "give both access_key and secret_key_file, or neither")
    if settings.session_token_file and not settings.access_key:
        raise fields.refuse("access_key", "is missing", "a session token belongs to an access key")
    return settings


def _endpoint(fields: Fields) -> Endpoint:
    try:
        return Endpoint(
            url=fields.text("endpoint_url"),
            region=fields.text("region", Endpoint.region),
            addressing_style=fields.choice("addressing_style", _STYLES, "auto"),
            ca_file=fields.path("ca_cert"),
            verify_tls=fields.flag("validate_certs", True),
            allow_plaintext=fields.flag("allow_plaintext", False),
        )
    except UsageError as error:
        if error.problem.startswith("Cannot use this"):
            raise fields.refuse("endpoint_url", f"cannot be used: {error.cause}", error.remedy) from error
        raise


def _refuse_twins(repositories: t.Iterable[RepositorySettings], document: Fields) -> None:
    seen: dict[str, str] = {}
    for each in repositories:
        twin = seen.setdefault(each.location, each.name)
        if twin != each.name:
            words = f"has {twin} and {each.name} at the same place"
            raise document.refuse("repositories", words, "name each place once: a copy onto itself is no copy")


def _job(name: str, fields: Fields, repositories: t.Mapping[str, RepositorySettings]) -> JobSettings:
    _check_name(name, "a job", fields)
    fields.choice("kind", (KIND,), None)
    chosen = fields.texts("repositories")
    unknown = [each for each in chosen if each not in repositories]
    if unknown:
        known = ", ".join(sorted(repositories)) or "none"
        raise fields.refuse("repositories", f"names {unknown[0]}, which is not there", f"there are: {known}")
    objectives = fields.section("objectives")
    settings = JobSettings(
        name=name,
        database=fields.text("database", None),
        repositories=chosen,
        server=_server(fields),
        password_file=fields.path("login_password_file"),
        proof=fields.choice("proof", PROOFS, "content"),
        compression=fields.choice("compression", tuple(SUFFIXES), "zstd"),
        on_shrink=fields.choice("on_shrink", _ON_SHRINK, "fail"),
        allow_partial=fields.flag("allow_partial", False),
        lock_timeout_s=fields.whole("lock_timeout_s", DumpOptions.lock_timeout_s, 0, 86400),
        scratch_dir=fields.path("scratch_dir"),
        run_as=fields.text("run_as"),
        rpo_hours=objectives.hours("rpo_hours"),
    )
    objectives.finish()
    fields.finish()
    return settings


def _server(fields: Fields) -> Server:
    host, folder = fields.text("login_host"), fields.path("login_unix_socket")
    if host and folder:
        raise fields.refuse("login_host", "stands beside login_unix_socket", "give one of them")
    return Server(
        host=host or folder or Server.host,
        port=fields.whole("login_port", Server.port, 1, 65535),
        user=fields.text("login_user"),
        ssl_mode=fields.choice("ssl_mode", _SSL_MODES, Server.ssl_mode),
        ca_file=fields.path("ca_cert"),
        bin_dir=fields.path("bin_dir"),
    )
