#!/usr/bin/python
# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: backup_hold
short_description: Keep a backup whatever retention says
version_added: 1.0.0
description:
  - Holds a backup in a repository. M(lifeboat.recovery.backup_prune) keeps it, and M(lifeboat.recovery.backup_delete)
    refuses it, until the hold is released or its time is over.
  - A hold is a document in the repository. It is a promise of Lifeboat, not a lock of the storage.
    Object lock of the bucket is one.
  - Copies in other repositories are not held by it.
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
      - The difference is the hold.
  idempotent:
    support: full
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
  state:
    description:
      - V(held) holds the backup, and V(released) releases it.
    type: str
    choices: [held, released]
    default: held
  reason:
    description:
      - Why it is held. Needed with O(state=held).
    type: str
  until:
    description:
      - Until when it is held, as V(2027-06-30T00:00:00Z). By default until it is released.
    type: str
  wait_s:
    description:
      - How many seconds to wait for other maintenance of the job.
    type: int
    default: 4200
seealso:
  - module: lifeboat.recovery.backup_prune
  - module: lifeboat.recovery.backup_delete
"""

EXAMPLES = r"""
---
- name: Keep the backup from before the migration
  lifeboat.recovery.backup_hold:
    job: db1-shop
    id: 20261120T020000Z-0a1b2c
    reason: before the migration to version 7
    until: "2027-06-30T00:00:00Z"
    repository: &repository
      path: /srv/backup/lifeboat

- name: Let it go
  lifeboat.recovery.backup_hold:
    job: db1-shop
    id: 20261120T020000Z-0a1b2c
    state: released
    repository: *repository
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
held:
  description: Whether the backup is (in check mode, would be) held.
  returned: success
  type: bool
  sample: true
reason:
  description: Why it is held, empty if it is not.
  returned: success
  type: str
  sample: before the migration to version 7
until:
  description: Until when, V(null) if it is held until it is released, and if it is not held.
  returned: success
  type: str
  sample: "2027-06-30T00:00:00.000000Z"
"""

import dataclasses
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge import run as bridge
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge.arguments import REPOSITORY
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge.places import place_from
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host import hold_run


@dataclasses.dataclass(frozen=True)
class Planned:
    """A hold as it is, and as it is to be."""

    plan: hold_run.HoldPlan
    wait_s: int

    @property
    def changed(self) -> bool:
        return self.plan.changed

    def diff(self) -> tuple[bridge.Result, bridge.Result]:
        """Return the hold before and after."""
        found = self.plan.found
        before = (found.reason, found.until) if found is not None else ("", None)
        return hold_run.described(*before), hold_run.described(self.plan.reason, self.plan.until)

    def result(self) -> bridge.Result:
        """Return what will be."""
        shown = hold_run.described(self.plan.reason, self.plan.until)
        return {"id": self.plan.id, "repository": self.plan.place.name, **shown}


def plan(params: bridge.Params) -> Planned:
    """Look for the backup and its hold."""
    reason = hold_run.required_reason(params["reason"] or "") if params["state"] == "held" else ""
    place = place_from(params["repository"])
    planned = hold_run.plan(place, params["job"], params["id"], reason, params["until"] or "")
    return Planned(planned, params["wait_s"])


def apply(planned: Planned) -> bridge.Result:
    """Hold or release, while no removal is under way."""
    hold_run.run(planned.plan, planned.wait_s)
    return {}


def main() -> t.NoReturn:
    module = AnsibleModule(
        argument_spec={
            "job": {"type": "str", "required": True},
            "id": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["held", "released"], "default": "held"},
            "reason": {"type": "str"},
            "until": {"type": "str"},
            "wait_s": {"type": "int", "default": 4200},
            **REPOSITORY,
        },
        required_if=[("state", "held", ["reason"])],
        supports_check_mode=True,
    )
    bridge.run(module, plan, apply)


if __name__ == "__main__":
    main()
