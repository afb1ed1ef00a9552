# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

DONE = 0
FAILED = 1
WRONG_USAGE = 2
REFUSED = 3
BUSY = 4
INCOMPLETE = 5


class LifeboatError(Exception):
    """A failure that an operator can act on: what could not be done, why, and what to try next.

    `exit_code` is what the host command ends with (see "Exit codes" in the README).
    """

    exit_code = FAILED

    def __init__(self, problem: str, cause: str = "", remedy: str = "") -> None:
        super().__init__(problem, cause, remedy)
        self.problem = problem.rstrip(".")
        self.cause = cause.rstrip(".")
        self.remedy = remedy

    @property
    def summary(self) -> str:
        """Return what could not be done and why, without what to try next."""
        return f"{self.problem}: {self.cause}" if self.cause else self.problem

    def __str__(self) -> str:
        return f"{self.summary}.\nRemedy: {self.remedy}" if self.remedy else f"{self.summary}."


class UsageError(LifeboatError):
    """An option or a configuration is wrong; nothing was done."""

    exit_code = WRONG_USAGE


class GuardRefusal(LifeboatError):
    """A safety rule forbids the work.

    `guard` names the rule in results.
    """

    exit_code = REFUSED

    def __init__(self, guard: str, problem: str, cause: str = "", remedy: str = "") -> None:
        super().__init__(problem, cause, remedy)
        self.guard = guard


class FlaggedError(GuardRefusal):
    """The backup is written, and a guard doubts what it holds; `result` says what was written."""

    def __init__(self, guard: str, problem: str, cause: str, remedy: str, result: t.Any) -> None:
        super().__init__(guard, problem, cause, remedy)
        self.result = result


class BusyError(LifeboatError):
    """Somebody else holds the job or its maintenance lease."""

    exit_code = BUSY


class IncompleteError(LifeboatError):
    """The main work is done and something that belongs to it is not, such as one of the copies; `result` says what."""

    exit_code = INCOMPLETE

    def __init__(self, problem: str, cause: str, remedy: str, result: t.Any) -> None:
        super().__init__(problem, cause, remedy)
        self.result = result


class DamagedError(LifeboatError):
    """Stored bytes are not what was written: missing, cut, changed, or not readable as what they claim to be."""


class MissingPartError(LifeboatError):
    """A library or program that the work needs is not installed."""

    exit_code = WRONG_USAGE
