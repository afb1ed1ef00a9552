# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import enum
import json
import typing as t

from .. import clock
from ..errors import LifeboatError
from ..s3.endpoint import Endpoint
from .admin import AdminClient, AdminError
from .policy import Document

_READ_BACKS = 6  # another node of a cluster may answer with the old value for a moment
_READ_BACK_PAUSE_S = 0.1  # doubled after each
_NO_USER = "XMinioAdminNoSuchUser"
_NO_GROUP = "XMinioAdminNoSuchGroup"
_NO_POLICY = "XMinioAdminNoSuchPolicy"
_NO_KEY = "XMinioInvalidIAMCredentials"
_NOTHING_CHANGED = "XMinioAdminPolicyChangeAlreadyApplied"
_NEVER = "1970-01-01T00:00:00Z"  # takes an expiry away
_INHERITED: Document = {"Version": "", "Statement": None}  # the policy of a key that has none of its own

F = t.TypeVar("F")


class Proof(enum.Enum):
    """What a request that is signed with a secret says about it."""

    WORKS = "works"
    WRONG = "wrong"
    HIDDEN = "hidden"  # the key is disabled, expired or unknown: the server does not look at the signature


@dataclasses.dataclass(frozen=True)
class User:
    """A user of the server."""

    is_enabled: bool = True
    policies: tuple[str, ...] = ()  # attached to the user, sorted
    groups: tuple[str, ...] = ()  # sorted


@dataclasses.dataclass(frozen=True)
class Group:
    """A group of users."""

    is_enabled: bool = True
    members: tuple[str, ...] = ()  # sorted
    policies: tuple[str, ...] = ()  # sorted; in force only while the group is enabled


@dataclasses.dataclass(frozen=True)
class AccessKey:
    """An access key (service account) of a user."""

    user: str = ""
    is_enabled: bool = True
    policy: Document | None = None  # narrows the rights of the user; None: has them all
    label: str = ""
    description: str = ""
    expires: dt.datetime | None = None


class IdentityApi:
    """Reads and writes users, groups, policies and access keys of a MinIO server. All methods raise LifeboatError.

    Each plan reads first, which other S3 servers answer with an error that MinIO never gives: so nothing is written
    there.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._admin = AdminClient(endpoint)

    def close(self) -> None:
        """Close idle connections."""
        self._admin.close()

    # Who asks

    def account(self) -> str:
        """Return the user whose access key requests are signed with."""
        return str(self._admin.document("Cannot ask for the caller's name", "accountinfo").get("AccountName", ""))

    def callers(self) -> frozenset[str]:
        """Return the access key that requests are signed with, and the user that it belongs to."""
        return frozenset((self._admin.caller(), self.account()))

    def proof(self, access_key: str, secret: str) -> Proof:
        """Send a harmless request as somebody else, and say whether the secret is that of the access key."""
        other = dataclasses.replace(self._endpoint, access_key=access_key, secret_key=secret, session_token="")
        problem = f"Cannot prove the secret of {access_key}"
        with contextlib.closing(AdminClient(other)) as admin:
            try:
                admin.document(problem, "accountinfo")
            except AdminError as error:
                proof = {
                    "AccessDenied": Proof.WORKS,
                    "SignatureDoesNotMatch": Proof.WRONG,
                    "InvalidAccessKeyId": Proof.HIDDEN,
                }.get(error.code)
                if proof is None:
                    raise
                return proof
        return Proof.WORKS

    # Users

    def user(self, name: str) -> User | None:
        query = (("accessKey", name),)
        found = self._found(_NO_USER, lambda: self._admin.document(f"Cannot look at user {name}", "user-info", query))
        if found is None:
            return None
        return _user(found)

    def users_by_name(self) -> dict[str, User]:
        """Return all users but root by their names, in one request."""
        found = self._admin.secret_document("Cannot list the users", "list-users")
        return {name: _user(found[name]) for name in sorted(found)}

    def write_user(self, name: str, secret: str, is_enabled: bool) -> None:
        """Create a user, or set the secret and the status of one; its policies stay."""
        # Without a status the user would be disabled.
        fields = {"secretKey": secret, "status": _status(is_enabled)}
        self._admin.send_secret(f"Cannot write user {name}", "PUT", "add-user", (("accessKey", name),), fields)

    def set_user_status(self, name: str, is_enabled: bool) -> None:
        query = (("accessKey", name), ("status", _status(is_enabled)))
        self._admin.send(f"Cannot set the status of user {name}", "PUT", "set-user-status", query)

    def remove_user(self, name: str) -> None:
        """Remove a user with its access keys."""
        self._admin.send(f"Cannot remove user {name}", "DELETE", "remove-user", (("accessKey", name),))

    # Groups

    def group(self, name: str) -> Group | None:
        query = (("group", name),)
        found = self._found(_NO_GROUP, lambda: self._admin.document(f"Cannot look at group {name}", "group", query))
        if found is None:
            return None
        is_enabled = found.get("status") == "enabled"
        policies = _names(found.get("policy")) if is_enabled else self._policies_of_disabled(name)
        return Group(is_enabled, _sorted(found.get("members")), policies)

    def group_names(self) -> tuple[str, ...]:
        return _sorted(self._admin.names("Cannot list the groups", "groups"))

    def _policies_of_disabled(self, name: str) -> tuple[str, ...]:
        # Such a group does not show them itself.
        found = self._entities(f"Cannot read the policies of group {name}", "group", name)
        return _sorted(item for each in found.get("groupMappings") or () for item in each.get("policies") or ())

    def change_members(self, group: str, members: t.Collection[str], is_removal: bool) -> None:
        """Add members to a group, which is made where there is none, or remove some; a removal of nobody removes the
        empty group.
        """
        fields = {"group": group, "members": list(members), "groupStatus": "enabled", "isRemove": is_removal}
        problem = f"Cannot change the members of group {group}"
        self._admin.send(problem, "PUT", "update-group-members", (), json.dumps(fields).encode("utf-8"))

    def set_group_status(self, name: str, is_enabled: bool) -> None:
        query = (("group", name), ("status", _status(is_enabled)))
        self._admin.send(f"Cannot set the status of group {name}", "PUT", "set-group-status", query)

    # Policies

    def policy(self, name: str) -> Document | None:
        problem, query = f"Cannot read policy {name}", (("name", name), ("v", "2"))
        found = self._found(_NO_POLICY, lambda: self._admin.document(problem, "info-canned-policy", query))
        return None if found is None else dict(found.get("Policy") or {})

    def policies_by_name(self) -> dict[str, Document]:
        """Return all policies by their names, in one request."""
        found = self._admin.document("Cannot list the policies", "list-canned-policies")
        return {name: dict(found[name] or {}) for name in sorted(found)}

    def write_policy(self, name: str, document: Document) -> None:
        body = json.dumps(document).encode("utf-8")
        self._admin.send(f"Cannot write policy {name}", "PUT", "add-canned-policy", (("name", name),), body)

    def remove_policy(self, name: str) -> None:
        self._admin.send(f"Cannot remove policy {name}", "DELETE", "remove-canned-policy", (("name", name),))

    def holders(self, policy: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the users and the groups that a policy is attached to."""
        found = self._entities(f"Cannot ask who has policy {policy}", "policy", policy).get("policyMappings") or ()
        return (
            _sorted(name for each in found for name in each.get("users") or ()),
            _sorted(name for each in found for name in each.get("groups") or ()),
        )

    def attach(self, policies: t.Collection[str], *, user: str = "", group: str = "") -> None:
        self._change_policies("attach", policies, user, group)

    def detach(self, policies: t.Collection[str], *, user: str = "", group: str = "") -> None:
        self._change_policies("detach", policies, user, group)

    def _change_policies(self, verb: str, policies: t.Collection[str], user: str, group: str) -> None:
        if not policies:
            return
        fields = {"policies": list(policies), **({"user": user} if user else {"group": group})}
        problem = f"Cannot {verb} policies {', '.join(policies)} of {user or group}"
        try:
            self._admin.send_secret(problem, "POST", f"idp/builtin/policy/{verb}", (), fields)
        except AdminError as error:
            # So the first try succeeded, and its answer was lost. What counts is read back.
            if error.code != _NOTHING_CHANGED:
                raise

    # Access keys

    def access_key(self, name: str) -> AccessKey | None:
        problem, query = f"Cannot look at access key {name}", (("accessKey", name),)
        read = self._admin.secret_document
        found = self._found(_NO_KEY, lambda: read(problem, "info-service-account", query))
        if found is None:
            return None
        return AccessKey(
            str(found.get("parentUser", "")),
            found.get("accountStatus") == "on",
            None if found.get("impliedPolicy") else json.loads(found.get("policy") or "{}"),
            str(found.get("name", "")),
            str(found.get("description", "")),
            _moment(found.get("expiration")),
        )

    def keys_of(self, user: str) -> tuple[str, ...]:
        """Return the access keys that belong to a user."""
        query = (("user", user),)
        found = self._admin.secret_document(f"Cannot list the access keys of {user}", "list-service-accounts", query)
        return _sorted(str(each["accessKey"]) for each in found.get("accounts") or ())

    def key_names(self) -> tuple[str, ...]:
        """Return the access keys of all users."""
        query = (("listType", "svcacc-only"), ("all", "true"))
        found = self._admin.secret_document("Cannot list the access keys", "list-access-keys-bulk", query)
        accounts = (each for of_user in found.values() for each in of_user.get("serviceAccounts") or ())
        return _sorted(str(each["accessKey"]) for each in accounts)

    def create_key(self, name: str, secret: str, key: AccessKey) -> None:
        fields: dict[str, t.Any] = {"targetUser": key.user, "accessKey": name, "secretKey": secret}
        wanted = {"policy": key.policy, "name": key.label, "description": key.description}
        fields.update({field: value for field, value in wanted.items() if value})
        if key.expires is not None:
            fields["expiration"] = _written(key.expires)
        self._admin.send_secret(f"Cannot create access key {name}", "PUT", "add-service-account", (), fields)

    def update_key(self, name: str, secret: str, before: AccessKey, after: AccessKey) -> None:
        """Change what differs; an empty `secret` stays as it is."""
        # Left out, the policy would go, and the key would have all rights of its user.
        fields: dict[str, t.Any] = {"newPolicy": after.policy or _INHERITED}
        if secret:
            fields["newSecretKey"] = secret
        if after.is_enabled != before.is_enabled:
            fields["newStatus"] = "on" if after.is_enabled else "off"
        if after.label != before.label:
            fields["newName"] = after.label
        if after.description != before.description:
            fields["newDescription"] = after.description
        if after.expires != before.expires:
            fields["newExpiration"] = _written(after.expires) if after.expires else _NEVER
        query = (("accessKey", name),)
        self._admin.send_secret(f"Cannot change access key {name}", "POST", "update-service-account", query, fields)

    def remove_key(self, name: str) -> None:
        problem = f"Cannot remove access key {name}"
        self._admin.send(problem, "DELETE", "delete-service-account", (("accessKey", name),))

    def _entities(self, problem: str, kind: str, name: str) -> dict[str, t.Any]:
        return self._admin.secret_document(problem, "idp/builtin/policy-entities", ((kind, name),))

    def _found(self, missing: str, read: t.Callable[[], dict[str, t.Any]]) -> dict[str, t.Any] | None:
        try:
            return read()
        except AdminError as error:
            if error.code == missing:
                return None
            raise


def read_back(problem: str, read: t.Callable[[], F], is_as_wanted: t.Callable[[F], bool]) -> F:
    """Read what was written until it is as wanted. Raises LifeboatError when it does not become so."""
    for attempt in range(_READ_BACKS):
        found = read()
        if is_as_wanted(found):
            return found
        clock.sleep(_READ_BACK_PAUSE_S * 2**attempt)
    raise LifeboatError(
        problem,
        f"the server accepted it without an error, but what it keeps is {found}",
        "look whether somebody else changes it at the same time, and leave out what this server does not support",
    )


def _user(found: t.Mapping[str, t.Any]) -> User:
    return User(found.get("status") == "enabled", _names(found.get("policyName")), _sorted(found.get("memberOf")))


def _status(is_enabled: bool) -> str:
    return "enabled" if is_enabled else "disabled"


def _names(text: t.Any) -> tuple[str, ...]:
    return _sorted(name for name in str(text or "").split(",") if name)


def _sorted(names: t.Iterable[str] | None) -> tuple[str, ...]:
    return tuple(sorted(set(names or ())))


def _moment(text: t.Any) -> dt.datetime | None:
    return clock.from_text(str(text)) if text and text != _NEVER else None


def _written(moment: dt.datetime) -> str:
    return moment.astimezone(clock.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
