# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
import typing as t

from ..errors import UsageError
from . import identity_plan
from .identity_api import IdentityApi, Proof, User, read_back
from .identity_plan import ABSENT

_LEAST_NAME = 3  # characters; both limits are the server's
_LEAST_SECRET = 8


@dataclasses.dataclass(frozen=True)
class WantedUser:
    """What a user shall be; None means that it is left as it is."""

    name: str
    secret: str | None = dataclasses.field(default=None, repr=False)
    is_enabled: bool | None = None
    policies: tuple[str, ...] | None = None
    appends: bool = False  # the policies come beside those that are attached, not instead of them


@dataclasses.dataclass(frozen=True)
class PresentUser:
    """A user that shall be there."""

    name: str
    before: User | None  # None: it is to be created
    after: User
    secret: str = dataclasses.field(repr=False)  # empty: stays as it is
    missing_policies: tuple[str, ...] = ()  # to be attached, and not on the server
    warnings: tuple[str, ...] = ()

    @property
    def changed(self) -> bool:
        return bool(self.secret) or self.before != self.after

    def diff(self) -> tuple[dict[str, t.Any], dict[str, t.Any]]:
        """Return the user before and after; of the secret only whether it changes."""
        if self.before is None:
            return ABSENT, _shown(self.after)
        secret_before, secret_after = identity_plan.secret_shown(bool(self.secret))
        return {**_shown(self.before), **secret_before}, {**_shown(self.after), **secret_after}

    def result(self) -> dict[str, t.Any]:
        """Return the user as it would be after the plan."""
        warnings = [*self.warnings, *identity_plan.missing_warnings("policy", self.missing_policies)]
        return {"user": self.name, **described(self.after), "warnings": warnings}

    def apply(self, api: IdentityApi) -> dict[str, t.Any]:
        """Write what differs, read it back, and prove a secret that was written. Raises LifeboatError.

        The policies are written while the user is enabled: to the server a disabled one is none that could have any.
        """
        problem = f"Cannot write user {self.name}"
        identity_plan.require_policies(self.missing_policies, problem)
        before = self.before or User()
        is_awake = self.after.is_enabled or before.policies != self.after.policies
        if self.secret:
            api.write_user(self.name, self.secret, is_awake)
        elif self.after.is_enabled and not before.is_enabled:
            api.set_user_status(self.name, True)
        # New rights come before old ones go: a user that works is never without.
        api.attach(_without(self.after.policies, before.policies), user=self.name)
        api.detach(_without(before.policies, self.after.policies), user=self.name)
        if not self.after.is_enabled and (is_awake if self.secret else before.is_enabled):
            api.set_user_status(self.name, False)
        found = read_back(problem, lambda: api.user(self.name), lambda found: found == self.after)
        if self.secret and self.after.is_enabled:
            prove(api, self.name, self.secret)
        return described(found or self.after)


@dataclasses.dataclass(frozen=True)
class AbsentUser:
    """A user that shall not be there."""

    name: str
    before: User | None
    keys: tuple[str, ...] = ()  # access keys that go with the user

    @property
    def changed(self) -> bool:
        return self.before is not None

    def diff(self) -> tuple[dict[str, t.Any], dict[str, t.Any]]:
        """Return the user and its access keys before, and nothing after."""
        if self.before is None:
            return ABSENT, ABSENT
        return {**_shown(self.before), "access_keys": list(self.keys)}, ABSENT

    def result(self) -> dict[str, t.Any]:
        """Return what goes."""
        return {"user": self.name, "removed_access_keys": list(self.keys)}

    def apply(self, api: IdentityApi) -> dict[str, t.Any]:
        """Remove the user, and look that it is gone. Raises LifeboatError."""
        api.remove_user(self.name)
        read_back(f"Cannot remove user {self.name}", lambda: api.user(self.name), lambda found: found is None)
        return {}


UserPlan = t.Union[PresentUser, AbsentUser]


def plan_present(api: IdentityApi, wanted: WantedUser) -> PresentUser:
    """Read the user and prove its secret, and plan. Raises LifeboatError for what the server would refuse."""
    _check(wanted)
    problem = f"Cannot write user {wanted.name}"
    found = api.user(wanted.name)
    proof = Proof.WORKS
    if found is not None and found.is_enabled and wanted.secret is not None:
        proof = api.proof(wanted.name, wanted.secret)
    made = plan(wanted, found, proof)
    if found is not None and (made.secret or not made.after.is_enabled):
        identity_plan.refuse_own(api.callers(), [wanted.name], problem)
    if found is None and wanted.name in api.callers():
        raise UsageError(
            problem, "it is the root user, which only the server's own settings can change", "choose another name"
        )
    new = _without(made.after.policies, found.policies if found else ())
    return dataclasses.replace(made, missing_policies=identity_plan.missing_policies(new, api.policy))


def plan(wanted: WantedUser, found: User | None, proof: Proof) -> PresentUser:
    """Compare what was found; `proof` is that of the wanted secret for an enabled user. Raises UsageError.

    The server does not look at the secret of a disabled user. So it is written when the user is enabled, and let be
    while the user stays disabled.
    """
    before = found or User()
    is_enabled = before.is_enabled if wanted.is_enabled is None else wanted.is_enabled
    policies = identity_plan.wanted_names(wanted.policies, before.policies, wanted.appends)
    after = User(is_enabled, policies, before.groups)
    if found is None:
        if not wanted.secret:
            raise UsageError(f"Cannot create user {wanted.name}", "it needs a secret key", "give user_secret")
        return PresentUser(wanted.name, None, after, wanted.secret)
    if not is_enabled and not found.is_enabled and policies != found.policies:
        raise UsageError(
            f"Cannot change the policies of user {wanted.name}",
            "it is disabled, and MinIO changes no policies of a disabled user",
            "set status to enabled, or leave policies out",
        )
    is_woken = is_enabled and not found.is_enabled
    writes = wanted.secret is not None and (is_woken or (is_enabled and proof is not Proof.WORKS))
    return PresentUser(wanted.name, found, after, (wanted.secret or "") if writes else "", warnings=())


def plan_absent(api: IdentityApi, name: str) -> AbsentUser:
    """Look at a user that is to be removed, and at its access keys. Raises LifeboatError."""
    found = api.user(name)
    if found is None:
        return AbsentUser(name, None)
    identity_plan.refuse_own(api.callers(), [name], f"Cannot remove user {name}")
    return AbsentUser(name, found, api.keys_of(name))


def prove(api: IdentityApi, access_key: str, secret: str) -> None:
    """Sign a request with what was just written. Raises LifeboatError when the server does not take it."""
    read_back(
        f"Cannot use the secret of {access_key}",
        lambda: api.proof(access_key, secret).value,
        lambda proof: proof == Proof.WORKS.value,
    )


def _check(wanted: WantedUser) -> None:
    fault = ""
    if len(wanted.name) < _LEAST_NAME or set("=,") & set(wanted.name):
        fault = f"a name has at least {_LEAST_NAME} characters, and neither an equals sign nor a comma"
    elif wanted.secret is not None and len(wanted.secret) < _LEAST_SECRET:
        fault = f"user_secret has fewer than {_LEAST_SECRET} characters"
    elif wanted.secret is not None:
        fault = identity_plan.signing_fault(wanted.name, wanted.secret)
    if fault:
        raise UsageError(f"Cannot write user {wanted.name}", fault, "choose another one")


def _without(names: t.Collection[str], others: t.Collection[str]) -> tuple[str, ...]:
    return tuple(name for name in names if name not in others)


def described(user: User) -> dict[str, t.Any]:
    """Return a user as results of tasks show it."""
    return {
        "status": "enabled" if user.is_enabled else "disabled",
        "policies": list(user.policies),
        "groups": list(user.groups),
    }


def _shown(user: User) -> dict[str, t.Any]:
    shown = described(user)
    del shown["groups"]  # they are the groups' business
    return {"state": "present", **shown}
