# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import functools
import http.client
import io
import re
import typing as t

_STATUS_LINE = re.compile(r"HTTP/1\.1 ([2-5][0-9][0-9])(?: ([^\r\n]*))?\r\n")
_FIELD = re.compile(r"^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\r\n]*?)[ \t]*\r\n", re.MULTILINE)
# Lists by their definition, and of no use here: MinIO repeats "Vary" in every answer.
_REPEATABLE = frozenset(("allow", "cache-control", "server-timing", "set-cookie", "vary", "via"))
_NO_MESSAGE = http.client.HTTPMessage()
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
        head = _head(self.fp)
        text = head.decode("latin-1")
        status = _STATUS_LINE.match(text)
        fields = _fields(text[status.end() :]) if status else None
        if status is None or fields is None or not self._adopt(int(status.group(1)), status.group(2) or "", fields):
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


def _fields(text: str) -> dict[str, str] | None:
    """Return the headers of a head by lower-case name; None when any line is not plain or a name comes again."""
    found = _FIELD.findall(text)
    if not text.endswith("\r\n") or len(found) != text.count("\n") - 1:
        return None
    fields: dict[str, str] = {}
    for name, value in found:
        lower = _lower(name)
        if lower in fields and lower not in _REPEATABLE:
            return None
        fields[lower] = value
    return fields


# Servers write the same few names in every answer.
_lower = functools.lru_cache(maxsize=512)(str.lower)


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
