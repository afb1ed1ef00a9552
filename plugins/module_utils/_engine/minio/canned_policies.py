# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
import typing as t

from ..errors import GuardRefusal, UsageError
from . import iam_policy
from .identity_api import IdentityApi, read_back
from .identity_plan import ABSENT
from .policy import Document


@dataclasses.dataclass(frozen=True)
class PresentPolicy:
    """A policy that shall be there."""

    name: str
    before: Document | None
    after: Document

    @property
    def changed(self) -> bool:
        return iam_policy.meaning(self.before) != iam_policy.meaning(self.after)

    def diff(self) -> tuple[dict[str, t.Any], dict[str, t.Any]]:
        """Return the documents before and after; equal ones as they are wanted, not as the server orders them."""
        before = self.before if self.changed else self.after
        return _shown(before), _shown(self.after)

    def result(self) -> dict[str, t.Any]:
        """Return the document as it would be after the plan."""
        return {"policy": self.name, "document": dict(self.after)}

    def apply(self, api: IdentityApi) -> dict[str, t.Any]:
        """Write the policy, and read it back. Raises LifeboatError when the server keeps something else."""
        api.write_policy(self.name, self.after)
        wanted = iam_policy.meaning(self.after)
        read_back(
            f"Cannot write policy {self.name}",
            lambda: api.policy(self.name),
            lambda found: iam_policy.meaning(found) == wanted,
        )
        return {}


@dataclasses.dataclass(frozen=True)
class AbsentPolicy:
    """A policy that shall not be there."""

    name: str
    before: Document | None

    @property
    def changed(self) -> bool:
        return self.before is not None

    def diff(self) -> tuple[dict[str, t.Any], dict[str, t.Any]]:
        """Return the document before, and nothing after."""
        return _shown(self.before), ABSENT

    def result(self) -> dict[str, t.Any]:
        """Return the name of the policy."""
        return {"policy": self.name}

    def apply(self, api: IdentityApi) -> dict[str, t.Any]:
        """Remove the policy, and look that it is gone. Raises LifeboatError."""
        api.remove_policy(self.name)
        read_back(f"Cannot remove policy {self.name}", lambda: api.policy(self.name), lambda found: found is None)
        return {}


PolicyPlan = t.Union[PresentPolicy, AbsentPolicy]


def plan_present(api: IdentityApi, name: str, wanted: Document) -> PresentPolicy:
    """Read the policy, and plan. Raises GuardRefusal for a built-in one that says something else."""
    problem = f"Cannot write policy {name}"
    if not name or "," in name or name != name.strip():
        raise UsageError(problem, "a name has no commas and no blanks at its ends", "choose another one")
    made = PresentPolicy(name, api.policy(name), wanted)
    if made.changed:
        _refuse_built_in(name, problem)
    return made


def plan_absent(api: IdentityApi, name: str) -> AbsentPolicy:
    """Look at a policy that is to be removed. Raises GuardRefusal for built-in ones, and for those in use."""
    problem = f"Cannot remove policy {name}"
    _refuse_built_in(name, problem)
    found = api.policy(name)
    if found is not None:
        users, groups = api.holders(name)
        holders = [*(f"user {each}" for each in users), *(f"group {each}" for each in groups)]
        if holders:
            raise GuardRefusal(
                "policy_in_use",
                problem,
                f"it is attached to {', '.join(holders)}",
                "take it from them first, with the modules minio_user and minio_group",
            )
    return AbsentPolicy(name, found)


def _refuse_built_in(name: str, problem: str) -> None:
    if name in iam_policy.BUILT_IN:
        raise GuardRefusal(
            "built_in_policy",
            problem,
            "it is one of the server's own, which others rely on and which come back by themselves",
            "make a policy with another name",
        )


def _shown(document: Document | None) -> dict[str, t.Any]:
    return ABSENT if document is None else {"state": "present", "document": dict(document)}
