#!/usr/bin/python
# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pg_restore
short_description: Restore a PostgreSQL database from its repositories, or from a dump
version_added: 1.0.0
description:
  - Restores a backup of M(lifeboat.recovery.pg_backup) from the nearest repository that has a good copy of it.
  - The backup is read and verified as a whole before the server is touched. It is then restored into a new database
    with a temporary name and compared with the backup, every row and object. Only then it gets its name.
  - A database that has the name already is closed, its sessions are ended, and it is renamed, in one transaction with
    the new one. It stays until somebody drops it, unless O(keep_previous=false).
  - A copy that turns out to be damaged or away is passed over for the next one, with a warning.
  - Whatever fails before the last step leaves the server as it was.
  - A dump that another program wrote is restored in the same way, with O(dump).
author:
  - Lifeboat maintainers (@lifeboat)
extends_documentation_fragment:
  - lifeboat.recovery._attributes
  - lifeboat.recovery._attributes.actiongroup_postgres
  - lifeboat.recovery._database_restore
  - lifeboat.recovery._database_restore.foreign_dump
  - lifeboat.recovery._repository.optional
  - lifeboat.recovery._postgres_login
  - lifeboat.recovery._postgres_programs
attributes:
  check_mode:
    support: full
    details:
      - Chooses the backup and the copy, looks at the target, and says what would happen.
      - Of O(dump) it reads the beginning.
      - It fails where the restore would be refused, and returns the plan even then.
  diff_mode:
    support: full
  idempotent:
    support: none
    details:
      - Each run restores.
options:
  job:
    description: Name of the backup job. It is needed, with O(repositories), unless O(dump) is given.
    type: str
  backup:
    description:
      - Which backup to restore. An id, V(latest) or V(latest_good).
      - V(latest_good) is the newest one that was proved. If no copy of it can be used, older good ones are tried.
      - V(latest) is the newest one, proved or not. Like every other it is verified before the server is touched.
    type: str
    default: latest_good
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

- name: Get one table back, to copy rows from
  lifeboat.recovery.pg_restore:
    job: db1-lab
    database: lab_orders
    include: [sales.orders]
    repositories: *repositories

- name: Give a copy without personal data to the testers
  lifeboat.recovery.pg_restore:
    job: db1-lab
    database: lab_test
    on_conflict: rename
    exclude: [public.users, audit]
    repositories: *repositories

- name: Move the database to a new server, with the roles that it needs
  lifeboat.recovery.pg_restore:
    job: db1-lab
    login_host: db2.example.com
    login_password: "{{ vault_db2_password }}"
    globals: needed
    tablespaces: {fast_disk: nvme, old_disk: pg_default}
    jobs: 8
    repositories: *repositories

- name: Restore a dump of the former nightly script
  become: true
  become_user: postgres
  lifeboat.recovery.pg_restore:
    dump: /mnt/backup/2026-11-20/shop.sql.gz
    database: shop_from_script
    owner: shop
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
dump:
  description: Name of the dump.
  returned: when a dump was found
  type: str
  sample: shop.sql.gz
form:
  description: What the dump is.
  returned: when a dump was found
  type: str
  sample: a script, compressed by gzip
sha256:
  description: The digest that was found beside the dump. Empty without one.
  returned: when a dump was found
  type: str
  sample: ""
database:
  description: Name of the database that was restored.
  returned: when there is something to restore
  type: str
  sample: lab
source_database:
  description: Name of the database that was backed up. Empty if a dump does not say.
  returned: when there is something to restore
  type: str
  sample: lab
replaces:
  description: Whether there was a database of that name.
  returned: when there is something to restore
  type: bool
  sample: true
previous:
  description: Name under which the replaced database is kept, in check mode the pattern of it. Empty if there is none.
  returned: when there is something to restore
  type: str
  sample: lab_before_20261120T083012Z
stored_bytes:
  description: Size of the dump as it is stored. C(-1) if its server does not say.
  returned: when there is something to restore
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
tables:
  description: Tables and views that O(include) and O(exclude) leave, the first 100. Empty if everything comes.
  returned: when there is something to restore
  type: list
  elements: str
  sample: [sales.orders]
left_out:
  description: Parts of what is restored that need something that is not, and are left out, the first 100.
  returned: when there is something to restore
  type: list
  elements: str
  sample: ["FK CONSTRAINT sales.orders orders_who_fkey, which needs TABLE public.users"]
roles:
  description: Roles that are made first, the first 100.
  returned: when a backup was found
  type: list
  elements: str
  sample: [shop]
safety_backup:
  description: Id of the backup of the replaced database. Empty if there is none.
  returned: when a backup was restored
  type: str
  sample: 20261120T083010Z-4d5e6f
problems:
  description: What stands in the way. The restore is refused if there is anything.
  returned: when there is something to restore
  type: list
  elements: str
  sample: [the login role may not create databases]
figures:
  description: What was restored and compared, as counts. C(digest) is a sum over all rows, independent of their order.
  returned: when a database was restored
  type: dict
  sample: {tables: 12, rows: 48211, large_objects: 3, sequences: 9, objects: 61, size_bytes: 7890438, digest: 42c7…}
fetch_seconds:
  description: Time for fetching and verifying what is restored.
  returned: when a database was restored
  type: float
  sample: 1.236
load_seconds:
  description: Time that C(pg_restore) or C(psql) took.
  returned: when a database was restored
  type: float
  sample: 4.325
compare_seconds:
  description: Time for comparing the restored database with what it was restored from.
  returned: when a database was restored
  type: float
  sample: 1.271
seconds:
  description: Time for everything.
  returned: when a database was restored
  type: float
  sample: 7.113
guard:
  description: The safety rule that forbade the restore, such as V(confirm), V(conflict) or V(template_database).
  returned: when a guard refused
  type: str
  sample: confirm
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge import database_restore as options
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge import run as bridge
from ansible_collections.lifeboat.recovery.plugins.module_utils._bridge.postgres_options import POSTGRES_LOGIN
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.errors import LifeboatError


def plan(module: AnsibleModule, params: bridge.Params) -> options.Planned:
    """Choose what to restore and look at the target; a refusal returns the plan, too."""
    planned = options.planned_dump(params) if params["dump"] else options.planned_backup(params)
    try:
        planned.check()
    except LifeboatError as error:
        bridge.fail(module, error, planned.result())
    return planned


def main() -> t.NoReturn:
    module = AnsibleModule(
        argument_spec={
            "job": {"type": "str"},
            "backup": {"type": "str", "default": "latest_good"},
            **options.DATABASE_RESTORE,
            **options.FOREIGN_DUMP,
            **options.OPTIONAL_REPOSITORIES,
            **POSTGRES_LOGIN,
        },
        mutually_exclusive=[["dump", "job"], ["dump", "repositories"]],
        required_one_of=[["job", "dump"]],
        required_by={"job": ["repositories"], "dump": ["database"], "owner": ["dump"]},
        supports_check_mode=True,
    )
    bridge.run(module, lambda params: plan(module, params), lambda planned: planned.apply())


if __name__ == "__main__":
    main()
