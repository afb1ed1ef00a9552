#!/usr/bin/python
# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: minio_user_info
short_description: Show users of MinIO
version_added: 1.0.0
description:
  - Returns who the users of a server are, with their policies and groups, in the form of the options of
    M(lifeboat.recovery.minio_user). Secrets are never returned. The server does not tell them.
  - The root user is not among them.
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
      - Name of the user.
      - By default all are shown.
      - A user that is not there is no error, it is only not shown.
    type: str
    aliases: [user]
  limit:
    description:
      - How many to show at most. V(0) shows all.
    type: int
    default: 1000
seealso:
  - module: lifeboat.recovery.minio_user
  - module: lifeboat.recovery.minio_access_key_info
"""

EXAMPLES = r"""
---
- name: Look at all users
  lifeboat.recovery.minio_user_info:
    endpoint_url: https://minio.example.com:9000
    access_key: auditor
    secret_key: "{{ vault_auditor_secret_key }}"
  register: found

- name: Name those that may do everything
  ansible.builtin.debug:
    msg: "{{ found.users | selectattr('policies', 'contains', 'consoleAdmin') | map(attribute='name') }}"
"""

RETURN = r"""
users:
  description: One entry for each user, ordered by name.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Name of the user, which is its access key too.
      type: str
      sample: shop
    status:
      description: Whether the user can sign requests, V(enabled) or V(disabled).
      type: str
      sample: enabled
    policies:
      description: The policies that are attached to the user itself. Those of its groups come on top.
      type: list
      elements: str
      sample: [shop]
    groups:
      description: The groups that the user is a member of.
      type: list
      elements: str
      sample: []
total:
  description: How many there are. If it is larger than O(limit), the rest is not in RV(users).
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
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.minio.identity_listing import every_user


def read(params: bridge.Params) -> bridge.Result:
    """Describe the users that were asked for."""
    return listed(params, "users", lambda api, limit: every_user(api, params["name"], limit))


def main() -> t.NoReturn:
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "aliases": ["user"]},
            **LIMIT,
            **S3_CONNECTION,
        },
        supports_check_mode=True,
        **S3_CONNECTION_RULES,
    )
    bridge.report(module, read)


if __name__ == "__main__":
    main()
