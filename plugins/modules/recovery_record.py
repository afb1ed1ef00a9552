#!/usr/bin/python
# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: recovery_record
short_description: Record how a recovery went
version_added: 1.0.0
description:
  - Judges a recovery by its figures, sums it up for people, and keeps a record of it in the repositories of the job,
    beside its backups.
  - A record is written once and never changed. Nothing in this collection deletes one.
  - Records are read with M(lifeboat.recovery.recovery_record_info).
author:
  - Lifeboat maintainers (@lifeboat)
extends_documentation_fragment:
  - lifeboat.recovery._attributes
  - lifeboat.recovery._repository.several
attributes:
  check_mode:
    support: full
    details:
      - Nothing is written. The result is the same, but for RV(copies[].recorded_at).
  diff_mode:
    support: full
    details:
      - The difference is in which repositories the record is.
  idempotent:
    support: full
    details:
      - A repository that has this very record is left as it is.
options:
  job:
    description:
      - Full name of the job whose data was recovered.
    type: str
    required: true
  scenario:
    description:
      - What was recovered from, such as V(database_corruption).
      - Small letters, digits and underscores.
    type: str
    required: true
  host:
    description:
      - The host that was recovered. By default it is the one that this task runs on.
      - Set it to C(inventory_hostname) where hosts are renamed or the task is delegated.
    type: str
    default: ""
  begun:
    description:
      - When the recovery began, in UTC, such as V(2026-11-20T08:31:00Z). Together with O(scenario) it names the record.
    type: str
    required: true
  finished:
    description:
      - When the recovery ended.
    type: str
    required: true
  failed_at:
    description:
      - When the damage was done. Loss and outage are measured from then, or from O(begun) if nobody knows.
    type: str
    default: ""
  back_at:
    description:
      - When the data could be used again. Without it the recovery has failed.
    type: str
    default: ""
  recovery_point:
    description:
      - How old the data is that is back. What was written later is lost.
    type: str
    default: ""
  phases:
    description:
      - The parts of the recovery, in their order.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the phase.
        type: str
        required: true
      seconds:
        description: How long it took.
        type: float
        required: true
  backup:
    description:
      - The backup from which the data is.
    type: dict
    suboptions:
      id:
        description: Id of the backup.
        type: str
        default: ""
      repository:
        description: The repository from which it was read.
        type: str
        default: ""
  new_backup:
    description:
      - The backup that was taken of the recovered data.
    type: dict
    suboptions:
      id:
        description: Id of the backup.
        type: str
        default: ""
      repositories:
        description: The repositories that have it, proved.
        type: list
        elements: str
        default: []
  recovered:
    description:
      - Facts about what is back, such as the name of the database and how many rows it has.
      - The record holds them as they are, so that they must not be secrets.
    type: dict
    default: {}
  checks:
    description:
      - What was looked at once the data was back.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: What was looked at.
        type: str
        required: true
      is_good:
        description: Whether it was as it should be.
        type: bool
        required: true
      said:
        description: What was seen.
        type: str
        default: ""
  deviations:
    description:
      - What was not as planned. Empty texts are left out.
    type: list
    elements: str
    default: []
  objectives:
    description:
      - The objectives of the job.
    type: dict
    suboptions:
      rpo_hours:
        description: How many hours of work may be lost.
        type: float
      rto_hours:
        description: How many hours the data may be out of use.
        type: float
  allow_partial:
    description:
      - Whether a repository that cannot be written to is only a warning, as in a disaster, when one of them is gone.
      - The task fails in any case when the record is in none of them.
    type: bool
    default: true
seealso:
  - module: lifeboat.recovery.recovery_record_info
"""

EXAMPLES = r"""
---
- name: Record that the database is back
  lifeboat.recovery.recovery_record:
    job: db1-shop
    scenario: database_corruption
    host: "{{ inventory_hostname }}"
    repositories: "{{ lifeboat_repositories }}"
    begun: "2026-11-20T08:31:00Z"
    failed_at: "2026-11-20T08:30:00Z"
    back_at: "2026-11-20T08:31:35Z"
    finished: "2026-11-20T08:31:40Z"
    recovery_point: "2026-11-20T08:00:00Z"
    backup:
      id: 20261120T080000Z-0a1b2c
      repository: site
    phases:
      - {name: recover, seconds: 35.1}
    checks:
      - {name: health, is_good: true, said: HTTP 200}
    objectives: {rpo_hours: 1, rto_hours: 4}
    recovered:
      database: shop
      rows: 262700
  register: recovery

- name: Say how it went
  ansible.builtin.debug:
    msg: "{{ recovery.summary }}"
"""

RETURN = r"""
record:
  description:
    - What the record says. For all of its members see M(lifeboat.recovery.recovery_record_info).
    - Times have six decimals.
  returned: always, if the options make sense
  type: dict
  contains:
    outcome:
      description:
        - V(recovered) if the data can be used again, everything was as planned and all checks are good,
          V(incomplete) if the data can be used and something else is wrong, and V(failed) if it cannot be used.
      type: str
      sample: recovered
    rpo_s:
      description:
        - Seconds from O(recovery_point) to the damage.
        - It is V(null) if one of them is unknown or the recovery failed.
      type: float
      sample: 1800.0
    rto_s:
      description: Seconds from the damage to O(back_at), V(null) without it.
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
summary:
  description: The recovery for people, in lines of at most 100 columns.
  returned: always, if the options make sense
  type: list
  elements: str
  sample:
    - "database_corruption, job db1-shop of db1: recovered"
    - "backup:   20261120T080000Z-0a1b2c from site"
    - "RTO:      95.0 s since 2026-11-20T08:30:00Z; the objective of 4 h is met"
key:
  description: Under which key the record lies in each repository.
  returned: always, if the options make sense
  type: str
  sample: recoveries/db1-shop/20261120T083100Z-database_corruption.json
copies:
  description: One entry for each repository, in the order of O(repositories).
  returned: always, if the options make sense
  type: list
  elements: dict
  contains:
    repository:
      description: Name of the repository.
      type: str
      sample: site
    recorded_at:
      description: When the record was written, by the clock of the repository. It is empty where there is none.
      type: str
      sample: "2026-11-20T08:31:40.123456Z"
    problem:
      description: Why the record is not there, or empty.
      type: str
      sample: ""
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge import run as bridge
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge.arguments import REPOSITORIES
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge.places import places_from
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge.recovery_answers import (
    RecordPlan,
    copies_answer,
    shortfall,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge.recovery_options import RECOVERY, recovery_from
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host import recovery_recording


def main() -> t.NoReturn:
    module = AnsibleModule(
        argument_spec={"allow_partial": {"type": "bool", "default": True}, **RECOVERY, **REPOSITORIES},
        supports_check_mode=True,
    )

    def plan(params: bridge.Params) -> RecordPlan:
        """Look where the record is already; where too little can be reached, that ends the module."""
        found = RecordPlan(recovery_recording.plan(recovery_from(params), places_from(params["repositories"])))
        is_all = module.check_mode or not found.changed  # what nobody writes now will not be there afterwards
        error = shortfall(found.told.job, found.planned.copies, params["allow_partial"] or not is_all)
        if error is not None:
            bridge.fail(module, error, found.result())
        return found

    def apply(found: RecordPlan) -> bridge.Result:
        copies = recovery_recording.apply(found.planned)
        answer = copies_answer(copies)
        error = shortfall(found.told.job, copies, module.params["allow_partial"])
        if error is not None:
            bridge.fail(module, error, {**found.result(), **answer, "changed": found.is_new_in(copies)})
        return answer

    bridge.run(module, plan, apply)


if __name__ == "__main__":
    main()
