# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import re
import typing as t

from ..errors import DamagedError, UsageError

_COMPLETE = b"-- PostgreSQL database dump complete"
_HELD = 512 * 1024  # bytes; a statement that is longer is none of those that are left out
_LONGEST_TOKEN = 200  # bytes: a dollar quote has an identifier of at most 63 characters in it
# What begins something in which a semicolon or backslash has no meaning (PostgreSQL manual, 4.1.2), and what ends a
# statement.
_NEXT = re.compile(rb"""['";\\]|--|/\*|\$(?:[A-Za-z_\x80-\xff][A-Za-z0-9_\x80-\xff]*)?\$""")
_IN_NAME = re.compile(rb"[A-Za-z0-9_$\x80-\xff]")
_ESCAPING = re.compile(rb"(?:^|[^A-Za-z0-9_$\x80-\xff])[eE]$")
_COPY = re.compile(rb"COPY\s.*\sFROM\s+STDIN\b(?:'[^']*'|\"[^\"]*\"|[^'\"])*;", re.DOTALL | re.IGNORECASE)
_END_OF_DATA = re.compile(rb"\n\\\.\r?\n")
# pg_dump frames its scripts with these since 2025, and psql heeds only its own while it is restricted.
_RESTRICTION = re.compile(rb"\\(?:un)?restrict [A-Za-z0-9]+\s*$")
_NAME = rb'(?:"(?:[^"]|"")+"|[A-Za-z0-9_\x80-\xff]+)'
_OWNERS = re.compile(
    rb"(?:ALTER\s.*\sOWNER\s+TO\s+" + _NAME + rb"|SET\s+SESSION\s+AUTHORIZATION\s.*|COMMENT\s+ON\s+EXTENSION\s.*)\s*;",
    re.DOTALL | re.IGNORECASE,
)
_PRIVILEGES = re.compile(rb"(?:GRANT|REVOKE|ALTER\s+DEFAULT\s+PRIVILEGES)\s.*;", re.DOTALL | re.IGNORECASE)


class ScriptFilter:
    """Reads SQL as `psql` would, in pieces that end anywhere, and gives back what may be loaded.

    Commands of psql (`\\connect`, `\\!` …) are refused, wherever they stand; what `\\restrict` pg_dump wrote is taken
    out. Statements that give things to owners, or privileges to roles, are left out when asked for, and those of
    `refused`, which are not counted.
    """

    def __init__(self, *, no_owner: bool, no_privileges: bool, refused: t.Sequence[re.Pattern[bytes]] = ()) -> None:
        self._unwanted = [*([_OWNERS] if no_owner else []), *([_PRIVILEGES] if no_privileges else [])]
        self._refused = refused
        self._buffer = b""
        self._before = b""  # the two bytes before it
        self._end = b""  # what ends the quote, comment or data that is being read; empty: none is
        self._depth = 0  # of comments in comments
        self._held = b""  # the statement so far, while it may be left out
        self._is_begun = False  # a statement
        self._is_passed = False  # the beginning of the statement was given back
        self._is_first_line = False  # of data
        self.left_out = 0  # statements
        self.is_complete = False  # the last thing in the script is the mark that pg_dump ends with

    def feed(self, chunk: bytes, is_last: bool = False) -> bytes:
        """Read on, and return what may go to psql. Raises UsageError for a command of psql."""
        self._buffer += chunk
        out: list[bytes] = []
        limit = len(self._buffer) if is_last else max(0, len(self._buffer) - _LONGEST_TOKEN)
        position = 0
        while position < limit:
            before = position
            position = self._step(position, limit, out, is_last)
            if position == before:
                break
        self._before = (self._before + self._buffer[max(0, position - 2) : position])[-2:]
        self._buffer = self._buffer[position:]
        return b"".join(out)

    def finish(self) -> bytes:
        """Return the rest. Raises DamagedError when the script ends in the middle of something."""
        rest = self.feed(b"", is_last=True)
        if self._end or self._buffer or self._is_begun:
            raise DamagedError(
                "Cannot read the script to its end", "it breaks off in the middle of a statement", "take another copy"
            )
        return rest

    def _step(self, position: int, limit: int, out: list[bytes], is_last: bool) -> int:
        """Go on to the next place where something begins or ends, and return it."""
        if self._end == b"\\.":
            return self._data(position, limit, out, is_last)
        if self._end:
            return self._quoted(position, limit, out)
        match = _NEXT.search(self._buffer, position)
        if match is None or match.start() >= limit:
            self._take(position, limit, out)
            return limit
        self._take(position, match.start(), out)
        return self._token(match, out, is_last)

    def _token(self, match: re.Match[bytes], out: list[bytes], is_last: bool) -> int:
        token, start, stop = match.group(), match.start(), match.end()
        if token == b"\\":
            return self._command(start, out, is_last)
        if token == b";":
            self._take(start, stop, out)
            return self._end_statement(stop, out)
        if token == b"--":
            return self._line_comment(start, out, is_last)
        before = (self._before + self._buffer[max(0, start - 2) : start])[-2:]
        if token.startswith(b"$") and _IN_NAME.match(before, max(0, len(before) - 1)):
            self._take(start, start + 1, out)  # in the middle of a name
            return start + 1
        self._end = {b"/*": b"*/", b"'": b"'", b'"': b'"'}.get(token, token)
        if token == b"'" and _ESCAPING.search(before):
            self._end = b"\\'"
        self._depth = 1
        self._take(start, stop, out)
        return stop

    def _quoted(self, position: int, limit: int, out: list[bytes]) -> int:
        """Go on to the end of a quote or comment, or as far as it is certain that it has not come."""
        buffer, end = self._buffer, self._end
        if end in (b"\\'", b"*/"):
            pattern = re.compile(rb"\\.|'", re.DOTALL) if end == b"\\'" else re.compile(rb"/\*|\*/")
            match = pattern.search(buffer, position)
            if match is None or match.start() >= limit:
                self._take(position, limit, out)
                return limit
            self._depth += {b"/*": 1, b"*/": -1, b"'": -1}.get(match.group(), 0)
            stop = match.end()
        else:
            found = buffer.find(end, position)
            if found < 0 or found >= limit:
                self._take(position, limit, out)
                return limit
            self._depth, stop = 0, found + len(end)
        if self._depth == 0:
            self._end = b""
        self._take(position, stop, out)
        return stop

    def _line_comment(self, start: int, out: list[bytes], is_last: bool) -> int:
        newline = self._buffer.find(b"\n", start)
        if newline < 0 and not is_last:
            if len(self._buffer) - start > _HELD:
                raise DamagedError("Cannot read the script", "it has a comment of a size that no program writes")
            return start
        stop = len(self._buffer) if newline < 0 else newline + 1
        if not self._is_begun and self._buffer[start:stop].rstrip() == _COMPLETE:
            self.is_complete = True
        self._take(start, stop, out, is_comment=True)
        return stop

    def _command(self, start: int, out: list[bytes], is_last: bool) -> int:
        newline = self._buffer.find(b"\n", start)
        if newline < 0 and not is_last and len(self._buffer) - start < _HELD:
            return start
        line = self._buffer[start : newline if newline >= 0 else len(self._buffer)]
        if self._is_begun or not _RESTRICTION.match(line):
            shown = line[:60].decode("utf-8", "backslashreplace")
            raise UsageError(
                "Cannot load the script",
                f"it holds a command of psql: {shown}",
                "take a dump of one database, by pg_dump without --create",
            )
        return start + len(line)

    def _data(self, position: int, limit: int, out: list[bytes], is_last: bool) -> int:
        """Go on to the end of the rows of a COPY."""
        buffer = self._buffer
        if self._is_first_line:
            if len(buffer) - position < 4 and not is_last:
                return position
            self._is_first_line = False
            empty = re.compile(rb"\\\.\r?\n").match(buffer, position)
            if empty:
                return self._end_data(position, empty.end(), out)
        match = _END_OF_DATA.search(buffer, position)
        if match is not None:
            return self._end_data(position, match.end(), out)
        if is_last and buffer.endswith(b"\n\\."):
            return self._end_data(position, len(buffer), out)
        stop = max(position, len(buffer) - 5)  # the line break before the end may be among the last bytes
        out.append(buffer[position:stop])
        return stop

    def _end_data(self, position: int, stop: int, out: list[bytes]) -> int:
        out.append(self._buffer[position:stop])
        self._end = b""
        return stop

    def _take(self, start: int, stop: int, out: list[bytes], *, is_comment: bool = False) -> None:
        piece = self._buffer[start:stop]
        if not self._is_begun and (is_comment or not piece.strip()):
            out.append(piece)
            return
        if not self._is_begun and piece:
            blank = len(piece) - len(piece.lstrip())
            out.append(piece[:blank])
            piece, self._is_begun, self.is_complete = piece[blank:], True, False
        if self._is_passed:
            out.append(piece)
            return
        self._held += piece
        if len(self._held) > _HELD:
            out.append(self._held)
            self._held, self._is_passed = b"", True

    def _end_statement(self, stop: int, out: list[bytes]) -> int:
        statement, self._held = self._held, b""
        self._is_begun = self._is_passed = False
        if any(pattern.fullmatch(statement) for pattern in self._unwanted):
            self.left_out += 1
            return stop
        if any(pattern.fullmatch(statement) for pattern in self._refused):
            return stop
        out.append(statement)
        if _COPY.fullmatch(statement):
            newline = re.compile(rb"[ \t\r]*\n").match(self._buffer, stop)
            if newline is None:
                raise DamagedError("Cannot read the script", "a COPY has no rows behind it", "take another copy")
            out.append(newline.group())
            self._end, self._is_first_line = b"\\.", True
            return newline.end()
        return stop


def filtered(chunks: t.Iterable[bytes], script: ScriptFilter) -> t.Iterator[bytes]:
    """Yield what may go to psql of a script that comes as chunks."""
    for chunk in chunks:
        out = script.feed(chunk)
        if out:
            yield out
    out = script.finish()
    if out:
        yield out
