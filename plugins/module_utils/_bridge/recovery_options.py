# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What tasks say about a recovery."""

from __future__ import annotations

import datetime as dt
import typing as t

from .._engine import clock
from .._engine.errors import UsageError
from .._engine.repository.intent import host_name
from .._engine.repository.recovery_record import Check, Phase, Recovery
from .options import Spec

# Documented in the module recovery_record.
RECOVERY: Spec = {
    "job": {"type": "str", "required": True},
    "scenario": {"type": "str", "required": True},
    "host": {"type": "str", "default": ""},
    "begun": {"type": "str", "required": True},
    "finished": {"type": "str", "required": True},
    "failed_at": {"type": "str", "default": ""},
    "back_at": {"type": "str", "default": ""},
    "recovery_point": {"type": "str", "default": ""},
    "phases": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {"name": {"type": "str", "required": True}, "seconds": {"type": "float", "required": True}},
    },
    "backup": {
        "type": "dict",
        "options": {"id": {"type": "str", "default": ""}, "repository": {"type": "str", "default": ""}},
    },
    "new_backup": {
        "type": "dict",
        "options": {
            "id": {"type": "str", "default": ""},
            "repositories": {"type": "list", "elements": "str", "default": []},
        },
    },
    "recovered": {"type": "dict", "default": {}},
    "checks": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "name": {"type": "str", "required": True},
            "is_good": {"type": "bool", "required": True},
            "said": {"type": "str", "default": ""},
        },
    },
    "deviations": {"type": "list", "elements": "str", "default": []},
    "objectives": {"type": "dict", "options": {"rpo_hours": {"type": "float"}, "rto_hours": {"type": "float"}}},
}


def recovery_from(params: t.Mapping[str, t.Any]) -> Recovery:
    """Return the recovery that the options of RECOVERY describe. Raises UsageError."""
    backup, new = params["backup"] or {}, params["new_backup"] or {}
    objectives = params["objectives"] or {}
    return Recovery(
        job=params["job"],
        scenario=params["scenario"],
        host=params["host"] or host_name(),
        begun=_moment(params, "begun"),
        finished=_moment(params, "finished"),
        failed_at=_perhaps(params, "failed_at"),
        back_at=_perhaps(params, "back_at"),
        recovery_point=_perhaps(params, "recovery_point"),
        phases=tuple(Phase(phase["name"], phase["seconds"]) for phase in params["phases"]),
        backup_id=backup.get("id", ""),
        backup_repository=backup.get("repository", ""),
        new_backup_id=new.get("id", ""),
        new_backup_repositories=tuple(new.get("repositories", ())),
        recovered=dict(params["recovered"]),
        checks=tuple(Check(check["name"], check["is_good"], check["said"]) for check in params["checks"]),
        deviations=tuple(text for text in params["deviations"] if text),
        rpo_hours=_hours(objectives, "rpo_hours"),
        rto_hours=_hours(objectives, "rto_hours"),
    )


def _perhaps(params: t.Mapping[str, t.Any], name: str) -> dt.datetime | None:
    return _moment(params, name) if params[name] else None


def _moment(params: t.Mapping[str, t.Any], name: str) -> dt.datetime:
    try:
        return clock.from_text(params[name])
    except ValueError as error:
        raise UsageError(
            "Cannot record this recovery",
            f"{name} is {params[name]!r}",
            "write times in UTC, such as 2026-11-20T08:30:00Z",
        ) from error


def _hours(objectives: t.Mapping[str, t.Any], name: str) -> float | None:
    hours = objectives.get(name)
    if hours is not None and not hours > 0:
        raise UsageError(
            "Cannot record this recovery", f"objectives.{name} is {hours:g}", "use a number of hours above 0"
        )
    return None if hours is None else float(hours)
