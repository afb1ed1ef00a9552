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


class LeanResponse(http.client.HTTPResponse):
    """An HTTP answer whose head is read by a short loop.

    The standard library's e-mail parser costs more than all else of a small request. `fields` are the headers, by
    lower-case name. Whatever is not plain (another version, 1xx, folded lines, repeated names, chunked bodies, odd line
    ends) is read again, from the same bytes, by the standard library.
    """

    fields: dict[str, str]

    def __init__(self, sock: socket.socket, method: str | None = None) -> None:
        """Wait for the answer to a request that was sent on `sock`."""
        super().__init__(t.cast(socket.socket, _Wide(sock)), method=method)

    def begin(self) -> None:
        """Read the head of the answer. Raises http.client.HTTPException and OSError as the standard library does."""
        head = _head(self.fp)
        lines = head.decode("latin-1").split("\r\n")
        status = _STATUS_LINE.fullmatch(lines[0])
        fields = _fields(lines) if status else None
        if status is None or fields is None or not self._adopt(int(status[1]), status[2] or "", fields):
            self._begin_again(head)

    def _adopt(self, status: int, reason: str, fields: dict[str, str]) -> bool:
        """Take over a plain head; False when it is not plain enough."""
        length = fields.get("content-length")
        if "transfer-encoding" in fields or (length is not None and not (length.isascii() and length.isdigit())):
            return False
        self.fields = fields
        self.code = self.status = status
        self.reason = reason
        self.version = 11
        self.headers = self.msg = _NO_MESSAGE
        self.chunked = False
        self.chunk_left = None
        self.length = int(length) if length is not None else None
        if self._method == "HEAD" or status in _BODYLESS:
            self.length = 0
        # Without a length the body ends where the connection does.
        self.will_close = self.length is None or "close" in fields.get("connection", "").lower()
        return True

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
    """A socket whose file has a larger buffer than the standard library gives it."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def makefile(self, mode: t.Literal["rb"]) -> t.Any:
        return self._sock.makefile(mode, _BUFFER)


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
