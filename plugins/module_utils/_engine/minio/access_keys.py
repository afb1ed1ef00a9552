# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
import datetime as dt
import typing as t

from .. import clock
from ..errors import GuardRefusal, UsageError
from ..s3.credentials import Credentials
from . import credentials_file, iam_policy, identity_plan, users
from .identity_api import AccessKey, IdentityApi, Proof, read_back
from .identity_plan import ABSENT

_LONGEST_LABEL = 32  # characters; these limits are the server's
_LONGEST_DESCRIPTION = 256
_KEY_ID = range(3, 21)
_SECRET = range(8, 41)
_SHORTEST = dt.timedelta(minutes=15)  # of what lies between now and the end
_LONGEST = dt.timedelta(days=365)


@dataclasses.dataclass(frozen=True)
class WantedKey:
    """What an access key shall be."""

    key_id: str = ""  # empty: it stands in the file, or is generated for it
    secret: str = dataclasses.field(default="", repr=False)  # empty: as in the file, generated, or left as it is
    user: str = ""  # whose rights it has; empty: the caller's, where it is created
    # Names of fields of AccessKey and their values; those that are missing are left as they are.
    settings: t.Mapping[str, t.Any] = dataclasses.field(default_factory=dict)
    path: str = ""  # of the file with the generated credentials; empty: none
    returns_secret: bool = False  # a generated secret comes back in the result


@dataclasses.dataclass(frozen=True)
class PresentKey:
    """An access key that shall be there."""

    key_id: str
    before: AccessKey | None  # None: it is to be created
    after: AccessKey
    secret: str = dataclasses.field(repr=False)  # to be written; empty: stays as it is
    new_file: str = ""  # where the credentials are written first
    returns_secret: bool = False

    @property
    def changed(self) -> bool:
        return self.before is None or bool(self.secret) or not _same(self.before, self.after)

    def diff(self) -> tuple[dict[str, t.Any], dict[str, t.Any]]:
        """Return the access key before and after; of the secret only whether it changes."""
        if self.before is None:
            return ABSENT, _shown(self.after)
        before = dataclasses.replace(self.before, policy=self.after.policy) if self._keeps_policy else self.before
        secret_before, secret_after = identity_plan.secret_shown(bool(self.secret))
        return {**_shown(before), **secret_before}, {**_shown(self.after), **secret_after}

    @property
    def _keeps_policy(self) -> bool:
        return self.before is not None and _means_same(self.before, self.after)

    def result(self) -> dict[str, t.Any]:
        """Return the access key as it would be after the plan, without its secret."""
        return {"key_id": self.key_id, **described(self.after)}

    def apply(self, api: IdentityApi) -> dict[str, t.Any]:
        """Write what differs, read it back, and prove a secret that was written. Raises LifeboatError.

        The file comes first: if the work ends in between, the next run makes the access key that stands there.
        """
        if self.new_file:
            credentials_file.write_new(self.new_file, Credentials(self.key_id, self.secret))
        before, secret = self.before, self.secret
        if before is None:
            api.create_key(self.key_id, self.secret, self.after)
            before, secret = dataclasses.replace(self.after, is_enabled=True), ""
        if secret or not _same(before, self.after):
            api.update_key(self.key_id, secret, before, self.after)
        read_back(
            f"Cannot write access key {self.key_id}",
            lambda: api.access_key(self.key_id),
            lambda found: found is not None and _same(found, self.after),
        )
        if self.secret and self.after.is_enabled:
            users.prove(api, self.key_id, self.secret)
        return {"key_secret": self.secret} if self.returns_secret else {}


@dataclasses.dataclass(frozen=True)
class AbsentKey:
    """An access key that shall not be there."""

    key_id: str  # empty: nobody knows one
    before: AccessKey | None
    path: str = ""  # of the file that goes with it; empty: there is none

    @property
    def changed(self) -> bool:
        return self.before is not None or bool(self.path)

    def diff(self) -> tuple[dict[str, t.Any], dict[str, t.Any]]:
        """Return the access key before, and nothing after."""
        before = ABSENT if self.before is None else _shown(self.before)
        return {**before, **({"credentials_file": self.path} if self.path else {})}, ABSENT

    def result(self) -> dict[str, t.Any]:
        """Return which access key goes."""
        return {"key_id": self.key_id}

    def apply(self, api: IdentityApi) -> dict[str, t.Any]:
        """Remove the access key and then its file, and look that it is gone. Raises LifeboatError."""
        problem = f"Cannot remove access key {self.key_id}"
        if self.before is not None:
            api.remove_key(self.key_id)
            read_back(problem, lambda: api.access_key(self.key_id), lambda found: found is None)
        if self.path:
            credentials_file.remove(self.path)
        return {}


KeyPlan = t.Union[PresentKey, AbsentKey]


def plan_present(api: IdentityApi, wanted: WantedKey) -> PresentKey:
    """Read the access key and its file, prove its secret, and plan. Raises LifeboatError."""
    stored = _stored(wanted)
    key_id = wanted.key_id or (stored.access_key if stored else "")
    known = wanted.secret or (stored.secret_key if stored else "")
    found = api.access_key(key_id) if key_id else None
    proof = Proof.WORKS
    if found is not None and known:
        proof = api.proof(key_id, known)
    made = plan(dataclasses.replace(wanted, key_id=key_id, secret=known), found, proof)
    if found is None:
        user = wanted.user or api.account()
        return dataclasses.replace(made, after=dataclasses.replace(made.after, user=user))
    if made.secret or not made.after.is_enabled:
        identity_plan.refuse_own(api.callers(), [key_id], f"Cannot write access key {key_id}")
    return made


def plan(wanted: WantedKey, found: AccessKey | None, proof: Proof) -> PresentKey:
    """Compare what was found; `proof` is that of the known secret. Raises UsageError, GuardRefusal.

    The server does not look at the secret of a disabled access key. So it is written when the key is enabled, and let
    be while it stays disabled.
    """
    before = found or AccessKey(user=wanted.user)
    after = dataclasses.replace(before, **wanted.settings)
    _check(wanted, before, after)
    if found is None or wanted.secret:
        fault = identity_plan.signing_fault(wanted.key_id, wanted.secret)
        if fault:
            raise UsageError(f"Cannot write access key {wanted.key_id}", fault, "correct it")
    if found is None:
        return _created(wanted, after)
    _check_known(wanted, found)
    is_woken = after.is_enabled and (not found.is_enabled or proof is Proof.HIDDEN and found.expires != after.expires)
    writes = bool(wanted.secret) and (is_woken or (after.is_enabled and proof is Proof.WRONG))
    return PresentKey(wanted.key_id, found, after, wanted.secret if writes else "")


def _created(wanted: WantedKey, after: AccessKey) -> PresentKey:
    if wanted.secret:
        return PresentKey(wanted.key_id, None, after, wanted.secret)
    if not wanted.path and not (wanted.returns_secret and wanted.key_id):
        raise UsageError(
            f"Cannot create access key {wanted.key_id}".rstrip(),
            "nobody would know its secret",
            "give key_id and key_secret, or a credentials_file for what is generated",
        )
    made = credentials_file.generated(wanted.key_id)
    return PresentKey(made.access_key, None, after, made.secret_key, wanted.path, wanted.returns_secret)


def plan_absent(api: IdentityApi, wanted: WantedKey) -> AbsentKey:
    """Look at an access key that is to be removed. Raises LifeboatError."""
    stored = _stored(wanted)
    key_id = wanted.key_id or (stored.access_key if stored else "")
    found = api.access_key(key_id) if key_id else None
    if found is not None:
        _refuse_other_user(wanted, found, f"Cannot remove access key {key_id}")
        identity_plan.refuse_own(api.callers(), [key_id], f"Cannot remove access key {key_id}")
    return AbsentKey(key_id, found, wanted.path if stored else "")


def _stored(wanted: WantedKey) -> Credentials | None:
    stored = credentials_file.read(wanted.path) if wanted.path else None
    if stored is not None and wanted.key_id and stored.access_key != wanted.key_id:
        raise UsageError(
            f"Cannot use the credentials file {wanted.path}",
            f"it holds access key {stored.access_key}, not {wanted.key_id}",
            "name another file, or leave key_id out",
        )
    return stored


def _check(wanted: WantedKey, before: AccessKey, after: AccessKey) -> None:
    problem = f"Cannot write access key {wanted.key_id}".rstrip()
    fault = ""
    if wanted.key_id and len(wanted.key_id) not in _KEY_ID:
        fault = f"key_id has {_KEY_ID.start} to {_KEY_ID.stop - 1} characters"
    elif wanted.secret and len(wanted.secret) not in _SECRET:
        fault = f"key_secret has {_SECRET.start} to {_SECRET.stop - 1} characters"
    elif len(after.label) > _LONGEST_LABEL:
        fault = f"label has at most {_LONGEST_LABEL} characters"
    elif len(after.description) > _LONGEST_DESCRIPTION:
        fault = f"description has at most {_LONGEST_DESCRIPTION} characters"
    elif after.expires != before.expires and not _is_takeable(after.expires):
        fault = "MinIO takes only ends between 15 minutes and 365 days from now"
    for name in ("label", "description"):
        if getattr(before, name) and not getattr(after, name):
            fault = f"MinIO takes another {name}, and cannot remove it"
    if fault:
        raise UsageError(problem, fault, "correct it")


def _is_takeable(moment: dt.datetime | None) -> bool:
    return moment is None or _SHORTEST < moment - clock.now() <= _LONGEST


def _check_known(wanted: WantedKey, found: AccessKey) -> None:
    problem = f"Cannot write access key {wanted.key_id}"
    _refuse_other_user(wanted, found, problem)
    if wanted.path and not wanted.secret:
        raise UsageError(
            problem,
            f"it is on the server, and {wanted.path}, which should hold its secret, is not there",
            "bring the file back, or remove the access key first (state: absent), or give key_secret",
        )


def _refuse_other_user(wanted: WantedKey, found: AccessKey, problem: str) -> None:
    if wanted.user and wanted.user != found.user:
        raise GuardRefusal(
            "key_owner",
            problem,
            f"it belongs to user {found.user}, not to {wanted.user}",
            "choose another key_id, or remove that one first",
        )


def _means_same(one: AccessKey, other: AccessKey) -> bool:
    # A policy that says nothing is none.
    return iam_policy.meaning(one.policy) == iam_policy.meaning(other.policy)


def _same(one: AccessKey, other: AccessKey) -> bool:
    return _means_same(one, other) and dataclasses.replace(one, policy=None) == dataclasses.replace(other, policy=None)


def described(key: AccessKey) -> dict[str, t.Any]:
    """Return an access key as results of tasks show it, which is without its secret."""
    return {
        "user": key.user,
        "status": "enabled" if key.is_enabled else "disabled",
        "policy": None if key.policy is None else dict(key.policy),
        "label": key.label,
        "description": key.description,
        "expires": None if key.expires is None else key.expires.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


def _shown(key: AccessKey) -> dict[str, t.Any]:
    return {"state": "present", **described(key)}
