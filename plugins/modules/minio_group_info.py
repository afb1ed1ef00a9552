#!/usr/bin/python
# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: minio_group_info
short_description: Show groups of users of MinIO
version_added: 1.0.0
description:
  - Returns the groups of a server with their members and policies, in the form of the options of
    M(lifeboat.recovery.minio_group).
author:
  - Lifeboat maintainers (@lifeboat)
extends_documentation_fragment:
  - lifeboat.recovery._attributes
  - lifeboat.recovery._attributes.info
  - lifeboat.recovery._attributes.actiongroup_s3
  - lifeboat.recovery._s3_connection
  - lifeboat.recovery._minio_identities
options:
  name:
    description:
      - Name of the group.
      - By default all are shown.
      - A group that is not there is no error, it is only not shown.
    type: str
    aliases: [group]
  limit:
    description:
      - How many to show at most. V(0) shows all.
    type: int
    default: 1000
seealso:
  - module: lifeboat.recovery.minio_group
  - module: lifeboat.recovery.minio_user_info
"""

EXAMPLES = r"""
---
- name: Look at all groups
  lifeboat.recovery.minio_group_info:
    endpoint_url: https://minio.example.com:9000
    access_key: auditor
    secret_key: "{{ vault_auditor_secret_key }}"
  register: found

- name: Name the groups that nobody is in
  ansible.builtin.debug:
    msg: "{{ found.groups | rejectattr('members') | map(attribute='name') }}"
"""

RETURN = r"""
groups:
  description: One entry for each group, ordered by name.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Name of the group.
      type: str
      sample: auditors
    status:
      description: Whether the policies of the group are in force, V(enabled) or V(disabled).
      type: str
      sample: enabled
    members:
      description: The users in the group.
      type: list
      elements: str
      sample: [alice]
    policies:
      description: The policies that are attached to the group.
      type: list
      elements: str
      sample: [readonly]
total:
  description: How many there are. If it is larger than O(limit), the rest is not in RV(groups).
  returned: success
  type: int
  sample: 1
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge import run as bridge
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge.identity_reports import LIMIT, listed
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge.s3_options import (
    S3_CONNECTION,
    S3_CONNECTION_RULES,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.minio.identity_listing import every_group


def read(params: bridge.Params) -> bridge.Result:
    """Describe the groups that were asked for."""
    return listed(params, "groups", lambda api, limit: every_group(api, params["name"], limit))


def main() -> t.NoReturn:
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "aliases": ["group"]},
            **LIMIT,
            **S3_CONNECTION,
        },
        supports_check_mode=True,
        **S3_CONNECTION_RULES,
    )
    bridge.report(module, read)


if __name__ == "__main__":
    main()
