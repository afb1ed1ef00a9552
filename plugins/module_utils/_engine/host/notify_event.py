# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is told: how a run ended, without secrets, for people and for machines."""

from __future__ import annotations

import dataclasses
import datetime as dt
import typing as t

from .. import clock
from ..errors import DONE, INCOMPLETE, FlaggedError, GuardRefusal, LifeboatError
from . import tables
from .version import VERSION

START, SUCCESS, RECOVERED = "start", "success", "recovered"
FAILURE, INCOMPLETE_END, FLAGGED, TEST = "failure", "incomplete", "flagged", "test"
ENDS = (FAILURE, INCOMPLETE_END, FLAGGED, SUCCESS)
_MOST_LINES = 50
_LONGEST_LINE = 1000  # characters
_VERBS = {
    START: "has begun",
    SUCCESS: "is done",
    RECOVERED: "is done, and works again",
    INCOMPLETE_END: "is INCOMPLETE",
    FLAGGED: "is FLAGGED",
    FAILURE: "FAILED",
}


@dataclasses.dataclass(frozen=True)
class Event:
    """The begin or the end of a run."""

    command: str  # run, verify, copy, mirror, restore; or what a play calls its work
    job: str
    host: str
    outcome: str  # one of ENDS, START or TEST
    started: dt.datetime
    finished: dt.datetime
    exit_code: int = DONE
    is_recovery: bool = False  # done, and the last time it was not
    kind: str = ""  # of the job
    id: str = ""  # of the backup
    problem: str = ""
    cause: str = ""
    remedy: str = ""
    guard: str = ""
    flags: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    copies: tuple[t.Mapping[str, t.Any], ...] = ()
    plain_bytes: int | None = None
    stored_bytes: int | None = None
    lines: tuple[str, ...] = ()  # what was shown to people

    @property
    def seconds(self) -> float:
        return round(max(0.0, (self.finished - self.started).total_seconds()), 3)

    @property
    def words(self) -> tuple[str, ...]:
        """Return the names of what happened, any of which a channel may want to hear of."""
        return (self.outcome, RECOVERED) if self.is_recovery else (self.outcome,)

    @property
    def title(self) -> str:
        """Return one line, such as the subject of a mail."""
        if self.outcome == TEST:
            return f"Lifeboat on {_line(self.host)}: trial message"
        verb = _VERBS[RECOVERED if self.is_recovery else self.outcome]
        return f"Lifeboat on {_line(self.host)}: {_line(self.command)} {_line(self.job)} {verb}"

    def text(self) -> str:
        """Return all of it for people."""
        if self.outcome == TEST:
            return f"{self.title}.\n\nWhoever reads this would have been told of a failed backup.\n"
        parts = [f"{self.title}.", self._reason(), self._facts()]
        parts += ["\n".join(f"{name}: {_line(each)}" for each in found) for name, found in self._remarks()]
        parts.append("\n".join(_line(line, keep=True) for line in self.lines[:_MOST_LINES]))
        return "\n\n".join(part for part in parts if part) + "\n"

    def document(self) -> dict[str, t.Any]:
        """Return all of it for machines; docs/monitoring.md explains the keys."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        del fields["is_recovery"], fields["outcome"]
        return {
            **fields,
            "lifeboat": VERSION,
            "event": self.outcome,
            "recovered": self.is_recovery,
            "started": clock.to_text(self.started),
            "finished": clock.to_text(self.finished),
            "seconds": self.seconds,
            "flags": [_line(each) for each in self.flags[:_MOST_LINES]],
            "warnings": [_line(each) for each in self.warnings[:_MOST_LINES]],
            "copies": [dict(each) for each in self.copies[:_MOST_LINES]],
            "lines": [_line(each, keep=True) for each in self.lines[:_MOST_LINES]],
            "title": self.title,
            "text": f"{self.title}. {_line(self._reason())}".strip(),
        }

    def _reason(self) -> str:
        if not self.problem:
            return ""
        return str(LifeboatError(_line(self.problem), _line(self.cause), _line(self.remedy)))

    def _facts(self) -> str:
        facts = [
            ("exit code", str(self.exit_code)),
            ("guard", self.guard),
            ("backup", self.id),
            ("began", clock.to_text(self.started)),
            ("took", tables.duration(self.seconds)),
            ("size", _sizes(self.plain_bytes, self.stored_bytes)),
        ]
        return "\n".join(f"{name:<10} {_line(value)}" for name, value in facts if value)

    def _remarks(self) -> t.Iterator[tuple[str, tuple[str, ...]]]:
        yield "flag", self.flags[:_MOST_LINES]
        yield "warning", self.warnings[:_MOST_LINES]


def outcome_of(exit_code: int, error: LifeboatError | None = None) -> str:
    """Return what an exit code and the error beside it mean. A refusal by a guard is a failure: nothing was done."""
    if isinstance(error, FlaggedError):
        return FLAGGED
    return {DONE: SUCCESS, INCOMPLETE: INCOMPLETE_END}.get(exit_code, FAILURE)


def with_result(event: Event, document: t.Mapping[str, t.Any], error: LifeboatError | None) -> Event:
    """Return an event with what the answer of a subcommand or of a module says, and with the error."""
    more: dict[str, t.Any] = {}
    for name in ("flags", "warnings", "problems"):
        found = document.get(name) or ()
        if isinstance(found, (list, tuple)):
            more[name] = tuple(str(each) for each in found)
    warnings = (*more.pop("warnings", ()), *more.pop("problems", ()))
    for name in ("plain_bytes", "stored_bytes"):
        if isinstance(document.get(name), int):
            more[name] = document[name]
    copies = document.get("copies") or ()
    if isinstance(copies, (list, tuple)):
        more["copies"] = tuple(_copy(each) for each in copies if isinstance(each, dict))
    if error is not None:
        more.update(problem=error.problem, cause=error.cause, remedy=error.remedy)
        more["guard"] = error.guard if isinstance(error, GuardRefusal) else ""
    return dataclasses.replace(event, id=str(document.get("id") or ""), warnings=warnings, **more)


def _copy(found: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    kept = ("repository", "id", "primary", "present", "proved", "good", "problem")
    return {name: found[name] for name in kept if isinstance(found.get(name), (str, bool))}


def _sizes(plain: int | None, stored: int | None) -> str:
    if plain is None or stored is None:
        return ""
    return f"{tables.size(stored)} of {tables.size(plain)}"


def _line(text: str, keep: bool = False) -> str:
    """Return one printable line; `keep`: with the blanks at its begin."""
    shown = tables.cut(tables.printable(text), _LONGEST_LINE)
    return shown.rstrip() if keep else shown.strip()
