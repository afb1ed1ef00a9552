#!/usr/bin/python
# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: backup_set_restore
short_description: Restore the backups of a recovery point together
version_added: 1.0.0
description:
  - Brings the members of a point of M(lifeboat.recovery.backup_set) back to their own places, in the order in which
    they need each other. By default that is databases, then MinIO servers, then buckets,
    then folders. The set may declare another one.
  - The restores of all members are planned and judged first. Nothing is touched if one of them would be refused.
  - The rules of each member apply. What is replaced or overwritten has to be named in O(confirm).
  - A member that fails ends the restore. What was restored before stays.
author:
  - Lifeboat maintainers (@lifeboat)
extends_documentation_fragment:
  - lifeboat.recovery._attributes
  - lifeboat.recovery._set
attributes:
  check_mode:
    support: full
    details:
      - Returns the plan of each member, also where the restore would be refused and the task fails.
  diff_mode:
    support: full
  idempotent:
    support: partial
    details:
      - Databases are restored each time. Of buckets and folders only what differs is written.
options:
  point:
    description:
      - Id of the point, or V(latest), or V(latest_good).
      - The last one is the newest point that has all of its backups, each of them proved and not flagged, and whose
        references are good.
    type: str
    default: latest_good
  only:
    description:
      - Names of the jobs to restore. By default all members.
      - Of a member for several databases it may also be the job of one, such as V(shop1-all.shop).
    type: list
    elements: str
    default: []
  except:
    description:
      - Names of jobs to leave out, as in O(only).
    type: list
    elements: str
    default: []
  confirm:
    description:
      - Names of the databases, buckets and folders that may be replaced or overwritten.
    type: list
    elements: str
    default: []
seealso:
  - module: lifeboat.recovery.backup_set
  - module: lifeboat.recovery.pg_restore
  - module: lifeboat.recovery.bucket_restore
  - module: lifeboat.recovery.files_restore
notes:
  - To restore a member to another place, or a part of it, use the module of its kind with the id that
    RV(members) names.
"""

EXAMPLES = r"""
---
- name: See what a restore of the newest good point would do
  lifeboat.recovery.backup_set_restore:
    job: shop1-complete
    confirm: [shop, documents, /etc/shop]
  check_mode: true
  diff: true

- name: Bring everything back
  lifeboat.recovery.backup_set_restore:
    job: shop1-complete
    confirm: [shop, documents, /etc/shop]

- name: Bring all but the configuration back, from an earlier point
  lifeboat.recovery.backup_set_restore:
    job: shop1-complete
    point: 20261120T020214Z-3d4e5f
    except: [shop1-config]
    confirm: [shop, documents]
"""

RETURN = r"""
job:
  description: Name of the set.
  returned: when a point was found
  type: str
  sample: shop1-complete
id:
  description: Id of the point.
  returned: when a point was found
  type: str
  sample: 20261120T020214Z-3d4e5f
from:
  description: When the first backup of the point began.
  returned: when a point was found
  type: str
  sample: "2026-11-20T02:00:00.000000Z"
until:
  description: When the last backup of the point ended.
  returned: when a point was found
  type: str
  sample: "2026-11-20T02:02:13.000000Z"
members:
  description:
    - What was restored, in this order. In check mode, and if the restore is refused, what would be.
    - Each has what the host command says about a restore of its kind as well.
  returned: when a point was found
  type: list
  elements: dict
  contains:
    job:
      description: Name of the job.
      type: str
      sample: shop1-db
    backup:
      description: Id of the backup.
      type: str
      sample: 20261120T020000Z-0a1b2c
    good:
      description: Whether it was, or could be, restored.
      type: bool
      sample: true
    problem:
      description: What is in the way. Empty if nothing is.
      type: str
      sample: ""
left:
  description: Jobs that were not begun because one before them failed.
  returned: when a point was found
  type: list
  elements: str
  sample: []
guard:
  description: The safety rule that forbade the restore, such as V(confirm).
  returned: when a guard refused
  type: str
  sample: confirm
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge import set_jobs


def main() -> t.NoReturn:
    names = {name: {"type": "list", "elements": "str", "default": []} for name in ("only", "except", "confirm")}
    module = AnsibleModule(
        argument_spec={**set_jobs.SET, "point": {"type": "str", "default": "latest_good"}, **names},
        supports_check_mode=True,
    )
    set_jobs.run_restore(module)


if __name__ == "__main__":
    main()
