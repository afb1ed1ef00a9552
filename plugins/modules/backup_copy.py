#!/usr/bin/python
# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: backup_copy
short_description: Copy backups from one repository to another
version_added: 1.0.0
description:
  - Brings backups of a job into another repository. A copy is the same backup, with the same id and the same bytes.
  - Only what the target lacks is moved. A stored file that was found bad there is replaced.
  - A copy that was killed goes on where it stopped. Stored files that are there as a whole are not sent again.
  - While bytes are moved they are compared with what the backup wrote. The copy is read back and proved on arrival.
  - A damaged backup does not keep the others from being copied. The task fails after them.
  - The copy is done by the host that the task runs on, which reads the source and writes the target.
author:
  - Lifeboat maintainers (@lifeboat)
extends_documentation_fragment:
  - lifeboat.recovery._attributes
  - lifeboat.recovery._source_and_target
  - lifeboat.recovery._copy_choice
  - lifeboat.recovery._postgres_programs
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details:
      - The difference is the list of backups in the target, with what is still to be moved.
  idempotent:
    support: full
options:
  job:
    description:
      - Name of the job.
    type: str
    required: true
  backup:
    description:
      - Which backups to copy, V(all), V(latest), V(latest_good), or the one with this id.
      - V(latest) is the newest backup in O(source).
        V(latest_good) is the newest one there that was proved, and that nobody has touched since.
      - O(tier), O(min_age) and O(max_age) leave out some of V(all).
    type: str
    default: latest
  proof:
    description:
      - What is done with each copy on arrival.
      - V(content) reads it back to the end, as M(lifeboat.recovery.backup_verify) does.
        It needs C(pg_restore) on the host.
      - V(none) leaves that to a schedule. The copy does not count as proved until then.
    type: str
    choices: [content, none]
    default: content
  wait_s:
    description:
      - How many seconds to wait for other maintenance of the job in O(target).
      - The default is long enough to outlive a host that crashed during such work.
    type: int
    default: 4200
seealso:
  - module: lifeboat.recovery.pg_backup
    description: Copies each new backup by itself.
  - module: lifeboat.recovery.backup_info
"""

EXAMPLES = r"""
---
- name: Bring the newest good backup off site
  lifeboat.recovery.backup_copy:
    job: db1-shop
    backup: latest_good
    source: &local
      name: local
      path: /srv/backup/lifeboat
    target: &offsite
      name: offsite
      bucket: backups
      endpoint_url: https://s3.offsite.example.com
      access_key: copier
      secret_key: "{{ vault_copier_secret_key }}"

- name: Fill a new repository with all backups, and leave the proof to the night
  lifeboat.recovery.backup_copy:
    job: db1-shop
    backup: all
    proof: none
    source: *local
    target: *offsite

- name: Keep one backup of each month off site, but none that would be removed there again
  lifeboat.recovery.backup_copy:
    job: db1-shop
    backup: all
    tier: monthly
    timezone: Europe/Berlin
    keep:
      monthly: 24
    source: *local
    target: *offsite

- name: Replace what was found damaged in the local copy of one backup
  lifeboat.recovery.backup_copy:
    job: db1-shop
    backup: 20261120T020000Z-0a1b2c
    source: *offsite
    target: *local
"""

RETURN = r"""
source:
  description: Name of the repository that was read.
  returned: success, and when the task fails while or after it copies
  type: str
  sample: local
target:
  description: Name of the repository that was written.
  returned: success, and when the task fails while or after it copies
  type: str
  sample: offsite
backups:
  description:
    - One entry for each backup that was (in check mode, would be) copied or proved, the oldest first.
    - Those of which the target lacks nothing are not shown.
  returned: success, and when the task fails while or after it copies
  type: list
  elements: dict
  contains:
    id:
      description: Id of the backup.
      type: str
      sample: 20261120T020000Z-0a1b2c
    bytes:
      description: How much was moved. It is V(0) if the copy was there and lacked only its proof.
      type: int
      sample: 104857600
    seconds:
      description: How long it took, V(null) in check mode.
      type: float
      sample: 8.4
bytes:
  description: How much was moved in all.
  returned: success, and when the task fails while or after it copies
  type: int
  sample: 104857600
skipped:
  description: Ids of backups that are not brought, because O(keep) would let the target drop them at once.
  returned: success, and when the task fails while or after it copies
  type: list
  elements: str
  sample: []
damaged:
  description: Ids of backups that cannot be read in the source, and are not in the target either.
  returned: success, and when the task fails while or after it copies
  type: list
  elements: str
  sample: []
"""

import dataclasses
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge import run as bridge
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge.arguments import REPOSITORY
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge.copy_options import (
    COPY_CHOICE,
    copy_request_from,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import IncompleteError, LifeboatError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host import copy_run
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.copy import CopyPlan


@dataclasses.dataclass(frozen=True)
class Planned:
    """Copies that would be made."""

    plan: copy_run.CopyRunPlan

    @property
    def changed(self) -> bool:
        return not self.plan.is_empty

    def diff(self) -> tuple[bridge.Result, bridge.Result]:
        """Return what each backup that was asked for lacks in the target, before and after."""
        after = {move.id: "complete" for move in self.plan.moves}
        before = {**after, **{move.id: _lack(move) for move in self.plan.due}}
        return {"copies": before}, {"copies": after}

    def result(self) -> dict[str, t.Any]:
        """Return what would be moved."""
        due = [{"id": move.id, "bytes": move.bytes, "seconds": None} for move in self.plan.due]
        return answer(self.plan, due, sorted(self.plan.damaged))


def _lack(move: CopyPlan) -> str:
    if move.is_empty:
        return "not proved"
    return f"{'incomplete' if move.is_published else 'missing'}, {move.bytes} bytes to move"


def answer(plan: copy_run.CopyRunPlan, rows: list[dict[str, t.Any]], damaged: list[str]) -> dict[str, t.Any]:
    """Return what a task says about copies; `rows` are those that were or would be made."""
    return {
        "source": plan.request.source.name,
        "target": plan.request.target.name,
        "backups": rows,
        "bytes": sum(row["bytes"] for row in rows),
        "skipped": list(plan.skipped),
        "damaged": damaged,
        "warnings": [f"{backup_id} cannot be copied: {why}" for backup_id, why in plan.damaged.items()],
    }


def plan(params: bridge.Params) -> Planned:
    """Compare the two repositories."""
    planned = copy_run.plan(copy_request_from(params))
    copy_run.require_readable(planned)
    return Planned(planned)


def apply(module: AnsibleModule, planned: Planned) -> bridge.Result:
    """Copy; damaged backups, and whatever ends the work early, are a failure that says what was copied."""
    done: list[copy_run.CopiedBackup] = []
    try:
        return answer(planned.plan, _rows(copy_run.run(planned.plan, on_copied=done.append)), [])
    except IncompleteError as error:
        rows = _rows(error.result)
        copied = {row["id"] for row in rows}
        damaged = {*planned.plan.damaged, *(move.id for move in planned.plan.due if move.id not in copied)}
        bridge.fail(module, error, {**answer(planned.plan, rows, sorted(damaged)), "changed": bool(rows)})
    except LifeboatError as error:
        rows = _rows(done)
        bridge.fail(module, error, {**answer(planned.plan, rows, sorted(planned.plan.damaged)), "changed": bool(rows)})


def _rows(copied: t.Sequence[copy_run.CopiedBackup]) -> list[dict[str, t.Any]]:
    return [dataclasses.asdict(each) for each in copied]


def main() -> t.NoReturn:
    module = AnsibleModule(
        argument_spec={
            "job": {"type": "str", "required": True},
            "backup": {"type": "str", "default": "latest"},
            "source": REPOSITORY["repository"],
            "target": REPOSITORY["repository"],
            "proof": {"type": "str", "choices": ["content", "none"], "default": "content"},
            "wait_s": {"type": "int", "default": 4200},
            **COPY_CHOICE,
        },
        supports_check_mode=True,
    )
    bridge.run(module, plan, lambda planned: apply(module, planned))


if __name__ == "__main__":
    main()
