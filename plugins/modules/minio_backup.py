#!/usr/bin/python
# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: minio_backup
short_description: Back up users, policies, access keys and bucket settings of a MinIO server
version_added: 1.0.0
description:
  - Saves what a MinIO server knows beside objects. That is users, groups, policies, access keys and what is attached to
    what, with all secrets, and the settings of all buckets.
  - The backup is written to the first repository that works, read back and proved there, and then copied to the others.
  - The secrets of a server are in it. The task is refused before anything is asked of the server, unless every
    repository is encrypted. They pass through the memory of the host, and never lie on a disk in clear.
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
      - Counts what there is on the server.
  diff_mode:
    support: full
    details:
      - Shows numbers only.
  idempotent:
    support: none
    details:
      - Each run writes a backup.
options:
  job:
    description:
      - Name of the job, under which the backups are filed. At its first run it is bound to the server.
    type: str
    required: true
  proof:
    description:
      - How each copy of the backup is proved at once.
      - V(content) reads it back, and parses all that it holds.
      - V(none) leaves that to M(lifeboat.recovery.backup_verify).
    type: str
    choices: [content, none]
    default: content
  compression:
    description:
      - How the backup is compressed.
    type: str
    choices: [zstd, gzip, none]
    default: zstd
  allow_partial:
    description:
      - Whether a missing copy is only a warning.
    type: bool
    default: false
  rebind:
    description:
      - Whether the job may be bound to another server from now on. Set it once, after the server was rebuilt.
    type: bool
    default: false
  wait_s:
    description:
      - How many seconds to wait for maintenance of the further repositories.
    type: int
    default: 4200
seealso:
  - module: lifeboat.recovery.minio_restore
  - module: lifeboat.recovery.bucket_backup
  - module: lifeboat.recovery.backup_set
notes:
  - The options of the connection belong to the server. Its access key needs the rights V(admin:ServerInfo),
    V(admin:ExportIAM) and V(admin:ExportBucketMetadata).
  - The server sends its secrets in clear inside of the connection. Use HTTPS.
  - Objects are not part of it. See M(lifeboat.recovery.bucket_backup).
  - Replication rules and the access to their targets are in the backup, and MinIO imports neither.
"""

EXAMPLES = r"""
---
- name: Back up the identities and bucket settings of a server
  lifeboat.recovery.minio_backup:
    job: minio1-server
    endpoint_url: https://minio1.example.com:9000
    access_key: server-backup
    secret_key: "{{ vault_server_backup_secret_key }}"
    repositories:
      - name: offsite
        bucket: backups
        endpoint_url: https://offsite.example.com:9000
        access_key: backup-writer
        secret_key: "{{ vault_backup_writer_secret_key }}"
"""

RETURN = r"""
job:
  description: Name of the job.
  returned: success
  type: str
  sample: minio1-server
deployment:
  description: Id of the server, which it got when its drives were formatted.
  returned: success
  type: str
  sample: 371f891b-51d0-4892-b377-9710c192ddc6
counts:
  description: How many there are of each, policies of the server's makers included.
  returned: success
  type: dict
  sample: {policies: 8, users: 12, groups: 2, access_keys: 9, buckets: 5}
id:
  description: Id of the backup.
  returned: when a backup was written
  type: str
  sample: 20261120T020000Z-0a1b2c
copies:
  description: The backup in each repository, in check mode where it would be.
  returned: success and when a backup was written
  type: list
  elements: dict
  contains:
    repository:
      description: Name of the repository.
      type: str
      sample: offsite
    primary:
      description: Whether the backup was written here first, and copied from here.
      type: bool
      sample: true
    present:
      description: Whether the backup is there.
      type: bool
      sample: true
    proved:
      description: Whether it was read back and found good.
      type: bool
      sample: true
    problem:
      description: Why it is not as it should be. Empty if it is.
      type: str
      sample: ""
    seconds:
      description: Time for writing or copying, and proving.
      type: float
      sample: 0.321
complete:
  description: Whether the backup is in all repositories and, unless O(proof=none), proved there.
  returned: when a backup was written
  type: bool
  sample: true
stored_bytes:
  description: Size of what was written, as stored in each repository.
  returned: when a backup was written
  type: int
  sample: 18213
seconds:
  description: Time for everything.
  returned: when a backup was written
  type: float
  sample: 1.204
guard:
  description: The safety rule that forbade the backup, one of V(plaintext), V(source), V(repository), V(clock).
  returned: when a guard refused
  type: str
  sample: plaintext
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
        argument_spec={**S3_CONNECTION, **minio_jobs.MINIO_BACKUP},
        supports_check_mode=True,
        **S3_CONNECTION_RULES,
    )
    minio_jobs.run_backup(module)


if __name__ == "__main__":
    main()
