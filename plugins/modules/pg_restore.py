#!/usr/bin/python
# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pg_restore
short_description: Restore a PostgreSQL database from its repositories
version_added: 1.0.0
description:
  - Restores a backup of M(lifeboat.recovery.pg_backup) from the nearest repository that has a good copy of it.
  - The backup is read and verified as a whole before the server is touched. It is then restored into a new database
    with a temporary name and compared with the backup, every row and object. Only then it gets its name.
  - A database that has the name already is closed, its sessions are ended, and it is renamed, in one transaction with
    the new one. It stays until somebody drops it, unless O(keep_previous=false).
  - A copy that turns out to be damaged or away is passed over for the next one, with a warning.
  - Whatever fails before the last step leaves the server as it was.
author:
  - Lifeboat maintainers (@lifeboat)
extends_documentation_fragment:
  - lifeboat.recovery._attributes
  - lifeboat.recovery._attributes.actiongroup_postgres
  - lifeboat.recovery._postgres_login
  - lifeboat.recovery._postgres_programs
  - lifeboat.recovery._repository.several
attributes:
  check_mode:
    support: full
    details:
      - Chooses the backup and the copy, looks at the target, and says what would happen.
      - It fails where the restore would be refused, and returns the plan even then.
  diff_mode:
    support: full
  idempotent:
    support: none
    details:
      - Each run restores.
options:
  job:
    description: Name of the backup job.
    type: str
    required: true
  backup:
    description:
      - Which backup to restore. An id, V(latest) or V(latest_good).
      - V(latest_good) is the newest one that was proved. If no copy of it can be used, older good ones are tried.
      - V(latest) is the newest one, proved or not. Like every other it is verified before the server is touched.
    type: str
    default: latest_good
  database:
    description:
      - Name of the database to restore as. By default it is the name of the database that was backed up.
    type: str
  confirm:
    description:
      - Name of the database that may be replaced. It must be equal to O(database) if there is such a database, else the
        task fails with V(confirm) as RV(ignore:guard).
    type: str
  keep_previous:
    description:
      - Whether a replaced database is kept under another name, see RV(ignore:previous).
      - With V(false) it is dropped as soon as the restored one has taken its place.
    type: bool
    default: true
  schema_only:
    description:
      - Whether only the definitions are restored, without any rows.
    type: bool
    default: false
  no_owner:
    description:
      - Whether everything shall belong to O(login_user), instead of its former owners.
      - Together with O(no_privileges), the roles of the source need not be there.
    type: bool
    default: false
  no_privileges:
    description:
      - Whether privileges are left out.
    type: bool
    default: false
  jobs:
    description:
      - How many connections load tables and build indexes at once, as the option C(--jobs) of C(pg_restore).
    type: int
    default: 1
  spool_dir:
    description:
      - Directory on the host that the task runs on, for the fetched backup. It needs room for RV(ignore:plain_bytes).
      - By default it is the directory for temporary files.
    type: path
seealso:
  - module: lifeboat.recovery.pg_backup
  - name: pg_restore
    description: What is restored, and in which order.
    link: https://www.postgresql.org/docs/current/app-pgrestore.html
notes:
  - Name the nearest repository first in O(repositories). Of one backup, proved copies are tried before others.
  - The task runs on a host that has the client programs of PostgreSQL, the Python library C(psycopg2), and access to
    the repositories and the server. C(zstandard) or the command C(zstd) is needed before Python 3.14.
  - With peer authentication, the default of most distributions, the task must run as the user of the same name as
    O(login_user). Set C(become_user=postgres).
  - The server needs room for a second copy of the database, its roles, extensions and tablespaces, and the same or a
    newer major version. All of that is found out first.
  - A database that somebody creates while the restore runs is not replaced without O(confirm) either.
"""

EXAMPLES = r"""
---
- name: See what a restore would do
  become: true
  become_user: postgres
  lifeboat.recovery.pg_restore:
    job: db1-lab
    confirm: lab
    repositories: &repositories
      - name: local
        path: /srv/backups
      - name: site
        bucket: backups
        endpoint_url: https://minio.example.com:9000
        access_key: backup-reader
        secret_key: "{{ vault_backup_reader_secret_key }}"
  check_mode: true
  diff: true

- name: Bring the database back from its newest good backup
  become: true
  become_user: postgres
  lifeboat.recovery.pg_restore:
    job: db1-lab
    confirm: lab
    jobs: 4
    repositories: *repositories
  register: restored

- name: Drop what was replaced, once everybody is content
  community.postgresql.postgresql_db:
    name: "{{ restored.previous }}"
    state: absent
  when: restored.previous | length > 0

- name: Look into an older backup beside the database
  lifeboat.recovery.pg_restore:
    job: db1-lab
    backup: 20261120T020000Z-0a1b2c
    database: lab_on_friday
    repositories: *repositories

- name: Bring a database to a server of the developers, without its roles
  lifeboat.recovery.pg_restore:
    job: db1-lab
    login_host: dev.example.com
    login_user: developer
    login_password: "{{ vault_developer_password }}"
    database: lab
    confirm: lab
    keep_previous: false
    no_owner: true
    no_privileges: true
    repositories: *repositories

- name: Make an empty database with the same tables
  lifeboat.recovery.pg_restore:
    job: db1-lab
    database: lab_empty
    schema_only: true
    repositories: *repositories
"""

RETURN = r"""
job:
  description: Name of the job.
  returned: when a backup was found
  type: str
  sample: db1-lab
id:
  description: Id of the backup.
  returned: when a backup was found
  type: str
  sample: 20261120T020000Z-0a1b2c
finished:
  description: When the backup was finished, by the clock of its repository. What was written later is lost.
  returned: when a backup was found
  type: str
  sample: "2026-11-20T02:00:03.118204Z"
repository:
  description: Name of the repository whose copy was restored, in check mode of the one to be tried first.
  returned: when a backup was found
  type: str
  sample: local
copies:
  description: Names of the repositories that have the backup, in the order in which they are tried.
  returned: when a backup was found
  type: list
  elements: str
  sample: [local, site]
proved:
  description: Whether the copy to be tried first was proved before.
  returned: when a backup was found
  type: bool
  sample: true
database:
  description: Name of the database that was restored.
  returned: when a backup was found
  type: str
  sample: lab
source_database:
  description: Name of the database that was backed up.
  returned: when a backup was found
  type: str
  sample: lab
replaces:
  description: Whether there was a database of that name.
  returned: when a backup was found
  type: bool
  sample: true
previous:
  description: Name under which the replaced database is kept, in check mode the pattern of it. Empty if there is none.
  returned: when a backup was found
  type: str
  sample: lab_before_20261120T083012Z
stored_bytes:
  description: Size of the dump in the repository.
  returned: when a backup was found
  type: int
  sample: 20971520
plain_bytes:
  description: Size of the dump after it was fetched.
  returned: when a backup was found
  type: int
  sample: 104857600
database_bytes:
  description: Size of the database on its server when it was backed up.
  returned: when a backup was found
  type: int
  sample: 128974848
problems:
  description: What the target lacks. The restore is refused if there is anything.
  returned: when a backup was found
  type: list
  elements: str
  sample: [the login role may not create databases]
figures:
  description: What was restored and compared, as counts. C(digest) is a sum over all rows, independent of their order.
  returned: when a database was restored
  type: dict
  sample: {tables: 12, rows: 48211, large_objects: 3, sequences: 9, objects: 61, size_bytes: 7890438, digest: 42c7…}
fetch_seconds:
  description: Time for fetching and verifying the backup.
  returned: when a database was restored
  type: float
  sample: 1.236
load_seconds:
  description: Time that C(pg_restore) took.
  returned: when a database was restored
  type: float
  sample: 4.325
compare_seconds:
  description: Time for comparing the restored database with the backup.
  returned: when a database was restored
  type: float
  sample: 1.271
seconds:
  description: Time for everything.
  returned: when a database was restored
  type: float
  sample: 7.113
guard:
  description: The safety rule that forbade the restore, such as V(confirm) or V(template_database).
  returned: when a guard refused
  type: str
  sample: confirm
"""

import dataclasses
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge import run as bridge
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge.arguments import REPOSITORIES
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge.postgres_options import POSTGRES_LOGIN
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge.postgres_restores import (
    restore_answer,
    restore_plan_answer,
    restore_request_from,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import LifeboatError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host import restore_run


@dataclasses.dataclass(frozen=True)
class Planned:
    """A restore that would be done."""

    plan: restore_run.RestorePlan

    @property
    def changed(self) -> bool:
        return True

    def diff(self) -> tuple[bridge.Result, bridge.Result]:
        """Return the databases that the restore touches, before and after."""
        answer = self.result()
        name, previous = answer["database"], answer["previous"]
        before = {name: "the present database" if answer["replaces"] else None}
        after = {name: f"backup {answer['id']} of {answer['job']} from {answer['repository']}"}
        return before, {**after, **({previous: before[name]} if previous else {})}

    def result(self) -> bridge.Result:
        """Return which backup would be restored, from where, and what stands in its place."""
        return restore_plan_answer(self.plan)


def plan(module: AnsibleModule, params: bridge.Params) -> Planned:
    """Choose the backup and look at the target; a refusal returns the plan, too."""
    planned = Planned(restore_run.plan(restore_request_from(params)))
    try:
        restore_run.check(planned.plan)
    except LifeboatError as error:
        bridge.fail(module, error, planned.result())
    return planned


def main() -> t.NoReturn:
    module = AnsibleModule(
        argument_spec={
            "job": {"type": "str", "required": True},
            "backup": {"type": "str", "default": "latest_good"},
            "database": {"type": "str"},
            "confirm": {"type": "str"},
            "keep_previous": {"type": "bool", "default": True},
            "schema_only": {"type": "bool", "default": False},
            "no_owner": {"type": "bool", "default": False},
            "no_privileges": {"type": "bool", "default": False},
            "jobs": {"type": "int", "default": 1},
            "spool_dir": {"type": "path"},
            **REPOSITORIES,
            **POSTGRES_LOGIN,
        },
        supports_check_mode=True,
    )
    bridge.run(
        module, lambda params: plan(module, params), lambda planned: restore_answer(restore_run.restore(planned.plan))
    )


if __name__ == "__main__":
    main()
