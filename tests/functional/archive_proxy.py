# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Stands for a server with an archive, such as S3 Glacier, which MinIO does not have.

Answers are those of the Amazon S3 API: GetObject (InvalidObjectState), HeadObject (x-amz-restore), RestoreObject (202,
and 409 RestoreAlreadyInProgress).
"""

from __future__ import annotations

import re
import socket
import threading
import urllib.parse

from ansible_collections.lifeboat.recovery.tests.functional.fault_proxy import (
    _HEAD_END,
    FaultProxy,
    _answer,
    _body,
    _head,
)


class ArchiveProxy(FaultProxy):
    """A proxy before a server, for which objects whose keys match `pattern` lie in an archive."""

    def __init__(self, port: int, pattern: str, looks: int) -> None:
        super().__init__(port)
        self.pattern = pattern
        self.looks = looks  # so many HEADs find a file still on its way
        self.requests: list[tuple[str, bytes]] = []  # keys that were asked for, and the bodies
        self._left: dict[str, int] = {}  # key → looks until it is back
        self._guard = threading.Lock()

    def _exchange(self, client: socket.socket, server: socket.socket) -> bool:
        head, rest = _head(client)
        if not head:
            return False
        method, target = head.partition(b"\r\n")[0].decode("latin-1").split(" ")[:2]
        key, _mark, query = urllib.parse.unquote(target).partition("?")
        if not re.search(self.pattern, key):
            return self._passed(client, server, head, rest)
        body = _body(client, head, rest)
        if method == "POST" and "restore" in query.split("&")[-1]:
            self._retrieve(client, key, body)
            return True
        if method == "GET" and "uploads" not in query and self._left.get(key) != 0:
            client.sendall(
                _refusal(403, "InvalidObjectState", "The operation is not valid for the object's storage class")
            )
            return True
        server.sendall(head + body)
        if method != "HEAD":
            return self._answered(client, server, method)
        answer, _more = _head(server)
        client.sendall(answer[: -len(_HEAD_END)] + self._state(key) + _HEAD_END)
        return True

    def _passed(self, client: socket.socket, server: socket.socket, head: bytes, rest: bytes) -> bool:
        server.sendall(head + _body(client, head, rest))
        return self._answered(client, server, head.split(b" ", 1)[0].decode())

    def _answered(self, client: socket.socket, server: socket.socket, method: str) -> bool:
        answer = _answer(server, is_bare=method == "HEAD")
        if not answer:
            return False
        client.sendall(answer)
        return True

    def _retrieve(self, client: socket.socket, key: str, body: bytes) -> None:
        with self._guard:
            self.requests.append((key, body))
            is_first = key not in self._left
            self._left.setdefault(key, self.looks)
        if is_first:
            client.sendall(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0" + _HEAD_END)
        else:
            client.sendall(_refusal(409, "RestoreAlreadyInProgress", "Object restore is already in progress"))

    def _state(self, key: str) -> bytes:
        with self._guard:
            if key in self._left and self._left[key]:
                self._left[key] -= 1
                state = b'\r\nx-amz-restore: ongoing-request="true"'
            elif key in self._left:
                state = b'\r\nx-amz-restore: ongoing-request="false", expiry-date="Fri, 21 Dec 2035 00:00:00 GMT"'
            else:
                state = b""
        return b"\r\nx-amz-storage-class: GLACIER" + state


def _refusal(status: int, code: str, message: str) -> bytes:
    body = (
        f"<Error><Code>{code}</Code><Message>{message}</Message><StorageClass>GLACIER</StorageClass></Error>".encode()
    )
    head = f"HTTP/1.1 {status} Refused\r\nContent-Type: application/xml\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body
