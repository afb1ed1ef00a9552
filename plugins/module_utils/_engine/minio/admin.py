# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import hashlib
import http.client
import json
import typing as t

from .. import clock
from ..errors import LifeboatError
from ..s3 import credentials, failure
from ..s3.connection import Connections
from ..s3.endpoint import Endpoint
from ..s3.response import LeanResponse
from ..s3.signature import Query, Signer, encoded_query
from ..s3.transport import pause_s
from . import admin_cipher

_PREFIX = "/minio/admin/v3/"
_MOST_BYTES = 16 * 1024 * 1024  # bytes of an answer
# The server takes another verb for one of another version of the API.
_NO_SUCH_VERB = 426
_REMEDIES = {
    "AccessDenied": "give this access key the right for the admin API, or use another one",
    "InvalidAccessKeyId": "check access_key: the server does not know it, or it is disabled",
    "SignatureDoesNotMatch": "check secret_key: it is not the one of this access_key",
    "NoSuchBucket": "check the bucket's name, or create it with the module minio_bucket",
    "XMinioAdminVersionMismatch": "the server does not have this in its present mode or version",
}


class AdminError(LifeboatError):
    """A request to MinIO's admin API failed; `status` is the HTTP status, `code` the server's word."""

    def __init__(self, problem: str, status: int, code: str, message: str) -> None:
        self.status = status
        self.code = code
        said = f"{code}, HTTP {status}" if code else f"HTTP {status}"
        super().__init__(problem, f"{message} ({said})" if message else said, _remedy(code))


def _remedy(code: str) -> str:
    if code in _REMEDIES:
        return _REMEDIES[code]
    if code.startswith("XMinio"):
        return "correct what the server names, or look at its log"
    return "check that endpoint_url is a MinIO server: other S3 servers have no admin API"


class AdminClient:
    """Talks to the admin API of a MinIO server, which is signed like S3 and answers in JSON.

    A request must be one that may be repeated without harm: it is, after a lost answer.
    """

    def __init__(self, endpoint: Endpoint, source: credentials.Source | None = None) -> None:
        self._endpoint = endpoint
        self._source = source or credentials.source_for(endpoint)
        self._connections = Connections(endpoint)
        self._signer = Signer(endpoint.region)

    def close(self) -> None:
        """Close idle connections."""
        self._connections.close()

    def is_there(self) -> bool:
        """Say whether the endpoint has this API, by a request that every user may send. Raises LifeboatError.

        Ask before anything else where the make of the server is not known: to other S3 servers the paths of this API
        are keys in a bucket named `minio`, and a PUT would write there.
        """
        problem = "Cannot ask for the admin API"
        try:
            return "AccountName" in self.document(problem, "accountinfo")
        except AdminError as error:
            if error.status >= http.client.INTERNAL_SERVER_ERROR and error.status != http.client.NOT_IMPLEMENTED:
                raise
            return False

    def quota(self, bucket: str) -> int:
        """Return the hard quota of a bucket in bytes, 0 when there is none. Raises AdminError."""
        problem = f"Cannot read the quota of bucket {bucket}"
        answer = self.document(problem, "get-bucket-quota", (("bucket", bucket),))
        # `size` is the newer name of `quota`; servers that know it prefer it.
        return int(answer.get("size") or answer.get("quota") or 0)

    def set_quota(self, bucket: str, size_bytes: int) -> None:
        """Set the hard quota of a bucket, 0 to remove it. Raises AdminError."""
        # With `size` alone the older field stays 0, and `quota` alone is not what newer servers read.
        body = json.dumps({"quota": size_bytes, "size": size_bytes, "quotatype": "hard"}).encode("ascii")
        problem = f"Cannot set the quota of bucket {bucket}"
        self.send(problem, "PUT", "set-bucket-quota", (("bucket", bucket),), body)

    def caller(self) -> str:
        """Return the access key that requests are signed with. Raises LifeboatError."""
        return self._source().access_key

    def document(self, problem: str, verb: str, query: Query = ()) -> dict[str, t.Any]:
        """Ask for a JSON object that holds no secrets. Raises AdminError."""
        return _json(problem, self.send(problem, "GET", verb, query))

    def names(self, problem: str, verb: str) -> list[str]:
        """Ask for a JSON list of names; `null` is an empty one. Raises AdminError."""
        try:
            answer = json.loads(self.send(problem, "GET", verb) or b"null") or []
        except ValueError:
            answer = None
        if not isinstance(answer, list) or not all(isinstance(each, str) for each in answer):
            raise AdminError(problem, http.client.OK, failure.BAD_ANSWER, "the answer is no list of names")
        return answer

    def secret_document(self, problem: str, verb: str, query: Query = ()) -> dict[str, t.Any]:
        """Ask for a JSON object that comes encrypted. Raises AdminError, MissingPartError, DamagedError."""
        return _json(problem, admin_cipher.decrypted(self._source().secret_key, self.send(problem, "GET", verb, query)))

    def send_secret(self, problem: str, method: str, verb: str, query: Query, fields: t.Mapping[str, t.Any]) -> None:
        """Send a JSON object encrypted; what comes back repeats it and is not looked at.

        Raises AdminError, MissingPartError.
        """
        body = admin_cipher.encrypted(self._source().secret_key, json.dumps(fields).encode("ascii"))
        self.send(problem, method, verb, query, body)

    def send(
        self, problem: str, method: str, verb: str, query: Query = (), body: bytes = b"", most: int = _MOST_BYTES
    ) -> bytes:
        """Send a request and return the answer's body, of at most `most` bytes. Raises AdminError, S3Error."""
        tries = 0
        while True:
            tries += 1
            try:
                status, data = self._sent(problem, method, verb, query, body, most)
            except failure.S3Error as error:
                if not error.is_transient or tries >= self._endpoint.max_attempts:
                    raise
            else:
                if 200 <= status < 300:
                    return data
                if status != http.client.SERVICE_UNAVAILABLE or tries >= self._endpoint.max_attempts:
                    raise _refusal(problem, status, data)
            clock.sleep(pause_s(tries))

    def _sent(self, problem: str, method: str, verb: str, query: Query, body: bytes, most: int) -> tuple[int, bytes]:
        hostname = self._endpoint.hostname
        target = f"{_PREFIX}{verb}"
        text = encoded_query(query)
        head = self._signer.signed(
            self._source(),
            clock.now(),
            method,
            self._endpoint.host_header(hostname),
            target,
            text,
            # Some verbs answer 400 without it.
            {"content-type": "application/octet-stream"},
            hashlib.sha256(body).hexdigest(),
        )
        head["content-length"] = str(len(body))
        lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
        try:
            wire, _was_used = self._connections.take(hostname)
        except OSError as error:
            raise failure.from_exception(problem, error, was_sent=False) from error
        try:
            wire.send(method, f"{target}?{text}" if text else target, lines, (body,))
            response = wire.answer(method)
            data = _whole(response, most)
        except (OSError, http.client.HTTPException) as error:
            wire.close()
            raise failure.from_exception(problem, error, was_sent=True) from error
        if response.will_close:
            wire.close()
        else:
            self._connections.give_back(wire)
        return response.status, data


def _json(problem: str, data: bytes) -> dict[str, t.Any]:
    try:
        answer = json.loads(data)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise AdminError(problem, http.client.OK, failure.BAD_ANSWER, "the answer is no JSON object")
    return answer


def _whole(response: LeanResponse, most: int) -> bytes:
    data = response.read(most + 1)
    if len(data) > most:
        raise http.client.HTTPException(f"the answer is longer than {most} bytes")
    response.close()
    return data


def _refusal(problem: str, status: int, data: bytes) -> AdminError:
    """Make an error of an answer: `{"Code", "Message"}`, or for a few verbs the XML of S3."""
    try:
        said = json.loads(data)
        code, message = str(said["Code"]), str(said["Message"])
    except (ValueError, TypeError, KeyError):
        other = failure.from_answer(problem, status, {}, data)
        code, message = other.code, other.message
    if status == _NO_SUCH_VERB:
        code = code or "XMinioAdminVersionMismatch"
    return AdminError(problem, status, code, message)
