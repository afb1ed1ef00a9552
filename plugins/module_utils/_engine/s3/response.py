# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import functools
import http.client
import io
import re
import socket
import typing as t

_STATUS_LINE = re.compile(r"HTTP/1\.1 ([2-5][0-9][0-9])(?: ([^\r\n]*))?")
_FIELD = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\r\n]*?)[ \t]*")
# Lists by their definition, and of no use here: MinIO repeats "Vary" in every answer.
_REPEATABLE = frozenset(("allow", "cache-control", "server-timing", "set-cookie", "vary", "via"))
_NO_MESSAGE = http.client.HTTPMessage()
_LONGEST_LINE = 65536  # bytes, as the standard library has it
_MOST_LINES = 100
_BODYLESS = frozenset((204, 304))
_BUFFER = 64 * 1024  # bytes that are asked for at once: most answers come whole
_USUAL_LINE = 256  # signs; longer lines are not remembered


class Received(t.NamedTuple):
    """A plain answer that was read to its end."""

    status: int
    fields: dict[str, str]  # headers by lower-case name
    body: bytes
    will_close: bool  # nothing more may be asked on this connection


def received(sock: socket.socket, buffer: bytearray, method: str, most_bytes: int) -> Received | LeanResponse:
    """Read a whole answer with as few calls as can be: most are one piece, head and body.

    `buffer` is room to work in, and needs to hold a head. What is not a plain answer of at most `most_bytes` is
    returned with its body unread. Raises http.client.HTTPException and OSError.
    """
    room = memoryview(buffer)
    count, end = 0, -1
    while end < 0:
        came = sock.recv_into(room[count:])
        end = buffer.find(b"\r\n\r\n", max(0, count - 3), count + came)
        count += came
        if not came or (end < 0 and count == len(buffer)):
            break
    start = end + 4
    # With other line ends the empty line might be the body's.
    if end >= 0 and buffer.count(b"\n", 0, start) == buffer.count(b"\r\n", 0, start):
        plain = _plain(buffer[:start].decode("latin-1").split("\r\n"), method)
        if plain is not None and plain.length is not None and plain.length <= most_bytes:
            left = plain.length - (count - start)
            body = bytes(room[start : min(count, start + plain.length)])
            if left > 0:
                body = b"".join([body, _rest(sock, left)])
            return Received(plain.status, plain.fields, body, plain.will_close or left < 0)
    response = LeanResponse(sock, method, bytes(room[:count]))
    try:
        response.begin()
    except BaseException:
        response.close()
        raise
    return response


def _rest(sock: socket.socket, count: int) -> bytearray:
    data = bytearray(count)
    room = memoryview(data)
    while room:
        came = sock.recv_into(room)
        if not came:
            raise http.client.IncompleteRead(bytes(data[: count - len(room)]), len(room))
        room = room[came:]
    return data


class _Plain(t.NamedTuple):
    """A head without anything that would need the standard library."""

    status: int
    reason: str
    fields: dict[str, str]
    length: int | None  # bytes of the body; None: it ends where the connection does
    will_close: bool


def _plain(lines: list[str], method: str) -> _Plain | None:
    """Read the lines of a head; None when it is not plain enough."""
    status = _STATUS_LINE.fullmatch(lines[0])
    fields = _fields(lines) if status else None
    if status is None or fields is None or "transfer-encoding" in fields:
        return None
    code, text = int(status[1]), fields.get("content-length")
    if text is not None and not (text.isascii() and text.isdigit()):
        return None
    length = 0 if method == "HEAD" or code in _BODYLESS else int(text) if text is not None else None
    will_close = length is None or "close" in fields.get("connection", "").lower()
    return _Plain(code, status[2] or "", fields, length, will_close)


class LeanResponse(http.client.HTTPResponse):
    """An HTTP answer whose head is read by a short loop.

    The standard library's e-mail parser costs more than all else of a small request. `fields` are the headers, by
    lower-case name. Whatever is not plain (another version, 1xx, folded lines, repeated names, chunked bodies, odd line
    ends) is read again, from the same bytes, by the standard library.
    """

    fields: dict[str, str]

    def __init__(self, sock: socket.socket, method: str | None = None, taken: bytes = b"") -> None:
        """Wait for the answer to a request that was sent on `sock`, of which `taken` was read already."""
        super().__init__(t.cast(socket.socket, _Wide(sock, taken)), method=method)

    def begin(self) -> None:
        """Read the head of the answer. Raises http.client.HTTPException and OSError as the standard library does."""
        head = _head(self.fp)
        plain = _plain(head.decode("latin-1").split("\r\n"), self._method)
        if plain is None:
            self._begin_again(head)
            return
        self.fields = plain.fields
        self.code = self.status = plain.status
        self.reason = plain.reason
        self.version = 11
        self.headers = self.msg = _NO_MESSAGE
        self.chunked = False
        self.chunk_left = None
        self.length = plain.length
        self.will_close = plain.will_close

    _method: str

    def _begin_again(self, head: bytes) -> None:
        replay = _Replay(head, self.fp)
        self.fp = t.cast(t.Any, replay)
        try:
            super().begin()
        finally:
            if self.fp is t.cast(t.Any, replay):
                self.fp = replay.stream
        lengths = self.headers.get_all("content-length") or []
        if len(set(lengths)) > 1:
            raise http.client.HTTPException("the answer has two different lengths")
        names = {name.lower() for name in self.headers}
        self.fields = {name: " ".join(", ".join(self.headers.get_all(name) or []).split()) for name in names}
        if lengths:
            self.fields["content-length"] = lengths[0]


def _head(stream: t.Any) -> bytes:
    """Take a head off the stream, with its empty line; less when the connection ended or something is too long."""
    # Most heads are there as a whole when their first byte is. With other line ends the empty line might be the body's.
    ready = stream.peek()
    end = ready.find(b"\r\n\r\n") + 4
    if end >= 4 and ready.count(b"\n", 0, end) == ready.count(b"\r\n", 0, end):
        whole: bytes = stream.read(end)
        return whole
    lines = [stream.readline(_LONGEST_LINE + 1)]
    while len(lines) <= _MOST_LINES and 2 < len(lines[-1]) <= _LONGEST_LINE:
        lines.append(stream.readline(_LONGEST_LINE + 1))
    return b"".join(lines)


def _fields(lines: list[str]) -> dict[str, str] | None:
    """Return the headers among the lines of a head by lower-case name; None when any is not plain or a name comes
    again.
    """
    if lines[-2:] != ["", ""]:
        return None
    fields: dict[str, str] = {}
    for line in lines[1:-2]:
        found = _usual_field(line) if len(line) <= _USUAL_LINE else _field(line)
        if found is None or (found[0] in fields and found[0] not in _REPEATABLE):
            return None
        fields[found[0]] = found[1]
    return fields


def _field(line: str) -> tuple[str, str] | None:
    found = _FIELD.fullmatch(line)
    return (found[1].lower(), found[2]) if found else None


# Servers write most lines the same in every answer.
_usual_field = functools.lru_cache(maxsize=512)(_field)


class _Wide:
    """A socket whose file has a larger buffer than the standard library gives it, and begins with bytes that were read
    already.
    """

    def __init__(self, sock: socket.socket, taken: bytes) -> None:
        self._sock = sock
        self._taken = taken

    def makefile(self, mode: t.Literal["rb"]) -> t.Any:
        if not self._taken:
            return self._sock.makefile(mode, _BUFFER)
        return io.BufferedReader(_Continued(self._taken, self._sock.makefile(mode, 0)), _BUFFER)


class _Continued(io.RawIOBase):
    """Bytes that were read already, and then those of a stream."""

    def __init__(self, taken: bytes, stream: t.Any) -> None:
        self._taken = memoryview(taken)
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, room: t.Any) -> int | None:
        count = min(len(self._taken), len(room))
        if not count:
            came: int | None = self._stream.readinto(room)
            return came
        room[:count] = self._taken[:count]
        self._taken = self._taken[count:]
        return count

    def close(self) -> None:
        self._stream.close()
        super().close()


class _Replay:
    """Gives the bytes that were already taken from a stream once more, then the stream's own."""

    def __init__(self, taken: bytes, stream: t.Any) -> None:
        self._taken = io.BytesIO(taken)
        self.stream = stream

    def readline(self, limit: int) -> bytes:
        line = self._taken.readline(limit)
        if not line.endswith(b"\n") and len(line) < limit:
            rest: bytes = self.stream.readline(limit - len(line))
            line += rest
        return line

    def close(self) -> None:
        self.stream.close()
