# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import http.client
import re
import typing as t

_STATUS_LINE = re.compile(rb"HTTP/1\.1 ([2-5][0-9][0-9])(?: ([^\r\n]*))?\r\n")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\r\n]*?)[ \t]*\r\n")
_LONGEST_LINE = 65536  # bytes, as the standard library has it
_MOST_LINES = 100
_BODYLESS = frozenset((204, 304))


class LeanResponse(http.client.HTTPResponse):
    """An HTTP answer whose head is read by a short loop.

    The standard library's e-mail parser costs more than all else of a small request. `fields` are the headers, by
    lower-case name. Whatever is not plain (another version, 1xx, folded lines, repeated names, chunked bodies, odd line
    ends) is read again, from the same bytes, by the standard library.
    """

    fields: dict[str, str]

    def begin(self) -> None:
        """Read the head of the answer. Raises http.client.HTTPException and OSError as the standard library does."""
        stream = self.fp
        lines = _head(stream)
        status = _STATUS_LINE.fullmatch(lines[0])
        fields = _fields(lines[1:]) if status else None
        if status is None or fields is None or not self._adopt(int(status.group(1)), status.group(2) or b"", fields):
            self._begin_again(lines)

    def _adopt(self, status: int, reason: bytes, fields: dict[str, str]) -> bool:
        """Take over a plain head; False when it is not plain enough."""
        length = fields.get("content-length")
        if "transfer-encoding" in fields or (length is not None and not (length.isascii() and length.isdigit())):
            return False
        self.fields = fields
        self.code = self.status = status
        self.reason = reason.decode("latin-1")
        self.version = 11
        self.headers = self.msg = http.client.HTTPMessage()
        self.chunked = False
        self.chunk_left = None
        self.length = int(length) if length is not None else None
        if self._method == "HEAD" or status in _BODYLESS:
            self.length = 0
        # Without a length the body ends where the connection does.
        self.will_close = self.length is None or "close" in fields.get("connection", "").lower()
        return True

    _method: str

    def _begin_again(self, lines: list[bytes]) -> None:
        replay = _Replay(lines, self.fp)
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


def _head(stream: t.Any) -> list[bytes]:
    """Return the lines of a head, the empty one included; fewer when the connection ended or something is too long."""
    lines = [stream.readline(_LONGEST_LINE + 1)]
    while len(lines) <= _MOST_LINES and len(lines[-1]) > 2 and len(lines[-1]) <= _LONGEST_LINE:
        lines.append(stream.readline(_LONGEST_LINE + 1))
    return lines


def _fields(lines: list[bytes]) -> dict[str, str] | None:
    if not lines or lines[-1] != b"\r\n":
        return None
    fields: dict[str, str] = {}
    for line in lines[:-1]:
        found = _FIELD.fullmatch(line)
        if found is None:
            return None
        fields[found.group(1).lower().decode("ascii")] = found.group(2).decode("latin-1")
    return fields if len(fields) == len(lines) - 1 else None


class _Replay:
    """Gives the lines that were already taken from a stream once more, then the stream's own."""

    def __init__(self, lines: list[bytes], stream: t.Any) -> None:
        self._lines = lines[::-1]
        self.stream = stream

    def readline(self, limit: int = -1) -> bytes:
        if self._lines:
            return self._lines.pop()
        line: bytes = self.stream.readline(limit)
        return line

    def close(self) -> None:
        self.stream.close()
