# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This doc fragment is PRIVATE to the collection.

from __future__ import annotations


class ModuleDocFragment:
    # How databases are backed up, and which if it is not one.
    DOCUMENTATION = r"""
options:
  databases:
    description:
      - V(all), or a list of the databases of the server that are backed up as one run.
      - Each gets backups of its own, as the job C(<job>.<database>). That is the name for all other modules. Bytes of
        the database's name that are no letter, digit, C(_) or C(-) are written as a dot and two hex digits there, so
        that V(my.db) of the job V(db1) becomes V(db1.my.2edb). RV(ignore:members) has the names.
      - V(all) are those that there are when the run begins, new ones too. Databases that take no connections are left
        out with a warning, V(template0) and V(template1) without one.
    type: raw
  exclude:
    description:
      - Names of databases that O(databases=all) leaves out. C(*), C(?) and C([]) mean what they mean in a shell.
    type: list
    elements: str
    default: []
  parallel:
    description:
      - How many of the O(databases) are backed up at once, 1 to 64. Each keeps about two processors busy.
    type: int
    default: 2
  on_gone:
    description:
      - What happens if a database that has backups is not there any more, or takes no connections any more.
      - With V(fail) the others are backed up, and the task fails then. Name the database in O(exclude) if it was
        dropped on purpose.
    type: str
    choices: [fail, warn, ignore]
    default: fail
  proof:
    description:
      - What is done at once with each copy that was written.
      - V(content) reads it back and verifies every checksum and the whole archive.
      - V(restore) does that, and also restores it into a scratch server and compares the data.
        This needs the server programs of PostgreSQL on the host.
      - V(none) leaves the proof to M(lifeboat.recovery.backup_verify). Until then the backup is not V(latest_good).
    type: str
    choices: [content, restore, none]
    default: content
  compression:
    description:
      - How the backup is compressed. V(gzip) is for hosts that have nothing for V(zstd), and is many times slower.
    type: str
    choices: [zstd, gzip, none]
    default: zstd
  allow_partial:
    description:
      - Whether it is good enough if the backup is in some of the repositories only. A missing copy is then a warning.
      - By default the task fails if a copy is missing. The backup is written and returned all the same.
    type: bool
    default: false
  on_shrink:
    description:
      - What happens if the dump has less than half of the size of the job's last backup.
      - V(fail) refuses it, with V(shrunk) as RV(ignore:guard), and there is no new backup.
    type: str
    choices: [fail, warn, ignore]
    default: fail
  rebind:
    description:
      - Whether the job may be bound to another source from now on. Set it for one run, after the server was rebuilt.
    type: bool
    default: false
  lock_timeout_s:
    description:
      - For how many seconds the dump waits for a locked table before it gives up. V(0) waits for ever.
    type: int
    default: 300
  wait_s:
    description: For how many seconds a copy waits while a repository is being maintained.
    type: int
    default: 4200
"""
