# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import socket
import struct
import termios
import threading
import typing as t


@dataclasses.dataclass(frozen=True)
class Received:
    """A request as it came over the wire."""

    method: str
    target: str
    fields: dict[str, str]  # headers by lower-case name
    body: bytes


Act = t.Callable[[socket.socket, t.BinaryIO], bool]  # what to do with the next connection or request; True = read on


class ScriptedServer:
    """A server on loopback that does, request by request, what it is told, and nothing else; then it hangs up."""

    def __init__(self, *acts: Act) -> None:
        self._acts = list(acts)
        self.received: list[Received] = []
        self.connections = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.has_closed = threading.Event()  # set when a connection was closed, after its last act
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> ScriptedServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)

    def _serve(self) -> None:
        while True:
            try:
                connection, _address = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._converse, args=(connection,), daemon=True).start()

    def _converse(self, connection: socket.socket) -> None:
        # An act is taken when a request has come: connections that the client keeps open use none.
        with contextlib.suppress(OSError), connection, connection.makefile("rb") as stream:
            while stream.peek(1):
                act = self._acts.pop(0) if self._acts else _hang_up
                if getattr(act, "reads_first", True):
                    self.received.append(_read_request(stream))
                if not act(connection, stream):
                    break
        self.has_closed.set()


def _hang_up(_connection: socket.socket, _stream: t.BinaryIO) -> bool:
    return False


def _read_request(stream: t.BinaryIO) -> Received:
    method, target, _version = stream.readline().decode().split(" ", 2)
    fields = {}
    for line in iter(stream.readline, b"\r\n"):
        name, _colon, value = line.decode().partition(":")
        fields[name.lower()] = value.strip()
    return Received(method, target, fields, stream.read(int(fields.get("content-length", "0"))))


def raw(data: bytes, keep: bool = False) -> Act:
    """Answer with these bytes, and hang up unless told to keep the connection."""

    def act(connection: socket.socket, _stream: t.BinaryIO) -> bool:
        connection.sendall(data)
        return keep

    return act


def answer(status: int = 200, body: bytes = b"", headers: t.Mapping[str, str] | None = None, keep: bool = True) -> Act:
    """Answer as a server should; a `content-length` among the headers replaces the right one."""
    fields = {"content-length": str(len(body)), **(headers or {})}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return raw(f"HTTP/1.1 {status} Said\r\n{head}\r\n".encode() + body, keep)


def refusal(status: int, code: str, message: str = "no", headers: t.Mapping[str, str] | None = None) -> Act:
    """Answer with an S3 error document."""
    return answer(status, f"<Error><Code>{code}</Code><Message>{message}</Message></Error>".encode(), headers)


def hang_up() -> Act:
    """Close the connection after the request was read, without an answer."""
    return _hang_up


def early(status: int, body: bytes, takes_rest: bool) -> Act:
    """Answer while the request's body is still on its way; then throw the rest away, or reset the connection."""

    def act(connection: socket.socket, stream: t.BinaryIO) -> bool:
        for line in iter(stream.readline, b"\r\n"):
            del line
        head = f"HTTP/1.1 {status} Early\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
        connection.sendall(head.encode() + body)
        if takes_rest:
            connection.shutdown(socket.SHUT_WR)
            while stream.read(65536):
                pass
        return False

    act.reads_first = False  # type: ignore[attr-defined]
    return act


def in_two_pieces(data: bytes, cut: int) -> Act:
    """Answer in two segments, the second one when the first has been acknowledged."""

    def act(connection: socket.socket, _stream: t.BinaryIO) -> bool:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(data[:cut])
        while _unacknowledged_bytes(connection):
            pass
        connection.sendall(data[cut:])
        return False

    return act


def _unacknowledged_bytes(connection: socket.socket) -> int:
    return int(struct.unpack("i", fcntl.ioctl(connection, termios.TIOCOUTQ, b"\0\0\0\0"))[0])


def stall(until: threading.Event) -> Act:
    """Take the request and say nothing until the event."""

    def act(_connection: socket.socket, _stream: t.BinaryIO) -> bool:
        until.wait(10)
        return False

    return act
