# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is wrong by what this host remembers: ends of runs, and messages that nobody got."""

from __future__ import annotations

import datetime as dt
import typing as t

from . import tables
from .notify_event import FLAGGED, SUCCESS
from .run_history import History

_JUDGED = (
    "run",
    "verify",
    "copy",
    "prune",
    "lock",
    "mirror",
)  # a restore is somebody's own matter, and has no next time


def of_ends(history: History, newest: float, now: dt.datetime) -> t.Iterator[str]:
    """Yield the commands that ended badly, and not before the newest backup began (`newest`, seconds since 1970)."""
    for command in _JUDGED:
        end = history.ends.get(command)
        # Whether a backup is flagged is known by the backup itself, and somebody may have acknowledged it since.
        if end is None or end.outcome in (SUCCESS, FLAGGED) or end.finished < newest:
            continue
        why = f": {end.problem}" if end.problem else ""
        yield f"the last {command} ended with {end.exit_code} {_ago(end.finished, now)}{why}"


def of_channels(history: History, now: dt.datetime) -> t.Iterator[str]:
    """Yield the notification channels that did not take the last message."""
    for name, channel in sorted(history.channels.items()):
        if channel.failed:
            yield f"notification channel {name} was not reached {_ago(channel.failed, now)}: {channel.problem}"


def _ago(moment: float, now: dt.datetime) -> str:
    return f"{tables.duration(max(0.0, now.timestamp() - moment))} ago"
