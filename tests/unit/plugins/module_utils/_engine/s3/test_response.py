# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import http.client
import io
import socket
import typing as t

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3 import response
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.s3.response import LeanResponse, Received

ROOM = 4096
HEAD = b'HTTP/1.1 200 OK\r\nETag: "e"\r\nContent-Length: %d\r\n\r\n'
BODY = bytes(range(256)) * 20  # more than there is room for


class Pieces(io.RawIOBase):
    """A socket, and its file, on which an answer comes in pieces."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = [piece for piece in pieces if piece]

    def readable(self) -> bool:
        return True

    def readinto(self, room: t.Any) -> int:
        if not self.pieces:
            return 0
        piece = self.pieces.pop(0)
        count = min(len(piece), len(room))
        room[:count] = piece[:count]
        if count < len(piece):
            self.pieces.insert(0, piece[count:])
        return count

    recv_into = readinto

    def makefile(self, _mode: str, buffering: int) -> t.Any:
        return io.BufferedReader(self, buffering) if buffering else self


def read(*pieces: bytes, method: str = "GET", most: int = 100_000) -> t.Any:
    return response.received(t.cast(socket.socket, Pieces(*pieces)), bytearray(ROOM), method, most)


def in_pieces(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


@pytest.mark.parametrize("size", [1, 2, 3, 50, 51, 52, 100, ROOM, 100_000])
@pytest.mark.parametrize("body", [b"", b"0123456789", BODY], ids=len)
def test_an_answer_is_read_whole_whatever_pieces_it_comes_in(body: bytes, size: int) -> None:
    found = read(*in_pieces(HEAD % len(body) + body, size))
    assert found == Received(200, {"etag": '"e"', "content-length": str(len(body))}, body, will_close=False)


def test_a_connection_with_more_than_the_answer_is_not_used_again() -> None:
    found = read(HEAD % 3 + b"abcHTTP/1.1 200 OK")
    assert (found.body, found.will_close) == (b"abc", True)


def test_the_answer_to_head_has_no_body() -> None:
    found = read(HEAD % 1000, method="HEAD")
    assert (found.body, found.will_close) == (b"", False)


def test_a_body_that_breaks_off_is_no_answer() -> None:
    with pytest.raises(http.client.IncompleteRead) as caught:
        read(HEAD % 10 + b"012", b"34")
    assert (caught.value.expected, len(caught.value.partial)) == (5, 2)


def test_a_connection_that_ends_without_an_answer_is_an_error() -> None:
    with pytest.raises(http.client.RemoteDisconnected):
        read()


@pytest.mark.parametrize("size", [7, 100_000])
@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n01234\r\n5\r\n56789\r\n0\r\n\r\n", b"0123456789"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + HEAD % 10 + b"0123456789", b"0123456789"),
        (b"HTTP/1.1 200 OK\nContent-Length: 4\n\n\r\n\r\n", b"\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * ROOM + b"\r\nContent-Length: 2\r\n\r\nab", b"ab"),
        (b"HTTP/1.1 200 OK\r\n\r\nuntil the end", b"until the end"),
    ],
    ids=["chunked", "continue", "line-feeds", "long", "no-length"],
)
def test_what_is_not_plain_is_left_to_the_other_reader_from_its_first_byte(
    answer: bytes, body: bytes, size: int
) -> None:
    found = read(*in_pieces(answer, size))
    assert isinstance(found, LeanResponse)
    assert (found.status, found.read()) == (200, body)


def test_an_answer_that_is_too_long_is_not_read() -> None:
    found = read(HEAD % 11 + b"01234567890", most=10)
    assert isinstance(found, LeanResponse)
    assert found.length == 11
