# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The subcommand `notify`."""

from __future__ import annotations

import argparse

from .. import clock
from ..errors import DONE, FAILED, UsageError
from ..repository.intent import host_name
from . import tables
from .config import Config
from .job_settings import JobSettings
from .mirror_config import MirrorSettings
from .notify_delivery import Outbox
from .notify_event import TEST, Event
from .run_as import become
from .shown import Shown


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `notify`."""
    parser.add_argument("--test", action="store_true", required=True, help="send a trial message")
    words = "only on this channel; may be repeated"
    parser.add_argument("--channel", metavar="NAME", action="append", default=[], help=words)


def notify(config: Config, options: argparse.Namespace) -> Shown:
    """Send a trial message on all channels, or on those of a job as its runs would. Raises UsageError."""
    settings = _settings(config, options.job)
    channels = config.reporting.channels_of(settings.notify if settings else None)
    known = {each.name: each for each in channels}
    unknown = [name for name in options.channel if name not in known]
    if unknown or not known:
        cause = f"there is no channel {unknown[0]}" if unknown else "there is no channel"
        raise UsageError(
            "Cannot send a trial message", cause, f"write channels into {config.file}; known are: {', '.join(known)}"
        )
    outbox = Outbox(known[name] for name in options.channel or known)
    if settings is not None:
        become(settings.run_as, settings.name)
    moment = clock.now()
    found = outbox.send(Event("notify", options.job, host_name(), TEST, moment, moment))
    shown = []
    for each in found:
        shown.append(f"{each.channel}: {'sent' if each.is_done else 'NOT SENT'}")
        shown += tables.note(each.problem) if each.problem else []
    code = DONE if all(each.is_done for each in found) else FAILED
    return Shown({"notifications": [each.document() for each in found]}, shown, code)


def _settings(config: Config, name: str) -> JobSettings | MirrorSettings | None:
    if not name:
        return None
    return config.mirrors[name] if name in config.mirrors and name not in config.jobs else config.job(name)
