# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import importlib
import traceback
import typing as t

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

from .._engine.errors import GuardRefusal, LifeboatError

Params = t.Mapping[str, t.Any]
Result = t.Mapping[str, t.Any]

# Libraries that only some options or modules need: the name to import, and the name under which people install it.
OPTIONAL_LIBRARIES = {"boto3": "boto3", "psycopg2": "psycopg2", "zstandard": "zstandard"}


class Plan(t.Protocol):
    """What a module would do: a frozen dataclass that was made by reading only."""

    @property
    def changed(self) -> bool:
        """Say whether there is anything to do."""

    def diff(self) -> tuple[t.Any, t.Any]:
        """Return what is before and what would be after: dictionaries or texts, without secrets."""

    def result(self) -> Result:
        """Return what the task returns if nothing but the plan is made (check mode, or nothing to do)."""


P = t.TypeVar("P", bound=Plan)


def run(module: AnsibleModule, plan: t.Callable[[Params], P], apply: t.Callable[[P], Result]) -> t.NoReturn:
    """Plan, apply unless nothing is to be done or check mode is on, and end the module.

    `plan` reads and decides; `apply` does it and returns what is added to (or replaces in) the plan's result. A
    `LifeboatError` of either becomes a failure of the task; any other exception is a bug and stays a traceback. A list
    under `warnings` in a result is shown as warnings.
    """
    try:
        planned = plan(module.params)
        answer = dict(planned.result())
        if planned.changed and not module.check_mode:
            answer.update(apply(planned))
    except LifeboatError as error:
        fail(module, error)
    answer["changed"] = planned.changed
    _warn(module, answer)
    if module._diff:
        before, after = planned.diff()
        answer["diff"] = {"before": before, "after": after}
    module.exit_json(**answer)


def report(module: AnsibleModule, read: t.Callable[[Params], Result]) -> t.NoReturn:
    """Answer with what `read` found; for modules that change nothing."""
    try:
        answer = dict(read(module.params))
    except LifeboatError as error:
        fail(module, error)
    answer["changed"] = False
    _warn(module, answer)
    module.exit_json(**answer)


def _warn(module: AnsibleModule, answer: dict[str, t.Any]) -> None:
    for warning in answer.pop("warnings", ()):
        module.warn(warning)


def fail(module: AnsibleModule, error: LifeboatError, result: Result | None = None) -> t.NoReturn:
    """End the module with a failure, and with what was done before it failed."""
    answer = {**(result or {}), **failure(error)}
    _warn(module, answer)
    module.fail_json(**answer)


def failure(error: LifeboatError) -> dict[str, t.Any]:
    """Return the values that every failed task of this collection has."""
    answer: dict[str, t.Any] = {
        "msg": str(error),
        "problem": error.problem,
        "cause": error.cause,
        "remedy": error.remedy,
        "exit_code": error.exit_code,
    }
    if isinstance(error, GuardRefusal):
        answer["guard"] = error.guard
    return answer


def require(module: AnsibleModule, *libraries: str) -> None:
    """End the module with the usual text unless the `libraries` (names of OPTIONAL_LIBRARIES) can be imported."""
    for library in libraries:
        try:
            importlib.import_module(library)
        except ImportError:
            module.fail_json(
                msg=missing_required_lib(OPTIONAL_LIBRARIES[library]),
                exception=traceback.format_exc(),
            )
