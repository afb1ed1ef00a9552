# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A way to tell somebody, and the secrets that it needs."""

from __future__ import annotations

import base64
import dataclasses
import ssl
import typing as t
import urllib.parse

from ..errors import LifeboatError, UsageError
from .notify_event import FAILURE, FLAGGED, INCOMPLETE_END, RECOVERED, START, SUCCESS, TEST, Event
from .secret_file import read_secret

WORDS = (FAILURE, INCOMPLETE_END, FLAGGED, SUCCESS, RECOVERED)
USUAL = (FAILURE, INCOMPLETE_END, FLAGGED, RECOVERED)
COMMANDS = ("run", "verify", "copy", "prune", "lock", "mirror", "restore")
_SHORTEST = 4  # characters of a secret's part: shorter ones would make holes into every text


class NotSent(LifeboatError):
    """A message was not taken; `may_retry` says whether that may pass."""

    def __init__(self, cause: str, may_retry: bool) -> None:
        super().__init__("Cannot send the message", cause, "lifeboat notify --test")
        self.may_retry = may_retry


@dataclasses.dataclass(frozen=True)
class Secret:
    """A text that nobody may see: in a file of its own, or given by a task."""

    file: str = ""
    value: str = dataclasses.field(default="", repr=False)

    def __bool__(self) -> bool:
        return bool(self.file or self.value)

    def read(self) -> str:
        """Return it. Raises UsageError when its file cannot be read."""
        return read_secret(self.file) if self.file else self.value


@dataclasses.dataclass(frozen=True)
class Opened:
    """A channel with its secrets, ready to send."""

    send: t.Callable[[Event], None]  # raises NotSent
    secrets: tuple[str, ...] = dataclasses.field(default=(), repr=False)  # are cut out of every problem


@dataclasses.dataclass(frozen=True)
class Channel:
    """A way to tell somebody."""

    name: str
    on: tuple[str, ...] = USUAL  # of WORDS
    commands: tuple[str, ...] = COMMANDS
    timeout_s: int = 10  # of each wait for the other side
    attempts: int = 3

    def wants(self, event: Event) -> bool:
        """Say whether this channel is to tell of an event."""
        if event.outcome == TEST:
            return True
        # What a play reports under a name of its own belongs to nobody else.
        return self._is_of(event) and any(word in self.on for word in event.words)

    def opened(self) -> Opened:
        """Return the channel with its secrets. Raises UsageError."""
        raise NotImplementedError

    def _is_of(self, event: Event) -> bool:
        return event.command in self.commands or event.command not in COMMANDS


def hears_begin(channel: Channel) -> bool:
    """Say whether a channel is told when a run begins."""
    return START in channel.on


def without(text: str, secrets: t.Iterable[str]) -> str:
    """Return a text in which nothing of the secrets is left, in no usual spelling."""
    for part in sorted({part for secret in secrets for part in _spellings(secret)}, key=len, reverse=True):
        text = text.replace(part, "***")
    return text


def _spellings(secret: str) -> t.Iterator[str]:
    parts = [secret]
    if "://" in secret:
        url = urllib.parse.urlsplit(secret)
        parts += [url.path, url.query, url.username or "", url.password or ""]
        parts += [part for part in url.path.split("/") if len(part) > _SHORTEST * 2]
        parts += [value for _name, value in urllib.parse.parse_qsl(url.query)]
    for part in parts:
        for each in (part, urllib.parse.quote(part, safe=""), base64.b64encode(part.encode()).decode("ascii")):
            if len(each) >= _SHORTEST:
                yield each


def tls_context(ca_file: str) -> ssl.SSLContext:
    """Return how servers are verified. Raises UsageError."""
    try:
        context = ssl.create_default_context(cafile=ca_file or None)
    except (OSError, ssl.SSLError) as error:
        problem = f"Cannot read the certificate authorities in {ca_file}"
        raise UsageError(problem, str(error), "give a file with PEM certificates") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
