# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import http.client
import os
import pwd
import secrets
import signal
import socket
import ssl
import subprocess
import time
import typing as t
from pathlib import Path

import minio_binary
import postgres_binaries
import versitygw_binary
from cache import SetupError, is_open_to_all
from processes import GuardedProcess, Identity

_START_TIMEOUT_S = 60.0
_POLL_S = 0.02
_START_TRIES = 5  # somebody else may take a free port between our probe and the server's bind
# After a kill, backends end a moment later than their postmaster, and ports are free a moment later than their server.
_PASSING = ("pre-existing shared memory block", "address already in use")
_SOCKET_PATH_MAX = 107  # bytes, unix(7)
_NOBODY = 65534
LOOPBACK = "127.0.0.1"


def free_port() -> int:
    """Return a TCP port on loopback that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


class Server:
    """A server process in a folder of its own, on loopback; `with` starts and stops it, and it ends when we do.

    The subclasses say how to start it and how to see that it serves. The folder may be kept, and started from again.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "server.log"
        self.port = free_port()
        self._has_served = False
        self._process: GuardedProcess | None = None

    @property
    def process(self) -> GuardedProcess:
        if self._process is None:
            raise RuntimeError(f"the server in {self.folder} was not started")
        return self._process

    def start(self) -> None:
        """Start, and return when it serves. Raises SetupError with the end of its log."""
        said = ""
        for _attempt in range(_START_TRIES):
            begin = self.log.stat().st_size if self.log.exists() else 0
            self._process = self._launch()
            if self._comes_up():
                self._has_served = True
                return
            self._process.stop()
            said = self.log.read_bytes()[begin:].decode("utf-8", "replace")
            if not self._may_try_again(said):
                break
        raise SetupError(f"The server in {self.folder} does not serve. It said:\n{said[-2000:]}")

    def _comes_up(self) -> bool:
        deadline = time.monotonic() + _START_TIMEOUT_S
        while self.process.poll() is None and time.monotonic() < deadline:
            if self._serves():
                return True
            time.sleep(_POLL_S)
        return False

    def _may_try_again(self, said: str) -> bool:
        """Say whether the log tells of something that passes; take another port while nobody can know the present."""
        if "already in use" in said and not self._has_served:
            self.port = free_port()
            return True
        return any(words in said for words in _PASSING)

    def stop(self) -> None:
        """End it in good order and wait for it; does nothing when it has ended."""
        if self._process is not None:
            self._process.stop()

    def kill(self) -> None:
        """End it without warning, as a crash would."""
        self.process.kill()

    def _launch(self) -> GuardedProcess:
        raise NotImplementedError

    def _serves(self) -> bool:
        raise NotImplementedError

    def __enter__(self: _S) -> _S:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


_S = t.TypeVar("_S", bound=Server)


class MinioServer(Server):
    """MinIO (or SILO) with one drive, or several, in `folder`. A restart keeps address, keys and data.

    With `tls`, `endpoint` is https and `ca_file` verifies it; `environment` adds MINIO_… settings, `options` some of
    the command line. `everywhere` adds to the settings of all servers that this process starts.
    """

    everywhere: t.ClassVar[dict[str, str]] = {}

    def __init__(
        self,
        folder: Path,
        *,
        tls: bool = False,
        drives: int = 1,
        access_key: str = "lifeboat-root",
        secret_key: str | None = None,
        environment: t.Mapping[str, str] | None = None,
        options: t.Sequence[str] = (),
    ) -> None:
        super().__init__(folder)
        self.access_key = access_key
        self.secret_key = secret_key or secrets.token_urlsafe(24)
        self.ca_file = folder / "certs" / "public.crt" if tls else None
        self._drives = [folder / f"drive{number}" for number in range(1, drives + 1)]
        self._environment = dict(environment or {})
        self._options = options

    @property
    def endpoint(self) -> str:
        return f"{'https' if self.ca_file else 'http'}://{LOOPBACK}:{self.port}"

    def _launch(self) -> GuardedProcess:
        for folder in (*self._drives, self.folder / "certs"):
            folder.mkdir(parents=True, exist_ok=True)
        if self.ca_file and not self.ca_file.exists():
            make_certificate(self.ca_file, self.ca_file.with_name("private.key"))
        options = [*self._options, "--quiet", "--certs-dir", self.folder / "certs"]
        options += ["--address", f"{LOOPBACK}:{self.port}", "--console-address", f"{LOOPBACK}:{free_port()}"]
        environment = {
            "HOME": str(self.folder),
            "PATH": os.defpath,
            "MINIO_ROOT_USER": self.access_key,
            "MINIO_ROOT_PASSWORD": self.secret_key,
            "MINIO_BROWSER": "off",
            "MINIO_UPDATE": "off",
            "MINIO_CI_CD": "1",  # lets several drives live on the root disk
            **self.everywhere,
            **self._environment,
        }
        return GuardedProcess(
            [minio_binary.find(), "server", *options, *self._drives],
            log=self.log,
            environment=environment,
            cwd=self.folder,
        )

    def _serves(self) -> bool:
        with contextlib.suppress(OSError, http.client.HTTPException):
            connection = self._connection()
            with contextlib.closing(connection):
                connection.request("GET", "/minio/health/cluster")
                return connection.getresponse().status == http.client.OK
        return False

    def _connection(self) -> http.client.HTTPConnection:
        if self.ca_file is None:
            return http.client.HTTPConnection(LOOPBACK, self.port, timeout=5)
        context = ssl.create_default_context(cafile=str(self.ca_file))
        return http.client.HTTPSConnection(LOOPBACK, self.port, timeout=5, context=context)


class VersityServer(Server):
    """Versity Gateway over a file system in `folder`, with versions: a second make of S3 server."""

    def __init__(self, folder: Path, *, access_key: str = "lifeboat-root", secret_key: str | None = None) -> None:
        super().__init__(folder)
        self.access_key = access_key
        self.secret_key = secret_key or secrets.token_urlsafe(24)
        self.ca_file: Path | None = None

    @property
    def endpoint(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    def _launch(self) -> GuardedProcess:
        objects, versions = self.folder / "objects", self.folder / "versions"
        for folder in (objects, versions):
            folder.mkdir(parents=True, exist_ok=True)
        address = f"{LOOPBACK}:{self.port}"
        options = ["--quiet", "--keep-alive", "--port", address, "--health", "/health"]
        return GuardedProcess(
            [versitygw_binary.find(), *options, "posix", "--versioning-dir", versions, objects],
            log=self.log,
            environment={
                "HOME": str(self.folder),
                "PATH": os.defpath,
                "ROOT_ACCESS_KEY": self.access_key,
                "ROOT_SECRET_KEY": self.secret_key,
            },
            cwd=self.folder,
        )

    def _serves(self) -> bool:
        with contextlib.suppress(OSError, http.client.HTTPException):
            connection = http.client.HTTPConnection(LOOPBACK, self.port, timeout=5)
            with contextlib.closing(connection):
                connection.request("GET", "/health")
                return connection.getresponse().status == http.client.OK
        return False


def make_certificate(certificate: Path, key: Path) -> None:
    """Write a self-signed certificate for loopback and its key, by openssl."""
    names = f"subjectAltName=DNS:localhost,IP:{LOOPBACK}"
    argv = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30"]
    argv += ["-subj", "/CN=Lifeboat test", "-addext", names, "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(argv, check=True, stdin=subprocess.DEVNULL, capture_output=True)


class PostgresServer(Server):
    """PostgreSQL of one major in `folder`: local connections by the socket in `socket_dir` are trusted.

    With `password`, it also listens on loopback and asks user `postgres` for it (SCRAM). PostgreSQL refuses root: root
    runs it as the user `postgres`, or as nobody, and then every user must be able to walk into `folder`. `settings` add
    to postgresql.conf. Nothing is synced to disk unless the settings say so.
    """

    user = "postgres"

    def __init__(
        self,
        folder: Path,
        major: int = postgres_binaries.MAJORS[0],
        *,
        password: str | None = None,
        settings: t.Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(folder)
        self.major = major
        self.bin_dir = postgres_binaries.bin_dir(major)
        self.password = password
        self.socket_dir = folder / "s"
        self.data_dir = folder / "data"
        self.identity = _unprivileged()
        quick = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "log_min_messages": "warning"}
        self._settings = {**quick, **(settings or {})}

    def sql(self, statement: str, database: str = "postgres") -> str:
        """Run SQL as the superuser and return the rows as text: fields are separated by `|`. Raises SetupError."""
        import plain_sql  # not above: the library that it needs is in the development environment only

        if plain_sql.is_plain(statement):
            where = {"host": str(self.socket_dir), "port": self.port, "user": self.user, "dbname": database}
            return plain_sql.rows(statement, where)
        argv = [self.bin_dir / "psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-h", self.socket_dir, "-p", self.port]
        argv += ["-U", self.user, "-d", "dbname='" + database.replace("\\", "\\\\").replace("'", "\\'") + "'"]
        done = subprocess.run(
            [str(word) for word in argv],
            input=statement,
            env={"PATH": os.defpath, "HOME": str(self.folder), "PGCLIENTENCODING": "UTF8"},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise SetupError(f"PostgreSQL refused a statement: {done.stderr.strip()}")
        return done.stdout.rstrip("\n")

    def _launch(self) -> GuardedProcess:
        self._make_folders()
        if not (self.data_dir / "PG_VERSION").exists():
            self._initialise()
        settings = {
            **self._settings,
            "port": str(self.port),
            "unix_socket_directories": str(self.socket_dir),
            "listen_addresses": LOOPBACK if self.password else "",
        }
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        return GuardedProcess(
            [self.bin_dir / "postgres", "-D", self.data_dir, *options],
            log=self.log,
            environment=self._environment(),
            cwd=self.folder,
            identity=self.identity,
            stop_signal=signal.SIGINT,  # fast shutdown: sessions are ended, a checkpoint is written
        )

    def _environment(self) -> dict[str, str]:
        return {"HOME": str(self.folder), "PATH": os.defpath, "LC_ALL": "C.UTF-8", "TZ": "UTC"}

    def _make_folders(self) -> None:
        socket_path = self.socket_dir / f".s.PGSQL.{self.port}.lock"
        if len(os.fsencode(socket_path)) > _SOCKET_PATH_MAX:
            raise SetupError(f"{socket_path} is too long for a socket.\nRemedy: use a folder with a shorter path.")
        for folder in (self.folder, self.socket_dir):
            folder.mkdir(parents=True, exist_ok=True)
            if self.identity:
                os.chown(folder, *self.identity)
        if self.identity and not is_open_to_all(self.folder.parent):
            raise SetupError(
                f"{self.folder} is closed to the user that PostgreSQL runs as.\nRemedy: use another folder."
            )

    def _initialise(self) -> None:
        argv = [
            self.bin_dir / "initdb",
            "-D",
            self.data_dir,
            "--username",
            self.user,
            "--encoding=UTF8",
            "--locale=C.UTF-8",
        ]
        argv += [
            "--data-checksums",
            "--no-sync",
            "--no-instructions",
            "--auth-local=trust",
            "--auth-host=scram-sha-256",
        ]
        # initdb wants a password as soon as a method asks for one, though nobody may connect by it.
        password_file = self.folder / "superuser-password"
        password_file.touch(mode=0o600)
        password_file.write_text((self.password or secrets.token_urlsafe(24)) + "\n", encoding="utf-8")
        if self.identity:
            os.chown(password_file, *self.identity)
        process = GuardedProcess(
            [*argv, "--pwfile", password_file],
            log=self.log,
            environment=self._environment(),
            cwd=self.folder,
            identity=self.identity,
        )
        with process:
            status = process.wait(_START_TIMEOUT_S)
        password_file.unlink()
        if status != 0:
            raise SetupError(f"initdb ended with {status}. It said:\n{self.log.read_text(encoding='utf-8')[-2000:]}")

    def _serves(self) -> bool:
        # The postmaster writes its process id to the first line and its state to the eighth
        # (src/include/utils/pidfile.h).
        with contextlib.suppress(OSError):
            lines = (self.data_dir / "postmaster.pid").read_text(encoding="utf-8").splitlines()
            return len(lines) >= 8 and lines[0] == str(self.process.pid) and lines[7].strip() == "ready"
        return False


def _unprivileged() -> Identity | None:
    """Return whom PostgreSQL runs as when we are root, None when we are not."""
    if os.geteuid() != 0:
        return None
    with contextlib.suppress(KeyError):
        entry = pwd.getpwnam("postgres")
        return entry.pw_uid, entry.pw_gid
    return _NOBODY, _NOBODY
