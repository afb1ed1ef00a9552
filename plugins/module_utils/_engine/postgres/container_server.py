# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Servers in containers: how they are reached from the host, and from the programs beside them."""

from __future__ import annotations

import dataclasses

from ..child import ChildError, output_of
from ..errors import GuardRefusal, LifeboatError
from .connection import REACHED_BY, Server, connect
from .container import client_environment, state_of
from .tools import Inside, find_tool

_LOOPBACK = "127.0.0.1"  # what pg_hba.conf lets in everywhere by default
_WITH_LOOPBACK = frozenset(("*", "0.0.0.0", "localhost", _LOOPBACK))  # values of listen_addresses
# When the server started, in microseconds: no two of them have the same, and every role may ask.
# By full names: a session of psql may find others.
_STARTED = (
    "SELECT (extract(epoch FROM pg_catalog.pg_postmaster_start_time()) OPERATOR(pg_catalog.*) 1000000)::pg_catalog.int8"
)
_LISTENS = (
    "SELECT current_setting('listen_addresses'), coalesce(host(inet_server_addr()), ''), current_setting('port')::int"
)


def located(server: Server) -> Server:
    """Return how a server is reached from this host, found out from the engine where it is in a container and no host
    is named.

    A published port of the container comes before its address in a network, which not all hosts can reach. Raises
    LifeboatError when the container is not there or does not run, or leaves no way in.
    """
    if server.container is None:
        return server
    found = state_of(server.container)
    if server.host:
        return server
    place = found.address(server.port)
    if place is None:
        raise LifeboatError(
            f"Cannot reach PostgreSQL in {server.container}",
            f"it neither publishes port {server.port} nor has an address in a network of this host",
            REACHED_BY,
        )
    return dataclasses.replace(server, host=place[0], port=place[1])


def entered(server: Server, purpose: str) -> Inside | None:
    """Return how the programs in the server's container reach it; None for a server that is in none.

    `purpose` begins the message of a failure. Raises LifeboatError when they cannot log in, GuardRefusal when they find
    another server than the one that this process reaches.
    """
    container = server.container
    if container is None:
        return None
    with connect(server, server.maintenance_database) as session:
        listens, address, port = session.rows(_LISTENS)[0]
        started, major = int(session.value(_STARTED)), session.version_number // 10000
        user, password = session.login
    inside = Inside(container, _inner_host(str(listens), str(address)), int(port), user, password)
    if _started_of(inside, server, major, purpose) != started:
        raise GuardRefusal(
            "container",
            purpose,
            f"the server at {server.host}:{server.port} is not the one in {container}",
            "correct login_host and login_port, or the name of the container",
        )
    return inside


def require_login_inside(server: Server, purpose: str) -> None:
    """Make sure that programs in the server's container log in as its role, and as no other one with more rights.

    Does nothing for a server that is in none. Raises LifeboatError.
    """
    inside = entered(server, purpose)
    if inside is None:
        return
    with connect(server, server.maintenance_database) as session:
        major = session.version_number // 10000
    found = _said_inside(inside, server, "SELECT session_user", major, purpose)
    if found != server.user:
        raise LifeboatError(
            purpose,
            f"programs in {inside.container} log in as {found} instead of {server.user}",
            "take settings like PGSERVICE and PGUSER out of the environment of the container",
        )


def _inner_host(listens: str, address: str) -> str:
    """Return where the server listens inside; empty: at its socket only."""
    if _WITH_LOOPBACK.intersection(each.strip() for each in listens.split(",")):
        return _LOOPBACK
    return address


def _started_of(inside: Inside, server: Server, major: int, purpose: str) -> int:
    return int(_said_inside(inside, server, _STARTED, major, purpose))


def _said_inside(inside: Inside, server: Server, query: str, major: int, purpose: str) -> str:
    """Return the answer to a query by psql inside the container. Raises LifeboatError."""
    psql = find_tool("psql", major, "", purpose, inside)
    arguments = ["--no-psqlrc", "--no-align", "--tuples-only", "--quiet", "--no-password", f"--command={query}"]
    arguments.append(server.option_for(server.maintenance_database))
    variables = inside.environment(server.environment())
    argv = inside.container.command([psql.path, *arguments], variables)
    try:
        return output_of(argv, purpose, environment={**client_environment(), **variables}).strip()
    except ChildError as error:
        raise LifeboatError(
            purpose,
            error.cause,
            f"let pg_hba.conf of {inside.container} admit {inside.user} from {inside.host or 'the socket'}",
        ) from error
