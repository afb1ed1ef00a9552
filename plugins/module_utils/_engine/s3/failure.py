# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import html
import http.client
import re
import socket
import ssl
import typing as t

from ..errors import LifeboatError

# Codes of our own, for failures without an answer of the server.
NOT_CONNECTED = "NotConnected"  # nothing was sent
LOST_ANSWER = "LostAnswer"  # sent, perhaps in part; no answer, or none that makes sense
BAD_ANSWER = "BadAnswer"  # answered, but not with what was asked for
ALTERED = "Altered"  # the bytes that arrived are not those that were sent
UNTRUSTED = "UntrustedCertificate"
NO_TLS = "NoTLS"

_TRANSIENT_STATUS = frozenset((429, 500, 502, 503, 504))
_TRANSIENT_CODES = frozenset(
    (NOT_CONNECTED, LOST_ANSWER, "RequestTimeout", "ConditionalRequestConflict", "OperationAborted")
)
# The server says that it did not begin: these may be repeated even where a second execution would be wrong.
# Not SlowDownWrite: MinIO says it when the write quorum failed, and some drives may hold the object.
_WITHOUT_EFFECT = frozenset(
    (NOT_CONNECTED, "SlowDown", "TooManyRequests", "RequestTimeout", "ConditionalRequestConflict")
)
_LONGEST_MESSAGE = 500  # characters of the server's words in an error

_REMEDIES = {
    "InvalidAccessKeyId": "check access_key: the server does not know it, or it is disabled",
    "SignatureDoesNotMatch": "check secret_key: it is not the one of this access_key",
    "InvalidToken": "check session_token, or get new credentials",
    "ExpiredToken": "get new credentials: the session has ended",
    "AccessDenied": "give this access key the right to do it, or use another one",
    "NoSuchBucket": "check the bucket's name, or create it with the module minio_bucket",
    "RequestTimeTooSkewed": "set this host's clock or the server's (chrony, ntp): they differ too much",
    "AuthorizationHeaderMalformed": "set region to the server's region",
    "PermanentRedirect": "set region and url to those of the bucket: redirects are not followed",
    "TemporaryRedirect": "set url to the server itself: redirects are not followed",
    "InvalidBucketName": "use 3 to 63 small letters, digits, dots and hyphens",
    "XMinioStorageFull": "free space on the server",
    "XMinioAdminBucketQuotaExceeded": "raise the bucket's quota, or remove old backups",
    "QuotaExceeded": "raise the quota, or remove old backups",
    "SlowDown": "try again later: the server is overloaded",
    "SlowDownWrite": "look at the server's health: it has too few drives to write",
    "SlowDownRead": "look at the server's health: it has too few drives to read",
    "NotImplemented": "the server cannot do this; use a newer one",
    NOT_CONNECTED: "check url, the network and whether the server runs",
    LOST_ANSWER: "check the network and whether the server runs",
    BAD_ANSWER: "check that url is the S3 port of an S3 server, not its console or a web page",
    ALTERED: "check the network and the server's memory and disks; then try again",
    NO_TLS: "check url: use the server's TLS port, or http where that is allowed",
    UNTRUSTED: "set ca_file to the authority that signed the server's certificate",
}


class S3Error(LifeboatError):
    """A request to an S3 server failed.

    `status` is the HTTP status, 0 without an answer; `code` the server's word or one of this file's; `fields` the
    answer's headers; `is_wordless` says that such an answer has no word, as those to HEAD.
    """

    def __init__(
        self,
        problem: str,
        status: int,
        code: str,
        message: str,
        fields: t.Mapping[str, str] | None = None,
        is_wordless: bool = False,
    ) -> None:
        self.is_wordless = is_wordless and not code
        self.status = status
        self.code = code
        self.message = message
        self.fields: dict[str, str] = dict(fields or {})
        said = f"{code}, HTTP {status}" if status else code
        super().__init__(problem, f"{message} ({said})" if message else said, _remedy(status, code, self.fields))

    @property
    def is_transient(self) -> bool:
        """Say whether the same request may succeed when it is sent again."""
        return self.status in _TRANSIENT_STATUS or self.code in _TRANSIENT_CODES

    @property
    def is_without_effect(self) -> bool:
        """Say whether it is sure that the server did nothing."""
        return self.code in _WITHOUT_EFFECT or self.status == 429 or 300 <= self.status < 500

    @property
    def is_missing_key(self) -> bool:
        """Say whether the object (not its bucket) is not there.

        Where an answer has a body, the server's own word says so: a 404 without one is that of a proxy, or was cut.
        """
        return self.code in ("NoSuchKey", "NoSuchVersion") or (self.is_wordless and self.status == 404)


def _remedy(status: int, code: str, fields: t.Mapping[str, str]) -> str:
    region = fields.get("x-amz-bucket-region")
    if region and (300 <= status < 400 or code == "AuthorizationHeaderMalformed"):
        return f"set region to {region}"
    if code in _REMEDIES:
        return _REMEDIES[code]
    if 300 <= status < 400:
        return _REMEDIES["TemporaryRedirect"]
    if status == 403:
        return _REMEDIES["AccessDenied"]
    return "try again later, and look at the server's log" if status >= 500 else ""


def from_answer(
    problem: str,
    status: int,
    fields: t.Mapping[str, str],
    body: bytes,
    secrets: t.Sequence[str] = (),
    is_wordless: bool = False,
) -> S3Error:
    """Make an error of an answer; `secrets` are taken out of whatever the server wrote."""
    code = _element(body, "Code") or fields.get("x-minio-error-code", "")
    message = _element(body, "Message") or fields.get("x-minio-error-desc", "").strip('"')
    if 300 <= status < 400:
        message = message or f"the server redirects to {_origin(fields.get('location', ''))}"
    if not code:
        message = message or f"{http.client.responses.get(status, 'the server gives no reason')}"
    return S3Error(problem, status, _plain(code, secrets), _plain(message, secrets), fields, is_wordless)


def from_exception(problem: str, error: BaseException, was_sent: bool) -> S3Error:
    """Make an error of a failed connection, one that was cut, or an answer that is no HTTP."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return S3Error(problem, 0, UNTRUSTED, f"the server's certificate is not trusted: {error.verify_message}")
    if isinstance(error, ssl.SSLError) and error.reason == "WRONG_VERSION_NUMBER":
        return S3Error(problem, 0, NO_TLS, "the server does not speak TLS at this port")
    words = getattr(error, "strerror", None) or str(error) or type(error).__name__
    if isinstance(error, (TimeoutError, socket.timeout)):  # two classes before Python 3.10
        words = "no answer in time" if was_sent else "no connection in time"
    elif isinstance(error, http.client.IncompleteRead):
        words = f"the answer ended early, after {len(error.partial)} bytes"
    elif isinstance(error, http.client.HTTPException) and not isinstance(error, ConnectionError):
        words = f"the answer is no HTTP: {words}"
    return S3Error(problem, 0, LOST_ANSWER if was_sent else NOT_CONNECTED, _plain(words, ()))


def _element(body: bytes, name: str) -> str:
    found = re.search(rb"<%s>([^<]*)</%s>" % (name.encode(), name.encode()), body)
    return html.unescape(found.group(1).decode("utf-8", "replace")) if found else ""


def _origin(location: str) -> str:
    found = re.match(r"[a-z]+://[^/?#\s]+", location)
    return found.group(0) if found else "another place"


def _plain(text: str, secrets: t.Sequence[str]) -> str:
    for secret in secrets:
        if secret:
            text = text.replace(secret, "***")
    return "".join(sign if sign.isprintable() else " " for sign in text[:_LONGEST_MESSAGE]).strip().rstrip(".")
