# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import base64
import contextlib
import http.client
import os
import select
import ssl
import typing as t
import urllib.parse
import urllib.request

from ..errors import UsageError
from .endpoint import Endpoint
from .response import LeanResponse, Received, received

_SLICE = 256 * 1024  # bytes: a socket's timeout counts for a whole `sendall`, so that large bodies are sent in slices
_JOINED = 64 * 1024  # bytes: smaller bodies go out in one piece with the head
_ROOM = 64 * 1024  # bytes: most small answers come in one piece

Body = t.Sequence[t.Union[bytes, memoryview]]


class Wire:
    """One connection to the server, with at most one request on its way."""

    def __init__(self, connection: http.client.HTTPConnection, hostname: str) -> None:
        self._connection = connection
        self.hostname = hostname
        self._room = bytearray()
        self._poll: select.poll | None = None

    @property
    def number(self) -> int:
        """Return the number of the socket."""
        return self._connection.sock.fileno()

    def send(self, method: str, target: str, head: str, body: Body) -> None:
        """Send a request; `head` is the header lines. Raises OSError; the request may have arrived all the same."""
        start = f"{method} {target} HTTP/1.1\r\n{head}\r\n".encode()
        if sum(map(len, body)) <= _JOINED:
            self._connection.sock.sendall(b"".join([start, *body]))
            return
        self._connection.sock.sendall(start)
        for chunk in body:
            view = memoryview(chunk)
            for offset in range(0, len(view), _SLICE):
                self._connection.sock.sendall(view[offset : offset + _SLICE])

    def answer(self, method: str) -> LeanResponse:
        """Read the head of the answer. Raises OSError and http.client.HTTPException."""
        response = LeanResponse(self._connection.sock, method=method)
        try:
            response.begin()
        except BaseException:
            response.close()
            raise
        return response

    def whole_answer(self, method: str, most_bytes: int) -> Received | LeanResponse:
        """Read an answer to its end if it is plain and not longer than `most_bytes`, else its head. Raises OSError and
        http.client.HTTPException.
        """
        if not self._room:
            self._room = bytearray(_ROOM)
        return received(self._connection.sock, self._room, method, most_bytes)

    def is_usable(self) -> bool:
        """Say whether an idle connection is still open and silent: the server may have closed it, or sent what nobody
        asked for.
        """
        if self._connection.sock is None:
            return False
        if self._poll is None:
            self._poll = select.poll()
            self._poll.register(self._connection.sock, select.POLLIN | select.POLLERR | select.POLLHUP)
        return not self._poll.poll(0)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._connection.close()


class Connections:
    """The connections to one endpoint: as many as there are requests at the same time, kept open between them.

    May be used by several threads. A process that was forked off begins with none.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._context = _tls(endpoint) if endpoint.scheme == "https" else None
        self._idle: dict[str, list[Wire]] = {}
        self._owner = os.getpid()

    def take(self, hostname: str) -> tuple[Wire, bool]:
        """Return a connection and whether it served before. Raises OSError when there is no way to connect: then
        nothing was sent.
        """
        if self._owner != os.getpid():
            # The sockets belong to the parent: they are forgotten without a word to the server.
            self._idle, self._owner = {}, os.getpid()
        idle = self._idle.setdefault(hostname, [])
        while True:
            try:
                wire = idle.pop()
            except IndexError:
                return self._opened(hostname), False
            if wire.is_usable():
                return wire, True
            wire.close()

    def give_back(self, wire: Wire) -> None:
        """Keep a connection whose answer was read to its end."""
        self._idle.setdefault(wire.hostname, []).append(wire)

    def close(self) -> None:
        """Close what is idle; the connections can be used again and open anew."""
        while self._idle:
            for wire in self._idle.popitem()[1]:
                wire.close()

    def _opened(self, hostname: str) -> Wire:
        endpoint = self._endpoint
        proxy = _proxy(endpoint, hostname)
        connection = self._connection(hostname, endpoint.port) if proxy is None else self._proxied(hostname, proxy)
        try:
            connection.connect()
        except http.client.HTTPException as error:
            connection.close()
            raise OSError(f"the proxy does not answer as one: {error!r}") from error
        except BaseException:
            connection.close()
            raise
        connection.sock.settimeout(endpoint.read_timeout_s)
        return Wire(connection, hostname)

    def _connection(self, host: str, port: int) -> http.client.HTTPConnection:
        timeout = self._endpoint.connect_timeout_s
        if self._context is None:
            return http.client.HTTPConnection(host, port, timeout=timeout)
        return http.client.HTTPSConnection(host, port, timeout=timeout, context=self._context)

    def _proxied(self, hostname: str, proxy: urllib.parse.SplitResult) -> http.client.HTTPConnection:
        headers = {}
        if proxy.username:
            pair = f"{urllib.parse.unquote(proxy.username)}:{urllib.parse.unquote(proxy.password or '')}"
            headers["Proxy-Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode("ascii")
        connection = self._connection(proxy.hostname or "", proxy.port or 3128)
        # Plain http goes through a tunnel too: so the head that is signed is the head that arrives.
        connection.set_tunnel(hostname, self._endpoint.port, headers)
        return connection


def _proxy(endpoint: Endpoint, hostname: str) -> urllib.parse.SplitResult | None:
    if not endpoint.proxy_from_environment or urllib.request.proxy_bypass(hostname):
        return None
    url = urllib.request.getproxies().get(endpoint.scheme)
    return urllib.parse.urlsplit(url if "://" in url else f"http://{url}") if url else None


def _tls(endpoint: Endpoint) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=endpoint.ca_file or None)
    except (OSError, ssl.SSLError) as error:
        raise UsageError(
            f"Cannot read the certificate authorities in {endpoint.ca_file}",
            str(error),
            "give a file with PEM certificates",
        ) from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if not endpoint.verify_tls:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
