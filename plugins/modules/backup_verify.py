#!/usr/bin/python
# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: backup_verify
short_description: Verify backups, up to a restore on trial
version_added: 1.0.0
description:
  - Verifies every copy of a backup in all repositories that are named, and records beside it what was found.
  - A backup counts as proved once V(content) or V(restore) of O(level) found all of it good.
    A failed verification of any level but V(presence) overrides that.
  - A copy that is missing, a repository that does not answer, and a manifest that was tampered with are problems, too.
author:
  - Lifeboat maintainers (@lifeboat)
extends_documentation_fragment:
  - lifeboat.recovery._attributes
  - lifeboat.recovery._repository.several
  - lifeboat.recovery._drill
  - lifeboat.recovery._copies_objective
  - lifeboat.recovery._postgres_programs
  - lifeboat.recovery._s3_connection
attributes:
  check_mode:
    support: full
    details:
      - In check mode nothing is read but listings and small documents, and the task says what would be.
      - With O(level=presence) the task does the same as otherwise, because it writes nothing.
  diff_mode:
    support: full
    details:
      - The difference is the list of verifications that are recorded.
  idempotent:
    support: none
    details:
      - Each verification is done again and recorded again. One with O(level=presence) reports no change.
options:
  job:
    description:
      - Name of the job.
    type: str
    required: true
  backup:
    description:
      - Which backup to verify, V(latest), V(all), or the one with this id.
      - V(latest) is the newest backup that any of the repositories has.
        With it, or with an id, each repository must have a copy.
    type: str
    default: latest
  level:
    description:
      - V(presence) looks for every stored file and compares its size. This proves nothing and is not recorded.
      - V(checksum) reads every stored byte and compares its SHA-256. This finds damage, and proves nothing either.
      - V(content) also decompresses everything, and has C(pg_restore) read archives of databases to their end.
      - V(restore) also restores into a PostgreSQL server of its own, which is started and thrown away for that, and
        compares every row. It needs the programs of a PostgreSQL server on the host.
      - Of buckets and folders, V(content) compares each object with its row in the index, and V(restore) also restores
        into O(scratch_dir) or O(scratch_bucket), reads everything back, and empties that place again.
    type: str
    choices: [presence, checksum, content, restore]
    default: content
  sample:
    description:
      - Which part of the packs of objects and files to read with O(level=content), such as V(1/7) to V(7/7).
      - As many runs as there are parts read everything. Lists and indexes are always read.
      - A backup is proved when all parts were read. By default all is read.
    type: str
    default: ""
  scratch_bucket:
    description:
      - Bucket for restores of buckets and folders on trial, on the server of O(endpoint_url).
      - It must not be there, and is made and removed; or it is empty and without object lock, and is emptied again.
      - By default they go into a directory below O(scratch_dir).
    type: str
  compare_source:
    description:
      - Whether O(level=restore) also counts how the source of buckets or folders has changed since the backup.
      - Buckets are looked for on the server of O(endpoint_url), folders on the host that the task runs on.
      - A difference is no problem. The counts are in RV(copies[].report).
    type: bool
    default: false
  fail_on_problem:
    description:
      - Whether the task fails if anything is not good. It returns what it found in both cases.
    type: bool
    default: true
seealso:
  - module: lifeboat.recovery.backup_info
  - module: lifeboat.recovery.pg_backup
"""

EXAMPLES = r"""
---
- name: Prove the newest backup by restoring each of its copies on trial
  lifeboat.recovery.backup_verify:
    job: db1-shop
    level: restore
    scratch_dir: /var/tmp
    jobs: 4
    repositories: &repositories
      - name: local
        path: /srv/backup/lifeboat
      - name: site
        bucket: backups
        endpoint_url: https://minio.example.com:9000
        access_key: verifier
        secret_key: "{{ vault_verifier_secret_key }}"

- name: Read all stored bytes of all backups once a month
  lifeboat.recovery.backup_verify:
    job: db1-shop
    backup: all
    level: checksum
    repositories: *repositories

- name: Read a seventh of all objects each day of the week
  lifeboat.recovery.backup_verify:
    job: minio1-buckets
    sample: "{{ ansible_facts.date_time.weekday_number | int + 1 }}/7"
    repositories: *repositories

- name: Restore the newest backup of the buckets on trial, and say what has changed since
  lifeboat.recovery.backup_verify:
    job: minio1-buckets
    level: restore
    scratch_bucket: lifeboat-drill
    compare_source: true
    endpoint_url: https://minio.example.com:9000
    access_key: verifier
    secret_key: "{{ vault_verifier_secret_key }}"
    repositories: *repositories

- name: See at once whether everything is there, and enough copies of the newest backup
  lifeboat.recovery.backup_verify:
    job: db1-shop
    backup: all
    copies:
      total: 2
      media: 2
    level: presence
    fail_on_problem: false
    repositories: *repositories
  register: verified

- name: Show the problems
  ansible.builtin.debug:
    var: verified.problems
"""

RETURN = r"""
good:
  description:
    - Whether there is no problem.
    - In check mode it is V(null) if the answer needs the verification itself.
  returned: success, and when a problem makes the task fail
  type: bool
  sample: true
problems:
  description: Everything that is not good, with the repository and the backup, the first hundred.
  returned: success, and when a problem makes the task fail
  type: list
  elements: str
  sample: ["site: 20261120T020000Z-0a1b2c/database.dump.zst: it is not there"]
stored_bytes:
  description: How much there is to read.
  returned: success, and when a problem makes the task fail
  type: int
  sample: 209715200
copies:
  description: One entry for each copy that was (in check mode, would be) verified.
  returned: success, and when a problem makes the task fail
  type: list
  elements: dict
  contains:
    repository:
      description: Name of the repository.
      type: str
      sample: site
    id:
      description: Id of the backup.
      type: str
      sample: 20261120T020000Z-0a1b2c
    level:
      description: How it was verified.
      type: str
      sample: restore
    good:
      description: Whether this copy is good, V(null) when it was not verified.
      type: bool
      sample: true
    problems:
      description: What is not good, the first ten.
      type: list
      elements: str
      sample: []
    report:
      description:
        - Counts of what was read or restored, versions and seconds.
        - Which ones there are depends on the kind of the backup.
      type: dict
      sample:
        tables: 42
        rows: 1048576
        load_s: 12.5
    seconds:
      description: How long it took, V(null) when it was not verified.
      type: float
      sample: 31.4
"""

import dataclasses
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge import run as bridge
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge.arguments import COPIES, REPOSITORIES
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge.drill_options import DRILL, drill_place_from
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge.objects_drill import (
    OBJECTS_DRILL,
    with_objects_drill,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge.places import places_from
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge.s3_options import S3_CONNECTION_RULES
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import DamagedError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host import verify_run
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.copies_objective import objective_from

LEVELS = ["presence", "checksum", "content", "restore"]
SHOWN_PROBLEMS = 100
SHOWN_PROBLEMS_OF_A_COPY = 10
DAMAGE_REMEDY = "use the copies that are good, copy them again with backup_copy, and look for failing hardware"
ABSENCE_REMEDY = "make repositories available that cannot be read, and bring those that are missing with backup_copy"


@dataclasses.dataclass(frozen=True)
class Planned:
    """A verification that would be done; one that only reads listings is done already."""

    plan: verify_run.VerifyPlan
    verdicts: tuple[verify_run.Verdict, ...] = ()

    @property
    def changed(self) -> bool:
        return self.plan.request.level != "presence" and bool(self.plan.copies)

    def diff(self) -> tuple[bridge.Result, bridge.Result]:
        """Return the verifications that are recorded by this task, before and after it."""
        level = self.plan.request.level
        rows = [f"{copy.backup.id} in {copy.place.name}: {level}" for copy in self.plan.copies if self.changed]
        return {"recorded": []}, {"recorded": rows}

    def result(self) -> dict[str, t.Any]:
        """Return which copies would be verified, or what was found in those that were."""
        shown = [_unverified(copy.place.name, copy.backup.id, self.plan.request.level) for copy in self.plan.copies]
        found = answer(self.plan, self.verdicts)
        if self.changed:
            found.update(copies=shown, good=None if found["good"] else False)
        return found


def answer(plan: verify_run.VerifyPlan, verdicts: t.Sequence[verify_run.Verdict]) -> dict[str, t.Any]:
    """Return what a task says about copies that were verified."""
    bad = [f"{each.repository}: {problem}" for each in verdicts for problem in each.problems]
    bad += verify_run.recording_problems(verdicts)
    problems = [*plan.problems, *bad, *(verify_run.copies_problems(plan, verdicts) if verdicts else ())]
    return {
        "good": not problems,
        "problems": problems[:SHOWN_PROBLEMS],
        "stored_bytes": plan.stored_bytes,
        "copies": [_verified(each) for each in verdicts],
    }


def _unverified(repository: str, backup_id: str, level: str) -> dict[str, t.Any]:
    nothing: dict[str, t.Any] = {"good": None, "problems": [], "report": {}, "seconds": None}
    return {"repository": repository, "id": backup_id, "level": level, **nothing}


def _verified(verdict: verify_run.Verdict) -> dict[str, t.Any]:
    shown = list(verdict.problems[:SHOWN_PROBLEMS_OF_A_COPY])
    found = {"good": verdict.is_good, "problems": shown, "report": dict(verdict.report), "seconds": verdict.seconds}
    return {"repository": verdict.repository, "id": verdict.id, "level": verdict.level, **found}


def plan(module: AnsibleModule) -> Planned:
    """Choose the copies; at level presence look at them, too. Problems that nothing will change end the module."""
    params = module.params
    places = places_from(params["repositories"])
    drill, copies = drill_place_from(params), objective_from(params["copies"] or {})
    request = verify_run.VerifyRequest(params["job"], params["backup"], places, params["level"], drill, copies=copies)
    chosen = verify_run.plan(with_objects_drill(request, params))
    planned = Planned(chosen, verify_run.verify(chosen) if request.level == "presence" else ())
    if module.check_mode or not planned.changed:
        _fail_on_problem(module, chosen, {**planned.result(), "changed": planned.changed})
    return planned


def apply(module: AnsibleModule, planned: Planned) -> bridge.Result:
    """Verify, and end the module if something is not good and that is to be a failure."""
    found = answer(planned.plan, verify_run.verify(planned.plan))
    _fail_on_problem(module, planned.plan, {**found, "changed": True})
    return found


def _fail_on_problem(module: AnsibleModule, plan: verify_run.VerifyPlan, found: dict[str, t.Any]) -> None:
    is_damaged = plan.has_remarks or any(copy["good"] is False for copy in found["copies"])
    if not found["problems"] or not module.params["fail_on_problem"]:
        return
    error = DamagedError(
        f"Not every copy of {module.params['job']} is good",
        "; ".join(found["problems"][:5]),
        DAMAGE_REMEDY if is_damaged else ABSENCE_REMEDY,
    )
    bridge.fail(module, error, found)


def main() -> t.NoReturn:
    module = AnsibleModule(
        argument_spec={
            "job": {"type": "str", "required": True},
            "backup": {"type": "str", "default": "latest"},
            "level": {"type": "str", "choices": LEVELS, "default": "content"},
            **COPIES,
            "fail_on_problem": {"type": "bool", "default": True},
            **REPOSITORIES,
            **DRILL,
            **OBJECTS_DRILL,
        },
        supports_check_mode=True,
        **S3_CONNECTION_RULES,
    )
    bridge.run(module, lambda _params: plan(module), lambda planned: apply(module, planned))


if __name__ == "__main__":
    main()
