# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The keys `notifications`, `notify`, `metrics` and `schedule` of the configuration."""

from __future__ import annotations

import dataclasses
import re
import typing as t

from ..errors import UsageError
from .cron_time import Schedule
from .fields import Fields
from .notify_channel import COMMANDS, USUAL, WORDS, Channel, Secret
from .notify_event import START
from .notify_http import Ping, Webhook
from .notify_mail import SECURITY, SENDMAIL, Sendmail, SmtpMail

STATE_DIR = "/var/lib/lifeboat"  # Filesystem Hierarchy Standard 3.0, section 5.8
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
_PING_ON = (START, *WORDS)
_PING_COMMANDS = ("run", "mirror")  # a check of its own belongs to each other command: a verification is no backup


@dataclasses.dataclass(frozen=True)
class Notify:
    """What a job says about its notifications, beside what is said for all."""

    channels: tuple[str, ...] | None = None  # None: all
    on: tuple[str, ...] | None = None  # None: what each channel says


@dataclasses.dataclass(frozen=True)
class Reporting:
    """How ends of runs are told and kept."""

    channels: t.Mapping[str, Channel] = dataclasses.field(default_factory=dict)
    metrics_dir: str = ""  # of the textfile collector; empty: no metrics
    state_dir: str = ""  # empty: nothing is remembered

    def channels_of(self, notify: Notify | None) -> tuple[Channel, ...]:
        """Return the channels of a job, as it wants them; of what no job is: all."""
        notify = notify or Notify()
        names = tuple(self.channels) if notify.channels is None else notify.channels
        found = tuple(self.channels[name] for name in names)
        if notify.on is None:
            return found
        # A ping that is silent about successes is an alarm: the words are for those who read.
        on = notify.on
        return tuple(each if isinstance(each, Ping) else dataclasses.replace(each, on=on) for each in found)


def reporting_from(document: Fields) -> Reporting:
    """Return what the configuration says about notifications and metrics. Raises UsageError."""
    section = document.section("notifications")
    on = section.texts("on", USUAL)
    _refuse_unknown(section, "on", on, WORDS)
    channels = {name: _channel(name, each, on) for name, each in section.sections("channels").items()}
    section.finish()
    metrics = document.section("metrics")
    folder = metrics.path("directory", None) if document.has("metrics") else ""
    metrics.finish()
    is_wanted = bool(channels or folder or document.has("state_dir"))
    return Reporting(channels, folder, document.path("state_dir", STATE_DIR) if is_wanted else "")


def notify_from(fields: Fields) -> Notify | None:
    """Return what a job or mirror says about its notifications. Raises UsageError."""
    section = fields.section("notify")
    if not fields.has("notify"):
        return None
    on = section.texts("on", ()) or None
    _refuse_unknown(section, "on", on or (), WORDS)
    channels = section.names("channels")
    section.finish()
    return Notify(channels, on)


def schedule_from(fields: Fields) -> Schedule | None:
    """Return when something is run, which only `status` wants to know. Raises UsageError."""
    section = fields.section("schedule")
    if not fields.has("schedule"):
        return None
    cron, zone = section.text("cron", None), section.text("timezone", "UTC")
    section.finish()
    try:
        return Schedule(cron, zone)
    except UsageError as error:
        raise fields.refuse("schedule", f"cannot be used: {error.cause}", error.remedy) from error


def check_channels(document: Fields, reporting: Reporting, owners: t.Mapping[str, Notify | None]) -> None:
    """Raise UsageError when something (its path in the document → what it says) names a channel that is not there."""
    for owner, notify in owners.items():
        for name in (notify.channels or ()) if notify else ():
            if name not in reporting.channels:
                known = ", ".join(sorted(reporting.channels)) or "none"
                words = f"names channel {name}, which is not there"
                raise document.refuse(f"{owner}.notify.channels", words, f"there are: {known}")


def _channel(name: str, fields: Fields, on: tuple[str, ...]) -> Channel:
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"Cannot use {fields.source}",
            f"{name!r} cannot be the name of a channel",
            "use letters, digits, '-' and '_', beginning with a letter or digit",
        )
    make = _KINDS[fields.choice("type", tuple(_KINDS), None)]
    is_ping = make is _ping
    given: dict[str, t.Any] = {
        "name": name,
        "on": fields.texts("on", _PING_ON if is_ping else on),
        "commands": fields.texts("commands", _PING_COMMANDS if is_ping else COMMANDS),
        "timeout_s": fields.whole("timeout_s", Channel.timeout_s, 1, 30),
        "attempts": fields.whole("attempts", Channel.attempts, 1, 5),
    }
    _refuse_unknown(fields, "on", given["on"], _PING_ON if is_ping else WORDS)
    _refuse_unknown(fields, "commands", given["commands"], COMMANDS)
    try:
        made = make(fields, given)
    except UsageError as error:
        if error.problem != f"Cannot use channel {name}":
            raise
        raise UsageError(f"Cannot use {fields.source}", f"channel {name}: {error.cause}", error.remedy) from error
    fields.finish()
    return made


def _smtp(fields: Fields, given: dict[str, t.Any]) -> Channel:
    return SmtpMail(
        **given,
        **_addresses(fields),
        server=fields.text("server", SmtpMail.server),
        port=fields.whole("port", 0, 1, 65535) if fields.has("port") else 0,
        security=fields.choice("security", SECURITY, SmtpMail.security),
        user=fields.text("user"),
        password=Secret(fields.path("password_file")),
        ca_cert=fields.path("ca_cert"),
        allow_plaintext=fields.flag("allow_plaintext", False),
    )


def _sendmail(fields: Fields, given: dict[str, t.Any]) -> Channel:
    return Sendmail(**given, **_addresses(fields), program=fields.path("program", SENDMAIL))


def _webhook(fields: Fields, given: dict[str, t.Any]) -> Channel:
    return Webhook(**given, **_http(fields), token=Secret(fields.path("token_file")))


def _ping(fields: Fields, given: dict[str, t.Any]) -> Channel:
    return Ping(**given, **_http(fields))


_KINDS: t.Mapping[str, t.Callable[[Fields, dict[str, t.Any]], Channel]] = {
    "smtp": _smtp,
    "sendmail": _sendmail,
    "webhook": _webhook,
    "ping": _ping,
}


def _addresses(fields: Fields) -> dict[str, t.Any]:
    return {"to": fields.texts("to"), "sender": fields.text("from")}


def _http(fields: Fields) -> dict[str, t.Any]:
    if fields.has("url") == fields.has("url_file"):
        words = "and url_file are both there" if fields.has("url") else "is missing, and so is url_file"
        raise fields.refuse("url", words, "name the file that holds the URL; one without a secret may stand here")
    return {
        "url": Secret(fields.path("url_file"), fields.text("url")),
        "ca_cert": fields.path("ca_cert"),
        "proxy": fields.text("proxy"),
        "allow_plaintext": fields.flag("allow_plaintext", False),
    }


def _refuse_unknown(fields: Fields, key: str, found: t.Iterable[str], known: t.Sequence[str]) -> None:
    for each in found:
        if each not in known:
            raise fields.refuse(key, f"has {each!r}", f"use some of {', '.join(known)}")
