# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How the mirrors of this host stand, by what it remembers of their runs."""

from __future__ import annotations

import dataclasses
import datetime as dt
import typing as t

from .. import clock
from . import tables
from .mirror_config import MirrorSettings
from .run_as import Document
from .run_history import History
from .status_remarks import of_channels, of_ends

_HEAD = ("MIRROR", "LAST SUCCESS", "LAST RUN", "NEXT", "STATE")
_WIDTHS = (48, 14, 14, 9, 0)


@dataclasses.dataclass(frozen=True)
class MirrorStatus:
    """How a mirror stands, and what is wrong with it."""

    mirror: str
    succeeded: float | None  # seconds since 1970; None: never, as far as this host knows
    finished: float | None  # the last run, whatever way it ended
    next_run: dt.datetime | None  # None: no schedule is known
    problems: tuple[str, ...]

    @property
    def is_healthy(self) -> bool:
        return not self.problems

    def document(self) -> Document:
        """Return it as JSON has it; times are texts."""
        return {
            "mirror": self.mirror,
            "succeeded": _text(self.succeeded),
            "finished": _text(self.finished),
            "next_run": clock.to_text(self.next_run) if self.next_run else None,
            "problems": list(self.problems),
            "healthy": self.is_healthy,
        }


def judge(mirror: MirrorSettings, history: History, problems: t.Iterable[str] = ()) -> MirrorStatus:
    """Say how a mirror stands; `problems` are those of the looking."""
    end, now = history.ends.get("mirror"), clock.now()
    return MirrorStatus(
        mirror=mirror.name,
        succeeded=(end.succeeded or None) if end else None,
        finished=end.finished if end else None,
        next_run=mirror.schedule.next_after(now) if mirror.schedule else None,
        problems=(*of_ends(history, 0.0, now), *of_channels(history, now), *problems),
    )


def lines(found: t.Sequence[Document], now: dt.datetime) -> list[str]:
    """Return the documents of mirrors as a table for people, what is wrong below each row."""
    aligned = tables.table(_HEAD, [_row(each, now) for each in found], _WIDTHS)
    shown = aligned[:1]
    for line, each in zip(aligned[1:], found):
        shown.append(line)
        for problem in each["problems"]:
            shown += tables.note(str(problem))
    return shown


def _row(each: Document, now: dt.datetime) -> list[str]:
    return [
        str(each["mirror"]),
        _ago(each["succeeded"], now) or "never seen",
        _ago(each["finished"], now) or "never seen",
        tables.until(each["next_run"], now),
        "ok" if each["healthy"] else "WRONG",
    ]


def _ago(moment: str | None, now: dt.datetime) -> str:
    return f"{tables.duration((now - clock.from_text(moment)).total_seconds())} ago" if moment else ""


def _text(moment: float | None) -> str | None:
    return clock.to_text(clock.from_nanoseconds(int(moment * 1e9))) if moment is not None else None
