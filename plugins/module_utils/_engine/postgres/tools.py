# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
import functools
import glob
import os
import re
import shutil
import typing as t
from dataclasses import dataclass, field

from ..child import Child, ChildError, output_of
from ..errors import LifeboatError, MissingPartError
from .container import Container, client_environment
from .container_child import ContainerChild

# Where Debian and the PostgreSQL project's RPM packages put each major's programs.
_PACKAGE_FOLDERS = ("/usr/lib/postgresql/{major}/bin", "/usr/pgsql-{major}/bin")
_VERSION = re.compile(r"\(PostgreSQL\) (\d+)(?:\.(\d+))?")


_ABSENT = (126, 127)  # what the engines of containers end with when a program is not there (docker-exec(1))


@dataclass(frozen=True)
class Inside:
    """How programs inside a container reach the server there."""

    container: Container
    host: str = ""  # address inside; empty: the socket where its libpq looks for it
    port: int = 5432
    user: str = ""
    password: str = field(default="", repr=False)

    def environment(self, variables: t.Mapping[str, str]) -> dict[str, str]:
        """Return the variables that lead a program on the host to the server as those for one inside.

        Names of hosts and files of certificates mean nothing there, and the connection does not leave the container.
        """
        ours = {"PGHOST": self.host, "PGPORT": str(self.port), "PGUSER": self.user, "PGPASSWORD": self.password}
        foreign = ("PGSSLMODE", "PGSSLROOTCERT", "PGPASSFILE")
        found = {**{name: value for name, value in variables.items() if name not in foreign}, **ours}
        return {name: value for name, value in found.items() if value}


@dataclass(frozen=True)
class Tool:
    """One of PostgreSQL's programs."""

    name: str
    path: str
    major: int
    version: str  # as it names itself, such as `15.18`
    inside: Inside | None = None  # the container that it runs in; None: this host

    def logged_in_as(self, user: str, password: str) -> Tool:
        """Return the program as it logs in as another role. On this host the environment that it gets decides; inside a
        container it would be the role that entered it."""
        if self.inside is None:
            return self
        return dataclasses.replace(self, inside=dataclasses.replace(self.inside, user=user, password=password))

    def start(
        self,
        arguments: t.Sequence[str],
        *,
        archive: str = "",
        environment: t.Mapping[str, str] | None = None,
        stdin: int | None = None,
        pipe_stdout: bool = False,
    ) -> Child:
        """Start the program where it is; `archive` is the path of a file that it reads.

        `environment` is for a program on this host, such as `Server.environment` returns it.
        """
        if self.inside is None:
            argv = [self.path, *arguments, *([archive] if archive else [])]
            return Child(argv, environment=environment, stdin=stdin, pipe_stdout=pipe_stdout)
        opened = os.open(archive, os.O_RDONLY | os.O_CLOEXEC) if archive else None
        try:
            return ContainerChild(
                self.inside.container,
                self.name,
                [self.path, *arguments],
                environment=self.inside.environment(environment) if environment else None,
                stdin=stdin if opened is None else opened,
                pipe_stdout=pipe_stdout,
            )
        finally:
            if opened is not None:
                os.close(opened)


@dataclass(frozen=True)
class ClientTools:
    """The programs that dump from and restore into servers of one major."""

    pg_dump: Tool
    pg_dumpall: Tool
    pg_restore: Tool
    warnings: tuple[str, ...] = ()


def version_text(number: int) -> str:
    """Return `15.18` for 150018, the form of `server_version_num` since PostgreSQL 10."""
    return f"{number // 10000}.{number % 10000}"


def client_tools(server_version: int, bin_dir: str, purpose: str, inside: Inside | None = None) -> ClientTools:
    """Find pg_dump, pg_dumpall and pg_restore for a server of version `server_version` (such as 150018).

    `purpose` begins the message of a failure, such as `Cannot back up database lab`. Raises MissingPartError when a
    program is not there, LifeboatError when it is older than the server: an older client does not know what to save.
    """
    found = [
        find_tool(name, server_version // 10000, bin_dir, purpose, inside)
        for name in ("pg_dump", "pg_dumpall", "pg_restore")
    ]
    for tool in found:
        _refuse_older(tool, server_version, purpose)
    newer = tuple(
        f"{tool.name} {tool.version} is newer than the server ({version_text(server_version)}): "
        f"who restores this needs programs of {tool.major} or later, too"
        for tool in found[:1]
        if tool.major > server_version // 10000
    )
    return ClientTools(found[0], found[1], found[2], newer)


def major_of(version: str) -> int:
    """Return the major of a program's version, 0 where there is none: 18beta1 has no dot, and archives say anything."""
    found = re.match(r"\d+", version)
    return int(found.group()) if found else 0


def find_tool(name: str, major: int, bin_dir: str, purpose: str, inside: Inside | None = None) -> Tool:
    """Find one program: in `bin_dir` if given, else that of `major` where packages put it, else on PATH, else the next
    newer one. `inside` a container, its own folder counts instead.

    Raises MissingPartError, with the package to install as the remedy.
    """
    if inside is not None:
        return _find_inside(name, major, purpose, inside)
    candidates = [os.path.join(bin_dir, name)] if bin_dir else list(_usual_places(name, major))
    tools = []
    for path in candidates:
        if os.access(path, os.X_OK) and os.path.isfile(path):
            tool = _inspect(name, path)
            if tool.major == major:
                return tool
            tools.append(tool)
    if not tools:
        where = bin_dir or "the usual folders and on PATH"
        raise MissingPartError(
            purpose,
            f"{name} was not found in {where}",
            f"install {_package(name, major)} or say with bin_dir in which folder the programs lie",
        )
    newer = sorted((tool for tool in tools if tool.major > major), key=lambda tool: tool.major)
    return (newer or tools)[0]


def _usual_places(name: str, major: int) -> t.Iterator[str]:
    seen = set()
    for folder in _PACKAGE_FOLDERS:
        seen.add(folder.format(major=major))
        yield os.path.join(folder.format(major=major), name)
    on_path = shutil.which(name)
    if on_path:
        yield on_path
    for folder in _PACKAGE_FOLDERS:
        for other in sorted(glob.glob(folder.format(major="[0-9]*"))):
            if other not in seen:
                yield os.path.join(other, name)


@functools.cache
def _find_inside(name: str, major: int, purpose: str, inside: Inside) -> Tool:
    """Find a program in a container: in its `bin_dir` if given, else that of `major` where packages put it, else on
    PATH. Once for each: to run a program there takes many times as long as on the host."""
    container = inside.container
    folders = [folder.format(major=major) for folder in _PACKAGE_FOLDERS]
    candidates = [os.path.join(folder, name) for folder in ([container.bin_dir] if container.bin_dir else folders)]
    for path in candidates if container.bin_dir else (*candidates, name):
        try:
            return _inspect(name, path, inside)
        except ChildError as error:
            if error.status not in _ABSENT:
                raise
    raise MissingPartError(
        purpose,
        f"{name} was not found in {container.bin_dir or 'the usual folders and on PATH'} in {container}",
        "say with bin_dir in which folder of the container the programs lie",
    )


def _inspect(name: str, path: str, inside: Inside | None = None) -> Tool:
    argv, environment = [path, "--version"], None
    if inside is not None:
        argv, environment = inside.container.command(argv), client_environment()
    text = output_of(argv, f"Cannot ask {path} for its version", "reinstall it", environment=environment)
    match = _VERSION.search(text)
    if match is None:
        raise LifeboatError(f"Cannot use {path}", f"it calls itself {text.strip()[:80]!r}", "reinstall it")
    version = match.group(1) + (f".{match.group(2)}" if match.group(2) else "")
    return Tool(name, path, int(match.group(1)), version, inside)


def _refuse_older(tool: Tool, server_version: int, purpose: str) -> None:
    major = server_version // 10000
    if tool.major < major:
        where = f" in {tool.inside.container}" if tool.inside else ""
        raise LifeboatError(
            purpose,
            f"{tool.name} {tool.version}{where} is older than the server ({version_text(server_version)})",
            f"install {_package(tool.name, major)} or set option bin_dir to the folder of its programs",
        )


def _package(name: str, major: int) -> str:
    return f"postgresql-{major}" if name in ("initdb", "postgres") else f"postgresql-client-{major}"
