#!/usr/bin/python
# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: minio_policy
short_description: Manage policies of users, groups and access keys of MinIO
version_added: 1.0.0
description:
  - Creates, changes and removes the policies that can be attached to users and groups.
  - Policies are compared by what they allow and deny, so it does not matter how the server orders them.
  - After a write the policy is read back. The task fails if the server keeps something else.
  - The policy of a bucket, which counts only for requests without a key, is an option of
    M(lifeboat.recovery.minio_bucket).
author:
  - Lifeboat maintainers (@lifeboat)
extends_documentation_fragment:
  - lifeboat.recovery._attributes
  - lifeboat.recovery._attributes.actiongroup_s3
  - lifeboat.recovery._s3_connection
  - lifeboat.recovery._minio_identities
  - lifeboat.recovery._minio_identities.grant
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
      - Name of the policy.
    type: str
    required: true
    aliases: [policy]
  document:
    description:
      - The policy document, as a dictionary or as JSON text.
      - MinIO has neither C(NotAction) nor C(Principal) in these policies.
    type: json
  state:
    description:
      - Whether the policy shall be there.
      - The policies that the server brings (V(readonly), V(readwrite), V(writeonly), V(diagnostics), V(consoleAdmin))
        are neither changed nor removed.
      - A policy that is attached to somebody is not removed either. The task fails and names them.
    type: str
    choices: [present, absent]
    default: present
seealso:
  - module: lifeboat.recovery.minio_policy_info
  - module: lifeboat.recovery.minio_user
  - module: lifeboat.recovery.minio_group
  - module: lifeboat.recovery.minio_access_key
"""

EXAMPLES = r"""
---
- name: Let the backup job of one host write to its repository, and delete nothing there
  lifeboat.recovery.minio_policy:
    endpoint_url: https://minio.example.com:9000
    access_key: provisioning
    secret_key: "{{ vault_minio_secret_key }}"
    name: backup-db1-writer
    grant:
      role: writer
      bucket: backups
      prefix: db1

- name: Let an application use its own bucket
  lifeboat.recovery.minio_policy:
    name: shop
    grant:
      role: application
      bucket: shop-media

- name: Let somebody download reports of one folder
  lifeboat.recovery.minio_policy:
    name: reports
    document:
      Version: "2012-10-17"
      Statement:
        - Effect: Allow
          Action: s3:GetObject
          Resource: arn:aws:s3:::documents/reports/*

- name: Remove a policy that nobody has any more
  lifeboat.recovery.minio_policy:
    name: reports
    state: absent
"""

RETURN = r"""
policy:
  description: Name of the policy.
  returned: success
  type: str
  sample: reports
document:
  description: The policy as it was asked for, with all of its statements.
  returned: success, when O(state=present)
  type: dict
  sample:
    Version: "2012-10-17"
    Statement:
      - Effect: Allow
        Action: s3:GetObject
        Resource: arn:aws:s3:::documents/reports/*
"""

import contextlib
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge import run as bridge
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge.identity_options import (
    GRANT,
    STATE,
    api_from,
    document_from,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge.s3_options import (
    S3_CONNECTION,
    S3_CONNECTION_RULES,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.minio.canned_policies import (
    PolicyPlan,
    plan_absent,
    plan_present,
)


def plan(params: bridge.Params) -> PolicyPlan:
    """Compare the policy with the options."""
    name = params["name"]
    with contextlib.closing(api_from(params)) as api:
        if params["state"] == "absent":
            return plan_absent(api, name)
        wanted = document_from(params["document"], params["grant"], f"Cannot write policy {name}")
        return plan_present(api, name, wanted)


def main() -> t.NoReturn:
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True, "aliases": ["policy"]},
            "document": {"type": "json"},
            **GRANT,
            **STATE,
            **S3_CONNECTION,
        },
        supports_check_mode=True,
        mutually_exclusive=[["document", "grant"]],
        required_if=[["state", "present", ["document", "grant"], True]],
        **S3_CONNECTION_RULES,
    )
    bridge.run(module, plan, lambda planned: planned.apply(api_from(module.params)))


if __name__ == "__main__":
    main()
