# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Messages over HTTP: JSON to a webhook, and pings to a service that misses runs which do not report."""

from __future__ import annotations

import dataclasses
import http.client
import json
import re
import ssl
import typing as t
import urllib.error
import urllib.parse
import urllib.request

from ..errors import UsageError
from ..s3.endpoint import is_loopback
from .notify_channel import Channel, NotSent, Opened, Secret, tls_context
from .notify_event import START, SUCCESS, TEST, Event
from .version import VERSION

PLACEHOLDERS = ("job", "command", "host")
_MOST_BODY = 10_000  # bytes of a ping's text: what such services keep
_MOST_ANSWER = 64 * 1024  # bytes of an answer that are read
_PRINTABLE = re.compile(r"[\x21-\x7e]+")


@dataclasses.dataclass(frozen=True)
class HttpChannel(Channel):
    """What all channels over HTTP have."""

    url: Secret = dataclasses.field(default_factory=Secret)  # may hold {job}, {command} and {host}
    ca_cert: str = ""
    proxy: str = ""
    allow_plaintext: bool = False

    def _address(self) -> str:
        """Return the URL. Raises UsageError, which does not show it."""
        url = self.url.read()
        problem, remedy = f"Cannot use the URL of channel {self.name}", "write it as https://host/path"
        try:
            parts = urllib.parse.urlsplit(url)
            has_place = bool(parts.hostname) and parts.port != 0
        except ValueError:
            has_place = False
        if not has_place or parts.scheme not in ("https", "http") or not _PRINTABLE.fullmatch(url):
            raise UsageError(problem, "it is no URL", remedy)
        if "@" in parts.netloc:
            raise UsageError(problem, "it holds a user's name", "give a token instead")
        if parts.scheme == "http" and not self.allow_plaintext and not is_loopback(parts.hostname or ""):
            raise UsageError(
                problem,
                "it is not encrypted and not on this machine",
                "use https, or allow_plaintext: true where the network is trusted",
            )
        return url

    def _post(self, url: str, event: Event, body: bytes, headers: t.Mapping[str, str]) -> None:
        for name in PLACEHOLDERS:
            url = url.replace(f"{{{name}}}", urllib.parse.quote(str(getattr(event, name)), safe=""))
        given = {"User-Agent": f"lifeboat/{VERSION}", **headers}
        request = urllib.request.Request(url, body, given, method="POST")  # noqa: S310 - the scheme was checked
        try:
            with self._opener().open(request, timeout=self.timeout_s) as answer:
                answer.read(_MOST_ANSWER)
        except urllib.error.HTTPError as error:
            error.close()
            if 300 <= error.code < 400:
                raise NotSent(f"the server answered {error.code}: redirects are not followed", False) from None
            words = f"the server answered {error.code} {error.reason}"
            raise NotSent(words, error.code >= 500 or error.code in (408, 425, 429)) from None
        except ssl.SSLCertVerificationError as error:
            raise NotSent(f"its certificate cannot be trusted: {error.verify_message}", False) from None
        except urllib.error.URLError as error:
            raise NotSent(f"the server cannot be reached: {error.reason}", True) from None
        except (OSError, http.client.HTTPException) as error:
            raise NotSent(f"the server does not answer: {error!r}", True) from None

    def _opener(self) -> urllib.request.OpenerDirector:
        proxies = {"http": self.proxy, "https": self.proxy} if self.proxy else {}
        return urllib.request.build_opener(
            urllib.request.ProxyHandler(proxies),  # never by variables: cron has none, and a person may have others
            urllib.request.HTTPSHandler(context=tls_context(self.ca_cert)),
            _NoRedirect(),
        )


@dataclasses.dataclass(frozen=True)
class Webhook(HttpChannel):
    """Posts the event as JSON."""

    token: Secret = dataclasses.field(default_factory=Secret)  # sent as `Authorization: Bearer`

    def opened(self) -> Opened:
        """Return it with URL and token. Raises UsageError."""
        url, token = self._address(), self.token.read() if self.token else ""
        if token and not _PRINTABLE.fullmatch(token):
            raise UsageError(f"Cannot use the token of channel {self.name}", "it holds blanks", "look into its file")
        tls_context(self.ca_cert)
        headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})}
        return Opened(
            lambda event: self._post(url, event, json.dumps(event.document()).encode(), headers), (url, token)
        )


@dataclasses.dataclass(frozen=True)
class Ping(HttpChannel):
    """Pings a URL after each run, as healthchecks does: itself for success, with /start and /fail for the others."""

    def opened(self) -> Opened:
        """Return it with its URL. Raises UsageError."""
        url = self._address()
        tls_context(self.ca_cert)
        return Opened(lambda event: self._ping(url, event), (url,))

    def _ping(self, url: str, event: Event) -> None:
        parts = urllib.parse.urlsplit(url)
        # A trial is no success: it must not hide that a job does not run. Such services take /log for a remark.
        ending = {START: "/start", SUCCESS: "", TEST: "/log"}.get(event.outcome, "/fail")
        wanted = parts._replace(path=parts.path.rstrip("/") + ending).geturl()
        body = event.text().encode()[:_MOST_BODY]
        self._post(wanted, event, body, {"Content-Type": "text/plain; charset=utf-8"})


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Lets a redirect be the failure that it is: a secret in a URL or header is for one server only."""

    def redirect_request(self, *_words: t.Any) -> None:
        """Follow nothing."""
        return None
