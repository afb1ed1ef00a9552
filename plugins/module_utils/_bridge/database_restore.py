# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options of restores of databases, and what tasks say about them."""

from __future__ import annotations

import dataclasses
import typing as t

from .._engine.errors import UsageError
from .._engine.host import foreign_plan, foreign_restore, restore_run
from .._engine.host.dump_place import DumpPlace
from .._engine.host.foreign_plan import DumpPlan, DumpRequest
from .._engine.host.foreign_restore import DumpResult
from .._engine.host.restore_request import ON_CONFLICT, RestoreRequest
from .._engine.host.restore_run import RestorePlan, RestoreResult
from .._engine.postgres.archive import ScriptOptions
from .._engine.postgres.restore import RestoreOptions
from .._engine.postgres.roles import CHOICES, RolesPlan
from .._engine.postgres.selection import Selection, patterns
from .._engine.postgres.swap import previous_name
from .arguments import REPOSITORIES
from .options import Spec
from .postgres_options import server_from
from .postgres_restores import restore_answer, restore_plan_answer, restore_request_from
from .run import Params, Result

_SHOWN = 100  # names of a list in an answer

# Documented in the fragment _repository.optional.
OPTIONAL_REPOSITORIES: Spec = {"repositories": {**REPOSITORIES["repositories"], "required": False}}
# Documented in the fragment _database_restore.
DATABASE_RESTORE: Spec = {
    "database": {"type": "str"},
    "on_conflict": {"type": "str", "choices": list(ON_CONFLICT), "default": "replace"},
    "confirm": {"type": "str"},
    "keep_previous": {"type": "bool", "default": True},
    "safety_backup": {"type": "bool", "default": False},
    "include": {"type": "list", "elements": "str", "default": []},
    "exclude": {"type": "list", "elements": "str", "default": []},
    "schema_only": {"type": "bool", "default": False},
    "no_owner": {"type": "bool", "default": False},
    "no_privileges": {"type": "bool", "default": False},
    "globals": {"type": "str", "choices": list(CHOICES), "default": "none"},
    "tablespaces": {"type": "dict", "default": {}},
    "no_tablespaces": {"type": "bool", "default": False},
    "jobs": {"type": "int", "default": 1},
    "spool_dir": {"type": "path"},
}
# Documented in the fragment _database_restore.foreign_dump.
FOREIGN_DUMP: Spec = {
    "dump": {"type": "str"},
    "dump_ca_cert": {"type": "path"},
    "owner": {"type": "str"},
    "trusted": {"type": "bool", "default": False},
}


@dataclasses.dataclass(frozen=True)
class Planned:
    """A restore that would be done."""

    answer: Result  # which backup or dump would be restored, from where, and what stands in its place
    source: str  # in words
    check: t.Callable[[], None]
    apply: t.Callable[[], Result]

    @property
    def changed(self) -> bool:
        return True

    def diff(self) -> tuple[Result, Result]:
        """Return the databases and roles that the restore touches, before and after."""
        name, previous = self.answer["database"], self.answer["previous"]
        before = {name: "the present database" if self.answer["replaces"] else None}
        after = {name: self.source, **({previous: before[name]} if previous else {})}
        made = self.answer.get("roles", ())
        return {**before, **({"roles": []} if made else {})}, {**after, **({"roles": made} if made else {})}

    def result(self) -> Result:
        """Return what would be restored."""
        return self.answer


def planned_backup(params: Params) -> Planned:
    """Plan the restore of a backup that the options describe."""
    plan = restore_run.plan(request_from(params))
    found = plan_answer(plan)
    return Planned(
        found,
        f"backup {found['id']} of {found['job']} from {found['repository']}",
        lambda: restore_run.check(plan),
        lambda: answer(restore_run.restore(plan)),
    )


def planned_dump(params: Params) -> Planned:
    """Plan the restore of a dump from elsewhere that the options describe."""
    plan = foreign_plan.plan(dump_request_from(params))
    return Planned(
        dump_plan_answer(plan),
        f"dump {plan.request.dump.name}",
        lambda: foreign_plan.check(plan),
        lambda: dump_answer(foreign_restore.restore(plan)),
    )


def request_from(params: Params) -> RestoreRequest:
    """Return the restore of a backup that the options describe. Raises UsageError."""
    plain = restore_request_from(params)
    return dataclasses.replace(
        plain,
        options=_options(params),
        include=patterns(params["include"]),
        exclude=patterns(params["exclude"]),
        on_conflict=params["on_conflict"],
        safety_backup=params["safety_backup"],
        globals=params["globals"],
    )


def dump_request_from(params: Params) -> DumpRequest:
    """Return the restore of a dump from elsewhere that the options describe. Raises UsageError."""
    for name, default in (("safety_backup", False), ("globals", "none")):
        if params[name] != default:
            raise UsageError(f"Cannot use {name}", "a dump from elsewhere has no job", f"leave {name} out")
    if params["jobs"] < 1:
        raise UsageError("Cannot use these options", f"jobs is {params['jobs']}", "set it to 1 or more")
    return DumpRequest(
        dump=DumpPlace(params["dump"], params["dump_ca_cert"] or ""),
        server=server_from(params),
        database=params["database"] or "",
        confirm=params["confirm"] or "",
        keep_previous=params["keep_previous"],
        options=_options(params),
        folder=params["spool_dir"] or "",
        include=patterns(params["include"]),
        exclude=patterns(params["exclude"]),
        on_conflict=params["on_conflict"],
        owner=params["owner"] or "",
        is_trusted=params["trusted"],
    )


def _options(params: Params) -> RestoreOptions:
    return RestoreOptions(
        script=ScriptOptions(params["schema_only"], params["no_owner"], params["no_privileges"]),
        jobs=params["jobs"],
        with_tablespaces=not params["no_tablespaces"],
        tablespaces={str(name): str(other) for name, other in params["tablespaces"].items()},
    )


def plan_answer(plan: RestorePlan) -> dict[str, t.Any]:
    """Return what a task says about a restore of a backup that would be done."""
    return {**restore_plan_answer(plan), **_selected(plan.selection), **_roles(plan.roles)}


def answer(result: RestoreResult) -> dict[str, t.Any]:
    """Return what a task says about a restore of a backup that was done."""
    return {
        **restore_answer(result),
        "left_out": _bounded(result.left_out),
        "roles": _bounded(result.roles),
        "safety_backup": result.safety_backup,
    }


def dump_plan_answer(plan: DumpPlan) -> dict[str, t.Any]:
    """Return what a task says about a restore of a dump from elsewhere that would be done."""
    previous = previous_name(plan.database, "YYYYMMDDTHHMMSSZ") if plan.target.exists else ""
    return {
        "dump": plan.request.dump.name,
        "form": str(plan.form),
        "database": plan.database,
        "source_database": plan.contents.database if plan.contents else "",
        "replaces": plan.target.exists,
        "previous": previous if plan.request.keep_previous else "",
        "stored_bytes": plan.size_bytes,
        "sha256": plan.digest,
        "problems": list(plan.target.problems),
        "warnings": list(plan.notes),
        **_selected(plan.selection if plan.request.is_partial else None),
    }


def dump_answer(result: DumpResult) -> dict[str, t.Any]:
    """Return what a task says about a restore of a dump from elsewhere that was done."""
    return {
        "previous": result.previous,
        "figures": dict(result.figures),
        "left_out": _bounded(result.left_out),
        "fetch_seconds": result.fetch_seconds,
        "load_seconds": result.load_seconds,
        "compare_seconds": result.compare_seconds,
        "seconds": result.seconds,
        "warnings": list(result.notes),
    }


def _selected(selection: Selection | None) -> dict[str, t.Any]:
    if selection is None:
        return {"tables": [], "left_out": []}
    return {"tables": _bounded(selection.tables), "left_out": _bounded(selection.left_out)}


def _roles(planned: RolesPlan | None) -> dict[str, t.Any]:
    return {"roles": _bounded(planned.names) if planned else []}


def _bounded(names: t.Sequence[str]) -> list[str]:
    more = len(names) - _SHOWN
    return [*names[:_SHOWN], f"and {more} more"] if more > 0 else list(names)
