#!/usr/bin/python
# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: recovery_record_info
short_description: Read how recoveries went
version_added: 1.0.0
description:
  - Reads the records that M(lifeboat.recovery.recovery_record) keeps in repositories, the newest first.
author:
  - Lifeboat maintainers (@lifeboat)
extends_documentation_fragment:
  - lifeboat.recovery._attributes
  - lifeboat.recovery._attributes.info
  - lifeboat.recovery._repository.several
options:
  job:
    description:
      - Full name of the job. By default the recoveries of all jobs are listed.
    type: str
    default: ""
  scenario:
    description:
      - What was recovered from, such as V(database_corruption). By default all scenarios are listed.
    type: str
    default: ""
  limit:
    description:
      - How many records to read at most. V(0) reads all.
    type: int
    default: 20
  allow_partial:
    description:
      - Whether a repository that cannot be read is only a warning.
      - The task fails in any case when none of the repositories can be read.
        An empty list always means that there are no records.
    type: bool
    default: true
seealso:
  - module: lifeboat.recovery.recovery_record
"""

EXAMPLES = r"""
---
- name: Read how the last recovery of the database went
  lifeboat.recovery.recovery_record_info:
    job: db1-shop
    scenario: database_corruption
    limit: 1
    repositories:
      - name: local
        path: /srv/backup/lifeboat
      - name: site
        bucket: backups
        endpoint_url: https://minio.example.com:9000
        access_key: reader
        secret_key: "{{ vault_reader_secret_key }}"
  register: recoveries

- name: Fail unless it was in time
  ansible.builtin.assert:
    that: recoveries.records | map(attribute='is_rto_met') | first
"""

RETURN = r"""
records:
  description: One entry for each recovery, the newest first.
  returned: success, and when O(allow_partial=false) makes the task fail
  type: list
  elements: dict
  contains:
    job:
      description: Full name of the job.
      type: str
      sample: db1-shop
    scenario:
      description: What was recovered from.
      type: str
      sample: database_corruption
    host:
      description: The host that was recovered.
      type: str
      sample: db1
    outcome:
      description: V(recovered), V(incomplete) or V(failed).
      type: str
      sample: recovered
    begun:
      description: When the recovery began.
      type: str
      sample: "2026-11-20T08:31:00.000000Z"
    finished:
      description: When it ended.
      type: str
      sample: "2026-11-20T08:31:40.000000Z"
    failed_at:
      description: When the damage was done, empty if nobody knew.
      type: str
      sample: "2026-11-20T08:30:00.000000Z"
    back_at:
      description: When the data could be used again, empty if it could not.
      type: str
      sample: "2026-11-20T08:31:35.000000Z"
    recovery_point:
      description: How old the data is that is back, empty if unknown.
      type: str
      sample: "2026-11-20T08:00:00.000000Z"
    rpo_s:
      description: Seconds from the recovery point to the damage, V(null) if unknown.
      type: float
      sample: 1800.0
    rto_s:
      description: Seconds from the damage until the data could be used, V(null) if it could not.
      type: float
      sample: 95.0
    is_rpo_met:
      description: Whether no more work was lost than the objective allows. It is V(null) without objective or figure.
      type: bool
      sample: true
    is_rto_met:
      description: Whether the data was back in time. It is V(null) without objective or figure.
      type: bool
      sample: true
    objectives:
      description: The objectives of the job, as C(rpo_hours) and C(rto_hours), V(null) where it has none.
      type: dict
      sample: {rpo_hours: 1.0, rto_hours: 4.0}
    phases:
      description: The parts of the recovery, with their seconds.
      type: list
      elements: dict
      sample: [{name: recover, seconds: 35.1}]
    backup:
      description: The backup from which the data is, and the repository from which it was read.
      type: dict
      sample: {id: 20261120T080000Z-0a1b2c, repository: site}
    new_backup:
      description: The backup that was taken of the recovered data, and the repositories that have it.
      type: dict
      sample: {id: 20261120T083138Z-ea057b, repositories: [local, site]}
    recovered:
      description: Facts about what is back.
      type: dict
      sample: {database: shop, rows: 262700}
    checks:
      description: What was looked at once the data was back.
      type: list
      elements: dict
      sample: [{name: health, is_good: true, said: HTTP 200}]
    deviations:
      description: What was not as planned.
      type: list
      elements: str
      sample: ["offsite has no new backup: Connection refused"]
    recorded_at:
      description: When the record was written, by the clock of the repository that it was read from.
      type: str
      sample: "2026-11-20T08:31:40.123456Z"
    repositories:
      description: The repositories that have a record of this recovery.
      type: list
      elements: str
      sample: [local, site]
total:
  description: How many records there are. If it is larger than O(limit), older ones are not in RV(records).
  returned: success, and when O(allow_partial=false) makes the task fail
  type: int
  sample: 1
unreadable:
  description: Repositories that cannot be read, and why.
  returned: success, and when repositories that cannot be read make the task fail
  type: list
  elements: dict
  contains:
    repository:
      description: Name of the repository.
      type: str
      sample: offsite
    reason:
      description: Why it cannot be read.
      type: str
      sample: Connection refused (NotConnected)
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge import run as bridge
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge.arguments import REPOSITORIES
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge.places import places_from
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge.recovery_answers import record_answer
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import IncompleteError, UsageError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host import recovery_recording


def read(module: AnsibleModule) -> bridge.Result:
    """Return the records that were asked for; when too little can be read, that ends the module."""
    params = module.params
    if params["limit"] < 0:
        raise UsageError("Cannot list so few records", f"limit is {params['limit']}", "set it to 0 for all, or more")
    places = places_from(params["repositories"])
    found = recovery_recording.records(places, params["job"], params["scenario"], params["limit"])
    answer = {
        "records": [record_answer(row) for row in found.rows],
        "total": found.total,
        # Not "unreachable": of a task that returns this, Ansible says that the host is.
        "unreadable": [{"repository": name, "reason": why} for name, why in found.unreachable.items()],
    }
    words = [f"{name} cannot be read: {why}" for name, why in found.unreachable.items()]
    if len(words) == len(places) or (words and not params["allow_partial"]):
        remedy = "make the repositories available, or leave out those that are gone"
        bridge.fail(module, IncompleteError("Cannot list all records", "; ".join(words), remedy, found), answer)
    return {**answer, "warnings": [*words, *found.damaged]}


def main() -> t.NoReturn:
    module = AnsibleModule(
        argument_spec={
            "job": {"type": "str", "default": ""},
            "scenario": {"type": "str", "default": ""},
            "limit": {"type": "int", "default": 20},
            "allow_partial": {"type": "bool", "default": True},
            **REPOSITORIES,
        },
        supports_check_mode=True,
    )
    bridge.report(module, lambda _params: read(module))


if __name__ == "__main__":
    main()
