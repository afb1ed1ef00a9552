# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
import typing as t

from ..errors import LifeboatError, UsageError
from ..postgres.connection import Server
from ..postgres.container import ENGINES, NAME_RULE, Container, is_name
from ..postgres.container_server import located
from ..postgres.databases import Selection, databases_of, selection_from
from ..postgres.dump import DumpOptions
from ..verify.drill_place import DrillPlace
from .fields import Fields
from .job_kinds import DATABASE
from .job_settings import JobSettings, shared_from
from .member_names import MOST_PARALLEL, ON_GONE, PARALLEL, checked_server_job, database_of, member_job
from .place import Place
from .secret_file import read_secret

if t.TYPE_CHECKING:
    from .database_backup import DatabaseJob
    from .server_backup import ServerJob

# What the service file of libpq says instead.
_OF_SERVICE = ("login_host", "login_port", "login_unix_socket", "login_user", "ssl_mode", "ca_cert", "container")
PROOFS = ("none", "content", "restore")
_ON_SHRINK = ("fail", "warn", "ignore")
# libpq's sslmode (PostgreSQL manual, 34.1.2).
_SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")


@dataclasses.dataclass(frozen=True)
class DatabaseSettings(JobSettings):
    """A job that backs up a database, or several databases of a server."""

    database: str = ""  # empty: see `selection` and `server_job`
    selection: Selection | None = None  # None: one database
    parallel: int = PARALLEL  # databases at once
    on_gone: str = ON_GONE[0]
    server_job: str = ""  # name of the job for several databases that this one is a part of
    server: Server = dataclasses.field(default_factory=Server)  # without its password
    password_file: str = ""
    on_shrink: str = "fail"
    lock_timeout_s: int = DumpOptions.lock_timeout_s
    scratch_dir: str = ""  # for fetched archives and restores that are tried out; empty: that for temporary files

    @property
    def drill(self) -> DrillPlace:
        return DrillPlace(bin_dir=self.server.bin_dir, folder=self.scratch_dir, container=self.server.container)

    def login(self) -> Server:
        """Return how to reach the server, with the password.

        Raises UsageError for the secret, LifeboatError for a container that is not there or does not run.
        """
        server = located(self.server)
        if not self.password_file:
            return server
        return dataclasses.replace(server, password=read_secret(self.password_file))

    @property
    def has_members(self) -> bool:
        return self.selection is not None

    def member(self, name: str) -> DatabaseSettings | None:
        """Return the job of one of the databases, None when the name is not that of one; nobody looks whether it is
        there."""
        database = database_of(self.name, name) if self.selection is not None else None
        if database is None:
            return None
        return dataclasses.replace(self, name=name, database=database, selection=None, server_job=self.name)

    def job(self, places: tuple[Place, ...]) -> DatabaseJob:
        """Return what a run works with. Raises UsageError when a secret cannot be read."""
        from .database_backup import DatabaseJob  # here: only runs need it, and it brings most of the engine

        server = self.login()
        return DatabaseJob(
            name=self.name,
            server=server,
            database=self.database or (self._found(server) if self.server_job else ""),
            places=places,
            proof=self.proof,
            compression=self.compression,
            dump=DumpOptions(lock_timeout_s=self.lock_timeout_s),
            on_shrink=self.on_shrink,
            allow_partial=self.allow_partial,
            drill=self.drill,
        )

    def all_of_server(self, selection: Selection, open_places: t.Callable[[], tuple[Place, ...]]) -> ServerJob:
        """Return what a run of several databases works with. Raises UsageError when a secret cannot be read."""
        from .server_backup import ServerJob

        return ServerJob(self.job(()), open_places, selection, self.parallel, self.on_gone)

    def _found(self, server: Server) -> str:
        """Return the database whose name is too long to be told by that of the job. Raises LifeboatError."""
        for each in databases_of(server):
            if member_job(self.server_job, each.name) == self.name:
                return each.name
        raise LifeboatError(
            f"Cannot run job {self.name}", f"the server at {server} does not have its database", "check the name"
        )


def database_from(name: str, fields: Fields, repositories: t.Collection[str]) -> DatabaseSettings:
    """Return a job of kind pg_database. Raises UsageError."""
    selection = _selection(name, fields)
    return DatabaseSettings(
        **shared_from(name, DATABASE, fields, repositories, PROOFS),
        database=fields.text("database", None) if selection is None else "",
        selection=selection,
        parallel=fields.whole("parallel", PARALLEL, 1, MOST_PARALLEL),
        on_gone=fields.choice("on_gone", ON_GONE, ON_GONE[0]),
        server=_server(fields),
        password_file=fields.path("login_password_file"),
        on_shrink=fields.choice("on_shrink", _ON_SHRINK, "fail"),
        lock_timeout_s=fields.whole("lock_timeout_s", DumpOptions.lock_timeout_s, 0, 86400),
        scratch_dir=fields.path("scratch_dir"),
    )


def _selection(name: str, fields: Fields) -> Selection | None:
    """Return which databases a job means, None for a job of one. Raises UsageError."""
    value, exclude = fields.anything("databases"), fields.texts("exclude", ())
    if value is None:
        for key in ("exclude", "parallel", "on_gone"):
            if fields.has(key):
                raise fields.refuse(key, "stands without databases", "remove it, or set databases to all")
        return None
    if fields.has("database"):
        raise fields.refuse("databases", "stands beside database", "give one of them")
    try:
        checked_server_job(name)
        return selection_from(value, exclude, "")
    except UsageError as error:
        raise fields.refuse("databases", f"cannot be used: {error.cause}", error.remedy) from error


def _server(fields: Fields) -> Server:
    host, folder = fields.text("login_host"), fields.path("login_unix_socket")
    if host and folder:
        raise fields.refuse("login_host", "stands beside login_unix_socket", "give one of them")
    bin_dir = fields.path("bin_dir")
    container = _container(fields, bin_dir)
    pass_file, session_role = fields.path("login_pass_file"), fields.text("session_role")
    if fields.has("login_service") or fields.has("login_service_file"):
        for key in _OF_SERVICE:
            if fields.has(key):
                raise fields.refuse(key, "stands beside login_service, which says it", "give one of them")
        service, file = fields.text("login_service", None), fields.path("login_service_file")
        found = Server("", 0, service=service, service_file=file, bin_dir=bin_dir)
        return dataclasses.replace(found, pass_file=pass_file, session_role=session_role)
    return Server(
        host=host or folder or ("" if container else Server.host),
        port=fields.whole("login_port", Server.port, 1, 65535),
        user=fields.text("login_user"),
        ssl_mode=fields.choice("ssl_mode", _SSL_MODES, Server.ssl_mode),
        ca_file=fields.path("ca_cert"),
        bin_dir="" if container else bin_dir,
        container=container,
        pass_file=pass_file,
        session_role=session_role,
    )


def _container(fields: Fields, bin_dir: str) -> Container | None:
    name, engine = fields.text("container"), fields.choice("container_engine", ("", *ENGINES), "")
    if not name:
        if engine:
            raise fields.refuse("container_engine", "stands alone", "name the container, too")
        return None
    if not is_name(name):
        raise fields.refuse("container", "cannot be the name of a container", f"use {NAME_RULE}")
    return Container(name, engine, bin_dir)
