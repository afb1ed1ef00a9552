# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Containers of Docker or Podman in which a PostgreSQL server runs: what the engine knows of them, and how they are
reached."""

from __future__ import annotations

import json
import os
import re
import shutil
import typing as t
from dataclasses import dataclass

from ..child import ChildError, output_of
from ..errors import LifeboatError, MissingPartError, UsageError

ENGINES = ("docker", "podman")
NAME_RULE = "letters, digits, and _ . - after the first"
# Docker's RestrictedNamePattern, which Podman shares; ids are names, too.
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,254}")
# What leads the programs of the engines to their daemon and their storage; of XDG_RUNTIME_DIR see `client_environment`.
_OF_THE_ENGINES = (
    *("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG", "DOCKER_CERT_PATH", "DOCKER_TLS_VERIFY"),
    *("CONTAINER_HOST", "CONTAINERS_CONF", "XDG_CONFIG_HOME", "XDG_DATA_HOME"),
)
_EVERYWHERE = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # a published port on all addresses of the host


@dataclass(frozen=True)
class Container:
    """A container that has a PostgreSQL server and its programs. Raises UsageError for what cannot be its name."""

    name: str
    engine: str = ""  # docker or podman; empty: the one that is there
    bin_dir: str = ""  # folder of the programs inside; empty: the usual places

    def __post_init__(self) -> None:
        if not is_name(self.name):
            raise UsageError("Cannot use this container", f"{self.name!r} cannot be a name", f"use {NAME_RULE}")

    @property
    def program(self) -> str:
        """Return the path of the engine's program. Raises MissingPartError."""
        for engine in (self.engine,) if self.engine else ENGINES:
            found = shutil.which(engine)
            if found:
                return found
        wanted = self.engine or " or ".join(ENGINES)
        raise MissingPartError(f"Cannot reach {self}", f"{wanted} is not on PATH", "install it, or correct PATH")

    def command(self, argv: t.Sequence[str], variables: t.Iterable[str] = (), *, with_input: bool = False) -> list[str]:
        """Return the arguments that run a program inside.

        `variables` are names: their values come from the environment of the engine's program, and are in no argument.
        """
        options = ["--interactive"] if with_input else []
        options += [f"--env={name}" for name in sorted(variables)]
        return [self.program, "exec", *options, self.name, *argv]

    def __str__(self) -> str:
        return f"container {self.name}"


@dataclass(frozen=True)
class State:
    """What the engine says of a container."""

    status: str  # such as running, paused, exited
    published: t.Mapping[int, tuple[str, int]]  # TCP port inside → address and port on the host
    addresses: tuple[str, ...]  # in its networks
    is_on_host_network: bool

    def address(self, port: int) -> tuple[str, int] | None:
        """Return where the host reaches a port of the container: where it is published, else in its network; None if
        there is no way."""
        if port in self.published:
            return self.published[port]
        if self.is_on_host_network:
            return "127.0.0.1", port
        return (self.addresses[0], port) if self.addresses else None


def is_name(text: str) -> bool:
    """Say whether a text can be the name or the id of a container."""
    return _NAME.fullmatch(text) is not None


def state_of(container: Container) -> State:
    """Return what the engine says of a container that runs. Raises LifeboatError with what to do for one that does
    not."""
    problem = f"Cannot reach PostgreSQL in {container}"
    argv = [container.program, "container", "inspect", container.name]
    try:
        found = _state(json.loads(output_of(argv, problem, environment=client_environment()))[0])
    except ChildError as error:
        raise LifeboatError(problem, error.cause, _remedy(container, error.stderr)) from error
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise LifeboatError(
            problem, f"{os.path.basename(argv[0])} describes it in an unknown form: {error}", "update the engine"
        ) from error
    if found.status != "running":
        engine = os.path.basename(argv[0])
        verb = "unpause" if found.status == "paused" else "start"
        raise LifeboatError(problem, f"its state is {found.status}", f"{engine} {verb} {container.name}")
    return found


def client_environment() -> dict[str, str]:
    """Return the variables that the engines' programs need, where they are set.

    A folder for run time of another user, as after a change of the user, is replaced by this user's own.
    """
    found = {name: os.environ[name] for name in _OF_THE_ENGINES if name in os.environ}
    for folder in (os.environ.get("XDG_RUNTIME_DIR", ""), f"/run/user/{os.geteuid()}"):
        if folder and os.path.isdir(folder) and os.stat(folder).st_uid == os.geteuid():
            return {**found, "XDG_RUNTIME_DIR": folder}
    return found


def _state(document: t.Mapping[str, t.Any]) -> State:
    network = document.get("NetworkSettings") or {}
    networks = network.get("Networks") or {}
    addresses = [networks[name].get("IPAddress") for name in sorted(networks)] + [network.get("IPAddress")]
    published = {}
    for inside, places in (network.get("Ports") or {}).items():
        number, _slash, protocol = str(inside).partition("/")
        if protocol in ("tcp", "") and places:
            # Docker names IPv4 and IPv6 separately; IPv4 is what every host has.
            place = min(places, key=lambda each: ":" in str(each.get("HostIp")))
            host = str(place.get("HostIp") or "")
            published[int(number)] = (_EVERYWHERE.get(host, host), int(place["HostPort"]))
    return State(
        status=str(document["State"]["Status"]),
        published=published,
        addresses=tuple(dict.fromkeys(str(each) for each in addresses if each)),
        is_on_host_network=(document.get("HostConfig") or {}).get("NetworkMode") == "host",
    )


def _remedy(container: Container, words: str) -> str:
    lowered, engine = words.lower(), os.path.basename(container.program)
    if "no such" in lowered:
        return f"correct the name ({engine} ps --all shows those of this user), or create the container"
    if "permission denied" in lowered:
        return f"run this as a user who may speak to {engine}; whoever may is as powerful as root"
    if "cannot connect" in lowered or "is the docker daemon running" in lowered:
        return f"start {engine}"
    return f"see what {engine} says"
