#!/usr/bin/python
# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: backup_lock
short_description: Lock backups in buckets with object lock for as long as they are to stay
version_added: 1.0.0
description:
  - Extends the retention of every stored file that backups of a job need, to when O(repositories[].keep)
    lets each backup go. Let it run every day, after the backups.
  - What is locked can be deleted by nobody before. M(lifeboat.recovery.backup_prune) keeps it
    and says until when.
  - A lock is never shortened. What no rule keeps is not locked, unless the job is frozen by a guard.
  - The manifest, the stored files of earlier backups that are needed, and the documents with the keys of encrypted
    backups are locked, too. Records of proofs are not.
  - Files are locked from the next run of this module on. Give the bucket a default retention of some days for the time
    before.
  - It needs the key of the role V(locker) of M(lifeboat.recovery.minio_policy), which can do nothing else.
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
      - The difference is how many files of each repository are locked long enough, and until when each backup is.
  idempotent:
    support: full
    details:
      - A second run on the same day changes nothing.
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
  most_requests:
    description:
      - How many files are locked in one run at most in each repository, those first whose lock ends first.
        The next run goes on.
    type: int
    default: 10000
seealso:
  - module: lifeboat.recovery.backup_prune
  - module: lifeboat.recovery.backup_hold
    description: A promise of Lifeboat alone, which can be taken back.
  - module: lifeboat.recovery.minio_bucket
    description: Makes buckets with object lock.
"""

EXAMPLES = r"""
---
- name: Lock what is to be kept off site
  lifeboat.recovery.backup_lock:
    job: db1-shop
    timezone: Europe/Berlin
    repositories:
      - name: offsite
        bucket: backups
        endpoint_url: https://s3.offsite.example.com
        lock:
          mode: COMPLIANCE
          most: 400d
          access_key: locker
          secret_key: "{{ vault_locker_secret_key }}"
        keep:
          daily: 7
          weekly: 5
          monthly: 12
"""

RETURN = r"""
repositories:
  description: What was (in check mode, would be) locked in each repository.
  returned: always, unless the options are wrong
  type: list
  elements: dict
  contains:
    repository:
      description: Name of the repository.
      type: str
      sample: offsite
    mode:
      description: How files are locked.
      type: str
      sample: COMPLIANCE
    backups:
      description: Until when each backup that stays is to be locked.
      type: list
      elements: dict
      contains:
        id:
          description: Id of the backup.
          type: str
          sample: 20261120T020000Z-0a1b2c
        until:
          description: When its lock ends.
          type: str
          sample: "2027-12-01T00:00:00.000000Z"
    to_lock:
      description: How many files lack a lock that lasts long enough.
      type: int
      sample: 14
    locked_before:
      description: How many files were locked long enough already.
      type: int
      sample: 1203
    locked:
      description: How many files were locked. It is V(0) in check mode.
      type: int
      sample: 14
    left:
      description: How many files wait for the next run because of O(most_requests).
      type: int
      sample: 0
    weaker:
      description: How many files are under V(GOVERNANCE) until that lock ends, although V(COMPLIANCE) is wanted.
      type: int
      sample: 0
    denied:
      description: What the repository refused to lock, and why.
      type: list
      elements: str
      sample: []
    problem:
      description: Why not all could be done in this repository. It is empty if there is no problem.
      type: str
      sample: ""
"""

import dataclasses
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge import run as bridge
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge.arguments import KEPT_REPOSITORIES
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge.lock_options import lock_request_from
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host import lock_run


@dataclasses.dataclass(frozen=True)
class Planned:
    """What would be locked in each repository."""

    request: lock_run.Request
    outcomes: tuple[lock_run.PlaceOutcome, ...]

    @property
    def changed(self) -> bool:
        return any(each.is_change for each in self.outcomes)

    def diff(self) -> tuple[bridge.Result, bridge.Result]:
        """Return how many files of each repository are locked long enough, and until when each backup is to be."""
        before, after = {}, {}
        for found in map(lock_run.document, self.outcomes):
            name, until = found["repository"], {each["id"]: each["until"] for each in found["backups"]}
            count = found["locked_before"]
            before[name] = {"locked": count, "backups": until}
            after[name] = {"locked": count + found["to_lock"], "backups": until}
        return before, after

    def result(self) -> bridge.Result:
        """Return what would be locked."""
        return answer(self.outcomes)


def answer(outcomes: t.Sequence[lock_run.PlaceOutcome]) -> dict[str, t.Any]:
    """Return what a task says about locks."""
    return {"repositories": [lock_run.document(each) for each in outcomes]}


def plan(module: AnsibleModule) -> Planned:
    """Read all repositories; an error that nothing will change ends the module."""
    request = lock_request_from(module.params)
    found = Planned(request, lock_run.plan(request))
    error = lock_run.error_of(found.outcomes)
    if error is not None and (module.check_mode or not found.changed):
        bridge.fail(module, error, {**found.result(), "changed": found.changed})
    return found


def apply(module: AnsibleModule, planned: Planned) -> bridge.Result:
    """Lock; a repository where not all could be done is a failure that says what was done in the others."""
    outcomes = lock_run.run(planned.request, planned.outcomes)
    error = lock_run.error_of(outcomes)
    if error is not None:
        changed = any(each.result is not None and each.result.extended for each in outcomes)
        bridge.fail(module, error, {**answer(outcomes), "changed": changed})
    return answer(outcomes)


def main() -> t.NoReturn:
    module = AnsibleModule(
        argument_spec={
            "job": {"type": "str", "required": True},
            "timezone": {"type": "str", "default": "UTC"},
            "most_requests": {"type": "int", "default": 10000},
            **KEPT_REPOSITORIES,
        },
        supports_check_mode=True,
    )
    bridge.run(module, lambda _params: plan(module), lambda planned: apply(module, planned))


if __name__ == "__main__":
    main()
