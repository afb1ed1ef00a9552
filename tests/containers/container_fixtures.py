# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""PostgreSQL servers in containers. The gate `containers` has a Docker daemon and an image for them."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import secrets
import subprocess
import time
import typing as t
from pathlib import Path

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host import job_lock
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.place import Place
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres import tools
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.connection import Server
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.container import Container
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.container_server import located
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository import identity
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.directory import DirectoryStore

PASSWORD = "canary-" + secrets.token_hex(8)
PATIENCE_S = 60.0
_READY = "database system is ready to accept connections"
# As in the images that people use: the server is the first process, and passwords are asked for from everywhere.
_START = """
if [ ! -e "$PGDATA" ]; then
  printf '%s\\n' "$SECRET" > /tmp/password
  initdb --no-sync --auth-host=scram-sha-256 --auth-local=reject --pwfile=/tmp/password > /dev/null
  rm /tmp/password
  echo 'host all all all scram-sha-256' >> "$PGDATA/pg_hba.conf"
fi
unset SECRET
exec postgres -c fsync=off -c listen_addresses='*' -c unix_socket_directories=
"""
_SETTINGS = {"PATH": "/usr/lib/postgresql/15/bin:/usr/bin:/bin", "PGDATA": "/var/lib/postgresql/data"}


@dataclasses.dataclass(frozen=True)
class Postgres:
    """A container with a server, whose superuser is postgres."""

    name: str

    @property
    def server(self) -> Server:
        """Return what an operator says of it."""
        return Server(host="", user="postgres", password=PASSWORD, container=Container(self.name))

    @property
    def reached(self) -> Server:
        return located(self.server)

    def sql(self, statement: str, database: str = "postgres") -> str:
        options = ["--interactive", "--env=PGPASSWORD", "--env=PGHOST=127.0.0.1", "--env=PGUSER=postgres"]
        psql = ["psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", database]
        return docker("exec", *options, self.name, *psql, said=statement, variables={"PGPASSWORD": PASSWORD})

    def programs(self) -> list[str]:
        """Return the command lines of what runs inside beside the server and its own processes."""
        lines = docker("top", self.name, "-eo", "pid,args").splitlines()[1:]
        commands = [line.split(None, 1)[1] for line in lines]
        return [command for command in commands if not os.path.basename(command.split()[0]).startswith("postgres")]

    def log(self) -> str:
        done = subprocess.run(["docker", "logs", self.name], capture_output=True, text=True, check=True)
        return done.stdout + done.stderr

    def start(self) -> None:
        """Start a container that was stopped, and wait for its server."""
        docker("wait", self.name)  # a container that was killed counts as running for a while
        before = self.log().count(_READY)
        docker("start", self.name)
        wait_until(lambda: self.log().count(_READY) > before, "the server")

    def wait_for_sessions(self, count: int) -> None:
        """Wait until so many sessions of programs that Lifeboat started are there."""
        query = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'lifeboat'"
        wait_until(lambda: int(self.sql(query)) == count, f"{count} sessions")


def docker(*words: str, said: str = "", variables: t.Mapping[str, str] | None = None) -> str:
    done = subprocess.run(
        ["docker", *words],
        input=said,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **(variables or {})},
    )
    if done.returncode != 0:
        raise RuntimeError(f"docker {words[0]} ended with {done.returncode}: {done.stderr}")
    return done.stdout.strip()


def wait_until(is_so: t.Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not is_so():
        if time.monotonic() > deadline:
            raise TimeoutError(f"there is no end of waiting for {what}")
        time.sleep(0.1)


@contextlib.contextmanager
def running(*options: str) -> t.Iterator[Postgres]:
    """Run a server in a new container."""
    image = os.environ.get("LIFEBOAT_HOST_IMAGE")
    if not image:
        raise RuntimeError("there is no image: run python3 tests/environment/gates.py containers")
    name = f"lifeboat-pg-{secrets.token_hex(4)}"
    given = [f"--env={key}={value}" for key, value in _SETTINGS.items()]
    given += ["--env=SECRET", "--user=postgres", f"--name={name}", *options]
    docker("run", "--detach", *given, image, "sh", "-c", _START, variables={"SECRET": PASSWORD})
    try:
        found = Postgres(name)
        wait_until(lambda: _READY in found.log(), "the server")
        yield found
    finally:
        docker("rm", "--force", "--volumes", name)


@pytest.fixture(scope="session")
def postgres() -> t.Iterator[Postgres]:
    """Return a server whose port is published."""
    with running("--publish=127.0.0.1::5432") as found:
        yield found


@pytest.fixture(scope="session")
def quiet() -> t.Iterator[Postgres]:
    """Return another server, whose port is not published. Tests may stop it, and leave it running."""
    with running() as found:
        yield found


@pytest.fixture
def bare_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this host have no programs of PostgreSQL."""
    monkeypatch.setattr(tools, "_usual_places", lambda *_: iter(()))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Return a repository in a directory."""
    folder = tmp_path / "repository"
    folder.mkdir()
    store = DirectoryStore(str(folder))
    identity.initialise(store)
    return Place("local", store)


@pytest.fixture(autouse=True)
def own_locks(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep the locks of jobs out of the folder that real jobs of this machine use."""
    monkeypatch.setattr(job_lock, "_FOLDERS", (str(tmp_path_factory.mktemp("locks")),))


def state(name: str) -> dict[str, t.Any]:
    found: list[dict[str, t.Any]] = json.loads(docker("container", "inspect", name))
    return found[0]
