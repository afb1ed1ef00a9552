#!/usr/bin/python
# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: backup_delete
short_description: Delete one backup from a repository
version_added: 1.0.0
description:
  - Deletes one backup of a job from one repository. Copies in other repositories stay.
  - The backup is not listed from then on. Its stored files go when M(lifeboat.recovery.backup_prune) runs a day later,
    unless other backups need them.
  - A backup that somebody holds, on which a run builds that is under way, or that is one of the last proved ones is
    refused.
  - This also removes a backup whose manifest cannot be read, or was tampered with.
author:
  - Lifeboat maintainers (@lifeboat)
extends_documentation_fragment:
  - lifeboat.recovery._attributes
  - lifeboat.recovery._repository
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details:
      - The difference is the backup.
  idempotent:
    support: full
    details:
      - A backup that is not there is no change.
options:
  job:
    description:
      - Name of the job.
    type: str
    required: true
  id:
    description:
      - Id of the backup.
    type: str
    required: true
  confirm:
    description:
      - Must be the same as O(id). It is not needed in check mode.
    type: str
  verified_min:
    description:
      - How many proved backups must be left, at least V(1).
    type: int
    default: 2
  wait_s:
    description:
      - How many seconds to wait for other maintenance of the job.
    type: int
    default: 4200
seealso:
  - module: lifeboat.recovery.backup_prune
  - module: lifeboat.recovery.backup_hold
"""

EXAMPLES = r"""
---
- name: Delete a backup that should not have been made
  lifeboat.recovery.backup_delete:
    job: db1-shop
    id: 20261120T020000Z-0a1b2c
    confirm: 20261120T020000Z-0a1b2c
    repository:
      path: /srv/backup/lifeboat
"""

RETURN = r"""
id:
  description: Id of the backup.
  returned: success
  type: str
  sample: 20261120T020000Z-0a1b2c
repository:
  description: Name of the repository.
  returned: success
  type: str
  sample: /srv/backup/lifeboat
deleted:
  description: Whether the backup was (in check mode, would be) deleted. V(false) if it was not there.
  returned: success
  type: bool
  sample: true
"""

import dataclasses
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge import run as bridge
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge.arguments import REPOSITORY
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge.places import place_from
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host import delete_run


@dataclasses.dataclass(frozen=True)
class Planned:
    """The backup that would be deleted."""

    plan: delete_run.DeletePlan
    wait_s: int

    @property
    def changed(self) -> bool:
        return self.plan.is_there

    def diff(self) -> tuple[bridge.Result, bridge.Result]:
        """Return the backup as it is, and that it will not be."""
        return {"backups": [self.plan.id] if self.plan.is_there else []}, {"backups": []}

    def result(self) -> bridge.Result:
        """Return what would be deleted."""
        return {"id": self.plan.id, "repository": self.plan.place.name, "deleted": self.plan.is_there}


def plan(params: bridge.Params, is_preview: bool) -> Planned:
    """Look for the backup, and whether it may go."""
    place, confirm = place_from(params["repository"]), params["confirm"] or ""
    planned = delete_run.plan(place, params["job"], params["id"], confirm, params["verified_min"], is_preview)
    return Planned(planned, params["wait_s"])


def apply(planned: Planned) -> bridge.Result:
    """Delete the backup."""
    delete_run.run(planned.plan, planned.wait_s)
    return {}


def main() -> t.NoReturn:
    module = AnsibleModule(
        argument_spec={
            "job": {"type": "str", "required": True},
            "id": {"type": "str", "required": True},
            "confirm": {"type": "str"},
            "verified_min": {"type": "int", "default": 2},
            "wait_s": {"type": "int", "default": 4200},
            **REPOSITORY,
        },
        supports_check_mode=True,
    )
    bridge.run(module, lambda params: plan(params, module.check_mode), apply)


if __name__ == "__main__":
    main()
