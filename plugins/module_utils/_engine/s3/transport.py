# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import datetime as dt
import hashlib
import http.client
import random
import types
import typing as t

from .. import clock
from ..steps import reached
from . import credentials as credential
from . import failure, signature, whitelist
from .connection import Body, Connections, Wire
from .endpoint import Endpoint, is_loopback
from .failure import S3Error
from .response import LeanResponse

SignedAt = t.Union[dt.datetime, t.Callable[[], t.Optional[dt.datetime]], None]

MOST_XML = 64 * 1024 * 1024  # bytes: no answer that is read whole, but for objects, is that long
_FIRST_PAUSE_S = 0.25
_LONGEST_PAUSE_S = 10.0
_MOST_ERROR = 256 * 1024  # bytes of an error document that are looked at
_AGENT = "lifeboat"


class Request(t.NamedTuple):
    """One S3 request, as it is meant; time and signature are added when it is sent."""

    problem: str  # what could not be done, if it fails
    method: str
    bucket: str
    key: str = ""
    query: tuple[tuple[str, str], ...] = ()
    headers: t.Mapping[str, str] = types.MappingProxyType({})  # lower-case names
    body: Body = ()
    once: bool = False  # executed twice it would do harm: after a lost answer the outcome is reported as unknown
    signed_at: SignedAt = None  # the time to sign with; asked again before each try where it can be called
    step: str = ""  # name of the fault points around it; empty for requests that change nothing


class Answer(t.NamedTuple):
    """A whole answer."""

    status: int
    fields: dict[str, str]  # headers by lower-case name
    body: bytes


class Exchange:
    """An answer with success whose body is still on its way."""

    def __init__(self, response: LeanResponse, wire: Wire, connections: Connections) -> None:
        self.response = response
        self.fields = response.fields
        self._wire = wire
        self._connections = connections

    def end(self) -> None:
        """Keep the connection if the body was read to its end, else close it."""
        is_reusable = not self.response.will_close and (self.response.isclosed() or self.response.length == 0)
        self.response.close()
        if is_reusable:
            self._connections.give_back(self._wire)
        else:
            self._wire.close()


class Transport:
    """Sends signed requests and repeats them where that is right. May be used by several threads."""

    def __init__(self, endpoint: Endpoint, source: credential.Source | None = None) -> None:
        self.endpoint = endpoint
        self._source = source or credential.source_for(endpoint)
        self._connections = Connections(endpoint)
        self._signer = signature.Signer(endpoint.region)
        self._places: dict[str, tuple[str, str, str]] = {}
        self._hashes_payload = endpoint.scheme == "http" and not is_loopback(endpoint.hostname)
        # Server's clock minus ours; stays 0 until the server refuses our time.
        self._offset = dt.timedelta(0)

    def close(self) -> None:
        """Close idle connections."""
        self._connections.close()

    def whole(self, request: Request, most_bytes: int = MOST_XML) -> Answer:
        """Send a request and read the whole answer, of at most `most_bytes`. Raises S3Error."""

        return self._repeated(request, lambda exchange: self._read(request, exchange, most_bytes))

    def begun(self, request: Request) -> Exchange:
        """Send a request and read the head of the answer; the caller reads the body and calls `end`. Raises S3Error."""
        return self._repeated(request, None)

    def send(self, request: Request) -> Wire:
        """Send a request once, for `receive`; it must be one that may be repeated. Raises S3Error."""
        hostname, target, head = self._signed(request, self._payload(_allowed(request)))
        wire = self._connected(request, hostname)
        try:
            wire.send(request.method, target, head, request.body)
            if request.step:
                reached(f"s3.{request.step}.sent")
        except BaseException as error:
            _give_up(request, wire, error)
        return wire

    def receive(self, request: Request, wire: Wire, most_bytes: int = MOST_XML) -> Answer:
        """Read the whole answer to what `send` has sent. Raises S3Error."""
        try:
            found = wire.whole_answer(request.method, most_bytes)
        except BaseException as error:
            _give_up(request, wire, error)
        if isinstance(found, LeanResponse):
            return self._read(request, self._accepted(request, found, wire), most_bytes)
        if found.will_close:
            wire.close()
        else:
            self._connections.give_back(wire)
        if request.step:
            reached(f"s3.{request.step}.answered")
        if not 200 <= found.status < 300:
            raise self._refused(request, found.status, found.fields, found.body)
        return Answer(found.status, found.fields, found.body)

    @t.overload
    def _repeated(self, request: Request, read: None) -> Exchange:
        """Leave the body to the caller."""

    @t.overload
    def _repeated(self, request: Request, read: t.Callable[[Exchange], Answer]) -> Answer:
        """Read the body with `read`."""

    def _repeated(self, request: Request, read: t.Callable[[Exchange], Answer] | None) -> Exchange | Answer:
        payload = self._payload(_allowed(request))
        tries = 0
        while True:
            tries += 1
            try:
                exchange = self._exchange(request, payload)
                return exchange if read is None else read(exchange)
            except S3Error as error:
                if self._learned_the_time(request, error):
                    continue
                may_repeat = error.is_transient and (error.is_without_effect or not request.once)
                if not may_repeat or tries >= self.endpoint.max_attempts:
                    raise
            clock.sleep(pause_s(tries))

    def _read(self, request: Request, exchange: Exchange, most_bytes: int) -> Answer:
        try:
            body = _read_whole(request, exchange.response, most_bytes)
        except (OSError, http.client.HTTPException) as error:
            raise failure.from_exception(request.problem, error, was_sent=True) from error
        finally:
            exchange.end()
        if request.step:
            reached(f"s3.{request.step}.answered")
        return Answer(exchange.response.status, exchange.fields, body)

    def _exchange(self, request: Request, payload: str) -> Exchange:
        hostname, target, head = self._signed(request, payload)
        wire = self._connected(request, hostname)
        try:
            response = _sent(wire, request, target, head)
        except BaseException as error:
            _give_up(request, wire, error)
        return self._accepted(request, response, wire)

    def _connected(self, request: Request, hostname: str) -> Wire:
        try:
            return self._connections.take(hostname)[0]
        except OSError as error:
            raise failure.from_exception(request.problem, error, was_sent=False) from error

    def _accepted(self, request: Request, response: LeanResponse, wire: Wire) -> Exchange:
        exchange = Exchange(response, wire, self._connections)
        if not 200 <= response.status < 300:
            raise self._refusal(request, exchange)
        return exchange

    def _signed(self, request: Request, payload: str) -> tuple[str, str, str]:
        """Return the host to connect to, what is asked of it, and the lines of the head."""
        hostname, root, host = self._place(request.bucket)
        path = f"{root}/{signature.encoded_key(request.key)}"
        query = signature.encoded_query(request.query)
        head = self._head(request, host, path, query, payload)
        return hostname, f"{path}?{query}" if query else path, head

    def _place(self, bucket: str) -> tuple[str, str, str]:
        """Return the host name to connect to, what paths begin with, and the Host header; parsed once per bucket."""
        place = self._places.get(bucket)
        if place is None:
            hostname, root = self.endpoint.location(bucket)
            place = self._places[bucket] = (hostname, root, self.endpoint.host_header(hostname))
        return place

    def _head(self, request: Request, host: str, path: str, query: str, payload: str) -> str:
        fields = self._signer.signed(
            self._source(),
            self._moment(request.signed_at),
            request.method,
            host,
            path,
            query,
            request.headers,
            payload,
        )
        if request.body or request.method in ("PUT", "POST"):
            fields["content-length"] = str(sum(map(len, request.body)))
        fields["user-agent"] = _AGENT
        text = "".join([f"{name}: {value}\r\n" for name, value in fields.items()])
        if text.count("\r") != len(fields) or text.count("\n") != len(fields):
            raise S3Error(request.problem, 0, "InvalidHeader", "a header holds a line feed")
        return text

    def _moment(self, signed_at: SignedAt) -> dt.datetime:
        wanted = signed_at() if callable(signed_at) else signed_at
        return clock.now() + self._offset if wanted is None else wanted

    def _payload(self, body: Body) -> str:
        """Return what is signed of the body. Over TLS, and within this machine, nothing: the channel protects it, and
        hashing costs more than all else.
        """
        if not self._hashes_payload:
            return signature.UNSIGNED
        if not body:
            return signature.EMPTY_SHA256
        digest = hashlib.sha256()
        for chunk in body:
            digest.update(chunk)
        return digest.hexdigest()

    def _refusal(self, request: Request, exchange: Exchange) -> S3Error:
        try:
            body = exchange.response.read(_MOST_ERROR) if request.method != "HEAD" else b""
        except (OSError, http.client.HTTPException):
            body = b""
        finally:
            exchange.end()
        if request.step:
            reached(f"s3.{request.step}.answered")
        return self._refused(request, exchange.response.status, exchange.fields, body)

    def _refused(self, request: Request, status: int, fields: t.Mapping[str, str], body: bytes) -> S3Error:
        given = self._source()
        secrets = (given.secret_key, given.session_token)
        return failure.from_answer(request.problem, status, fields, body, secrets, is_wordless=request.method == "HEAD")

    def _learned_the_time(self, request: Request, error: S3Error) -> bool:
        """After "your clock is wrong" sign with the server's time, once. Never where the caller chose the time: that
        is a safety rule.
        """
        if error.code != "RequestTimeTooSkewed" or request.signed_at is not None or "date" not in error.fields:
            return False
        try:
            offset = clock.from_http_date(error.fields["date"]) - clock.now()
        except ValueError:
            return False
        if abs(offset - self._offset) < dt.timedelta(minutes=1):
            return False
        self._offset = offset
        return True


def _give_up(request: Request, wire: Wire, error: BaseException) -> t.NoReturn:
    """Close a connection on which something went wrong, and raise that; what may have arrived is told as such."""
    wire.close()
    if isinstance(error, (OSError, http.client.HTTPException)):
        raise failure.from_exception(request.problem, error, was_sent=True) from error
    raise error


def _allowed(request: Request) -> Body:
    """Return the body of a request that may be sent. Raises UsageError for others."""
    words = frozenset([name for name, _value in request.query])
    whitelist.check(request.method, request.bucket, request.key, words, bool(request.body))
    return request.body


def pause_s(tries: int) -> float:
    """Return how long to wait after so many failed tries: exponential, with full jitter so that many clients do not
    come back at once.
    """
    return random.uniform(0.0, min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2.0 ** (tries - 1)))


def _sent(wire: Wire, request: Request, target: str, head: str) -> LeanResponse:
    """Send the request and read the head of its answer, also when the server answers and hangs up before it took the
    whole body.
    """
    broken: OSError | None = None
    try:
        wire.send(request.method, target, head, request.body)
    except ConnectionError as error:
        broken = error
    if request.step:
        reached(f"s3.{request.step}.sent")
    try:
        response = wire.answer(request.method)
    except (OSError, http.client.HTTPException):
        if broken is not None:
            raise broken from None
        raise
    if broken is not None:
        if response.status < 300:
            response.close()
            raise broken
        response.will_close = True
    return response


def _read_whole(request: Request, response: LeanResponse, most_bytes: int) -> bytes:
    if request.method == "HEAD" or response.length == 0:
        return response.read()
    if response.length is None and not response.chunked:
        raise S3Error(request.problem, response.status, failure.LOST_ANSWER, "the answer does not say how long it is")
    body = response.read(most_bytes + 1) if response.length is None else b""
    if len(body) > most_bytes or (response.length or 0) > most_bytes:
        raise S3Error(request.problem, response.status, "TooLarge", f"the answer is longer than {most_bytes} bytes")
    return body + response.read()
