# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import datetime as dt
import functools
import hashlib
import hmac
import typing as t
import urllib.parse

from .. import clock
from .credentials import Credentials

UNSIGNED = "UNSIGNED-PAYLOAD"
EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()
_ALGORITHM = "AWS4-HMAC-SHA256"
_KEPT_KEYS = 8  # signing keys: of today, of yesterday, and of a few roles
_KEPT_NAMES = 256  # sets of names of headers: requests of one kind have the same
# Proxies may change these on the way ("Signature Version 4 signing process": do not sign what intermediaries rewrite).
_NEVER_SIGNED = frozenset(("connection", "expect", "transfer-encoding", "user-agent", "x-amzn-trace-id"))

Query = t.Sequence[tuple[str, str]]


def encoded_key(key: str) -> str:
    """Return an object key as a URL path; bytes that are no UTF-8 travel as surrogate escapes."""
    return urllib.parse.quote(key, safe="/~", errors="surrogateescape")


def encoded_query(query: Query) -> str:
    """Return a query in its canonical form, which is also the form that is sent."""
    if not query:
        return ""
    quoted = [(_quoted(name), _quoted(value)) for name, value in query]
    return "&".join(f"{name}={value}" for name, value in sorted(quoted))


@functools.lru_cache(maxsize=_KEPT_NAMES)
def _signed_names(names: tuple[str, ...]) -> tuple[tuple[str, ...], str]:
    """Return the names of headers that are signed, in order, and as the signature lists them."""
    signed = tuple(sorted(name for name in names if name not in _NEVER_SIGNED))
    return signed, ";".join(signed)


def _quoted(text: str) -> str:
    return urllib.parse.quote(text, safe="~", errors="surrogateescape")


class Signer:
    """Signs requests for one region with AWS Signature Version 4 (Amazon S3 API, "Authenticating Requests")."""

    def __init__(self, region: str, service: str = "s3") -> None:
        self._region = region
        self._service = service
        self._keys: dict[tuple[str, str, str], bytes] = {}

    def signed(
        self,
        credentials: Credentials,
        moment: dt.datetime,
        method: str,
        host: str,
        path: str,
        query: str,
        headers: t.Mapping[str, str],
        payload: str,
    ) -> dict[str, str]:
        """Return `headers` (lower-case names) with the host, the time, the hash of the payload and the signature.

        `path` and `query` are as they are sent; `payload` is the SHA-256 of the body in hex, or UNSIGNED.
        """
        stamp = clock.compact(moment)
        fields = {**headers, "host": host, "x-amz-content-sha256": payload, "x-amz-date": stamp}
        if credentials.session_token:
            fields["x-amz-security-token"] = credentials.session_token
        names, signed_names = _signed_names(tuple(fields))
        lines = "".join([f"{name}:{' '.join(fields[name].split())}\n" for name in names])
        canonical = f"{method}\n{path}\n{query}\n{lines}\n{signed_names}\n{payload}"
        scope = f"{stamp[:8]}/{self._region}/{self._service}/aws4_request"
        signature = self._signature(credentials, stamp, scope, canonical)
        credential = f"{credentials.access_key}/{scope}"
        fields["authorization"] = (
            f"{_ALGORITHM} Credential={credential}, SignedHeaders={signed_names}, Signature={signature}"
        )
        return fields

    def presigned_query(
        self, credentials: Credentials, moment: dt.datetime, method: str, host: str, path: str, expires_s: int
    ) -> str:
        """Return the query that makes `path` on `host` usable with `method` by anybody for `expires_s` seconds (at
        most 7 days).
        """
        stamp = clock.compact(moment)
        scope = f"{stamp[:8]}/{self._region}/{self._service}/aws4_request"
        fields = [
            ("X-Amz-Algorithm", _ALGORITHM),
            ("X-Amz-Credential", f"{credentials.access_key}/{scope}"),
            ("X-Amz-Date", stamp),
            ("X-Amz-Expires", str(expires_s)),
            ("X-Amz-SignedHeaders", "host"),
        ]
        if credentials.session_token:
            fields.append(("X-Amz-Security-Token", credentials.session_token))
        query = encoded_query(fields)
        canonical = f"{method}\n{path}\n{query}\nhost:{host}\n\nhost\n{UNSIGNED}"
        return f"{query}&X-Amz-Signature={self._signature(credentials, stamp, scope, canonical)}"

    def _signature(self, credentials: Credentials, stamp: str, scope: str, canonical: str) -> str:
        digest = hashlib.sha256(canonical.encode("utf-8")).hexdigest()
        text = f"{_ALGORITHM}\n{stamp}\n{scope}\n{digest}"
        return hmac.digest(self._key(credentials, stamp[:8]), text.encode("ascii"), "sha256").hex()

    def _key(self, credentials: Credentials, day: str) -> bytes:
        name = (day, credentials.access_key, credentials.secret_key)
        key = self._keys.get(name)
        if key is None:
            key = f"AWS4{credentials.secret_key}".encode()
            for part in (day, self._region, self._service, "aws4_request"):
                key = hmac.digest(key, part.encode("utf-8"), "sha256")
            if len(self._keys) >= _KEPT_KEYS:
                self._keys.clear()
            self._keys[name] = key
        return key
