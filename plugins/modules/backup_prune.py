#!/usr/bin/python
# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: backup_prune
short_description: Remove expired backups, and delete what no backup needs any more
version_added: 1.0.0
description:
  - Thins out the backups of a job in one or several repositories, each by rules of its own.
  - Check mode is the simulator. It says what would go, what stays and why, and when the next backup goes.
  - A backup that goes is not listed from then on. Its stored files go a day later, with another run of this module,
    unless other backups need them. So a restore that has begun can finish.
  - Left-overs of runs that were killed go in the same two steps. Nothing else is ever deleted.
  - Proved backups that are the last ones, backups that somebody holds, and those under object lock always stay.
    While a backup of the job is flagged, in any of O(repositories), nothing goes.
  - Two of these at once, and copies into the same repository, wait for each other.
author:
  - Lifeboat maintainers (@lifeboat)
extends_documentation_fragment:
  - lifeboat.recovery._attributes
  - lifeboat.recovery._kept_repositories
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details:
      - The difference is the list of backups in each repository.
  idempotent:
    support: full
options:
  job:
    description:
      - Name of the job.
    type: str
    required: true
  timezone:
    description:
      - Time zone whose hours, days, weeks, months and years the rules mean, such as V(Europe/Berlin).
    type: str
    default: UTC
  force:
    description:
      - Whether more than half of the backups of a repository may go at once.
        Otherwise the task fails, and nothing goes there.
      - Look at what would go in check mode first.
    type: bool
    default: false
  wait_s:
    description:
      - How many seconds to wait for other maintenance of the job in each repository.
      - The default is long enough to outlive a host that crashed during such work.
    type: int
    default: 4200
seealso:
  - module: lifeboat.recovery.backup_hold
    description: Keeps a backup whatever the rules say.
  - module: lifeboat.recovery.backup_delete
    description: Removes one backup.
  - module: lifeboat.recovery.backup_copy
"""

EXAMPLES = r"""
---
- name: Keep two weeks at hand, and months off site
  lifeboat.recovery.backup_prune:
    job: db1-shop
    timezone: Europe/Berlin
    repositories: &repositories
      - name: local
        path: /srv/backup/lifeboat
        keep:
          last: 3
          daily: 14
      - name: offsite
        bucket: backups
        endpoint_url: https://s3.offsite.example.com
        access_key: pruner
        secret_key: "{{ vault_pruner_secret_key }}"
        keep:
          daily: 7
          weekly: 5
          monthly: 12
          yearly: 7

- name: Say what would stay and why
  lifeboat.recovery.backup_prune:
    job: db1-shop
    repositories: *repositories
  check_mode: true
  register: simulated

- name: In plain words
  lifeboat.recovery.backup_prune:
    job: db1-wiki
    repositories:
      - path: /srv/backup/lifeboat
        keep:
          retention_days: 30
"""

RETURN = r"""
repositories:
  description: What stays, and what was (in check mode, would be) removed, in each repository.
  returned: always, unless the options are wrong
  type: list
  elements: dict
  contains:
    repository:
      description: Name of the repository.
      type: str
      sample: local
    keep:
      description: The rules, in one line. It is empty if every backup stays.
      type: str
      sample: last 3, daily 14, verified_min 2
    kept:
      description: Backups that stay, the oldest first.
      type: list
      elements: dict
      contains:
        id:
          description: Id of the backup.
          type: str
          sample: 20261120T020000Z-0a1b2c
        reasons:
          description: Why it stays.
          type: list
          elements: str
          sample: ["last 3", "daily 2026-11-20"]
        until:
          description: When it will go if backups go on as they did, V(null) if that cannot be foreseen.
          type: str
          sample: "2026-12-03T23:00:00.000000Z"
    expired:
      description: Ids of the backups that no rule keeps, the oldest first.
      type: list
      elements: str
      sample: [20261106T020000Z-4d5e6f]
    removed:
      description: Ids of the backups that were removed. It is empty in check mode.
      type: list
      elements: str
      sample: [20261106T020000Z-4d5e6f]
    next_removal:
      description: When the next of the backups that stay will go, V(null) if that cannot be foreseen.
      type: str
      sample: "2026-11-21T23:00:00.000000Z"
    due_files:
      description: How many stored files were garbage a day ago, and go now. RV(repositories[].due_bytes) is their size.
      returned: unless the backups could not be looked at
      type: int
      sample: 12
    due_bytes:
      description: Their size.
      returned: unless the backups could not be looked at
      type: int
      sample: 104857600
    garbage_files:
      description: How many stored files are garbage from now on, and may go a day later.
      returned: unless the backups could not be looked at
      type: int
      sample: 4
    garbage_bytes:
      description: Their size.
      returned: unless the backups could not be looked at
      type: int
      sample: 52428800
    waiting_files:
      description: How many stored files were found to be garbage less than a day ago.
      returned: unless the backups could not be looked at
      type: int
      sample: 0
    next_due:
      description: When the first of those may go, V(null) if there is none.
      returned: unless the backups could not be looked at
      type: str
      sample: null
    dead_runs:
      description: Ids of runs that ended without a word more than a week ago. What they left goes like other garbage.
      returned: unless the backups could not be looked at
      type: list
      elements: str
      sample: []
    lost:
      description:
        - Ids of backups of which a stored file is gone, hidden by a delete marker, or of another size than was written.
        - They take the place of no other backup.
      returned: unless the backups could not be looked at
      type: list
      elements: str
      sample: []
    deleted_files:
      description: How many stored files were deleted. It is V(0) in check mode.
      type: int
      sample: 12
    deleted_bytes:
      description: Their size.
      type: int
      sample: 104857600
    denied:
      description: What the repository refused to delete, and why, such as what is locked. This is no failure.
      type: list
      elements: str
      sample: []
    problem:
      description:
        - Why nothing could be done in this repository, or not all of it. It is empty if there is no problem.
      type: str
      sample: ""
    guard:
      description: Which guard refused, V(flagged), V(tampered), V(mass_removal), V(clock), V(repository), or nothing.
      type: str
      sample: ""
"""

import dataclasses
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge import run as bridge
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge.arguments import KEPT_REPOSITORIES
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge.places import places_from
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import UsageError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host import prune_run
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.timing import zone_of
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.keep import keep_from


@dataclasses.dataclass(frozen=True)
class Planned:
    """What would be done in each repository."""

    request: prune_run.Request
    outcomes: tuple[prune_run.PlaceOutcome, ...]

    @property
    def changed(self) -> bool:
        return any(each.is_change for each in self.outcomes)

    def diff(self) -> tuple[bridge.Result, bridge.Result]:
        """Return the backups of each repository before and after."""
        before, after = {}, {}
        for each in self.outcomes:
            if each.plan is not None:
                retention = each.plan.retention
                kept = [backup.id for backup in retention.kept]
                stays = [] if each.is_change else list(retention.expired)
                before[each.name] = sorted([*kept, *retention.expired])
                after[each.name] = sorted([*kept, *stays])
        return before, after

    def result(self) -> bridge.Result:
        """Return what would be done."""
        return answer(self.outcomes)


def answer(outcomes: t.Sequence[prune_run.PlaceOutcome]) -> dict[str, t.Any]:
    """Return what a task says about prunes."""
    return {"repositories": [prune_run.document(each) for each in outcomes]}


def plan(params: bridge.Params) -> Planned:
    """Read all repositories."""
    if params["wait_s"] < 0:
        raise UsageError("Cannot wait for so long", f"wait_s is {params['wait_s']}", "set it to 0 or more")
    places = places_from(params["repositories"])
    keep = {}
    for place, given in zip(places, params["repositories"]):
        rules = keep_from(given["keep"] or {}, f"keep of {place.name}")
        if rules is not None:
            keep[place.name] = rules
    zone = zone_of(params["timezone"])
    request = prune_run.Request(params["job"], places, keep, zone, params["force"], params["wait_s"])
    return Planned(request, prune_run.plan(request))


def apply(module: AnsibleModule, planned: Planned) -> bridge.Result:
    """Prune; a repository where that could not be done is a failure that says what was done in the others."""
    outcomes = prune_run.run(planned.request, planned.outcomes)
    error = prune_run.error_of(outcomes)
    if error is not None:
        changed = any(each.has_removed or (each.result is not None and each.error is None) for each in outcomes)
        bridge.fail(module, error, {**answer(outcomes), "changed": changed})
    return answer(outcomes)


def main() -> t.NoReturn:
    module = AnsibleModule(
        argument_spec={
            "job": {"type": "str", "required": True},
            "timezone": {"type": "str", "default": "UTC"},
            "force": {"type": "bool", "default": False},
            "wait_s": {"type": "int", "default": 4200},
            **KEPT_REPOSITORIES,
        },
        supports_check_mode=True,
    )

    def planned(params: bridge.Params) -> Planned:
        found = plan(params)
        error = prune_run.error_of(found.outcomes)
        if error is not None and (module.check_mode or not found.changed):
            bridge.fail(module, error, {**found.result(), "changed": found.changed})
        return found

    bridge.run(module, planned, lambda found: apply(module, found))


if __name__ == "__main__":
    main()
