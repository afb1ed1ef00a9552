# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleFilterError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import LifeboatError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.inventory_recovery import (
    Known,
    host_recovery,
)

DOCUMENTATION = r"""
name: recovery_scope
short_description: Tell which jobs of an inventory a recovery of everything brings back
version_added: 1.0.0
description:
  - Takes names of jobs as people give them, and makes of a set its members, and of a job with databases one job for
    each of them.
  - The playbook C(lifeboat.recovery.dr.complete_loss) works by it.
author:
  - Lifeboat maintainers (@lifeboat)
extends_documentation_fragment:
  - lifeboat.recovery._inventory_jobs
positional: _input
options:
  names:
    description:
      - Names of jobs, or of one set, as a list or a text with commas. By default all jobs but sets, and but those that
        have a folder of the operating system such as C(/etc), which belongs to the host that was lost.
    type: raw
  confirm:
    description:
      - Names that were confirmed, as a list or a text with commas.
    type: raw
  databases:
    description:
      - What repositories know of jobs with databases. A dictionary for each database has the C(name) of its job, C(job)
        as the full name of its backups, and C(database).
    type: list
    elements: dict
    default: []
  members:
    description:
      - The members of a recovery point. Each has C(job), which is a full name, and C(backup), which is an id.
    type: list
    elements: dict
    default: []
  repositories:
    description:
      - If it is given, jobs know only these repositories.
    type: list
    elements: str
"""

EXAMPLES = r"""
- name: Show what would be brought back of a set
  ansible.builtin.debug:
    msg: "{{ (lifeboat_jobs | lifeboat.recovery.recovery_scope(host=inventory_hostname, names='complete')).asked }}"
"""

RETURN = r"""
_value:
  description: What the recovery is about.
  type: dict
  contains:
    set:
      description: The set that was named, or an empty dictionary.
      type: dict
    servers:
      description: Names of those jobs with databases that count.
      type: list
      elements: str
    jobs:
      description: All jobs that could be brought back, with one for each database.
      type: list
      elements: dict
    asked:
      description: Names of those jobs that were named, or all but RV(_value.left_out). It is empty if all are meant.
      type: list
      elements: str
      sample: [all.shop, media]
    databases:
      description: Names of those jobs of databases that are to be brought back.
      type: list
      elements: str
      sample: [all.shop]
    confirmed:
      description: Names of jobs that were confirmed.
      type: list
      elements: str
    full_names:
      description: The full names of all jobs by their names.
      type: dict
      sample:
        all.shop: db1-all.shop
    backups:
      description: Ids of backups by the names of jobs, as far as the recovery point has them.
      type: dict
    left_out:
      description: Names of jobs with folders of the operating system, if no job was named.
      type: list
      elements: str
      sample: [etc]
"""

Entries = t.Sequence[t.Mapping[str, t.Any]]


def recovery_scope(
    jobs: Entries,
    host: str,
    names: t.Any = None,
    confirm: t.Any = None,
    databases: Entries = (),
    members: Entries = (),
    repositories: t.Sequence[str] | None = None,
) -> dict[str, t.Any]:
    """Return what a recovery is about. Raises AnsibleFilterError."""
    try:
        known = Known(tuple(databases), tuple(members))
        found = host_recovery(str(host), jobs, _listed(names), _listed(confirm), known)
    except LifeboatError as error:
        raise AnsibleFilterError(str(error)) from None  # Ansible would say the causes of causes again
    return {
        "set": dict(found.set),
        "servers": list(found.servers),
        "jobs": [dict(job) if repositories is None else _limited(job, repositories) for job in found.jobs],
        "asked": list(found.asked),
        "databases": list(found.databases),
        "confirmed": list(found.confirmed),
        "full_names": found.full_names,
        "backups": found.backups,
        "left_out": list(found.left_out),
    }


def _listed(names: t.Any) -> list[str]:
    """Return names that came as a list, or from a survey as one text with commas."""
    given = [names] if isinstance(names, str) else list(names or ())
    return [name.strip() for each in given for name in str(each).split(",") if name.strip()]


def _limited(job: t.Mapping[str, t.Any], repositories: t.Sequence[str]) -> dict[str, t.Any]:
    wanted = job.get("repositories", repositories)
    return {**job, "repositories": [name for name in wanted if name in repositories]}


class FilterModule:
    """What Ansible asks for the filters of this file."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"recovery_scope": recovery_scope}
