# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import datetime as dt
import os
import re
import threading
import typing as t
from dataclasses import dataclass, field

from .. import clock
from ..errors import LifeboatError, MissingPartError
from .container import Container
from .quoting import conninfo

try:
    import psycopg2
    import psycopg2.extensions
except ImportError:  # pragma: no cover - depends on the host
    psycopg2 = None  # type: ignore[assignment]

APPLICATION_NAME = "lifeboat"
_OPTIONS = "-c statement_timeout=0 -c lock_timeout=0 -c default_transaction_read_only=off"
# Whoever owns a database, or may create in a schema of its search path, can make functions and operators that fit our
# calls better than those of PostgreSQL: as superuser we would run them (PostgreSQL wiki, "A Guide to CVE-2018-1058").
_TRUSTED_NAMES = "-c search_path=pg_catalog"
# Variables of libpq that lead a session somewhere else than `Server` says. The programs are started without them.
_ELSEWHERE = ("PGHOSTADDR", "PGSERVICE", "PGTARGETSESSIONATTRS", "PGUSER")
_ENVIRONMENT = threading.Lock()  # held while the environment of this process is another one
REACHED_BY = (
    "publish the container's port to this host (--publish 127.0.0.1:5432:5432), or say with login_host and login_port, "
    "or login_unix_socket for a volume, how it is reached from here"
)


@dataclass(frozen=True)
class Server:
    """How to reach one PostgreSQL server."""

    host: str = "/var/run/postgresql"  # name, address, or folder of the socket (begins with a slash); see `container`
    port: int = 5432
    user: str = ""  # role to log in as; empty: the name of the operating system's user
    password: str = field(default="", repr=False)  # empty: none, or what libpq finds in ~/.pgpass
    maintenance_database: str = "postgres"  # a database to be connected to while others are looked at or renamed
    ssl_mode: str = "prefer"  # libpq's sslmode
    ca_file: str = ""  # certificate authority for verify-ca and verify-full; empty: libpq's default
    bin_dir: str = ""  # folder of the client tools; empty: the usual places
    connect_timeout_s: int = 10
    container: Container | None = None  # where it runs and has its programs; with it an empty `host` is to be found out
    service: str = ""  # name in libpq's connection service file, which then says all above but `maintenance_database`
    service_file: str = ""  # empty: where libpq looks for it
    pass_file: str = ""  # password file of libpq; empty: ~/.pgpass
    session_role: str = ""  # role to become after login; empty: stay who logged in

    @property
    def is_local(self) -> bool:
        """Say whether the server's socket and folders are on this host."""
        return self.host.startswith("/") and self.container is None and not self.service

    @property
    def session_options(self) -> str:
        """Return the server options of every session, as PGOPTIONS has them."""
        # libpq takes blanks for separators unless a backslash is before them (PostgreSQL manual, 34.1.2, "options").
        escaped = re.sub(r"([\\\s])", r"\\\1", self.session_role)
        return f"-c role={escaped}" if escaped else ""

    def environment(self) -> dict[str, str]:
        """Return the variables that lead a client tool to this server; the password travels only here.

        `PGTZ` pins the time zone, because times with time zone are written in the session's zone and pg_dump does not
        set it: the same data would give another dump on a server with other settings.
        """
        login = {
            "PGHOST": self.host,
            "PGPORT": str(self.port),
            "PGUSER": self.user,
            "PGPASSWORD": self.password,
            "PGSSLMODE": self.ssl_mode,
            "PGSSLROOTCERT": self.ca_file,
        }
        variables = {
            **({"PGSERVICE": self.service, "PGSERVICEFILE": self.service_file} if self.service else login),
            "PGPASSFILE": self.pass_file,
            "PGOPTIONS": self.session_options,
            "PGCONNECT_TIMEOUT": str(self.connect_timeout_s),
            "PGAPPNAME": APPLICATION_NAME,
            "PGTZ": "UTC",
        }
        return {name: value for name, value in variables.items() if value}

    def option_for(self, database: str) -> str:
        """Return the argument that makes a client tool connect to exactly this database."""
        return f"--dbname={conninfo(database)}"

    def __str__(self) -> str:
        if self.service:
            return f"service {self.service}"
        place = f"{self.host}:{self.port}"
        return f"{place} ({self.container})" if self.container else place


class Session:
    """A connection to one database; every statement is its own transaction unless `transaction()` is used."""

    def __init__(self, connection: t.Any, server: Server, database: str) -> None:
        self._connection = connection
        self.server = server
        self.database = database

    @property
    def version_number(self) -> int:
        """Return the server's version, such as 150018 for 15.18."""
        return int(self._connection.server_version)

    @property
    def login(self) -> tuple[str, str]:
        """Return the role that logged in and the password that it used, also one that libpq found in ~/.pgpass."""
        found = getattr(self._connection, "info", None)  # since psycopg2 2.8
        if found is None:
            return self.server.user or str(self.value("SELECT session_user")), self.server.password
        return str(found.user), str(found.password or "")

    def rows(self, query: str, *values: t.Any) -> list[tuple[t.Any, ...]]:
        """Run a query and return its rows. Raises LifeboatError with the server's words."""
        with self._cursor(query, values) as cursor:
            return list(cursor.fetchall())

    def value(self, query: str, *values: t.Any) -> t.Any:
        """Run a query and return the first column of its first row, None if there is none."""
        found = self.rows(query, *values)
        return found[0][0] if found else None

    def names(self, query: str, *values: t.Any) -> list[str]:
        """Run a query and return its first column as texts."""
        return [str(row[0]) for row in self.rows(query, *values)]

    def run(self, statement: str) -> None:
        """Run a statement that returns nothing; names and values in it are quoted by the caller."""
        with self._cursor(statement, ()):
            pass

    @contextlib.contextmanager
    def transaction(self) -> t.Iterator[None]:
        """Run the statements of the block as one transaction."""
        self.run("BEGIN")
        try:
            yield
        except BaseException:
            with contextlib.suppress(LifeboatError):
                self.run("ROLLBACK")
            raise
        self.run("COMMIT")

    @contextlib.contextmanager
    def _cursor(self, statement: str, values: tuple[t.Any, ...]) -> t.Iterator[t.Any]:
        try:
            with self._connection.cursor() as cursor:
                # None, not an empty tuple: only then does the driver leave percent signs alone.
                cursor.execute(statement, values or None)
                yield cursor
        except psycopg2.Error as error:
            raise LifeboatError(
                f"Cannot work on database {self.database} of {self.server}", _words(error), "see the server's log"
            ) from error

    def close(self) -> None:
        """End the connection; does nothing when it has ended."""
        self._connection.close()


@contextlib.contextmanager
def connect(server: Server, database: str, *, keeps_search_path: bool = False) -> t.Iterator[Session]:
    """Connect to one database by its exact name for the duration of the block.

    Names without a schema are those of PostgreSQL alone; with `keeps_search_path` those that applications find. Raises
    MissingPartError without psycopg2, LifeboatError when the server refuses.
    """
    if psycopg2 is None:
        raise MissingPartError(
            "Cannot connect to PostgreSQL", "the Python library psycopg2 is not installed", "install python3-psycopg2"
        )
    session = Session(_open(server, database, keeps_search_path), server, database)
    try:
        yield session
    finally:
        session.close()


def _open(server: Server, database: str, keeps_search_path: bool) -> t.Any:
    for variable in _ELSEWHERE:
        os.environ.pop(variable, None)
    options = (_OPTIONS, *(() if keeps_search_path else (_TRUSTED_NAMES,)), server.session_options)
    login = {
        "host": server.host,
        "port": server.port,
        "user": server.user or None,
        "password": server.password or None,
        "sslmode": server.ssl_mode,
        "sslrootcert": server.ca_file or None,
    }
    try:
        with _service_file(server):
            connection = psycopg2.connect(
                dbname=database,
                connect_timeout=server.connect_timeout_s,
                application_name=APPLICATION_NAME,
                client_encoding="UTF8",
                passfile=server.pass_file or None,
                options=" ".join(each for each in options if each),
                **({"service": server.service} if server.service else login),
            )
    except (psycopg2.Error, ValueError) as error:
        raise LifeboatError(
            f"Cannot connect to database {database} of PostgreSQL at {server}",
            _words(error),
            _login_remedy(str(error), server),
        ) from error
    connection.autocommit = True
    if connection.get_parameter_status("server_encoding") == "SQL_ASCII":
        # Such a server converts nothing and promises nothing about its bytes: Latin-1 decodes them all.
        connection.set_client_encoding("LATIN1")
    return connection


@contextlib.contextmanager
def _service_file(server: Server) -> t.Iterator[None]:
    """Let libpq find the service file for the duration of the block: before 18 only the environment can name it."""
    if not (server.service and server.service_file):
        yield
        return
    with _ENVIRONMENT:
        before = os.environ.get("PGSERVICEFILE")
        os.environ["PGSERVICEFILE"] = server.service_file
        try:
            yield
        finally:
            if before is None:
                del os.environ["PGSERVICEFILE"]
            else:
                os.environ["PGSERVICEFILE"] = before


def server_time(server: Server) -> dt.datetime:
    """Return the time of the server's own clock, in UTC."""
    with connect(server, server.maintenance_database) as session:
        moment = session.value("SELECT clock_timestamp()")
    return t.cast("dt.datetime", moment).astimezone(clock.UTC)


def _login_remedy(words: str, server: Server) -> str:
    if "authentication failed" in words or "no password supplied" in words:
        return "check the login user and password, and pg_hba.conf"
    if "service" in words and server.service:
        return "check the name of the service, and its file"
    if "certificate" in words or "SSL" in words:
        return "check ssl_mode, ca_cert and the certificate of the server"
    if 'invalid value for parameter "role"' in words or "permission denied to set role" in words:
        return "check session_role: the login user must be a member of it"
    if "does not exist" in words:
        return "check the names of the database and of the login user"
    if server.container is not None:
        return f"{REACHED_BY}, and check that the server inside runs"
    return "check the host, the port and that the server runs"


def _words(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
