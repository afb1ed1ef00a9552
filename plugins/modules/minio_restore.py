#!/usr/bin/python
# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: minio_restore
short_description: Restore users, policies, access keys and bucket settings of a MinIO server
version_added: 1.0.0
description:
  - Brings a backup of M(lifeboat.recovery.minio_backup), or a part of it, to the same or another MinIO server.
  - Compares the backup with the server first, and writes only what is missing or differs. Buckets that are not there
    are made, with object lock where they had it. Nothing is ever removed.
  - The server is compared with the backup afterwards.
author:
  - Lifeboat maintainers (@lifeboat)
extends_documentation_fragment:
  - lifeboat.recovery._attributes
  - lifeboat.recovery._attributes.actiongroup_s3
  - lifeboat.recovery._s3_connection
  - lifeboat.recovery._repository.several
attributes:
  check_mode:
    support: full
    details:
      - Returns the names of what would be written, also where the restore would be refused and the task fails.
  diff_mode:
    support: full
    details:
      - Shows at most 20 names, and never a secret.
  idempotent:
    support: full
options:
  job:
    description:
      - Name of the job whose backup is restored.
    type: str
    required: true
  backup:
    description:
      - Id of the backup, or V(latest), or V(latest_good). The last one is the newest that was proved.
    type: str
    default: latest_good
  part:
    description:
      - V(identities) restores users, groups, policies and access keys.
      - V(buckets) restores buckets and their settings, and no objects.
      - V(all) restores both, buckets first.
    type: str
    choices: [all, buckets, identities]
    default: all
  buckets:
    description:
      - Names of the buckets whose settings are restored. By default all.
    type: list
    elements: str
    default: []
  users:
    description:
      - Names of the users to restore, with their access keys and the policies that are attached to them.
      - Groups that they were in are not restored, and named in RV(ignore:warnings).
      - By default all identities.
    type: list
    elements: str
    default: []
  confirm:
    description:
      - URL of the server, as in O(endpoint_url), if identities or settings that it has may be changed.
    type: str
seealso:
  - module: lifeboat.recovery.minio_backup
  - module: lifeboat.recovery.bucket_restore
notes:
  - The options of the connection belong to the server that is restored to. Its access key needs the rights
    V(admin:ExportIAM), V(admin:ExportBucketMetadata), V(admin:ImportIAM) and V(admin:ImportBucketMetadata).
  - Restore the settings first and the objects then. A bucket gets its object lock only when it is made.
  - Access keys of the root user come back only where the root user has the same name.
  - MinIO imports neither replication rules nor the access to their targets. What the backup has of them is named in
    the warnings.
"""

EXAMPLES = r"""
---
- name: See what the server lacks
  lifeboat.recovery.minio_restore:
    job: minio1-server
    endpoint_url: &endpoint https://minio2.example.com:9000
    access_key: root
    secret_key: "{{ vault_minio2_root_password }}"
    repositories: &repositories
      - name: offsite
        bucket: backups
        endpoint_url: https://offsite.example.com:9000
        access_key: backup-reader
        secret_key: "{{ vault_backup_reader_secret_key }}"
  check_mode: true
  diff: true

- name: Bring everything to a new server
  lifeboat.recovery.minio_restore:
    job: minio1-server
    endpoint_url: *endpoint
    access_key: root
    secret_key: "{{ vault_minio2_root_password }}"
    repositories: *repositories

- name: Bring one user back as it was
  lifeboat.recovery.minio_restore:
    job: minio1-server
    part: identities
    users: [shop]
    endpoint_url: https://minio1.example.com:9000
    confirm: https://minio1.example.com:9000
    access_key: root
    secret_key: "{{ vault_minio1_root_password }}"
    repositories: *repositories
"""

RETURN = r"""
job:
  description: Name of the job.
  returned: when a backup was found
  type: str
  sample: minio1-server
id:
  description: Id of the backup.
  returned: when a backup was found
  type: str
  sample: 20261120T020000Z-0a1b2c
time:
  description: When the backup began, by the clock of its repository.
  returned: when a backup was found
  type: str
  sample: "2026-11-20T02:00:00.000000Z"
repository:
  description: Name of the repository whose copy was read.
  returned: when a backup was found
  type: str
  sample: offsite
target:
  description: URL of the server.
  returned: when a backup was found
  type: str
  sample: https://minio2.example.com:9000
counts:
  description: How many identities and buckets would be added or changed.
  returned: when a backup was found
  type: dict
  sample: {add: 27, change: 0}
changes:
  description: These identities and buckets by their names.
  returned: when a backup was found
  type: list
  elements: dict
  sample: [{kind: users, name: shop, action: add}]
written:
  description: How many were written.
  returned: when something was restored
  type: int
  sample: 27
problems:
  description: What the server did not take. If there is anything the task fails with V(5) as RV(ignore:exit_code).
  returned: when something was restored
  type: list
  elements: str
  sample: []
seconds:
  description: Time for everything.
  returned: when something was restored
  type: float
  sample: 0.871
guard:
  description: The safety rule that forbade the restore, such as V(confirm).
  returned: when a guard refused
  type: str
  sample: confirm
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge import minio_jobs
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge.s3_options import (
    S3_CONNECTION,
    S3_CONNECTION_RULES,
)


def main() -> t.NoReturn:
    module = AnsibleModule(
        argument_spec={**S3_CONNECTION, **minio_jobs.MINIO_RESTORE},
        supports_check_mode=True,
        **S3_CONNECTION_RULES,
    )
    minio_jobs.run_restore(module)


if __name__ == "__main__":
    main()
