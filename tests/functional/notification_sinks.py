# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Servers that take mail and HTTP requests, and keep what they were sent."""

from __future__ import annotations

import base64
import dataclasses
import email
import email.message
import email.policy
import http.server
import json
import socketserver
import ssl
import threading
import typing as t
from pathlib import Path

import pytest
from servers import LOOPBACK, make_certificate

USER, PASSWORD = "backup", "canary-mail-5ecret"


@dataclasses.dataclass
class Mail:
    """One mail as it arrived."""

    sender: str
    to: list[str]
    data: bytes
    was_encrypted: bool
    user: str

    @property
    def message(self) -> email.message.EmailMessage:
        return email.message_from_bytes(self.data, policy=email.policy.default)  # type: ignore[return-value]

    @property
    def text(self) -> str:
        return str(self.message.get_content())


@dataclasses.dataclass
class Call:
    """One HTTP request as it arrived."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> dict[str, t.Any]:
        found: dict[str, t.Any] = json.loads(self.body)
        return found


class _Threaded(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True

    def handle_error(self, *_words: t.Any) -> None:
        """Say nothing: clients that give up are what is tested."""


class Sink:
    """A server on loopback in threads of this process; `with` starts and ends it."""

    handler: type[socketserver.BaseRequestHandler]

    def __init__(self, folder: Path, *, tls: bool = False) -> None:
        folder.mkdir(exist_ok=True)
        self.ca_file = folder / "sink.crt"
        make_certificate(self.ca_file, folder / "sink.key")
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.context.load_cert_chain(self.ca_file, folder / "sink.key")
        self.tls = tls
        self.server = _Threaded((LOOPBACK, 0), self.handler)
        self.server.sink = self  # type: ignore[attr-defined]
        if tls:
            self.server.socket = self.context.wrap_socket(self.server.socket, server_side=True)
        self._thread = threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True)

    @property
    def port(self) -> int:
        return int(self.server.server_address[1])

    def __enter__(self: S) -> S:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self._thread.join()
        self.server.server_close()


S = t.TypeVar("S", bound=Sink)


class _Session(socketserver.StreamRequestHandler):
    """Enough of SMTP (RFC 5321) with STARTTLS (RFC 3207) and AUTH PLAIN (RFC 4954)."""

    timeout = 20

    def handle(self) -> None:
        sink: MailSink = self.server.sink  # type: ignore[attr-defined]
        self.encrypted, self.user, sender, to = sink.tls, "", "", []
        self._say("220 sink")
        while True:
            line = self.rfile.readline(4096).decode("latin-1").strip()
            verb, _blank, rest = line.partition(" ")
            verb = verb.upper()
            if not line or verb == "QUIT":
                self._say("221 bye")
                return
            if verb in sink.answers:
                self._say(sink.answers[verb])
            elif verb == "EHLO":
                offers = ["AUTH PLAIN"] if self.encrypted else ["STARTTLS"]
                self._say("\r\n".join(["250-sink", *(f"250-{offer}" for offer in offers), "250 8BITMIME"]))
            elif verb == "STARTTLS":
                self._encrypt(sink)
            elif verb == "AUTH":
                self._authenticate(rest)
            elif verb == "MAIL":
                sender, to = rest.partition("<")[2].partition(">")[0], []
                self._say("250 ok")
            elif verb == "RCPT":
                to.append(rest.partition("<")[2].partition(">")[0])
                self._say("250 ok")
            elif verb == "DATA":
                self._say("354 go on")
                sink.mails.append(Mail(sender, to, self._data(), self.encrypted, self.user))
                self._say("250 taken")
            else:
                self._say("502 unknown")

    def _say(self, text: str) -> None:
        self.wfile.write(f"{text}\r\n".encode())

    def _encrypt(self, sink: Sink) -> None:
        self._say("220 go on")
        self.connection = sink.context.wrap_socket(self.connection, server_side=True)
        self.setup_streams()
        self.encrypted = True

    def setup_streams(self) -> None:
        self.rfile = self.connection.makefile("rb", self.rbufsize)
        self.wfile = socketserver._SocketWriter(self.connection)  # type: ignore[attr-defined]

    def _authenticate(self, rest: str) -> None:
        _nobody, user, password = base64.b64decode(rest.partition(" ")[2]).decode().split("\0")
        if (user, password) == (USER, PASSWORD):
            self.user = user
            self._say("235 welcome")
        else:
            self._say(f"535 5.7.8 I do not know {user} with {password}")  # a server without any manners

    def _data(self) -> bytes:
        lines = []
        while (line := self.rfile.readline(100_000)) not in (b".\r\n", b""):
            lines.append(line[1:] if line.startswith(b".") else line)
        return b"".join(lines)


class MailSink(Sink):
    """An SMTP server that keeps what it gets; `answers` are given to verbs instead of taking them."""

    handler = _Session

    def __init__(self, folder: Path, *, tls: bool = False) -> None:
        super().__init__(folder, tls=tls)
        self.mails: list[Mail] = []
        self.answers: dict[str, str] = {}


class _Request(http.server.BaseHTTPRequestHandler):
    timeout = 20

    def do_POST(self) -> None:
        sink: HttpSink = self.server.sink  # type: ignore[attr-defined]
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        sink.calls.append(Call(self.path, {name.lower(): value for name, value in self.headers.items()}, body))
        status, headers = sink.answers.pop(0) if sink.answers else (200, {})
        self.send_response(status, f"about {self.path}")  # a server without any manners
        for name, value in {"Content-Length": "0", **headers}.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_words: t.Any) -> None:
        """Say nothing."""


class HttpSink(Sink):
    """An HTTP server that keeps what it gets; `answers` are status and headers for the next requests."""

    handler = _Request

    def __init__(self, folder: Path, *, tls: bool = False) -> None:
        super().__init__(folder, tls=tls)
        self.calls: list[Call] = []
        self.answers: list[tuple[int, dict[str, str]]] = []

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://{LOOPBACK}:{self.port}"


@pytest.fixture
def mail_sink(tmp_path: Path) -> t.Iterator[MailSink]:
    with MailSink(tmp_path / "mail-sink") as sink:
        yield sink


@pytest.fixture
def http_sink(tmp_path: Path) -> t.Iterator[HttpSink]:
    with HttpSink(tmp_path / "http-sink") as sink:
        yield sink
