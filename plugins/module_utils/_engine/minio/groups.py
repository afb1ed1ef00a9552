# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
import typing as t

from ..errors import UsageError
from . import identity_plan
from .identity_api import Group, IdentityApi, read_back
from .identity_plan import ABSENT


@dataclasses.dataclass(frozen=True)
class WantedGroup:
    """What a group shall be; None means that it is left as it is."""

    name: str
    is_enabled: bool | None = None
    members: tuple[str, ...] | None = None
    policies: tuple[str, ...] | None = None
    appends: bool = False  # members and policies come beside those that are there, not instead of them


@dataclasses.dataclass(frozen=True)
class PresentGroup:
    """A group that shall be there."""

    name: str
    before: Group | None  # None: it is to be created
    after: Group
    missing_members: tuple[str, ...] = ()  # to be added, and no users of the server
    missing_policies: tuple[str, ...] = ()

    @property
    def changed(self) -> bool:
        return self.before != self.after

    def diff(self) -> tuple[dict[str, t.Any], dict[str, t.Any]]:
        """Return the group before and after."""
        return _shown(self.before), _shown(self.after)

    def result(self) -> dict[str, t.Any]:
        """Return the group as it would be after the plan."""
        warnings = [
            *identity_plan.missing_warnings("user", self.missing_members),
            *identity_plan.missing_warnings("policy", self.missing_policies),
        ]
        return {"group": self.name, **described(self.after), "warnings": warnings}

    def apply(self, api: IdentityApi) -> dict[str, t.Any]:
        """Write what differs, and read it back. Raises LifeboatError.

        The policies are written while the group is enabled: the server changes none of a disabled one.
        """
        problem = f"Cannot write group {self.name}"
        identity_plan.require_policies(self.missing_policies, problem)
        if self.missing_members:
            raise UsageError(
                problem,
                f"there is no user {' and no user '.join(self.missing_members)}",
                "make it first, with minio_user",
            )
        before = self.before
        if before is None:
            before = Group()
            api.change_members(self.name, (), is_removal=False)
        if self.after.is_enabled and not before.is_enabled:
            api.set_group_status(self.name, True)
        api.attach([name for name in self.after.policies if name not in before.policies], group=self.name)
        api.detach([name for name in before.policies if name not in self.after.policies], group=self.name)
        if before.is_enabled and not self.after.is_enabled:
            api.set_group_status(self.name, False)
        self._write_members(api, before)
        found = read_back(problem, lambda: api.group(self.name), lambda found: found == self.after)
        return described(found or self.after)

    def _write_members(self, api: IdentityApi, before: Group) -> None:
        gone = [name for name in before.members if name not in self.after.members]
        new = [name for name in self.after.members if name not in before.members]
        # Nobody to remove would mean to remove the group.
        if gone:
            api.change_members(self.name, gone, is_removal=True)
        if new:
            api.change_members(self.name, new, is_removal=False)


@dataclasses.dataclass(frozen=True)
class AbsentGroup:
    """A group that shall not be there."""

    name: str
    before: Group | None

    @property
    def changed(self) -> bool:
        return self.before is not None

    def diff(self) -> tuple[dict[str, t.Any], dict[str, t.Any]]:
        """Return the group with its members before, and nothing after."""
        return _shown(self.before), ABSENT

    def result(self) -> dict[str, t.Any]:
        """Return who loses the rights of the group."""
        return {"group": self.name, "removed_members": list(self.before.members) if self.before else []}

    def apply(self, api: IdentityApi) -> dict[str, t.Any]:
        """Take all members out of the group, remove it, and look that it is gone. Raises LifeboatError."""
        if self.before is not None and self.before.members:
            api.change_members(self.name, self.before.members, is_removal=True)
        api.change_members(self.name, (), is_removal=True)
        read_back(f"Cannot remove group {self.name}", lambda: api.group(self.name), lambda found: found is None)
        return {}


GroupPlan = t.Union[PresentGroup, AbsentGroup]


def plan_present(api: IdentityApi, wanted: WantedGroup) -> PresentGroup:
    """Read the group, and whether what it shall have is there, and plan. Raises LifeboatError."""
    found = api.group(wanted.name)
    made = plan(wanted, found)
    before = found or Group()
    return dataclasses.replace(
        made,
        missing_members=tuple(
            name for name in made.after.members if name not in before.members and api.user(name) is None
        ),
        missing_policies=identity_plan.missing_policies(
            [name for name in made.after.policies if name not in before.policies], api.policy
        ),
    )


def plan(wanted: WantedGroup, found: Group | None) -> PresentGroup:
    """Compare what is wanted with what was found. Raises UsageError for what the server would refuse."""
    if not wanted.name or "," in wanted.name or wanted.name != wanted.name.strip():
        raise UsageError(
            f"Cannot write group {wanted.name!r}",
            "a name has no commas and no blanks at its ends",
            "choose another one",
        )
    before = found or Group()
    after = Group(
        before.is_enabled if wanted.is_enabled is None else wanted.is_enabled,
        identity_plan.wanted_names(wanted.members, before.members, wanted.appends),
        identity_plan.wanted_names(wanted.policies, before.policies, wanted.appends),
    )
    if not before.is_enabled and not after.is_enabled and before.policies != after.policies:
        raise UsageError(
            f"Cannot change the policies of group {wanted.name}",
            "it is disabled, and MinIO changes no policies of a disabled group",
            "set status to enabled, or leave policies out",
        )
    return PresentGroup(wanted.name, found, after)


def plan_absent(api: IdentityApi, name: str) -> AbsentGroup:
    """Look at a group that is to be removed. Raises LifeboatError."""
    return AbsentGroup(name, api.group(name))


def described(group: Group) -> dict[str, t.Any]:
    """Return a group as results of tasks show it."""
    return {
        "status": "enabled" if group.is_enabled else "disabled",
        "members": list(group.members),
        "policies": list(group.policies),
    }


def _shown(group: Group | None) -> dict[str, t.Any]:
    return ABSENT if group is None else {"state": "present", **described(group)}
