# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import datetime as dt
import http.client
import re
import typing as t

from .. import clock
from . import failure
from .failure import S3Error
from .response import LeanResponse
from .transport import Exchange, Request, Transport, pause_s

CHUNK = 1024 * 1024  # bytes that are given out at once, at most
Piece = t.TypeVar("Piece", bytes, memoryview)


class Stored(t.NamedTuple):
    """What the head of an answer says about an object."""

    size: int  # bytes of the whole object
    etag: str  # without quotes; opaque
    modified: dt.datetime  # the server's clock
    version_id: str  # empty where there are no versions
    fields: t.Mapping[str, str]  # all headers, by lower-case name


def stored(problem: str, fields: t.Mapping[str, str], received: int | None = None) -> Stored:
    """Read an object's properties from the headers of a HEAD or GET; `received` is its size where it was read whole.

    Raises S3Error when they are not there.
    """
    try:
        size = received
        if size is None:
            size = int(fields.get("content-range", "").rpartition("/")[2] or fields["content-length"])
        modified = clock.from_http_date(fields["last-modified"])
    except (KeyError, ValueError) as error:
        raise S3Error(
            problem, 200, failure.BAD_ANSWER, "the answer does not tell the object's size and time"
        ) from error
    return Stored(size, fields.get("etag", "").strip('"'), modified, fields.get("x-amz-version-id", ""), fields)


class Download:
    """The bytes of an object, or of a range, while they arrive. `stored` describes the object.

    When the answer breaks off, the rest is asked for, of the same ETag. Iterate once; `close` when that is not done to
    the end.
    """

    def __init__(
        self, transport: Transport, request: Request, offset: int = 0, length: int | None = None, most_tries: int = 0
    ) -> None:
        self._transport = transport
        self._request = request
        self._position = offset
        self._most_tries = most_tries or transport.endpoint.max_attempts
        self._exchange: Exchange | None = None
        self._end = None if length is None else offset + length
        self._is_range = offset > 0 or length is not None
        exchange = self._open({"range": _range(offset, self._end)} if self._is_range else {})
        self.stored = stored(request.problem, exchange.fields)
        self._end = self.stored.size if self._end is None else min(self._end, self.stored.size)
        self._check(exchange)

    def __iter__(self) -> t.Iterator[bytes]:
        return self._arriving(lambda answer, most: answer.read(most))

    def into(self, room: memoryview) -> t.Iterator[int]:
        """Write the bytes into `room`, which has place for all of them, and yield how many came, again and again."""
        filled = 0

        def fill(answer: LeanResponse, most: int) -> memoryview:
            piece = room[filled : filled + most]
            return piece[: answer.readinto(piece)]

        for piece in self._arriving(fill):
            filled += len(piece)
            yield len(piece)

    def _arriving(self, take: t.Callable[[LeanResponse, int], Piece]) -> t.Iterator[Piece]:
        """Yield what `take` takes off the answer, of which it is told how much it may take."""
        failures = 0
        try:
            while self._end is not None and self._position < self._end:
                try:
                    exchange = self._exchange or self._resumed()
                    chunk = take(exchange.response, min(CHUNK, self._end - self._position))
                    if not chunk:
                        raise http.client.IncompleteRead(b"", self._end - self._position)
                except (OSError, http.client.HTTPException) as error:
                    self.close()
                    failures += 1
                    if failures >= self._most_tries:
                        raise failure.from_exception(self._request.problem, error, was_sent=True) from error
                    clock.sleep(pause_s(failures))
                    continue
                failures = 0
                self._position += len(chunk)
                yield chunk
        finally:
            self.close()

    def close(self) -> None:
        """Give up what has not arrived yet; does nothing when all has."""
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.end()

    def _open(self, headers: dict[str, str]) -> Exchange:
        request = self._request._replace(headers={**self._request.headers, **headers})
        self._exchange = self._transport.begun(request)
        return self._exchange

    def _resumed(self) -> Exchange:
        exchange = self._open({"range": _range(self._position, self._end), "if-match": f'"{self.stored.etag}"'})
        self._is_range = True
        again = stored(self._request.problem, exchange.fields)
        if again.etag != self.stored.etag or again.size != self.stored.size:
            self._reject("the object was changed while it was read")
        self._check(exchange)
        return exchange

    def _check(self, exchange: Exchange) -> None:
        """Refuse an answer that is not exactly the wanted range: some servers and proxies ignore ranges."""
        expected = (self._end or 0) - self._position
        found = re.fullmatch(r"bytes ([0-9]+)-([0-9]+)/([0-9]+)", exchange.fields.get("content-range", ""))
        if self._is_range and (
            exchange.response.status != 206
            or found is None
            or int(found.group(1)) != self._position
            or int(found.group(2)) + 1 != self._end
        ):
            self._reject("the server sends another range than was asked for")
        if not exchange.response.chunked and exchange.response.length != expected:
            self._reject("the answer has another length than the object")

    def _reject(self, message: str) -> t.NoReturn:
        self.close()
        raise S3Error(self._request.problem, 200, failure.BAD_ANSWER, message)


def _range(offset: int, end: int | None) -> str:
    return f"bytes={offset}-" if end is None else f"bytes={offset}-{end - 1}"
