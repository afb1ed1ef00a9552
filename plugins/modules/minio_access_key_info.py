#!/usr/bin/python
# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: minio_access_key_info
short_description: Show access keys (service accounts) of users of MinIO
version_added: 1.0.0
description:
  - Returns whose access keys there are, what they may and when they end, in the form of the options of
    M(lifeboat.recovery.minio_access_key). Secrets are never returned. The server does not tell them.
  - Each access key takes a request.
author:
  - Lifeboat maintainers (@lifeboat)
extends_documentation_fragment:
  - lifeboat.recovery._attributes
  - lifeboat.recovery._attributes.info
  - lifeboat.recovery._attributes.actiongroup_s3
  - lifeboat.recovery._s3_connection
  - lifeboat.recovery._minio_identities
options:
  key_id:
    description:
      - The access key. One that is not there is no error, it is only not shown.
    type: str
  user:
    description:
      - Only access keys of this user are shown. By default those of all users are.
    type: str
  limit:
    description:
      - How many to show at most. V(0) shows all.
    type: int
    default: 1000
seealso:
  - module: lifeboat.recovery.minio_access_key
  - module: lifeboat.recovery.minio_user_info
"""

EXAMPLES = r"""
---
- name: Look at the access keys of one user
  lifeboat.recovery.minio_access_key_info:
    endpoint_url: https://minio.example.com:9000
    access_key: auditor
    secret_key: "{{ vault_auditor_secret_key }}"
    user: backup
  register: found

- name: Look at all access keys
  lifeboat.recovery.minio_access_key_info:
  register: every

- name: Name those that may do all that their user may
  ansible.builtin.debug:
    msg: "{{ every.access_keys | selectattr('policy', 'none') | map(attribute='key_id') }}"
"""

RETURN = r"""
access_keys:
  description: One entry for each access key, ordered by its name.
  returned: success
  type: list
  elements: dict
  contains:
    key_id:
      description: The access key.
      type: str
      sample: backup-db1
    user:
      description: The user that it belongs to.
      type: str
      sample: backup
    status:
      description: Whether requests can be signed with it, V(enabled) or V(disabled).
      type: str
      sample: enabled
    policy:
      description: The policy that narrows the rights of the user, V(null) when the access key has them all.
      type: dict
      sample: null
    label:
      description: The name for people.
      type: str
      sample: nightly import
    description:
      description: The text for people.
      type: str
      sample: ""
    expires:
      description: When the access key ends, V(null) when it does not.
      type: str
      sample: "2027-01-31T12:00:00Z"
total:
  description: How many there are. If it is larger than O(limit), the rest is not in RV(access_keys).
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
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.minio.identity_listing import every_key


def read(params: bridge.Params) -> bridge.Result:
    """Describe the access keys that were asked for."""
    key_id, user = params["key_id"], params["user"]
    return listed(params, "access_keys", lambda api, limit: every_key(api, key_id, user, limit))


def main() -> t.NoReturn:
    module = AnsibleModule(
        argument_spec={
            "key_id": {"type": "str", "no_log": False},
            "user": {"type": "str"},
            **LIMIT,
            **S3_CONNECTION,
        },
        supports_check_mode=True,
        **S3_CONNECTION_RULES,
    )
    bridge.report(module, read)


if __name__ == "__main__":
    main()
