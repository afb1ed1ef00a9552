# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This doc fragment is PRIVATE to the collection.

from __future__ import annotations


class ModuleDocFragment:
    # What comes back of a database, and what becomes of one that is there (the specification DATABASE_RESTORE).
    DOCUMENTATION = r"""
options:
  database:
    description:
      - Name of the database to restore as. By default it is the name of the database that was backed up.
    type: str
  on_conflict:
    description:
      - What becomes of a database that has the name already.
      - V(replace) puts the restored one in its place, which needs O(confirm).
      - V(rename) leaves it alone, and restores beside it, as RV(ignore:database) says.
      - V(refuse) fails with V(conflict) as RV(ignore:guard), whatever O(confirm) says.
    type: str
    choices: [replace, rename, refuse]
    default: replace
  confirm:
    description:
      - Name of the database that may be replaced. It must be equal to O(database) if there is such a database, else the
        task fails with V(confirm) as RV(ignore:guard).
    type: str
  keep_previous:
    description:
      - Whether a replaced database is kept under another name, see RV(ignore:previous).
      - With V(false) it is dropped as soon as the restored one has taken its place, unless something follows it that
        came while the restore ran, such as a logical replication slot. A warning says so.
    type: bool
    default: true
  safety_backup:
    description:
      - Whether a database that is replaced is backed up first, as the job of the same name with C(-damaged) at its end.
      - It is written into the first of O(repositories) that works, and copied to the others. Their keys must be allowed
        to write.
    type: bool
    default: false
  include:
    description:
      - What is restored, as a list of C(schema) and C(schema.table). By default it is everything.
      - The characters C(*) and C(?) stand for any characters, and for one. Names are those of the catalogs. A name that
        holds a dot, a star or a double quote is put into double quotes.
      - Partitions and the sequences of columns come with their tables. So do schemas, types, functions and extensions
        that are needed. A table or view that needs another table which does not come is refused.
      - Large objects, publications and event triggers come only with the whole database.
    type: list
    elements: str
    default: []
  exclude:
    description:
      - What is not restored, in the same form. It takes from what O(include) names.
      - Foreign keys, triggers and the like that need something that does not come are left out, as RV(ignore:left_out)
        says.
    type: list
    elements: str
    default: []
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
  globals:
    description:
      - Which roles of the backup are made first if the server lacks them, with attributes, settings and memberships.
      - V(needed) means those that own something or have privileges in the database, and the roles that they are members
        of. V(all) means all of the source's server.
      - Roles that exist stay as they are. Backups hold no passwords. Set them afterwards, for example with
        M(lifeboat.recovery.pg_login_role).
      - When the restore fails, the roles that it made are dropped again.
    type: str
    choices: [none, needed, all]
    default: none
  tablespaces:
    description:
      - Other tablespaces to use, by the names that the source had. V(pg_default) is the default one of a server.
      - Tables are put there while they are empty. Indexes are built first and then moved, which takes longer.
    type: dict
    default: {}
  no_tablespaces:
    description:
      - Whether everything goes to the default tablespace.
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
"""

    # A dump that another program wrote (the specification FOREIGN_DUMP).
    FOREIGN_DUMP = r"""
options:
  dump:
    description:
      - A dump that something else wrote, instead of a backup. An absolute path on the host that the task runs on, or a
        URL. It needs O(database).
      - It may be an archive of C(pg_dump) in custom, directory or tar format, or SQL. Files may be compressed by
        C(gzip) or C(zstd). What it is is found out by its content.
      - A SHA-256 beside it, in a file of the same name with C(.sha256) at its end, is compared. SQL without one must
        end with the mark that C(pg_dump) writes last.
      - SQL is loaded by C(psql) in one transaction. Commands of C(psql) such as C(\\connect) are refused.
      - URLs begin with C(https://), or with C(http://) on this machine. Redirects are not followed.
    type: str
  dump_ca_cert:
    description:
      - File with the certificate authorities of the server of O(dump). By default those of the system are used.
    type: path
  owner:
    description:
      - Role that the database from O(dump) and all in it shall belong to. By default it is O(login_user).
      - Functions in the dump will be run with its rights. So without O(trusted), a role with powers (a superuser, one
        that may make roles, a member of such a role) is refused.
    type: str
  trusted:
    description:
      - Whether O(dump) is loaded by O(login_user) with all its rights, and keeps owners and privileges.
      - With V(false) it is loaded by a role that is made for that, may do nothing but log in by a password, and is
        dropped afterwards. So O(login_user) must be a superuser, or may make roles (C(CREATEROLE)) and be a member of
        O(owner). Event triggers and extensions that take a superuser are refused then.
    type: bool
    default: false
"""
