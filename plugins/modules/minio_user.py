#!/usr/bin/python
# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: minio_user
short_description: Manage users of MinIO
version_added: 1.0.0
description:
  - Creates, changes and removes users, and attaches policies to them.
  - The secret is proved by a request that is signed with it, and set only if the server does not take it.
    So the task reports a change only when there is one.
  - What was written is read back, and a secret that was written is proved.
author:
  - Lifeboat maintainers (@lifeboat)
extends_documentation_fragment:
  - lifeboat.recovery._attributes
  - lifeboat.recovery._attributes.actiongroup_s3
  - lifeboat.recovery._s3_connection
  - lifeboat.recovery._minio_identities
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  name:
    description:
      - Name of the user, which is its access key too. At least 3 characters.
    type: str
    required: true
    aliases: [user]
  user_secret:
    description:
      - Secret key of the user. At least 8 characters.
      - Needed to create a user. If the option is not set, the secret of a user that is there is left as it is.
      - A server does not look at the secret of a disabled user, so it cannot be proved. It is then left as it is while
        the user stays disabled, and set when the task enables the user.
    type: str
  status:
    description:
      - Whether the user can sign requests. A new user can by default.
      - Access keys of a disabled user have no rights, but they can still sign requests.
    type: str
    choices: [enabled, disabled]
  policies:
    description:
      - Names of the policies that are attached to the user itself. Those of its groups come on top.
      - They replace all that are attached, unless O(append=true). The empty list detaches all.
      - If the option is not set, policies are left as they are. MinIO changes none of a disabled user.
    type: list
    elements: str
  append:
    description:
      - Whether policies that are attached and not in O(policies) stay.
    type: bool
    default: false
  state:
    description:
      - Whether the user shall be there.
      - With a user go its access keys, and its membership in groups.
      - The task refuses to remove or disable the user whose key it signs its requests with.
    type: str
    choices: [present, absent]
    default: present
seealso:
  - module: lifeboat.recovery.minio_user_info
  - module: lifeboat.recovery.minio_policy
  - module: lifeboat.recovery.minio_group
  - module: lifeboat.recovery.minio_access_key
"""

EXAMPLES = r"""
---
- name: Give an application a user of its own
  lifeboat.recovery.minio_user:
    endpoint_url: https://minio.example.com:9000
    access_key: provisioning
    secret_key: "{{ vault_minio_secret_key }}"
    name: shop
    user_secret: "{{ vault_shop_secret_key }}"
    policies: [shop]

- name: Let somebody read too
  lifeboat.recovery.minio_user:
    name: auditor
    policies: [readonly]
    append: true

- name: Stop a user for a while
  lifeboat.recovery.minio_user:
    name: shop
    status: disabled

- name: Remove a user with its access keys
  lifeboat.recovery.minio_user:
    name: shop
    state: absent
"""

RETURN = r"""
user:
  description: Name of the user.
  returned: success
  type: str
  sample: shop
status:
  description: Whether the user can sign requests, V(enabled) or V(disabled).
  returned: success, when O(state=present)
  type: str
  sample: enabled
policies:
  description: The policies that are attached to the user.
  returned: success, when O(state=present)
  type: list
  elements: str
  sample: [shop]
groups:
  description: The groups that the user is a member of.
  returned: success, when O(state=present)
  type: list
  elements: str
  sample: []
removed_access_keys:
  description: The access keys of the user that went with it.
  returned: success, when O(state=absent)
  type: list
  elements: str
  sample: [shop-import]
"""

import contextlib
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge import run as bridge
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge.identity_options import (
    STATE,
    STATUS,
    api_from,
    is_enabled,
    names,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge.s3_options import (
    S3_CONNECTION,
    S3_CONNECTION_RULES,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.minio.users import (
    UserPlan,
    WantedUser,
    plan_absent,
    plan_present,
)


def plan(params: bridge.Params) -> UserPlan:
    """Compare the user with the options."""
    with contextlib.closing(api_from(params)) as api:
        if params["state"] == "absent":
            return plan_absent(api, params["name"])
        wanted = WantedUser(
            params["name"],
            params["user_secret"],
            is_enabled(params["status"]),
            names(params["policies"]),
            params["append"],
        )
        return plan_present(api, wanted)


def main() -> t.NoReturn:
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True, "aliases": ["user"]},
            "user_secret": {"type": "str", "no_log": True},
            "policies": {"type": "list", "elements": "str"},
            "append": {"type": "bool", "default": False},
            **STATUS,
            **STATE,
            **S3_CONNECTION,
        },
        supports_check_mode=True,
        **S3_CONNECTION_RULES,
    )
    bridge.run(module, plan, lambda planned: planned.apply(api_from(module.params)))


if __name__ == "__main__":
    main()
