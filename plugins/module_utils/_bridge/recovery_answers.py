# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What tasks say about records of recoveries."""

from __future__ import annotations

import dataclasses
import typing as t

from .._engine import clock
from .._engine.errors import IncompleteError, LifeboatError
from .._engine.host import recovery_summary
from .._engine.host.recovery_recording import FoundRecord, RecordCopy, RecordingPlan
from .._engine.repository.recovery_record import Recovery, described, judge


@dataclasses.dataclass(frozen=True)
class RecordPlan:
    """Where a record would be written, and what the task says about that."""

    planned: RecordingPlan

    @property
    def told(self) -> Recovery:
        return self.planned.told

    @property
    def changed(self) -> bool:
        return bool(self.planned.missing)

    def is_new_in(self, copies: t.Sequence[RecordCopy]) -> bool:
        """Say whether `copies`, as they are now, are more than there were."""
        return any(copy.found is not None and copy.repository in self.planned.missing for copy in copies)

    def diff(self) -> tuple[dict[str, t.Any], dict[str, t.Any]]:
        there = [copy.repository for copy in self.planned.copies if copy.found is not None]
        return {"recorded_in": there}, {"recorded_in": [*there, *self.planned.missing]}

    def result(self) -> dict[str, t.Any]:
        verdict = judge(self.told)
        return {
            "record": described(self.told, verdict),
            "summary": recovery_summary.lines(self.told, verdict),
            "key": self.told.key,
            **copies_answer(self.planned.copies),
        }


def copies_answer(copies: t.Sequence[RecordCopy]) -> dict[str, t.Any]:
    """Return what a task says of the repositories of a record."""
    answers = [
        {
            "repository": copy.repository,
            "recorded_at": clock.to_text(copy.found.time) if copy.found else "",
            "problem": copy.problem,
        }
        for copy in copies
    ]
    words = [f"{copy.repository} has no record of this recovery: {copy.problem}" for copy in copies if copy.problem]
    return {"copies": answers, "warnings": words}


def shortfall(job: str, copies: t.Sequence[RecordCopy], allow_partial: bool) -> LifeboatError | None:
    """Return the error for a record that can be in none of the repositories, or not in all that it must be in."""
    wrong = [copy for copy in copies if copy.problem]
    words = "; ".join(f"{copy.repository}: {copy.problem}" for copy in wrong)
    remedy = "make the repositories available and run the task again; what is recorded stays"
    if len(wrong) == len(copies):
        return LifeboatError(f"Cannot record the recovery of {job}", words, remedy)
    if wrong and not allow_partial:
        return IncompleteError(f"Cannot record the recovery of {job} everywhere", words, remedy, copies)
    return None


def record_answer(found: FoundRecord) -> dict[str, t.Any]:
    """Return what a task says about a record that lies in repositories."""
    record = found.record
    return {
        **described(record.told, record.verdict),
        "recorded_at": clock.to_text(record.time),
        "repositories": list(found.repositories),
    }
