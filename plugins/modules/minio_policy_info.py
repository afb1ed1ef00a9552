#!/usr/bin/python
# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: minio_policy_info
short_description: Show policies of MinIO
version_added: 1.0.0
description:
  - Returns the policies of users and groups, in the form of the options of M(lifeboat.recovery.minio_policy), and if
    wanted who has them.
  - Policies of single access keys are shown by M(lifeboat.recovery.minio_access_key_info), those of buckets by
    M(lifeboat.recovery.minio_bucket_info).
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
      - Name of the policy.
      - By default all are shown.
      - A policy that is not there is no error, it is only not shown.
    type: str
    aliases: [policy]
  holders:
    description:
      - Whether to show the users and groups that have a policy. That takes a request for each policy.
    type: bool
    default: false
  limit:
    description:
      - How many to show at most. V(0) shows all.
    type: int
    default: 1000
seealso:
  - module: lifeboat.recovery.minio_policy
  - module: lifeboat.recovery.minio_access_key_info
"""

EXAMPLES = r"""
---
- name: Look who may read everything
  lifeboat.recovery.minio_policy_info:
    endpoint_url: https://minio.example.com:9000
    access_key: auditor
    secret_key: "{{ vault_auditor_secret_key }}"
    name: readonly
    holders: true
  register: found

- name: Look at all policies
  lifeboat.recovery.minio_policy_info:
  register: every

- name: Name those that the server does not bring
  ansible.builtin.debug:
    msg: "{{ every.policies | rejectattr('is_built_in') | map(attribute='name') }}"
"""

RETURN = r"""
policies:
  description: One entry for each policy, ordered by name.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Name of the policy.
      type: str
      sample: shop
    document:
      description: What it allows and denies. The server orders actions and resources as it likes.
      type: dict
      sample:
        Version: "2012-10-17"
        Statement:
          - Effect: Allow
            Action: ["s3:GetObject"]
            Resource: ["arn:aws:s3:::shop/*"]
    is_built_in:
      description: Whether it is one of the server's own.
      type: bool
      sample: false
    users:
      description: The users that it is attached to.
      returned: when O(holders=true)
      type: list
      elements: str
      sample: [shop]
    groups:
      description: The groups that it is attached to.
      returned: when O(holders=true)
      type: list
      elements: str
      sample: []
total:
  description: How many there are. If it is larger than O(limit), the rest is not in RV(policies).
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
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.minio.identity_listing import every_policy


def read(params: bridge.Params) -> bridge.Result:
    """Describe the policies that were asked for."""
    shows_holders = params["holders"]
    return listed(params, "policies", lambda api, limit: every_policy(api, params["name"], limit, shows_holders))


def main() -> t.NoReturn:
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "aliases": ["policy"]},
            "holders": {"type": "bool", "default": False},
            **LIMIT,
            **S3_CONNECTION,
        },
        supports_check_mode=True,
        **S3_CONNECTION_RULES,
    )
    bridge.report(module, read)


if __name__ == "__main__":
    main()
