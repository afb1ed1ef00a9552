#!/usr/bin/python
# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pg_login_role
short_description: Make a PostgreSQL role that an application needs, and give it its password
version_added: 1.0.0
description:
  - For recoveries. Backups hold no passwords, and a server that was rebuilt has no roles.
  - Makes the role if it is not there, and sets its password if it is another one.
  - A role that is there keeps its attributes and memberships.
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
    support: partial
    details:
      - A password is set each time if O(login_user) may not see what the server stores of it, see RV(compared).
options:
  name:
    description:
      - Name of the role.
    type: str
    required: true
    aliases: [role]
  password:
    description:
      - The password of the role. It is compared with what the server stores, and set only if it is another one.
      - The server gets its SCRAM verifier, never the password.
      - Without it, the password is left as it is.
    type: str
  login:
    description:
      - Whether a role that has to be made may log in. Roles that only own something need not.
    type: bool
    default: true
seealso:
  - module: lifeboat.recovery.pg_restore
  - module: lifeboat.recovery.pg_backup_role
notes:
  - Log in as a superuser, or as a role with C(CREATEROLE) that may administer the role.
requirements:
  - psycopg2
"""

EXAMPLES = r"""
---
- name: Give the application its role back
  become: true
  become_user: postgres
  lifeboat.recovery.pg_login_role:
    name: shop
    password: "{{ vault_shop_database_password }}"

- name: Make the role that owns the tables
  become: true
  become_user: postgres
  lifeboat.recovery.pg_login_role:
    name: shop_owner
    login: false
"""

RETURN = r"""
name:
  description: Name of the role.
  returned: success
  type: str
  sample: shop
exists:
  description: Whether the role was there before.
  returned: success
  type: bool
  sample: true
compared:
  description: Whether the login role may see what the server stores of passwords, to compare it.
  returned: success
  type: bool
  sample: true
"""

import dataclasses
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge import run as bridge
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge.postgres_options import (
    POSTGRES_LOGIN,
    server_from,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres import login_role
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.connection import Server


@dataclasses.dataclass(frozen=True)
class Planned:
    """What is to be done with a role, and where."""

    server: Server
    plan: login_role.LoginRolePlan

    @property
    def changed(self) -> bool:
        return not self.plan.is_empty

    def diff(self) -> tuple[bridge.Result, bridge.Result]:
        return login_role.document(self.plan, is_done=False), login_role.document(self.plan, is_done=True)

    def result(self) -> bridge.Result:
        return {"name": self.plan.wanted.name, "exists": self.plan.exists, "compared": self.plan.is_compared}


def plan(params: bridge.Params) -> Planned:
    """Look at the role."""
    server = server_from(params)
    wanted = login_role.WantedRole(params["name"], params["password"] or "", params["login"])
    return Planned(server, login_role.plan(server, wanted))


def apply(planned: Planned) -> bridge.Result:
    """Make it, and give it its password."""
    login_role.apply(planned.server, planned.plan)
    return {}


def main() -> t.NoReturn:
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True, "aliases": ["role"]},
            "password": {"type": "str", "no_log": True},
            "login": {"type": "bool", "default": True},
            **POSTGRES_LOGIN,
        },
        supports_check_mode=True,
    )
    bridge.run(module, plan, apply)


if __name__ == "__main__":
    main()
