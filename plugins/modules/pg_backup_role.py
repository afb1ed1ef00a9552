#!/usr/bin/python
# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pg_backup_role
short_description: Make a PostgreSQL role that can back databases up, and do little else
version_added: 1.0.0
description:
  - Gives a role what C(pg_dump) needs, makes it if it is not there, and then looks whether it could dump the databases
    whole.
  - It gets the attributes C(LOGIN), C(INHERIT) and C(BYPASSRLS), the rights of C(pg_read_all_data), and C(CONNECT) to
    the databases.
  - Large objects are beyond C(pg_read_all_data). The role gets the rights of the roles that own some, and C(SELECT) on
    each large object of a superuser. From PostgreSQL 16 on it cannot become those roles.
  - Nothing is ever taken from the role. A superuser is left as it is.
author:
  - Lifeboat maintainers (@lifeboat)
extends_documentation_fragment:
  - lifeboat.recovery._attributes
  - lifeboat.recovery._attributes.actiongroup_postgres
  - lifeboat.recovery._postgres_login
  - lifeboat.recovery._postgres_programs
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details:
      - Never shows a password.
  idempotent:
    support: full
    details:
      - New large objects of superusers need another run.
options:
  name:
    description:
      - Name of the role.
    type: str
    required: true
    aliases: [role]
  databases:
    description:
      - The databases that it shall be able to back up. Either this or O(all_databases) is required.
    type: list
    elements: str
    default: []
  all_databases:
    description:
      - Whether it shall be able to back up all databases that take connections now, but V(template1).
      - A database that is made later lets everybody connect unless somebody revokes that. For its large objects of
        superusers another run is needed.
    type: bool
    default: false
  password:
    description:
      - The password of the role. It is compared with what the server stores, and set only if it is another one.
      - The server gets its SCRAM verifier, never the password.
      - Without it, the password is left as it is. With peer authentication none is needed.
    type: str
seealso:
  - module: lifeboat.recovery.pg_backup
  - name: Predefined roles
    description: What pg_read_all_data may read.
    link: https://www.postgresql.org/docs/current/predefined-roles.html
notes:
  - Log in as a superuser. Others cannot give C(BYPASSRLS).
  - Subscriptions are visible to superusers only. A role that shall back up a database with subscriptions is a failure.
requirements:
  - psycopg2
"""

EXAMPLES = r"""
---
- name: Make the role, for peer authentication of the user of the same name
  become: true
  become_user: postgres
  lifeboat.recovery.pg_backup_role:
    name: lifeboat
    databases: [shop, wiki]

- name: Make a role that can back up all databases
  become: true
  become_user: postgres
  lifeboat.recovery.pg_backup_role:
    name: lifeboat
    all_databases: true

- name: Say what a role of another server lacks
  lifeboat.recovery.pg_backup_role:
    name: backup
    password: "{{ vault_backup_password }}"
    databases: [shop]
    login_host: db1.example.com
    login_password: "{{ vault_postgres_password }}"
    ssl_mode: verify-full
  check_mode: true
  register: role

- name: Show it
  ansible.builtin.debug:
    var: role.missing
"""

RETURN = r"""
name:
  description: Name of the role.
  returned: success
  type: str
  sample: lifeboat
superuser:
  description: Whether the role is superuser. Then it lacks nothing.
  returned: success
  type: bool
  sample: false
missing:
  description: What the role lacked before, in words.
  returned: success
  type: list
  elements: str
  sample: [the attribute BYPASSRLS, membership in pg_read_all_data]
"""

import dataclasses
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge import run as bridge
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge.postgres_options import (
    POSTGRES_LOGIN,
    server_from,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import UsageError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres import backup_role, databases
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.connection import Server
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.databases import Selection


@dataclasses.dataclass(frozen=True)
class Planned:
    """What a role lacks, and where."""

    server: Server
    wanted: backup_role.Wanted
    plan: backup_role.RolePlan

    @property
    def changed(self) -> bool:
        return not self.plan.is_empty

    def diff(self) -> tuple[bridge.Result, bridge.Result]:
        return backup_role.document(self.plan, is_done=False), backup_role.document(self.plan, is_done=True)

    def result(self) -> bridge.Result:
        return {"name": self.plan.name, "superuser": self.plan.is_superuser, "missing": self.plan.missing()}


def plan(params: bridge.Params) -> Planned:
    """Look at the role; one that lacks nothing must be able to dump everything."""
    server = server_from(params)
    wanted = backup_role.Wanted(params["name"], _databases(server, params), params["password"] or "")
    planned = Planned(server, wanted, backup_role.plan(server, wanted))
    if not planned.changed:
        backup_role.require_whole_dumps(server, wanted)
    return planned


def _databases(server: Server, params: bridge.Params) -> tuple[str, ...]:
    names = list(params["databases"])
    if params["all_databases"]:
        names += [each.name for each in databases.chosen(databases.databases_of(server), Selection()).databases]
    if not names:
        raise UsageError(f"Cannot make role {params['name']}", "no database is named", "set databases or all_databases")
    return tuple(dict.fromkeys(names))


def apply(planned: Planned) -> bridge.Result:
    """Give it what it lacks, and look again."""
    backup_role.apply(planned.server, planned.plan)
    backup_role.require_whole_dumps(planned.server, planned.wanted)
    return {}


def main() -> t.NoReturn:
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True, "aliases": ["role"]},
            "databases": {"type": "list", "elements": "str", "default": []},
            "all_databases": {"type": "bool", "default": False},
            "password": {"type": "str", "no_log": True},
            **POSTGRES_LOGIN,
        },
        supports_check_mode=True,
    )
    bridge.run(module, plan, apply)


if __name__ == "__main__":
    main()
