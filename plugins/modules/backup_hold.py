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
import datetime as dt
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge import run as bridge
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge.arguments import REPOSITORY
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge.places import place_from
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine import clock
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import LifeboatError, UsageError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.place import Place
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository import hold, layout, lease


@dataclasses.dataclass(frozen=True)
class Planned:
    """A hold as it is, and as it is to be."""

    place: Place
    job: str
    id: str
    found: hold.Hold | None
    reason: str  # empty: it is to be released
    until: dt.datetime | None
    wait_s: int

    @property
    def changed(self) -> bool:
        if self.found is None:
            return bool(self.reason)
        return (self.found.reason, self.found.until) != (self.reason, self.until)

    def diff(self) -> tuple[bridge.Result, bridge.Result]:
        """Return the hold before and after."""
        before = (self.found.reason, self.found.until) if self.found is not None else ("", None)
        return _shown(*before), _shown(self.reason, self.until)

    def result(self) -> bridge.Result:
        """Return what will be."""
        return {"id": self.id, "repository": self.place.name, **_shown(self.reason, self.until)}


def _shown(reason: str, until: dt.datetime | None) -> dict[str, t.Any]:
    return {"held": bool(reason), "reason": reason, "until": clock.to_text(until) if until else None}


def plan(params: bridge.Params) -> Planned:
    """Look for the backup and its hold."""
    job, backup_id = layout.checked_job(params["job"]), layout.checked_id(params["id"])
    is_held = params["state"] == "held"
    reason = (params["reason"] or "").strip() if is_held else ""
    if is_held and not reason:
        raise UsageError("Cannot hold a backup without a reason", "reason is empty", "say why it is held")
    place = place_from(params["repository"])
    place.identity()
    if is_held and place.store.stat(layout.manifest(job, backup_id)) is None:
        remedy = "take an id from the list of backups of this repository"
        raise LifeboatError(f"Cannot hold backup {backup_id} of {job} in {place.name}", "it is not there", remedy)
    until = _until(params["until"], place.store.now()) if is_held and params["until"] else None
    found = hold.read(place.store, job).get(backup_id)
    return Planned(place, job, backup_id, found, reason, until, params["wait_s"])


def _until(text: str, now: dt.datetime) -> dt.datetime:
    try:
        moment = clock.from_text(text)
    except ValueError as error:
        remedy = "write it as 2027-06-30T00:00:00Z"
        raise UsageError(f"Cannot hold until {text!r}", "this is no time in UTC", remedy) from error
    if moment <= now:
        raise UsageError(f"Cannot hold until {text}", "this time is over", "name a later one, or leave it out")
    return moment


def apply(planned: Planned) -> bridge.Result:
    """Hold or release, while no removal is under way."""
    place, window = planned.place, planned.place.identity().signature_window
    with lease.held(place.store, planned.job, window, planned.wait_s) as permit:
        if planned.reason:
            hold.place(place.store, planned.job, planned.id, planned.reason, planned.until, permit)
        else:
            hold.release(place.store, planned.job, planned.id, permit)
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
