# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a task says about the channels on which somebody is told, and what the result of another task means."""

from __future__ import annotations

import dataclasses
import datetime as dt
import typing as t

from .._engine import clock
from .._engine.errors import DONE, FAILED, REFUSED, LifeboatError, UsageError
from .._engine.host.notify_channel import USUAL, WORDS, Channel, Secret
from .._engine.host.notify_event import FLAGGED, SUCCESS, Event, outcome_of, with_result
from .._engine.host.notify_http import Ping, Webhook
from .._engine.host.notify_mail import SECURITY, SENDMAIL, Sendmail, SmtpMail
from .._engine.repository.intent import host_name
from .options import Spec

# Documented in the module backup_notify.
CHANNELS: Spec = {
    "channels": {
        "type": "list",
        "elements": "dict",
        "required": True,
        "options": {
            "name": {"type": "str", "required": True},
            "type": {"type": "str", "required": True, "choices": ["smtp", "sendmail", "webhook", "ping"]},
            "on": {"type": "list", "elements": "str", "choices": list(WORDS), "default": list(USUAL)},
            "to": {"type": "list", "elements": "str"},
            "from": {"type": "str", "default": ""},
            "server": {"type": "str", "default": "localhost"},
            "port": {"type": "int", "default": 0},
            "security": {"type": "str", "choices": list(SECURITY), "default": "starttls"},
            "user": {"type": "str", "default": ""},
            "password": {"type": "str", "no_log": True},
            "program": {"type": "path", "default": SENDMAIL},
            "url": {"type": "str", "no_log": True},
            "token": {"type": "str", "no_log": True},
            "proxy": {"type": "str", "default": ""},
            "ca_cert": {"type": "path"},
            "allow_plaintext": {"type": "bool", "default": False},
            "timeout_s": {"type": "int", "default": 10},
            "attempts": {"type": "int", "default": 3},
        },
        "required_if": [
            ["type", "smtp", ["to"]],
            ["type", "sendmail", ["to"]],
            ["type", "webhook", ["url"]],
            ["type", "ping", ["url"]],
        ],
    },
}


def channels_from(given: t.Sequence[t.Mapping[str, t.Any]]) -> tuple[Channel, ...]:
    """Return the channels of the option `channels`. Raises UsageError."""
    found = tuple(_channel(each) for each in given)
    names = [each.name for each in found]
    twins = sorted({name for name in names if names.count(name) > 1})
    if twins:
        raise UsageError(
            "Cannot use these channels", f"{', '.join(twins)} is there more than once", "give each a name of its own"
        )
    return found


def event_from(job: str, command: str, host: str, result: t.Mapping[str, t.Any]) -> Event | None:
    """Return what the registered result of a task means; None for a task that was skipped."""
    if result.get("skipped"):
        return None
    error = _error_of(result)
    exit_code = DONE if error is None else int(result.get("exit_code", FAILED))
    outcome = outcome_of(exit_code, error)
    if outcome != SUCCESS and result.get("flags") and result.get("id") and exit_code == REFUSED:
        outcome = FLAGGED
    finished = clock.now()
    seconds = result.get("seconds")
    span = float(seconds) if isinstance(seconds, (int, float)) else 0.0
    started = finished - dt.timedelta(seconds=span)
    event = Event(command, job, host or host_name(), outcome, started, finished, exit_code)
    return dataclasses.replace(with_result(event, result, error), guard=str(result.get("guard") or ""))


def _error_of(result: t.Mapping[str, t.Any]) -> LifeboatError | None:
    if not result.get("failed"):
        return None
    problem = str(result.get("problem") or result.get("msg") or "the task failed without a word")
    words = (problem, str(result.get("cause") or ""), str(result.get("remedy") or ""))
    return LifeboatError(*words)


def _channel(given: t.Mapping[str, t.Any]) -> Channel:
    for name, least, most in (("timeout_s", 1, 30), ("attempts", 1, 5), ("port", 0, 65535)):
        if not least <= given[name] <= most:
            cause = f"{name} is {given[name]}"
            raise UsageError(f"Cannot use channel {given['name']}", cause, f"use {least} to {most}")
    alike: dict[str, t.Any] = {name: given[name] for name in ("name", "timeout_s", "attempts")}
    on = tuple(given["on"])
    if given["type"] == "smtp":
        return SmtpMail(
            **alike,
            on=on,
            to=tuple(given["to"]),
            sender=given["from"],
            server=given["server"],
            port=given["port"],
            security=given["security"],
            user=given["user"],
            password=Secret(value=given["password"] or ""),
            ca_cert=given["ca_cert"] or "",
            allow_plaintext=given["allow_plaintext"],
        )
    if given["type"] == "sendmail":
        return Sendmail(**alike, on=on, to=tuple(given["to"]), sender=given["from"], program=given["program"])
    alike["url"] = Secret(value=given["url"])
    for name in ("proxy", "allow_plaintext"):
        alike[name] = given[name]
    alike["ca_cert"] = given["ca_cert"] or ""
    if given["type"] == "webhook":
        return Webhook(**alike, on=on, token=Secret(value=given["token"] or ""))
    return Ping(**alike, on=WORDS)
