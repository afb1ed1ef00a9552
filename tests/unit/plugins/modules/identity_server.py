# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A MinIO in memory, as far as users, groups, policies and access keys are concerned."""

from __future__ import annotations

import contextlib
import dataclasses

from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.minio.identity_api import (
    AccessKey,
    Group,
    Proof,
    User,
)


class IdentityServer:
    """Stands for IdentityApi and its server; `done` names every write."""

    def __init__(self):
        self.users = {}
        self.secrets = {}
        self.groups = {}
        self.policies = {"readonly": {"Version": "2012-10-17", "Statement": []}}
        self.keys = {}
        self.done = []
        self.caller = "root"
        self.keeps = True  # False: it accepts every write and forgets it

    def close(self):
        pass

    def account(self):
        return self.caller

    def callers(self):
        return frozenset((self.caller,))

    def _write(self, what, work):
        self.done.append(what)
        if self.keeps:
            work()

    def proof(self, name, secret):
        found = self.users.get(name) or self.keys.get(name)
        if found is None or not found.is_enabled:
            return Proof.HIDDEN
        return Proof.WORKS if self.secrets[name] == secret else Proof.WRONG

    def user(self, name):
        found = self.users.get(name)
        groups = tuple(sorted(each for each, group in self.groups.items() if name in group.members))
        return found and dataclasses.replace(found, groups=groups)

    def users_by_name(self):
        return {name: self.user(name) for name in sorted(self.users)}

    def write_user(self, name, secret, is_enabled):
        def work():
            self.users[name] = dataclasses.replace(self.users.get(name, User()), is_enabled=is_enabled)
            self.secrets[name] = secret

        self._write(f"write {name}", work)

    def set_user_status(self, name, is_enabled):
        changed = dataclasses.replace(self.users[name], is_enabled=is_enabled)
        self._write(f"status of {name}", lambda: self.users.update({name: changed}))

    def remove_user(self, name):
        self._write(f"remove {name}", lambda: self.users.pop(name))

    def group(self, name):
        return self.groups.get(name)

    def group_names(self):
        return tuple(sorted(self.groups))

    def change_members(self, group, members, is_removal):
        found = self.groups.get(group, Group())
        if is_removal and not members:
            self._write(f"remove group {group}", lambda: self.groups.pop(group))
            return
        left = set(found.members) - set(members) if is_removal else {*found.members, *members}
        changed = dataclasses.replace(found, members=tuple(sorted(left)))
        self._write(f"members of {group}", lambda: self.groups.update({group: changed}))

    def set_group_status(self, name, is_enabled):
        changed = dataclasses.replace(self.groups[name], is_enabled=is_enabled)
        self._write(f"status of group {name}", lambda: self.groups.update({name: changed}))

    def policy(self, name):
        return self.policies.get(name)

    def policies_by_name(self):
        return dict(sorted(self.policies.items()))

    def write_policy(self, name, document):
        self._write(f"write policy {name}", lambda: self.policies.update({name: document}))

    def remove_policy(self, name):
        self._write(f"remove policy {name}", lambda: self.policies.pop(name))

    def holders(self, policy):
        return tuple(
            tuple(sorted(name for name, each in found.items() if policy in each.policies))
            for found in (self.users, self.groups)
        )

    def attach(self, policies, user="", group=""):
        self._change_policies(policies, (), user, group)

    def detach(self, policies, user="", group=""):
        self._change_policies((), policies, user, group)

    def _change_policies(self, more, fewer, user, group):
        if not more and not fewer:
            return
        found = self.users if user else self.groups
        each = found[user or group] if self.keeps else User()
        assert each.is_enabled, "MinIO changes no policies of who is disabled"
        changed = dataclasses.replace(each, policies=tuple(sorted({*each.policies, *more} - {*fewer})))
        self._write(f"policies of {user or group}", lambda: found.update({user or group: changed}))

    def access_key(self, name):
        return self.keys.get(name)

    def keys_of(self, user):
        return tuple(sorted(name for name, key in self.keys.items() if key.user == user))

    def key_names(self):
        return tuple(sorted(self.keys))

    def create_key(self, name, secret, key):
        self._write(
            f"create key {name}",
            lambda: (
                self.keys.update({name: dataclasses.replace(key, is_enabled=True)}),
                self.secrets.update({name: secret}),
            ),
        )

    def update_key(self, name, secret, before, after):
        assert isinstance(before, AccessKey)
        self._write(
            f"update key {name}",
            lambda: (self.keys.update({name: after}), secret and self.secrets.update({name: secret})),
        )

    def remove_key(self, name):
        self._write(f"remove key {name}", lambda: self.keys.pop(name))


@contextlib.contextmanager
def nothing_written(server):
    """Check that what happens inside only reads."""
    before = list(server.done)
    yield
    assert server.done == before
