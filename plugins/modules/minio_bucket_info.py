#!/usr/bin/python
# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: minio_bucket_info
short_description: Show buckets and their settings on MinIO or any S3 server
version_added: 1.0.0
description:
  - Returns the settings of one bucket or of all, in the form of the options of M(lifeboat.recovery.minio_bucket).
author:
  - Lifeboat maintainers (@lifeboat)
extends_documentation_fragment:
  - lifeboat.recovery._attributes
  - lifeboat.recovery._attributes.info
  - lifeboat.recovery._attributes.actiongroup_s3
  - lifeboat.recovery._s3_connection
options:
  name:
    description:
      - Name of the bucket.
      - By default all buckets that the access key may see are shown.
      - A bucket that is not there is no error, it is only not shown.
    type: str
    aliases: [bucket]
  settings:
    description:
      - Which settings are read. By default all are.
      - Each setting needs its own right, and one request for each bucket. The empty list only names the buckets.
    type: list
    elements: str
    choices: [object_lock, versioning, default_retention, lifecycle, policy, tags, quota]
seealso:
  - module: lifeboat.recovery.minio_bucket
"""

EXAMPLES = r"""
---
- name: Look at all buckets
  lifeboat.recovery.minio_bucket_info:
    endpoint_url: https://minio.example.com:9000
    access_key: auditor
    secret_key: "{{ vault_auditor_secret_key }}"
  register: found

- name: Name the buckets that do not keep old versions
  ansible.builtin.debug:
    msg: "{{ found.buckets | rejectattr('versioning', 'equalto', 'enabled') | map(attribute='name') }}"

- name: Give one bucket the lifecycle of another
  vars:
    model: "{{ found.buckets | selectattr('name', 'equalto', 'documents') | first }}"
  lifeboat.recovery.minio_bucket:
    name: scans
    lifecycle: "{{ model.lifecycle }}"

- name: See whether a bucket is there
  lifeboat.recovery.minio_bucket_info:
    name: documents
    settings: []
  register: documents
"""

RETURN = r"""
buckets:
  description:
    - One entry for each bucket, ordered by name.
    - A setting is V(null) when the server does not have it, and missing when it was not asked for.
  returned: success
  type: list
  elements: dict
  sample:
    - name: documents
      object_lock: false
      versioning: enabled
      default_retention:
        mode: none
      lifecycle:
        - id: keep-deleted-90-days
          enabled: true
          noncurrent_days: 90
      policy: null
      tags:
        owner: archive
      quota: 500000000000
  contains:
    name:
      description: Name of the bucket.
      type: str
      sample: documents
    object_lock:
      description: Whether versions of objects can be locked.
      returned: when O(settings) names it, or is not set
      type: bool
      sample: false
    versioning:
      description: One of V(enabled), V(suspended) and V(unset).
      returned: when O(settings) names it, or is not set
      type: str
      sample: enabled
    default_retention:
      description: How long each new version is locked. The mode is V(none) when it is not.
      returned: when O(settings) names it, or is not set
      type: dict
      sample:
        mode: compliance
        days: 30
    lifecycle:
      description: The rules by which the server deletes or moves objects.
      returned: when O(settings) names it, or is not set
      type: list
      elements: dict
      sample:
        - id: keep-deleted-90-days
          enabled: true
          noncurrent_days: 90
    policy:
      description: The policy document, V(null) when there is none.
      returned: when O(settings) names it, or is not set
      type: dict
      sample:
        Version: "2012-10-17"
        Statement: []
    tags:
      description: The tags of the bucket.
      returned: when O(settings) names it, or is not set
      type: dict
      sample:
        owner: archive
    quota:
      description: How many bytes the bucket may hold, V(0) without a quota. Only of MinIO.
      returned: when O(settings) names it, or is not set
      type: int
      sample: 500000000000
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge import run as bridge
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge.s3_client import client_from
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge.s3_options import (
    S3_CONNECTION,
    S3_CONNECTION_RULES,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.minio.bucket import described
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.minio.bucket_api import BucketApi

SETTINGS = ["object_lock", "versioning", "default_retention", "lifecycle", "policy", "tags", "quota"]


def read(params: bridge.Params) -> dict[str, t.Any]:
    """Describe the buckets that were asked for."""
    wanted = SETTINGS if params["settings"] is None else params["settings"]
    return {"buckets": described(BucketApi(client_from(params)), params["name"], wanted)}


def main() -> t.NoReturn:
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "aliases": ["bucket"]},
            "settings": {"type": "list", "elements": "str", "choices": SETTINGS},
            **S3_CONNECTION,
        },
        supports_check_mode=True,
        **S3_CONNECTION_RULES,
    )
    bridge.report(module, read)


if __name__ == "__main__":
    main()
