#!/usr/bin/python
# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: bucket_backup
short_description: Back up buckets of an S3 server to one or more repositories
version_added: 1.0.0
description:
  - Saves the complete state of buckets, and reads only what has changed since the last backup.
  - Objects come with their headers, user metadata, tags, retention and legal hold. The settings of the buckets are
    saved as the server's own documents.
  - The backup is written to the first repository that works, read back and proved there, and then copied to the others,
    where it is proved again.
  - A backup exists from the moment its manifest is written, which is the last thing that is written. A task that fails
    or is killed before leaves nothing that looks like a backup, and the next run cleans up.
author:
  - Lifeboat maintainers (@lifeboat)
extends_documentation_fragment:
  - lifeboat.recovery._attributes
  - lifeboat.recovery._attributes.actiongroup_s3
  - lifeboat.recovery._s3_connection
  - lifeboat.recovery._repository.several
  - lifeboat.recovery._objects_backup
attributes:
  check_mode:
    support: full
    details:
      - Lists the buckets, compares them with the last backup, and says how much would be read.
  diff_mode:
    support: full
  idempotent:
    support: none
    details:
      - Each run writes a backup.
options:
  buckets:
    description:
      - Names of the buckets. C(*), C(?) and C([a-z]) make a pattern, and V(*) stands for all buckets.
      - A bucket that is named and is not there is refused.
    type: list
    elements: str
    default: ["*"]
  exclude_buckets:
    description:
      - Names and patterns of buckets to leave out.
    type: list
    elements: str
    default: []
  prefix:
    description:
      - Only objects whose keys begin with this.
    type: str
    default: ""
  mode:
    description:
      - V(incremental) reads what is new or changed by the listing.
      - V(full) reads every object, and builds on no packs of earlier backups.
      - V(metadata_only) saves the settings of the buckets and no objects.
    type: str
    choices: [incremental, full, metadata_only]
    default: incremental
seealso:
  - module: lifeboat.recovery.bucket_restore
  - module: lifeboat.recovery.backup_info
  - module: lifeboat.recovery.backup_verify
notes:
  - The options of the connection belong to the server of the buckets. Each of the O(repositories) has its own.
  - What tells a change is the listing of the server, that is ETag, size and time. Tags, retention and holds are noticed
    on MinIO, whose listing shows them. Elsewhere a change of these alone is noticed by O(reread) or O(mode=full).
  - The access key needs to list and read the buckets, their objects, tags, retention and settings. What it may not read
    is named in the remarks of the backup, and makes it incomplete, settings of a bucket as well (see
    O(allow_partial)); only the quota of a bucket (V(admin:GetBucketQuota)) may be missing without that.
  - An object for which the server fails after all attempts (HTTP 500 or 503, or an answer that breaks off) is kept as
    the last backup has it, and named in the remarks, which makes the backup incomplete. When 20 objects in a row fail
    so, the server counts as broken, and the task fails without a backup.
  - Two runs of a job on one host exclude each other; the second one fails with RV(ignore:exit_code) V(4).
"""

EXAMPLES = r"""
---
- name: Back two buckets up to a local disk and off-site
  lifeboat.recovery.bucket_backup:
    job: minio1-shop
    endpoint_url: https://minio.example.com:9000
    access_key: backup-reader
    secret_key: "{{ vault_backup_reader_secret_key }}"
    buckets: [shop, shop-media]
    repositories: &repositories
      - name: local
        path: /srv/backups
      - name: site
        bucket: backups
        endpoint_url: https://offsite.example.com:9000
        access_key: backup-writer
        secret_key: "{{ vault_backup_writer_secret_key }}"
  register: backup

- name: Say what it cost
  ansible.builtin.debug:
    msg: "{{ backup.id }}: {{ backup.read_objects }} of {{ backup.objects }} objects read in {{ backup.seconds }} s"

- name: Back all buckets but scratch ones up, and read a seventh of everything again each day
  lifeboat.recovery.bucket_backup:
    job: minio1-all
    endpoint_url: https://minio.example.com:9000
    exclude_buckets: ["scratch-*"]
    reread: 1/7
    repositories: *repositories

- name: Save the settings of the buckets before changing them
  lifeboat.recovery.bucket_backup:
    job: minio1-shop
    endpoint_url: https://minio.example.com:9000
    buckets: [shop, shop-media]
    mode: metadata_only
    repositories: *repositories

- name: Accept that half of the objects were deleted on purpose
  lifeboat.recovery.bucket_backup:
    job: minio1-shop
    acknowledge: latest
    repositories: *repositories
"""

RETURN = r"""
job:
  description: Name of the job.
  returned: success
  type: str
  sample: minio1-shop
mode:
  description: What O(mode) was.
  returned: success, unless O(acknowledge) is set
  type: str
  sample: incremental
collections:
  description: Names of the buckets, the first 20.
  returned: success, unless O(acknowledge) is set
  type: list
  elements: str
  sample: [shop]
collection_count:
  description: How many there are.
  returned: success, unless O(acknowledge) is set
  type: int
  sample: 1
id:
  description: Id of the backup.
  returned: when a backup was written
  type: str
  sample: 20261120T020000Z-0a1b2c
base:
  description: Id of the backup that this one builds on. Empty if it builds on none.
  returned: when a backup was written, in check mode, and in diff mode
  type: str
  sample: 20261119T020000Z-3d4e5f
objects:
  description: How many objects the backup has. This and the following counts are by the listing in check mode.
  returned: when a backup was written, in check mode, and in diff mode
  type: int
  sample: 120000
bytes:
  description: Size of all of them.
  returned: when a backup was written, in check mode, and in diff mode
  type: int
  sample: 53687091200
added:
  description: How many are new since RV(base).
  returned: when a backup was written, in check mode, and in diff mode
  type: int
  sample: 210
rewritten:
  description: How many have other content.
  returned: when a backup was written, in check mode, and in diff mode
  type: int
  sample: 17
described:
  description: How many have other properties only.
  returned: when a backup was written, in check mode, and in diff mode
  type: int
  sample: 3
gone:
  description: How many are not there any more.
  returned: when a backup was written, in check mode, and in diff mode
  type: int
  sample: 5
read_objects:
  description: How many were read.
  returned: when a backup was written, in check mode, and in diff mode
  type: int
  sample: 227
read_bytes:
  description: Size of what was read.
  returned: when a backup was written, in check mode, and in diff mode
  type: int
  sample: 94371840
copies:
  description:
    - The backup in each repository, in check mode where it would be.
    - A repository that could not be used is named, too.
  returned: success and when a backup was written, unless O(acknowledge) is set
  type: list
  elements: dict
  contains:
    repository:
      description: Name of the repository.
      type: str
      sample: local
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
      sample: 4.021
complete:
  description: Whether the backup is in all repositories and, unless O(proof=none), proved there.
  returned: when a backup was written
  type: bool
  sample: true
plain_bytes:
  description: Size of what was written now, before compression.
  returned: when a backup was written
  type: int
  sample: 95420416
stored_bytes:
  description: Size of what was written now, as stored in each repository.
  returned: when a backup was written
  type: int
  sample: 31457280
seconds:
  description: Time for everything.
  returned: when a backup was written
  type: float
  sample: 6.442
write_seconds:
  description: Time until the backup was written to its first repository.
  returned: when a backup was written
  type: float
  sample: 2.384
remarks:
  description: How many objects were skipped or could not be read as they are now, by what became of them.
  returned: when a backup was written
  type: dict
  sample:
    unreadable: 1
remarks_sample:
  description: The first 20 of these. All of them are in a stored file of the backup.
  returned: when a backup was written
  type: list
  elements: str
  sample: ["unreadable: shop/a.txt: AccessDenied"]
flags:
  description: Why a guard doubts the backup. With O(acknowledge) the flags that are acknowledged now.
  returned: when a backup was written, and with O(acknowledge)
  type: list
  elements: str
  sample: ["mass_delete: 1,200 of 4,000 objects are gone"]
acknowledged:
  description: Id of the newest backup that counts as looked at.
  returned: success with O(acknowledge)
  type: str
  sample: 20261120T020000Z-0a1b2c
guard:
  description:
    - The safety rule that forbade the backup, one of V(source), V(repository), V(clock).
    - Or the one that doubts the backup that was written, one of V(mass_delete), V(mass_rewrite), V(entropy_jump), or
      V(unacknowledged) if it only follows a flagged one.
  returned: when a guard refused or doubts
  type: str
  sample: mass_delete
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge import object_jobs
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge.s3_options import (
    S3_CONNECTION,
    S3_CONNECTION_RULES,
)


def main() -> t.NoReturn:
    module = AnsibleModule(
        argument_spec={
            "buckets": {"type": "list", "elements": "str", "default": ["*"]},
            "exclude_buckets": {"type": "list", "elements": "str", "default": []},
            "prefix": {"type": "str", "default": ""},
            "mode": {"type": "str", "choices": ["incremental", "full", "metadata_only"], "default": "incremental"},
            **S3_CONNECTION,
            **object_jobs.OBJECTS_BACKUP,
        },
        supports_check_mode=True,
        **S3_CONNECTION_RULES,
    )
    object_jobs.run(module, object_jobs.bucket_job_from)


if __name__ == "__main__":
    main()
