# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A recovery in a few lines for people."""

from __future__ import annotations

import json
import textwrap
import typing as t

from .. import clock
from ..repository.recovery_record import Recovery, Verdict
from .tables import WIDTH, duration, printable

_LABEL = 10  # columns
_SAYINGS = {
    "recovered": "recovered",
    "incomplete": "recovered, and something is missing",
    "failed": "NOT recovered",
}


def lines(told: Recovery, verdict: Verdict) -> list[str]:
    """Return what happened in a recovery, in lines of at most 100 columns."""
    shown = _wrapped("", f"{told.scenario}, job {told.job} of {told.host}: {_SAYINGS[verdict.outcome]}")
    for label, text in _rows(told, verdict):
        shown += _wrapped(label, text)
    return shown


def _rows(told: Recovery, verdict: Verdict) -> t.Iterator[tuple[str, str]]:
    if told.backup_id:
        yield "backup:", f"{told.backup_id} from {told.backup_repository or 'a repository without name'}"
    facts = [f"{name} {_value(value)}" for name, value in told.recovered.items() if value not in (None, "", [], {})]
    if facts:
        yield "facts:", ", ".join(facts)
    since = f"since {clock.to_text(told.failed_at)[:19]}Z" if told.failed_at else "since the recovery began"
    if verdict.rto_s is not None:
        yield "RTO:", f"{_span(verdict.rto_s)} {since}{_objective(told.rto_hours, verdict.is_rto_met)}"
    before = "the damage" if told.failed_at else "the recovery"
    if verdict.rpo_s is not None:
        yield "RPO:", f"{_span(verdict.rpo_s)} of work before {before}{_objective(told.rpo_hours, verdict.is_rpo_met)}"
    if told.phases:
        yield "phases:", ", ".join(f"{phase.name} {phase.seconds:.1f} s" for phase in told.phases)
    good = sum(check.is_good for check in told.checks)
    if told.checks:
        yield "checks:", f"{good} of {len(told.checks)} good"
    for check in told.checks:
        if not check.is_good:
            yield "bad:", f"{check.name}: {check.said}" if check.said else check.name
    if told.new_backup_id:
        where = ", ".join(told.new_backup_repositories) or "no repository where it is proved"
        yield "new:", f"{told.new_backup_id} in {where}"
    for deviation in told.deviations:
        yield "but:", deviation


def _value(value: t.Any) -> str:
    if isinstance(value, (list, dict, bool)):
        return json.dumps(value, sort_keys=True)
    return str(value)


def _span(seconds: float) -> str:
    plain = f"{seconds:.1f} s"
    return f"{plain} ({duration(seconds)})" if seconds >= 120 else plain


def _objective(hours: float | None, is_met: bool | None) -> str:
    if hours is None or is_met is None:
        return ""
    return f"; the objective of {hours:g} h is {'met' if is_met else 'NOT met'}"


def _wrapped(label: str, text: str) -> list[str]:
    if not label:
        return textwrap.wrap(printable(text), WIDTH, break_on_hyphens=False)
    return textwrap.wrap(
        printable(text),
        WIDTH,
        initial_indent=label.ljust(_LABEL),
        subsequent_indent=" " * _LABEL,
        break_on_hyphens=False,
    )
