#!/usr/bin/python
# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: backup_set
short_description: Run the jobs of a set, and record a recovery point
version_added: 1.0.0
description:
  - Runs several jobs of a host one after the other, and records which of their backups belong together.
  - So a database, the buckets and folders that it speaks of, and the configuration of the application can be restored
    to one point with M(lifeboat.recovery.backup_set_restore).
  - A point is recorded when all jobs have succeeded, in every repository that has all of their backups. If a job fails,
    the others run all the same, and their backups stay.
  - Keys that a database knows, and that are to be objects of the same point, are compared with the backup.
author:
  - Lifeboat maintainers (@lifeboat)
extends_documentation_fragment:
  - lifeboat.recovery._attributes
  - lifeboat.recovery._set
attributes:
  check_mode:
    support: full
    details:
      - Looks at the sources and repositories of all jobs, and fails where a run would.
  diff_mode:
    support: full
  idempotent:
    support: none
    details:
      - Each run writes backups.
seealso:
  - module: lifeboat.recovery.backup_set_restore
  - name: Sets and recovery points
    description: How sets are declared, what a recovery point promises, and how references are checked.
    link: https://github.com/lifeboat-recovery/lifeboat.recovery/blob/main/docs/sets.md
"""

EXAMPLES = r"""
---
- name: Back up the database, the documents and the configuration as one point
  lifeboat.recovery.backup_set:
    job: shop1-complete
  register: backup

- name: Say what the point spans
  ansible.builtin.debug:
    msg: "{{ backup.id }} spans {{ backup.from }} to {{ backup.until }}"

- name: See whether all jobs of the set could run
  lifeboat.recovery.backup_set:
    job: shop1-complete
  check_mode: true
"""

RETURN = r"""
job:
  description: Name of the set.
  returned: success
  type: str
  sample: shop1-complete
members:
  description:
    - The jobs, in the order in which they ran. A job for several databases has an entry for each of them.
    - In check mode, and before they ran, only their names and kinds.
  returned: success and when backups were written
  type: list
  elements: dict
  contains:
    job:
      description: Name of the job.
      type: str
      sample: shop1-db
    kind:
      description: Kind of the job.
      type: str
      sample: pg_database
    backup:
      description: Id of the backup. Empty if there is none.
      returned: when the job was run
      type: str
      sample: 20261120T020000Z-0a1b2c
    complete:
      description: Whether the backup has all that it should.
      returned: when the job was run
      type: bool
      sample: true
    present:
      description: Names of the repositories that have it.
      returned: when the job was run
      type: list
      elements: str
      sample: [local, site]
    exit_code:
      description: What the run of the job would have ended with.
      returned: when the job was run
      type: int
      sample: 0
    problem:
      description: What went wrong. Empty if nothing did.
      returned: when the job was run
      type: str
      sample: ""
id:
  description: Id of the recovery point. Empty if there is none.
  returned: when backups were written
  type: str
  sample: 20261120T020214Z-3d4e5f
from:
  description: When the first backup of the point began, V(null) without a point.
  returned: when backups were written
  type: str
  sample: "2026-11-20T02:00:00.000000Z"
until:
  description: When the last backup of the point ended, V(null) without a point.
  returned: when backups were written
  type: str
  sample: "2026-11-20T02:02:13.000000Z"
copies:
  description: The point in each repository that all jobs use.
  returned: when backups were written
  type: list
  elements: dict
  contains:
    repository:
      description: Name of the repository.
      type: str
      sample: local
    present:
      description: Whether the point is there.
      type: bool
      sample: true
    proved:
      description: Whether all of its backups were read back there.
      type: bool
      sample: true
    problem:
      description: Why it is not there. Empty if it is.
      type: str
      sample: ""
references:
  description: What the comparison of keys with objects found.
  returned: when backups were written
  type: list
  elements: dict
  contains:
    name:
      description: Name of the reference.
      type: str
      sample: documents
    database:
      description: Name of the job whose database has the keys.
      type: str
      sample: shop1-db
    objects:
      description: Name of the job whose backup is to have the objects.
      type: str
      sample: shop1-documents
    keys:
      description: How many different keys there are.
      type: int
      sample: 120000
    missing:
      description: How many of them have no object.
      type: int
      sample: 0
    problem:
      description: Why they could not be compared. Empty if they were.
      type: str
      sample: ""
    sample:
      description: The first 20 of the missing keys. All of them are in a stored file of the point.
      type: list
      elements: str
      sample: []
complete:
  description: Whether the point is in all of these repositories, and all of its references are good.
  returned: when backups were written
  type: bool
  sample: true
seconds:
  description: Time for everything.
  returned: when backups were written
  type: float
  sample: 134.21
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge import set_jobs


def main() -> t.NoReturn:
    set_jobs.run_backup(AnsibleModule(argument_spec=dict(set_jobs.SET), supports_check_mode=True))


if __name__ == "__main__":
    main()
