# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options of restores of buckets and folders, and what they ask for."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible.module_utils.basic import AnsibleModule

from .._engine import clock
from .._engine.errors import IncompleteError, LifeboatError, UsageError
from .._engine.host import objects_restore
from .._engine.host.objects_choice import Choice, parse_time
from .._engine.host.objects_destination import Destination, Folder, Server
from .._engine.host.objects_nothing import NOTHING, is_nothing
from .._engine.host.objects_restore import Quarantine, RestorePlan, RestoreRequest, RestoreResult
from .._engine.objects.restore_plan import ACTIONS, REMOVE
from .._engine.objects.restore_work import THREADS
from .._engine.objects.selection import Selection
from .._engine.repository.layout import checked_job
from . import run as bridge
from .options import Spec
from .places import places_from
from .s3_client import client_from

Params = t.Mapping[str, t.Any]
_SHOWN = 20  # names of buckets or folders in a result

# Documented in the fragment _objects_restore.
RESTORE: Spec = {
    "job": {"type": "str", "required": True},
    "backup": {"type": "str", "default": "latest_good"},
    "as_of": {"type": "str"},
    "prefix": {"type": "str", "default": ""},
    "key": {"type": "str", "no_log": False},
    "include": {"type": "list", "elements": "str", "default": []},
    "exclude": {"type": "list", "elements": "str", "default": []},
    "conflicts": {
        "type": "str",
        "choices": ["overwrite_if_different", "skip", "rename", "refuse"],
        "default": "overwrite_if_different",
    },
    "exact": {"type": "bool", "default": False},
    "confirm": {"type": "list", "elements": "str", "default": []},
    "quarantine": {
        "type": "dict",
        "options": {"path": {"type": "path"}, "bucket": {"type": "str"}, "prefix": {"type": "str", "default": ""}},
        "mutually_exclusive": [["path", "bucket"]],
        "required_one_of": [["path", "bucket"]],
    },
    "check": {"type": "str", "choices": ["listing", "content"], "default": "listing"},
    "plan_file": {"type": "path"},
    "remarks_file": {"type": "path"},
    "concurrency": {"type": "int", "default": THREADS},
}
RESTORE_RULES: Spec = {"mutually_exclusive": [["prefix", "key"]]}


def bucket_restore_from(params: Params) -> RestoreRequest:
    """Return the restore that the options of bucket_restore describe. Raises UsageError."""
    destination: Destination = Folder(params["path"]) if params["path"] else Server(client_from(params))
    request = _request(params, destination, params["buckets"], params["map"], params["what"])
    return dataclasses.replace(request, overwrite_settings=params["overwrite_settings"])


def files_restore_from(params: Params) -> RestoreRequest:
    """Return the restore that the options of files_restore describe. Raises UsageError."""
    if params["bucket_map"]:
        return _request(params, Server(client_from(params)), params["roots"], params["bucket_map"])
    folder = Folder(params["path"] or "", params["devices"], params["numeric_owners"])
    return _request(params, folder, params["roots"], params["map"])


@dataclasses.dataclass(frozen=True)
class Planned:
    """A restore that would be done."""

    plan: RestorePlan

    @property
    def changed(self) -> bool:
        return self.plan.changed

    def diff(self) -> tuple[bridge.Result, bridge.Result]:
        """Return a sample of what is before and after."""
        return plan_diff(self.plan)

    def result(self) -> bridge.Result:
        """Return the plan in numbers."""
        return plan_answer(self.plan)


def run_restore(module: AnsibleModule, request_from: t.Callable[[Params], RestoreRequest]) -> t.NoReturn:
    """Plan a restore, carry it out, and end the module; what was done is returned even where it is not all."""

    def plan(params: Params) -> Planned:
        planned = Planned(objects_restore.plan(request_from(params)))
        try:
            objects_restore.check(planned.plan)
        except LifeboatError as error:
            bridge.fail(module, error, planned.result())
        return planned

    def apply(planned: Planned) -> bridge.Result:
        try:
            answer = restore_answer(objects_restore.restore(planned.plan))
            return {**answer, "warnings": [*_missed(planned.plan), *answer["warnings"]]}
        except IncompleteError as error:
            answer = {**planned.result(), **restore_answer(error.result), "changed": True}
            bridge.fail(module, error, answer)
        except LifeboatError as error:  # nobody knows how much was written by then
            bridge.fail(module, error, {**planned.result(), "changed": True})

    bridge.run(module, plan, apply)


def _request(
    params: Params,
    destination: Destination,
    collections: t.Sequence[str],
    names: t.Mapping[str, t.Any],
    what: str = "data",
) -> RestoreRequest:
    return RestoreRequest(
        choice=Choice(
            checked_job(params["job"]), params["backup"], parse_time(params["as_of"]) if params["as_of"] else None
        ),
        places=places_from(params["repositories"]),
        destination=destination,
        collections=tuple(collections),
        map=_texts(names),
        selection=Selection(
            params["prefix"],
            (params["key"],) if params["key"] is not None else (),
            tuple(params["include"]),
            tuple(params["exclude"]),
        ),
        what=what,
        conflicts=params["conflicts"],
        exact=params["exact"],
        confirm=tuple(params["confirm"]),
        quarantine=_quarantine(params),
        by_content=params["check"] == "content",
        plan_file=params["plan_file"] or "",
        remarks_file=params["remarks_file"] or "",
        threads=params["concurrency"],
    )


def _texts(names: t.Mapping[str, t.Any]) -> dict[str, str]:
    for name, value in names.items():
        if not isinstance(value, str) or not value:
            raise UsageError("Cannot use map", f"the place of {name} is {value!r}", "write it as a text")
    return dict(names)


def _quarantine(params: Params) -> Quarantine | None:
    given = params["quarantine"]
    if given is None:
        return None
    if given["path"]:
        return Quarantine(Folder(given["path"]), given["path"], given["prefix"])
    return Quarantine(Server(client_from(params)), given["bucket"], given["prefix"])


def plan_answer(plan: RestorePlan) -> dict[str, t.Any]:
    """Return what a task says about a restore that would be done."""
    manifest, tally = plan.manifest, plan.tally
    return {
        "job": manifest.job,
        "id": manifest.id,
        "started": clock.to_text(manifest.started),
        "repository": plan.candidates[0].place.name,
        "copies": [candidate.place.name for candidate in plan.candidates],
        "proved": plan.candidates[0].backup.is_good,
        "target": plan.request.destination.name,
        "places": [{"from": each, "to": name} for each, name in list(plan.names.items())[:_SHOWN]],
        "counts": {action: tally.counts[action] for action in ACTIONS},
        "bytes": tally.bytes_written,
        "removed_bytes": tally.sizes[REMOVE],
        "sample": [dict(each) for each in tally.sample],
        "destroyed": list(plan.destroyed[:_SHOWN]),
        **({"settings": list(plan.settings.shown[:_SHOWN])} if manifest.kind == "bucket" else {}),
        "warnings": [*_missed(plan), *plan.notes],
    }


def _missed(plan: RestorePlan) -> list[str]:
    """Warn where nothing in the backup is what was asked for; roles go by the counts, so that it is no failure."""
    if plan.work is None or plan.request.exact or not is_nothing(plan.tally, plan.request.selection):
        return []
    return [f"backup {plan.manifest.id} of {plan.manifest.job} {NOTHING}: nothing is restored"]


def restore_answer(result: RestoreResult) -> dict[str, t.Any]:
    """Return what a task says about a restore that was done, as a whole or in part."""
    done = result.done
    return {
        "repository": result.repository,
        "written": done.written,
        "written_bytes": done.written_bytes,
        "described": done.described,
        "removed": done.removed,
        "kept": done.kept,
        "skipped": done.skipped,
        "failed": done.failed,
        "damaged": done.damaged,
        "differences": result.differences,
        **({"settings_written": result.settings} if result.settings or result.settings_failed else {}),
        "quarantine": result.quarantine,
        "saved": result.saved.objects,
        "saved_bytes": result.saved.bytes,
        "remarks": result.remarks,
        "remarks_sample": list(result.remarks_sample),
        "seconds": result.seconds,
        "warnings": list(result.notes),
    }


def plan_diff(plan: RestorePlan) -> tuple[dict[str, t.Any], dict[str, t.Any]]:
    """Return what a sample of the objects is before and after a restore, and how many there are in all."""
    before: dict[str, t.Any] = {"objects": {}}
    after: dict[str, t.Any] = {
        "objects": {},
        "counts": {action: count for action, count in plan.tally.counts.items() if count},
    }
    for each in plan.tally.sample:
        name, action = f"{each['collection']}/{each.get('written_as', each['key'])}", each["action"]
        before["objects"][name] = _BEFORE[action]
        after["objects"][name] = _AFTER.get(action, before["objects"][name]) if action != "remove" else None
    if plan.settings.shown:
        after["settings"] = list(plan.settings.shown[:_SHOWN])
    return before, after


_BEFORE: dict[str, str | None] = {
    "write": None,
    "rename": None,
    "refuse": None,
    "overwrite": "something else",
    "skip": "something else",
    "conflict": "something else",
    "properties": "the same content with other properties",
    "remove": "what the backup does not have",
}
_AFTER = {action: "as in the backup" for action in ("write", "rename", "overwrite", "properties")}
