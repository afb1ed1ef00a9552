#!/usr/bin/python
# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: minio_bucket
short_description: Manage a bucket and its settings on MinIO or any S3 server
version_added: 1.0.0
description:
  - Creates and deletes buckets, and manages versioning, object lock, lifecycle, policy, tags and quota.
  - A setting whose option is not set is left as it is, and is not even read.
  - Settings are compared by what they mean, so it does not matter what a server adds to them or how it orders them.
  - After each write the setting is read back; the task fails if the server dropped a part of it.
  - Needs no library beyond the ones of Python itself.
author:
  - Lifeboat maintainers (@lifeboat)
extends_documentation_fragment:
  - lifeboat.recovery._attributes
  - lifeboat.recovery._attributes.actiongroup_s3
  - lifeboat.recovery._s3_connection
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
      - Name of the bucket.
    type: str
    required: true
    aliases: [bucket]
  state:
    description:
      - Whether the bucket shall be there.
    type: str
    choices: [present, absent]
    default: present
  force:
    description:
      - Whether a bucket that is not empty may be deleted with O(state=absent).
      - All versions of all objects and all incomplete uploads are deleted.
      - Locked objects are never deleted. If there is one, the task fails before it deletes anything.
    type: bool
    default: false
  object_lock:
    description:
      - Whether versions of objects can be locked against deletion.
      - This can only be chosen when the bucket is created. The task fails if an existing bucket differs.
      - Object lock brings versioning, which can then not be suspended.
    type: bool
  default_retention:
    description:
      - How long each new version is locked. Only for buckets with O(object_lock=true).
    type: dict
    suboptions:
      mode:
        description:
          - V(governance) can be lifted by users with a special right, V(compliance) by nobody.
          - MinIO lets every writer replace a version that is locked with V(governance) in place.
            Against an attacker with the writer's key, only V(compliance) protects there.
          - V(none) locks new versions no longer. Those that are locked stay so.
        type: str
        required: true
        choices: [governance, compliance, none]
      days:
        description: Number of days. Cannot be used with O(default_retention.years).
        type: int
      years:
        description: Number of years. Cannot be used with O(default_retention.days).
        type: int
  versioning:
    description:
      - Whether overwritten and deleted objects are kept as noncurrent versions.
      - Once V(enabled), versioning can only be V(suspended), which keeps the versions that are there.
    type: str
    choices: [enabled, suspended]
  lifecycle:
    description:
      - Rules by which the server deletes or moves objects. They replace all rules of the bucket.
      - The empty list removes all rules.
    type: list
    elements: dict
    suboptions:
      id:
        description: Name of the rule. The server chooses one if this is not set.
        type: str
      enabled:
        description: Whether the rule is in force.
        type: bool
        default: true
      prefix:
        description: Only objects whose key begins with this.
        type: str
        default: ""
      tags:
        description: Only objects that have all these tags.
        type: dict
        default: {}
      min_size:
        description: Only objects that are larger, such as V(1MiB). Units as in O(quota).
        type: str
      max_size:
        description: Only objects that are smaller, such as V(5GiB). Units as in O(quota).
        type: str
      expiration_days:
        description: Objects expire this many days after they were written.
        type: int
      expiration_date:
        description: Objects expire at this date (midnight UTC), such as V(2030-12-31).
        type: str
      expired_object_delete_marker:
        description: Whether delete markers go away when no version is left behind them.
        type: bool
        default: false
      noncurrent_days:
        description: Versions are deleted this many days after they became noncurrent.
        type: int
      newer_noncurrent_versions:
        description: This many of the newest noncurrent versions are kept in any case.
        type: int
      abort_multipart_days:
        description:
          - Incomplete uploads are removed this many days after they began.
          - MinIO does not have this, and removes them after 24 hours by itself. The task fails if it is set there.
        type: int
      transition_days:
        description: Objects move to O(lifecycle[].transition_class) this many days after they were written.
        type: int
      transition_class:
        description: Storage class, or the name of a tier of MinIO.
        type: str
        default: ""
      noncurrent_transition_days:
        description:
          - Versions move to O(lifecycle[].noncurrent_transition_class) this many days after they became noncurrent.
        type: int
      noncurrent_transition_class:
        description: Storage class, or the name of a tier of MinIO.
        type: str
        default: ""
  policy:
    description:
      - A policy document, as a dictionary or as JSON text, or the name of a usual one.
      - V(private) removes the policy, V(public-download) lets everybody read objects whose key they know,
        V(public-read) also lets everybody list them.
      - MinIO judges only requests without a key by this policy. It does not restrict its users.
    type: json
  tags:
    description:
      - Tags of the bucket. They replace all tags; the empty dictionary removes all.
    type: dict
  quota:
    description:
      - How many bytes the bucket may hold, such as V(500GB) (powers of 1000), V(100GiB) (powers of 1024) or V(1048576).
      - V(0) removes the quota.
      - Only for MinIO, where O(access_key) needs the right to administer quotas.
        MinIO measures the size of a bucket now and then, so it can grow beyond its quota for some minutes.
    type: str
seealso:
  - module: lifeboat.recovery.minio_bucket_info
notes:
  - On MinIO an object C(p/c) is in no listing while there is an object C(p). Do not write both.
"""

EXAMPLES = r"""
---
- name: Make a private bucket that keeps what was deleted for 90 days
  lifeboat.recovery.minio_bucket:
    endpoint_url: https://minio.example.com:9000
    access_key: provisioning
    secret_key: "{{ vault_minio_secret_key }}"
    name: documents
    versioning: enabled
    policy: private
    lifecycle:
      - id: keep-deleted-90-days
        noncurrent_days: 90
      - id: tidy-delete-markers
        expired_object_delete_marker: true

- name: Make a bucket whose objects nobody can delete for 30 days
  lifeboat.recovery.minio_bucket:
    name: backups
    object_lock: true
    default_retention:
      mode: compliance
      days: 30

- name: Limit a bucket to 500 GB and tag it
  lifeboat.recovery.minio_bucket:
    name: scans
    quota: 500GB
    tags:
      owner: archive
      cost-center: "4711"

- name: Let everybody download below one prefix
  lifeboat.recovery.minio_bucket:
    name: website
    policy:
      Version: "2012-10-17"
      Statement:
        - Effect: Allow
          Principal: "*"
          Action: s3:GetObject
          Resource: arn:aws:s3:::website/public/*

- name: Remove the lifecycle, the tags and the quota
  lifeboat.recovery.minio_bucket:
    name: scans
    lifecycle: []
    tags: {}
    quota: "0"

- name: Delete a bucket with everything in it
  lifeboat.recovery.minio_bucket:
    name: scratch
    state: absent
    force: true
"""

RETURN = r"""
bucket:
  description: Name of the bucket.
  returned: success
  type: str
  sample: documents
settings:
  description:
    - The settings whose options were set, as they are after the task (in check mode, as they would be).
    - They have the form of the options.
  returned: success, when O(state=present)
  type: dict
  sample:
    versioning: enabled
    lifecycle:
      - id: keep-deleted-90-days
        enabled: true
        noncurrent_days: 90
    tags: {}
created:
  description: Whether the bucket was created.
  returned: success, when O(state=present)
  type: bool
  sample: true
deleted_versions:
  description: How many versions of objects were deleted with the bucket.
  returned: success, when O(state=absent) and the bucket was deleted
  type: int
  sample: 1204
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge import run as bridge
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge.bucket_options import (
    BUCKET_SETTINGS,
    wanted_from,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge.s3_client import client_from
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge.s3_options import (
    S3_CONNECTION,
    S3_CONNECTION_RULES,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.minio.bucket import (
    BucketPlan,
    plan_absent,
    plan_present,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.minio.bucket_api import BucketApi


def plan(params: bridge.Params) -> BucketPlan:
    """Compare the bucket with the options."""
    api = BucketApi(client_from(params))
    if params["state"] == "absent":
        return plan_absent(api, params["name"], params["force"])
    return plan_present(api, wanted_from(params))


def main() -> t.NoReturn:
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True, "aliases": ["bucket"]},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "force": {"type": "bool", "default": False},
            **BUCKET_SETTINGS,
            **S3_CONNECTION,
        },
        supports_check_mode=True,
        **S3_CONNECTION_RULES,
    )
    bridge.run(module, plan, lambda planned: planned.apply(BucketApi(client_from(module.params))))


if __name__ == "__main__":
    main()
