# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
import typing as t

from ..postgres.connection import Server
from ..postgres.container import ENGINES, NAME_RULE, Container, is_name
from ..postgres.container_server import located
from ..postgres.dump import DumpOptions
from ..verify.drill_place import DrillPlace
from .database_backup import KIND, DatabaseJob
from .fields import Fields
from .job_settings import JobSettings, shared_from
from .place import Place
from .secret_file import read_secret

PROOFS = ("none", "content", "restore")
_ON_SHRINK = ("fail", "warn", "ignore")
# libpq's sslmode (PostgreSQL manual, 34.1.2).
_SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")


@dataclasses.dataclass(frozen=True)
class DatabaseSettings(JobSettings):
    """A job that backs a database up."""

    database: str = ""
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

    def job(self, places: tuple[Place, ...]) -> DatabaseJob:
        """Return what a run works with. Raises UsageError when a secret cannot be read."""
        return DatabaseJob(
            name=self.name,
            server=self.login(),
            database=self.database,
            places=places,
            proof=self.proof,
            compression=self.compression,
            dump=DumpOptions(lock_timeout_s=self.lock_timeout_s),
            on_shrink=self.on_shrink,
            allow_partial=self.allow_partial,
            drill=self.drill,
        )


def database_from(name: str, fields: Fields, repositories: t.Collection[str]) -> DatabaseSettings:
    """Return a job of kind pg_database. Raises UsageError."""
    return DatabaseSettings(
        **shared_from(name, KIND, fields, repositories, PROOFS),
        database=fields.text("database", None),
        server=_server(fields),
        password_file=fields.path("login_password_file"),
        on_shrink=fields.choice("on_shrink", _ON_SHRINK, "fail"),
        lock_timeout_s=fields.whole("lock_timeout_s", DumpOptions.lock_timeout_s, 0, 86400),
        scratch_dir=fields.path("scratch_dir"),
    )


def _server(fields: Fields) -> Server:
    host, folder = fields.text("login_host"), fields.path("login_unix_socket")
    if host and folder:
        raise fields.refuse("login_host", "stands beside login_unix_socket", "give one of them")
    bin_dir = fields.path("bin_dir")
    container = _container(fields, bin_dir)
    return Server(
        host=host or folder or ("" if container else Server.host),
        port=fields.whole("login_port", Server.port, 1, 65535),
        user=fields.text("login_user"),
        ssl_mode=fields.choice("ssl_mode", _SSL_MODES, Server.ssl_mode),
        ca_file=fields.path("ca_cert"),
        bin_dir="" if container else bin_dir,
        container=container,
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
