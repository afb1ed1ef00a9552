#!/usr/bin/python
# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: minio_access_key
short_description: Manage access keys (service accounts) of users of MinIO
version_added: 1.0.0
description:
  - Creates, changes and removes access keys that have the rights of a user, or a part of them.
  - The secret is proved by a request that is signed with it, and set only if the server does not take it.
    So the task reports a change only when there is one.
  - A secret that is generated never appears in results, unless O(return_secret=true). It is written to a file that only
    its owner can read.
  - What was written is read back, and a secret that was written is proved.
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
  key_id:
    description:
      - The access key, 3 to 20 characters.
      - If the option is not set, it is the one in O(credentials_file), where it is generated first if need be.
    type: str
  key_secret:
    description:
      - Secret key that belongs to O(key_id), 8 to 40 characters.
      - A server does not look at the secret of a disabled access key, so it cannot be proved. It is then left as it is
        while the key stays disabled, and set when the task enables the key.
    type: str
  credentials_file:
    description:
      - Path of a file, on the host that runs the task, for the access key and its generated secret.
      - It has the mode 0600, and the form in which AWS tools read credentials (E(AWS_SHARED_CREDENTIALS_FILE)).
      - If there is no such file, it is written before the access key is created, so that no secret can get lost.
        Its folder must be there.
      - If there is one, the access key shall have the secret that stands there.
      - With O(state=absent) the file is removed too.
    type: path
  return_secret:
    description:
      - Whether a generated secret is returned by the task that generated it, and by no other.
      - Set C(no_log=true) on the task, else the secret is in the output and in the log.
    type: bool
    default: false
  user:
    description:
      - The user that the access key belongs to. By default it is the user of O(access_key).
      - The task fails if the access key belongs to somebody else.
      - MinIO gives no access keys to disabled users.
    type: str
  policy:
    description:
      - A policy document, as a dictionary or as JSON text, that narrows the rights of the user. It never adds any.
      - V(inherit) gives the access key all rights of its user, which a new one has by default.
      - If neither this option nor O(grant) is set, the policy is left as it is.
    type: json
  label:
    description:
      - A name for people, at most 32 characters.
    type: str
  description:
    description:
      - A text for people, at most 256 characters.
    type: str
  expires:
    description:
      - When the access key ends, in UTC, such as V(2027-01-31T12:00:00Z). V(never) removes the end.
      - MinIO takes only times between 15 minutes and 365 days from now.
    type: str
  status:
    description:
      - Whether requests can be signed with the access key. They can with a new one by default.
    type: str
    choices: [enabled, disabled]
  state:
    description:
      - Whether the access key shall be there.
      - The task refuses to remove or disable the access key that it signs its requests with.
    type: str
    choices: [present, absent]
    default: present
seealso:
  - module: lifeboat.recovery.minio_access_key_info
  - module: lifeboat.recovery.minio_user
  - module: lifeboat.recovery.minio_policy
"""

EXAMPLES = r"""
---
- name: Give the backup job of one host a key that can delete nothing
  lifeboat.recovery.minio_access_key:
    endpoint_url: https://minio.example.com:9000
    access_key: provisioning
    secret_key: "{{ vault_minio_secret_key }}"
    user: backup
    key_id: backup-db1
    key_secret: "{{ vault_backup_db1_secret_key }}"
    grant:
      role: writer
      bucket: backups
      prefix: db1

- name: Generate a key into a file
  lifeboat.recovery.minio_access_key:
    user: shop
    label: nightly import
    credentials_file: /etc/shop/import-credentials
    expires: "2027-01-31T12:00:00Z"

- name: Let a key do all that its user may
  lifeboat.recovery.minio_access_key:
    key_id: shop-import
    policy: inherit

- name: Remove the generated key and its file
  lifeboat.recovery.minio_access_key:
    credentials_file: /etc/shop/import-credentials
    state: absent
"""

RETURN = r"""
key_id:
  description: The access key. In check mode one that would be generated is another one than the real one.
  returned: success
  type: str
  sample: backup-db1
key_secret:
  description: The generated secret key.
  returned: when O(return_secret=true), and it was generated by this task
  type: str
  sample: only shown where it was asked for
user:
  description: The user that the access key belongs to.
  returned: success, when O(state=present)
  type: str
  sample: backup
status:
  description: Whether requests can be signed with it, V(enabled) or V(disabled).
  returned: success, when O(state=present)
  type: str
  sample: enabled
policy:
  description: The policy that narrows the rights of the user, V(null) when the access key has them all.
  returned: success, when O(state=present)
  type: dict
  sample: null
label:
  description: The name for people.
  returned: success, when O(state=present)
  type: str
  sample: nightly import
description:
  description: The text for people.
  returned: success, when O(state=present)
  type: str
  sample: ""
expires:
  description: When the access key ends, V(null) when it does not.
  returned: success, when O(state=present)
  type: str
  sample: "2027-01-31T12:00:00Z"
"""

import contextlib
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge import run as bridge
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge.identity_options import (
    GRANT,
    STATE,
    STATUS,
    api_from,
    wanted_key,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge.s3_options import (
    S3_CONNECTION,
    S3_CONNECTION_RULES,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.minio.access_keys import (
    KeyPlan,
    plan_absent,
    plan_present,
)


def plan(params: bridge.Params) -> KeyPlan:
    """Compare the access key with the options."""
    wanted = wanted_key(params)
    with contextlib.closing(api_from(params)) as api:
        return plan_absent(api, wanted) if params["state"] == "absent" else plan_present(api, wanted)


def main() -> t.NoReturn:
    module = AnsibleModule(
        argument_spec={
            "key_id": {"type": "str", "no_log": False},
            "key_secret": {"type": "str", "no_log": True},
            "credentials_file": {"type": "path"},
            "return_secret": {"type": "bool", "default": False, "no_log": False},
            "user": {"type": "str"},
            "policy": {"type": "json"},
            "label": {"type": "str"},
            "description": {"type": "str"},
            "expires": {"type": "str"},
            **GRANT,
            **STATUS,
            **STATE,
            **S3_CONNECTION,
        },
        supports_check_mode=True,
        mutually_exclusive=[["policy", "grant"], ["key_secret", "credentials_file"]],
        required_one_of=[["key_id", "credentials_file"]],
        required_by={"key_secret": ["key_id"]},
        **S3_CONNECTION_RULES,
    )
    bridge.run(module, plan, lambda planned: planned.apply(api_from(module.params)))


if __name__ == "__main__":
    main()
