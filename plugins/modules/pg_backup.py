#!/usr/bin/python
# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pg_backup
short_description: Back up a PostgreSQL database, or all of a server, to one or more repositories
version_added: 1.0.0
description:
  - Dumps one database with C(pg_dump) and, beside it, the roles and tablespaces of its server without passwords.
  - The backup is written to the first repository that works, read back and proved there, and then copied to the others,
    where it is proved again.
  - Before anything is written the source is looked at. The task fails with a list of what is missing if the login role
    could not read all of the database, or if the client programs are older than the server.
  - A backup exists from the moment its manifest is written, which is the last thing that is written. A task that fails
    or is killed before leaves nothing that looks like a backup, and the next run cleans up.
  - With O(databases), a database that fails does not stop the others. The task fails in the end, with the complete list
    of what is missing and the RV(ignore:exit_code) V(5), or V(1) if no database was backed up.
author:
  - Lifeboat maintainers (@lifeboat)
extends_documentation_fragment:
  - lifeboat.recovery._attributes
  - lifeboat.recovery._attributes.actiongroup_postgres
  - lifeboat.recovery._postgres_login
  - lifeboat.recovery._postgres_programs
  - lifeboat.recovery._repository.several
  - lifeboat.recovery._drill
  - lifeboat.recovery._pg_backup
attributes:
  check_mode:
    support: full
    details:
      - Looks at the source, the programs and every repository, and says what would be written, with an estimate.
  diff_mode:
    support: full
  idempotent:
    support: none
    details:
      - Each run writes a backup.
options:
  job:
    description:
      - Name of the backup job. It must not be used for anything else in any of the repositories, so let it contain the
        name of the host, such as V(db1-lab).
      - Its first run binds the job to the server and the database that it saves. A run for another one is refused.
        A standby is the same server as its primary.
      - With O(databases), at most 60 characters.
    type: str
    required: true
  database:
    description:
      - Name of the database, exactly as the server knows it. It can contain any characters.
      - Either this or O(databases) is required.
    type: str
seealso:
  - module: lifeboat.recovery.pg_restore
  - name: pg_dump
    description: What a dump holds.
    link: https://www.postgresql.org/docs/current/app-pgdump.html
notes:
  - The task runs on the host that has the client programs of PostgreSQL, the Python library C(psycopg2), and access to
    the repositories. C(zstandard) or the command C(zstd) is needed for O(compression=zstd) before Python 3.14.
  - With peer authentication, the default of most distributions, the task must run as the user of the same name as
    O(login_user). Set C(become_user=postgres), and let that user own the directories of the repositories.
  - A role that is not superuser needs C(BYPASSRLS), C(pg_read_all_data) and membership in the roles that own things.
  - Two runs of a job on one host exclude each other; the second one fails with RV(ignore:exit_code) V(4).
"""

EXAMPLES = r"""
---
- name: Back a database up to a local disk and to an object store
  become: true
  become_user: postgres
  lifeboat.recovery.pg_backup:
    job: "{{ inventory_hostname }}-lab"
    database: lab
    repositories:
      - name: local
        path: /srv/backups
      - name: site
        bucket: backups
        endpoint_url: https://minio.example.com:9000
        access_key: backup-writer
        secret_key: "{{ vault_backup_writer_secret_key }}"

- name: Back a database up before an upgrade, and prove that it can be restored
  lifeboat.recovery.pg_backup:
    job: db1-lab
    database: lab
    login_host: db1.example.com
    login_user: backup
    login_password: "{{ vault_backup_password }}"
    ssl_mode: verify-full
    proof: restore
    scratch_dir: /srv/scratch
    repositories:
      - path: /srv/backups

- name: Back up all databases of a server but the tests
  lifeboat.recovery.pg_backup:
    job: db1
    databases: all
    exclude: [test_*]
    parallel: 4
    repositories: "{{ backup_repositories }}"

- name: Back up after half of the data was archived on purpose
  lifeboat.recovery.pg_backup:
    job: db1-lab
    database: lab
    on_shrink: warn
    repositories: "{{ backup_repositories }}"

- name: Back up a database whose server runs in a container of this host
  lifeboat.recovery.pg_backup:
    job: db1-shop
    database: shop
    container: shop-db
    login_password: "{{ vault_shop_password }}"
    repositories: "{{ backup_repositories }}"

- name: Go on with a job after its server was rebuilt
  lifeboat.recovery.pg_backup:
    job: db1-lab
    database: lab
    rebind: true
    repositories: "{{ backup_repositories }}"
"""

RETURN = r"""
job:
  description: Name of the job.
  returned: success
  type: str
  sample: db1-lab
database:
  description: Name of the database.
  returned: success, without O(databases)
  type: str
  sample: lab
database_bytes:
  description: Size of the database on the server, with its indexes.
  returned: success, without O(databases)
  type: int
  sample: 128974848
estimated_bytes:
  description:
    - About how much a backup takes in each repository, going by the last one. Without a last one it is the size of the
      database, which is far too much.
  returned: success, without O(databases)
  type: int
  sample: 20971520
id:
  description: Id of the backup.
  returned: when a backup was written
  type: str
  sample: 20261120T020000Z-0a1b2c
copies:
  description: The backup in each repository, in check mode where it would be. One that could not be used is named, too.
  returned: success, and when a backup was written, without O(databases)
  type: list
  elements: dict
  contains:
    repository:
      description: Name of the repository.
      type: str
      sample: local
    primary:
      description: Whether the backup was written here first, and copied from here.
      type: bool
      sample: true
    present:
      description: Whether the backup is there.
      type: bool
      sample: true
    proved:
      description: Whether it was read back and found good.
      type: bool
      sample: true
    problem:
      description: Why it is not as it should be. Empty if it is.
      type: str
      sample: ""
    seconds:
      description: Time for writing or copying, and proving.
      type: float
      sample: 4.021
complete:
  description: Whether the backup is in all repositories and, unless O(proof=none), proved there.
  returned: when a backup was written
  type: bool
  sample: true
plain_bytes:
  description: Size of the dump and the roles before compression.
  returned: when a backup was written
  type: int
  sample: 104857600
stored_bytes:
  description: Size as stored in each repository.
  returned: when a backup was written
  type: int
  sample: 20971520
ratio:
  description: How many times RV(plain_bytes) is larger than RV(stored_bytes).
  returned: when a backup was written
  type: float
  sample: 5.0
seconds:
  description: Time for everything.
  returned: when a backup was written
  type: float
  sample: 6.442
dump_seconds:
  description: Time until the backup was written to its first repository.
  returned: when a backup was written
  type: float
  sample: 2.384
members:
  description:
    - What became of each of the O(databases), in the order of their names. In check mode, what would be written.
  returned: with O(databases)
  type: list
  elements: dict
  contains:
    job: {description: Name of the job that has its backups., type: str, sample: db1.shop}
    database: {description: Name of the database., type: str, sample: shop}
    problem: {description: Why it is not backed up as it should be. Empty if it is., type: str, sample: ""}
    id: {description: As RV(id)., returned: when a backup was written, type: str, sample: 20261120T020000Z-0a1b2c}
    copies: {description: As RV(copies)., returned: unless it failed before, type: list, elements: dict, sample: []}
    complete: {description: As RV(complete)., returned: when a backup was written, type: bool, sample: true}
    plain_bytes: {description: As RV(plain_bytes)., returned: when a backup was written, type: int, sample: 104857600}
    stored_bytes: {description: As RV(stored_bytes)., returned: when a backup was written, type: int, sample: 20971520}
    ratio: {description: As RV(ratio)., returned: when a backup was written, type: float, sample: 5.0}
    seconds: {description: As RV(seconds)., returned: when a backup was written, type: float, sample: 6.442}
    dump_seconds: {description: As RV(dump_seconds)., returned: when a backup was written, type: float, sample: 2.384}
    guard: {description: As RV(guard)., returned: when a guard refused it, type: str, sample: shrunk}
    warnings: {description: What is odd., returned: in check mode, type: list, elements: str, sample: []}
    database_bytes: {description: As RV(database_bytes)., returned: in check mode, type: int, sample: 128974848}
    estimated_bytes: {description: As RV(estimated_bytes)., returned: in check mode, type: int, sample: 20971520}
gone:
  description: Names of databases that have backups and are not there any more, unless O(on_gone=ignore).
  returned: with O(databases)
  type: list
  elements: str
  sample: []
guard:
  description:
    - The safety rule that forbade the backup.
    - One of V(source), V(repository), V(shrunk), V(closed_database), V(clock).
  returned: when a guard refused
  type: str
  sample: shrunk
"""

import dataclasses
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge import run as bridge
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge.arguments import REPOSITORIES
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge.drill_options import DRILL
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge.postgres_jobs import (
    backup_answer,
    backup_plan_answer,
    database_job_from,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge.postgres_options import POSTGRES_LOGIN
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge.server_jobs import (
    DATABASES,
    DATABASES_RULES,
    PlannedServer,
    back_up_server,
    plan_server,
)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import IncompleteError, UsageError
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.host import database_backup, database_plan


@dataclasses.dataclass(frozen=True)
class Planned:
    """A backup that would be written."""

    plan: database_plan.BackupPlan

    @property
    def changed(self) -> bool:
        return True

    def diff(self) -> tuple[bridge.Result, bridge.Result]:
        """Return the newest backup in each repository, before and after."""
        before = {each.repository: each.latest.id if each.latest else None for each in self.plan.places}
        words = f"a new backup of about {self.plan.estimated_bytes} bytes"
        after = {each.repository: before[each.repository] if each.problem else words for each in self.plan.places}
        return {"newest_backups": before}, {"newest_backups": after}

    def result(self) -> bridge.Result:
        """Return what would be written, and where."""
        return backup_plan_answer(self.plan)


def plan(module: AnsibleModule, params: bridge.Params) -> Planned | PlannedServer:
    """Look at the source and the repositories."""
    if params["databases"] is not None:
        return plan_server(params, module.check_mode)
    if not params["database"]:
        raise UsageError(f"Cannot run job {params['job']}", "no database is named", "set database or databases")
    return Planned(database_plan.plan(database_job_from(params)))


def apply(module: AnsibleModule, planned: Planned | PlannedServer) -> bridge.Result:
    """Write the backups; what is not in all repositories is a failure that says what there is."""
    if isinstance(planned, PlannedServer):
        return back_up_server(module, planned)
    try:
        return backup_answer(database_backup.back_up(planned.plan.job))
    except IncompleteError as error:
        answer = backup_answer(error.result)
        bridge.fail(module, error, {**planned.result(), **answer, "changed": True})


def main() -> t.NoReturn:
    module = AnsibleModule(
        argument_spec={
            "job": {"type": "str", "required": True},
            "database": {"type": "str"},
            "proof": {"type": "str", "choices": ["content", "restore", "none"], "default": "content"},
            "compression": {"type": "str", "choices": ["zstd", "gzip", "none"], "default": "zstd"},
            "allow_partial": {"type": "bool", "default": False},
            "on_shrink": {"type": "str", "choices": ["fail", "warn", "ignore"], "default": "fail"},
            "rebind": {"type": "bool", "default": False},
            "lock_timeout_s": {"type": "int", "default": 300},
            "wait_s": {"type": "int", "default": 4200},
            **DATABASES,
            **REPOSITORIES,
            **POSTGRES_LOGIN,
            **DRILL,
        },
        supports_check_mode=True,
        **DATABASES_RULES,
    )
    bridge.run(module, lambda params: plan(module, params), lambda planned: apply(module, planned))


if __name__ == "__main__":
    main()
