#!/usr/bin/python
# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: bucket_restore
short_description: Restore buckets, or any part of them, from their repositories
version_added: 1.0.0
description:
  - Restores what M(lifeboat.recovery.bucket_backup) has backed up, to the same or other buckets of any S3 server, or
    into a folder.
  - Compares the backup with what is there first, and brings only what is missing or differs. So a restore that was
    ended goes on where it was.
  - Each object is checked against its SHA-256 in the backup before it is written. What is damaged in one repository is
    read from the next one.
  - The target is compared with the backup afterwards.
author:
  - Lifeboat maintainers (@lifeboat)
extends_documentation_fragment:
  - lifeboat.recovery._attributes
  - lifeboat.recovery._attributes.actiongroup_s3
  - lifeboat.recovery._objects_restore
  - lifeboat.recovery._s3_connection
  - lifeboat.recovery._repository.several
attributes:
  check_mode:
    support: full
    details:
      - Compares the backup with the target, and returns the plan in numbers, with a sample. O(plan_file) gets all of
        it.
      - It fails where the restore would be refused, and returns the plan even then.
  diff_mode:
    support: full
    details:
      - Shows a sample of at most 20 objects.
  idempotent:
    support: full
options:
  buckets:
    description:
      - Names of the buckets to restore, as they were when they were backed up. By default all of the backup.
    type: list
    elements: str
    default: []
  map:
    description:
      - For buckets that shall be restored under another name, that name. With O(path) the path of a folder.
      - Buckets that are not in it keep their name.
    type: dict
    default: {}
  path:
    description:
      - Folder on the host that the task runs on. Each bucket becomes a folder below it.
      - Names that no file can have are replaced, and listed among the remarks. Headers, metadata and tags are kept in
        the extended attribute C(user.lifeboat.properties).
      - By default the buckets of the server at O(endpoint_url) are restored to.
    type: path
  what:
    description:
      - V(data) restores objects with their headers, metadata, tags and locks.
      - V(metadata) restores the settings of the buckets, such as policy, lifecycle and versioning.
      - V(all) restores both.
    type: str
    choices: [all, data, metadata]
    default: data
  overwrite_settings:
    description:
      - Whether settings that a bucket has are overwritten, or removed where the backup has none.
      - If V(false), only those are written that it lacks. So what an inventory has set stays.
    type: bool
    default: true
seealso:
  - module: lifeboat.recovery.bucket_backup
  - module: lifeboat.recovery.files_restore
  - module: lifeboat.recovery.object_history
notes:
  - Name the nearest repository first in O(repositories). Of one backup, proved copies are tried before others.
  - Credentials of the target need to list, get and put, and with O(exact) to delete. Those of the repositories need to
    list and get.
  - A restore never writes into a repository.
"""

EXAMPLES = r"""
---
- name: See what a restore would do
  lifeboat.recovery.bucket_restore:
    job: s3-documents
    endpoint_url: &endpoint https://minio.example.com:9000
    access_key: restorer
    secret_key: "{{ vault_restorer_secret_key }}"
    confirm: [documents]
    plan_file: /root/plan.jsonl
    repositories: &repositories
      - name: local
        path: /srv/backups
  check_mode: true
  diff: true

- name: Bring back what is missing or was overwritten since, and keep the present state of that
  lifeboat.recovery.bucket_restore:
    job: s3-documents
    as_of: "2026-11-20T02:00:00Z"
    endpoint_url: *endpoint
    access_key: restorer
    secret_key: "{{ vault_restorer_secret_key }}"
    confirm: [documents]
    quarantine:
      bucket: evidence
    check: content
    repositories: *repositories

- name: Look into one folder of it in another bucket
  lifeboat.recovery.bucket_restore:
    job: s3-documents
    buckets: [documents]
    prefix: reports/2026/
    map:
      documents: documents-on-friday
    endpoint_url: *endpoint
    access_key: restorer
    secret_key: "{{ vault_restorer_secret_key }}"
    repositories: *repositories

- name: Bring a bucket into a folder
  lifeboat.recovery.bucket_restore:
    job: s3-documents
    path: /srv/restored
    repositories: *repositories

- name: Bring the settings of all buckets to a new server, then their objects
  lifeboat.recovery.bucket_restore:
    job: s3-documents
    what: all
    endpoint_url: https://minio2.example.com:9000
    access_key: restorer
    secret_key: "{{ vault_restorer_secret_key }}"
    repositories: *repositories
"""

RETURN = r"""
job:
  description: Name of the job.
  returned: when a backup was found
  type: str
  sample: s3-documents
id:
  description: Id of the backup.
  returned: when a backup was found
  type: str
  sample: 20261120T020000Z-0a1b2c
started:
  description: When the backup began, by the clock of its repository. What was written later is lost.
  returned: when a backup was found
  type: str
  sample: "2026-11-20T02:00:00.000000Z"
repository:
  description: Name of the repository whose copy was restored from, in check mode of the one to be tried first.
  returned: when a backup was found
  type: str
  sample: local
copies:
  description: Names of the repositories that have the backup, in the order in which they are tried.
  returned: when a backup was found
  type: list
  elements: str
  sample: [local, site]
proved:
  description: Whether the copy to be tried first was proved before.
  returned: when a backup was found
  type: bool
  sample: true
target:
  description: The server or folder.
  returned: when a backup was found
  type: str
  sample: https://minio.example.com:9000
places:
  description: Where the buckets go, at most 20 of them.
  returned: when a backup was found
  type: list
  elements: dict
  sample: [{from: documents, to: documents}]
counts:
  description: The plan in numbers, by what would become of the objects.
  returned: when a backup was found
  type: dict
  sample:
    {write: 12, overwrite: 3, properties: 1, keep: 84, skip: 0, rename: 0, conflict: 0, refuse: 0, remove: 0, leave: 0}
bytes:
  description: How much would be written.
  returned: when a backup was found
  type: int
  sample: 15728640
removed_bytes:
  description: Size of what would be removed.
  returned: when a backup was found
  type: int
  sample: 0
sample:
  description: At most 20 steps of the plan.
  returned: when a backup was found
  type: list
  elements: dict
  sample: [{action: write, collection: documents, key: reports/2026/annual.pdf, size: 48211}]
destroyed:
  description: Buckets in which something would be overwritten or removed, at most 20 of them.
  returned: when a backup was found
  type: list
  elements: str
  sample: [documents]
settings:
  description: Settings of buckets that would be written, at most 20 of them.
  returned: when a backup was found
  type: list
  elements: str
  sample: ["documents: lifecycle"]
written:
  description: How many objects were written.
  returned: when something was restored
  type: int
  sample: 15
written_bytes:
  description: How much was written.
  returned: when something was restored
  type: int
  sample: 15728640
described:
  description: How many objects only got their properties back.
  returned: when something was restored
  type: int
  sample: 1
removed:
  description: How many objects were removed.
  returned: when something was restored
  type: int
  sample: 0
kept:
  description: How many objects were there as in the backup.
  returned: when something was restored
  type: int
  sample: 9984
skipped:
  description: How many objects differ and stay, as O(conflicts) wants it.
  returned: when something was restored
  type: int
  sample: 0
failed:
  description: How many objects the target does not take. If there are any the task fails with V(5) as
    RV(ignore:exit_code).
  returned: when something was restored
  type: int
  sample: 0
damaged:
  description: How many objects are damaged in every copy. If there are any the task fails.
  returned: when something was restored
  type: int
  sample: 0
differences:
  description: How many objects of the target differ from the backup after the restore. If there are any the task fails.
  returned: when something was restored
  type: int
  sample: 0
settings_written:
  description: How many settings of buckets were written.
  returned: when settings were restored
  type: int
  sample: 0
quarantine:
  description: Where the former state of what was overwritten or removed lies. Empty if nothing was saved.
  returned: when something was restored
  type: str
  sample: evidence/s3-documents-20261121T083012Z/
saved:
  description: How many objects lie there.
  returned: when something was restored
  type: int
  sample: 4
saved_bytes:
  description: How much lies there.
  returned: when something was restored
  type: int
  sample: 82944
remarks:
  description: How many remarks there are on single objects, such as names that the target does not take.
  returned: when something was restored
  type: int
  sample: 1
remarks_sample:
  description: The first remarks, at most 20. O(remarks_file) gets all of them.
  returned: when something was restored
  type: list
  elements: str
  sample: ["renamed: documents/a//b: it is written as a/%lb-empty/b"]
seconds:
  description: Time for everything.
  returned: when something was restored
  type: float
  sample: 7.113
guard:
  description: The safety rule that forbade the restore, such as V(confirm), V(conflict) or V(repository).
  returned: when a guard refused
  type: str
  sample: confirm
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge.arguments import REPOSITORIES
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge.objects_options import (
    RESTORE,
    RESTORE_RULES,
    bucket_restore_from,
    run_restore,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge.s3_options import (
    S3_CONNECTION,
    S3_CONNECTION_RULES,
)


def main() -> t.NoReturn:
    module = AnsibleModule(
        argument_spec={
            "buckets": {"type": "list", "elements": "str", "default": []},
            "map": {"type": "dict", "default": {}},
            "path": {"type": "path"},
            "what": {"type": "str", "choices": ["all", "data", "metadata"], "default": "data"},
            "overwrite_settings": {"type": "bool", "default": True},
            **RESTORE,
            **REPOSITORIES,
            **S3_CONNECTION,
        },
        supports_check_mode=True,
        **RESTORE_RULES,
        **S3_CONNECTION_RULES,
    )
    run_restore(module, bucket_restore_from)


if __name__ == "__main__":
    main()
