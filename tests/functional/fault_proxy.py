# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import dataclasses
import re
import socket
import socketserver
import struct
import threading
import time
import typing as t

_HEAD_END = b"\r\n\r\n"
_UNAVAILABLE = (
    b"HTTP/1.1 503 Slow Down\r\nContent-Type: application/xml\r\nContent-Length: 90\r\nConnection: close\r\n\r\n"
    b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>   "
)
_EXPIRED = (
    b"HTTP/1.1 403 Forbidden\r\nContent-Type: application/xml\r\nContent-Length: 90\r\nConnection: close\r\n\r\n"
    b"<Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message></Error>"
)


@dataclasses.dataclass
class Fault:
    """What happens to requests whose line (`PUT /bucket/key?query`) has a match of `pattern`."""

    pattern: str  # regular expression
    # lose_answer | unavailable | expired (credentials) | reset | slow | short (the answer's body breaks off) |
    # longer (than it says)
    kind: str
    times: int = 1  # so often, for each line of a request that matches
    every: int = 0  # instead: each such request of all that match
    hits: dict[str, int] = dataclasses.field(default_factory=dict)  # by line
    met: int = 0  # requests that match

    def takes(self, line: str) -> bool:
        """Say whether this request is to be hit, and count it."""
        if not re.search(self.pattern, line):
            return False
        self.met += 1
        if self.met % self.every if self.every else self.hits.get(line, 0) >= self.times:
            return False
        self.hits[line] = self.hits.get(line, 0) + 1
        return True


class FaultProxy:
    """An HTTP proxy on loopback in front of one server, that loses answers, resets connections, and so on.

    Requests go through unchanged (their `Host` is signed): the server must not care for the name it is called by.
    """

    def __init__(self, port: int, slow_s: float = 0.2) -> None:
        self.faults: list[Fault] = []
        self.before: t.Callable[[str], None] = lambda _line: None  # is told of each request before it goes on
        self.rewrite: t.Callable[[str, bytes], bytes] = lambda _line, body: body  # of answers, by line of the request
        self.change: t.Callable[[str, bytes], bytes] = lambda _line, body: body  # of requests: as many bytes
        self.slow_s = slow_s
        self._lock = threading.Lock()
        proxy = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)) as server:
                    while proxy._exchange(self.request, server):
                        pass

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            allow_reuse_address = True

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def _fault(self, line: str) -> str:
        with self._lock:
            return next((fault.kind for fault in self.faults if fault.takes(line)), "")

    def _exchange(self, client: socket.socket, server: socket.socket) -> bool:
        """Pass one request on and its answer back; False when the connection is at its end."""
        head, rest = _head(client)
        if not head:
            return False
        line = head.partition(b"\r\n")[0].decode("latin-1").rpartition(" ")[0]
        self.before(line)
        kind = self._fault(line)
        if kind == "reset":
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()
            return False
        body = _body(client, head, rest)
        if kind == "unavailable":
            client.sendall(_UNAVAILABLE)
            return False
        if kind == "expired":
            client.sendall(_EXPIRED)
            return False
        server.sendall(head + self.change(line, body))
        answer = _answer(server, is_bare=line.startswith("HEAD "))
        if kind == "lose_answer" or not answer:
            return False
        if kind == "slow":
            time.sleep(self.slow_s)
        client.sendall(self._changed(kind, line, answer))
        return kind not in ("short", "longer")

    def _changed(self, kind: str, line: str, answer: bytes) -> bytes:
        head, end, body = answer.partition(_HEAD_END)
        if kind == "short":
            return head + end + body[: len(body) // 2]
        if kind == "longer":
            return head + end + body + b"and more"
        changed = self.rewrite(line, body)
        if changed is body:
            return answer
        without = re.sub(rb"(?im)^(content-length|transfer-encoding):[^\r\n]*\r\n", b"", head + b"\r\n")
        return without + b"Content-Length: %d" % len(changed) + _HEAD_END + changed

    def __enter__(self) -> FaultProxy:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def _head(peer: socket.socket) -> tuple[bytes, bytes]:
    """Return the head of a message, with its empty line, and what was read beyond it; empty at the end."""
    data = b""
    while _HEAD_END not in data:
        chunk = peer.recv(65536)
        if not chunk:
            return b"", b""
        data += chunk
    head, _end, rest = data.partition(_HEAD_END)
    return head + _HEAD_END, rest


def _field(head: bytes, name: str) -> str:
    found = re.search(rb"(?im)^" + name.encode() + rb":[ \t]*([^\r\n]*)", head)
    return found[1].decode("latin-1").strip() if found else ""


def _body(peer: socket.socket, head: bytes, rest: bytes) -> bytes:
    body, length = bytearray(rest), int(_field(head, "content-length") or 0)
    if _field(head, "expect") and not body and length:
        peer.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
    while len(body) < length:
        chunk = peer.recv(1024 * 1024)
        if not chunk:
            raise ConnectionError("the request ends early")
        body += chunk
    return bytes(body)


def _answer(peer: socket.socket, is_bare: bool) -> bytes:
    head, rest = _head(peer)
    while head.startswith(b"HTTP/1.1 100"):
        end = rest.find(_HEAD_END) + len(_HEAD_END)
        head, rest = (rest[:end], rest[end:]) if _HEAD_END in rest else _head(peer)
    if not head or is_bare or head.split(b" ", 2)[1] in (b"204", b"304"):
        return head
    if _field(head, "transfer-encoding"):
        while not rest.endswith(b"0\r\n\r\n"):
            rest += peer.recv(65536)
        return head + rest
    return head + _body(peer, head, rest)


def endpoint_through(proxy: FaultProxy, endpoint: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Return how a server is reached by way of the proxy."""
    return {**endpoint, "url": proxy.url}
