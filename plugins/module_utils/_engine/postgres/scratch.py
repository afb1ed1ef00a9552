# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
import shutil
import signal
import stat
import tempfile
import typing as t
from pathlib import Path

from .. import clock
from ..child import Child, output_of
from ..errors import LifeboatError
from ..steps import reached
from .connection import Server, connect
from .tools import Tool, find_tool

_PREFIX = "lifeboat-pg-"
_SUPERUSER = "postgres"
_SOCKET_LIMIT = 107 - len("/.s.PGSQL.5432")  # bytes of a socket's folder (unix(7), sun_path)
_STARTING_S = 60.0

# Nothing here outlives the run, so nothing is synced; a dump of thousands of tables or large objects needs many locks.
_SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "4GB",
    "autovacuum": "off",
    "max_connections": "40",
    "max_locks_per_transaction": "1024",
    "maintenance_work_mem": "256MB",
}


@contextlib.contextmanager
def scratch_server(
    major: int,
    *,
    bin_dir: str = "",
    parent: str = "",
    user: tuple[int, int] | None = None,
    lc_monetary: str = "C",
) -> t.Iterator[Server]:
    """Run a throw-away PostgreSQL server of `major` (or the next newer one there is) for the duration of the block.

    It listens on a socket in its own 0700 folder under `parent` (default: the folder for temporary files, which must
    have room for the data) and asks for a random password. `user` is the (uid, gid) to run as; root becomes `nobody` by
    default, because a dump is somebody else's SQL and the server refuses root anyway. Raises MissingPartError when the
    server's programs are not installed. The folder is removed in the end; what a killed run left is removed by the
    next.
    """
    postgres = server_programs(major, bin_dir, "Cannot start a scratch PostgreSQL server")
    initdb = find_tool(
        "initdb", postgres.major, os.path.dirname(postgres.path), "Cannot start a scratch PostgreSQL server"
    )
    parent = parent or tempfile.gettempdir()
    remove_leftovers(parent)
    identity = user or _unprivileged()
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(_own_folder(parent, identity))
        sockets = folder
        if len(os.fsencode(folder)) > _SOCKET_LIMIT:
            sockets = stack.enter_context(_own_folder("/tmp", identity))
        password = secrets.token_urlsafe(24)
        _make_cluster(initdb, folder, identity, password, lc_monetary)
        child = stack.enter_context(_started(postgres, folder, sockets, identity))
        server = Server(
            host=sockets, user=_SUPERUSER, password=password, ssl_mode="disable", bin_dir=os.path.dirname(initdb.path)
        )
        _wait_until_ready(server, child)
        reached("scratch.ready")
        yield server


def server_programs(major: int, bin_dir: str, purpose: str) -> Tool:
    """Return the program of a server of `major`, or the next newer one, whose folder has initdb, too. Raises
    MissingPartError."""
    initdb = find_tool("initdb", major, bin_dir, purpose)
    return find_tool("postgres", initdb.major, os.path.dirname(initdb.path), purpose)


def remove_leftovers(parent: str) -> None:
    """Remove the scratch servers of runs that were killed: end the server, remove its folder. Those of living runs
    stay."""
    for folder in Path(parent).glob(_PREFIX + "*"):
        owner = _first_number(folder / "run.pid") if _is_ours(folder / "run.pid") else None
        if owner is None or owner == os.getpid() or _is_alive(owner):
            continue
        postmaster = _first_number(folder / "data" / "postmaster.pid")
        if postmaster is not None and _works_in(postmaster, folder / "data"):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(postmaster, signal.SIGQUIT)
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _own_folder(parent: str, identity: tuple[int, int] | None) -> t.Iterator[str]:
    folder = tempfile.mkdtemp(prefix=_PREFIX, dir=parent)
    try:
        Path(folder, "run.pid").write_text(f"{os.getpid()}\n")
        if identity:
            os.chown(folder, *identity)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _unprivileged() -> tuple[int, int] | None:
    if os.geteuid() != 0:
        return None
    entry = pwd.getpwnam("nobody")
    return entry.pw_uid, entry.pw_gid


def _make_cluster(initdb: Tool, folder: str, identity: tuple[int, int] | None, password: str, lc_monetary: str) -> None:
    password_file = Path(folder, "password")
    with open(os.open(password_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(password + "\n")
        if identity:
            os.fchown(file.fileno(), *identity)  # by descriptor: whoever shares the folder cannot put a link in between
    argv = [
        initdb.path,
        f"--pgdata={folder}/data",
        f"--username={_SUPERUSER}",
        f"--pwfile={password_file}",
        "--auth=scram-sha-256",
        "--encoding=UTF8",
        "--locale=C",
        "--no-sync",
        "--no-instructions",
    ]
    problem = "Cannot start a scratch PostgreSQL server"
    remedy = f"check that {initdb.path} can be run by the user of the scratch server, and the space in {folder}"
    try:
        output_of([*argv, f"--lc-monetary={lc_monetary}"], problem, remedy, environment={"HOME": folder}, user=identity)
    except LifeboatError:
        if lc_monetary == "C":
            raise
        # The source's locale is not on this host: amounts of money will be compared in another notation, and found
        # different.
        shutil.rmtree(Path(folder, "data"), ignore_errors=True)
        output_of(argv, problem, remedy, environment={"HOME": folder}, user=identity)
    password_file.unlink()


@contextlib.contextmanager
def _started(postgres: Tool, folder: str, sockets: str, identity: tuple[int, int] | None) -> t.Iterator[Child]:
    settings = {**_SETTINGS, "unix_socket_directories": sockets}
    argv = [postgres.path, "-D", f"{folder}/data"]
    argv += [f"--{name}={value}" for name, value in settings.items()]
    child = Child(argv, environment={"HOME": folder}, user=identity, cwd=folder)
    try:
        yield child
    finally:
        if not _has_ended(child.pid):
            # Nothing is worth a checkpoint: immediate shutdown (PostgreSQL manual, 19.5).
            os.kill(child.pid, signal.SIGQUIT)
            child.wait()
        child.stop()


def _wait_until_ready(server: Server, child: Child) -> None:
    deadline = clock.monotonic() + _STARTING_S
    while True:
        try:
            with connect(server, "postgres"):
                return
        except LifeboatError as error:
            if _has_ended(child.pid):
                child.check("Cannot start a scratch PostgreSQL server", "see what the server says")
            if clock.monotonic() > deadline:
                raise LifeboatError(
                    "Cannot start a scratch PostgreSQL server", f"it does not answer: {error.cause}", "try again"
                ) from error
        clock.sleep(0.02)


def _has_ended(pid: int) -> bool:
    """Say whether a child of this process has ended, and leave its exit code for whoever waits for it."""
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return True


def _is_ours(path: Path) -> bool:
    """Say whether a file is a plain one that this user made; anybody may make folders where scratch servers lie."""
    try:
        state = path.lstat()
    except OSError:
        return False
    return stat.S_ISREG(state.st_mode) and state.st_uid == os.geteuid()


def _first_number(path: Path) -> int | None:
    try:
        return int(path.read_text().splitlines()[0])
    except (OSError, ValueError, IndexError):
        return None


def _is_alive(pid: int) -> bool:
    return os.path.exists(f"/proc/{pid}")


def _works_in(pid: int, folder: Path) -> bool:
    """Say whether a process works in a folder, so that a number that was given to somebody else is left alone."""
    try:
        return os.readlink(f"/proc/{pid}/cwd") == str(folder)
    except OSError:
        return False
