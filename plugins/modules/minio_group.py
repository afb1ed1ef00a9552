#!/usr/bin/python
# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: minio_group
short_description: Manage groups of users of MinIO
version_added: 1.0.0
description:
  - Creates, changes and removes groups, their members, and the policies that all members have.
  - What was written is read back.
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
      - Name of the group.
    type: str
    required: true
    aliases: [group]
  members:
    description:
      - Names of the users in the group, which must be there.
      - They replace all members, unless O(append=true). The empty list takes all out.
      - If the option is not set, members are left as they are.
    type: list
    elements: str
  policies:
    description:
      - Names of the policies that members have as long as the group is enabled.
      - They replace all that are attached, unless O(append=true). The empty list detaches all.
      - If the option is not set, policies are left as they are. MinIO changes none of a disabled group.
    type: list
    elements: str
  append:
    description:
      - Whether members and policies that are there and not in O(members) and O(policies) stay.
    type: bool
    default: false
  status:
    description:
      - Whether members have the policies of the group. A new group is enabled by default.
    type: str
    choices: [enabled, disabled]
  state:
    description:
      - Whether the group shall be there.
      - A group that is removed takes its policies from its members. The users stay.
    type: str
    choices: [present, absent]
    default: present
seealso:
  - module: lifeboat.recovery.minio_group_info
  - module: lifeboat.recovery.minio_policy
  - module: lifeboat.recovery.minio_user
"""

EXAMPLES = r"""
---
- name: Let three people read everything
  lifeboat.recovery.minio_group:
    endpoint_url: https://minio.example.com:9000
    access_key: provisioning
    secret_key: "{{ vault_minio_secret_key }}"
    name: auditors
    members: [anna, ben, chris]
    policies: [readonly]

- name: Add somebody
  lifeboat.recovery.minio_group:
    name: auditors
    members: [dora]
    append: true

- name: Take the rights of the group away for a while
  lifeboat.recovery.minio_group:
    name: auditors
    status: disabled

- name: Remove the group
  lifeboat.recovery.minio_group:
    name: auditors
    state: absent
"""

RETURN = r"""
group:
  description: Name of the group.
  returned: success
  type: str
  sample: auditors
status:
  description: Whether members have the policies of the group, V(enabled) or V(disabled).
  returned: success, when O(state=present)
  type: str
  sample: enabled
members:
  description: The users in the group.
  returned: success, when O(state=present)
  type: list
  elements: str
  sample: [anna, ben, chris]
policies:
  description: The policies that are attached to the group.
  returned: success, when O(state=present)
  type: list
  elements: str
  sample: [readonly]
removed_members:
  description: The users that were in the group.
  returned: success, when O(state=absent)
  type: list
  elements: str
  sample: [anna, ben, chris]
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
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.minio.groups import (
    GroupPlan,
    WantedGroup,
    plan_absent,
    plan_present,
)


def plan(params: bridge.Params) -> GroupPlan:
    """Compare the group with the options."""
    with contextlib.closing(api_from(params)) as api:
        if params["state"] == "absent":
            return plan_absent(api, params["name"])
        wanted = WantedGroup(
            params["name"],
            is_enabled(params["status"]),
            names(params["members"]),
            names(params["policies"]),
            params["append"],
        )
        return plan_present(api, wanted)


def main() -> t.NoReturn:
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True, "aliases": ["group"]},
            "members": {"type": "list", "elements": "str"},
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
