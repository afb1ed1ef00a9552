#!/usr/bin/python
# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: backup_info
short_description: List backups and their copies
version_added: 1.0.0
description:
  - Joins what several repositories have into one list, the newest backup first.
  - Says which copies were proved, and when.
  - Only the small documents of the repositories are read.
    M(lifeboat.recovery.backup_verify) reads the backups themselves.
  - Of repositories in buckets, what the same user has read on the host before is not read again as long as the listing
    of the bucket shows it unchanged. It is kept in C(~/.cache/lifeboat/catalog), for root in
    C(/var/cache/lifeboat/catalog), which can be removed at any time.
author:
  - Lifeboat maintainers (@lifeboat)
extends_documentation_fragment:
  - lifeboat.recovery._attributes
  - lifeboat.recovery._attributes.info
  - lifeboat.recovery._repository.several
options:
  job:
    description:
      - Name of the job.
      - By default the backups of all jobs are listed that one of the repositories knows.
    type: str
  databases:
    description:
      - That O(job) is one for several databases of a server, as of M(lifeboat.recovery.pg_backup).
        V(all), or a list of their names.
      - Its backups are those of jobs for single databases. They are listed for all of these databases that any of the
        repositories has a backup of. RV(jobs) has the names of these jobs.
    type: raw
  exclude:
    description:
      - With O(databases=all), names or patterns (C(*), C(?), C([])) of databases to leave out.
    type: list
    elements: str
    default: []
  backup:
    description:
      - Which backups to list, V(all), V(latest), V(latest_good), or the one with this id.
      - V(latest) is the newest backup of each job.
        V(latest_good) is the newest that was proved in one of the repositories, that nobody has touched since, and that
        is not flagged.
      - When there is no such backup the list is empty, which is no error.
    type: str
    default: all
  limit:
    description:
      - How many backups to list at most, so that results stay small. The newest ones are listed.
      - V(0) lists all.
    type: int
    default: 100
  allow_partial:
    description:
      - Whether a repository that cannot be read is only a warning, as in a disaster, when one of them is gone.
      - The task fails in any case when none of the repositories can be read.
        An empty list always means that there are no backups.
    type: bool
    default: true
seealso:
  - module: lifeboat.recovery.backup_repository_info
  - module: lifeboat.recovery.backup_verify
  - module: lifeboat.recovery.pg_restore
"""

EXAMPLES = r"""
---
- name: List the backups of a job
  lifeboat.recovery.backup_info:
    job: db1-shop
    repositories: &repositories
      - name: local
        path: /srv/backup/lifeboat
      - name: site
        bucket: backups
        endpoint_url: https://minio.example.com:9000
        access_key: reader
        secret_key: "{{ vault_reader_secret_key }}"
  register: shop

- name: Fail unless the newest good backup is of today
  ansible.builtin.assert:
    that: shop.backups | selectattr('proved') | map(attribute='started') | first is match(today)
  vars:
    today: "{{ now(utc=true).strftime('%Y-%m-%d') }}"

- name: Look at the newest good backup of every job
  lifeboat.recovery.backup_info:
    backup: latest_good
    repositories: *repositories
  register: newest

- name: Name the backups that are not in all repositories
  ansible.builtin.debug:
    msg: "{{ item.job }} {{ item.id }}"
  loop: "{{ newest.backups }}"
  when: item.copies | length < 2

- name: Look at the newest good backup of each database of a server
  lifeboat.recovery.backup_info:
    job: db1-all
    databases: all
    backup: latest_good
    repositories: *repositories

- name: Fail if one of the repositories cannot be read
  lifeboat.recovery.backup_info:
    backup: latest
    repositories: *repositories
    allow_partial: false
"""

RETURN = r"""
backups:
  description: One entry for each backup, the newest first.
  returned: success, and when O(allow_partial=false) makes the task fail
  type: list
  elements: dict
  contains:
    id:
      description: Id of the backup.
      type: str
      sample: 20261120T020000Z-0a1b2c
    job:
      description: Name of the job.
      type: str
      sample: db1-shop
    kind:
      description: What was backed up. V(null), as what follows up to C(source), if no manifest can be read.
      type: str
      sample: pg_database
    host:
      description: Where the backup was made, or V(null).
      type: str
      sample: db1
    started:
      description: When the run began, by the clock of the repository, or V(null).
      type: str
      sample: "2026-11-20T02:00:00.000000Z"
    finished:
      description: When everything was stored, or V(null).
      type: str
      sample: "2026-11-20T02:03:12.000000Z"
    plain_bytes:
      description: Size of what was backed up, as it was dumped, or V(null).
      type: int
      sample: 524288000
    stored_bytes:
      description: How much of each repository it takes, or V(null).
      type: int
      sample: 104857600
    source:
      description: What exactly was backed up, or V(null).
      type: dict
      sample:
        database: shop
        server_version: "15.18"
    proved:
      description: Whether at least one copy was read back, found good, and not touched since.
      type: bool
      sample: true
    proved_at:
      description: When such a copy was last proved, V(null) without one.
      type: str
      sample: "2026-11-20T02:05:00.000000Z"
    flags:
      description: Why a guard doubts what the backup holds, such as objects that are gone.
      type: list
      elements: str
      sample: ["mass_delete: 1,200 of 4,000 objects are gone"]
    flagged:
      description: Whether there are such flags, and nobody has acknowledged them.
      type: bool
      sample: false
    copies:
      description: One entry for each repository that has the backup, in the order of O(repositories).
      type: list
      elements: dict
      contains:
        repository:
          description: Name of the repository.
          type: str
          sample: site
        proved:
          description: Whether this copy was read back, found good, and not touched since.
          type: bool
          sample: true
        proved_at:
          description: When this copy was last read back and found good, V(null) without that.
          type: str
          sample: "2026-11-20T02:05:00.000000Z"
        problems:
          description: Stored files that were found bad when they were last read, the first ten.
          type: list
          elements: str
          sample: []
        alarms:
          description: What happened to the manifest of this copy that must not happen.
          type: list
          elements: str
          sample: [the manifest was written 2 times; the oldest counts]
        signature:
          description:
            - What the signature of the manifest of this copy is worth. Without keys it is V(not_checked).
            - With keys a backup is V(valid), or never chosen. With V(wrong) somebody has changed the manifest.
          type: str
          sample: not_checked
jobs:
  description: Names of the jobs whose backups were looked for, also of those that have none like O(backup).
  returned: success, and when O(allow_partial=false) makes the task fail
  type: list
  elements: str
  sample: [db1-shop]
databases:
  description:
    - With O(databases), the databases that are meant and that a repository has backups of, and those that are named, in
      the order of their jobs. Otherwise an empty list.
  returned: success, and when O(allow_partial=false) makes the task fail
  type: list
  elements: dict
  contains:
    database:
      description: Name of the database.
      type: str
      sample: shop
    job:
      description: Name of the job under which its backups are.
      type: str
      sample: db1-all.shop
    has_backups:
      description: Whether any of the repositories that can be read has a backup of it.
      type: bool
      sample: true
total:
  description: How many backups were found. If it is larger than O(limit), older ones are not in RV(backups).
  returned: success, and when O(allow_partial=false) makes the task fail
  type: int
  sample: 14
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

import dataclasses
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge import run as bridge
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge.arguments import REPOSITORIES
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge.places import places_from
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import IncompleteError, UsageError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host.listing import described, listing
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.postgres.databases import (
    Selection,
    selection_from,
)


def read(module: AnsibleModule) -> bridge.Result:
    """Describe the backups that were asked for; when too little can be read, that ends the module."""
    params = module.params
    if params["limit"] < 0:
        raise UsageError("Cannot list so few backups", f"limit is {params['limit']}", "set it to 0 for all, or more")
    places = places_from(params["repositories"])
    found = listing(places, params["job"] or "", params["backup"], _databases(params))
    answer = {
        "backups": [described(row) for row in found.rows[: params["limit"] or None]],
        "jobs": list(found.jobs),
        "databases": [dataclasses.asdict(each) for each in found.databases],
        "total": len(found.rows),
        # Not "unreachable": of a task that returns this, Ansible says that the host is.
        "unreadable": [{"repository": name, "reason": why} for name, why in found.unreachable.items()],
    }
    words = [f"{name} cannot be read: {why}" for name, why in found.unreachable.items()]
    if len(words) == len(places) or (words and not params["allow_partial"]):
        remedy = "make the repositories available, or leave out those that are gone"
        bridge.fail(module, IncompleteError("Cannot list all backups", "; ".join(words), remedy, found), answer)
    return {**answer, "warnings": words}


def _databases(params: bridge.Params) -> Selection | None:
    if params["databases"] is None:
        return None
    problem = "Cannot list the backups of these databases"
    if not params["job"]:
        raise UsageError(problem, "no job is named", "name the job that backs them up")
    return selection_from(params["databases"], params["exclude"], problem)


def main() -> t.NoReturn:
    module = AnsibleModule(
        argument_spec={
            "job": {"type": "str"},
            "databases": {"type": "raw"},
            "exclude": {"type": "list", "elements": "str", "default": []},
            "backup": {"type": "str", "default": "all"},
            "limit": {"type": "int", "default": 100},
            "allow_partial": {"type": "bool", "default": True},
            **REPOSITORIES,
        },
        supports_check_mode=True,
    )
    bridge.report(module, lambda _params: read(module))


if __name__ == "__main__":
    main()
