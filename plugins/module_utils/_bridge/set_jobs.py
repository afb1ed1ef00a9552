# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options of the modules for sets, and what they ask for: jobs of the configuration of a host."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import typing as t

from ansible.module_utils.basic import AnsibleModule

from .._engine.errors import IncompleteError, LifeboatError, UsageError
from .._engine.host import cli, commands, set_command, set_plan, set_restore, set_run
from .._engine.host.config import DEFAULT_FILE, Config, load
from .._engine.host.place import Say, silent
from .._engine.host.run_as import become
from .._engine.host.set_plan import MemberPlan
from .._engine.host.set_restore import SetPlan
from .._engine.host.set_settings import SetSettings
from . import run as bridge
from .options import Spec

SET: Spec = {
    "job": {"type": "str", "required": True},
    "config": {"type": "path", "default": DEFAULT_FILE},
}


@contextlib.contextmanager
def speaking() -> t.Iterator[Say]:
    """Show nothing: a task says what was done when it has ended."""
    yield silent


@dataclasses.dataclass(frozen=True)
class PlannedBackup:
    """A run of a set that would be done."""

    config: Config
    settings: SetSettings
    members: tuple[MemberPlan, ...]

    @property
    def changed(self) -> bool:
        return True

    def diff(self) -> tuple[bridge.Result, bridge.Result]:
        """Return which backups would be written."""
        return {}, {"point_of": list(self.settings.members)}

    def result(self) -> bridge.Result:
        """Return what would be backed up, in order."""
        members = [{"job": each.job, "kind": each.kind} for each in self.members]
        return {"job": self.settings.name, "members": members}


def run_backup(module: AnsibleModule) -> t.NoReturn:
    """Plan and run a set, and end the module; what was written is returned even where it is not all."""

    def plan(params: bridge.Params) -> PlannedBackup:
        config, settings = _set_from(params)
        members = set_plan.plan(config, settings) if module.check_mode else ()
        planned = PlannedBackup(config, settings, members or _members(config, settings))
        set_plan.require(settings, planned.members)
        return planned

    def apply(planned: PlannedBackup) -> bridge.Result:
        options = cli.parsed(["run", planned.settings.name])
        try:
            result = set_run.run(planned.config, planned.settings, options, speaking)
        except IncompleteError as error:
            answer = {**set_command.run_document(error.result), "changed": True}
            bridge.fail(module, error, {**answer, "warnings": _warnings(answer)})
        answer = set_command.run_document(result)
        return {**answer, "warnings": _warnings(answer)}

    bridge.run(module, plan, apply)


@dataclasses.dataclass(frozen=True)
class PlannedRestore:
    """A restore of a point that would be done."""

    config: Config
    plan: SetPlan

    @property
    def changed(self) -> bool:
        return any(not _is_empty(each.document) for each in self.plan.steps)

    def diff(self) -> tuple[bridge.Result, bridge.Result]:
        """Return what each member would become."""
        names = {each.job: f"backup {each.backup}" for each in self.plan.steps}
        return {name: "as it is now" for name in names}, names

    def result(self) -> bridge.Result:
        """Return the plan."""
        return set_command.restore_document(self.plan, self.plan.steps)


def run_restore(module: AnsibleModule) -> t.NoReturn:
    """Plan a restore, carry it out, and end the module."""
    member = functools.partial(commands.restore_member, cli.parsed(["restore", "set"]))

    def plan(params: bridge.Params) -> PlannedRestore:
        config, settings = _set_from(params)
        options = set_restore.Options(tuple(params["confirm"]), tuple(params["only"]), tuple(params["except"]))
        planned = PlannedRestore(config, set_restore.plan(config, settings, params["point"], options, speaking, member))
        try:
            set_restore.check(planned.plan)
        except LifeboatError as error:
            bridge.fail(module, error, planned.result())
        return planned

    def apply(planned: PlannedRestore) -> bridge.Result:
        steps = set_restore.restore(planned.config, planned.plan, speaking, member)
        answer = set_command.restore_document(planned.plan, steps)
        if not all(each.is_good for each in steps):
            bridge.fail(module, set_restore.unfinished(planned.plan, steps), {**answer, "changed": True})
        return answer

    bridge.run(module, plan, apply)


def _set_from(params: bridge.Params) -> tuple[Config, SetSettings]:
    """Read the configuration, and become the user of the set. Raises UsageError."""
    config = load(params["config"])
    settings = config.job(params["job"])
    if not isinstance(settings, SetSettings):
        raise UsageError(
            f"Cannot use job {settings.name} as a set", f"it is of kind {settings.kind}", "name a job of kind set"
        )
    become(settings.run_as, settings.name)
    return config, settings


def _members(config: Config, settings: SetSettings) -> tuple[MemberPlan, ...]:
    return tuple(MemberPlan(name, config.job(name).kind) for name in settings.members)


def _warnings(answer: t.Mapping[str, t.Any]) -> list[str]:
    problems = [f"{each['job']}: {each['problem']}" for each in answer["members"] if each["problem"]]
    return [*answer["warnings"], *problems]


def _is_empty(document: t.Mapping[str, t.Any]) -> bool:
    """Say whether the plan of a member changes nothing; that of a database always does."""
    if "counts" not in document:
        return False
    return not any(count for action, count in document["counts"].items() if action != "keep") and not document.get(
        "settings"
    )
