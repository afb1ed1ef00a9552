# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import concurrent.futures
import contextlib
import datetime as dt
import hashlib
import threading
import typing as t

from ..errors import UsageError
from . import failure
from .calls import Headers, Part
from .client import S3Client
from .download import Stored
from .failure import S3Error
from .integrity import MD5

MIB = 1024 * 1024
MOST_PARTS = 10_000  # "Amazon S3 multipart upload limits"
IN_FLIGHT = 64 * MIB  # bytes of one upload that are in memory: the part that is being filled and those on their way
_SIZES = (16 * MIB, 32 * MIB, 64 * MIB)
_DOUBLED_AFTER = 2_000  # parts
_WORKERS = 4


def part_sizes(estimate_bytes: int) -> t.Iterator[int]:
    """Yield the sizes of the 10,000 parts of a stream of about `estimate_bytes` (0 = unknown).

    Equal parts of 16, 32 or 64 MiB, the smallest of which 10,000 hold twice the estimate: a database grows while it is
    dumped. Estimates can be wrong: behind the estimated end the size doubles every 2,000 parts, so that an unknown
    stream may have 0.9 TiB. Estimates of more than 312 GiB begin to double at once, and hold 3.8 TiB.
    """
    fitting = [size for size in _SIZES if size * MOST_PARTS >= 2 * estimate_bytes]
    size = fitting[0] if fitting else _SIZES[-1]
    expected = -(-estimate_bytes // size) if fitting else 0
    equal = max(expected, _DOUBLED_AFTER)
    for index in range(MOST_PARTS):
        yield size if index < equal else size << ((index - equal) // _DOUBLED_AFTER + 1)


class Rooms:
    """Memory for parts that is used again, by one upload after the other: fresh pages cost as much as sending."""

    def __init__(self) -> None:
        self._free: list[memoryview] = []

    def take(self, size: int) -> memoryview:
        """Return room for `size` bytes; what is free in other sizes is given up."""
        with contextlib.suppress(IndexError):
            while True:
                room = self._free.pop()
                if len(room) == size:
                    return room
        return memoryview(bytearray(size))

    def give_back(self, room: memoryview) -> None:
        """Keep a room for the next part, while all that are free have no more than 64 MiB. Any thread may call it."""
        if room and sum(map(len, self._free)) + len(room) <= IN_FLIGHT:
            self._free.append(room)


class MultipartUpload:
    """A stored file on its way to a bucket: one PUT if it fits the first part, else parts by a few threads.

    `signed_at`, where given, is asked for the time of each request's signature. Memory: 64 MiB, or one part where
    parts are bigger, which lie in `rooms`. `headers` are those of the object; `sizes`, where given, are the sizes of
    its parts, and then the caller calls `begin` first.
    """

    def __init__(
        self,
        client: S3Client,
        bucket: str,
        key: str,
        estimate_bytes: int = 0,
        signed_at: t.Callable[[], dt.datetime] | None = None,
        *,
        headers: Headers | None = None,
        sizes: t.Iterator[int] | None = None,
        rooms: Rooms | None = None,
    ) -> None:
        self._client = client
        self._headers = headers
        self._bucket = bucket
        self._key = key
        self._signed_at = signed_at
        self._sizes = part_sizes(estimate_bytes) if sizes is None else sizes
        self._budget = _Budget(IN_FLIGHT)
        self._buffer = memoryview(b"")
        self._filled = 0
        self._rooms = Rooms() if rooms is None else rooms
        self._size = 0
        self._upload_id = ""
        self._sent: list[concurrent.futures.Future[Part]] = []
        self._workers: concurrent.futures.ThreadPoolExecutor | None = None
        self._is_over = False
        self._stopped = threading.Event()

    def begin(self) -> None:
        """Begin the upload now, in parts even where it could be one request. Raises S3Error."""
        self._upload_id = self._client.create_upload(self._bucket, self._key, self._headers, signed_at=self._signed_at)

    def write(self, chunk: bytes) -> None:
        """Take the next bytes; blocks while 64 MiB are on their way. Raises S3Error of any part sent so far."""
        if self._is_over:
            raise ValueError("this upload has ended")
        rest = memoryview(chunk)
        while rest:
            if self._filled == len(self._buffer):
                self._next_buffer()
            taken = min(len(rest), len(self._buffer) - self._filled)
            self._buffer[self._filled : self._filled + taken] = rest[:taken]
            self._filled += taken
            self._size += taken
            rest = rest[taken:]

    def finish(self) -> Stored:
        """Complete the object, and return what the server says of it after comparing its size. Raises S3Error; then
        nothing is left behind.
        """
        if self._is_over:
            raise ValueError("this upload has ended")
        try:
            if self._upload_id:
                etag = self._complete()
            else:
                body = (self._buffer[: self._filled],)
                put = self._client.put_object(self._bucket, self._key, body, self._headers, signed_at=self._signed_at)
                etag = put.etag
            found = self._client.head(self._bucket, self._key)
            self._compare(found, etag)
        except BaseException:
            self.abort()
            raise
        self._end()
        return t.cast(Stored, found)

    def abort(self) -> None:
        """Drop what was sent; never raises, and does nothing after `finish`."""
        if self._is_over:
            return
        self._end()
        if self._upload_id:
            # The server drops stale uploads itself in the end (MinIO: after 24 h).
            with contextlib.suppress(Exception):
                self._client.abort_upload(self._bucket, self._key, self._upload_id, signed_at=self._signed_at)

    def _end(self) -> None:
        self._is_over = True
        self._stopped.set()
        if self._workers is not None:
            self._workers.shutdown(wait=True, cancel_futures=True)
        self._rooms.give_back(self._buffer)
        self._rooms, self._buffer = Rooms(), memoryview(b"")

    def _next_buffer(self) -> None:
        if self._filled:
            self._send_part()
        size = next(self._sizes, 0)
        if not size:
            raise UsageError(
                f"Cannot write s3://{self._bucket}/{self._key}",
                f"the stream is longer than {MOST_PARTS} parts hold",
                "say how big it is about: the estimate was far too small",
            )
        self._budget.take(size)
        self._raise_failures()
        self._buffer, self._filled = self._rooms.take(size), 0

    def _send_part(self) -> None:
        if not self._upload_id:
            self.begin()
        if self._workers is None:
            self._workers = concurrent.futures.ThreadPoolExecutor(_WORKERS, "lifeboat-part")
        room, filled = self._buffer, self._filled
        self._buffer, self._filled = memoryview(b""), 0
        sent = self._workers.submit(self._put_part, len(self._sent) + 1, room, filled)
        held = len(room)  # a callback that knew the room itself would keep it for as long as there is this upload
        sent.add_done_callback(lambda _sent: self._budget.give_back(held))
        self._sent.append(sent)

    def _put_part(self, number: int, room: memoryview, filled: int) -> Part:
        try:
            return self._client.put_part(
                self._bucket, self._key, self._upload_id, number, (room[:filled],), signed_at=self._part_time
            )
        finally:
            self._rooms.give_back(room)

    def _part_time(self) -> dt.datetime | None:
        """Return the time to sign the next try of a part with; there is no next try after `abort`."""
        if self._stopped.is_set():
            raise S3Error(f"Cannot write s3://{self._bucket}/{self._key}", 0, "Aborted", "the upload was given up")
        return self._signed_at() if self._signed_at else None

    def _raise_failures(self) -> None:
        for sent in self._sent:
            if sent.done():
                sent.result()

    def _complete(self) -> str:
        if self._filled or not self._sent:
            self._send_part()
        parts = [sent.result() for sent in self._sent]
        try:
            return self._client.complete_upload(
                self._bucket, self._key, self._upload_id, parts, signed_at=self._signed_at
            ).etag
        except S3Error as error:
            # The first answer may have been lost: a repetition then finds no upload, but the object.
            if error.code not in ("NoSuchUpload", failure.BAD_ANSWER) and not error.is_transient:
                raise
            found = self._client.head(self._bucket, self._key)
            if found is None or found.size != self._size or not _is_composite(found.etag, parts):
                raise
            return found.etag

    def _compare(self, found: Stored | None, etag: str) -> None:
        if found is None or found.size != self._size or (etag and found.etag != etag):
            is_there = "nothing" if found is None else f"{found.size} bytes, ETag {found.etag}"
            raise S3Error(
                f"Cannot write s3://{self._bucket}/{self._key}",
                200,
                failure.ALTERED,
                f"{self._size} bytes, ETag {etag} were written, and {is_there} is there",
            )


def _is_composite(etag: str, parts: t.Sequence[Part]) -> bool:
    """Say whether `etag` is that of an object made of `parts`: the MD5 of their MD5s, and their count.

    Where the server encrypts with KMS keys its ETags are no MD5s, and only the count can be compared.
    """
    if not all(MD5.fullmatch(part.etag) for part in parts):
        return etag.endswith(f"-{len(parts)}")
    digest = hashlib.md5(b"".join(bytes.fromhex(part.etag) for part in parts), usedforsecurity=False).hexdigest()
    return etag == f"{digest}-{len(parts)}"


class _Budget:
    """A number of bytes that may be in memory; a single part may be bigger than all of it."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._taken = 0
        self._changed = threading.Condition()

    def take(self, size: int) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._taken == 0 or self._taken + size <= self._most_bytes)
            self._taken += size

    def give_back(self, size: int) -> None:
        with self._changed:
            self._taken -= size
            self._changed.notify_all()
