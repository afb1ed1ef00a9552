#!/usr/bin/python
# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: files_restore
short_description: Restore folders, or any part of them, from their repositories
version_added: 1.0.0
description:
  - Restores what M(lifeboat.recovery.files_backup) has backed up, to its own place, into another folder, or into
    buckets.
  - Compares the backup with what is there first, and brings only what is missing or differs. So a restore that was
    ended goes on where it was.
  - Owners, modes, times, links, holes, extended attributes and access control lists come back as far as the rights of
    the task and the file system go. What does not is listed among the remarks.
  - No link is ever followed, neither one that is there nor one that was restored. Nothing is written outside the
    folders.
  - Each file is checked against its SHA-256 in the backup before it can be seen. What is damaged in one repository is
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
      - Shows a sample of at most 20 files.
  idempotent:
    support: full
options:
  roots:
    description:
      - Folders to restore, as the job names them. By default all of the backup.
    type: list
    elements: str
    default: []
  path:
    description:
      - Folder below which each root is restored with its whole path. V(/etc) goes to V(/srv/restored/etc) with
        V(/srv/restored).
      - By default each root is restored to its own place.
    type: path
  map:
    description:
      - For roots that shall be restored to a folder of their own choice, its path.
    type: dict
    default: {}
  bucket_map:
    description:
      - For each root the bucket of the server at O(endpoint_url) that it is restored into, instead of a folder.
    type: dict
    default: {}
  numeric_owners:
    description:
      - Whether owners are restored by their numbers, not by the names that they had.
    type: bool
    default: false
  devices:
    description:
      - Whether devices are restored, which takes the rights of root.
    type: bool
    default: false
seealso:
  - module: lifeboat.recovery.files_backup
  - module: lifeboat.recovery.bucket_restore
  - module: lifeboat.recovery.object_history
notes:
  - Name the nearest repository first in O(repositories). Of one backup, proved copies are tried before others.
  - Owners need the rights of root. Without them everything belongs to the user who restores, and the remarks say so.
  - A restore never writes into a repository. A folder with a repository in it can be restored if O(exclude) leaves that
    out.
"""

EXAMPLES = r"""
---
- name: See what it takes to bring the configuration back
  become: true
  lifeboat.recovery.files_restore:
    job: web1-etc
    confirm: [/etc]
    repositories: &repositories
      - name: local
        path: /srv/backups
  check_mode: true
  diff: true

- name: Bring one file back as it was yesterday
  become: true
  lifeboat.recovery.files_restore:
    job: web1-etc
    as_of: "2026-11-20T02:00:00Z"
    roots: [/etc]
    key: nginx/nginx.conf
    confirm: [/etc]
    repositories: *repositories

- name: Bring everything to another folder, to look into it
  become: true
  lifeboat.recovery.files_restore:
    job: web1-www
    path: /srv/restored
    repositories: *repositories

- name: Make a folder exactly what it was, and keep what is removed or overwritten
  become: true
  lifeboat.recovery.files_restore:
    job: web1-www
    roots: [/srv/www]
    exact: true
    confirm: [/srv/www]
    quarantine:
      path: /srv/evidence
    check: content
    remarks_file: /root/remarks.jsonl
    repositories: *repositories

- name: Bring a folder into a bucket
  lifeboat.recovery.files_restore:
    job: web1-www
    bucket_map:
      /srv/www: www
    endpoint_url: https://minio.example.com:9000
    access_key: restorer
    secret_key: "{{ vault_restorer_secret_key }}"
    repositories: *repositories
"""

RETURN = r"""
job:
  description: Name of the job.
  returned: when a backup was found
  type: str
  sample: web1-etc
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
  sample: its own place
places:
  description: Where the roots go, at most 20 of them.
  returned: when a backup was found
  type: list
  elements: dict
  sample: [{from: /etc, to: /etc}]
counts:
  description: The plan in numbers, by what would become of the files.
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
  sample: [{action: write, collection: /etc, key: nginx/nginx.conf, size: 48211}]
destroyed:
  description: Folders in which something would be overwritten or removed, at most 20 of them.
  returned: when a backup was found
  type: list
  elements: str
  sample: [/etc]
written:
  description: How many files were written.
  returned: when something was restored
  type: int
  sample: 15
written_bytes:
  description: How much was written.
  returned: when something was restored
  type: int
  sample: 15728640
described:
  description: How many files only got their properties back.
  returned: when something was restored
  type: int
  sample: 1
removed:
  description: How many files were removed.
  returned: when something was restored
  type: int
  sample: 0
kept:
  description: How many files were there as in the backup.
  returned: when something was restored
  type: int
  sample: 9984
skipped:
  description: How many files differ and stay, as O(conflicts) wants it.
  returned: when something was restored
  type: int
  sample: 0
failed:
  description: How many files the target does not take. If there are any the task fails with V(5) as
    RV(ignore:exit_code).
  returned: when something was restored
  type: int
  sample: 0
damaged:
  description: How many files are damaged in every copy. If there are any the task fails.
  returned: when something was restored
  type: int
  sample: 0
differences:
  description: How many files of the target differ from the backup after the restore. If there are any the task fails.
  returned: when something was restored
  type: int
  sample: 0
quarantine:
  description: Where the former state of what was overwritten or removed lies. Empty if nothing was saved.
  returned: when something was restored
  type: str
  sample: /srv/evidence/web1-etc-20261121T083012Z/
saved:
  description: How many files lie there.
  returned: when something was restored
  type: int
  sample: 4
saved_bytes:
  description: How much lies there.
  returned: when something was restored
  type: int
  sample: 82944
remarks:
  description: How many remarks there are on single files, such as names that the target does not take.
  returned: when something was restored
  type: int
  sample: 1
remarks_sample:
  description: The first remarks, at most 20. O(remarks_file) gets all of them.
  returned: when something was restored
  type: list
  elements: str
  sample: ["changed: /etc/shadow: its owner could not be set"]
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
    files_restore_from,
    run_restore,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge.s3_options import (
    S3_CONNECTION,
    S3_CONNECTION_RULES,
)


def main() -> t.NoReturn:
    module = AnsibleModule(
        argument_spec={
            "roots": {"type": "list", "elements": "str", "default": []},
            "path": {"type": "path"},
            "map": {"type": "dict", "default": {}},
            "bucket_map": {"type": "dict", "default": {}},
            "numeric_owners": {"type": "bool", "default": False},
            "devices": {"type": "bool", "default": False},
            **RESTORE,
            **REPOSITORIES,
            **S3_CONNECTION,
        },
        supports_check_mode=True,
        **RESTORE_RULES,
        **S3_CONNECTION_RULES,
    )
    run_restore(module, files_restore_from)


if __name__ == "__main__":
    main()
