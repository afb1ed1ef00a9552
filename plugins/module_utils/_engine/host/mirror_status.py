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

_HEAD = ("MIRROR", "LAST SUCCESS", "OBJECTIVE", "LAST RUN", "NEXT", "STATE")
_WIDTHS = (38, 14, 9, 14, 9, 0)


@dataclasses.dataclass(frozen=True)
class MirrorStatus:
    """How a mirror stands, and what is wrong with it."""

    mirror: str
    succeeded: float | None  # seconds since 1970; None: never, as far as this host knows
    finished: float | None  # the last run, whatever way it ended
    rpo_hours: float | None  # objective for the time since the last success
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
            "rpo_hours": self.rpo_hours,
            "next_run": clock.to_text(self.next_run) if self.next_run else None,
            "problems": list(self.problems),
            "healthy": self.is_healthy,
        }


def judge(mirror: MirrorSettings, history: History | None, problems: t.Iterable[str] = ()) -> MirrorStatus:
    """Say how a mirror stands; `history` is None where none is kept or seen, `problems` are those of the looking."""
    known, now = history or History(), clock.now()
    end = known.ends.get("mirror")
    succeeded = (end.succeeded or None) if end else None
    age = _of_age(mirror, history, succeeded, now) if not problems else ()
    return MirrorStatus(
        mirror=mirror.name,
        succeeded=succeeded,
        finished=end.finished if end else None,
        rpo_hours=mirror.rpo_hours,
        next_run=mirror.schedule.next_after(now) if mirror.schedule else None,
        problems=(*age, *of_ends(known, 0.0, now), *of_channels(known, now), *problems),
    )


def _of_age(
    mirror: MirrorSettings, history: History | None, succeeded: float | None, now: dt.datetime
) -> t.Iterator[str]:
    if history is None:
        if mirror.rpo_hours is not None:
            yield "it has an objective, and this host remembers no runs: set state_dir"
    elif succeeded is None:
        yield "it has not succeeded on this host yet"
    elif mirror.rpo_hours is not None and now.timestamp() - succeeded > mirror.rpo_hours * 3600:
        age = tables.duration(now.timestamp() - succeeded)
        yield f"the last success was {age} ago, and the objective is {mirror.rpo_hours:g} h"


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
        f"{float(each['rpo_hours']):g} h" if each["rpo_hours"] else "-",
        _ago(each["finished"], now) or "never seen",
        tables.until(each["next_run"], now),
        "ok" if each["healthy"] else "WRONG",
    ]


def _ago(moment: str | None, now: dt.datetime) -> str:
    return f"{tables.duration((now - clock.from_text(moment)).total_seconds())} ago" if moment else ""


def _text(moment: float | None) -> str | None:
    return clock.to_text(clock.from_nanoseconds(int(moment * 1e9))) if moment is not None else None
